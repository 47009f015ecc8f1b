//! What each step of a push and a pull asks of the store, counted: requests by
//! S3's own names, as its price list has them. The numbers are exact, so that a
//! change that adds a request is seen and either wanted or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::content::{EMPTY_JSON, IMAGE, bytes, image, noise, sha256};
use crate::repo::{Repo, with_query};
use crate::support::{Proxy, Registry, S3Engine, Seen, say};

type Count = BTreeMap<&'static str, usize>;

/// A step and the requests that it makes, as a failure prints them.
#[rustfmt::skip]
const COSTS: &[(&str, &[(&str, usize)])] = &[
    ("HEAD of a blob that is not there", &[("GetObject", 1)]),
    ("push of 100 kB: POST and PUT", &[("DeleteObjects", 1), ("GetObject", 2), ("HeadObject", 1), ("ListObjectsV2", 2), ("PutObject", 3)]),
    ("push of 25 MB: POST, PATCH and PUT", &[("CompleteMultipartUpload", 1), ("CreateMultipartUpload", 1), ("DeleteObjects", 2), ("GetObject", 3), ("HeadObject", 1), ("ListObjectsV2", 2), ("PutObject", 7), ("UploadPartCopy", 3)]),
    ("HEAD of a blob", &[("GetObject", 1), ("HeadObject", 2)]),
    ("PUT of a manifest with two parts, by tag", &[("DeleteObjects", 1), ("GetObject", 6), ("HeadObject", 3), ("ListObjectsV2", 3), ("PutObject", 5)]),
    ("PUT of the same again", &[("DeleteObjects", 1), ("GetObject", 6), ("HeadObject", 3), ("ListObjectsV2", 3), ("PutObject", 5)]),
    ("HEAD of a manifest by tag", &[("GetObject", 3)]),
    ("GET of a manifest by tag", &[("GetObject", 3)]),
    ("GET of a manifest by digest", &[("GetObject", 2)]),
    ("GET of a blob of 100 kB", &[("GetObject", 2)]),
    ("GET of a blob of 25 MB", &[("GetObject", 2)]),
    ("list of tags", &[("ListObjectsV2", 3)]),
    ("mount of a blob", &[("GetObject", 2), ("HeadObject", 1), ("PutObject", 1)]),
    ("push of an image of one layer, as Docker does", &[("DeleteObjects", 3), ("GetObject", 16), ("HeadObject", 9), ("ListObjectsV2", 7), ("PutObject", 13)]),
    ("pull of it", &[("GetObject", 9)]),
    ("DELETE of a tag", &[("DeleteObjects", 2), ("GetObject", 1), ("ListObjectsV2", 1)]),
    ("DELETE of a manifest", &[("DeleteObjects", 2), ("GetObject", 4), ("ListObjectsV2", 3), ("PutObject", 1)]),
    ("GET of a blob, with a redirect", &[("GetObject", 1), ("HeadObject", 1)]),
    ("pull of it, with redirects", &[("GetObject", 7), ("HeadObject", 2)]),
];

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

/// What repositories hold is written down and read every few seconds, whatever
/// clients do.
fn is_of_usage(seen: &Seen) -> bool {
    seen.target.replace("%2F", "/").contains("/wharf/usage")
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
        for seen in proxy.seen().iter().filter(|seen| !is_of_usage(seen)) {
            *count.entry(seen.operation()).or_default() += 1;
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
    let layer = noise(3, 100_000);
    let whole = bytes(&image(&[&layer]));
    step("push of an image of one layer, as Docker does", &mut || {
        for blob in [&layer[..], EMPTY_JSON] {
            repo.beside("whole").head(&path(blob)).expect(404);
            let location = repo.beside("whole").start();
            let patched = repo.at("PATCH", &location).body(blob).send().expect(202);
            let closing = with_query(
                patched.must("location"),
                &format!("digest={}", sha256(blob)),
            );
            repo.at("PUT", &closing).body("").send().expect(201);
            repo.beside("whole").head(&path(blob)).expect(200);
        }
        repo.beside("whole").put("v1", IMAGE, &whole).expect(201);
    });
    let (name, expected) = if redirects {
        ("pull of it, with redirects", 307)
    } else {
        ("pull of it", 200)
    };
    step(name, &mut || {
        let repo = repo.beside("whole");
        repo.head("manifests/v1").expect(200);
        repo.get(&format!("manifests/{}", sha256(&whole)))
            .expect(200);
        repo.get(&path(EMPTY_JSON)).expect(expected);
        repo.get(&path(&layer)).expect(expected);
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
