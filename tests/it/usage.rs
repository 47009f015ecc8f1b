//! What repositories hold: by the API, the command and the metrics, held
//! against a walk over the volume.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::check::{of_repository, tree};
use crate::content::{self, IMAGE, INDEX, noise, sha256, sha512};
use crate::health::{ask, debug};
use crate::process::{ended_with, wharf};
use crate::repo::{Repo, next};
use crate::support::{Registry, eventually};
use crate::wire::{PATIENCE, Request};

/// What the API says of all repositories, by their names.
pub fn usage(host: &str) -> BTreeMap<String, Value> {
    let answer = Request::new(host, "GET", "/v2/_wharf/usage?n=1000").send();
    by_name(&answer.expect(200).json())
}

pub fn by_name(told: &Value) -> BTreeMap<String, Value> {
    let all = told["repositories"].as_array().unwrap().iter();
    all.map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone()))
        .collect()
}

/// What the API says of one repository.
pub fn of(repo: &Repo) -> Value {
    let path = format!("/v2/_wharf/usage?repository={}", repo.name());
    let answer = Request::new(repo.host(), "GET", &path).send();
    answer.expect(200).json()["repositories"][0].clone()
}

fn size(repo: &Repo) -> u64 {
    of(repo)["size"].as_u64().unwrap()
}

/// The bytes of all distinct content that a repository links, by a walk.
pub fn walked(server: &Registry, repo: &Repo) -> u64 {
    let mut digests = BTreeSet::new();
    for kind in [
        "_layers/sha256",
        "_layers/sha512",
        "_manifests/revisions/sha256",
    ] {
        for entry in entries(&of_repository(server, repo, kind)) {
            digests.extend(fs::read_to_string(entry.join("link")).ok());
        }
    }
    let data = |digest: &String| {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let data = format!("blobs/sha256/{}/{hex}/data", &hex[..2]);
        fs::metadata(tree(server).join(data)).unwrap().len()
    };
    digests.iter().map(data).sum()
}

fn entries(path: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// `wharf usage` of a server's configuration, as JSON.
pub fn command(server: &Registry) -> Value {
    let finished = wharf(server.dir(), ["usage", "config.yml", "--json"]).output();
    ended_with(&finished, 0);
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn everything_that_a_repository_links_is_counted_once() {
    let server = Registry::start();
    let one = Repo::on(&server, "usage/one");
    let other = Repo::on(&server, "usage/other");
    let (large, small) = (noise(1, 300_000), noise(2, 1_234));
    for round in 0..2 {
        one.push(&large);
        one.push_as(&sha512(&small), &small).expect(201);
        let manifest = one.image("a layer");
        one.put("v1", IMAGE, &manifest).expect(201);
        one.put("v2", IMAGE, &manifest).expect(201);
        let index = content::bytes(&content::index(&[(IMAGE, &manifest)]));
        one.put("all", INDEX, &index).expect(201);
        assert_eq!(size(&one), walked(&server, &one), "round {round}");
    }
    let told = of(&one);
    assert_eq!(
        (&told["manifests"], &told["tags"]),
        (&json!(2), &json!(3)),
        "{told}"
    );

    // What is mounted is shared, and adds nothing to the whole.
    let used = || command(&server)["used"].as_u64().unwrap();
    let before = eventually("the changes in the storage", PATIENCE, || {
        Some(used()).filter(|used| *used == walked(&server, &one))
    });
    let mount = format!(
        "blobs/uploads/?mount={}&from={}",
        sha256(&large),
        one.name()
    );
    for _ in 0..2 {
        other.ask("POST", &mount).body("").send().expect(201);
    }
    assert_eq!(size(&other), walked(&server, &other));
    assert_eq!(of(&other)["shared"], 300_000);

    // What is deleted counts no more, and waits.
    let digest = one.tag("gone", "another layer");
    one.delete("manifests/v2").expect(202);
    one.delete(&format!("manifests/{digest}")).expect(202);
    one.delete(&format!("blobs/{}", sha256(&large))).expect(202);
    assert_eq!(size(&one), walked(&server, &one));
    let told = of(&one);
    assert_eq!(
        (&told["manifests"], &told["tags"]),
        (&json!(2), &json!(2)),
        "{told}"
    );
    let layer = "another layer".len() as u64;
    eventually("the deletes in the storage", PATIENCE, || {
        Some(used()).filter(|used| *used == before + layer - 300_000)
    });
    let waiting = command(&server)["waiting"].as_u64().unwrap();
    assert!(waiting > 300_000 && waiting < 301_000, "{waiting}");
}

#[test]
fn a_restart_loses_nothing_and_a_crash_little() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "usage/again");
    repo.push(&noise(3, 100_000));
    server.restart();
    let repo = Repo::on(&server, repo.name());
    assert_eq!(size(&repo), 100_000);
    repo.push(&noise(4, 10_000));
    repo.start();
    eventually("the changes in the storage", PATIENCE, || {
        Some(()).filter(|()| by_name(&command(&server))[repo.name()]["size"] == 110_000)
    });
    server.kill();
    server.restart();
    let repo = Repo::on(&server, repo.name());
    assert_eq!(size(&repo), 110_000);
    let told = command(&server);
    assert_eq!(told["uploads"]["sessions"], 1, "{told}");
    assert_eq!(told["measured"], Value::Null);
}

#[test]
fn there_are_pages_of_it() {
    let server = Registry::start();
    let names = ["a", "a-b", "a/b", "b", "c"];
    for name in names {
        Repo::on(&server, name).push(name.as_bytes());
    }
    let mut path = "/v2/_wharf/usage?n=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let answer = Request::new(server.host(), "GET", &path).send().expect(200);
        let page: Vec<String> = by_name(&answer.json()).into_keys().collect();
        assert!(page.len() <= 2);
        seen.extend(page);
        match next(&answer) {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen, names);
    let ask = |query: &str| {
        let path = format!("/v2/_wharf/usage?{query}");
        Request::new(server.host(), "GET", &path).send()
    };
    ask("repository=no/such").refused(404, "NAME_UNKNOWN");
    ask("repository=NO").refused(400, "NAME_INVALID");
    ask("n=x").refused(400, "UNSUPPORTED");
    assert_eq!(by_name(&ask("n=0").expect(200).json()).len(), 0);
    assert_eq!(usage(server.host()).len(), 5);
}

#[test]
fn the_metrics_have_the_whole_and_no_repositories() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_DEBUG_ADDR", "127.0.0.1:0")
        .env("REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED", "true")
        .start();
    let repo = Repo::on(&server, "usage/metrics");
    let content = noise(5, 5_000);
    repo.push(&content);
    let location = repo.start();
    repo.at("PATCH", &location)
        .body(&content[..700])
        .send()
        .expect(202);
    let text = || String::from_utf8(ask(&debug(&server), "/metrics").expect(200).body).unwrap();
    for line in [
        "wharf_storage_used_bytes 5000",
        "wharf_storage_waiting_bytes 0",
        "wharf_upload_sessions 1",
        "wharf_upload_sessions_received_bytes 700",
    ] {
        eventually(line, PATIENCE, || {
            text().lines().any(|one| one == line).then_some(())
        });
    }
    assert!(!text().contains("usage/metrics"));
}

#[test]
fn the_table_has_the_largest_first() {
    let mut server = Registry::start();
    Repo::on(&server, "usage/small").push(&noise(6, 2_048));
    Repo::on(&server, "usage/large").push(&noise(7, 3 << 20));
    server.stop();
    let finished = wharf(server.dir(), ["usage", "config.yml"]).output();
    ended_with(&finished, 0);
    let text = &finished.stdout;
    let (large, small) = (text.find("usage/large"), text.find("usage/small"));
    assert!(large.unwrap() < small.unwrap(), "{text}");
    for part in [
        "3.0 MiB",
        "2.0 KiB",
        "in all: 3.0 MiB in 2 repositories",
        "no collection has measured yet",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
