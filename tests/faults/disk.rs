//! File systems of the tests' own: in image files on loop devices, or in
//! memory. Whatever is mounted is unmounted when the test lets go of it, also
//! when it panics.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Needs, eventually, run};

/// A file system on an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    /// As mount calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
        }
    }

    fn make(self, image: &Path) {
        let (size, make, options): (u64, _, &[&str]) = match self {
            Kind::Ext4 => (256 << 20, "mkfs.ext4", &["-q", "-F"]),
            // The smallest that it takes is 300 MiB.
            Kind::Xfs => (320 << 20, "mkfs.xfs", &["-q", "-f"]),
            Kind::Btrfs => (256 << 20, "mkfs.btrfs", &["-q", "-f"]),
        };
        sparse(image, size);
        run(make).args(options).arg(image).ok();
    }

    /// Mounts an image of this kind.
    pub fn mount(self, image: &Path, at: &Path) -> Mounted {
        // A copy has the name of its original, which xfs would refuse.
        let options = match self {
            Kind::Xfs => "loop,nouuid",
            Kind::Ext4 | Kind::Btrfs => "loop",
        };
        Mounted::new(self.name(), image, at, options)
    }
}

/// What mounting needs.
pub fn needs(who: &'static str) -> Needs {
    Needs::of(who)
        .root()
        .program("mount", "apt-get install util-linux")
        .program("mkfs.ext4", "apt-get install e2fsprogs")
        .program("mkfs.xfs", "apt-get install xfsprogs")
        .program("mkfs.btrfs", "apt-get install btrfs-progs")
        .condition(can_loop(), "this machine has no loop devices")
}

/// What a file system in memory needs.
pub fn needs_memory(who: &'static str) -> Needs {
    Needs::of(who)
        .root()
        .program("mount", "apt-get install util-linux")
}

fn can_loop() -> bool {
    Path::new("/dev/loop-control").exists()
}

/// A mounted file system.
pub struct Mounted {
    at: PathBuf,
}

impl Mounted {
    fn new(kind: &str, what: &Path, at: &Path, options: &str) -> Mounted {
        fs::create_dir_all(at).expect("the place to mount at");
        run("mount")
            .args(["-t", kind, "-o", options])
            .args([what, at])
            .ok();
        Mounted { at: at.to_owned() }
    }

    /// A file system in memory, with options of tmpfs.
    pub fn in_memory(at: &Path, options: &str) -> Mounted {
        Mounted::new("tmpfs", Path::new("tmpfs"), at, options)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Mounts it again with other options.
    pub fn remount(&self, options: &str) {
        run("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.at)
            .ok();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A process that was killed a moment ago may hold it for another.
        let unmount = || {
            let done = run("umount").arg(&self.at).output();
            done.success().then_some(())
        };
        if std::thread::panicking() {
            let lazily = || run("umount").arg("-l").arg(&self.at).output();
            if unmount().is_none() {
                lazily();
            }
            return;
        }
        let what = format!("unmounting {}", self.at.display());
        eventually(&what, Duration::from_secs(20), unmount);
    }
}

/// A place for images that can be copied in one moment: an xfs of its own,
/// whatever the machine's file systems are.
pub struct Bench {
    // Dropped in this order.
    host: Mounted,
    _dir: TempDir,
    _quick: QuickWriteback,
}

impl Bench {
    /// Makes one in memory if there is room, else where temporary files go.
    pub fn new() -> Bench {
        let shared = Path::new("/dev/shm");
        let place = if shared.is_dir() {
            shared.to_owned()
        } else {
            std::env::temp_dir()
        };
        let dir = TempDir::with_prefix_in("wharf-bench-", place).expect("a directory");
        let image = dir.path().join("host.img");
        sparse(&image, 2 << 30);
        run("mkfs.xfs")
            .args(["-q", "-f", "-m", "reflink=1"])
            .arg(&image)
            .ok();
        let host = Mounted::new("xfs", &image, &dir.path().join("host"), "loop,discard");
        Bench {
            host,
            _dir: dir,
            _quick: QuickWriteback::start(),
        }
    }

    /// A new, empty file system and its image.
    pub fn volume(&self, kind: Kind) -> (PathBuf, Mounted) {
        let image = self.host.path().join("live.img");
        let _ = fs::remove_file(&image);
        kind.make(&image);
        let mounted = kind.mount(&image, &self.host.path().join("live"));
        (image, mounted)
    }

    /// What the medium holds at one moment: written pages only. Takes
    /// milliseconds, in which nothing is written to the image.
    pub fn picture(&self, image: &Path) -> PathBuf {
        let copy = self.host.path().join("cut.img");
        run("cp")
            .args(["--reflink=always", "--remove-destination"])
            .args([image, &copy])
            .ok();
        copy
    }

    /// Mounts a picture, as a machine does that has power again.
    pub fn after_the_cut(&self, kind: Kind, copy: &Path) -> Mounted {
        kind.mount(copy, &self.host.path().join("cut"))
    }
}

fn sparse(path: &Path, size: u64) {
    let file = File::create(path).expect("an image");
    file.set_len(size).expect("its size");
}

/// The kernel writes back sooner while this lives, so that a picture holds more
/// orders of writes than what was synced.
struct QuickWriteback;

static HELD: Mutex<(usize, Vec<(PathBuf, String)>)> = Mutex::new((0, Vec::new()));

const QUICK: [(&str, &str); 2] = [
    ("/proc/sys/vm/dirty_writeback_centisecs", "20"),
    ("/proc/sys/vm/dirty_expire_centisecs", "50"),
];

impl QuickWriteback {
    fn start() -> QuickWriteback {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 == 0 {
            for (path, quick) in QUICK {
                let before = fs::read_to_string(path).expect("a setting of the kernel");
                // Else another run has set it, and knows what it was.
                if before.trim() != quick {
                    fs::write(path, quick).expect("a setting of the kernel");
                    held.1.push((path.into(), before));
                }
            }
        }
        held.0 += 1;
        QuickWriteback
    }
}

impl Drop for QuickWriteback {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.0 -= 1;
        if held.0 == 0 {
            for (path, before) in held.1.drain(..) {
                let _ = fs::write(path, before);
            }
        }
    }
}
