//! The API on a real port, against the real binary: every line of the
//! specification's checklist (`checklist.md`), registry:2's own ways, bad input
//! (`bad-inputs.json`), and the life of the process: how it starts, what it
//! says, whom it lets in, how it rereads and how it ends.
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
mod process;
mod repo;
mod wire;

mod access;
mod audit;
mod bad_entries;
mod bad_inputs;
mod bad_inputs_compared;
mod base;
mod bit_rot;
mod blobs;
mod catalog;
mod changes;
mod check;
mod check_beside;
mod check_from;
mod check_hostile;
mod checklist;
mod chunks;
mod concurrency;
mod conditions;
mod configuration;
mod deletes;
mod doctor;
mod durability;
mod errors;
mod fallback;
mod first_start;
mod free_space;
mod garbage_collect;
mod gc_command;
mod gc_schedule;
mod health;
mod http2;
mod http2_bounds;
mod http2_frames;
mod immutable;
mod limit_keys;
mod limits;
mod log_lines;
mod login_backoff;
mod login_failures;
mod logins;
mod manifest_pulls;
mod manifest_pushes;
mod media_types;
mod modes;
mod mounts;
mod names;
mod probes;
mod quotas;
mod ranges;
mod referrer_pages;
mod referrers;
mod reloads;
mod restarts;
mod retention;
mod retention_race;
mod rm_command;
mod robots;
mod scrub;
mod secrets;
mod sessions;
mod signals;
mod single_uploads;
mod slow_clients;
mod stores;
mod tag_lists;
mod tls;
mod tls_bounds;
mod tokens;
mod trusted_proxies;
mod usage;
mod users_command;
mod users_files;
