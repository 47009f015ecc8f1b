//! Follows the users file: rereads it when it changes, and keeps the last good
//! users while it is broken.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use sha2::{Digest, Sha256};
use tokio::task;

use super::lines::{self, Users};
use super::notice::Notice;
use super::remember::Remembered;
use super::verify::Flights;
use crate::auth::AuthError;
use crate::auth::source::{self, Stamp};
use crate::auth::watch::Watch;

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
    watch: Watch,
    current: ArcSwap<Snapshot>,
    /// One reader of the file at a time.
    reading: tokio::sync::Mutex<()>,
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
            watch: Watch::new(path, read.stamp),
            current: ArcSwap::from_pointee(read.snapshot),
            reading: tokio::sync::Mutex::new(()),
        };
        Ok((follower, read.notices))
    }

    /// The users as they were read last.
    pub(super) fn current(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// What is wrong with the file now, if anything is.
    pub(super) fn problem(&self) -> Option<String> {
        self.watch.problem()
    }

    /// Looks at the file if nobody did for half a second.
    pub(super) async fn look_if_due(&self) {
        if self.watch.is_due() && self.watch.may_have_changed() {
            let _reading = self.reading.lock().await;
            self.reread_and_log().await;
        }
    }

    /// Looks at the file now.
    pub(super) async fn look(&self) {
        if !self.watch.has_changed() {
            return;
        }
        let _reading = self.reading.lock().await;
        // Somebody else may have read it while this one waited.
        if self.watch.has_changed() {
            self.reread_and_log().await;
        }
    }

    /// Reads the file, changed or not, and says what is wrong with it.
    pub(super) async fn reload(&self) -> Result<Vec<Notice>, AuthError> {
        let _reading = self.reading.lock().await;
        let reread = self.reread().await;
        if let Err(error) = &reread {
            self.watch.failed(&error.to_string());
        }
        reread.map(|(notices, _)| notices)
    }

    async fn reread_and_log(&self) {
        match self.reread().await {
            Ok((notices, true)) => {
                tracing::info!(
                    "{}: read again, {} users can log in",
                    self.watch.path().display(),
                    self.current().users.len()
                );
                for notice in notices {
                    tracing::warn!("{notice}");
                }
            }
            Ok((_, false)) => {}
            Err(error) => {
                let failure = error.to_string();
                if self.watch.failed(&failure) {
                    tracing::error!("{failure}; the users read before stay in force");
                }
            }
        }
    }

    /// Reads the file and, if its content is another, puts it in force. Returns
    /// what is wrong with it, and whether there is news.
    async fn reread(&self) -> Result<(Vec<Notice>, bool), AuthError> {
        let path = self.watch.path().to_owned();
        let read = task::spawn_blocking(move || read(&path))
            .await
            .map_err(|error| unreadable(self.watch.path(), std::io::Error::other(error)))??;
        self.watch.saw(read.stamp);
        if read.broken {
            return Err(AuthError::Broken(self.watch.path().to_owned()));
        }
        let mended = self.watch.recovered();
        let changed = self.current().digest != read.snapshot.digest;
        if changed {
            self.current.store(Arc::new(read.snapshot));
        }
        Ok((read.notices, changed || mended))
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
