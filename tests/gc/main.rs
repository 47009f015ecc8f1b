//! Garbage collection beside everything else that happens to a registry: hours
//! of it in a minute ([`soak`]), the ways in which other registries lost images
//! ([`losses`]), the model's counter-examples step by step ([`replays`]), and
//! the room that comes back ([`space`]).
//!
//! The collections here run in this process, over the volume or bucket of a
//! real server, as `wharf gc` does in another one.

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

mod gate;
mod site;

mod losses;
mod replays;
mod resume;
mod soak;
mod space;

// What the soak is made of.
mod client;
mod stock;
mod tally;
mod worker;
