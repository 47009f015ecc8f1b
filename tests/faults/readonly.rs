//! A volume that turns read-only under the server, and back; one that is
//! read-only when it starts.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::client::{Client, Reply, Way};
use crate::disk::{self, Mounted};
use crate::goods;
use crate::ledger::{Key, Ledger};
use crate::oracle::{self, Promises};
use crate::random::Random;
use crate::support::{Registry, eventually, run, say};

/// How long `/readyz` may take to notice.
const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn a_volume_that_turns_read_only_is_served_and_written_again_afterwards() {
    if !disk::needs_memory("a read-only remount").met() {
        return;
    }
    let dir = TempDir::with_prefix("wharf-readonly-").unwrap();
    let disk = Mounted::in_memory(&dir.path().join("disk"), "size=64m");
    let root = disk.path().join("registry");
    let registry = Registry::with().data(&root).start();
    let ledger = Ledger::new();
    let client = Client::new(&registry.url(), &ledger);
    let mut random = Random::of(Random::seed(), 4);
    for number in 0..3 {
        let pushed = push(&client, &mut random, &format!("t{number}"));
        assert_eq!(pushed.status, 201, "{pushed:?}");
    }
    const ROUNDS: usize = 3;
    for _ in 0..ROUNDS {
        disk.remount("ro");
        let refused = push(&client, &mut random, "new");
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.code().as_deref(), Some("UNAVAILABLE"));
        let tag = Key::Tag("ro".to_owned(), "t0".to_owned());
        let refused = client.delete(&tag).expect("an answer");
        assert_eq!(refused.status, 503, "a delete: {refused:?}");
        let pulled = client.pull(&tag).expect("an answer");
        assert_eq!(pulled.status, 200, "{pulled:?}");
        ready(&client, 503);

        disk.remount("rw");
        ready(&client, 200);
        let pushed = push(&client, &mut random, "new");
        assert_eq!(pushed.status, 201, "writable again: {pushed:?}");
    }
    let mut found = oracle::check(&client, &ledger.view(), Promises::Wharf);
    found.add(oracle::check_stored(&registry));
    say(&format!(
        "read-only remount: {ROUNDS} times there and back, {} acknowledged, {} lost, {} \
         invariants broken; {} names asked for",
        ledger.acknowledged(),
        found.lost.len(),
        found.broken.len(),
        found.names
    ));
    found.assert_clean("read-only remount");
}

#[test]
fn a_volume_that_is_read_only_from_the_start_is_said_or_only_read() {
    if !disk::needs_memory("a read-only volume").met() {
        return;
    }
    let dir = TempDir::with_prefix("wharf-readonly-").unwrap();
    let disk = Mounted::in_memory(&dir.path().join("disk"), "size=64m");
    let root = disk.path().join("registry");
    let ledger = Ledger::new();
    let mut random = Random::of(Random::seed(), 5);
    let mut registry = Registry::with().data(&root).start();
    let client = Client::new(&registry.url(), &ledger);
    let pushed = push(&client, &mut random, "kept");
    assert_eq!(pushed.status, 201, "{pushed:?}");
    registry.stop();
    disk.remount("ro");

    let config = dir.path().join("config.yml");
    fs::write(&config, yaml(&root)).unwrap();
    let ended = run(oracle::binary())
        .arg("serve")
        .arg(&config)
        .limit(PATIENCE)
        .output();
    assert!(ended.status.is_some_and(|status| !status.success()));
    let ended = ended.says(&root.display().to_string());
    assert!(ended.text().to_lowercase().contains("read-only"), "{ended}");

    let registry = Registry::with()
        .data(&root)
        .env("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
        .start();
    let client = Client::new(&registry.url(), &ledger);
    let tag = Key::Tag("ro".to_owned(), "kept".to_owned());
    let pulled = client.pull(&tag).expect("an answer");
    assert_eq!(pulled.status, 200, "{pulled:?}");
    ready(&client, 200);
    let refused = push(&client, &mut random, "new");
    assert_eq!(refused.status, 405, "{refused:?}");
    drop(registry);
    disk.remount("rw");
}

fn yaml(root: &Path) -> String {
    let root = root.display();
    format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {root}\nhttp:\n  addr: 127.0.0.1:0\n"
    )
}

#[track_caller]
fn ready(client: &Client, status: u16) {
    eventually(&format!("/readyz with {status}"), PATIENCE, || {
        let ready = client.get("/readyz").expect("an answer");
        (ready.status == status).then_some(())
    });
}

fn push(client: &Client, random: &mut Random, tag: &str) -> Reply {
    let layers = vec![goods::random_blob(random, 50_000)];
    let image = goods::image(random, layers, None, true);
    let reply = client.push("ro", Some(tag), &image, &mut || Way::Monolithic);
    reply.expect("an answer")
}
