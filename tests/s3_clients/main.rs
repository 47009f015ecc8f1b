//! Real clients against three replicas on one bucket, behind a balancer that
//! sends each request to the next of them: the matrix of clients, interchange
//! of a bucket with registry:2, and the conformance suites. Pulls are redirected
//! to the store, which is the default there; [`again`] runs what matters without
//! redirects, and on one replica.
//!
//! The modules are those of `tests/clients`; only where their servers keep
//! content is another (`support::Manner`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../clients/conformance.rs"]
mod conformance;
#[path = "../clients/content.rs"]
mod content;
#[path = "../clients/engine.rs"]
#[allow(dead_code)]
mod engine;
#[path = "../clients/interchange.rs"]
mod interchange;
#[path = "../clients/matrix/mod.rs"]
mod matrix;

mod again;
