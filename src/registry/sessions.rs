//! One writer per upload session within this process.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Error;
use crate::storage::Stage;

/// The sessions that are being written to.
#[derive(Default, Clone)]
pub(super) struct Sessions {
    busy: Arc<Mutex<HashSet<Stage>>>,
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

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Stage>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.stage);
        self.sessions.released.notify_waiters();
    }
}
