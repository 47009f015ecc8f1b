//! Real clients and engines against the real server: the training that this
//! project starts from, the matrix of clients, interchange of a volume with
//! registry:2, and the conformance suites.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

mod conformance;
mod content;
mod engine;
mod harness;
mod interchange;
mod matrix;
mod pulls;
mod training;
