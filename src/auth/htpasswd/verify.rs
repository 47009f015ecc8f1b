//! Verifies passwords without letting logins take the machine: as many at a
//! time as there are processors, a short queue, and one hash for all who send
//! the same credentials at once.

use std::collections::HashMap;
use std::collections::hash_map;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::hash::Hash;
use super::priority;
use crate::auth::Unidentified;
use crate::auth::backoff::{Lane, Tag};
use crate::auth::password::Password;

/// Runs verifications on threads of their own, within bounds.
pub(super) struct Verifier {
    /// Strangers, running and waiting.
    places: Arc<Semaphore>,
    /// Those who were right lately, so that strangers can't take their places.
    kept: Arc<Semaphore>,
    /// Strangers that run or are the next to: as many as there are processors,
    /// so that whoever was right lately waits behind no more than those.
    next: Arc<Semaphore>,
    /// Running.
    processors: Arc<Semaphore>,
    hashes: AtomicU64,
}

impl Verifier {
    /// `waiting` is how many may wait for a processor.
    pub(super) fn new(waiting: usize) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::with_bounds(processors, waiting)
    }

    fn with_bounds(processors: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(processors + waiting)),
            kept: Arc::new(Semaphore::new(processors + waiting)),
            next: Arc::new(Semaphore::new(processors)),
            processors: Arc::new(Semaphore::new(processors)),
            hashes: AtomicU64::new(0),
        }
    }

    /// How many hashes were computed since the start.
    pub(super) fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }

    /// Whether `hash` is that of `password`; [`Unidentified::Busy`] if too many
    /// are waiting.
    pub(super) async fn verify(
        &self,
        hash: Arc<Hash>,
        password: Password,
        lane: Lane,
    ) -> Result<bool, Unidentified> {
        let places = match lane {
            Lane::Known => &self.kept,
            Lane::Stranger => &self.places,
        };
        let place = Arc::clone(places)
            .try_acquire_owned()
            .map_err(|_| Unidentified::Busy)?;
        let next = match lane {
            Lane::Known => None,
            Lane::Stranger => Some(acquired(&self.next).await?),
        };
        let processor = acquired(&self.processors).await?;
        self.hashes.fetch_add(1, Ordering::Relaxed);
        let verified = priority::run(lane, move || {
            // Held until the hash is done, even if the client is gone by then.
            let _held = (place, next, processor);
            hash.verify(&password)
        });
        let verified = verified.map_err(|error| {
            tracing::error!("no thread can be started for a login: {error}");
            Unidentified::Busy
        })?;
        verified.await.map_err(|_| {
            tracing::error!("verifying a password broke off");
            Unidentified::Wrong
        })
    }
}

async fn acquired(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Unidentified> {
    let permit = Arc::clone(semaphore).acquire_owned().await;
    permit.map_err(|_| Unidentified::Busy)
}

/// Verifications that are under way.
#[derive(Default)]
pub(super) struct Flights {
    cells: Mutex<HashMap<Tag, Arc<OnceCell<bool>>>>,
}

impl Flights {
    /// Runs `verify`, unless somebody with the same tag is at it: then waits
    /// for their result. If they fail or go away, the next one runs its own.
    pub(super) async fn join<F>(
        &self,
        tag: Tag,
        verify: impl FnOnce() -> F,
    ) -> Result<bool, Unidentified>
    where
        F: Future<Output = Result<bool, Unidentified>>,
    {
        let seat = Seat::take(self, tag);
        seat.cell.get_or_try_init(verify).await.copied()
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<Tag, Arc<OnceCell<bool>>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for a result; the last one clears up.
struct Seat<'a> {
    flights: &'a Flights,
    tag: Tag,
    cell: Arc<OnceCell<bool>>,
}

impl<'a> Seat<'a> {
    fn take(flights: &'a Flights, tag: Tag) -> Self {
        let cell = Arc::clone(flights.cells().entry(tag).or_default());
        Self { flights, tag, cell }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        // Cells are cloned under this lock only, so the count cannot grow.
        if let hash_map::Entry::Occupied(entry) = self.flights.cells().entry(self.tag)
            && Arc::strong_count(entry.get()) <= 2
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::htpasswd::hash::NewHash;
    use futures_util::future::join_all;
    use std::time::Duration;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).unwrap()
    }

    fn hash() -> Arc<Hash> {
        Arc::new(Hash::make(NewHash::Bcrypt(4), &password("gordon")).unwrap())
    }

    #[tokio::test]
    async fn verifies_and_counts() {
        let verifier = Verifier::new(64);
        assert_eq!(
            verifier
                .verify(hash(), password("gordon"), Lane::Stranger)
                .await,
            Ok(true)
        );
        assert_eq!(
            verifier.verify(hash(), password("x"), Lane::Known).await,
            Ok(false)
        );
        assert_eq!(verifier.hashes(), 2);
    }

    #[tokio::test]
    async fn a_full_queue_is_busy() {
        let verifier = Verifier::with_bounds(1, 2);
        let processor = verifier.processors.acquire().await.unwrap();
        let place = verifier.places.acquire().await.unwrap();
        let hash = hash();
        let verify = || verifier.verify(Arc::clone(&hash), password("gordon"), Lane::Stranger);
        let (one, two, three, ()) = tokio::join!(verify(), verify(), verify(), async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            drop((processor, place));
        });
        assert_eq!([one, two], [Ok(true), Ok(true)]);
        assert_eq!(three, Err(Unidentified::Busy));
        assert_eq!(verify().await, Ok(true));
        assert_eq!(verifier.places.available_permits(), 3);
    }

    #[tokio::test]
    async fn who_was_right_lately_has_a_place_and_comes_before_strangers() {
        let verifier = Verifier::with_bounds(1, 2);
        let hash = hash();
        let order = Mutex::new(Vec::new());
        let login = async |lane, name| {
            let verified = verifier.verify(Arc::clone(&hash), password("gordon"), lane);
            let verified = verified.await;
            order.lock().unwrap().push(name);
            verified
        };
        let processor = verifier.processors.acquire().await.unwrap();
        let strangers = join_all((0..4).map(|_| login(Lane::Stranger, "stranger")));
        let (strangers, known, ()) = tokio::join!(strangers, login(Lane::Known, "known"), async {
            drop(processor)
        });
        assert_eq!(known, Ok(true));
        let busy = strangers.iter().filter(|login| login.is_err());
        assert_eq!(busy.count(), 1, "{strangers:?}");
        // The one who has no place first, then one who was the next already.
        let order = order.lock().unwrap();
        let place = order.iter().position(|name| *name == "known");
        assert_eq!(place, Some(2), "{order:?}");
    }

    #[tokio::test]
    async fn the_same_credentials_at_once_cost_one_hash() {
        let verifier = Verifier::with_bounds(1, 64);
        let processor = verifier.processors.acquire().await.unwrap();
        let flights = Flights::default();
        let hash = hash();
        let join = |_| {
            flights.join([1; 32], || {
                verifier.verify(Arc::clone(&hash), password("gordon"), Lane::Stranger)
            })
        };
        // Nobody is done before all have come.
        let (results, ()) = tokio::join!(join_all((0..10).map(join)), async { drop(processor) });
        assert_eq!(results, [Ok(true); 10]);
        assert_eq!(verifier.hashes(), 1);
        assert!(flights.cells().is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_work_to_the_next() {
        let flights = Flights::default();
        let first = flights.join([1; 32], std::future::pending);
        let second = flights.join([1; 32], || async { Ok(true) });
        let first = tokio::time::timeout(Duration::from_millis(10), first);
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!(second, Ok(true));
        assert!(flights.cells().is_empty());
    }

    #[tokio::test]
    async fn a_busy_result_is_not_shared() {
        let flights = Flights::default();
        let busy = flights.join([1; 32], || async { Err(Unidentified::Busy) });
        let right = flights.join([1; 32], || async { Ok(true) });
        let (busy, right) = tokio::join!(busy, right);
        assert_eq!(busy, Err(Unidentified::Busy));
        assert_eq!(right, Ok(true));
    }
}
