//! The API on a real port, against the real binary: every line of the
//! specification's checklist (`checklist.md`), registry:2's own ways, and bad
//! input (`bad-inputs.json`).
//!
//! A test says above itself which lines it proves (`// spec: 40, 41`);
//! [`checklist`] fails when a line has no test.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

mod content;
mod repo;
mod wire;

mod bad_entries;
mod bad_inputs;
mod base;
mod blobs;
mod catalog;
mod checklist;
mod chunks;
mod concurrency;
mod conditions;
mod deletes;
mod errors;
mod fallback;
mod http2;
mod limits;
mod manifest_pulls;
mod manifest_pushes;
mod media_types;
mod modes;
mod mounts;
mod names;
mod ranges;
mod referrer_pages;
mod referrers;
mod restarts;
mod sessions;
mod single_uploads;
mod tag_lists;
