//! The ledger at one moment, and what a name may hold then: any value that was
//! written by an operation which no acknowledged later one has overwritten.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::goods::Content;
use crate::ledger::{Effect, Key, Operation, Session};

/// The book at one moment.
pub struct View {
    opened: Instant,
    operations: Vec<Operation>,
    by_key: HashMap<Key, Vec<(usize, Option<String>)>>,
    untags: HashMap<(String, String), Vec<usize>>,
    /// Everything that was ever sent, by digest.
    pub contents: BTreeMap<String, Arc<Content>>,
    /// Uploads that were not closed.
    pub sessions: Vec<Session>,
    /// What was served that is not what its digest says.
    pub torn: Vec<String>,
}

impl View {
    pub fn of(
        opened: Instant,
        operations: Vec<Operation>,
        contents: BTreeMap<String, Arc<Content>>,
        sessions: Vec<Session>,
        torn: Vec<String>,
    ) -> View {
        let mut by_key: HashMap<Key, Vec<(usize, Option<String>)>> = HashMap::new();
        let mut untags: HashMap<(String, String), Vec<usize>> = HashMap::new();
        for (number, operation) in operations.iter().enumerate() {
            for effect in &operation.effects {
                match effect {
                    Effect::Put(key, digest) => by_key
                        .entry(key.clone())
                        .or_default()
                        .push((number, Some(digest.clone()))),
                    Effect::Delete(key) => {
                        by_key.entry(key.clone()).or_default().push((number, None));
                    }
                    Effect::Untag(repository, digest) => untags
                        .entry((repository.clone(), digest.clone()))
                        .or_default()
                        .push(number),
                }
            }
        }
        View {
            opened,
            operations,
            by_key,
            untags,
            contents,
            sessions,
            torn,
        }
    }

    /// How many operations were acknowledged by then.
    pub fn acknowledged(&self) -> usize {
        let acknowledged = |one: &&Operation| one.acknowledged;
        self.operations.iter().filter(acknowledged).count()
    }

    /// Every name that anybody ever wrote to.
    pub fn keys(&self) -> BTreeSet<Key> {
        self.by_key.keys().cloned().collect()
    }

    /// What a name may hold: digests, and `None` where it may hold nothing.
    pub fn allowed(&self, key: &Key) -> BTreeSet<Option<String>> {
        let writes = self.by_key.get(key).map_or(&[][..], Vec::as_slice);
        let last_start = |numbers: &mut dyn Iterator<Item = usize>| {
            numbers
                .filter(|number| self.operations[*number].acknowledged)
                .map(|number| self.operations[number].start)
                .max()
        };
        let overwritten = last_start(&mut writes.iter().map(|(number, _)| *number));
        let is_last = |end: Instant| overwritten.is_none_or(|start| start <= end);
        let end_of = |number: usize| self.operations[number].end.unwrap_or_else(Instant::now);
        let mut allowed = BTreeSet::new();
        if is_last(self.opened) {
            allowed.insert(None);
        }
        for (number, value) in writes {
            let end = end_of(*number);
            let untags = match (key, value) {
                (Key::Tag(repository, _), Some(digest)) => self
                    .untags
                    .get(&(repository.clone(), digest.clone()))
                    .map_or(&[][..], Vec::as_slice),
                _ => &[],
            };
            let untagged = last_start(&mut untags.iter().copied());
            if is_last(end) && untagged.is_none_or(|start| start <= end) {
                allowed.insert(value.clone());
            }
            // The manifest's delete may have taken the tag, whatever came of it.
            if untags.iter().any(|number| is_last(end_of(*number))) {
                allowed.insert(None);
            }
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Outcome, Ticket};

    fn tag() -> Key {
        Key::Tag("r".into(), "t".into())
    }

    fn put(ledger: &Ledger, digest: &str) -> Ticket {
        ledger.begin(vec![Effect::Put(tag(), digest.into())])
    }

    fn allowed(ledger: &Ledger) -> Vec<String> {
        let allowed = ledger.view().allowed(&tag());
        allowed
            .into_iter()
            .map(|one| one.unwrap_or_default())
            .collect()
    }

    #[test]
    fn a_later_acknowledged_value_wins_and_overlapping_ones_both_may() {
        let ledger = Ledger::new();
        let first = put(&ledger, "a");
        ledger.end(first, Outcome::Acknowledged);
        assert_eq!(allowed(&ledger), ["a"]);
        let (second, third) = (put(&ledger, "b"), put(&ledger, "c"));
        ledger.end(second, Outcome::Acknowledged);
        ledger.end(third, Outcome::Acknowledged);
        assert_eq!(allowed(&ledger), ["b", "c"]);
    }

    #[test]
    fn what_was_not_acknowledged_may_be_there_until_it_is_overwritten() {
        let ledger = Ledger::new();
        let first = put(&ledger, "a");
        ledger.end(first, Outcome::Acknowledged);
        let second = put(&ledger, "b");
        ledger.end(second, Outcome::Unanswered);
        ledger.crashed();
        assert_eq!(allowed(&ledger), ["a", "b"]);
        let third = put(&ledger, "c");
        ledger.end(third, Outcome::Acknowledged);
        assert_eq!(allowed(&ledger), ["c"]);
    }

    #[test]
    fn a_manifest_that_is_deleted_takes_its_tags_with_it() {
        let ledger = Ledger::new();
        let first = put(&ledger, "a");
        ledger.end(first, Outcome::Acknowledged);
        let delete = ledger.begin(vec![Effect::Untag("r".into(), "a".into())]);
        assert_eq!(allowed(&ledger), ["", "a"]);
        ledger.end(delete, Outcome::Acknowledged);
        assert_eq!(allowed(&ledger), [""]);
    }

    #[test]
    fn only_what_was_answered_before_the_cut_counts() {
        let ledger = Ledger::new();
        let first = put(&ledger, "a");
        let before = Instant::now();
        ledger.end(first, Outcome::Acknowledged);
        let after = Instant::now();
        let second = put(&ledger, "b");
        ledger.end(second, Outcome::Acknowledged);
        let then = ledger.as_of(before, after).allowed(&tag());
        assert_eq!(then, BTreeSet::from([None, Some("a".to_owned())]));
    }
}
