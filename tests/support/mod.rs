//! What several test binaries share: the real server in one line
//! ([`Registry`]), on a volume or on a bucket of an [`S3Engine`], which a
//! [`Proxy`] may stand before, with replicas behind a [`Balancer`]; other
//! programs run with a time limit ([`run`]), the question whether they are there
//! at all ([`Needs`]), and waiting for a condition instead of for luck
//! ([`eventually`]).
//!
//! Use it with `#[path = "../support/mod.rs"] mod support;`. Everything here
//! panics when it fails: it runs in tests only.

// Each test binary uses its own part of this.
#![allow(dead_code, unused_imports)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod balancer;
mod certificates;
mod engine;
mod manner;
mod needs;
mod proxy;
mod registry;
mod run;

use std::io::Write as _;
use std::time::{Duration, Instant};

pub use balancer::Balancer;
pub use certificates::{Authority, SERVER_NAMES};
pub use engine::{ACCESS_KEY, Bucket, S3Engine, SECRET_KEY};
pub use manner::{Manner, is_long};
pub use needs::{Needs, find};
pub use proxy::{Fault, Proxy, Seen};
pub use registry::{Program, Registry, Setup};
pub use run::{Finished, Run, run};

/// Waits until `condition` gives a value, asking every 20 ms.
///
/// # Panics
/// When `limit` is over; the message names `what` was awaited.
pub fn eventually<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            begun.elapsed() < limit,
            "{what}: not within {} s",
            limit.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Prints one line past the test runner's capture, so that timings and skipped
/// clients are seen in a run where everything passes.
pub fn say(line: &str) {
    let mut line = line.to_owned();
    line.push('\n');
    // One write, so that lines of parallel tests don't mix.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Runs `step` and says how long it took.
pub fn timed<T>(what: &str, step: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let value = step();
    say(&format!("{what}: {:.1} s", begun.elapsed().as_secs_f64()));
    value
}

/// A port of 127.0.0.1 that was free a moment ago, for programs that can't be
/// told to choose one themselves.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|socket| socket.local_addr())
        .expect("a free port on loopback")
        .port()
}
