//! Lists directories: the smallest names after a cursor, in byte order, with
//! memory for those alone however many there are.

use std::collections::BinaryHeap;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::durable::TEMPORARY;
use super::fault::{is_absent, unread};
use crate::storage::{Child, StorageError};

/// At most `limit` names in `dir`, the smallest of those greater than `after`.
/// Nothing is listed where there is no directory.
pub(super) fn children(
    dir: &Path,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Child>, StorageError> {
    smallest(dir, after, limit).map_err(|error| unread(dir, &error))
}

fn smallest(dir: &Path, after: Option<&str>, limit: usize) -> io::Result<Vec<Child>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut smallest: BinaryHeap<Child> = BinaryHeap::new();
    for entry in entries {
        let entry = entry?;
        // A name that isn't UTF-8 was made by nobody who speaks this layout.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let full = smallest.len() >= limit;
        if after.is_some_and(|after| name.as_str() <= after)
            || full && smallest.peek().is_none_or(|largest| largest.name <= name)
        {
            continue;
        }
        let is_prefix = is_dir(dir, &entry);
        // A directory may be called so: `1.0.tmp` is a tag.
        if !is_prefix && name.ends_with(TEMPORARY) {
            continue;
        }
        if full {
            smallest.pop();
        }
        smallest.push(Child { name, is_prefix });
    }
    Ok(smallest.into_sorted_vec())
}

/// Without asking the file system where the directory says it itself; a link
/// counts as what it leads to, unless that is a directory that we came through:
/// whoever walks the tree would never end.
fn is_dir(dir: &Path, entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|target| {
            let is_target = |above: &Path| {
                fs::metadata(above)
                    .is_ok_and(|above| (above.dev(), above.ino()) == (target.dev(), target.ino()))
            };
            target.is_dir() && !dir.ancestors().any(is_target)
        }),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn lists_the_smallest_names_in_byte_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "Z", "a.b", "a-b", "10", "9", "_x"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        fs::create_dir(dir.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("dir", dir.path().join("to-dir")).unwrap();
        fs::create_dir(dir.path().join("1.0.tmp")).unwrap();
        fs::write(dir.path().join("link.x.tmp"), b"").unwrap();
        fs::write(dir.path().join(OsStr::from_bytes(b"\xff")), b"").unwrap();

        let names = |after, limit| {
            let listed = children(dir.path(), after, limit).unwrap();
            listed
                .into_iter()
                .map(|child| child.name + if child.is_prefix { "/" } else { "" })
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            names(None, 100),
            "1.0.tmp/ 10 9 Z _x a a-b a.b b dir/ to-dir/"
        );
        assert_eq!(names(None, 3), "1.0.tmp/ 10 9");
        assert_eq!(names(Some("Z"), 3), "_x a a-b");
        assert_eq!(names(Some("a"), 1), "a-b");
        assert_eq!(names(Some("to-dir"), 5), "");
        assert_eq!(names(None, 0), "");
    }

    #[test]
    fn no_directory_has_no_names() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        for absent in ["none", "none/below", "file", "file/below"] {
            assert!(
                children(&dir.path().join(absent), None, 9)
                    .unwrap()
                    .is_empty()
            );
        }
    }
}
