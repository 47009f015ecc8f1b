//! What a test needs besides Rust. A missing program is one line on the
//! terminal and no failure, unless the run promised to have everything
//! (`CI=true` or `WHARF_TEST_ALL=1`).
//!
//! A run may say what can't be had where it runs:
//! `WHARF_TEST_WITHOUT="conformance: the registry refused it; podman: ..."`.
//! What it names is skipped with that reason even when everything is promised,
//! so that a hole is written down in the run's own script and output.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::say;

static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What one client, engine or suite needs.
pub struct Needs {
    who: &'static str,
    missing: Option<String>,
}

impl Needs {
    /// Begins the list of what `who` (as a person calls it: `podman`) needs.
    pub fn of(who: &'static str) -> Needs {
        Needs { who, missing: None }
    }

    /// A program on the PATH, and the line that installs it.
    pub fn program(self, program: &str, install: &str) -> Needs {
        let found = find(program).is_some();
        self.condition(found, &format!("{program} is not installed ({install})"))
    }

    /// The rights of root.
    pub fn root(self) -> Needs {
        let root = rustix::process::geteuid().is_root();
        self.condition(root, "it must run as root")
    }

    /// Anything else, with the words for when it doesn't hold.
    pub fn condition(mut self, holds: bool, otherwise: &str) -> Needs {
        if !holds && self.missing.is_none() {
            self.missing = Some(otherwise.to_owned());
        }
        self
    }

    /// Whether everything is there. If not, says so once.
    ///
    /// # Panics
    /// When something is missing in a run that promised to have everything.
    pub fn met(self) -> bool {
        if let Some(reason) = declared_absent(self.who) {
            skip(self.who, &reason);
            return false;
        }
        let Some(missing) = self.missing else {
            return true;
        };
        assert!(
            !everything_is_promised(),
            "{}: {missing}, but CI=true or WHARF_TEST_ALL=1 promises it",
            self.who
        );
        skip(self.who, &missing);
        false
    }
}

/// Where a program is: on the PATH, in /usr/sbin, or where `go install` puts
/// it.
pub fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), home.join("go/bin")])
        .map(|dir: PathBuf| dir.join(program))
        .find(|path: &PathBuf| Path::is_file(path))
}

fn everything_is_promised() -> bool {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|set| set == value);
    is("CI", "true") || is("WHARF_TEST_ALL", "1")
}

fn declared_absent(who: &str) -> Option<String> {
    let list = env::var("WHARF_TEST_WITHOUT").ok()?;
    list.split(';')
        .filter_map(|entry| entry.split_once(':'))
        .find(|(name, _)| name.trim() == who)
        .map(|(_, reason)| reason.trim().to_owned())
}

fn skip(who: &str, reason: &str) {
    let mut said = SAID.lock().unwrap_or_else(|held| held.into_inner());
    if said.insert(who.to_owned()) {
        say(&format!("SKIPPED {who}: {reason}"));
    }
}
