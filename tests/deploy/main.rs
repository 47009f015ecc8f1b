//! The deployments in deploy/, each really run: compose files, the Swarm stack
//! on several engines, the counter; Kubernetes' manifests as far as they can be
//! without a cluster.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

mod compose;
mod counter;
mod images;
mod kubernetes;
mod load;
mod nodes;
mod site;
mod swarm;
