//! What the fuzzers have found, on a stable toolchain: every file of
//! `fuzz/corpus/` and `fuzz/regressions/` goes through its target, which panics
//! when a promise is broken. fuzz/README.md says how new ones come about.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[test]
fn names() {
    replay("names", targets::names::run);
}

#[test]
fn ranges() {
    replay("ranges", targets::ranges::run);
}

#[test]
fn authorization() {
    replay("authorization", targets::authorization::run);
}

#[test]
fn htpasswd() {
    replay("htpasswd", targets::htpasswd::run);
}

#[test]
fn configuration() {
    replay("configuration", targets::configuration::run);
}

#[test]
fn manifests() {
    replay("manifests", targets::manifests::run);
}

#[test]
fn volume() {
    replay("volume", targets::volume::run);
}

#[test]
fn router() {
    replay("router", targets::router::run);
}

/// Whoever adds a target adds its test.
#[test]
fn every_target_is_replayed() {
    let mut targets: Vec<String> = fs::read_dir(directory("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    targets.sort();
    let here = include_str!("corpus.rs");
    for target in targets {
        let name = target.strip_suffix(".rs").unwrap();
        assert!(here.contains(&format!("replay(\"{name}\"")), "{name}");
    }
}

/// Runs every file of a target, and fails with the names of all that fail.
fn replay(target: &str, run: fn(&[u8])) {
    let files: Vec<PathBuf> = ["corpus", "regressions"]
        .into_iter()
        .filter_map(|kind| fs::read_dir(directory(kind).join(target)).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!files.is_empty(), "no corpus of {target}");
    let failed: Vec<&PathBuf> = files
        .iter()
        .filter(|file| {
            let data = fs::read(file).unwrap();
            catch_unwind(AssertUnwindSafe(|| run(&data))).is_err()
        })
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(name)
}
