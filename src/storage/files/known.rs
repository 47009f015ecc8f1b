//! Remembers which directories have durable names.
//!
//! That a directory exists doesn't mean that its name is on the medium: another
//! push may have made it a moment ago, and a process that was killed may never
//! have synced it. So an existing directory counts only once this process has
//! synced all names above it. Forgetting costs a few syncs, nothing else.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most directories to remember: about half a megabyte.
const CAPACITY: usize = 4096;

/// The directories whose names, and those above them, are durable.
#[derive(Default)]
pub(super) struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    directories: HashSet<PathBuf>,
    removals: u64,
}

/// When something was looked up. What was removed since then isn't remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Known {
    /// Of `directories`, deepest first, those before the first that is known.
    pub(super) fn unknown<'a>(
        &self,
        directories: impl Iterator<Item = &'a Path>,
    ) -> (Vec<PathBuf>, Moment) {
        let state = self.state();
        let unknown = directories
            .take_while(|directory| !state.directories.contains(*directory))
            .map(Path::to_owned)
            .collect();
        (unknown, Moment(state.removals))
    }

    /// Remembers directories whose names have been synced.
    pub(super) fn remember(&self, synced: Vec<PathBuf>, since: Moment) {
        let mut state = self.state();
        if state.removals != since.0 {
            return;
        }
        if state.directories.len() + synced.len() > CAPACITY {
            state.directories.clear();
        }
        state.directories.extend(synced);
    }

    /// Forgets a directory that is gone, with all below it.
    pub(super) fn forget(&self, gone: &Path) {
        let mut state = self.state();
        state.removals += 1;
        state
            .directories
            .retain(|directory| !directory.starts_with(gone));
    }

    /// Forgets a directory that is gone, those below it and those above it.
    pub(super) fn forget_around(&self, gone: &Path) {
        self.forget(gone);
        self.state()
            .directories
            .retain(|directory| !gone.starts_with(directory));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole after every statement, a panic can't break it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(known: &Known, path: &str) -> (Vec<PathBuf>, Moment) {
        known.unknown(Path::new(path).ancestors().filter(|a| *a != Path::new("")))
    }

    #[test]
    fn stops_at_what_it_knows() {
        let known = Known::default();
        let (above, moment) = unknown(&known, "a/b");
        assert_eq!(above, [PathBuf::from("a/b"), PathBuf::from("a")]);
        known.remember(above, moment);
        assert_eq!(unknown(&known, "a/b/c").0, [PathBuf::from("a/b/c")]);
        assert!(unknown(&known, "a/b").0.is_empty());

        known.forget(Path::new("a/b"));
        assert_eq!(unknown(&known, "a/b").0, [PathBuf::from("a/b")]);
        known.forget_around(Path::new("a/b"));
        assert_eq!(unknown(&known, "a/b").0.len(), 2);
    }

    #[test]
    fn does_not_remember_what_may_be_gone() {
        let known = Known::default();
        let (above, moment) = unknown(&known, "a");
        known.forget(Path::new("a"));
        known.remember(above, moment);
        assert_eq!(unknown(&known, "a").0.len(), 1);
    }

    #[test]
    fn is_bounded() {
        let known = Known::default();
        for number in 0..3 * CAPACITY {
            let (above, moment) = unknown(&known, &number.to_string());
            known.remember(above, moment);
            assert!(known.state().directories.len() <= CAPACITY);
        }
    }
}
