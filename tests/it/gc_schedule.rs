//! The server collects garbage by itself: what was deleted is freed, one
//! collection at a time, and what it did is in the log and the metrics.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::check::{blob, clean, flip, tree};
use crate::content::{self, IMAGE};
use crate::gc_command::{age, gc, multiply};
use crate::process::ended_with;
use crate::repo::Repo;
use crate::support::{Registry, Setup, eventually, free_port};
use crate::wire::Request;

const PATIENCE: Duration = Duration::from_secs(60);

/// Another collection is running.
const BUSY: i32 = 75;

/// A server that collects as often as it can, and where its metrics are.
fn collecting(settings: &str) -> (Setup, String) {
    let debug = format!("127.0.0.1:{}", free_port());
    let setup = Registry::with()
        .section(&format!(
            "gc: {{enabled: true, interval: 1s, grace: 0s, {settings}}}"
        ))
        .env(
            "REGISTRY_HTTP_DEBUG",
            &format!("{{addr: '{debug}', prometheus: {{enabled: true}}}}"),
        );
    (setup, debug)
}

fn metric(debug: &str, name: &str) -> Option<f64> {
    let text = Request::new(debug, "GET", "/metrics").send().expect(200);
    let text = String::from_utf8(text.body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

fn record(server: &Registry) -> Option<Value> {
    let text = fs::read(tree(server).join("wharf/gc/record")).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Pushes an image and deletes it again; returns its layer and how many bytes
/// wait.
fn deleted(repo: &Repo, seed: &str) -> (String, f64) {
    let manifest = repo.image(seed);
    repo.put("gone", IMAGE, &manifest).expect(201);
    let digest = content::sha256(&manifest);
    repo.delete(&format!("manifests/{digest}")).expect(202);
    let bytes = manifest.len() + seed.len();
    (content::sha256(seed.as_bytes()), bytes as f64)
}

#[test]
fn what_was_deleted_is_freed_by_itself() {
    let (setup, debug) = collecting("pace: 100");
    let server = setup.start();
    let repo = Repo::on(&server, "team/app");
    repo.tag("stays", "a layer that stays");
    let (layer, bytes) = deleted(&repo, "a layer that goes");
    eventually("the freed layer", PATIENCE, || {
        (!blob(&server, &layer).exists()).then_some(())
    });
    eventually("the end of the collection", PATIENCE, || {
        let freed = metric(&debug, "wharf_gc_freed_bytes_total")?;
        (freed >= bytes).then_some(())
    });
    // The configuration's bytes are needed by the other image.
    assert!(metric(&debug, "wharf_gc_removed_total").unwrap() >= 2.0);
    eventually("a collection that came to its end", PATIENCE, || {
        let runs = metric(&debug, r#"wharf_gc_runs_total{outcome="completed"}"#)?;
        let last = metric(&debug, "wharf_gc_last_success_timestamp_seconds")?;
        (runs >= 1.0 && last > 1.7e9).then_some(())
    });
    assert_eq!(
        metric(&debug, r#"wharf_gc_runs_total{outcome="failed"}"#),
        Some(0.0)
    );
    assert!(metric(&debug, "wharf_gc_last_duration_seconds").unwrap() > 0.0);
    assert_eq!(metric(&debug, "wharf_gc_young_bytes"), Some(0.0));
    assert!(server.log().contains("garbage was collected"));
    repo.get("manifests/stays").expect(200);
    let kept = content::sha256(b"a layer that stays");
    repo.get(&format!("blobs/{kept}")).expect(200);
    clean(&server);
}

#[test]
fn it_begins_with_sighup() {
    let volume = TempDir::new().unwrap();
    let server = Registry::with().config(&yaml(volume.path(), "")).start();
    let repo = Repo::on(&server, "reread");
    let (layer, _) = deleted(&repo, "freed from now on");
    assert_eq!(
        tree_record(volume.path()),
        None,
        "off unless it is asked for"
    );
    let on = "gc: {enabled: true, interval: 1s, grace: 0s}";
    fs::write(server.dir().join("config.yml"), yaml(volume.path(), on)).unwrap();
    server.signal(Signal::HUP);
    let hex = layer.strip_prefix("sha256:").unwrap();
    let path = volume
        .path()
        .join("docker/registry/v2/blobs/sha256")
        .join(format!("{}/{hex}/data", &hex[..2]));
    eventually("the freed layer", PATIENCE, || {
        (!path.exists()).then_some(())
    });
}

fn yaml(volume: &Path, section: &str) -> String {
    format!(
        "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
         delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:0'}}\n{section}\n",
        volume.display()
    )
}

fn tree_record(volume: &Path) -> Option<Vec<u8>> {
    fs::read(volume.join("docker/registry/v2/wharf/gc/record")).ok()
}

#[test]
fn manifests_without_a_tag_go_first() {
    let (setup, _) = collecting("untagged: 1h");
    let volume = TempDir::new().unwrap();
    let before = Registry::with().data(volume.path()).start();
    let repo = Repo::on(&before, "moved");
    let first = repo.tag("latest", "one");
    let second = repo.tag("latest", "two");
    let layer = content::sha256(b"one");
    assert!(blob(&before, &layer).exists());
    drop(before);
    age(volume.path(), Duration::from_secs(2 * 3600));
    let server = setup.data(volume.path()).start();
    let repo = Repo::on(&server, "moved");
    eventually("the freed layer", PATIENCE, || {
        (!blob(&server, &layer).exists()).then_some(())
    });
    repo.head(&format!("manifests/{first}")).expect(404);
    repo.get(&format!("manifests/{second}")).expect(200);
    assert!(
        server
            .log()
            .contains("manifests without a tag were removed")
    );
}

#[test]
fn a_manifest_that_cannot_be_read_is_named_and_nothing_removed() {
    let (setup, debug) = collecting("pace: 100");
    let volume = TempDir::new().unwrap();
    let before = Registry::with().data(volume.path()).start();
    let repo = Repo::on(&before, "torn");
    let torn = repo.tag("v1", "its manifest is damaged");
    let (layer, _) = deleted(&repo, "waits until somebody has looked");
    flip(&blob(&before, &torn));
    drop(before);
    let server = setup.data(volume.path()).start();
    let failed = r#"wharf_gc_runs_total{outcome="failed"}"#;
    eventually("a collection that fails", PATIENCE, || {
        metric(&debug, failed).filter(|runs| *runs >= 1.0)
    });
    let log = server.log();
    let line = log
        .lines()
        .find(|line| line.contains("nothing was removed"));
    let line = line.unwrap_or_else(|| panic!("no line in {log}"));
    assert!(line.contains(&torn) && line.contains("in torn"), "{line}");
    assert!(blob(&server, &layer).exists());
    // It is tried again, and goes on once that is mended.
    let repo = Repo::on(&server, "torn");
    repo.delete(&format!("manifests/{torn}")).expect(202);
    eventually("the freed layer", PATIENCE, || {
        (!blob(&server, &layer).exists()).then_some(())
    });
}

#[test]
fn a_read_only_registry_says_that_it_collects_nothing() {
    let volume = TempDir::new().unwrap();
    let before = Registry::with().data(volume.path()).start();
    let (layer, _) = deleted(&Repo::on(&before, "kept"), "nobody may remove this");
    drop(before);
    let (setup, _) = collecting("pace: 100");
    let server = setup
        .data(volume.path())
        .env("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
        .start();
    eventually("the line", PATIENCE, || {
        let line = "no garbage is collected";
        server.log().contains(line).then_some(())
    });
    assert!(blob(&server, &layer).exists());
    assert_eq!(record(&server), None);
}

#[test]
fn one_collection_at_a_time_and_an_end_in_order() {
    let volume = TempDir::new().unwrap();
    let before = Registry::with().data(volume.path()).start();
    let repo = Repo::on(&before, "slow");
    let digest = repo.tag("v1", "in very many repositories");
    multiply(&before, &repo, &digest, 200);
    let (layer, _) = deleted(&repo, "freed in the end");
    drop(before);
    // It works for a hundredth of the time.
    let (setup, _) = collecting("pace: 1");
    let mut server = setup.data(volume.path()).start();
    let runs = tree(&server).join("wharf/gc/runs");
    let marks = || fs::read_dir(&runs).map_or(0, Iterator::count);
    eventually("a collection", PATIENCE, || (marks() > 0).then_some(()));
    let busy = gc(&server, &["--grace", "0s"]);
    ended_with(&busy, BUSY);
    assert!(busy.stderr.contains("another collection"), "{busy}");
    assert_eq!(record(&server).unwrap()["running"], true);

    assert!(server.stop().success());
    let log = server.log();
    assert!(
        log.contains("the collection of garbage was stopped"),
        "{log}"
    );
    assert!(log.contains("tasks_left=0"), "{log}");
    assert_eq!(marks(), 0, "no push has to look at what it left");
    assert_eq!(record(&server).unwrap()["running"], false);
    assert!(blob(&server, &layer).exists());

    let done = gc(&server, &["--grace", "0s"]);
    ended_with(&done, 0);
    assert!(!blob(&server, &layer).exists());
    // What was collected by hand isn't collected again before its time.
    assert!(record(&server).unwrap()["completed"].as_u64().unwrap() > 1_700_000_000);
}

#[test]
fn what_a_killed_server_left_is_taken_away() {
    let volume = TempDir::new().unwrap();
    let before = Registry::with().data(volume.path()).start();
    let repo = Repo::on(&before, "killed");
    let digest = repo.tag("v1", "in very many repositories");
    multiply(&before, &repo, &digest, 200);
    let (layer, _) = deleted(&repo, "freed after the restart");
    drop(before);
    let (setup, _) = collecting("pace: 1");
    let mut server = setup.data(volume.path()).start();
    let runs = tree(&server).join("wharf/gc/runs");
    let marks = || fs::read_dir(&runs).map_or(0, Iterator::count);
    eventually("a collection", PATIENCE, || (marks() > 0).then_some(()));
    server.kill();
    assert_eq!(marks(), 1);
    // On a volume the lock tells at once that nobody is at it any more.
    let (setup, _) = collecting("pace: 100");
    let server = setup.data(volume.path()).start();
    eventually("the freed layer", PATIENCE, || {
        (!blob(&server, &layer).exists()).then_some(())
    });
    eventually("no marks", PATIENCE, || (marks() == 0).then_some(()));
}
