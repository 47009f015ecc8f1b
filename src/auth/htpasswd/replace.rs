//! Replaces a users file: one editor at a time, atomic and durable, mode and
//! owner kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use super::edit_error::EditError;
use crate::auth::source;

/// Lets `decide` see the content, `None` if there is no file, and puts what it
/// returns in its place, if anything. Other editors wait meanwhile.
pub(super) fn change<T>(
    path: &Path,
    decide: impl FnOnce(Option<&[u8]>) -> Result<(Option<Vec<u8>>, T), EditError>,
) -> Result<T, EditError> {
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    make_directory(parent).map_err(|cause| write_error(parent, cause))?;
    let directory = File::open(parent).map_err(|cause| write_error(parent, cause))?;
    // The directory is locked, since the file itself is replaced; the lock goes
    // with the handle.
    directory
        .lock()
        .map_err(|cause| write_error(parent, cause))?;
    let before = read(&target)?;
    let (after, outcome) = decide(before.as_deref())?;
    if let Some(after) = after {
        replace(&target, parent, &after)?;
        directory
            .sync_all()
            .map_err(|cause| write_error(&target, cause))?;
    }
    Ok(outcome)
}

/// [`change`] for a file that must be there.
pub(super) fn change_existing<T>(
    path: &Path,
    decide: impl FnOnce(&[u8]) -> Result<(Vec<u8>, T), EditError>,
) -> Result<T, EditError> {
    let missing = || EditError::NoFile(path.to_owned());
    // Asked first, so that a slip in the path makes no directory.
    if !path.exists() {
        return Err(missing());
    }
    change(path, |content| {
        let (after, outcome) = decide(content.ok_or_else(missing)?)?;
        Ok((Some(after), outcome))
    })
}

/// The content of a users file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, EditError> {
    match source::read(path) {
        Ok((_, content)) => Ok(Some(content)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(EditError::Read {
            path: path.to_owned(),
            cause,
        }),
    }
}

/// Makes a directory and what is missing above it, mode 0700, to stay.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for above in path.ancestors().skip(1) {
        // Those that may not be opened are not ours and were there before.
        if let Ok(directory) = File::open(above) {
            directory.sync_all()?;
        }
    }
    Ok(())
}

fn replace(target: &Path, parent: &Path, content: &[u8]) -> Result<(), EditError> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = parent.join(format!(".{name}.tmp"));
    // Under the lock nobody else writes it: what is there is left of a crash.
    match fs::remove_file(&temporary) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(write_error(&temporary, cause));
        }
        _ => {}
    }
    let result = fill(&temporary, target, content).and_then(|()| {
        fs::rename(&temporary, target).map_err(|cause| match cause.kind() {
            io::ErrorKind::ResourceBusy => EditError::Mount(target.to_owned()),
            _ => write_error(target, cause),
        })
    });
    if result.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn fill(temporary: &Path, target: &Path, content: &[u8]) -> Result<(), EditError> {
    let failed = |cause| write_error(temporary, cause);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)
        .map_err(failed)?;
    if let Ok(old) = fs::metadata(target) {
        let new = file.metadata().map_err(failed)?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid())).map_err(|cause| EditError::Owner {
                path: target.to_owned(),
                cause,
            })?;
        }
        file.set_permissions(old.permissions()).map_err(failed)?;
    }
    file.write_all(content).map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn write_error(path: &Path, cause: io::Error) -> EditError {
    EditError::Write {
        path: path.to_owned(),
        cause,
    }
}
