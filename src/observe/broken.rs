//! Files that are followed and cannot be used as they are now: the last good
//! version stays in force, and this says so on /readyz and in a metric.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is followed; each has its gauge, broken or not.
pub const FILES: [&str; 4] = ["configuration", "users", "groups", "keys"];

/// What is broken now, and why: cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Broken(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Broken {
    /// One of [`FILES`] is broken, for this reason.
    pub fn set(&self, file: &'static str, why: String) {
        self.lock().insert(file, why);
    }

    /// It is in order.
    pub fn clear(&self, file: &'static str) {
        self.lock().remove(file);
    }

    /// Why a file is broken, if it is.
    pub fn why(&self, file: &str) -> Option<String> {
        self.lock().get(file).cloned()
    }

    /// Everything that is broken, in words for operators.
    pub fn all(&self) -> BTreeMap<&'static str, String> {
        let told = |why: &String| format!("{why}; what was read before stays in force");
        let broken = self.lock();
        broken
            .iter()
            .map(|(file, why)| (*file, told(why)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
