//! Failures that come in floods: some have a line each, the rest is counted in
//! one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Entry, Event};

/// Lines of one kind, from one caller, in one second.
const LINES: u64 = 10;

/// Callers that are told apart in one second.
const CALLERS: usize = 1000;

const SECOND: Duration = Duration::from_secs(1);

/// What was counted in each caller's second.
#[derive(Default)]
pub(super) struct Flood(HashMap<Key, Counted>);

type Key = (Event, Option<String>, Option<String>);

struct Counted {
    since: Instant,
    lines: u64,
    suppressed: u64,
    /// The last that had no line.
    last: Option<Entry>,
}

impl Flood {
    /// Whether an entry has a line of its own, and how many like it had none
    /// in the seconds before.
    pub(super) fn admit(&mut self, entry: &Entry, now: Instant) -> Option<u64> {
        let mut key = key(entry);
        if self.0.len() >= CALLERS && !self.0.contains_key(&key) {
            key = (entry.event, None, None);
        }
        let fresh = || Counted {
            since: now,
            lines: 0,
            suppressed: 0,
            last: None,
        };
        let counted = self.0.entry(key).or_insert_with(fresh);
        let mut before = 0;
        if now.duration_since(counted.since) >= SECOND {
            before = counted.suppressed;
            *counted = fresh();
        }
        if counted.lines < LINES {
            counted.lines += 1;
            return Some(before);
        }
        counted.suppressed += 1;
        counted.last = Some(entry.clone());
        None
    }

    /// Forgets seconds that are over: the last entry of each that had no line,
    /// and how many others had none.
    pub(super) fn over(&mut self, now: Instant) -> Vec<(Entry, u64)> {
        let mut over = Vec::new();
        self.0.retain(|_, counted| {
            let runs = now.duration_since(counted.since) < SECOND;
            if !runs && let Some(entry) = counted.last.take() {
                over.push((entry, counted.suppressed - 1));
            }
            runs
        });
        over
    }
}

/// Failed logins are an address's, since the name is of its choice; what is
/// denied is a user's, wherever they are.
fn key(entry: &Entry) -> Key {
    match (entry.event, &entry.user) {
        (Event::Denied, Some(user)) => (entry.event, Some(user.clone()), None),
        _ => (entry.event, None, entry.address.clone()),
    }
}
