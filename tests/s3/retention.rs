//! Retention of a bucket that two replicas serve: what either saw pulled counts,
//! one of them applies the rules, and what the plan shows is what goes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::content::{self, IMAGE, INDEX, bytes, sha256};
use crate::process::wharf;
use crate::repo::Repo;
use crate::support::{Finished, Registry, S3Engine, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

fn retention(server: &Registry, words: &[&str]) -> Finished {
    let args = ["retention", words[0], "config.yml"];
    wharf(server.dir(), args.iter().chain(&words[1..]).copied())
        .limit(Duration::from_secs(120))
        .output()
}

fn planned(server: &Registry) -> Value {
    let finished = retention(server, &["plan", "--json"]);
    let json = serde_json::from_str(&finished.stdout);
    json.unwrap_or_else(|error| panic!("no JSON ({error}): {finished}"))
}

#[test]
fn pulls_from_either_replica_count() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    // A pull counts for an hour longer than that, so nothing goes by its age.
    let start = || {
        Registry::with()
            .s3(&bucket)
            .section("retention: {rules: [{repositories: '**', keep: {pulledwithin: 1d}}]}")
            .start()
    };
    let (mut one, mut other) = (start(), start());
    let repo = Repo::on(&one, "shared");
    for tag in ["one", "other", "never"] {
        repo.tag(tag, tag);
    }
    Repo::on(&one, "shared").get("manifests/one").expect(200);
    Repo::on(&other, "shared")
        .get("manifests/other")
        .expect(200);
    one.stop();
    other.stop();
    let records = bucket.objects().into_iter();
    let records = records.filter(|(key, _)| key.contains("/shared/_pulls/"));
    assert_eq!(records.count(), 2);
    let plan = planned(&one);
    let tags = plan["repositories"][0]["tags"].as_array().unwrap();
    let pulled = |tag: &str| {
        let found = tags.iter().find(|one| one["tag"] == tag);
        found.unwrap()["pulled"].is_string()
    };
    assert_eq!(
        ["one", "other", "never"].map(pulled),
        [true, true, false],
        "{plan:#}"
    );
}

#[test]
fn what_a_bucket_holds_goes_as_planned() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let server = Registry::with()
        .s3(&bucket)
        .section("retention: {rules: [{repositories: 'app', keep: {newest: 1}, untagged: 1d}]}")
        .start();
    let repo = Repo::on(&server, "app");
    let child = repo.image("child");
    repo.put(&sha256(&child), IMAGE, &child).expect(201);
    let index = bytes(&content::index(&[(IMAGE, &child)]));
    repo.put("old", INDEX, &index).expect(201);
    let mut signature = content::image(&[]);
    signature["subject"] = json!({"mediaType": INDEX, "digest": sha256(&index), "size": 1});
    let signature = bytes(&signature);
    repo.push(content::EMPTY_JSON);
    repo.put(&sha256(&signature), IMAGE, &signature).expect(201);
    // Object stores tell time in seconds.
    eventually("the tag to go", PATIENCE, || {
        repo.tag("new", "newer");
        (planned(&server)["tags"] == json!(1)).then_some(())
    });
    // The children are young yet, and have no tag of their own.
    let done = retention(&server, &["apply", "--yes", "--json"]);
    assert!(done.success(), "{done}");
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(told["tags"], json!(1), "{told:#}");
    assert_eq!(repo.tags(), ["new"]);
    repo.get(&format!("manifests/{}", sha256(&index)))
        .expect(404);
    let left = bucket.objects().into_iter();
    let left: Vec<_> = left
        .filter(|(key, _)| key.contains("_manifests/tags/old") || key.contains("_deletes/"))
        .collect();
    assert_eq!(left, []);
    repo.get("manifests/new").expect(200);
}
