//! Has something for this process alone: a lock (flock) on a file that is never
//! removed. The kernel takes it back when the process ends, whatever way.

use std::path::Path;

use super::disk::Making;
use super::durable::Durable;
use super::fault::{during, is_absent, unwritten};
use crate::storage::{Hold, StorageError};

/// Tries to lock the file at `path`, which is made if it is missing. Other
/// machines may not see a lock, nor we theirs: where those may write too, nobody
/// can tell who lives.
pub(super) fn hold(durable: &Durable, path: &Path) -> Result<Hold, StorageError> {
    let disk = durable.disk();
    if disk.is_shared() {
        return Ok(Hold::Unknown);
    }
    // One that another user made may be readable only, which is enough.
    let open = || match disk.open(path) {
        Err(error) if is_absent(&error) => disk.open_to_write(path, Making::IfAbsent),
        opened => opened,
    };
    let (file, _) = durable.place(path, open).map_err(unwritten)?;
    match file.lock() {
        Ok(true) => Ok(Hold::Held(Box::new(file))),
        Ok(false) => Ok(Hold::Taken),
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(Hold::Unknown),
        Err(error) => Err(StorageError::Unavailable(during("lock", path, &error))),
    }
}
