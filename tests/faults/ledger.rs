//! What clients asked for and what they were answered: the memory that a
//! registry is held to after a fault.
//!
//! Each operation has a beginning, an end and an outcome; what a name may hold
//! afterwards follows from that alone ([`View`]). An operation that was never
//! answered, or with an error, may have happened or not; it ended, at the
//! latest, with the process that it was sent to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::goods::Content;
use crate::view::View;

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

/// One request.
#[derive(Clone)]
pub struct Operation {
    pub effects: Vec<Effect>,
    pub start: Instant,
    /// `None` while it may still be running.
    pub end: Option<Instant>,
    pub acknowledged: bool,
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
