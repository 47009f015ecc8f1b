//! The house is guarded by a test, not by memory: modules import only what
//! stands below them, and what belongs to one room stays there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// From the top of the staircase to its foot: a room may name those behind it.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &[
            "app", "config", "server", "http", "observe", "registry", "auth", "access", "storage",
            "oci",
        ],
    ),
    (
        "app",
        &[
            "config", "server", "http", "observe", "registry", "auth", "access", "storage", "oci",
        ],
    ),
    (
        "config",
        &[
            "server", "http", "observe", "registry", "auth", "access", "storage", "oci",
        ],
    ),
    ("server", &["http", "oci"]),
    (
        "http",
        &["observe", "registry", "auth", "access", "storage", "oci"],
    ),
    ("observe", &["storage", "oci"]),
    ("registry", &["storage", "oci"]),
    ("access", &["auth", "oci"]),
    ("auth", &["storage", "oci"]),
    ("storage", &["oci"]),
    ("oci", &[]),
];

/// Words that must not occur outside these rooms.
const RESERVED: &[(&[&str], &[&str])] = &[
    (
        &["axum", "StatusCode", "HeaderMap"],
        &["server", "http", "observe", "app"],
    ),
    (&["docker/registry/v2"], &["storage"]),
    (&["prometheus_client"], &["observe"]),
];

#[test]
fn modules_import_only_what_stands_below_them() {
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let room = room_of(&path);
        let Some((_, below)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            assert_eq!(room, "lib", "{} stands in no room", path.display());
            continue;
        };
        for named in named_rooms(&code) {
            if named != room && !below.contains(&named.as_str()) {
                wrong.push(format!("{} names crate::{named}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_belongs_to_one_room_stays_there() {
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let room = room_of(&path);
        for (words, rooms) in RESERVED {
            for word in *words {
                if code.contains(word) && !rooms.contains(&room.as_str()) {
                    wrong.push(format!("{} says `{word}`", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| !fs::read_to_string(path).unwrap().starts_with("//! "))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "no `//!` header: {silent:?}");
}

/// Every source file with its code: comments and test modules left out.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.len() > 30, "only {} files found", found.len());
    found
}

fn collect(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !is_test(&path) {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let code = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            found.push((path, code.collect::<Vec<_>>().join("\n")));
        }
    }
}

fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    // `registry::crashes` is compiled for tests only.
    let folders = ["tests", "crashes"];
    stem == "tests"
        || stem.ends_with("_tests")
        || path
            .iter()
            .any(|part| folders.iter().any(|folder| part == *folder))
}

fn room_of(path: &Path) -> String {
    let inside = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = inside.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules behind `crate::`, also in braces.
fn named_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let group = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap(),
            None => rest
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .next()
                .unwrap(),
        };
        for item in group.split(',') {
            let name: String = item
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !name.is_empty() {
                rooms.push(name);
            }
        }
    }
    rooms
}
