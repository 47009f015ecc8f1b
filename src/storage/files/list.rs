//! Lists directories: the smallest names after a cursor, in byte order, with
//! memory for those alone however many there are.

use std::collections::BinaryHeap;
use std::io;
use std::path::Path;

use super::disk::{Disk, Listed, Next};
use super::durable::TEMPORARY;
use super::fault::{is_absent, unread};
use crate::storage::{Child, StorageError};

/// At most `limit` names in `dir`, the smallest of those greater than `after`.
/// Nothing is listed where there is no directory.
pub(super) fn children(
    disk: &dyn Disk,
    dir: &Path,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Child>, StorageError> {
    smallest(disk, dir, after, limit).map_err(|error| unread(dir, &error))
}

fn smallest(
    disk: &dyn Disk,
    dir: &Path,
    after: Option<&str>,
    limit: usize,
) -> io::Result<Vec<Child>> {
    let mut smallest: BinaryHeap<Child> = BinaryHeap::new();
    let mut visit = |entry: Listed<'_>| {
        // A name that isn't UTF-8 was made by nobody who speaks this layout.
        let Ok(name) = entry.name.into_string() else {
            return;
        };
        let full = smallest.len() >= limit;
        if after.is_some_and(|after| name.as_str() <= after)
            || full && smallest.peek().is_none_or(|largest| largest.name <= name)
        {
            return;
        }
        let is_prefix = (entry.is_dir)();
        // A directory may be called so: `1.0.tmp` is a tag.
        if !is_prefix && name.ends_with(TEMPORARY) {
            return;
        }
        if full {
            smallest.pop();
        }
        smallest.push(Child { name, is_prefix });
    };
    let listed = disk.list(dir, &mut |entry| {
        visit(entry);
        Next::More
    });
    match listed {
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(()) => Ok(smallest.into_sorted_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::files::posix::Posix;
    use std::ffi::OsStr;
    use std::fs;
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
            let listed = children(&Posix::uncached(), dir.path(), after, limit).unwrap();
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
                children(&Posix::uncached(), &dir.path().join(absent), None, 9)
                    .unwrap()
                    .is_empty()
            );
        }
    }
}
