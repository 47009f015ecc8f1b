//! The end of the process as a value that is passed down, and the signals that
//! bring it about.
//!
//! Stopping has an order: load balancers are told ([`Shutdown::leaving`]) and
//! have a pause to notice (`http.drainpause`), servers drain
//! ([`Shutdown::draining`]), then the background tasks end
//! ([`Shutdown::finish`]). A second signal skips the waiting
//! ([`Shutdown::stopped`]).

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

/// One process's way to its end: cheap to clone, all clones are the same.
#[derive(Debug, Clone)]
pub struct Shutdown {
    leaving: CancellationToken,
    pause: Duration,
    draining: CancellationToken,
    stopped: CancellationToken,
    background: CancellationToken,
    tasks: TaskTracker,
    reloads: watch::Sender<u64>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Nothing has been asked for yet.
    pub fn new() -> Self {
        let stopped = CancellationToken::new();
        Self {
            // To stop is also to drain and to end what runs in the background.
            leaving: stopped.child_token(),
            pause: Duration::ZERO,
            draining: stopped.child_token(),
            background: stopped.child_token(),
            stopped,
            tasks: TaskTracker::new(),
            reloads: watch::Sender::new(0),
        }
    }

    /// Everything is accepted for so long after the first signal
    /// (`http.drainpause`).
    #[must_use]
    pub fn pausing(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// From now on SIGTERM and SIGINT [`interrupt`](Self::interrupt) and SIGHUP
    /// [`reload`](Self::reload)s.
    ///
    /// # Errors
    /// The system refuses to have its signals watched.
    pub fn follow_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => shutdown.interrupt(),
                    _ = interrupt.recv() => shutdown.interrupt(),
                    _ = hangup.recv() => shutdown.reload(),
                }
            }
        });
        Ok(())
    }

    /// What SIGTERM does: the first time drain, after the pause, the second time
    /// stop at once. Within a runtime.
    pub fn interrupt(&self) {
        if self.leaving.is_cancelled() {
            warn!("second signal: stopping at once");
            self.stopped.cancel();
            return;
        }
        self.leaving.cancel();
        if self.pause.is_zero() {
            info!("stopping: no new connections; a second signal stops at once");
            self.draining.cancel();
            return;
        }
        info!(
            "stopping: no new connections after {:?} (http.drainpause); a second signal stops at once",
            self.pause
        );
        let shutdown = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.stopped() => {}
                () = tokio::time::sleep(shutdown.pause) => shutdown.draining.cancel(),
            }
        });
    }

    /// What SIGHUP does: everybody who watches [`reloads`](Self::reloads) rereads
    /// their files.
    pub fn reload(&self) {
        info!("rereading configuration, users and certificates");
        self.reloads.send_modify(|count| *count += 1);
    }

    /// Asks to stop at once.
    pub fn stop(&self) {
        self.stopped.cancel();
    }

    /// Cancelled as soon as the process is asked to end: what is sent here from
    /// now on had better go elsewhere.
    pub fn leaving(&self) -> CancellationToken {
        self.leaving.clone()
    }

    /// Waits until no new work may be accepted.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Waits until even running work must end.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Reports each reload that is asked for after this call.
    pub fn reloads(&self) -> Reloads {
        Reloads(self.reloads.subscribe())
    }

    /// What background tasks wait for: cancelled after the servers have drained,
    /// or at once when everything stops.
    pub fn background(&self) -> CancellationToken {
        self.background.clone()
    }

    /// Starts a background task, which ends when [`background`](Self::background)
    /// is cancelled. The name is for the log.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = tokio::spawn(task);
        self.tasks.spawn(async move {
            match task.await {
                Ok(()) => debug!(task = name, "background task ended"),
                Err(error) => error!(task = name, %error, "background task failed"),
            }
        });
    }

    /// Ends the background tasks; to be called once the servers have drained.
    /// Gives up waiting after `patience`, or when everything stops, and returns
    /// how many tasks are still running then.
    pub async fn finish(&self, patience: Duration) -> usize {
        self.background.cancel();
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = self.stopped() => {}
            () = tokio::time::sleep(patience) => {}
        }
        self.tasks.len()
    }
}

/// The reloads that were asked for; see [`Shutdown::reloads`].
#[derive(Debug, Clone)]
pub struct Reloads(watch::Receiver<u64>);

impl Reloads {
    /// Waits for the next reload; several that came meanwhile are one.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn the_first_interrupt_drains_and_the_second_stops() {
        let shutdown = Shutdown::new();
        let background = shutdown.background();
        assert!(!shutdown.draining.is_cancelled());

        shutdown.interrupt();
        shutdown.draining().await;
        assert!(shutdown.draining.is_cancelled());
        assert!(!shutdown.stopped.is_cancelled());
        assert!(!background.is_cancelled(), "tasks outlive the drain");

        shutdown.interrupt();
        shutdown.stopped().await;
        assert!(background.is_cancelled());
    }

    #[tokio::test]
    async fn a_pause_lies_between_leaving_and_draining() {
        let shutdown = Shutdown::new().pausing(Duration::from_secs(3600));
        shutdown.interrupt();
        assert!(shutdown.leaving().is_cancelled());
        assert!(!shutdown.draining.is_cancelled());
        shutdown.interrupt();
        shutdown.draining().await;

        let short = Shutdown::new().pausing(Duration::from_millis(10));
        short.interrupt();
        short.draining().await;
        assert!(!short.stopped.is_cancelled());
    }

    #[tokio::test]
    async fn finishing_ends_background_tasks_and_waits_for_them() {
        let shutdown = Shutdown::new();
        let tidied = Arc::new(AtomicBool::new(false));
        let (background, tidy) = (shutdown.background(), Arc::clone(&tidied));
        shutdown.spawn("tidy", async move {
            background.cancelled().await;
            tidy.store(true, Ordering::SeqCst);
        });
        shutdown.interrupt();
        assert_eq!(shutdown.finish(Duration::from_secs(5)).await, 0);
        assert!(tidied.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn finishing_reports_tasks_that_do_not_end() {
        let shutdown = Shutdown::new();
        shutdown.spawn("stubborn", std::future::pending());
        assert_eq!(shutdown.finish(Duration::from_millis(1)).await, 1);
    }

    #[tokio::test]
    async fn a_panicking_task_does_not_keep_the_process() {
        let shutdown = Shutdown::new();
        shutdown.spawn("broken", async { panic!("on purpose") });
        assert_eq!(shutdown.finish(Duration::from_secs(5)).await, 0);
    }

    #[tokio::test]
    async fn reloads_reach_every_subscriber() {
        let shutdown = Shutdown::new();
        let (mut one, mut other) = (shutdown.reloads(), shutdown.reloads());
        shutdown.reload();
        shutdown.reload();
        one.next().await;
        other.next().await;
        assert!(
            !one.0.has_changed().unwrap(),
            "two at once are one to whom waits"
        );
    }
}
