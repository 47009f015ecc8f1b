//! Looks through the whole tree for what the store's verbs don't show: files
//! that were being written when a process ended, and what nobody who speaks the
//! layout puts there. Links are not followed, and nothing is opened.

use std::fs::{self, DirEntry, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::durable::{ABANDONED, TEMPORARY};
use super::fault::{is_absent, unwritten};
use crate::oci::UploadId;
use crate::storage::StorageError;

/// What lies deeper is not looked at.
const DEPTH: usize = 160;

/// A tree below one root directory.
#[derive(Debug, Clone)]
pub struct Survey {
    root: PathBuf,
}

/// Something that no reader sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    /// Below the root directory; what isn't UTF-8 is replaced.
    pub path: String,
    /// Whether it is a temporary file of a write; else something strange.
    pub temporary: bool,
    /// What it is, in words.
    pub what: String,
}

impl Survey {
    /// The tree below `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Calls `each` with everything odd until that says `false`. Blocks. What
    /// can't be listed is odd too.
    pub fn walk(&self, each: &mut dyn FnMut(Oddity) -> bool) {
        let tree = self.root.join("docker/registry/v2");
        let mut dirs = vec![(tree, 0)];
        while let Some((dir, depth)) = dirs.pop() {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(error) => {
                    if !each(self.oddity(&dir, false, format!("cannot be listed: {error}"))) {
                        return;
                    }
                    continue;
                }
            };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                if kind.is_dir() && entry.file_name().to_str().is_some() && depth < DEPTH {
                    dirs.push((entry.path(), depth + 1));
                } else if let Some(oddity) = self.look(&entry, kind)
                    && !each(oddity)
                {
                    return;
                }
            }
        }
    }

    /// Removes a temporary file that is older than a day; whether it did.
    ///
    /// # Errors
    /// It may not be removed.
    pub fn remove_abandoned(&self, path: &str) -> Result<bool, StorageError> {
        let path = self.root.join(path);
        let abandoned = fs::symlink_metadata(&path).is_ok_and(|meta| {
            let age = meta.modified().ok().and_then(|then| then.elapsed().ok());
            meta.is_file() && age.is_some_and(|age| age > ABANDONED)
        });
        if !abandoned || !is_temporary(&path) {
            return Ok(false);
        }
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(unwritten(io::Error::new(
                error.kind(),
                format!("cannot remove {}: {error}", path.display()),
            ))),
        }
    }

    fn look(&self, entry: &DirEntry, kind: FileType) -> Option<Oddity> {
        let path = entry.path();
        let what = if path.file_name()?.to_str().is_none() {
            "its name is no UTF-8 text"
        } else if kind.is_symlink() {
            "a symbolic link"
        } else if kind.is_fifo() {
            "a named pipe"
        } else if kind.is_socket() {
            "a socket"
        } else if kind.is_dir() {
            "directories are nested too deeply"
        } else if !kind.is_file() {
            "a device"
        } else if is_temporary(&path) {
            let meta = entry.metadata().ok()?;
            let age = SystemTime::now().duration_since(meta.modified().ok()?);
            let hours = age.unwrap_or_default().as_secs() / 3600;
            let what = format!("{} bytes, written {hours} hours ago", meta.len());
            return Some(self.oddity(&path, true, what));
        } else if !self.is_known(&path) {
            "no file of a registry"
        } else {
            return None;
        };
        Some(self.oddity(&path, false, what.to_owned()))
    }

    /// Whether a registry has files of such a name at such a place.
    fn is_known(&self, path: &Path) -> bool {
        let below = path.strip_prefix(self.root.join("docker/registry/v2"));
        let Ok(Some(below)) = below.map(Path::to_str) else {
            return false;
        };
        let name = below.rsplit('/').next().unwrap_or(below);
        match below.split('/').next() {
            Some("blobs") => {
                let again = name.strip_prefix("data.");
                let is_bytes =
                    name == "data" || again.is_some_and(|id| id.parse::<UploadId>().is_ok());
                is_bytes && below.split('/').count() == 5
            }
            Some("repositories") => {
                name == "link" || below.contains("/_uploads/") || below.contains("/_deletes/")
            }
            Some("wharf") => true,
            _ => false,
        }
    }

    fn oddity(&self, path: &Path, temporary: bool, what: String) -> Oddity {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        Oddity {
            path: below.to_string_lossy().into_owned(),
            temporary,
            what,
        }
    }
}

fn is_temporary(path: &Path) -> bool {
    path.as_os_str()
        .as_encoded_bytes()
        .ends_with(TEMPORARY.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn tells_what_readers_dont_see() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("docker/registry/v2");
        let tag = tree.join("repositories/a/_manifests/tags/v1.tmp/current");
        fs::create_dir_all(&tag).unwrap();
        let blob = tree.join("blobs/sha256/ab/abcd");
        fs::create_dir_all(&blob).unwrap();
        for file in [
            tag.join("link"),
            tag.join("link.x.tmp"),
            blob.join("data"),
            blob.join(format!("data.{}", UploadId::random())),
            blob.join("data.other"),
        ] {
            fs::write(file, b"").unwrap();
        }
        fs::write(blob.join(OsStr::from_bytes(b"\xff")), b"").unwrap();
        std::os::unix::fs::symlink("..", tag.join("loop")).unwrap();
        let survey = Survey::new(dir.path());
        let mut found = Vec::new();
        survey.walk(&mut |oddity| {
            let name = oddity.path.rsplit('/').next().unwrap().to_owned();
            found.push((name, oddity.temporary));
            true
        });
        found.sort();
        let named = |name: &str, temporary| (name.to_owned(), temporary);
        assert_eq!(
            found,
            [
                named("data.other", false),
                named("link.x.tmp", true),
                named("loop", false),
                named("\u{fffd}", false),
            ]
        );
        let temporary =
            "docker/registry/v2/repositories/a/_manifests/tags/v1.tmp/current/link.x.tmp";
        assert!(!survey.remove_abandoned(temporary).unwrap(), "it is young");
        let old = SystemTime::now() - 2 * ABANDONED;
        let file = fs::File::open(dir.path().join(temporary)).unwrap();
        file.set_modified(old).unwrap();
        assert!(survey.remove_abandoned(temporary).unwrap());
        assert!(!survey.remove_abandoned(temporary).unwrap(), "it is gone");
    }
}
