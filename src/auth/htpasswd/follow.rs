//! Follows the users file: rereads it when it changes, and keeps the last good
//! users while it is broken.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, Guard};
use sha2::{Digest, Sha256};
use tokio::task;

use super::lines::{self, Users};
use super::notice::Notice;
use super::remember::Remembered;
use super::source::{self, Stamp};
use super::verify::Flights;
use crate::auth::AuthError;

/// How often the file is looked at while remembered credentials come in.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One version of the file, with what was verified against it: nothing that
/// was remembered outlives the version.
pub(super) struct Snapshot {
    pub(super) users: Users,
    pub(super) remembered: Remembered,
    pub(super) flights: Flights,
    digest: [u8; 32],
}

/// A users file and its last good version.
pub(super) struct Follower {
    path: PathBuf,
    current: ArcSwap<Snapshot>,
    seen: Mutex<Seen>,
    /// One reader of the file at a time.
    reading: tokio::sync::Mutex<()>,
    started: Instant,
    /// Milliseconds from `started` to the last look at the file.
    looked: AtomicU64,
}

/// What is known of the file on disk.
struct Seen {
    stamp: Stamp,
    /// The file was so old when it was read that any later change shows.
    settled: bool,
    /// What was logged last, so that it is not logged twice a second.
    failure: Option<String>,
}

/// A version as it comes from disk.
struct Read {
    stamp: Stamp,
    snapshot: Snapshot,
    notices: Vec<Notice>,
    broken: bool,
}

impl Follower {
    /// Reads the file for the first time. However little sense it makes, it is
    /// taken: the notices tell.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Vec<Notice>), AuthError> {
        let read = read(&path)?;
        let follower = Self {
            path,
            current: ArcSwap::from_pointee(read.snapshot),
            seen: Mutex::new(Seen::new(read.stamp)),
            reading: tokio::sync::Mutex::new(()),
            started: Instant::now(),
            looked: AtomicU64::new(0),
        };
        Ok((follower, read.notices))
    }

    /// The users as they were read last.
    pub(super) fn current(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Looks at the file if nobody did for half a second.
    pub(super) async fn look_if_due(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.looked.load(Ordering::Relaxed);
        if u128::from(now.saturating_sub(last)) < LOOK_EVERY.as_millis() {
            return;
        }
        let mine = self
            .looked
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() && !(self.stamp_is_seen() && self.seen().settled) {
            let _reading = self.reading.lock().await;
            self.reread_and_log().await;
        }
    }

    /// Looks at the file now.
    pub(super) async fn look(&self) {
        if self.stamp_is_seen() {
            return;
        }
        let _reading = self.reading.lock().await;
        // Somebody else may have read it while this one waited.
        if !self.stamp_is_seen() {
            self.reread_and_log().await;
        }
    }

    /// Reads the file, changed or not, and says what is wrong with it.
    pub(super) async fn reload(&self) -> Result<Vec<Notice>, AuthError> {
        let _reading = self.reading.lock().await;
        self.reread().await.map(|(notices, _)| notices)
    }

    async fn reread_and_log(&self) {
        match self.reread().await {
            Ok((notices, true)) => {
                tracing::info!(
                    "{}: read again, {} users can log in",
                    self.path.display(),
                    self.current().users.len()
                );
                for notice in notices {
                    tracing::warn!("{notice}");
                }
            }
            Ok((_, false)) => {}
            Err(error) => {
                let failure = error.to_string();
                let mut seen = self.seen();
                if seen.failure.as_ref() != Some(&failure) {
                    tracing::error!("{failure}; the users read before stay in force");
                    seen.failure = Some(failure);
                }
            }
        }
    }

    /// Reads the file and, if its content is another, puts it in force. Returns
    /// what is wrong with it, and whether there is news.
    async fn reread(&self) -> Result<(Vec<Notice>, bool), AuthError> {
        let path = self.path.clone();
        let read = task::spawn_blocking(move || read(&path))
            .await
            .map_err(|error| unreadable(&self.path, std::io::Error::other(error)))??;
        let mut seen = self.seen();
        let failure = seen.failure.take();
        *seen = Seen::new(read.stamp);
        if read.broken {
            seen.failure = failure;
            return Err(AuthError::Broken(self.path.clone()));
        }
        let changed = self.current().digest != read.snapshot.digest;
        if changed {
            self.current.store(Arc::new(read.snapshot));
        }
        Ok((read.notices, changed || failure.is_some()))
    }

    fn stamp_is_seen(&self) -> bool {
        Stamp::of(&self.path).is_ok_and(|stamp| self.seen().stamp == stamp)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn new(stamp: Stamp) -> Self {
        Self {
            stamp,
            settled: !stamp.is_fresh(SystemTime::now()),
            failure: None,
        }
    }
}

fn read(path: &Path) -> Result<Read, AuthError> {
    let (stamp, content) = source::read(path).map_err(|cause| unreadable(path, cause))?;
    let parsed = lines::parse(path, &content);
    Ok(Read {
        stamp,
        snapshot: Snapshot {
            users: parsed.users,
            remembered: Remembered::default(),
            flights: Flights::default(),
            digest: Sha256::digest(&content).into(),
        },
        notices: parsed.notices,
        broken: parsed.broken,
    })
}

fn unreadable(path: &Path, cause: std::io::Error) -> AuthError {
    AuthError::Unreadable {
        path: path.to_owned(),
        cause,
    }
}
