//! A file that is followed, on disk: its bytes, and whether it is still the one
//! that was read.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The largest file, in bytes: some 150,000 users.
const MAX_SIZE: u64 = 16 * 1024 * 1024;

/// How old a change must be until two in the same tick of the clock are told
/// apart, on the coarsest of file systems.
const TICK: Duration = Duration::from_secs(2);

/// Which version of a file was seen: changes whenever the content does, except
/// for changes within one tick of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Looks at a file without reading it.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::from(&metadata))
    }

    /// Whether the file was changed so shortly before `now` that a later
    /// change may leave the same stamp.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        let Ok(seconds) = u64::try_from(self.changed.0) else {
            return false;
        };
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        now.duration_since(changed).is_ok_and(|age| age <= TICK)
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads such a file, of 16 MiB at most. The stamp is from before reading: a change meanwhile
/// shows in the next one.
pub fn read(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let file = File::open(path)?;
    let stamp = Stamp::from(&file.metadata()?);
    let mut content = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_SIZE {
        return Err(io::Error::other("larger than 16 MiB"));
    }
    Ok((stamp, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_replaced_and_grown_files_apart() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("users");
        fs::write(&path, "a").unwrap();
        let first = Stamp::of(&path).unwrap();
        assert_eq!(Stamp::of(&path).unwrap(), first);
        assert_eq!(read(&path).unwrap(), (first, b"a".to_vec()));
        fs::write(&path, "ab").unwrap();
        let second = Stamp::of(&path).unwrap();
        assert_ne!(second, first);
        fs::write(root.path().join("new"), "ab").unwrap();
        fs::rename(root.path().join("new"), &path).unwrap();
        assert_ne!(Stamp::of(&path).unwrap(), second);
    }

    #[test]
    fn a_stamp_is_fresh_for_a_tick() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("users");
        fs::write(&path, "a").unwrap();
        let stamp = Stamp::of(&path).unwrap();
        let now = SystemTime::now();
        assert!(stamp.is_fresh(now));
        assert!(!stamp.is_fresh(now + Duration::from_secs(4)));
        assert!(!stamp.is_fresh(now - Duration::from_secs(60)));
    }

    #[test]
    fn only_files_of_a_sane_size_are_read() {
        let root = tempfile::tempdir().unwrap();
        assert!(read(root.path()).is_err());
        let path = root.path().join("users");
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        File::create(&path).unwrap().set_len(MAX_SIZE + 1).unwrap();
        assert!(read(&path).is_err());
    }
}
