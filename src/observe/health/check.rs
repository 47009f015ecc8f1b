//! What each check looks at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Periodic, Settings};
use crate::storage::Store;

/// How long the storage or a file may think before that is a failure of its own.
const PROBE: Duration = Duration::from_secs(10);

/// How long a check of a port waits if the configuration doesn't say.
const CONNECT: Duration = Duration::from_secs(10);

/// One check, and when it is made.
pub(super) struct Check {
    pub(super) name: String,
    pub(super) periodic: Periodic,
    /// How long one probe may take before that is a failure of its own.
    pub(super) patience: Duration,
    pub(super) probe: Probe,
}

/// What is looked at.
pub(super) enum Probe {
    Storage(Arc<dyn Store>),
    File(PathBuf),
    Tcp(String, Duration),
}

/// The checks that the configuration asks for.
pub(super) fn all(settings: &Settings, store: &Arc<dyn Store>, driver: &str) -> Vec<Check> {
    let storage = settings.storage.map(|periodic| Check {
        name: format!("storagedriver_{driver}"),
        periodic,
        patience: PROBE,
        probe: Probe::Storage(Arc::clone(store)),
    });
    let files = settings.files.iter().map(|(path, periodic)| Check {
        name: path.display().to_string(),
        periodic: *periodic,
        patience: PROBE,
        probe: Probe::File(path.clone()),
    });
    let tcp = settings.tcp.iter().map(|check| Check {
        name: check.addr.clone(),
        periodic: check.periodic,
        // Connecting has a time-out of its own.
        patience: Duration::MAX,
        probe: Probe::Tcp(check.addr.clone(), check.timeout),
    });
    storage.into_iter().chain(files).chain(tcp).collect()
}

impl Probe {
    /// Runs the check once.
    pub(super) async fn run(&self) -> Result<(), String> {
        match self {
            Self::Storage(store) => store.probe().await.map_err(|error| error.to_string()),
            Self::File(path) => absent(path).await,
            Self::Tcp(addr, patience) => connect(addr, *patience).await,
        }
    }
}

/// Putting the file there takes the registry out of service.
async fn absent(path: &Path) -> Result<(), String> {
    match tokio::fs::try_exists(path).await {
        Ok(true) => Err("file exists".to_owned()),
        Ok(false) => Ok(()),
        Err(error) => Err(format!("cannot tell whether the file exists: {error}")),
    }
}

async fn connect(addr: &str, patience: Duration) -> Result<(), String> {
    let patience = if patience.is_zero() {
        CONNECT
    } else {
        patience
    };
    match timeout(patience, TcpStream::connect(addr)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("connection to {addr} failed: {error}")),
        Err(_) => Err(format!("connection to {addr} timed out after {patience:?}")),
    }
}
