//! Where audit lines go. A file is only appended to, belongs to its owner alone
//! and is opened anew when it was moved away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Place;

/// An open sink.
pub(super) enum Sink {
    Stdout,
    Stderr,
    File(Log),
}

/// An open file.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// The last line has no end: the disk was full in its middle.
    torn: bool,
}

impl Sink {
    pub(super) fn open(place: &Place) -> io::Result<Self> {
        Ok(match place {
            Place::Stdout => Self::Stdout,
            Place::Stderr => Self::Stderr,
            Place::File(path) => Self::File(Log {
                path: path.clone(),
                file: open(path)?,
                torn: false,
            }),
        })
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, lines: &[u8], reopen: bool) -> io::Result<()> {
        match self {
            // One write under its lock: not in the middle of a line of the log.
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines).and_then(|()| out.flush())
            }
            Self::Stderr => io::stderr().lock().write_all(lines),
            Self::File(log) => log.write(lines, reopen),
        }
    }
}

impl Log {
    fn write(&mut self, lines: &[u8], reopen: bool) -> io::Result<()> {
        if reopen || self.was_moved() {
            self.file = open(&self.path)?;
            self.torn = false;
        }
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.torn = rest.len() < lines.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn was_moved(&self) -> bool {
        let here = self.file.metadata().map(|it| (it.dev(), it.ino())).ok();
        let there = fs::metadata(&self.path).map(|it| (it.dev(), it.ino())).ok();
        here != there
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}
