//! Runs blocking file operations off the async threads, a bounded number at once.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::storage::StorageError;

/// How long to wait for a write that its request has left behind.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time between two looks whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// `maxthreads` of the configuration: a place for each operation that may run.
#[derive(Clone)]
pub(super) struct Workers {
    places: Arc<Semaphore>,
    #[cfg(test)]
    inline: Option<Inline>,
}

/// Jobs that never wait run on the caller's thread, always in the same order.
#[cfg(test)]
#[derive(Clone)]
struct Inline {
    /// Who runs before a job, if anybody may.
    turns: Option<Arc<std::sync::Mutex<super::simulated::Random>>>,
}

#[cfg(test)]
impl Inline {
    async fn wait_for_others(&self) {
        let turns = self.turns.as_ref();
        for _ in 0..turns.map_or(0, |turns| turns.lock().unwrap().below(4)) {
            tokio::task::yield_now().await;
        }
    }
}

impl Workers {
    /// Room for `most` operations at once, but at least one.
    pub(super) fn new(most: usize) -> Self {
        let places = most.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            #[cfg(test)]
            inline: None,
        }
    }

    /// Runs every job on the caller's thread; before it others run as `seed` says.
    #[cfg(test)]
    pub(super) fn inline(seed: Option<u64>) -> Self {
        let random = seed.map(super::simulated::Random::new);
        let turns = random.map(|random| Arc::new(std::sync::Mutex::new(random)));
        Self {
            inline: Some(Inline { turns }),
            ..Self::new(Semaphore::MAX_PERMITS)
        }
    }

    /// Runs a job and waits for it. It runs to its end even if the caller stops
    /// waiting, so that no order of writes is cut short by a client that left.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        #[cfg(test)]
        if let Some(inline) = &self.inline {
            inline.wait_for_others().await;
            return job();
        }
        let running = self.start(job).await.map_err(StorageError::Unavailable)?;
        ended(running).await.map_err(StorageError::Unavailable)?
    }

    /// Runs a job again and again until it gets what it needs (`Some`), with
    /// pauses that take no place from others.
    pub(super) async fn run_when_free<T: Send + 'static>(
        &self,
        job: impl Fn() -> Result<Option<T>, StorageError> + Clone + Send + 'static,
    ) -> Result<T, StorageError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = self.run(job.clone()).await? {
                return Ok(value);
            }
            if Instant::now() >= deadline {
                return Err(StorageError::Unavailable(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "another request is still writing this upload: try again when it has ended",
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Starts a job as soon as there is a place for it.
    pub(super) async fn start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        #[cfg(test)]
        if let Some(inline) = &self.inline {
            inline.wait_for_others().await;
            let value = job();
            return Ok(tokio::spawn(std::future::ready(value)));
        }
        let place = self.places.clone().acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        Ok(spawn_blocking(move || {
            let value = job();
            drop(place);
            value
        }))
    }

    /// Starts a job if there is a place for it now: for work ahead of its time.
    pub(super) fn try_start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        #[cfg(test)]
        if self.inline.is_some() {
            return None;
        }
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(spawn_blocking(move || {
            let value = job();
            drop(place);
            value
        }))
    }
}

/// Waits for a job that was started.
pub(super) async fn ended<T>(running: JoinHandle<T>) -> io::Result<T> {
    running
        .await
        .map_err(|error| io::Error::other(format!("a file operation did not end: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn runs_no_more_than_the_bound_at_once() {
        let workers = Workers::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..8).map(|_| {
            let (workers, now, most) = (workers.clone(), now.clone(), most.clone());
            async move {
                let job = move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                };
                workers.run(job).await.unwrap();
            }
        });
        futures_util::future::join_all(jobs).await;
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn waiting_takes_no_place() {
        let workers = Workers::new(1);
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let third = move || Ok((counted.fetch_add(1, Ordering::SeqCst) == 2).then_some("free"));
        let (waited, ran) = tokio::join!(workers.run_when_free(third), workers.run(|| Ok(7)));
        assert_eq!((waited.unwrap(), ran.unwrap()), ("free", 7));
        assert_eq!(tries.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn has_a_place_even_if_told_none() {
        assert_eq!(Workers::new(0).run(|| Ok(7)).await.unwrap(), 7);
    }
}
