//! Faults from outside, against the real binary: power cuts, `kill -9`, full
//! disks, volumes that turn read-only, too few open files, clocks that jump,
//! system calls that fail, a process that stands still. After each one the
//! server is held to a [`ledger`] of what it had acknowledged ([`oracle`]), and
//! its volume is walked ([`volume`]).
//!
//! The figures are in docs/reliability.md. `WHARF_LONG=1` takes the time for
//! more of everything; `WHARF_SEED` repeats a run's random numbers.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../it/content.rs"]
#[allow(dead_code)]
mod content;
#[path = "../s3/random.rs"]
mod random;
#[path = "../it/repo.rs"]
#[allow(dead_code)]
mod repo;
#[path = "../it/wire.rs"]
#[allow(dead_code)]
mod wire;

mod client;
mod disk;
mod goods;
mod ledger;
mod load;
mod oracle;
mod view;
mod volume;

mod clock;
mod descriptors;
mod full;
mod kills;
mod paused;
mod power;
mod readonly;
mod syscalls;
