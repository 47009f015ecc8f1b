//! The background scrub: it finds what is damaged, says so in the log and the
//! metrics, goes on after a restart, and repairs only where it was told to.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::check::{blob, flip, tree};
use crate::content;
use crate::repo::Repo;
use crate::support::{Registry, eventually, free_port};
use crate::wire::Request;

const PATIENCE: Duration = Duration::from_secs(60);

fn scrubbing(settings: &str, volume: Option<&Path>) -> (Registry, String) {
    let debug = format!("127.0.0.1:{}", free_port());
    let mut setup = Registry::with();
    if let Some(volume) = volume {
        setup = setup.data(volume);
    }
    let server = setup
        .section(&format!("scrub: {{enabled: true, {settings}}}"))
        .env(
            "REGISTRY_HTTP_DEBUG",
            &format!("{{addr: '{debug}', prometheus: {{enabled: true}}}}"),
        )
        .start();
    (server, debug)
}

fn metric(debug: &str, name: &str) -> Option<f64> {
    let text = Request::new(debug, "GET", "/metrics").send().expect(200);
    let text = String::from_utf8(text.body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

fn record(server: &Registry) -> Option<Value> {
    let text = fs::read(tree(server).join("wharf/scrub")).ok()?;
    serde_json::from_slice(&text).ok()
}

#[test]
fn damage_is_logged_counted_and_left_alone() {
    let (server, debug) = scrubbing("interval: 1s", None);
    let repo = Repo::on(&server, "scrubbed");
    repo.tag("v1", "this layer rots while nobody looks");
    let layer = content::sha256(b"this layer rots while nobody looks");
    flip(&blob(&server, &layer));
    let found = r#"wharf_scrub_findings_total{kind="damaged-blob"}"#;
    eventually("the finding", PATIENCE, || {
        metric(&debug, found).filter(|count| *count >= 1.0)
    });
    eventually("the end of a scrub", PATIENCE, || {
        let completed = metric(&debug, "wharf_scrub_last_completed_timestamp_seconds")?;
        (completed > 1.7e9).then_some(())
    });
    assert!(metric(&debug, "wharf_scrub_bytes_total").unwrap() > 300.0);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("damaged-blob"));
    let line = line.unwrap_or_else(|| panic!("no line in {log}"));
    assert!(line.contains(&layer), "{line}");
    assert!(log.contains("everything was checked"), "{log}");
    // It isn't served any more, so that the next push brings it again.
    repo.head(&format!("blobs/{layer}")).expect(404);
    assert!(blob(&server, &layer).exists());
    assert!(!tree(&server).join("wharf/quarantine").exists());
}

#[test]
fn damaged_bytes_are_set_aside_where_that_was_asked_for() {
    let (server, _) = scrubbing("interval: 1s, repair: true", None);
    let repo = Repo::on(&server, "mended");
    let layer = repo.push(b"this is set aside and pushed again");
    flip(&blob(&server, &layer));
    let path = format!("blobs/{layer}");
    eventually("the blob's absence", PATIENCE, || {
        (repo.head(&path).status == 404).then_some(())
    });
    repo.push(b"this is set aside and pushed again");
    repo.head(&path).expect(200);
}

#[test]
fn it_goes_on_after_a_restart() {
    let volume = tempfile::TempDir::new().unwrap();
    let before = Registry::with().data(volume.path()).start();
    let repo = Repo::on(&before, "long");
    for seed in 0..24 {
        repo.push(&content::noise(seed, 1 << 19));
    }
    drop(before);
    let (mut server, debug) = scrubbing("interval: 2s, rate: 1MiB", Some(volume.path()));
    eventually("a third of the scrub", PATIENCE, || {
        let read = metric(&debug, "wharf_scrub_bytes_total")?;
        (read > 4.0 * 1024.0 * 1024.0).then_some(())
    });
    server.stop();
    let left = record(&server).unwrap();
    assert!(left["reached"]["blob"].is_string(), "{left:#}");
    assert_eq!(left["completed"], json!(null));
    assert_eq!(left["holder"], "");
    let read = left["reached"]["counts"]["blobs"].as_u64().unwrap();
    assert!((8..24).contains(&read), "{left:#}");
    server.restart();
    eventually("the end of the scrub", PATIENCE, || {
        record(&server).filter(|record| !record["completed"].is_null())
    });
    let log = server.log();
    let mut line = log
        .lines()
        .filter(|line| line.contains("everything was checked"));
    let line = line.next().unwrap();
    assert!(line.contains("blobs=24"), "{line}");
    // What was read before wasn't read again.
    let again = metric(&debug, "wharf_scrub_bytes_total").unwrap();
    assert!(again < 9.0 * 1024.0 * 1024.0, "{again} bytes");
}
