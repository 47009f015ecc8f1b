//! Answers reads from the kernel's caches on the calling thread, without ever
//! waiting for a disk: what isn't cached is said so, and a worker does it.
//!
//! Linux: `openat2` with `RESOLVE_CACHED` (5.12) and `preadv2` with
//! `RWF_NOWAIT`. Where they are missing or forbidden everything counts as not
//! cached.

use std::fs::File;
use std::io::IoSliceMut;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::disk::OpenFile;

/// The largest content that is copied on an async thread, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// What the caches know.
pub(super) enum Cached<T> {
    /// It is there.
    Hit(T),
    /// Nothing is there.
    Absent,
    /// Only the disk knows.
    Unknown,
}

/// Whether names may be looked up here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lookup {
    local: bool,
}

impl Lookup {
    /// Finds out on which file system `root` lies. Only local ones open a file
    /// without asking anybody; a network or a FUSE server may take its time.
    pub(super) fn new(root: &Path) -> Self {
        const LOCAL: [u32; 9] = [
            0x0000_ef53, // ext2, ext3, ext4
            0x5846_5342, // xfs
            0x9123_683e, // btrfs
            0x2fc1_2fc1, // zfs
            0xf2f5_2010, // f2fs
            0xca45_1a4e, // bcachefs
            0x0102_1994, // tmpfs
            0x8584_58f6, // ramfs
            0x794c_7630, // overlayfs
        ];
        let local = rustix::fs::statfs(root).is_ok_and(|about| {
            u32::try_from(about.f_type).is_ok_and(|magic| LOCAL.contains(&magic))
        });
        Self { local }
    }

    /// Takes nothing for cached.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        Self { local: false }
    }

    /// Whether only this machine uses the file system.
    pub(super) fn is_local(self) -> bool {
        self.local
    }

    /// Opens what lies at `path` for reading, not following a final symlink.
    pub(super) fn open(self, path: &Path) -> Cached<File> {
        self.lookup(path, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    /// Opens what lies at `path` for asking about it only.
    pub(super) fn stat(self, path: &Path) -> Cached<File> {
        self.lookup(path, OFlags::PATH)
    }

    fn lookup(self, path: &Path, flags: OFlags) -> Cached<File> {
        if !self.local {
            return Cached::Unknown;
        }
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED) {
            Ok(file) => Cached::Hit(File::from(file)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Cached::Absent,
            Err(_) => Cached::Unknown,
        }
    }
}

/// The first bytes of `buffer.len()` from `offset` on, as many as are cached;
/// `None` if none are. Zero bytes is the end of the file.
pub(super) fn read_some(file: &File, offset: u64, buffer: &mut [u8]) -> Option<usize> {
    let mut buffers = [IoSliceMut::new(buffer)];
    rustix::io::preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT).ok()
}

/// The whole content of a file of `size` bytes, if it is cached.
pub(super) fn read_whole(file: &dyn OpenFile, size: u64) -> Option<Bytes> {
    if size > LARGEST {
        return None;
    }
    let mut content = vec![0; usize::try_from(size).ok()?];
    let mut offset = 0;
    while let Some(rest) = content.get_mut(offset..).filter(|rest| !rest.is_empty()) {
        match file.read_cached(rest, u64::try_from(offset).ok()?)? {
            0 => return None,
            count => offset += count,
        }
    }
    Some(content.into())
}
