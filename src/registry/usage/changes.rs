//! What one process has changed since the last collection: kept in memory and
//! written to a record of its own, which the other processes read.
//!
//! Each change has its time, since a collection counts everything that was
//! there when it began: what changed before is in its measure. Times lie in
//! spans, so that memory is bounded by repositories and not by pushes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Spans that are kept apart for one repository.
const SPANS: usize = 8;

/// What was added, or taken away where it is negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::registry) struct Change {
    /// Bytes that nobody else is known to need.
    pub(in crate::registry) unique: i64,
    /// Bytes that others need too.
    pub(in crate::registry) shared: i64,
    pub(in crate::registry) manifests: i64,
    pub(in crate::registry) tags: i64,
    /// Bytes that wait for a collection.
    pub(in crate::registry) waiting: i64,
}

/// Changes within a time, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[i64; 7]", into = "[i64; 7]")]
pub(super) struct Span {
    first: u64,
    last: u64,
    change: Change,
}

/// What one process has changed, and what it has open.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Changes {
    /// When this was written, in microseconds since 1970.
    pub(super) written: u64,
    /// Upload sessions that it knows.
    pub(super) uploads: u64,
    /// Their bytes.
    pub(super) upload_bytes: u64,
    pub(super) repositories: BTreeMap<String, Vec<Span>>,
}

impl Changes {
    /// Adds a change of this moment.
    pub(super) fn add(&mut self, repository: &str, change: Change, now: u64) {
        if change == Change::default() {
            return;
        }
        let spans = self.repositories.entry(repository.to_owned()).or_default();
        match spans.last_mut() {
            Some(span) if now <= span.last => span.extend(change, now),
            _ => spans.push(Span {
                first: now,
                last: now,
                change,
            }),
        }
        if spans.len() > SPANS {
            merge_closest(spans);
        }
    }

    /// What changed in a repository since a collection began.
    pub(super) fn since(&self, began: u64, repository: &str) -> Change {
        let spans = self.repositories.get(repository).into_iter().flatten();
        sum(spans, began)
    }

    /// What changed in all since a collection began.
    pub(super) fn all_since(&self, began: u64) -> Change {
        sum(self.repositories.values().flatten(), began)
    }

    /// Whether everything in it is older than a collection.
    pub(super) fn is_before(&self, began: u64) -> bool {
        let mut spans = self.repositories.values().flatten();
        spans.all(|span| span.last < began)
    }

    /// Forgets what is older than a collection; says whether that was something.
    pub(super) fn forget_before(&mut self, began: u64) -> bool {
        let mut forgot = false;
        self.repositories.retain(|_, spans| {
            let before = spans.len();
            spans.retain(|span| span.last >= began);
            forgot |= spans.len() < before;
            !spans.is_empty()
        });
        forgot
    }
}

impl Change {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            unique: self.unique.saturating_add(other.unique),
            shared: self.shared.saturating_add(other.shared),
            manifests: self.manifests.saturating_add(other.manifests),
            tags: self.tags.saturating_add(other.tags),
            waiting: self.waiting.saturating_add(other.waiting),
        }
    }

    /// How many bytes more the repository holds.
    pub(in crate::registry) fn bytes(self) -> i64 {
        self.unique.saturating_add(self.shared)
    }

    /// So many bytes came into the store.
    pub(in crate::registry) fn unique(bytes: u64) -> Self {
        Self {
            unique: signed(bytes),
            ..Self::default()
        }
    }

    /// So many bytes were taken over from another repository.
    pub(in crate::registry) fn shared(bytes: u64) -> Self {
        Self {
            shared: signed(bytes),
            ..Self::default()
        }
    }

    /// The repository needs so many bytes no more.
    pub(in crate::registry) fn unlinked(bytes: u64) -> Self {
        Self {
            unique: -signed(bytes),
            waiting: signed(bytes),
            ..Self::default()
        }
    }

    /// The same, and so many tags more.
    pub(in crate::registry) fn with_tags(self, tags: i64) -> Self {
        Self { tags, ..self }
    }
}

impl Span {
    fn extend(&mut self, change: Change, last: u64) {
        self.last = self.last.max(last);
        self.change = self.change.plus(change);
    }
}

pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn sum<'a>(spans: impl Iterator<Item = &'a Span>, began: u64) -> Change {
    spans
        .filter(|span| span.last >= began)
        .fold(Change::default(), |all, span| all.plus(span.change))
}

/// Makes one of the two spans between which the least time is.
fn merge_closest(spans: &mut Vec<Span>) {
    let gaps = spans.windows(2).enumerate().filter_map(|(at, pair)| {
        let [one, next] = pair else { return None };
        Some((next.first.saturating_sub(one.last), at))
    });
    if let Some((_, at)) = gaps.min() {
        let next = spans.remove(at + 1);
        if let Some(span) = spans.get_mut(at) {
            span.extend(next.change, next.last);
        }
    }
}

impl From<[i64; 7]> for Span {
    fn from([first, last, unique, shared, manifests, tags, waiting]: [i64; 7]) -> Self {
        Self {
            first: first.unsigned_abs(),
            last: last.unsigned_abs(),
            change: Change {
                unique,
                shared,
                manifests,
                tags,
                waiting,
            },
        }
    }
}

impl From<Span> for [i64; 7] {
    fn from(span: Span) -> Self {
        let Change {
            unique,
            shared,
            manifests,
            tags,
            waiting,
        } = span.change;
        [
            span.first.cast_signed(),
            span.last.cast_signed(),
            unique,
            shared,
            manifests,
            tags,
            waiting,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(unique: i64) -> Change {
        Change {
            unique,
            ..Change::default()
        }
    }

    #[test]
    fn what_a_collection_has_seen_counts_no_more() {
        let mut changes = Changes::default();
        changes.add("a", bytes(1), 1_000);
        changes.add("a", bytes(2), 1_000);
        changes.add("a", bytes(4), 9_000);
        changes.add("b", bytes(8), 2_000);
        assert_eq!(changes.since(0, "a").unique, 7);
        assert_eq!(changes.since(1_500, "a").unique, 4);
        assert_eq!(changes.all_since(2_000).unique, 12);
        assert!(changes.forget_before(2_001));
        assert!(!changes.forget_before(2_001));
        assert_eq!(changes.repositories.len(), 1);
        assert!(changes.is_before(9_001) && !changes.is_before(9_000));
    }

    #[test]
    fn spans_are_bounded_and_lose_nothing() {
        let mut changes = Changes::default();
        for second in 0..1_000_u64 {
            changes.add("a", bytes(1), second * second * 1_000);
        }
        assert_eq!(changes.repositories["a"].len(), SPANS);
        assert_eq!(changes.since(0, "a").unique, 1_000);
        let text = serde_json::to_string(&changes).unwrap();
        let again: Changes = serde_json::from_str(&text).unwrap();
        assert_eq!(again.repositories, changes.repositories);
    }
}
