//! Checks that decide whether requests are answered at all: while one fails,
//! registry:2 answers everything with 503, and so does wharf.

mod check;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::check::Check;
use crate::storage::Store;

/// `health` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `storagedriver`, if enabled.
    pub storage: Option<Periodic>,
    /// `file[]`: unhealthy while the file exists.
    pub files: Vec<(PathBuf, Periodic)>,
    /// `tcp[]`: unhealthy while nobody accepts connections at `host:port`.
    pub tcp: Vec<TcpCheck>,
}

/// How often a check runs, and how many failures in a row count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periodic {
    /// `interval`
    pub interval: Duration,
    /// `threshold`: unhealthy after this many failures in a row; 0 and 1 are
    /// the first.
    pub threshold: u32,
}

/// `health.tcp[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpCheck {
    /// `addr`: `host:port`
    pub addr: String,
    /// `timeout`
    pub timeout: Duration,
    /// `interval` and `threshold`
    pub periodic: Periodic,
}

/// Which checks fail now: cheap to clone and to ask.
#[derive(Debug, Clone, Default)]
pub struct Health {
    failing: Arc<ArcSwap<Vec<Failure>>>,
}

/// A check that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The check, as registry:2 calls it: `storagedriver_filesystem`, the path
    /// of a file, the address of a port.
    pub name: String,
    /// What is wrong.
    pub error: String,
}

impl Health {
    /// Starts one task for each check on `tasks`; they end when `stop` is
    /// cancelled. `driver` is registry:2's name of the store's. A check runs at once and then at its interval.
    pub fn start(
        settings: &Settings,
        store: &Arc<dyn Store>,
        driver: &str,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let health = Self::default();
        for check in check::all(settings, store, driver) {
            let work = health.clone().watch(check);
            let stop = stop.clone().cancelled_owned();
            tasks.spawn(async move {
                tokio::select! {
                    () = stop => {}
                    () = work => {}
                }
            });
        }
        health
    }

    /// The checks that fail, by name; empty while all is well.
    pub fn failing(&self) -> Arc<Vec<Failure>> {
        self.failing.load_full()
    }

    /// Whether any check fails.
    pub fn is_failing(&self) -> bool {
        !self.failing.load().is_empty()
    }

    /// The life of one check.
    async fn watch(self, check: Check) {
        // Zero would be an endless loop, and `interval` panics on it.
        let period = check.periodic.interval.max(Duration::from_millis(100));
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut in_a_row = 0;
        loop {
            ticks.tick().await;
            let mut probe = pin!(check.probe.run());
            let found = match timeout(check.patience, probe.as_mut()).await {
                Ok(found) => found,
                Err(_) => {
                    let error = format!("no answer within {:?}", check.patience);
                    self.count(&check, &mut in_a_row, Err(error));
                    // Asking once more would only add to what hangs.
                    probe.await
                }
            };
            self.count(&check, &mut in_a_row, found);
        }
    }

    /// Takes one outcome into account.
    fn count(&self, check: &Check, in_a_row: &mut u32, found: Result<(), String>) {
        match found {
            Ok(()) => {
                *in_a_row = 0;
                self.set(&check.name, None);
            }
            Err(error) => {
                *in_a_row = in_a_row.saturating_add(1);
                if *in_a_row >= check.periodic.threshold {
                    self.set(&check.name, Some(error));
                }
            }
        }
    }

    /// Notes how a check stands, and says so when that changes.
    fn set(&self, name: &str, error: Option<String>) {
        let before = self.failing();
        let failed = before.iter().any(|failure| failure.name == name);
        match &error {
            Some(error) if !failed => tracing::error!(
                check = name,
                error,
                "unhealthy: every request is answered with 503 until this check passes"
            ),
            None if failed => tracing::info!(check = name, "the check passes again"),
            None => return,
            Some(_) => {}
        }
        self.failing.rcu(|failing| {
            let others = failing.iter().filter(|failure| failure.name != name);
            let mut failing: Vec<_> = others.cloned().collect();
            failing.extend(error.clone().map(|error| Failure {
                name: name.to_owned(),
                error,
            }));
            failing.sort_by(|a, b| a.name.cmp(&b.name));
            failing
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::check::Probe;
    use super::*;
    use crate::observe::fake_store::FakeStore;

    const OFTEN: Periodic = Periodic {
        interval: Duration::from_millis(100),
        threshold: 0,
    };

    fn start(settings: &Settings, store: FakeStore) -> (Health, CancellationToken, TaskTracker) {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let store: Arc<dyn Store> = Arc::new(store);
        let health = Health::start(settings, &store, "filesystem", &tasks, &stop);
        tasks.close();
        (health, stop, tasks)
    }

    async fn until(health: &Health, failing: bool) {
        while health.is_failing() != failing {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_file_takes_the_registry_out_of_service() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("maintenance");
        let settings = Settings {
            files: vec![(path.clone(), OFTEN)],
            ..Settings::default()
        };
        let (health, stop, tasks) = start(&settings, FakeStore::default());
        assert!(!health.is_failing());
        std::fs::write(&path, "").unwrap();
        until(&health, true).await;
        assert_eq!(
            *health.failing(),
            [Failure {
                name: path.display().to_string(),
                error: "file exists".into(),
            }]
        );
        std::fs::remove_file(&path).unwrap();
        until(&health, false).await;
        stop.cancel();
        tasks.wait().await;
    }

    #[test]
    fn the_threshold_counts_failures_in_a_row() {
        let health = Health::default();
        let check = Check {
            name: "storagedriver_filesystem".into(),
            periodic: Periodic {
                interval: Duration::from_secs(10),
                threshold: 3,
            },
            patience: Duration::from_secs(10),
            probe: Probe::File(PathBuf::new()),
        };
        let mut in_a_row = 0;
        let mut fails = |found: Result<(), &str>| {
            health.count(&check, &mut in_a_row, found.map_err(str::to_owned));
            health.is_failing()
        };
        assert!(!fails(Err("one")));
        assert!(!fails(Err("two")));
        assert!(!fails(Ok(())));
        assert!(!fails(Err("one")));
        assert!(!fails(Err("two")));
        assert!(fails(Err("three")));
        assert!(fails(Err("four")));
        assert_eq!(health.failing().first().unwrap().error, "four");
        assert!(!fails(Ok(())));
    }

    #[tokio::test]
    async fn the_storage_is_probed_again_and_again() {
        let store = FakeStore::default();
        let broken = Arc::clone(&store.broken);
        broken.store(true, Ordering::SeqCst);
        let settings = Settings {
            storage: Some(OFTEN),
            ..Settings::default()
        };
        let (health, _stop, _tasks) = start(&settings, store);
        until(&health, true).await;
        let failing = health.failing();
        let failure = failing.first().unwrap();
        assert_eq!(failure.name, "storagedriver_filesystem");
        assert_eq!(failure.error, "the storage failed: broken for a test");
        broken.store(false, Ordering::SeqCst);
        until(&health, false).await;
    }

    #[tokio::test]
    async fn a_storage_that_hangs_fails_and_is_not_asked_again() {
        let store = FakeStore {
            hangs: true,
            ..FakeStore::default()
        };
        let probes = Arc::clone(&store.probes);
        let health = Health::default();
        let watch = health.clone().watch(Check {
            name: "storagedriver_filesystem".into(),
            periodic: OFTEN,
            patience: Duration::from_millis(20),
            probe: Probe::Storage(Arc::new(store)),
        });
        let stuck = timeout(Duration::from_millis(500), watch).await;
        assert!(stuck.is_err());
        assert_eq!(probes.load(Ordering::SeqCst), 1);
        let failing = health.failing();
        assert_eq!(failing.first().unwrap().error, "no answer within 20ms");
    }

    #[tokio::test]
    async fn a_port_must_accept_connections() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let settings = Settings {
            tcp: vec![TcpCheck {
                addr: addr.clone(),
                timeout: Duration::from_secs(5),
                periodic: OFTEN,
            }],
            ..Settings::default()
        };
        let (health, _stop, _tasks) = start(&settings, FakeStore::default());
        listener.accept().await.unwrap();
        assert!(!health.is_failing());
        drop(listener);
        until(&health, true).await;
        assert_eq!(health.failing().first().unwrap().name, addr);
    }
}
