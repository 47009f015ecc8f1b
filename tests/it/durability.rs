//! `storage.filesystem.sync`: a registry that doesn't wait for the disk says so.

use tempfile::TempDir;

use crate::support::Registry;

const CONFIGURATION: &str = "version: 0.1\nstorage: filesystem\nhttp: {addr: '127.0.0.1:0'}\n";

fn log_with(sync: &str) -> String {
    let volume = TempDir::new().unwrap();
    let root = volume.path().to_str().unwrap();
    let server = Registry::with()
        .config(CONFIGURATION)
        .env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", root)
        .env("REGISTRY_STORAGE_FILESYSTEM_SYNC", sync)
        .start();
    server.log()
}

#[test]
fn a_registry_that_syncs_nothing_says_what_that_means() {
    let log = log_with("none");
    let warning = log
        .lines()
        .find(|line| line.contains("storage.filesystem.sync is `none`"));
    let warning = warning.unwrap_or_else(|| panic!("no warning in:\n{log}"));
    assert!(warning.contains("a power cut loses"), "{warning}");
    assert!(warning.contains("write `full`"), "{warning}");
    assert!(!log_with("full").contains("storage.filesystem.sync"));
}
