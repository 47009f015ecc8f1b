//! `wharf check` on volumes that somebody has made to break it: it ends, in
//! bounded memory, and says what is wrong.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::check::{FOUND_PROBLEMS, blob, checked, clean, kinds, of_repository, tree};
use crate::content;
use crate::process::{ended_with, wharf};
use crate::repo::Repo;
use crate::support::Registry;

#[test]
fn files_of_every_other_kind_neither_stop_nor_hang_it() {
    let server = Registry::start();
    let repo = Repo::on(&server, "hostile");
    let image = repo.tag("v1", "a layer that becomes a pipe");
    let layer = content::sha256(b"a layer that becomes a pipe");
    let bytes = blob(&server, &layer);
    fs::remove_file(&bytes).unwrap();
    pipe(&bytes);
    // A pipe as a link, a directory as a link, a link that leads to itself.
    let links = |kind: &str, digest: &str| {
        let path = format!("{kind}/{}/link", digest.replace(':', "/"));
        of_repository(&server, &repo, &path)
    };
    let revision = links("_manifests/revisions", &image);
    fs::remove_file(&revision).unwrap();
    pipe(&revision);
    let current = of_repository(&server, &repo, "_manifests/tags/v1/current/link");
    fs::remove_file(&current).unwrap();
    fs::create_dir(&current).unwrap();
    let other = links("_layers", content::ABSENT);
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    symlink("link", &other).unwrap();
    // Directories in circles, each in two ways.
    let repositories = tree(&server).join("repositories");
    for (dir, others) in [("a", ["b", "c"]), ("b", ["a", "c"]), ("c", ["a", "b"])] {
        fs::create_dir(repositories.join(dir)).unwrap();
        for (at, other) in others.iter().enumerate() {
            symlink(
                format!("../{other}"),
                repositories.join(dir).join(format!("x{at}")),
            )
            .unwrap();
        }
        symlink(".", repositories.join(dir).join("self")).unwrap();
        symlink("/", repositories.join(dir).join("root")).unwrap();
    }
    let strange = OsStr::from_bytes(b"\xff\xfe");
    fs::create_dir(repositories.join(strange)).unwrap();
    fs::write(tree(&server).join("blobs/sha256").join(strange), "x").unwrap();
    fs::create_dir_all(tree(&server).join("blobs/sha256/zz/..x/data")).unwrap();
    fs::create_dir_all(repositories.join("d/".repeat(200))).unwrap();

    let (code, json) = checked(&server, &[]);
    assert!(code == 0 || code == FOUND_PROBLEMS, "{json:#}");
    assert!(kinds(&json["notes"]).contains("strange-file"), "{json:#}");
    let (code, again) = checked(&server, &["--repair"]);
    assert!(code == 0 || code == FOUND_PROBLEMS, "{again:#}");
}

#[test]
fn many_entries_are_walked_in_bounded_memory() {
    const ENTRIES: u32 = 100_000;
    let server = Registry::start();
    let repo = Repo::on(&server, "many");
    repo.tag("v1", "one");
    let layers = of_repository(&server, &repo, "_layers/sha256");
    for entry in 0..ENTRIES {
        fs::write(layers.join(format!("{entry:064x}")), "").unwrap();
    }
    let finished = wharf(server.dir(), ["check", "config.yml", "--json"])
        .limit(Duration::from_secs(60))
        .env("WHARF_TEST_PEAK", "1")
        .output();
    ended_with(&finished, 0);
    for entry in 0..ENTRIES {
        fs::remove_file(layers.join(format!("{entry:064x}"))).unwrap();
    }
    clean(&server);
}

fn pipe(path: &std::path::Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
}
