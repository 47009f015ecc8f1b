//! The keys that tokens are signed with: one for each period, made by whichever
//! replica needs it first and kept in the storage, where all replicas find it.
//!
//! What the storage holds counts, within [`FRESH`]: a record that is removed
//! there takes its tokens with it. A name that nobody has made costs one look
//! per second at most, whatever requests bring.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::key::{SigningKey, period_of};
use super::{Failed, LIFETIMES};
use crate::storage::{Created, StorageError, Store, layout};

/// How long a record that was read counts without another look.
const FRESH: Duration = Duration::from_secs(30);

/// The least time between two looks for a key that was not there.
const PAUSE: Duration = Duration::from_secs(1);

/// How far the clocks of replicas may be apart.
const SKEW: Duration = Duration::from_secs(60);

/// The keys, as far as they are known.
pub(super) struct Keys {
    store: Arc<dyn Store>,
    period: Duration,
    slots: Mutex<BTreeMap<u64, Slot>>,
    /// Whoever has it reads or writes the storage.
    reading: tokio::sync::Mutex<()>,
}

/// What is known of one period.
#[derive(Clone)]
struct Slot {
    key: Option<Arc<SigningKey>>,
    /// Whether the storage has it; a key that couldn't be kept is this
    /// process's alone.
    kept: bool,
    looked: Instant,
}

impl Keys {
    /// Those in `store`, a new one each `period`.
    pub(super) fn new(store: Arc<dyn Store>, period: Duration) -> Self {
        Self {
            store,
            period,
            slots: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// The key of the name `id`, if it still counts.
    ///
    /// # Errors
    /// The storage can't be read, and the key is not known yet.
    pub(super) async fn named(
        &self,
        id: &str,
        now: SystemTime,
    ) -> Result<Option<Arc<SigningKey>>, StorageError> {
        let Some(period) = period_of(id).filter(|period| self.counts(*period, now)) else {
            return Ok(None);
        };
        let is = |key: &Arc<SigningKey>| key.id() == id;
        let known = |slot: Slot| slot.key.filter(is);
        if let Some(slot) = self.slot(period) {
            let age = slot.looked.elapsed();
            let key = known(slot);
            if age < PAUSE || (age < FRESH && key.is_some()) {
                return Ok(key);
            }
        }
        let _reading = self.reading.lock().await;
        match self.slot(period) {
            // Somebody else has just looked.
            Some(slot) if slot.looked.elapsed() < PAUSE => return Ok(known(slot)),
            _ => {}
        }
        Ok(self.look(period).await?.and_then(known))
    }

    /// The key to sign with now: made if there is none.
    pub(super) async fn current(&self, now: SystemTime) -> Result<Arc<SigningKey>, Failed> {
        let period = self.number(now);
        let fresh = |slot: Slot| slot.key.filter(|_| slot.looked.elapsed() < FRESH);
        if let Some(key) = self.slot(period).and_then(fresh) {
            return Ok(key);
        }
        let _reading = self.reading.lock().await;
        if let Some(key) = self.slot(period).and_then(fresh) {
            return Ok(key);
        }
        if let Some(key) = self.look(period).await?.and_then(|slot| slot.key)
            && self.slot(period).is_some_and(|slot| slot.kept)
        {
            return Ok(key);
        }
        self.make(period, now).await
    }

    /// Makes the key of a period, or takes the one that another replica has
    /// made meanwhile.
    async fn make(&self, period: u64, now: SystemTime) -> Result<Arc<SigningKey>, Failed> {
        let own = match self.slot(period).and_then(|slot| slot.key) {
            Some(unkept) => unkept,
            None => Arc::new(SigningKey::random(period)?),
        };
        let name = layout::token_key(period);
        match self.store.create(&name, own.record()).await {
            Ok(Created::New) => {
                self.keep(period, Some(Arc::clone(&own)), true);
                self.remove_old(now).await;
                Ok(own)
            }
            Ok(Created::Exists) => {
                let theirs = self.look(period).await?.and_then(|slot| slot.key);
                theirs.ok_or_else(|| Failed::key("its record can't be read back"))
            }
            // A full or read-only volume: pulls go on all the same.
            Err(error) => {
                tracing::warn!(%error, "tokens are signed with a key that only this replica knows");
                self.keep(period, Some(Arc::clone(&own)), false);
                Ok(own)
            }
        }
    }

    /// Reads the record of a period. Where that can't be done, what is known
    /// goes on counting.
    async fn look(&self, period: u64) -> Result<Option<Slot>, StorageError> {
        let known = self.slot(period);
        let name = layout::token_key(period);
        let record = match (self.store.get(&name).await, &known) {
            (Ok(record), _) => record,
            (
                Err(error),
                Some(Slot {
                    key: Some(key),
                    kept,
                    ..
                }),
            ) => {
                tracing::warn!(%error, "the key of tokens can't be read again: the one that is known stays");
                self.keep(period, Some(Arc::clone(key)), *kept);
                return Ok(self.slot(period));
            }
            (Err(error), _) => return Err(error),
        };
        let key = match record.map(|record| SigningKey::read(period, &record)) {
            Some(Some(key)) => Some(Arc::new(key)),
            Some(None) => {
                tracing::error!(
                    key = %name.as_str(),
                    "the record of a key of tokens is broken: it is removed, and another one made"
                );
                self.store.delete(&name).await?;
                None
            }
            None => None,
        };
        match (key, known) {
            (Some(key), _) => self.keep(period, Some(key), true),
            (None, Some(own)) if !own.kept && own.key.is_some() => {
                self.keep(period, own.key, false);
            }
            (None, _) => self.keep(period, None, true),
        }
        Ok(self.slot(period))
    }

    /// Removes the records of periods whose tokens are all over.
    async fn remove_old(&self, now: SystemTime) {
        let prefix = layout::token_keys();
        let Ok(children) = self.store.children(&prefix, None, 1000).await else {
            return;
        };
        for child in children {
            let over = child
                .name
                .parse()
                .ok()
                .filter(|old| self.is_over(*old, now));
            if let Some(old) = over
                && let Err(error) = self.store.delete(&layout::token_key(old)).await
            {
                tracing::warn!(%error, "an old key of tokens can't be removed");
            }
        }
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|period, _| !self.is_over(*period, now));
    }

    fn slot(&self, period: u64) -> Option<Slot> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(&period).cloned()
    }

    fn keep(&self, period: u64, key: Option<Arc<SigningKey>>, kept: bool) {
        let slot = Slot {
            key,
            kept,
            looked: Instant::now(),
        };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(period, slot);
    }

    /// Whether tokens of a period may still, or already, be about.
    fn counts(&self, period: u64, now: SystemTime) -> bool {
        period <= self.number(now + SKEW) && !self.is_over(period, now)
    }

    /// Whether even the last token of a period has run out, however long the
    /// replica that made it lets them last.
    fn is_over(&self, period: u64, now: SystemTime) -> bool {
        let tail = *LIFETIMES.end() + SKEW;
        now.checked_sub(tail)
            .is_some_and(|last| period < self.number(last))
    }

    fn number(&self, time: SystemTime) -> u64 {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs() / self.period.as_secs().max(1)
    }
}
