//! `wharf doctor --storage` on files: what it finds, what it says and how it
//! ends. Buckets are looked at by `tests/s3`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{CONFIGURATION, ended_with, wharf};
use crate::support::Finished;

const FOUND_PROBLEMS: i32 = 3;

fn doctor(dir: &Path, storage: &str, flags: &[&str]) -> Finished {
    let config = format!("version: 0.1\nstorage: {{{storage}}}\n");
    fs::write(dir.join("config.yml"), config).unwrap();
    let args = ["doctor", "config.yml"].iter().chain(flags);
    wharf(dir, args.copied()).output()
}

#[test]
fn a_directory_that_works_is_well_and_left_as_it_was() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    let found = doctor(
        dir.path(),
        "filesystem: {rootdirectory: data}",
        &["--storage"],
    );
    ended_with(&found, 0);
    let said = found.to_string();
    for line in [
        "storage: directory data",
        "ok       open the directory",
        "ok       write a record, sync it, read it back and remove it",
        "ok       have room",
        "all is well",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    let left = files(&dir.path().join("data"));
    assert_eq!(left, [""; 0]);
}

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for (root, failing, advice) in [
        ("file", "failed   open the directory", "move it away"),
        (
            "missing",
            "lacking  open the directory",
            "`wharf serve` makes it",
        ),
    ] {
        let storage = format!("filesystem: {{rootdirectory: {root}}}");
        let found = doctor(dir.path(), &storage, &[]);
        ended_with(&found, FOUND_PROBLEMS);
        let said = found.to_string();
        assert!(said.contains(failing) && said.contains(advice), "{said}");
        assert!(said.contains("1 problem"), "{said}");
    }
    assert!(!dir.path().join("missing").exists(), "it only looks");
}

#[test]
fn programs_get_json() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    let storage = "filesystem: {rootdirectory: data}, maintenance: {readonly: {enabled: true}}";
    let found = doctor(dir.path(), storage, &["--storage", "--json"]);
    ended_with(&found, 0);
    let told: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(told["problems"], 0);
    assert_eq!(told["storage"]["store"], "directory data");
    let checks = told["storage"]["checks"].as_array().unwrap();
    assert!(checks.len() >= 3, "{told}");
    assert!(checks.iter().all(|check| check["outcome"] == "passed"));
}

#[test]
fn without_a_configuration_it_looks_at_the_data_directory() {
    let dir = TempDir::new().unwrap();
    let look = || wharf(dir.path(), ["doctor", "--storage"]).output();
    ended_with(&look(), FOUND_PROBLEMS);
    fs::create_dir(dir.path().join("wharf-data")).unwrap();
    ended_with(&look(), 0);
}

#[test]
fn a_configuration_that_cannot_be_used_is_78() {
    let dir = TempDir::new().unwrap();
    let found = doctor(dir.path(), "s3: {region: r}", &["--storage"]);
    ended_with(&found, CONFIGURATION);
    let said = found.to_string();
    assert!(said.contains("storage.s3: needs `bucket`"), "{said}");
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}
