//! What clients asked for and what they were answered: the memory that a
//! registry is held to after a fault.
//!
//! Each operation has a beginning, an end and an outcome. What a name may hold
//! afterwards follows from that alone ([`View::allowed`]): any value that was
//! written by an operation which no acknowledged later one has overwritten.
//! An operation that was never answered, or with an error, may have happened or
//! not; it ended, at the latest, with the process that it was sent to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::goods::Content;

/// Something in one repository that a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A blob, by its digest.
    Blob(String, String),
    /// A manifest, by its digest.
    Manifest(String, String),
    /// A tag, which holds a manifest's digest.
    Tag(String, String),
}

/// What an operation does, if it happens.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The key holds this digest: for blobs and manifests, their own.
    Put(Key, String),
    /// The key holds nothing.
    Delete(Key),
    /// Every tag of this repository that names this manifest goes.
    Untag(String, String),
}

/// How an operation ended for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx.
    Acknowledged,
    /// Another status.
    Refused(u16),
    /// No whole answer.
    Unanswered,
}

#[derive(Clone)]
struct Operation {
    effects: Vec<Effect>,
    start: Instant,
    /// `None` while it may still be running.
    end: Option<Instant>,
    acknowledged: bool,
}

/// An upload that was begun and not closed.
#[derive(Clone)]
pub struct Session {
    /// Where it was last said to be.
    pub location: String,
    /// In which repository.
    pub repository: String,
    /// What it becomes.
    pub content: Arc<Content>,
    /// The most bytes that were ever sent to it.
    pub sent: usize,
}

/// A running operation, to be ended.
#[derive(Clone, Copy)]
pub struct Ticket(usize);

#[derive(Default)]
struct State {
    operations: Vec<Operation>,
    contents: BTreeMap<String, Arc<Content>>,
    sessions: BTreeMap<u64, Session>,
    next_session: u64,
    statuses: BTreeMap<u16, usize>,
    torn: Vec<String>,
}

/// The book that all clients write.
pub struct Ledger {
    opened: Instant,
    state: Mutex<State>,
}

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

impl Ledger {
    pub fn new() -> Arc<Ledger> {
        Arc::new(Ledger {
            opened: Instant::now(),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is about to be sent.
    pub fn knows(&self, content: &Arc<Content>) {
        let mut state = self.state();
        state
            .contents
            .entry(content.digest.clone())
            .or_insert_with(|| Arc::clone(content));
    }

    /// An operation is about to be sent.
    pub fn begin(&self, effects: Vec<Effect>) -> Ticket {
        let mut state = self.state();
        state.operations.push(Operation {
            effects,
            start: Instant::now(),
            end: None,
            acknowledged: false,
        });
        Ticket(state.operations.len() - 1)
    }

    /// Its answer was read, or never will be.
    pub fn end(&self, ticket: Ticket, outcome: Outcome) {
        let now = Instant::now();
        let mut state = self.state();
        let status = match outcome {
            Outcome::Acknowledged => 200,
            Outcome::Refused(status) => status,
            Outcome::Unanswered => 0,
        };
        *state.statuses.entry(status).or_default() += 1;
        let operation = &mut state.operations[ticket.0];
        operation.acknowledged = outcome == Outcome::Acknowledged;
        operation.end = (outcome != Outcome::Unanswered).then_some(now);
    }

    /// The server is dead: whatever was not answered has ended.
    pub fn crashed(&self) {
        let now = Instant::now();
        for operation in &mut self.state().operations {
            operation.end.get_or_insert(now);
        }
    }

    /// An upload was begun.
    pub fn opens(&self, session: Session) -> u64 {
        let mut state = self.state();
        state.next_session += 1;
        let id = state.next_session;
        state.sessions.insert(id, session);
        id
    }

    /// So many of its bytes are about to have been sent.
    pub fn sends(&self, id: u64, sent: usize) {
        if let Some(session) = self.state().sessions.get_mut(&id) {
            session.sent = session.sent.max(sent);
        }
    }

    /// It was told to be elsewhere.
    pub fn moves(&self, id: u64, location: &str) {
        if let Some(session) = self.state().sessions.get_mut(&id) {
            session.location = location.to_owned();
        }
    }

    /// It is about to be closed, or nobody will ask for it any more.
    pub fn closes(&self, id: u64) {
        self.state().sessions.remove(&id);
    }

    /// Nobody goes on with the uploads that were begun so far.
    pub fn forgets_sessions(&self) {
        self.state().sessions.clear();
    }

    /// Something was served that is not what it should be.
    pub fn tears(&self, what: String) {
        self.state().torn.push(what);
    }

    /// How many operations were acknowledged.
    pub fn acknowledged(&self) -> usize {
        let state = self.state();
        state
            .operations
            .iter()
            .filter(|one| one.acknowledged)
            .count()
    }

    /// How often each status was answered; 200 for every 2xx, 0 for no answer.
    pub fn statuses(&self) -> BTreeMap<u16, usize> {
        self.state().statuses.clone()
    }

    /// A key that was acknowledged to be there and not deleted since, the
    /// `number`-th of those that `wanted` accepts, counted in circles.
    pub fn pick(&self, number: usize, wanted: impl Fn(&Key, &Content) -> bool) -> Option<Key> {
        // The latest ones: a walk through thousands of names would slow the load.
        const LOOKED_AT: usize = 200;
        let state = self.state();
        let recent = state.operations.iter().rev().take(LOOKED_AT);
        let keys: Vec<&Key> = recent
            .filter(|operation| operation.acknowledged)
            .flat_map(|operation| &operation.effects)
            .filter_map(|effect| match effect {
                Effect::Put(key, digest) => Some((key, state.contents.get(digest)?)),
                _ => None,
            })
            .filter(|(key, content)| wanted(key, content))
            .map(|(key, _)| key)
            .collect();
        let place = number.checked_rem(keys.len())?;
        keys.get(place).map(|key| (*key).clone())
    }

    /// The content of a digest.
    pub fn content(&self, digest: &str) -> Option<Arc<Content>> {
        self.state().contents.get(digest).cloned()
    }

    /// The book now, when no operation is running any more.
    pub fn view(&self) -> View {
        let now = Instant::now();
        self.as_of(now, now)
    }

    /// The book as of a moment between `before` and `after`: only what was
    /// answered by `before` counts as answered, and what was begun behind
    /// `after` does not count.
    pub fn as_of(&self, before: Instant, after: Instant) -> View {
        let state = self.state();
        let began = |operation: &&Operation| operation.start <= after;
        let operations: Vec<Operation> = state
            .operations
            .iter()
            .filter(began)
            .cloned()
            .map(|mut operation| {
                if operation.end.is_none_or(|end| end >= before) {
                    operation.acknowledged = false;
                    operation.end = Some(after);
                }
                operation
            })
            .collect();
        View::of(
            self.opened,
            operations,
            state.contents.clone(),
            state.sessions.values().cloned().collect(),
            state.torn.clone(),
        )
    }
}

impl View {
    fn of(
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
