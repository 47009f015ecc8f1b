//! Where a test collects: the storage of a server, opened a second time by this
//! process.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use wharf::config::Config;
use wharf::registry::gc::{Collector, Failure, Options, Report};
use wharf::registry::{Registry as Core, Settings};
use wharf::storage::Store;
use wharf::storage::files::{self, Files, SyncMode};

use crate::gate::{Gate, Gated};
use crate::support::Registry;

/// A storage.
pub struct Site {
    runtime: Runtime,
    store: Arc<dyn Store>,
}

/// What runs beside the test, on a thread of its own.
pub struct Beside<T>(JoinHandle<T>);

impl Site {
    /// The storage of a server, as its configuration names it.
    pub fn of(server: &Registry) -> Site {
        let config = Config::read(&server.dir().join("config.yml"), std::iter::empty());
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        let runtime = runtime();
        let opened = runtime.block_on(wharf::app::storage::open(&config.config.storage, false));
        let store = opened.unwrap_or_else(|unusable| panic!("{unusable}")).store;
        Site { runtime, store }
    }

    /// A new volume that no server has.
    pub fn at(root: &Path) -> Site {
        let files = Files::open(&files::Settings {
            root: root.to_owned(),
            max_threads: 25,
            sync: SyncMode::None,
        });
        Site {
            runtime: runtime(),
            store: Arc::new(files.expect("a volume")),
        }
    }

    /// The store itself.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// A registry behind a gate, as another replica would have it.
    pub fn core(&self, gate: &Gate) -> Core {
        core(Gated::over(Arc::clone(&self.store), gate))
    }

    /// A collection of everything that nothing needs, whatever its age.
    pub fn collector(&self, gate: &Gate) -> Collector {
        collector(self.core(gate), Duration::ZERO)
    }

    /// Collects everything that nothing needs.
    #[track_caller]
    pub fn collect(&self) -> Report {
        self.collect_older(Duration::ZERO)
    }

    /// Collects what is older than `grace`.
    #[track_caller]
    pub fn collect_older(&self, grace: Duration) -> Report {
        let collector = collector(core(Arc::clone(&self.store)), grace);
        let done = self.runtime.block_on(collector.run());
        done.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Begins a collection that has to pass a gate.
    pub fn collecting(&self, gate: &Gate) -> Beside<Result<Report, Failure>> {
        let collector = self.collector(gate);
        self.beside(async move || collector.run().await)
    }

    /// Begins anything.
    pub fn beside<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> Beside<T> {
        let runtime = self.runtime.handle().clone();
        Beside(std::thread::spawn(move || runtime.block_on(work())))
    }

    /// Waits for anything.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

impl<T> Beside<T> {
    /// What came of it.
    #[track_caller]
    pub fn end(self) -> T {
        self.0.join().expect("no panic")
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A registry as a server has it that nobody configured.
pub fn core(store: Arc<dyn Store>) -> Core {
    let settings = Settings {
        delete: true,
        ..Settings::default()
    };
    Core::new(store, settings)
}

/// A collector that works as fast as it can.
pub fn collector(core: Core, grace: Duration) -> Collector {
    let options = Options {
        grace,
        ..Options::default()
    };
    Collector::new(core, options, Arc::new(()))
}

/// The same, which saves checkpoints all the time and goes on at them.
pub fn resuming(core: Core) -> Collector {
    let options = Options {
        grace: Duration::ZERO,
        checkpoints: Some(Duration::ZERO),
        ..Options::default()
    };
    Collector::new(core, options, Arc::new(()))
}
