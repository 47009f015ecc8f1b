//! Collections of a bucket that two replicas serve: one at a time, by the
//! servers themselves and by hand.

use std::time::Duration;

use serde_json::{Value, json};

use crate::content::{self, IMAGE};
use crate::process::{ended_with, wharf};
use crate::repo::Repo;
use crate::support::{Bucket, Finished, Registry, S3Engine, eventually};

const PATIENCE: Duration = Duration::from_secs(90);

/// Another collection is running.
const BUSY: i32 = 75;

fn replica(bucket: &Bucket, settings: &str) -> Registry {
    Registry::with()
        .s3(bucket)
        .section(&format!("gc: {{grace: 0s, {settings}}}"))
        .start()
}

fn gc(server: &Registry, flags: &[&str]) -> Finished {
    let args = ["gc", "config.yml"].iter().chain(flags);
    wharf(server.dir(), args.copied()).limit(PATIENCE).output()
}

/// Whether the bytes of a digest are in the bucket.
fn holds(bucket: &Bucket, digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap();
    let objects = bucket.objects();
    objects
        .iter()
        .any(|(key, _)| key.contains(hex) && key.contains("/blobs/"))
}

/// Pushes an image and deletes it again; returns its layer.
fn deleted(repo: &Repo, seed: &str) -> String {
    let manifest = repo.image(seed);
    repo.put("gone", IMAGE, &manifest).expect(201);
    let digest = content::sha256(&manifest);
    repo.delete(&format!("manifests/{digest}")).expect(202);
    content::sha256(seed.as_bytes())
}

#[test]
fn replicas_collect_in_turn_what_either_deleted() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let start = || replica(&bucket, "enabled: true, interval: 1s, pace: 100");
    let servers = [start(), start()];
    let repo = Repo::on(&servers[0], "team/app");
    repo.tag("stays", "a layer that stays");
    for (n, server) in servers.iter().enumerate() {
        let layer = deleted(&Repo::on(server, "team/app"), &format!("deleted on {n}"));
        eventually("the freed layer", PATIENCE, || {
            (!holds(&bucket, &layer)).then_some(())
        });
    }
    let kept = content::sha256(b"a layer that stays");
    for server in &servers {
        let repo = Repo::on(server, "team/app");
        repo.get("manifests/stays").expect(200);
        repo.get(&format!("blobs/{kept}")).expect(200);
        assert!(!server.log().contains("ERROR"), "{}", server.log());
    }
}

#[test]
fn a_second_collection_waits_for_the_first() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let server = replica(&bucket, "enabled: false");
    for n in 0..40 {
        Repo::on(&server, &format!("many/r{n}")).tag("v1", "a layer that all have");
    }
    let layer = deleted(&Repo::on(&server, "many/r0"), "freed in the end");
    // It works for a hundredth of the time.
    let mut slow = replica(&bucket, "enabled: true, interval: 1s, pace: 1");
    eventually("its mark", PATIENCE, || {
        let objects = bucket.objects();
        let mark = objects
            .iter()
            .find(|(key, _)| key.contains("/gc/runs/mark-"));
        mark.map(drop)
    });
    let busy = gc(&server, &[]);
    ended_with(&busy, BUSY);
    assert!(busy.stderr.contains("another collection"), "{busy}");
    // Only to look is always allowed.
    let looked = gc(&server, &["--dry-run", "--json"]);
    ended_with(&looked, 0);
    let told: Value = serde_json::from_str(&looked.stdout).unwrap();
    assert_eq!(told["eligible"]["count"], 2, "{told:#}");
    assert_eq!(told["removed"], json!({"count": 0, "bytes": 0}));

    assert!(slow.stop().success());
    assert!(holds(&bucket, &layer));
    ended_with(&gc(&server, &[]), 0);
    assert!(!holds(&bucket, &layer));
}
