//! `storage`: which driver, and files.

use std::path::PathBuf;

use super::super::section::Section;
use super::super::values::{boolean, number, text, word};
use super::objects;
use crate::storage::{Settings, files};

const DEFAULT_ROOT: &str = "/var/lib/registry";
pub(in crate::config) const DEFAULT_THREADS: usize = 100;
/// registry:2 raises smaller values, too.
const MINIMUM_THREADS: usize = 25;

/// What stands beside the driver in `storage`.
const BESIDE: [&str; 5] = ["cache", "delete", "maintenance", "redirect", "tag"];

/// The one driver in `storage`.
pub(super) fn storage(storage: &Section<'_>) -> Settings {
    let redirect = storage.section("redirect").read("disable", boolean) != Some(true);
    let drivers: Vec<&str> = storage
        .names()
        .filter(|name| !BESIDE.contains(name))
        .collect();
    match drivers.as_slice() {
        [] => storage.problem("no driver; write `filesystem` with its `rootdirectory` below it"),
        [_] => {}
        several => storage.problem(format!(
            "several drivers ({}); leave one",
            several.join(", ")
        )),
    }
    let objects = match drivers.first() {
        Some(name @ (&"s3" | &"s3aws")) => objects::s3(&storage.section(name), redirect),
        Some(&"gcs") => objects::gcs(&storage.section("gcs"), redirect),
        Some(&"azure") => objects::azure(&storage.section("azure"), redirect),
        _ => return Settings::Files(files(&storage.section("filesystem"))),
    };
    Settings::Object(Box::new(objects))
}

fn files(filesystem: &Section<'_>) -> files::Settings {
    let max_threads = filesystem.read("maxthreads", number);
    if max_threads.is_some_and(|threads| threads < MINIMUM_THREADS) {
        filesystem.note_of(
            "maxthreads",
            format!("raised to {MINIMUM_THREADS}, the least"),
        );
    }
    let words = [
        ("full", files::SyncMode::Full),
        ("none", files::SyncMode::None),
    ];
    files::Settings {
        root: PathBuf::from(
            filesystem
                .read("rootdirectory", text)
                .unwrap_or_else(|| DEFAULT_ROOT.to_owned()),
        ),
        max_threads: max_threads.unwrap_or(DEFAULT_THREADS).max(MINIMUM_THREADS),
        sync: filesystem
            .read("sync", |text| word(&words, text))
            .unwrap_or_default(),
    }
}
