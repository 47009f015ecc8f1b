//! What each step of a push and a pull asks of the store, counted: requests by
//! S3's own names, as its price list has them. The numbers are exact, so that a
//! change that adds a request is seen and either wanted or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::content::{EMPTY_JSON, IMAGE, bytes, image, noise, sha256};
use crate::repo::{Repo, with_query};
use crate::support::{Proxy, Registry, S3Engine, Seen, say};

type Count = BTreeMap<&'static str, usize>;

/// A step and the requests that it makes.
const COSTS: &[(&str, &[(&str, usize)])] = &[];

#[test]
fn every_step_costs_exactly_these_requests() {
    if !S3Engine::needs().met() {
        return;
    }
    let measured = measure(false);
    let redirected = measure(true);
    let steps: Vec<(&str, Count)> = measured
        .into_iter()
        .chain(
            redirected
                .into_iter()
                .filter(|(step, _)| step.contains("redirect")),
        )
        .collect();
    say(&table(&steps));
    let expected: Vec<(&str, Count)> = COSTS
        .iter()
        .map(|(step, count)| (*step, count.iter().copied().collect()))
        .collect();
    assert_eq!(steps, expected, "\n{}", as_source(&steps));
}

/// Each step on a registry that has run for a while: what a first request
/// finds out and remembers is not counted.
fn measure(redirects: bool) -> Vec<(&'static str, Count)> {
    let proxy = Proxy::to(&S3Engine::shared().host());
    let bucket = S3Engine::shared().bucket().through(&proxy);
    let registry = Registry::with().s3(&bucket).redirects(redirects).start();
    let repo = Repo::on(&registry, "costs");
    repo.tag("earlier", "something");
    repo.get("manifests/earlier").expect(200);

    let mut steps = Vec::new();
    let mut step = |name: &'static str, act: &mut dyn FnMut()| {
        proxy.forget();
        act();
        let mut count = Count::new();
        for operation in proxy.seen().iter().map(Seen::operation) {
            *count.entry(operation).or_default() += 1;
        }
        steps.push((name, count));
    };
    let (small, large) = (noise(1, 100_000), noise(2, 25_000_000));
    let manifest = bytes(&image(&[&small]));
    let digest = sha256(&manifest);
    let path = |blob: &[u8]| format!("blobs/{}", sha256(blob));

    step("HEAD of a blob that is not there", &mut || {
        repo.head(&path(&small)).expect(404);
    });
    step("push of 100 kB: POST and PUT", &mut || {
        repo.push(&small);
    });
    step("push of 25 MB: POST, PATCH and PUT", &mut || {
        let location = repo.start();
        let patched = repo.at("PATCH", &location).body(large.as_slice()).send();
        let closing = with_query(
            patched.expect(202).must("location"),
            &format!("digest={}", sha256(&large)),
        );
        repo.at("PUT", &closing).body("").send().expect(201);
    });
    step("HEAD of a blob", &mut || {
        repo.head(&path(&small)).expect(200);
    });
    step("PUT of a manifest with two parts, by tag", &mut || {
        repo.push(EMPTY_JSON);
        proxy.forget();
        repo.put("latest", IMAGE, &manifest).expect(201);
    });
    step("PUT of the same again", &mut || {
        repo.put("latest", IMAGE, &manifest).expect(201);
    });
    step("HEAD of a manifest by tag", &mut || {
        repo.head("manifests/latest").expect(200);
    });
    step("GET of a manifest by tag", &mut || {
        repo.get("manifests/latest").expect(200);
    });
    step("GET of a manifest by digest", &mut || {
        repo.get(&format!("manifests/{digest}")).expect(200);
    });
    let (name, expected) = if redirects {
        ("GET of a blob, with a redirect", 307)
    } else {
        ("GET of a blob of 100 kB", 200)
    };
    step(name, &mut || {
        repo.get(&path(&small)).expect(expected);
    });
    step("GET of a blob of 25 MB", &mut || {
        repo.get(&path(&large)).expect(expected);
    });
    step("list of tags", &mut || {
        repo.get("tags/list").expect(200);
    });
    step("mount of a blob", &mut || {
        let mount = format!(
            "blobs/uploads/?mount={}&from={}",
            sha256(&small),
            repo.name()
        );
        repo.beside("other")
            .ask("POST", &mount)
            .body("")
            .send()
            .expect(201);
    });
    step("DELETE of a tag", &mut || {
        repo.delete("manifests/latest").expect(202);
    });
    step("DELETE of a manifest", &mut || {
        repo.delete(&format!("manifests/{digest}")).expect(202);
    });
    steps
}

/// For people: one line for each step.
fn table(steps: &[(&str, Count)]) -> String {
    let mut text = String::from("requests to the store:\n");
    for (step, count) in steps {
        let parts: Vec<String> = count
            .iter()
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        let _ = writeln!(
            text,
            "  {step:45} {:3}  {}",
            count.values().sum::<usize>(),
            parts.join(", ")
        );
    }
    text
}

/// For this file.
fn as_source(steps: &[(&str, Count)]) -> String {
    let mut text = String::new();
    for (step, count) in steps {
        let pairs: Vec<String> = count
            .iter()
            .map(|(name, n)| format!("({name:?}, {n})"))
            .collect();
        let _ = writeln!(text, "    ({step:?}, &[{}]),", pairs.join(", "));
    }
    text
}
