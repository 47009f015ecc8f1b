//! How much each repository holds, without a walk.
//!
//! A collection measures everything ([`Measured`], [`Totals`]); between two,
//! each process notes what it links and unlinks ([`changes`]). Both lie in the
//! store, so that replicas and restarts know: a process writes its changes
//! every few seconds and reads those of the others a little less often. The
//! numbers are what quotas are held against ([`ledger`]); between two
//! collections they may be off by what replicas did in the last half minute,
//! by content that several repositories share, and by what a crash lost.
//!
//! Memory: about 150 bytes for each repository that holds something.

mod account;
mod changes;
mod ledger;
mod measured;
mod meter;
mod quota;
mod recent;
mod records;
mod report;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub(super) use changes::Change;
pub use measured::{Measured, Totals};
pub use quota::Quota;
pub use report::{RepositoryUsage, Sessions, Summary, UsagePage, readable};

use self::changes::Changes;
use self::ledger::Ledger;
use self::measured::Repositories;
use self::recent::Recent;
use self::records::{microseconds, parse, render};
use super::{Error, Registry};
use crate::oci::UploadId;
use crate::storage::layout;

/// How often [`Registry::follow_usage`] should be called.
pub const FLUSHED: Duration = Duration::from_secs(3);

/// How old what is known of other processes may be, in microseconds.
const FRESH: u64 = 15_000_000;

/// Records of other processes that are read; a collection clears them away.
const RECORDS: usize = 5_000;

/// A process that has changed so many repositories begins another record.
const REPOSITORIES: usize = 5_000;

/// A record that is younger, in microseconds, may be of a process that lives.
const ALIVE: u64 = 60_000_000;

/// A record that is younger, in microseconds, tells of upload sessions that
/// may be there still.
const UPLOADS: u64 = 600_000_000;

/// What this process knows: cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Usage(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Held while the store is read or written.
    store: tokio::sync::Mutex<()>,
}

struct State {
    /// When the store was last read; never at first.
    read: Option<u64>,
    /// The totals as they lay there, and read.
    raw: Option<Bytes>,
    totals: Option<Totals>,
    measured: Repositories,
    /// Other processes, and records that this one has filled.
    others: HashMap<String, Changes>,
    id: UploadId,
    mine: Changes,
    dirty: bool,
    ledger: Ledger,
    recent: Recent,
}

impl Default for State {
    fn default() -> Self {
        Self {
            read: None,
            raw: None,
            totals: None,
            measured: Repositories::new(),
            others: HashMap::new(),
            id: UploadId::random(),
            mine: Changes::default(),
            dirty: false,
            ledger: Ledger::default(),
            recent: Recent::default(),
        }
    }
}

impl Registry {
    pub(super) fn usage(&self) -> &Usage {
        &self.inner.usage
    }

    /// Writes down what this process has changed and reads what others have, as
    /// far as either is due.
    ///
    /// # Errors
    /// Those of the store; the next call tries again.
    pub async fn follow_usage(&self) -> Result<(), Error> {
        self.flush_usage().await?;
        if self.usage().is_stale() {
            self.usage().refresh(self).await?;
        }
        Ok(())
    }

    /// Writes down what this process has changed, if anything.
    ///
    /// # Errors
    /// Those of the store; nothing is forgotten.
    pub async fn flush_usage(&self) -> Result<(), Error> {
        if self.settings().read_only {
            return Ok(());
        }
        let usage = self.usage();
        let _writing = usage.0.store.lock().await;
        let Some((id, record)) = usage.lock().record() else {
            return Ok(());
        };
        let key = layout::usage_changed_by(&id);
        let written = match render(&record) {
            Ok(content) => self.store().put(&key, content).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        if written.is_err() {
            usage.lock().dirty = true;
        }
        written
    }
}

impl Usage {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows what is in the store, from now or a little before.
    pub(super) async fn ready(&self, registry: &Registry) -> Result<(), Error> {
        if self.lock().read.is_none() {
            self.refresh(registry).await?;
        }
        Ok(())
    }

    fn is_stale(&self) -> bool {
        let read = self.lock().read;
        read.is_none_or(|read| now().saturating_sub(read) >= FRESH)
    }

    /// Reads what collections and other processes have written.
    pub(super) async fn refresh(&self, registry: &Registry) -> Result<(), Error> {
        let store = registry.store();
        let _reading = self.0.store.lock().await;
        let begun = now();
        let raw = measured::totals(store).await?;
        let news = if self.lock().raw == raw {
            None
        } else {
            let totals: Option<Totals> = raw.as_ref().and_then(|raw| parse(raw));
            let repositories = match &totals {
                Some(totals) => measured::repositories(store, totals).await?,
                None => Repositories::new(),
            };
            Some((totals, repositories))
        };
        let own = self.lock().id.to_string();
        let mut others = HashMap::new();
        let mut own_is_there = false;
        let children = store
            .children(&layout::usage_changes(), None, RECORDS)
            .await?;
        for child in children {
            if child.name == own {
                own_is_there = true;
            } else if let Ok(id) = child.name.parse()
                && let Some(record) = store.get(&layout::usage_changed_by(&id)).await?
                && let Some(changes) = parse::<Changes>(&record)
            {
                others.insert(child.name, changes);
            }
        }
        let mut state = self.lock();
        if let Some((totals, repositories)) = news {
            state.raw = raw;
            state.totals = totals;
            state.measured = repositories;
        }
        state.others = others;
        let began = state.began();
        state.dirty |= state.mine.forget_before(began);
        // Somebody has cleared it away, and it has changed meanwhile.
        state.dirty |= !own_is_there && !state.mine.repositories.is_empty();
        state.read = Some(begun);
        let State { ledger, .. } = &mut *state;
        ledger.outdated();
        Ok(())
    }

    /// Removes the records that tell of nothing since a collection began, and
    /// whose processes have ended.
    async fn clear_away(&self, registry: &Registry, began: u64) -> Result<(), Error> {
        let ended: Vec<String> = {
            let state = self.lock();
            let ended = state.others.iter().filter(|(_, changes)| {
                changes.is_before(began) && now().saturating_sub(changes.written) > ALIVE
            });
            ended.map(|(id, _)| id.clone()).collect()
        };
        for id in ended {
            if let Ok(id) = id.parse() {
                let key = layout::usage_changed_by(&id);
                registry.store().delete(&key).await?;
            }
        }
        Ok(())
    }
}

impl State {
    /// When the last collection began; before everything if there was none.
    fn began(&self) -> u64 {
        self.totals.as_ref().map_or(0, |totals| totals.began)
    }

    /// All that is known of what has changed since.
    fn changes(&self) -> impl Iterator<Item = &Changes> {
        self.others.values().chain([&self.mine])
    }

    /// How many bytes a repository holds.
    fn size(&self, repository: &str) -> u64 {
        let held = self.measured.get(repository).copied().unwrap_or_default();
        let changed = self.changed(repository).bytes();
        (held.unique.saturating_add(held.shared)).saturating_add_signed(changed)
    }

    fn changed(&self, repository: &str) -> Change {
        let began = self.began();
        self.changes()
            .map(|changes| changes.since(began, repository))
            .fold(Change::default(), Change::plus)
    }

    /// Notes a change of this moment.
    fn note(&mut self, repository: &str, change: Change) {
        self.mine.add(repository, change, now());
        self.ledger.changed(repository, change.bytes());
        self.dirty = true;
    }

    /// What is to be written, if anything; taken for written.
    fn record(&mut self) -> Option<(UploadId, Changes)> {
        let (uploads, bytes) = self.ledger.open();
        let counted = (self.mine.uploads, self.mine.upload_bytes);
        let aged = uploads > 0 && now().saturating_sub(self.mine.written) > UPLOADS / 2;
        if !self.dirty && !aged && counted == (uploads, bytes) {
            return None;
        }
        self.dirty = false;
        self.mine.written = now();
        (self.mine.uploads, self.mine.upload_bytes) = (uploads, bytes);
        let written = (self.id, self.mine.clone());
        if self.mine.repositories.len() >= REPOSITORIES {
            let mut full = std::mem::take(&mut self.mine);
            (full.uploads, full.upload_bytes) = (0, 0);
            self.others.insert(self.id.to_string(), full);
            self.id = UploadId::random();
        }
        Some(written)
    }
}

fn now() -> u64 {
    microseconds(SystemTime::now())
}
