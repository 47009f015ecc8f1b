//! The registry's own words for what it is about to add to a repository, and
//! for what it has added or taken away.

use super::changes::{Change, signed};
use super::{State, Usage, now};
use crate::oci::{Digest, Part, UploadId};
use crate::registry::{Error, Repository};
use crate::storage::Stage;

/// Bytes that are reserved until they are linked, or given back when dropped.
pub(in crate::registry) struct Charge {
    repository: Repository,
    key: String,
}

impl Repository {
    /// Refuses if a quota of this repository leaves nothing at all.
    pub(in crate::registry) async fn check_quota(&self) -> Result<(), Error> {
        if self.settings().quotas.is_empty() {
            return Ok(());
        }
        self.registry.usage().ready(&self.registry).await?;
        self.quotas_known().ledger.check_left(self.name())
    }

    /// Reserves what is about to be linked, if the quota allows it.
    pub(in crate::registry) async fn charge(&self, bytes: u64) -> Result<Charge, Error> {
        let charge = Charge {
            repository: self.clone(),
            key: format!("charge {}", UploadId::random()),
        };
        if bytes > 0 && !self.settings().quotas.is_empty() {
            self.registry.usage().ready(&self.registry).await?;
            let mut state = self.quotas_known();
            let name = self.name();
            state.ledger.reserve(&charge.key, name, false, bytes)?;
        }
        Ok(charge)
    }

    /// This repository holds more, or less.
    pub(in crate::registry) fn note_usage(&self, change: Change) {
        self.registry
            .usage()
            .lock()
            .note(self.name().as_str(), change);
    }

    /// This repository holds nothing any more, and so many bytes wait for a
    /// collection with it in all.
    pub(in crate::registry) fn note_nothing_left(&self, freed: u64) {
        let mut state = self.registry.usage().lock();
        let name = self.name().as_str();
        let left = state.usage_of(name);
        let waiting = state.changed(name).waiting.unsigned_abs();
        let gone = Change {
            unique: -signed(left.unique),
            shared: -signed(left.shared),
            manifests: -signed(left.manifests),
            tags: -signed(left.tags),
            waiting: signed(freed.saturating_sub(waiting)),
        };
        state.note(name, gone);
    }

    /// An upload has become a blob, of so many bytes more.
    pub(in crate::registry) fn note_committed(&self, stage: &Stage, blob: &Digest, bytes: u64) {
        let mut state = self.registry.usage().lock();
        state.ledger.release(stage.as_str());
        state.note(self.name().as_str(), Change::unique(bytes));
        if bytes > 0 {
            state.recent.linked(self.name(), blob, now());
        }
    }

    /// Another repository's blob is this one's too, of so many bytes more.
    pub(in crate::registry) fn note_mounted(&self, charge: Charge, blob: &Digest, bytes: u64) {
        charge.done(Change::shared(bytes));
        if bytes > 0 {
            let mut state = self.registry.usage().lock();
            state.recent.linked(self.name(), blob, now());
        }
    }

    /// A manifest is linked that names these.
    pub(in crate::registry) fn note_manifest(
        &self,
        charge: Charge,
        change: Change,
        parts: &[Part],
    ) {
        charge.done(change);
        let mut state = self.registry.usage().lock();
        let began = state.began();
        for part in parts {
            if state.recent.named(self.name(), &part.digest, began) {
                state.note(self.name().as_str(), Change::unique(part.size));
            }
        }
    }

    /// What is known, with the quotas as they are configured now.
    pub(super) fn quotas_known(&self) -> std::sync::MutexGuard<'_, State> {
        let quotas = &self.settings().quotas;
        let mut state = self.registry.usage().lock();
        if state.ledger.needs(quotas) {
            let held: Vec<(String, u64)> = if quotas.is_empty() {
                Vec::new()
            } else {
                state.sizes()
            };
            state.ledger.sum_up(quotas, held.into_iter());
        }
        state
    }
}

impl Charge {
    /// What was charged is linked.
    fn done(self, change: Change) {
        let mut state = self.repository.registry.usage().lock();
        state.ledger.release(&self.key);
        state.note(self.repository.name().as_str(), change);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut state = self.repository.registry.usage().lock();
        state.ledger.release(&self.key);
    }
}

impl Usage {
    /// An upload session was begun.
    pub(in crate::registry) fn session_begun(&self, repository: &Repository, stage: &Stage) {
        let mut state = self.lock();
        state.ledger.settle(stage.as_str(), repository.name(), 0);
    }

    /// An upload session has ended.
    pub(in crate::registry) fn session_ended(&self, stage: &Stage) {
        self.lock().ledger.release(stage.as_str());
    }
}

impl State {
    /// The size of everything that is known.
    fn sizes(&self) -> Vec<(String, u64)> {
        let measured = self.measured.keys();
        let changed = self
            .changes()
            .flat_map(|changes| changes.repositories.keys());
        let names: std::collections::BTreeSet<&String> = measured.chain(changed).collect();
        names
            .into_iter()
            .map(|name| (name.clone(), self.size(name)))
            .collect()
    }
}
