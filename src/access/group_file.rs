//! A file of groups in Apache's form, `dev: alice bob`: read again when it
//! changes, and the last good one counts while it is broken.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};

use super::groups::Groups;
use crate::auth::source;
use crate::auth::user_name::InvalidUserName;
use crate::auth::watch::Watch;

/// What editors of Windows start a text with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file of groups and its last good version.
#[derive(Debug)]
pub(super) struct GroupFile {
    watch: Watch,
    current: ArcSwap<Groups>,
    /// One reader of the file at a time.
    reading: Mutex<()>,
}

/// A file of groups is of no use. The text is for the log and for the terminal.
#[derive(Debug, thiserror::Error)]
pub enum GroupFileError {
    /// It cannot be read.
    #[error("cannot read the groups in {path}: {cause}; check the path and its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A line that says nothing certain. None of the file counts then: without
    /// that line somebody might be let in whom a rule keeps out.
    #[error("{path}:{line}: {problem}; correct the line")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: LineProblem,
    },
}

/// What is wrong with a line of a file of groups.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// Not UTF-8.
    #[error("not UTF-8 text")]
    NotText,
    /// No colon.
    #[error("not of the form `group: user user`")]
    NoColon,
    /// Before the colon is no name.
    #[error("`{0}` is no name of a group, which has no spaces")]
    Group(String),
    /// Behind the colon is no name.
    #[error("{0}")]
    User(#[from] InvalidUserName),
}

impl GroupFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// It can't be read, or a line is wrong.
    pub(super) fn open(path: PathBuf) -> Result<Self, GroupFileError> {
        let (stamp, groups) = read(&path)?;
        Ok(Self {
            current: ArcSwap::from_pointee(groups?),
            watch: Watch::new(path, stamp),
            reading: Mutex::new(()),
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        self.watch.path()
    }

    /// The groups as they are now, give or take half a second.
    pub(super) fn groups(&self) -> Guard<Arc<Groups>> {
        if self.watch.is_due() && self.watch.may_have_changed() {
            self.reread();
        }
        self.current.load()
    }

    /// Reads the file again, changed or not, and logs what there is to say.
    pub(super) fn reread(&self) {
        // Whoever comes while another reads goes on with what there is.
        let Ok(_reading) = self.reading.try_lock() else {
            return;
        };
        let read = read(self.path()).and_then(|(stamp, groups)| {
            self.watch.saw(stamp);
            groups
        });
        match read {
            Ok(groups) => {
                let mended = self.watch.recovered();
                let changed = **self.current.load() != groups;
                if changed || mended {
                    let (path, count) = (self.path().display(), groups.len());
                    tracing::info!("{path}: read again, {count} groups");
                }
                if changed {
                    self.current.store(Arc::new(groups));
                }
            }
            Err(error) => {
                let failure = error.to_string();
                if self.watch.failed(&failure) {
                    tracing::error!("{failure}; the groups read before stay in force");
                }
            }
        }
    }

    /// What is wrong with the file now, if anything is.
    pub(super) fn problem(&self) -> Option<String> {
        self.watch.problem()
    }
}

/// The version that was read, and what it says.
type Read = (source::Stamp, Result<Groups, GroupFileError>);

fn read(path: &Path) -> Result<Read, GroupFileError> {
    let read = source::read(path).map_err(|cause| GroupFileError::Unreadable {
        path: path.to_owned(),
        cause,
    });
    read.map(|(stamp, content)| (stamp, parse(path, &content)))
}

/// Reads a whole file. A group may have several lines.
fn parse(path: &Path, content: &[u8]) -> Result<Groups, GroupFileError> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    let mut groups = Groups::default();
    for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
        enter(&mut groups, line).map_err(|problem| GroupFileError::Line {
            path: path.to_owned(),
            line: number,
            problem,
        })?;
    }
    Ok(groups)
}

/// Takes one line into the groups.
fn enter(groups: &mut Groups, line: &[u8]) -> Result<(), LineProblem> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(());
    }
    let text = std::str::from_utf8(line).map_err(|_| LineProblem::NotText)?;
    let (group, users) = text.split_once(':').ok_or(LineProblem::NoColon)?;
    let group = group.trim_end();
    if group.is_empty() || group.contains(char::is_whitespace) {
        return Err(LineProblem::Group(group.to_owned()));
    }
    groups.declare(group);
    for user in users.split_whitespace() {
        groups.add(group, user.parse()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parsed(text: &str) -> Result<Groups, String> {
        parse(Path::new("groups"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_apaches() {
        let text = "\u{feff}# the team\r\ndev: alice bob\r\n\nops : carol\ndev:dora\nempty:\n";
        let groups = parsed(text).unwrap();
        let holds = |group, user: &str| groups.holds(group, &user.parse().unwrap());
        assert!(holds("dev", "alice") && holds("dev", "bob") && holds("dev", "dora"));
        assert!(holds("ops", "carol") && !holds("ops", "alice") && !holds("empty", "alice"));
        assert_eq!(groups.len(), 3);
    }

    #[test]
    fn a_line_that_says_nothing_certain_spoils_the_file() {
        for (text, said) in [
            (
                "dev: alice\nops carol\n",
                "groups:2: not of the form `group: user user`; correct the line",
            ),
            (
                "a b: alice\n",
                "groups:1: `a b` is no name of a group, which has no spaces; correct the line",
            ),
            (
                "\n:alice\n",
                "groups:2: `` is no name of a group, which has no spaces; correct the line",
            ),
            (
                "dev: alice:x\n",
                "groups:1: the user name holds ':'; colons and control characters are not allowed; correct the line",
            ),
        ] {
            assert_eq!(parsed(text).unwrap_err(), said);
        }
        assert!(parse(Path::new("groups"), b"dev: \xff\n").is_err());
    }

    #[test]
    fn the_last_good_file_counts_while_it_is_broken() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("groups");
        assert!(GroupFile::open(path.clone()).is_err());
        fs::write(&path, "dev: alice\n").unwrap();
        let file = GroupFile::open(path.clone()).unwrap();
        let alice = "alice".parse().unwrap();
        let reread = || {
            file.reread();
            (file.groups().holds("dev", &alice), file.problem().is_some())
        };
        assert_eq!(reread(), (true, false));
        fs::write(&path, "dev\n").unwrap();
        assert_eq!(reread(), (true, true));
        fs::remove_file(&path).unwrap();
        assert_eq!(reread(), (true, true));
        fs::write(&path, "dev: bob\n").unwrap();
        assert_eq!(reread(), (false, false));
    }
}
