//! Keeps the account of what repositories hold: this process's changes go into
//! the storage every few seconds, other processes' and collections' come from
//! there, and the metrics follow.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::http;
use crate::observe::metrics::{Held, Metrics};
use crate::registry::Registry;
use crate::registry::usage::FLUSHED;
use crate::server::Shutdown;

/// Keeps it until the server ends.
pub(super) fn spawn(shutdown: &Shutdown, state: Arc<ArcSwap<http::State>>, metrics: Metrics) {
    let end = shutdown.background();
    shutdown.spawn("usage", async move {
        // One line in the log for each time that it doesn't work.
        let mut failing = false;
        loop {
            let registry = state.load().registry.clone();
            match registry.follow_usage().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "what repositories hold can't be written down at the moment: quotas count what this process knows");
                }
                Err(_) => {}
            }
            show(&registry, &metrics);
            tokio::select! {
                () = end.cancelled() => break,
                () = tokio::time::sleep(FLUSHED) => {}
            }
        }
        // The servers have drained: nothing comes after this.
        let registry = state.load().registry.clone();
        if let Err(error) = registry.flush_usage().await {
            tracing::warn!(%error, "what repositories hold could not be written down: the numbers are right again after the next collection");
        }
    });
}

fn show(registry: &Registry, metrics: &Metrics) {
    if let Some(summary) = registry.known_usage() {
        metrics.show_usage(Held {
            used: summary.used,
            waiting: summary.waiting,
            sessions: summary.sessions.count,
            session_bytes: summary.sessions.bytes,
        });
    }
}
