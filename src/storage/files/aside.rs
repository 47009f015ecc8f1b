//! Moves one version of a file to another name, and only that version.
//!
//! A rename takes whatever has the name, and somebody may give it to another
//! file at that moment. So what was moved is looked at again, and another
//! version gets its name back, unless a still newer one has it. Should the
//! process die in between, the other version is found where it was moved to.

use std::io;
use std::path::Path;

use super::durable::{Durable, temporary};
use super::fault::{unread, unwritten};
use super::read::open_now;
use crate::storage::{Aside, Meta, StorageError};

/// Moves the version that `expected` describes.
pub(super) fn set_aside(
    durable: &Durable,
    from: &Path,
    to: &Path,
    expected: &Meta,
) -> Result<Aside, StorageError> {
    let disk = durable.disk();
    let found = open_now(disk, from).map_err(|error| unread(from, &error))?;
    let Some((file, meta)) = found else {
        return Ok(Aside::Changed);
    };
    if meta != *expected {
        return Ok(Aside::Changed);
    }
    let ours = file.status().map_err(|error| unread(from, &error))?;
    match durable.adopt(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Aside::Changed),
        moved => moved.map_err(unwritten)?,
    }
    let moved = disk.stat(to).map_err(|error| unread(to, &error))?;
    if moved.identity == ours.identity {
        sync_names(durable, from)?;
        return Ok(Aside::Moved);
    }
    match disk.link(to, from) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(unwritten(error));
        }
        _ => sync_names(durable, from)?,
    }
    durable.delete(to).map_err(unwritten)?;
    Ok(Aside::Changed)
}

/// Waits until the names beside `path` are on the medium.
fn sync_names(durable: &Durable, path: &Path) -> Result<(), StorageError> {
    // Nobody has this name; that it is absent is made durable.
    durable.delete(&temporary(path)).map_err(unwritten)
}
