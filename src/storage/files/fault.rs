//! Turns errors of the operating system into [`StorageError`]s that say what
//! was being done, and to which path.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::storage::StorageError;

/// Adds to an error what was being done; the kind stays.
pub(super) fn during(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot {doing} {}: {error}", path.display()),
    )
}

/// Sorts the error of a write by what helps against it.
pub(super) fn unwritten(error: io::Error) -> StorageError {
    match error.kind() {
        // TooManyLinks: a directory holds as many others as the file system can count.
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::TooManyLinks => {
            StorageError::Full(error)
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => StorageError::Refused(error),
        _ => StorageError::Unavailable(error),
    }
}

/// A read failed: nobody refused to be written.
pub(super) fn unread(path: &Path, error: &io::Error) -> StorageError {
    StorageError::Unavailable(during("read", path, error))
}

/// Whether the error says that nothing is there: neither the name nor, when a
/// file stands where a directory should, anything below it.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn sorts_errors_by_what_helps() {
        let sorted = |errno: Errno| {
            unwritten(during(
                "write",
                Path::new("/data/x"),
                &io::Error::from(errno),
            ))
        };
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::MLINK] {
            assert!(matches!(sorted(errno), StorageError::Full(_)), "{errno}");
        }
        for errno in [Errno::ROFS, Errno::ACCESS, Errno::PERM] {
            assert!(matches!(sorted(errno), StorageError::Refused(_)), "{errno}");
        }
        for errno in [Errno::IO, Errno::MFILE, Errno::STALE] {
            assert!(
                matches!(sorted(errno), StorageError::Unavailable(_)),
                "{errno}"
            );
        }
        assert_eq!(
            sorted(Errno::NOSPC).to_string(),
            "the storage is full: cannot write /data/x: No space left on device (os error 28)"
        );
    }
}
