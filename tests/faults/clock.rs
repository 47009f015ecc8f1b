//! A wall clock that jumps by ten years, forwards and back, in the middle of an
//! upload and across a restart (libfaketime; the steady clock stays). Nothing
//! acknowledged goes, and no upload that a client is at is purged.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{Client, Way};
use crate::goods::{self, Content};
use crate::ledger::{Key, Ledger};
use crate::oracle::{self, Findings, Promises};
use crate::random::Random;
use crate::support::{Needs, Registry, eventually, say};

/// Debian's libfaketime for programs with threads.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

const PATIENCE: Duration = Duration::from_secs(30);

const JUMPS: [&str; 6] = ["+3650d", "-3650d", "+0", "-3650d", "+3650d", "+0"];

#[test]
fn a_clock_that_jumps_by_ten_years() {
    let there = Path::new(LIBRARY).exists();
    let needs = Needs::of("clock jumps");
    if !needs
        .condition(there, "libfaketime is missing (apt-get install faketime)")
        .met()
    {
        return;
    }
    let dir = tempfile::TempDir::with_prefix("wharf-clock-").unwrap();
    let clock = Clock(dir.path().join("clock"));
    clock.set("+0");
    let mut registry = Registry::with()
        .env("LD_PRELOAD", LIBRARY)
        .env("FAKETIME_TIMESTAMP_FILE", clock.0.to_str().unwrap())
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .env(
            "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING",
            "{enabled: true, age: 1h, interval: 1s, dryrun: false}",
        )
        .start();
    let ledger = Ledger::new();
    let client = Client::new(&registry.url(), &ledger);
    let mut random = Random::of(Random::seed(), 10);
    let mut found = Findings::default();

    // One upload that goes on through every jump, and one image after each.
    let long = goods::blob(random.bytes(70_000), true);
    let mut upload = Upload::begin(&client, &long);
    for (number, jump) in JUMPS.iter().enumerate() {
        upload.go_on(&client);
        clock.set(jump);
        clock.is_seen(&registry, jump);
        purged(&registry);
        upload.go_on(&client);
        let image = goods::image(&mut random, vec![Arc::clone(&long)], None, true);
        let tag = format!("t{}", number % 2);
        let pushed = client.push("clock", Some(&tag), &image, &mut || Way::Chunked(3));
        assert!(
            pushed.as_ref().is_some_and(|reply| reply.status == 201),
            "{pushed:?}"
        );
        let key = Key::Manifest("clock".to_owned(), image.digest.clone());
        if number % 3 == 2 {
            let deleted = client.delete(&key).expect("an answer");
            assert_eq!(deleted.status, 202, "{deleted:?}");
        }
        found.add(oracle::check(&client, &ledger.view(), Promises::Wharf));
    }
    upload.end(&client);

    // Begun under a clock of the future, gone on with after a restart.
    clock.set("+3650d");
    let late = goods::blob(random.bytes(70_000), true);
    let mut upload = Upload::begin(&client, &late);
    upload.go_on(&client);
    clock.set("+0");
    registry.restart();
    let client = Client::new(&registry.url(), &ledger);
    purged(&registry);
    upload.go_on(&client);
    upload.end(&client);
    found.add(oracle::check(&client, &ledger.view(), Promises::Wharf));
    found.add(oracle::check_stored(&registry));
    say(&format!(
        "clock jumps: {} of ten years and a restart, 2 uploads through them, {} acknowledged, {} \
         lost, {} invariants broken; {} names asked for",
        JUMPS.len(),
        ledger.acknowledged(),
        found.lost.len(),
        found.broken.len(),
        found.names
    ));
    found.assert_clean("clock jumps");
}

struct Clock(std::path::PathBuf);

impl Clock {
    fn set(&self, offset: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, format!("{offset}\n")).expect("the offset");
        fs::rename(&next, &self.0).expect("the offset");
    }

    /// Waits until the server's own log says so: else nothing was tried.
    /// (`Date` won't do: hyper keeps the old one when a clock goes back.)
    fn is_seen(&self, registry: &Registry, offset: &str) {
        let days: i64 = offset.trim_end_matches('d').parse().expect("days");
        let then = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let year = then.strftime("%Y-").to_string();
        eventually("the server's clock", PATIENCE, || {
            registry.request("GET", "/v2/").send().ok()?;
            let log = registry.log();
            log.lines().last()?.starts_with(&year).then_some(())
        });
    }
}

/// Waits for a whole run of the purging of uploads.
fn purged(registry: &Registry) {
    let runs = || registry.log().matches("abandoned uploads").count();
    let before = runs();
    eventually("a run of purging", PATIENCE, || {
        (runs() >= before + 2).then_some(())
    });
}

/// An upload in small steps.
struct Upload {
    content: Arc<Content>,
    location: String,
    sent: usize,
}

impl Upload {
    fn begin(client: &Client, content: &Arc<Content>) -> Upload {
        client.ledger().knows(content);
        let begun = client.ask("POST", "/v2/clock/blobs/uploads/", &[], "");
        let begun = begun.expect("an answer");
        assert_eq!(begun.status, 202, "{begun:?}");
        Upload {
            content: Arc::clone(content),
            location: begun.location.expect("a location"),
            sent: 0,
        }
    }

    fn go_on(&mut self, client: &Client) {
        let next = &self.content.bytes[self.sent..][..4000];
        let reply = client.ask("PATCH", &self.location, &[], next.to_vec());
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 202, "byte {}: {reply:?}", self.sent);
        self.sent += next.len();
        self.location = reply.location.expect("a location");
    }

    fn end(self, client: &Client) {
        let closed = client.close("clock", &self.content, &self.location, self.sent);
        let closed = closed.expect("an answer");
        assert_eq!(closed.status, 201, "{closed:?}");
    }
}
