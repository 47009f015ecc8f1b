//! What happened in a soak: events by kind, and everything that must not be.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The book of one soak.
pub struct Tally {
    begun: Instant,
    over: AtomicBool,
    kills: AtomicU64,
    restarts: AtomicU64,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    events: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
    /// When the last server was killed.
    killed: Option<Instant>,
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            begun: Instant::now(),
            over: AtomicBool::new(false),
            kills: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            inside: Mutex::default(),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened that should.
    pub fn count(&self, event: &'static str) {
        self.add(event, 1);
    }

    pub fn add(&self, event: &'static str, times: u64) {
        *self.inside().events.entry(event).or_default() += times;
    }

    /// Something happened that must not.
    pub fn fail(&self, what: String) {
        let at = self.begun.elapsed().as_secs_f64();
        self.inside().failures.push(format!("{at:.3} s: {what}"));
    }

    /// Nobody begins anything new.
    pub fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A server is about to be killed.
    pub fn kills(&self) {
        self.kills.fetch_add(1, Ordering::SeqCst);
        self.inside().killed = Some(Instant::now());
        self.count("kills");
    }

    /// It is back.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::SeqCst);
    }

    /// Kills and restarts so far: no server was away while they are equal and
    /// stay what they are.
    pub fn faults(&self) -> (u64, u64) {
        let restarts = self.restarts.load(Ordering::SeqCst);
        (self.kills.load(Ordering::SeqCst), restarts)
    }

    /// The last kill.
    pub fn killed(&self) -> Option<Instant> {
        self.inside().killed
    }

    pub fn failures(&self) -> Vec<String> {
        self.inside().failures.clone()
    }

    pub fn of(&self, event: &str) -> u64 {
        self.inside().events.get(event).copied().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside = self.inside();
        let all: u64 = inside.events.values().sum();
        write!(
            f,
            "{all} events in {:.0} s:",
            self.begun.elapsed().as_secs_f64()
        )?;
        for (event, times) in &inside.events {
            write!(f, " {event} {times},")?;
        }
        write!(f, " failures {}", inside.failures.len())
    }
}
