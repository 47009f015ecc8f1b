//! Writes down when robots were last used, apart from their requests.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::http;
use crate::server::Shutdown;

/// The time between two looks for what is to be written; each robot is written
/// down at most once a minute.
const LOOKS: Duration = Duration::from_secs(1);

/// Writes until the server ends, and then what is left.
pub(super) fn spawn(shutdown: &Shutdown, state: Arc<ArcSwap<http::State>>) {
    let end = shutdown.background();
    shutdown.spawn("robots", async move {
        // One line in the log for each time that it doesn't work.
        let mut failing = false;
        loop {
            let ending = tokio::select! {
                () = end.cancelled() => true,
                () = tokio::time::sleep(LOOKS) => false,
            };
            let now = state.load_full();
            if !now.registry.settings().read_only {
                match now.authenticator.write_uses(ending).await {
                    Ok(()) => failing = false,
                    Err(error) if !failing => {
                        failing = true;
                        tracing::warn!(%error, "when robots were last used can't be written down at the moment");
                    }
                    Err(_) => {}
                }
            }
            if ending {
                return;
            }
        }
    });
}
