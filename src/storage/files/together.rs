//! Syncs directories, several at once and each once for all who wait for it.
//!
//! Journals write what several syncs want in one go if they are told of them at
//! the same time. Callers that need the same directory while it is being synced
//! share the next sync, which begins after all of them asked: the one under way
//! may have passed over what they wrote.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

/// The directories that are being synced now.
#[derive(Default)]
pub(super) struct Together(Mutex<HashMap<PathBuf, Arc<Place>>>);

/// One directory's.
#[derive(Default)]
struct Place {
    /// Held by whoever syncs it.
    turn: Mutex<()>,
    /// Those who wait for the sync that hasn't begun.
    next: Mutex<Option<Arc<Round>>>,
}

/// One sync, and what came of it.
#[derive(Default)]
struct Round(OnceLock<Result<(), Failure>>);

/// An error that can be told to many.
#[derive(Clone)]
struct Failure {
    kind: io::ErrorKind,
    errno: Option<i32>,
    text: String,
}

impl Together {
    /// Calls `sync` for every directory at the same time; the outcomes are in
    /// their order.
    pub(super) fn sync_all(
        &self,
        dirs: &[&Path],
        sync: impl Fn(&Path) -> io::Result<()> + Sync,
    ) -> Vec<io::Result<()>> {
        let sync_one = |dir: &Path| self.sync(dir, || sync(dir));
        let Some((first, others)) = dirs.split_first() else {
            return Vec::new();
        };
        thread::scope(|scope| {
            let running: Vec<_> = others
                .iter()
                .map(|dir| thread::Builder::new().spawn_scoped(scope, move || sync_one(dir)))
                .collect();
            let mut outcomes = vec![sync_one(first)];
            outcomes.extend(running.into_iter().zip(others).map(|(thread, dir)| {
                match thread {
                    Ok(thread) => thread
                        .join()
                        .unwrap_or_else(|_| Err(io::Error::other("a sync did not end"))),
                    // No more threads to be had.
                    Err(_) => sync_one(dir),
                }
            }));
            outcomes
        })
    }

    /// Waits for a sync of the directory that begins after this call.
    pub(super) fn sync(&self, dir: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let place = Arc::clone(locked(&self.0).entry(dir.to_owned()).or_default());
        let round = Arc::clone(locked(&place.next).get_or_insert_default());
        let outcome = {
            let _turn = locked(&place.turn);
            let wanted = || {
                // Whoever comes from here on may have written too late for it.
                locked(&place.next).take();
                sync().map_err(|error| Failure::of(&error))
            };
            round.0.get_or_init(wanted).clone()
        };
        drop(round);
        self.leave(dir, place);
        outcome.map_err(Failure::into_error)
    }

    fn leave(&self, dir: &Path, place: Arc<Place>) {
        let mut places = locked(&self.0);
        // This one and the map's: nobody else can get at it meanwhile.
        if Arc::strong_count(&place) == 2 {
            places.remove(dir);
        }
        drop(place);
    }
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            errno: error.raw_os_error(),
            text: error.to_string(),
        }
    }

    fn into_error(self) -> io::Error {
        match self.errno {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::new(self.kind, self.text),
        }
    }
}

/// What is locked is whole after every statement, a panic can't break it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    /// Writers count up what is written; a sync makes durable what was written
    /// when it began. Whoever returns finds his own write among that.
    #[test]
    fn nobody_returns_before_what_he_wrote_is_synced() {
        const WRITERS: u64 = 8;
        const WRITES: u64 = 200;
        let together = Together::default();
        let (written, durable, syncs) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let sync = || {
            let seen = written.load(Ordering::SeqCst);
            thread::yield_now();
            durable.fetch_max(seen, Ordering::SeqCst);
            syncs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    for _ in 0..WRITES {
                        let mine = written.fetch_add(1, Ordering::SeqCst) + 1;
                        together.sync(Path::new("/a"), sync).unwrap();
                        assert!(durable.load(Ordering::SeqCst) >= mine);
                    }
                });
            }
        });
        assert!(syncs.load(Ordering::SeqCst) <= WRITERS * WRITES);
        assert!(locked(&together.0).is_empty(), "nothing is left");
    }

    #[test]
    fn those_who_come_during_a_sync_share_the_next() {
        let together = Together::default();
        let syncs = AtomicU64::new(0);
        let (begun, wait) = (Barrier::new(2), Barrier::new(2));
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                together.sync(Path::new("/a"), || {
                    begun.wait();
                    wait.wait();
                    Ok(())
                })
            });
            begun.wait();
            for _ in 0..4 {
                let (together, syncs, tell) = (&together, &syncs, tell.clone());
                scope.spawn(move || {
                    let outcome = together.sync(Path::new("/a"), || {
                        syncs.fetch_add(1, Ordering::SeqCst);
                        Err(io::Error::from_raw_os_error(5))
                    });
                    tell.send(outcome.unwrap_err().raw_os_error()).unwrap();
                });
            }
            // All four have joined the next round: they hold it, and so does the place.
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
            loop {
                let waiting = locked(&together.0)
                    .get(Path::new("/a"))
                    .map(|place| locked(&place.next).as_ref().map_or(0, Arc::strong_count));
                if waiting == Some(5) {
                    break;
                }
                assert!(std::time::Instant::now() < deadline, "{waiting:?}");
                thread::yield_now();
            }
            wait.wait();
        });
        drop(tell);
        // One sync for the four, and its failure is everybody's.
        assert_eq!(told.iter().collect::<Vec<_>>(), [Some(5); 4]);
        assert_eq!(syncs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn several_directories_are_synced_at_once() {
        let dirs = [Path::new("/a"), Path::new("/b"), Path::new("/c")];
        let all = Barrier::new(dirs.len());
        let outcomes = Together::default().sync_all(&dirs, |dir| {
            // Ends only when all are under way.
            all.wait();
            if dir == Path::new("/b") {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        });
        let failed: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, false]);
        assert!(Together::default().sync_all(&[], |_| Ok(())).is_empty());
    }
}
