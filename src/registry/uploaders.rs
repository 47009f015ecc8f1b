//! How many uploads each user has open (threat model T11).
//!
//! Counted in this process alone, in memory: asking the store would cost a walk
//! for each push. What another replica began counts there, what another ended
//! counts until its user has too many and the store is asked; what was begun
//! before a restart counts no more. An upload that nobody asked about for a
//! while counts no more either: clients that were killed don't come back, and
//! must not lock out the next.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use super::usage::Usage;
use crate::storage::Stage;

/// For how long an upload counts after its last request.
const FORGOTTEN: Duration = Duration::from_secs(5 * 60);

/// How often the forgotten ones are looked for: at once when somebody has too
/// many, but not for each of their requests.
const SWEEP: Duration = Duration::from_secs(1);
const QUIET_SWEEP: Duration = Duration::from_secs(60);

/// Whose uploads are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Uploader {
    /// Who has logged in.
    User(String),
    /// Who has not, by where they are.
    Address(IpAddr),
    /// Nobody in particular: on a unix socket, or ourselves.
    Unknown,
}

impl Uploader {
    /// To whom an upload belongs that they begin: a user, or everybody who has
    /// not logged in.
    pub fn owner(&self) -> &str {
        match self {
            Self::User(name) => name,
            // No user's name has a colon.
            Self::Address(_) | Self::Unknown => "anonymous:",
        }
    }
}

/// The uploads that this process knows: cheap to clone.
#[derive(Default, Clone)]
pub(super) struct Open {
    table: Arc<Mutex<Table>>,
    /// Where the room is reserved that they need.
    usage: Usage,
}

#[derive(Default)]
struct Table {
    uploads: HashMap<Stage, Upload>,
    counts: HashMap<Uploader, usize>,
    swept: Option<Instant>,
}

struct Upload {
    uploader: Uploader,
    last: Instant,
    /// Requests that are working on it.
    requests: usize,
}

/// A request that works on an upload, which counts at least until its end.
pub(super) struct Working {
    open: Open,
    stage: Stage,
}

impl Open {
    /// None are open yet.
    pub(super) fn new(usage: Usage) -> Self {
        Self {
            table: Arc::default(),
            usage,
        }
    }

    /// Counts one more upload, unless the user has `most` already; 0 is as many
    /// as they like.
    pub(super) fn begin(
        &self,
        stage: &Stage,
        uploader: &Uploader,
        most: usize,
        now: Instant,
    ) -> Result<(), Error> {
        if *uploader == Uploader::Unknown || most == 0 {
            return Ok(());
        }
        let mut table = self.lock();
        table.sweep_after(QUIET_SWEEP, now);
        if table.count(uploader) >= most {
            table.sweep_after(SWEEP, now);
        }
        if table.count(uploader) >= most {
            return Err(Error::TooManyUploads { most });
        }
        let upload = Upload {
            uploader: uploader.clone(),
            last: now,
            requests: 0,
        };
        if table.uploads.insert(stage.clone(), upload).is_none() {
            *table.counts.entry(uploader.clone()).or_default() += 1;
        }
        Ok(())
    }

    /// An upload is worked on until the value is dropped.
    pub(super) fn work(&self, stage: &Stage) -> Working {
        if let Some(upload) = self.lock().uploads.get_mut(stage) {
            upload.requests += 1;
        }
        Working {
            open: self.clone(),
            stage: stage.clone(),
        }
    }

    /// The uploads of one uploader that no request is working on.
    pub(super) fn idle_of(&self, uploader: &Uploader) -> Vec<Stage> {
        let table = self.lock();
        let theirs = table
            .uploads
            .iter()
            .filter(|(_, upload)| upload.requests == 0 && upload.uploader == *uploader);
        theirs.map(|(stage, _)| stage.clone()).collect()
    }

    /// An upload has ended, one way or another.
    pub(super) fn end(&self, stage: &Stage) {
        self.lock().remove(stage);
        self.usage.session_ended(stage);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn count(&self, uploader: &Uploader) -> usize {
        self.counts.get(uploader).copied().unwrap_or_default()
    }

    fn sweep_after(&mut self, pause: Duration, now: Instant) {
        let since = |then: Instant| now.saturating_duration_since(then);
        if self.swept.is_some_and(|swept| since(swept) < pause) {
            return;
        }
        self.swept = Some(now);
        let forgotten: Vec<Stage> = self
            .uploads
            .iter()
            .filter(|(_, upload)| upload.requests == 0 && since(upload.last) >= FORGOTTEN)
            .map(|(stage, _)| stage.clone())
            .collect();
        for stage in &forgotten {
            self.remove(stage);
        }
    }

    fn remove(&mut self, stage: &Stage) {
        let Some(upload) = self.uploads.remove(stage) else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&upload.uploader) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&upload.uploader);
            }
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(upload) = self.open.lock().uploads.get_mut(&self.stage) {
            upload.requests = upload.requests.saturating_sub(1);
            upload.last = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::UploadId;
    use crate::storage::layout;

    fn stage() -> Stage {
        layout::upload(&"team/app".parse().unwrap(), &UploadId::random())
    }

    fn user(name: &str) -> Uploader {
        Uploader::User(name.to_owned())
    }

    #[test]
    fn each_user_has_so_many_until_one_ends() {
        let (open, now) = (Open::default(), Instant::now());
        let stages = [stage(), stage(), stage()];
        open.begin(&stages[0], &user("ann"), 2, now).unwrap();
        open.begin(&stages[1], &user("ann"), 2, now).unwrap();
        assert!(open.begin(&stages[2], &user("ann"), 2, now).is_err());
        open.begin(&stages[2], &user("bob"), 2, now).unwrap();
        open.end(&stages[0]);
        open.end(&stages[0]);
        open.begin(&stage(), &user("ann"), 2, now).unwrap();
        assert!(open.begin(&stage(), &user("ann"), 2, now).is_err());
    }

    #[test]
    fn what_nobody_asks_about_counts_no_more() {
        let (open, now) = (Open::default(), Instant::now());
        let (left, worked_on) = (stage(), stage());
        open.begin(&left, &user("ann"), 2, now).unwrap();
        open.begin(&worked_on, &user("ann"), 2, now).unwrap();
        let working = open.work(&worked_on);
        let later = now + FORGOTTEN;
        open.begin(&stage(), &user("ann"), 2, later).unwrap();
        assert!(open.begin(&stage(), &user("ann"), 2, later).is_err());
        drop(working);
        open.end(&worked_on);
        assert_eq!(open.lock().uploads.len(), 1);
    }

    #[test]
    fn nothing_is_kept_of_who_has_none() {
        let (open, now) = (Open::default(), Instant::now());
        let one = stage();
        open.begin(&one, &user("ann"), 2, now).unwrap();
        open.end(&one);
        open.begin(&stage(), &Uploader::Unknown, 1, now).unwrap();
        open.begin(&stage(), &user("ann"), 0, now).unwrap();
        let table = open.lock();
        assert!(table.uploads.is_empty() && table.counts.is_empty());
    }
}
