//! One writer per upload session within this process, and which sessions were
//! written to a while ago by its own steady clock: a wall clock that jumps must
//! not make an upload old that a client is at.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Error;
use crate::storage::Stage;

/// A client that pauses for longer has left, as far as purging is concerned.
const ACTIVE: Duration = Duration::from_secs(3600);

/// The sessions that are being written to, and those that were a while ago.
#[derive(Default, Clone)]
pub(super) struct Sessions {
    busy: Arc<Mutex<HashSet<Stage>>>,
    touched: Arc<Mutex<HashMap<Stage, Instant>>>,
    released: Arc<Notify>,
}

/// The right to write to one session, given back when dropped.
pub(super) struct Claim {
    sessions: Sessions,
    stage: Stage,
}

impl Sessions {
    /// Claims a session, waiting a little for another writer: a client that lost
    /// its connection comes back before the server notices.
    pub(super) async fn claim(&self, stage: &Stage, patience: Duration) -> Result<Claim, Error> {
        let deadline = tokio::time::sleep(patience);
        tokio::pin!(deadline);
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // Registered before the look, so that no release is missed.
            released.as_mut().enable();
            if self.lock().insert(stage.clone()) {
                return Ok(Claim {
                    sessions: self.clone(),
                    stage: stage.clone(),
                });
            }
            tokio::select! {
                () = released => {}
                () = &mut deadline => return Err(Error::UploadBusy),
            }
        }
    }

    /// A session was begun or continued.
    pub(super) fn touch(&self, stage: &Stage) {
        let now = Instant::now();
        let mut touched = self.touched();
        // Now and then, so that no request pays for all the others.
        if touched.len() >= 1024 && touched.len().is_power_of_two() {
            touched.retain(|_, at| now - *at < ACTIVE);
        }
        touched.insert(stage.clone(), now);
    }

    /// It has ended.
    pub(super) fn forget(&self, stage: &Stage) {
        self.touched().remove(stage);
    }

    /// Whether a client of this process is at it: now, or less than `age` (an
    /// hour at most) ago.
    pub(super) fn is_active(&self, stage: &Stage, age: Duration) -> bool {
        let last = self.touched().get(stage).copied();
        self.lock().contains(stage) || last.is_some_and(|at| at.elapsed() < age.min(ACTIVE))
    }

    fn touched(&self) -> MutexGuard<'_, HashMap<Stage, Instant>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Stage>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.stage);
        self.sessions.released.notify_waiters();
    }
}
