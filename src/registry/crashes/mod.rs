//! The registry over a disk in memory: the power is cut between two system
//! calls, beside collections of garbage too, and calls fail one after the other. [`oracle`] holds docs/durability.md
//! against what is left.

mod client;
mod faults;
mod ledger;
mod oracle;
mod pool;
mod power_cuts;

use std::sync::Arc;
use std::time::Duration;

use crate::registry::gc::{Collector, Options};
use crate::registry::{Registry, Settings};
use crate::storage::files::simulated::Machine;

/// A process that was started on a machine just now.
fn started(machine: &Machine, seed: Option<u64>) -> Registry {
    let settings = Settings {
        delete: true,
        ..Settings::default()
    };
    Registry::new(Arc::new(machine.started(seed)), settings)
}

/// A collector of everything that nothing needs, whatever its age.
fn collector(registry: &Registry) -> Collector {
    let options = Options {
        grace: Duration::ZERO,
        ..Options::default()
    };
    Collector::new(registry.clone(), options, Arc::new(()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}
