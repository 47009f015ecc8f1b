//! What is empty goes, what isn't stays, and nothing that was written durably
//! is lost because of it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::storage::Created;
use crate::storage::files::durable::{ABANDONED, temporary};
use crate::storage::files::patient::Patient;
use crate::storage::files::posix::Posix;
use crate::storage::files::simulated::{Machine, Random};

#[test]
fn empty_directories_go_and_the_rest_stays() {
    let guard = tempfile::tempdir().unwrap();
    let root = guard.path();
    let durable = Durable::new(Arc::new(Posix::uncached()), root.to_owned());
    let make = |dir: &str| fs::create_dir_all(root.join(dir)).unwrap();
    for dir in ["f/a/b/c", "f/a/b/d/e", "f/a/kept", "f/full/x", "f/lone/x/y"] {
        make(dir);
    }
    fs::write(root.join("f/a/kept/link"), b"").unwrap();
    let (old, young) = (
        temporary(&root.join("f/a/b/c/link")),
        temporary(&root.join("f/full/x/link")),
    );
    for path in [&old, &young] {
        fs::write(path, b"half").unwrap();
    }
    let then = SystemTime::now() - ABANDONED - Duration::from_secs(60);
    let file = File::options().write(true).open(&old).unwrap();
    file.set_modified(then).unwrap();
    std::os::unix::fs::symlink("kept", root.join("f/a/to-kept")).unwrap();

    let tidied = |dir: &str| tidy(&durable, &root.join(dir), &root.join("f")).unwrap();
    tidied("f/a");
    let left = ["f/a/kept/link", "f/a/to-kept", "f/full/x", "f/lone/x/y"];
    assert!(left.iter().all(|path| root.join(path).exists()));
    assert!(!root.join("f/a/b").exists());
    // From it upwards, but not further than to what stays.
    tidied("f/full/x");
    assert!(young.exists());
    tidied("f/lone/x/y");
    assert!(!root.join("f/lone").exists());
    tidied("f/none/below");
    fs::remove_dir_all(root.join("f/a")).unwrap();
    fs::remove_dir_all(root.join("f/full")).unwrap();
    make("f/last");
    tidied("f/last");
    tidied("f");
    assert!(root.join("f").exists());
}

#[test]
fn writers_of_several_processes_never_notice() {
    const WRITERS: usize = 3;
    let guard = tempfile::tempdir().unwrap();
    let root = guard.path();
    let process = || Durable::new(Arc::new(Patient(Posix::uncached())), root.to_owned());
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                scope.spawn(move || {
                    let durable = process();
                    let link = root.join(format!("f/a/{}/link-{number}", number % 2));
                    for _ in 0..150 {
                        durable.put(&link, b"x").unwrap();
                        assert!(link.exists());
                        durable.delete(&link).unwrap();
                    }
                })
            })
            .collect();
        let durable = process();
        while writers.iter().any(|writer| !writer.is_finished()) {
            tidy(&durable, &root.join("f/a"), &root.join("f")).unwrap();
            // More often than anybody does, but not all the time.
            std::thread::sleep(Duration::from_micros(100));
        }
    });
    let durable = process();
    tidy(&durable, &root.join("f/a"), &root.join("f")).unwrap();
    assert!(!root.join("f/a").exists());
}

/// What another process does between two system calls of ours.
#[derive(Debug, Clone, Copy)]
enum Visit {
    /// It removes what is empty.
    Tidy,
    /// It makes the directory anew and gets no further.
    Make,
}

const DIR: &str = "/f/a/b";

fn visit(machine: &Machine, what: Visit) {
    match what {
        Visit::Tidy => {
            let durable = Durable::new(Arc::new(machine.clone()), "/".into());
            tidy(&durable, Path::new(DIR), Path::new("/f")).unwrap();
        }
        Visit::Make => {
            for dir in ["/f", "/f/a", DIR] {
                // It may be there.
                let _ = machine.mkdir(Path::new(dir));
            }
        }
    }
}

type Write = fn(&Durable, &Path);

/// Writes with another process's visits before its calls `first` and `second`,
/// and cuts the power after it. Whether there were as many calls.
fn write_visited(write: Write, warm: bool, visits: [(u64, Visit); 2], random: &mut Random) -> bool {
    let machine = Machine::new();
    let durable = Durable::new(Arc::new(Patient(machine.clone())), "/".into());
    let link = PathBuf::from(DIR).join("link");
    durable.put(Path::new("/upload"), b"x").unwrap();
    if warm {
        // The directories are known to be durable, and empty.
        durable.put(&link, b"old").unwrap();
        durable.delete(&link).unwrap();
    }
    for (n, what) in visits {
        let other = machine.another();
        machine.visit(n, move || visit(&other, what));
    }
    write(&durable, &link);
    let visited = machine.visits_left() == 0;
    let fork = machine.fork();
    for _ in 0..12 {
        let mut kept = None;
        fork.crashed(random).files(|path, content| {
            if path == "/f/a/b/link" {
                kept = Some(content.to_vec());
            }
        });
        assert_eq!(kept.as_deref(), Some(&b"x"[..]), "{visits:?}, warm: {warm}");
    }
    visited
}

#[test]
fn what_was_written_survives_power_cuts_whoever_removed_its_directory() {
    let writes: [(Write, u64); 3] = [
        (|durable, link| durable.put(link, b"x").unwrap(), 6),
        (
            |durable, link| assert_eq!(durable.create(link, b"x").unwrap(), Created::New),
            7,
        ),
        (
            |durable, link| durable.adopt(Path::new("/upload"), link).unwrap(),
            2,
        ),
    ];
    let mut random = Random::new(11);
    let kinds = [Visit::Tidy, Visit::Make];
    for (write, least) in writes {
        for warm in [true, false] {
            let mut calls = 0;
            for first in 1.. {
                let mut reached = false;
                for second in first..first + 8 {
                    for (one, two) in kinds.iter().flat_map(|one| kinds.map(|two| (*one, two))) {
                        let visits = [(first, one), (second, two)];
                        reached |= write_visited(write, warm, visits, &mut random);
                    }
                }
                if !reached {
                    break;
                }
                calls = first;
            }
            assert!(calls >= least, "{calls}");
        }
    }
}
