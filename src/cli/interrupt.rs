//! Ctrl-C for commands that take their time: the first one ends them in order,
//! the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// How a command ends that was asked to stop (128 + SIGINT).
pub(super) const INTERRUPTED: u8 = 130;

/// Cancelled by the first SIGINT or SIGTERM; the second ends the process.
/// Within a runtime.
pub(super) fn follow() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let asked = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let Ok(mut signals) = signal(kind) else {
            continue;
        };
        let (stop, asked) = (stop.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if asked.swap(true, Ordering::SeqCst) {
                    std::process::exit(i32::from(INTERRUPTED));
                }
                stop.cancel();
            }
        });
    }
    stop
}
