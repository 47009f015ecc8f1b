//! The registry on an object store: a real engine (SeaweedFS), one replica or
//! several, the API's own tests over again, and what only a store on the
//! network brings: its faults, its costs, redirects, replicas that die.
//!
//! The modules from `tests/it` look at answers only, so they are the same
//! here; they run on one replica, and [`replicas`] runs them on three. The
//! others of `tests/it` stay there:
//!
//! | modules | why |
//! |---|---|
//! | `base`, `http2`, `http2_bounds`, `slow_clients`, `tls`, `tls_bounds` | the wire between client and registry, which no store changes |
//! | `configuration`, `doctor`, `first_start`, `health`, `log_lines`, `logins`, `probes`, `reloads`, `secrets`, `signals`, `stores`, `users_command`, `users_files` | the process, its files, its users |
//! | `fallback` | it takes something from a volume by hand; [`takeover`] has the same for a bucket |
//! | `checklist` | it counts tests |
//!
//! `bad_inputs` and `restarts` are not repeated on three replicas: a balancer
//! answers some bad input itself, and the restarts are [`hops`].

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

// What the API's tests are written with.
#[path = "../it/bad_entries.rs"]
#[allow(dead_code)]
mod bad_entries;
#[path = "../it/content.rs"]
#[allow(dead_code)]
mod content;
#[path = "../it/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "../it/repo.rs"]
mod repo;
#[path = "../it/wire.rs"]
#[allow(dead_code)]
mod wire;

// The API's tests.
#[path = "../it/bad_inputs.rs"]
mod bad_inputs;
#[path = "../it/blobs.rs"]
mod blobs;
#[path = "../it/catalog.rs"]
mod catalog;
#[path = "../it/chunks.rs"]
mod chunks;
#[path = "../it/concurrency.rs"]
mod concurrency;
#[path = "../it/conditions.rs"]
mod conditions;
#[path = "../it/deletes.rs"]
mod deletes;
#[path = "../it/errors.rs"]
mod errors;
#[path = "../it/immutable.rs"]
mod immutable;
#[path = "../it/limits.rs"]
mod limits;
#[path = "../it/manifest_pulls.rs"]
mod manifest_pulls;
#[path = "../it/manifest_pushes.rs"]
mod manifest_pushes;
#[path = "../it/media_types.rs"]
mod media_types;
#[path = "../it/modes.rs"]
mod modes;
#[path = "../it/mounts.rs"]
mod mounts;
#[path = "../it/names.rs"]
mod names;
#[path = "../it/ranges.rs"]
mod ranges;
#[path = "../it/referrer_pages.rs"]
mod referrer_pages;
#[path = "../it/referrers.rs"]
mod referrers;
#[path = "../it/restarts.rs"]
mod restarts;
#[path = "../it/sessions.rs"]
mod sessions;
#[path = "../it/single_uploads.rs"]
mod single_uploads;
#[path = "../it/tag_lists.rs"]
mod tag_lists;

// What only a store on the network brings.
mod bounds;
mod check;
mod costs;
mod faults;
mod gc;
mod harness;
mod hops;
mod quotas;
mod redirects;
mod replicas;
mod retention;
mod start;
mod store_id;
mod takeover;
mod writers;

// What those are written with.
mod careful;
mod random;
