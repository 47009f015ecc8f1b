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
mod wait;

use std::time::Instant;

pub use balancer::Balancer;
pub use certificates::{Authority, SERVER_NAMES};
pub use engine::{ACCESS_KEY, Bucket, S3Engine, SECRET_KEY};
pub use manner::{Manner, is_long};
pub use needs::{Needs, find};
pub use proxy::{Fault, Proxy, Seen};
pub use registry::{Program, Registry, Setup};
pub use run::{Finished, Run, run};
pub use wait::{eventually, say};

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
