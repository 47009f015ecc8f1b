//! How a registry starts on a store that it can't use, and on one that lacks
//! something: one line that says what to correct, and an end that no supervisor
//! should answer with another try; `wharf doctor --storage` says the same by
//! hand.

use std::fs;
use std::net::TcpListener;

use tempfile::TempDir;

use crate::process::{CONFIGURATION, ended_with, wharf};
use crate::support::{Bucket, Finished, Proxy, Registry, S3Engine};

/// What `wharf doctor` ends with when something is missing that it can run
/// without.
const LACKING: i32 = 3;

#[test]
fn a_wrong_key_secret_or_bucket_is_one_line_and_code_78() {
    if !S3Engine::needs().met() {
        return;
    }
    let good = S3Engine::shared().bucket();
    let wrong = |change: fn(&mut Bucket)| {
        let mut bucket = good.clone();
        change(&mut bucket);
        bucket
    };
    let cases = [
        (
            wrong(|bucket| bucket.access_key = "AKNOBODY".to_owned()),
            "storage.s3.accesskey",
        ),
        (
            wrong(|bucket| bucket.secret_key = "not-the-secret".to_owned()),
            "storage.s3.secretkey",
        ),
        (
            wrong(|bucket| bucket.name = "no-such-bucket".to_owned()),
            "storage.s3.bucket",
        ),
    ];
    for (bucket, key) in cases {
        refused(&bucket, key);
    }
    assert_eq!(good.objects(), [], "a refused start writes nothing");
}

#[test]
fn an_endpoint_where_nobody_or_somebody_else_answers_is_one_line_and_code_78() {
    if !S3Engine::needs().met() {
        return;
    }
    let good = S3Engine::shared().bucket();
    let at = |endpoint: &str| {
        let mut bucket = good.clone();
        bucket.endpoint = endpoint.to_owned();
        bucket
    };
    // Nobody listens there.
    let free = TcpListener::bind(("127.0.0.2", 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    refused(&at(&format!("http://{address}")), "regionendpoint");
    // HTTPS where HTTP is spoken.
    let host = S3Engine::shared().host();
    refused(&at(&format!("https://{host}")), "storage.s3");
    refused(&at("http://no-such-host.invalid"), "regionendpoint");
    // A registry is no object store.
    let other = Registry::start();
    refused(&at(&other.url()), "storage.s3");
}

/// The start ends with this line's words, and so does the doctor.
fn refused(bucket: &Bucket, key: &str) {
    let dir = TempDir::new().unwrap();
    write_config(&dir, bucket);
    let served = wharf(dir.path(), ["serve", "config.yml"]).output();
    ended_with(&served, CONFIGURATION);
    let lines: Vec<&str> = served.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one line: {served}");
    assert!(lines[0].contains(key), "{key}: {served}");
    assert!(!served.text().contains("panicked"), "{served}");
    assert!(!served.text().contains(&bucket.secret_key), "{served}");
    let asked = doctor(&dir, &[]);
    assert!(!asked.success(), "{asked}");
    assert!(asked.text().contains(key), "{asked}");
    assert!(!asked.text().contains(&bucket.secret_key), "{asked}");
}

#[test]
fn the_doctor_finds_a_good_store_well_and_leaves_nothing() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let dir = TempDir::new().unwrap();
    write_config(&dir, &bucket);
    let asked = doctor(&dir, &[]);
    ended_with(&asked, 0);
    let json = doctor(&dir, &["--json"]);
    ended_with(&json, 0);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert!(report.to_string().contains("create"), "{report}");
    let left = bucket.objects();
    let others = left.iter().filter(|(key, _)| !key.contains("store"));
    assert_eq!(others.count(), 0, "{left:?}");
}

#[test]
fn a_store_that_ignores_create_if_absent_is_found_out_and_runs() {
    if !S3Engine::needs().met() {
        return;
    }
    // Signed requests can't be changed on their way, so this one takes others.
    let engine = S3Engine::without_keys();
    let proxy = Proxy::to(&engine.host());
    proxy.without_header("if-none-match");
    let bucket = engine.bucket().through(&proxy);

    let registry = Registry::with().s3(&bucket).start();
    let said = registry.log().lines().any(|line| {
        let line = line.to_lowercase();
        line.contains("if-none-match") && (line.contains("warn") || line.contains("error"))
    });
    assert!(said, "{}", registry.log());
    let repo = crate::repo::Repo::on(&registry, "runs");
    repo.tag("latest", "one");
    repo.get("manifests/latest").expect(200);

    let dir = TempDir::new().unwrap();
    write_config(&dir, &bucket);
    let asked = doctor(&dir, &[]);
    ended_with(&asked, LACKING);
    assert!(
        asked.text().to_lowercase().contains("if-none-match"),
        "{asked}"
    );
    let json = doctor(&dir, &["--json"]);
    ended_with(&json, LACKING);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let text = report.to_string().to_lowercase();
    assert!(text.contains("if-none-match"), "{report}");

    // The same store, unspoilt, is well.
    proxy.heal();
    ended_with(&doctor(&dir, &[]), 0);
}

fn doctor(dir: &TempDir, more: &[&str]) -> Finished {
    let words = ["doctor", "--storage"].iter().chain(more).copied();
    wharf(dir.path(), words.chain(["config.yml"])).output()
}

fn write_config(dir: &TempDir, bucket: &Bucket) {
    let yaml = format!(
        "version: 0.1\nstorage:\n{}http:\n  addr: \"127.0.0.1:0\"\n",
        bucket.yaml()
    );
    fs::write(dir.path().join("config.yml"), yaml).expect("config.yml written");
}
