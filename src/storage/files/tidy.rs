//! Removes directories in which nothing lies any more.
//!
//! A directory goes only while it is empty, which the file system itself sees
//! to, so nothing that is there is ever lost. Whoever writes to it at that
//! moment finds it missing and makes it anew ([`Durable::place`]); and since
//! that is another directory, its name is synced again however durable that of
//! the old one was ([`super::known`]). Nothing here waits for the medium: after a
//! power cut empty directories may be back.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use super::disk::{Disk, Next};
use super::durable::{Durable, TEMPORARY, remove_abandoned};
use super::fault::{during, is_absent};

/// Removes empty directories below `dir`, then `dir` and those above it as long
/// as they are empty, but not `floor` or what is above that. Abandoned temporary
/// files count as nothing.
pub(super) fn tidy(durable: &Durable, dir: &Path, floor: &Path) -> io::Result<()> {
    durable.check_writable()?;
    let disk = durable.disk();
    let above_floor = |dir: &&Path| *dir != floor && dir.starts_with(floor);
    if clear(disk, dir, SystemTime::now())? {
        for dir in dir.ancestors().take_while(above_floor) {
            if !remove(disk, dir)? {
                break;
            }
        }
    }
    Ok(())
}

/// Removes what counts as nothing in a directory; whether that was all.
fn clear(disk: &dyn Disk, dir: &Path, now: SystemTime) -> io::Result<bool> {
    let (mut dirs, mut leftovers) = (Vec::new(), Vec::new());
    let mut empty = true;
    let listed = disk.list(dir, &mut |entry| {
        if (entry.is_dir)() {
            dirs.push(entry.name);
        } else if entry
            .name
            .as_encoded_bytes()
            .ends_with(TEMPORARY.as_bytes())
        {
            leftovers.push(entry.name);
        } else {
            empty = false;
        }
        Next::More
    });
    match listed {
        Err(error) if is_absent(&error) => return Ok(true),
        listed => listed.map_err(|error| during("read", dir, &error))?,
    }
    for name in leftovers {
        empty &= remove_abandoned(disk, &dir.join(name), now);
    }
    for name in dirs {
        let below = dir.join(name);
        empty &= clear(disk, &below, now)? && remove(disk, &below)?;
    }
    Ok(empty)
}

/// Removes a directory unless something is in it; whether it is gone.
fn remove(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
    match disk.rmdir(dir) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(true),
            // POSIX allows two answers for one that isn't empty; then a link to
            // a directory, and a volume of its own.
            ErrorKind::DirectoryNotEmpty
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
            | ErrorKind::ResourceBusy => Ok(false),
            _ => Err(during("remove", dir, &error)),
        },
    }
}

#[cfg(test)]
#[path = "tidy_tests.rs"]
mod tests;
