//! Watches a file that is read again when it changes: when a look is due,
//! whether there is anything new, and what is wrong with it meanwhile.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::source::Stamp;

/// How often the file is looked at while somebody asks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is known of a file. Reads nothing by itself.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    seen: Mutex<Seen>,
    started: Instant,
    /// Milliseconds from `started` to the last look at the file.
    looked: AtomicU64,
}

/// The version that was read last.
#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    /// The file was so old when it was read that any later change shows.
    settled: bool,
    /// What was logged last, so that it is not logged twice a second.
    failure: Option<String>,
}

impl Watch {
    /// Watches the file `path`, of which the version `stamp` was read and is
    /// good.
    pub fn new(path: PathBuf, stamp: Stamp) -> Self {
        Self {
            path,
            seen: Mutex::new(Seen {
                stamp,
                settled: is_settled(stamp),
                failure: None,
            }),
            started: Instant::now(),
            looked: AtomicU64::new(0),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody looked for half a second. Says so to one caller only, who
    /// should look then.
    pub fn is_due(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.looked.load(Ordering::Relaxed);
        if u128::from(now.saturating_sub(last)) < LOOK_EVERY.as_millis() {
            return false;
        }
        let mine = self
            .looked
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        mine.is_ok()
    }

    /// Whether the file shows another version than that which was read.
    pub fn has_changed(&self) -> bool {
        !Stamp::of(&self.path).is_ok_and(|stamp| self.seen().stamp == stamp)
    }

    /// The same, or it was so new then that it may have changed unseen.
    pub fn may_have_changed(&self) -> bool {
        self.has_changed() || !self.seen().settled
    }

    /// The version `stamp` was read, good or not.
    pub fn saw(&self, stamp: Stamp) {
        let mut seen = self.seen();
        seen.stamp = stamp;
        seen.settled = is_settled(stamp);
    }

    /// What was read is good; whether something was wrong before.
    pub fn recovered(&self) -> bool {
        self.seen().failure.take().is_some()
    }

    /// The file is of no use; whether that is news, which should be logged.
    pub fn failed(&self, failure: &str) -> bool {
        let before = self.seen().failure.replace(failure.to_owned());
        before.as_deref() != Some(failure)
    }

    /// What is wrong with the file now, if anything is.
    pub fn problem(&self) -> Option<String> {
        self.seen().failure.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_settled(stamp: Stamp) -> bool {
    !stamp.is_fresh(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_failure_is_news_once_and_so_is_its_end() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "a").unwrap();
        let watch = Watch::new(path.clone(), Stamp::of(&path).unwrap());
        assert!(!watch.has_changed() && watch.may_have_changed());
        fs::remove_file(&path).unwrap();
        assert!(watch.has_changed());
        assert!(watch.failed("gone") && !watch.failed("gone"));
        assert_eq!(watch.problem().as_deref(), Some("gone"));
        assert!(watch.failed("broken"));
        assert!(watch.recovered() && !watch.recovered());
        assert_eq!(watch.problem(), None);
    }
}
