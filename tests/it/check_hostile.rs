//! `wharf check` on volumes that somebody has made to break it: it ends, in
//! bounded memory, and says what is wrong.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::check::{FOUND_PROBLEMS, blob, checked, kinds, of_repository, tree};
use crate::content;
use crate::process::binary;
use crate::repo::Repo;
use crate::support::{Registry, eventually};

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
    let mut child = Command::new(binary())
        .args(["check", "config.yml", "--json"])
        .current_dir(server.dir())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = eventually("the check's end", Duration::from_secs(120), || {
        peak = peak.max(peak_memory(child.id()));
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
    assert!(peak > 0 && peak < 200 * 1024, "{peak} KiB");
}

/// The most memory that a process has had, in KiB; 0 once it has ended.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse().ok()).unwrap_or(0)
}

fn pipe(path: &std::path::Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
}
