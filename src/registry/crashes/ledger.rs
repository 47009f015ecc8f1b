//! What was asked for, and what was acknowledged: from it follows what may be
//! there after a crash at any moment.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::oci::UploadId;
use crate::storage::files::simulated::Machine;

/// Something that is there or not, by its repository and its number in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Blob(usize, usize),
    Manifest(usize, usize),
    Tag(usize, usize),
}

/// Which blob or manifest is there.
pub(super) type Value = Option<usize>;

/// One machine's history since its last crash.
pub(super) struct Ledger {
    machine: Machine,
    inside: RefCell<Inside>,
}

#[derive(Default)]
struct Inside {
    now: u64,
    before: BTreeMap<Object, Vec<Value>>,
    changes: BTreeMap<Object, Vec<Change>>,
    uploads: Vec<OpenUpload>,
}

struct Change {
    value: Value,
    began: u64,
    ended: Option<u64>,
    acknowledged: bool,
}

/// An upload that was begun and not closed.
#[derive(Debug, Clone)]
pub(super) struct OpenUpload {
    pub(super) repository: usize,
    pub(super) id: UploadId,
    pub(super) blob: usize,
    /// No more bytes than these were ever sent.
    pub(super) sent: u64,
}

impl Ledger {
    /// Begins with what is there, and uploads that were open.
    pub(super) fn new(
        machine: &Machine,
        before: BTreeMap<Object, Vec<Value>>,
        uploads: Vec<OpenUpload>,
    ) -> Self {
        Self {
            machine: machine.clone(),
            inside: RefCell::new(Inside {
                before,
                uploads,
                ..Inside::default()
            }),
        }
    }

    /// Runs what will change objects, and notes whether it was acknowledged.
    pub(super) async fn note<E>(
        &self,
        changes: &[(Object, Value)],
        act: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        let began = self.tick();
        for (object, value) in changes {
            let change = Change {
                value: *value,
                began,
                ended: None,
                acknowledged: false,
            };
            let mut inside = self.inside.borrow_mut();
            inside.changes.entry(*object).or_default().push(change);
        }
        let done = act.await;
        let ended = self.tick();
        let mut inside = self.inside.borrow_mut();
        for (object, _) in changes {
            let of_object = inside.changes.get_mut(object).into_iter().flatten();
            for change in of_object.filter(|change| change.began == began) {
                change.ended = Some(ended);
                change.acknowledged = done.is_ok();
            }
        }
        done
    }

    /// What an object may be at a moment: what the last acknowledged change
    /// said, or any that wasn't over when that one began.
    pub(super) fn possible(&self, object: Object, moment: u64) -> Vec<Value> {
        let inside = self.inside.borrow();
        let none = Vec::new();
        let changes = inside.changes.get(&object).unwrap_or(&none);
        let begun = || changes.iter().filter(|change| change.began <= moment);
        let over = |change: &Change| change.ended.filter(|ended| *ended <= moment);
        let settled = begun()
            .filter(|change| change.acknowledged && over(change).is_some())
            .map(|change| change.began)
            .max();
        let mut values: Vec<Value> = begun()
            .filter(|change| over(change).is_none_or(|ended| settled.is_none_or(|at| ended > at)))
            .map(|change| change.value)
            .collect();
        if settled.is_none() {
            match inside.before.get(&object) {
                Some(before) => values.extend(before),
                None => values.push(None),
            }
        }
        values
    }

    /// What an object is now, if that is certain.
    pub(super) fn certain(&self, object: Object) -> Option<Value> {
        let possible = self.possible(object, u64::MAX);
        let first = *possible.first()?;
        possible
            .iter()
            .all(|value| *value == first)
            .then_some(first)
    }

    pub(super) fn uploads(&self) -> Vec<OpenUpload> {
        self.inside.borrow().uploads.clone()
    }

    pub(super) fn opened(&self, upload: OpenUpload) {
        self.inside.borrow_mut().uploads.push(upload);
    }

    /// Bytes up to there may have come with a request that closes an upload.
    pub(super) fn sent(&self, id: &UploadId, size: u64) {
        let mut inside = self.inside.borrow_mut();
        let uploads = inside.uploads.iter_mut();
        for upload in uploads.filter(|upload| upload.id == *id) {
            upload.sent = size;
        }
    }

    pub(super) fn closed(&self, id: &UploadId) {
        let mut inside = self.inside.borrow_mut();
        inside.uploads.retain(|upload| upload.id != *id);
    }

    fn tick(&self) -> u64 {
        let mut inside = self.inside.borrow_mut();
        inside.now += 1;
        self.machine.tell(inside.now);
        inside.now
    }
}
