//! Stops writing to a volume whose directories fail to be synced.
//!
//! After a failed sync of a directory nobody knows which of its names are on
//! the medium. The write that needed it is answered with an error; but if that
//! happens again and again, more writes only add to what is not known.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;

/// The failures that are one too many.
const MOST: u32 = 3;

/// Whether this process still writes. Only a restart opens it again.
#[derive(Default)]
pub(super) struct Latch {
    failures: AtomicU32,
    why: OnceLock<String>,
}

impl Latch {
    /// Refuses once too many syncs failed.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.why.get() {
            None => Ok(()),
            Some(why) => Err(io::Error::new(ErrorKind::ReadOnlyFilesystem, why.clone())),
        }
    }

    /// Counts a failed sync of a directory.
    pub(super) fn count(&self, dir: &Path, error: &io::Error) {
        if !leaves_doubt(error) || self.failures.fetch_add(1, Ordering::Relaxed) + 1 < MOST {
            return;
        }
        let why = format!(
            "{MOST} syncs of directories failed, the last of {}: {error}. What of them is on the \
             disk is not known, so nothing is written any more; pulls go on. Look at the kernel's \
             log and check the disk, then restart",
            dir.display()
        );
        if self.why.set(why.clone()).is_ok() {
            tracing::error!("the storage is read-only from now on: {why}");
        }
    }
}

/// Not those that come before anything was asked of the medium, or say that it
/// has no room: they pass, and the next sync can be believed.
fn leaves_doubt(error: &io::Error) -> bool {
    const NO_DOUBT: [Errno; 11] = [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::ACCESS,
        Errno::PERM,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::ROFS,
        Errno::INTR,
    ];
    let errno = Errno::from_io_error(error);
    errno.is_none_or(|errno| !NO_DOUBT.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latch(errnos: &[Errno]) -> io::Result<()> {
        let latch = Latch::default();
        for errno in errnos {
            latch.count(Path::new("/data"), &(*errno).into());
        }
        latch.check()
    }

    #[test]
    fn closes_after_three_failures_for_good() {
        latch(&[Errno::IO, Errno::IO]).unwrap();
        let error = latch(&[Errno::IO; 3]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        let text = error.to_string();
        for part in ["3 syncs", "/data", "Input/output error", "then restart"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_passes_closes_nothing() {
        latch(&[Errno::NOSPC, Errno::MFILE, Errno::ROFS, Errno::DQUOT]).unwrap();
        latch(&[Errno::NOSPC, Errno::IO, Errno::IO, Errno::NOSPC]).unwrap();
    }
}
