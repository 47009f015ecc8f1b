//! Remembers which directories have durable names.
//!
//! That a directory exists doesn't mean that its name is on the medium: another
//! push may have made it a moment ago, and a process that was killed may never
//! have synced it. So an existing directory counts only once this process has
//! synced all names above it. And it counts as itself, not as its path: any
//! process may have removed it since, when it was empty, and a second one may
//! have made another in its place. Forgetting costs a few syncs, nothing else.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::Identity;

/// The most directories to remember: about half a megabyte.
const CAPACITY: usize = 4096;

/// The directories whose names, and those above them, are durable.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<PathBuf, Identity>>);

/// A directory whose name is to be synced, and which one it is.
pub(super) type Unknown = (PathBuf, Option<Identity>);

impl Known {
    /// Of `paths`, deepest first, those before the first under which a directory
    /// was known: they may have to be made.
    pub(super) fn unheard<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> Vec<&'a Path> {
        let known = self.known();
        paths
            .take_while(|path| !known.contains_key(*path))
            .collect()
    }

    /// Of existing directories, deepest first, those before the first that is
    /// known. A known one is durable with all above it: they can't have been
    /// removed and made anew without it.
    pub(super) fn unknown<'a>(
        &self,
        directories: impl Iterator<Item = &'a Path>,
        identify: impl Fn(&Path) -> Option<Identity>,
    ) -> Vec<Unknown> {
        let identified = directories.map(|path| (path, identify(path)));
        identified
            .take_while(|(path, identity)| {
                identity.is_none() || self.known().get(*path) != identity.as_ref()
            })
            .map(|(path, identity)| (path.to_owned(), identity))
            .collect()
    }

    /// Remembers directories whose names have been synced since they were
    /// looked at.
    pub(super) fn remember(&self, synced: Vec<Unknown>) {
        let mut known = self.known();
        if known.len() + synced.len() > CAPACITY {
            known.clear();
        }
        let told_apart = synced
            .into_iter()
            .filter_map(|(path, identity)| Some((path, identity?)));
        known.extend(told_apart);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Identity>> {
        // The map is whole after every statement, a panic can't break it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn above(path: &str) -> impl Iterator<Item = &Path> {
        Path::new(path)
            .ancestors()
            .filter(|above| *above != Path::new(""))
    }

    /// The paths of what is unknown, when every directory has this inode.
    fn unknown(known: &Known, path: &str, inode: u64) -> Vec<Unknown> {
        known.unknown(above(path), |_| {
            Some(Identity {
                inode: (0, inode),
                born: UNIX_EPOCH,
            })
        })
    }

    #[test]
    fn stops_at_what_it_knows() {
        let known = Known::default();
        assert_eq!(known.unheard(above("a/b")).len(), 2);
        known.remember(unknown(&known, "a/b", 1));
        assert_eq!(known.unheard(above("a/b/c")), [Path::new("a/b/c")]);
        let below = unknown(&known, "a/b/c", 1);
        assert_eq!(below.len(), 1);
        assert_eq!(below[0].0, Path::new("a/b/c"));
        assert!(unknown(&known, "a/b", 1).is_empty());
    }

    #[test]
    fn another_directory_of_that_path_is_unknown() {
        let known = Known::default();
        known.remember(unknown(&known, "a/b", 1));
        let made_again = unknown(&known, "a/b", 2);
        assert_eq!(made_again.len(), 2);
        known.remember(made_again);
        assert!(unknown(&known, "a/b", 2).is_empty());
    }

    #[test]
    fn what_can_not_be_told_apart_is_never_known() {
        let known = Known::default();
        for _ in 0..2 {
            let both = known.unknown(above("a/b"), |_| None);
            assert_eq!(both.len(), 2);
            known.remember(both);
        }
    }

    #[test]
    fn is_bounded() {
        let known = Known::default();
        for number in 0..3 * CAPACITY {
            known.remember(unknown(&known, &number.to_string(), 1));
            assert!(known.known().len() <= CAPACITY);
        }
    }
}
