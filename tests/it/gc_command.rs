//! `wharf gc` beside a running server and on a stopped one: what it frees, what
//! it leaves, what it says, and how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::check::{blob, clean, flip, tree};
use crate::content::{self, IMAGE, INDEX};
use crate::process::{CONFIGURATION, binary, ended_with, wharf};
use crate::repo::Repo;
use crate::support::{Finished, Registry, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// `wharf gc` of a server's configuration.
pub fn gc(server: &Registry, flags: &[&str]) -> Finished {
    let args = ["gc", "config.yml"].iter().chain(flags);
    wharf(server.dir(), args.copied()).limit(PATIENCE).output()
}

/// The same as JSON; panics unless it went well.
pub fn collected(server: &Registry, flags: &[&str]) -> Value {
    let flags: Vec<&str> = flags.iter().chain(&["--json"]).copied().collect();
    let finished = gc(server, &flags);
    ended_with(&finished, 0);
    serde_json::from_str(&finished.stdout).unwrap()
}

/// Every file below a directory, with its time and size.
pub fn files(root: &Path) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                directories.push(entry.path());
            } else {
                found.insert(entry.path(), (meta.modified().unwrap(), meta.len()));
            }
        }
    }
    found
}

/// Makes everything look as if it had been pushed so long ago.
pub fn age(root: &Path, by: Duration) {
    let then = SystemTime::now() - by;
    for path in files(root).keys() {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(then).unwrap();
    }
}

/// So many repositories that hold the same manifest as `repo`.
pub fn multiply(server: &Registry, repo: &Repo, digest: &str, count: usize) {
    let link = format!("_manifests/revisions/{}", digest.replace(':', "/"));
    let repositories = tree(server).join("repositories");
    let content = fs::read(repositories.join(repo.name()).join(&link).join("link")).unwrap();
    for n in 0..count {
        let directory = repositories.join(format!("many/r{n}")).join(&link);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("link"), &content).unwrap();
    }
}

/// An image that stays, and one that was deleted: how many bytes only the latter
/// needs.
fn one_deleted(server: &Registry) -> (Repo, Repo, u64) {
    let stays = Repo::on(server, "team/stays");
    stays.tag("v1", "a layer that stays");
    let goes = Repo::on(server, "team/goes");
    let manifest = goes.image("a layer that goes");
    goes.put("v1", IMAGE, &manifest).expect(201);
    let digest = content::sha256(&manifest);
    goes.delete(&format!("manifests/{digest}")).expect(202);
    let bytes = manifest.len() + "a layer that goes".len();
    (stays, goes, bytes as u64)
}

#[test]
fn what_was_deleted_is_freed_beside_the_server() {
    let server = Registry::start();
    let (stays, goes, bytes) = one_deleted(&server);
    let layer = content::sha256(b"a layer that goes");
    assert!(blob(&server, &layer).exists());

    let told = collected(&server, &["--grace", "0s"]);
    let seconds = told["seconds"].as_f64().unwrap();
    assert_eq!(
        told,
        json!({
            "version": 1,
            "complete": true,
            "dryRun": false,
            "grace": 0,
            "seconds": seconds,
            "repositories": 2,
            "manifests": 1,
            "needed": 3,
            "eligible": {"count": 2, "bytes": bytes},
            "removed": {"count": 2, "bytes": bytes},
            "young": {"count": 0, "bytes": 0},
            // Its layer and its configuration.
            "links": 2,
            "unanswered": 0,
            "untagged": null,
            "dangling": [],
            "error": null,
            "unreadable": null,
        })
    );
    assert!(!blob(&server, &layer).parent().unwrap().exists());
    stays.get("manifests/v1").expect(200);
    let kept = content::sha256(b"a layer that stays");
    stays.get(&format!("blobs/{kept}")).expect(200);
    goes.head(&format!("blobs/{layer}")).expect(404);
    // The server isn't left with a belief of its own: the same is pushed again.
    goes.tag("v1", "a layer that goes");
    goes.get(&format!("blobs/{layer}")).expect(200);
    clean(&server);

    let again = gc(&server, &["--grace", "0s"]);
    ended_with(&again, 0);
    assert_eq!(
        again.stdout,
        "removed: 0 blobs and manifests, 0 bytes\n\
         needed: 5 blobs and manifests by 2 manifests in 2 repositories\n"
    );
}

#[test]
fn what_is_young_waits_for_its_grace() {
    let server = Registry::start();
    let (_, _, bytes) = one_deleted(&server);
    let told = collected(&server, &[]);
    assert_eq!(told["grace"], 24 * 3600);
    assert_eq!(told["removed"]["count"], 0);
    // The layer's link is young, too, and so somebody may be about to need it.
    assert_eq!(told["young"]["count"], 1, "{told:#}");
    let said = gc(&server, &[]);
    ended_with(&said, 0);
    let waits = "not needed, but younger than 24h: 1 blob or manifest, ";
    assert!(said.stdout.contains(waits), "{said}");

    age(&tree(&server), Duration::from_secs(25 * 3600));
    let told = collected(&server, &[]);
    assert_eq!(told["removed"], json!({"count": 2, "bytes": bytes}));
}

#[test]
fn the_grace_is_the_configurations_unless_it_is_given() {
    let server = Registry::with().section("gc: {grace: 2h}").start();
    let (_, _, bytes) = one_deleted(&server);
    age(&tree(&server), Duration::from_secs(3600));
    let told = collected(&server, &["--dry-run"]);
    assert_eq!(told["grace"], 7200);
    assert_eq!(told["young"]["count"], 1);
    let told = collected(&server, &["--grace", "30m"]);
    assert_eq!(told["grace"], 1800);
    assert_eq!(told["removed"]["bytes"], bytes);
}

#[test]
fn a_dry_run_tells_the_same_and_writes_nothing() {
    let mut server = Registry::start();
    let (_, _, bytes) = one_deleted(&server);
    // A running server may write down what it knows of its own.
    server.stop();
    let before = files(server.data());
    let told = collected(&server, &["--dry-run", "--grace", "0s"]);
    assert_eq!(told["dryRun"], true);
    assert_eq!(told["eligible"], json!({"count": 2, "bytes": bytes}));
    assert_eq!(told["removed"], json!({"count": 0, "bytes": 0}));
    let said = gc(&server, &["--dry-run", "--grace", "0s"]);
    let line = "would be removed: 2 blobs and manifests, ";
    assert!(said.stdout.starts_with(line), "{said}");
    assert_eq!(files(server.data()), before);
    let told = collected(&server, &["--grace", "0s"]);
    assert_eq!(told["removed"], json!({"count": 2, "bytes": bytes}));
}

#[test]
fn a_data_directory_without_a_server_is_collected() {
    let mut server = Registry::start();
    let (_, _, _) = one_deleted(&server);
    server.stop();
    let data = server.data().to_str().unwrap().to_owned();
    let quiet = wharf(
        server.dir(),
        ["gc", "--data", &data, "--grace", "0s", "--quiet"],
    );
    let quiet = quiet.ok();
    assert_eq!(quiet.text(), "");
    let layer = content::sha256(b"a layer that goes");
    assert!(!blob(&server, &layer).exists());
    assert!(blob(&server, &content::sha256(b"a layer that stays")).exists());
}

#[test]
fn manifests_without_a_tag_go_first_where_that_is_asked_for() {
    let server = Registry::start();
    let repo = Repo::on(&server, "untagged");
    let first = repo.tag("latest", "one");
    let second = repo.tag("latest", "two");
    // A child needs no tag of its own.
    let child = repo.image("three");
    repo.put(&content::sha256(&child), IMAGE, &child)
        .expect(201);
    let index = content::bytes(&content::index(&[(IMAGE, &child)]));
    repo.put("list", INDEX, &index).expect(201);
    age(&tree(&server), Duration::from_secs(3 * 3600));

    let none = collected(&server, &["--dry-run", "--grace", "0s", "--untagged=4h"]);
    assert_eq!(none["untagged"]["manifests"], 0);
    assert_eq!(none["eligible"]["count"], 0);
    // Without an age it is the grace's.
    let would = collected(&server, &["--dry-run", "--grace", "1h", "--untagged"]);
    assert_eq!(
        would["untagged"],
        json!({"manifests": 1, "spared": 0, "failed": []})
    );
    assert_eq!(would["eligible"]["count"], 2, "{would:#}");
    let did = collected(&server, &["--grace", "1h", "--untagged=2h"]);
    assert_eq!(did["untagged"]["manifests"], 1, "{did:#}");
    assert_eq!(did["removed"]["count"], 2, "{did:#}");
    repo.head(&format!("manifests/{first}")).expect(404);
    repo.get(&format!("manifests/{second}")).expect(200);
    repo.get("manifests/list").expect(200);
    repo.get(&format!("manifests/{}", content::sha256(&child)))
        .expect(200);
    clean(&server);
}

#[test]
fn a_manifest_that_cannot_be_read_stops_it_before_anything_is_removed() {
    let server = Registry::start();
    let _ = one_deleted(&server);
    let repo = Repo::on(&server, "team/torn");
    let torn = repo.tag("v1", "its manifest is damaged");
    flip(&blob(&server, &torn));
    let before = files(&tree(&server).join("blobs"));

    let failed = gc(&server, &["--grace", "0s"]);
    ended_with(&failed, 1);
    assert!(failed.stderr.contains(&torn), "{failed}");
    assert!(failed.stderr.contains("team/torn"), "{failed}");
    assert!(failed.stderr.contains("nothing was removed"), "{failed}");
    let failed = gc(&server, &["--grace", "0s", "--json"]);
    ended_with(&failed, 1);
    let told: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(told["complete"], false);
    assert_eq!(
        told["unreadable"],
        json!({"repository": "team/torn", "digest": torn})
    );
    assert_eq!(files(&tree(&server).join("blobs")), before);

    // Once it is deleted, the rest goes.
    repo.delete(&format!("manifests/{torn}")).expect(202);
    assert_eq!(
        collected(&server, &["--grace", "0s"])["removed"]["count"],
        4
    );
}

#[test]
fn a_manifest_whose_bytes_are_gone_is_named_and_stops_nothing() {
    let server = Registry::start();
    let _ = one_deleted(&server);
    let repo = Repo::on(&server, "team/gone");
    let gone = repo.tag("v1", "its manifest is lost");
    fs::remove_file(blob(&server, &gone)).unwrap();
    let said = gc(&server, &["--grace", "0s"]);
    ended_with(&said, 0);
    assert!(said.stdout.contains(&format!("team/gone@{gone}")), "{said}");
    let told = collected(&server, &["--dry-run"]);
    assert_eq!(
        told["dangling"],
        json!([{"repository": "team/gone", "digest": gone}])
    );
}

#[test]
fn what_may_not_be_collected_is_a_matter_of_configuration() {
    let server = Registry::with()
        .env("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
        .start();
    let read_only = |flags: &[&str]| {
        let args = ["gc", "config.yml"].iter().chain(flags);
        wharf(server.dir(), args.copied())
            .env("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
            .output()
    };
    let refused = read_only(&[]);
    ended_with(&refused, CONFIGURATION);
    assert!(refused.stderr.contains("readonly"), "{refused}");
    ended_with(&read_only(&["--dry-run"]), 0);

    let refused = wharf(server.dir(), ["gc", "--data", "nowhere"]).output();
    ended_with(&refused, CONFIGURATION);
    assert!(refused.stderr.contains("nowhere"), "{refused}");
    for wrong in ["--grace=5", "--untagged=soon"] {
        let refused = gc(&server, &[wrong]);
        ended_with(&refused, 2);
        assert!(refused.stderr.contains("write"), "{refused}");
    }
}

#[test]
fn ctrl_c_ends_it_in_order() {
    let server = Registry::start();
    let repo = Repo::on(&server, "large");
    let digest = repo.tag("v1", "in very many repositories");
    multiply(&server, &repo, &digest, 800);
    let mut child = Command::new(binary())
        .args(["gc", "config.yml", "--grace", "0s"])
        .current_dir(server.dir())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let runs = tree(&server).join("wharf/gc/runs");
    let marks = || {
        let entries = fs::read_dir(&runs).ok()?;
        Some(entries.count()).filter(|count| *count > 0)
    };
    eventually("the mark", PATIENCE, || {
        assert!(child.try_wait().unwrap().is_none(), "it was too fast");
        marks()
    });
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped"), "{said}");
    assert_eq!(marks(), None, "no push has to look at what it left");
    collected(&server, &["--grace", "0s"]);
}

#[test]
fn nothing_to_collect_is_no_failure() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("wharf-data")).unwrap();
    let finished = wharf(directory.path(), ["gc"]).ok();
    assert!(finished.stdout.starts_with("removed: 0 "), "{finished}");
}
