//! Lets somebody else act between two system calls of a process.

use std::sync::{Arc, Mutex};

/// What others do, and before which of the calls to come.
#[derive(Clone, Default)]
pub(super) struct Visits(Arc<Mutex<Planned>>);

#[derive(Default)]
struct Planned {
    calls: u64,
    visits: Vec<(u64, Box<dyn FnOnce() + Send>)>,
}

impl Visits {
    /// `act` happens before the `n`-th call from now on, counted from 1.
    pub(super) fn plan(&self, n: u64, act: impl FnOnce() + Send + 'static) {
        let mut planned = self.0.lock().unwrap();
        let at = planned.calls + n;
        planned.visits.push((at, Box::new(act)));
    }

    /// How many visits are still to come.
    pub(super) fn left(&self) -> usize {
        self.0.lock().unwrap().visits.len()
    }

    /// A call is about to be made.
    pub(super) fn before_call(&self) {
        let due: Vec<_> = {
            let mut planned = self.0.lock().unwrap();
            planned.calls += 1;
            let calls = planned.calls;
            planned
                .visits
                .extract_if(.., |(at, _)| *at == calls)
                .collect()
        };
        for (_, act) in due {
            act();
        }
    }
}
