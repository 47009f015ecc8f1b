//! Prepares the root directory, or says why it can't be used and what helps.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::disk::Disk as _;
use super::fault::{during, unwritten};
use super::posix::{Posix, SyncMode};
use crate::oci::UploadId;
use crate::storage::StorageError;

/// Makes the directory durably if it is missing and checks that it can be
/// written; returns its absolute path.
pub(super) fn prepare(root: &Path) -> Result<PathBuf, StorageError> {
    let root = std::path::absolute(root)
        .map_err(|error| StorageError::Unavailable(during("find", root, &error)))?;
    make(&root).map_err(|error| refused(&root, &error))?;
    match try_to_write(&root).map_err(|error| refused(&root, &error)) {
        // What is there can still be pulled, and deleted.
        Err(StorageError::Full(_)) | Ok(()) => Ok(root),
        Err(error) => Err(error),
    }
}

/// The directory as it is: for a registry that never writes, whose volume may
/// be mounted read-only.
pub(super) fn existing(root: &Path) -> Result<PathBuf, StorageError> {
    let cannot = |error| StorageError::Unavailable(during("read", root, &error));
    let root = std::path::absolute(root).map_err(cannot)?;
    fs::read_dir(&root).map_err(cannot)?;
    Ok(root)
}

fn make(root: &Path) -> io::Result<()> {
    let disk = Posix::new(root, SyncMode::Full);
    let missing: Vec<_> = root.ancestors().take_while(|path| !path.exists()).collect();
    for dir in missing.iter().rev() {
        match disk.mkdir(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    for parent in missing.iter().filter_map(|dir| dir.parent()) {
        disk.sync_dir(parent)?;
    }
    if fs::metadata(root)?.is_dir() {
        Ok(())
    } else {
        Err(ErrorKind::NotADirectory.into())
    }
}

/// Permissions alone don't tell: the volume may be read-only, or belong to
/// another user's namespace.
fn try_to_write(root: &Path) -> io::Result<()> {
    fs::read_dir(root)?;
    let probe = root.join(format!(".wharf-probe-{}.tmp", UploadId::random()));
    File::create_new(&probe)?;
    fs::remove_file(&probe)
}

fn refused(root: &Path, error: &io::Error) -> StorageError {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => permissions(root),
        ErrorKind::ReadOnlyFilesystem => {
            ": mount the volume without `:ro` or `readOnly: true`".to_owned()
        }
        ErrorKind::NotADirectory => {
            ": a file is in its place, move it away or name another directory".to_owned()
        }
        _ => String::new(),
    };
    let text = format!("cannot write {}: {error}{advice}", root.display());
    unwritten(io::Error::new(error.kind(), text))
}

/// Who may write, who we are, and how to make the two one.
fn permissions(root: &Path) -> String {
    let existing = root
        .ancestors()
        .find_map(|path| Some((path, fs::metadata(path).ok()?)));
    let Some((path, meta)) = existing else {
        return String::new();
    };
    let (owner, group) = (meta.uid(), meta.gid());
    let user = rustix::process::geteuid().as_raw();
    let users = rustix::process::getegid().as_raw();
    let path = path.display();
    format!(
        ": {path} belongs to {owner}:{group} (mode {:o}) and this process is {user}:{users}; \
         run `chown -R {user}:{users} {path}` on the host, \
         or start with `docker run --user {owner}:{group}`, \
         or in Kubernetes set `fsGroup: {users}`",
        meta.mode() & 0o7777
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        assert_eq!(prepare(&root).unwrap(), root);
        assert_eq!(prepare(&root).unwrap(), root, "again");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "leaves nothing");
    }

    #[test]
    fn says_that_a_file_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("file");
        fs::write(&root, b"").unwrap();
        for root in [root.clone(), root.join("below")] {
            let text = prepare(&root).unwrap_err().to_string();
            assert!(text.contains("a file is in its place"), "{text}");
        }
    }

    #[test]
    fn says_who_owns_it_and_what_to_type() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let error = refused(&root, &denied);
        assert!(matches!(error, StorageError::Refused(_)));
        let text = error.to_string();
        let user = rustix::process::geteuid().as_raw();
        for part in [
            format!("cannot write {}", root.display()),
            format!("{} belongs to {user}:", dir.path().display()),
            format!("this process is {user}:"),
            "chown -R".to_owned(),
            "docker run --user".to_owned(),
            "fsGroup".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} in {text}");
        }
    }
}
