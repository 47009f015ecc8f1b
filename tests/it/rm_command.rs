//! `wharf rm` beside a running server: what it says that goes, and what is gone.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::check::{clean, of_repository};
use crate::content::{self, IMAGE, INDEX, noise, sha256};
use crate::process::{ended_with, wharf};
use crate::referrers::refer;
use crate::repo::{Repo, strings};
use crate::support::{Finished, Registry};
use crate::usage::command;
use crate::wire::Request;

const NOT_FOUND: i32 = 4;
const DENIED: i32 = 5;

fn rm(server: &Registry, args: &[&str]) -> Finished {
    let all = ["rm", "--json"].iter().chain(args).chain(&["config.yml"]);
    // The repository is the first argument that is no flag.
    wharf(server.dir(), all.copied()).output()
}

#[track_caller]
fn removed(server: &Registry, what: &str) -> Value {
    let finished = rm(server, &["--yes", what]);
    ended_with(&finished, 0);
    serde_json::from_str(&finished.stdout).unwrap()
}

fn catalog(server: &Registry) -> Vec<String> {
    let answer = Request::new(server.host(), "GET", "/v2/_catalog").send();
    strings(&answer.expect(200), "repositories")
}

#[test]
fn a_tag_goes_alone() {
    let server = Registry::start();
    let repo = Repo::on(&server, "rm/tag");
    let digest = repo.tag("v1", "a layer");
    let told = removed(&server, "rm/tag:v1");
    assert_eq!(told["stays"][0]["digest"], digest.as_str(), "{told}");
    assert_eq!(
        (&told["freed"], &told["removed"]["tags"]),
        (&json!(0), &json!(1))
    );
    repo.get("manifests/v1").expect(404);
    repo.get(&format!("manifests/{digest}")).expect(200);
    ended_with(&rm(&server, &["--yes", "rm/tag:v1"]), NOT_FOUND);
    clean(&server);
}

#[test]
fn a_manifest_goes_with_its_tags_and_referrers_and_what_only_they_need_is_freed() {
    let server = Registry::start();
    let repo = Repo::on(&server, "rm/manifest");
    let other = Repo::on(&server, "rm/other");
    let (own, common) = (noise(1, 100_000), noise(2, 50_000));
    for repo in [&repo, &other] {
        repo.push(content::EMPTY_JSON);
        repo.push(&common);
    }
    repo.push(&own);
    let image = content::bytes(&content::image(&[&own, &common]));
    let kept = content::bytes(&content::image(&[&common]));
    repo.put("v1", IMAGE, &image).expect(201);
    repo.put("v2", IMAGE, &image).expect(201);
    other.put("v1", IMAGE, &kept).expect(201);
    let subject = sha256(&image);
    let signature = refer(&repo, IMAGE, content::image(&[]), &subject);
    let mut named = content::image(&[]);
    named["annotations"] = json!({"kept": "by its tag"});
    let named = refer(&repo, IMAGE, named, &subject);
    repo.put("sbom", IMAGE, &named).expect(201);

    let finished = rm(&server, &["rm/manifest@".to_owned().as_str(), "--yes"]);
    ended_with(&finished, 2);
    let told = removed(&server, &format!("rm/manifest@{subject}"));
    let gone: Vec<&str> = told["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["digest"].as_str().unwrap())
        .collect();
    assert_eq!(gone, [subject.as_str(), &sha256(&signature)], "{told}");
    assert_eq!(told["tags"].as_array().unwrap().len(), 2);
    assert_eq!(told["stays"][0]["digest"], sha256(&named).as_str());
    let expected = own.len() + image.len() + signature.len();
    assert_eq!(told["freed"], expected, "{told}");
    assert_eq!(repo.tags(), ["sbom"]);
    for gone in [&subject, &sha256(&signature)] {
        repo.get(&format!("manifests/{gone}")).expect(404);
    }
    repo.get("manifests/sbom").expect(200);
    other.get(&format!("blobs/{}", sha256(&common))).expect(200);
    clean(&server);
}

#[test]
fn an_index_leaves_its_children_and_says_why() {
    let server = Registry::start();
    let repo = Repo::on(&server, "rm/index");
    let child = repo.image("a child");
    repo.put(&sha256(&child), IMAGE, &child).expect(201);
    let index = content::bytes(&content::index(&[(IMAGE, &child)]));
    repo.put("all", INDEX, &index).expect(201);
    let told = removed(&server, &format!("rm/index@{}", sha256(&index)));
    assert_eq!(told["stays"][0]["digest"], sha256(&child).as_str());
    assert!(
        told["stays"][0]["why"]
            .as_str()
            .unwrap()
            .contains("wharf gc --untagged")
    );
    assert_eq!(told["freed"], index.len());
    repo.get(&format!("manifests/{}", sha256(&child)))
        .expect(200);
    clean(&server);
}

#[test]
fn a_repository_goes_wholly_and_those_below_it_stay() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "rm/all");
    let below = Repo::on(&server, "rm/all/below");
    below.tag("v1", "shared by both");
    for number in 0..40 {
        repo.tag(&format!("v{number}"), &format!("layer {number}"));
    }
    let digest = repo.tag("shared", "shared by both");
    refer(&repo, IMAGE, content::image(&[]), &digest);
    repo.push(&noise(3, 10_000));
    repo.start();
    let told = removed(&server, "rm/all");
    assert_eq!(told["removed"]["tags"], 41, "{told}");
    assert_eq!(told["removed"]["uploads"], 1);
    assert!(told["freed"].as_u64().unwrap() > 10_000);
    assert_eq!(catalog(&server), ["rm/all/below"]);
    repo.get("tags/list").expect(404);
    below.get("manifests/v1").expect(200);
    let left = fs::read_dir(of_repository(&server, &repo, "")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["below"], "of it is left");
    ended_with(&rm(&server, &["--yes", "rm/all"]), NOT_FOUND);
    clean(&server);
    // It can be pushed to again.
    repo.tag("v1", "layer 1");
    assert_eq!(catalog(&server), ["rm/all", "rm/all/below"]);
    server.stop();
    let told = command(&server);
    let names: Vec<&str> = told["repositories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["rm/all", "rm/all/below"], "{told}");
}

#[test]
fn nothing_goes_without_a_yes_and_nothing_that_is_immutable() {
    let server = Registry::with()
        .section("immutable:\n  - repositories: rm/**\n    tags: [\"v*\"]\n")
        .start();
    let repo = Repo::on(&server, "rm/kept");
    let digest = repo.tag("v1", "a layer");
    repo.tag("latest", "a layer");
    for what in ["rm/kept:v1", "rm/kept", &format!("rm/kept@{digest}")] {
        let finished = rm(&server, &["--yes", what]);
        ended_with(&finished, DENIED);
        assert!(
            finished.stderr.contains("rule 1 of `immutable`"),
            "{finished}"
        );
    }
    let finished = rm(&server, &["rm/kept:latest"]);
    ended_with(&finished, 1);
    assert!(finished.stderr.contains("say --yes"), "{finished}");
    let told: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(
        (&told["tags"][0]["tag"], &told["removed"]),
        (&json!("latest"), &Value::Null)
    );
    assert_eq!(repo.tags(), ["latest", "v1"]);
}

/// Somebody pushes to the repository all the while: no push that was
/// acknowledged after the removal began to look is half gone.
#[test]
fn pushes_beside_it_are_whole_or_gone() {
    let server = Registry::start();
    let name = "rm/busy";
    for number in 0..20 {
        Repo::on(&server, name).tag(&format!("old{number}"), &format!("old {number}"));
    }
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            let repo = Repo::on(&server, name);
            for number in 0.. {
                let manifest = repo.image(&format!("new {number}"));
                let put = repo.put(&format!("new{number}"), IMAGE, &manifest);
                // Its blobs may have gone before it came.
                assert!(matches!(put.status, 201 | 400 | 503), "{put}");
                if ended.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let finished = rm(&server, &["--yes", name]);
        ended.store(true, Ordering::Relaxed);
        let code = finished.status.and_then(|status| status.code());
        assert!(matches!(code, Some(0 | 1)), "{finished}");
        pushing.join().unwrap();
    });
    clean(&server);
}
