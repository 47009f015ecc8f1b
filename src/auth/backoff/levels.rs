//! How many wrong passwords there were lately, for each address or user: a
//! bucket that a wrong password fills by one and a minute empties. Only what
//! cost a hash is counted, so that the table grows no faster than processors
//! hash; it is bounded all the same.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// In which time a full bucket is empty again.
const MINUTE: u64 = 60_000;

/// How many addresses or users are counted: 24 bytes each.
const MAX_ENTRIES: usize = 16_384;

/// The time between two lines in the log about the same.
const TELL_EVERY: u64 = 10 * MINUTE;

/// Buckets by the keyed hash of what they are for: clients choose the names of
/// users, which may be long.
#[derive(Debug)]
pub(super) struct Levels<T> {
    /// Milliseconds that a wrong password counts; 0 is not at all.
    each: u64,
    started: Instant,
    hasher: RandomState,
    buckets: Mutex<HashMap<u64, Bucket>>,
    /// When the last bucket is empty: before, they need not be looked at.
    busy_until: AtomicU64,
    of: std::marker::PhantomData<fn(&T)>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it is empty (the "theoretical arrival time" of ATM's generic cell
    /// rate algorithm), in milliseconds since the start.
    empty: u64,
    /// When it was told last that it is full.
    told: Option<u64>,
}

impl<T: Hash> Levels<T> {
    /// Full after so many at once, or in a minute.
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            each: MINUTE
                .checked_div(u64::from(per_minute))
                .map_or(0, |each| each.max(1)),
            started: Instant::now(),
            hasher: RandomState::new(),
            buckets: Mutex::default(),
            busy_until: AtomicU64::new(0),
            of: std::marker::PhantomData,
        }
    }

    /// How long until there is room for one more; `None` if there is.
    pub(super) fn wait(&self, whose: &T, now: Instant) -> Option<Duration> {
        let now = self.since_start(now);
        if self.busy_until.load(Ordering::Relaxed) <= now {
            return None;
        }
        let empty = self.buckets().get(&self.hasher.hash_one(whose))?.empty;
        let wait = (empty + self.each).saturating_sub(now + MINUTE);
        (wait > 0).then(|| Duration::from_millis(wait))
    }

    /// Counts one; says whether that is to be told.
    pub(super) fn add(&self, whose: &T, now: Instant) -> bool {
        if self.each == 0 {
            return false;
        }
        let now = self.since_start(now);
        let key = self.hasher.hash_one(whose);
        let mut buckets = self.buckets();
        if buckets.len() >= MAX_ENTRIES && !buckets.contains_key(&key) {
            make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(key).or_insert(Bucket {
            empty: now,
            told: None,
        });
        // Those that were admitted together may overfill it, within reason.
        bucket.empty = (bucket.empty.max(now) + self.each).min(now + 2 * MINUTE);
        let full = bucket.empty + self.each > now + MINUTE;
        let due = bucket.told.is_none_or(|told| now >= told + TELL_EVERY);
        let tell = full && due;
        if tell {
            bucket.told = Some(now);
        }
        self.busy_until.fetch_max(bucket.empty, Ordering::Relaxed);
        tell
    }

    fn since_start(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<u64, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets those that are empty, and if there are none, the emptiest.
fn make_room(buckets: &mut HashMap<u64, Bucket>, now: u64) {
    buckets.retain(|_, bucket| bucket.empty > now);
    if buckets.len() < MAX_ENTRIES {
        return;
    }
    let emptiest = buckets.iter().min_by_key(|(_, bucket)| bucket.empty);
    if let Some(key) = emptiest.map(|(key, _)| *key) {
        buckets.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_fills_at_once_and_empties_in_a_minute() {
        let levels = Levels::new(60);
        let now = Instant::now();
        for _ in 0..60 {
            assert_eq!(levels.wait(&"a", now), None);
            levels.add(&"a", now);
        }
        assert_eq!(levels.wait(&"a", now), Some(SECOND));
        assert_eq!(levels.wait(&"b", now), None);
        assert_eq!(levels.wait(&"a", now + SECOND), None);
        levels.add(&"a", now + SECOND);
        assert_eq!(levels.wait(&"a", now + SECOND), Some(SECOND));
        assert_eq!(levels.wait(&"a", now + 30 * SECOND), None);
        for _ in 0..29 {
            levels.add(&"a", now + 30 * SECOND);
        }
        assert_eq!(levels.wait(&"a", now + 30 * SECOND), Some(SECOND));
    }

    #[test]
    fn nobody_waits_longer_than_a_minute_and_one() {
        let levels = Levels::new(10);
        let now = Instant::now();
        for _ in 0..1000 {
            levels.add(&"a", now);
        }
        let wait = levels.wait(&"a", now).unwrap();
        assert!(wait <= 66 * SECOND, "{wait:?}");
    }

    #[test]
    fn it_is_told_once_in_ten_minutes() {
        let levels = Levels::new(2);
        let now = Instant::now();
        let told = |after: u32| levels.add(&"a", now + after * SECOND);
        assert_eq!([told(0), told(0), told(0)], [false, true, false]);
        assert!(!told(100));
        assert!(!told(101));
        assert!(!told(700));
        assert!(told(701));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_fullest() {
        let levels = Levels::new(2);
        let now = Instant::now();
        for _ in 0..2 {
            levels.add(&0, now);
        }
        for number in 1..=(MAX_ENTRIES + 10) {
            levels.add(&number, now);
        }
        assert_eq!(levels.buckets().len(), MAX_ENTRIES);
        assert!(levels.wait(&0, now).is_some());
        levels.add(&usize::MAX, now + 61 * SECOND);
        assert_eq!(levels.buckets().len(), 1);
    }
}
