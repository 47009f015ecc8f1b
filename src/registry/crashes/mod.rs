//! The registry over a disk in memory: the power is cut between two system
//! calls, and calls fail one after the other. [`oracle`] holds docs/durability.md
//! against what is left.

mod client;
mod faults;
mod ledger;
mod oracle;
mod pool;
mod power_cuts;

use std::sync::Arc;

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

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}
