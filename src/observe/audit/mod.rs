//! The audit log: one JSON line for each login, push, delete, moved tag and
//! denied action, in a sink of its own.
//!
//! Lines are written by a thread of their own, in their order. While the sink
//! is slow, requests wait for it a moment; a line that finds no room then is
//! lost, which is counted and said. A sink that fails never stops the registry.

mod entry;
mod flood;
mod sink;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub use entry::{Entry, Event, Outcome};

use flood::Flood;
use sink::Sink;

/// Lines that may wait for the sink.
const WAITING: usize = 4096;

/// How long a request waits for room among them.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most bytes that are written at once.
const BATCH: usize = 256 * 1024;

/// `audit` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `enabled`
    pub enabled: bool,
    /// `file`
    pub place: Place,
}

/// Where the lines go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// Standard output, between the lines of the log.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
    /// This file, which is appended to.
    File(PathBuf),
}

/// There is no audit log as configured.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened.
    #[error("cannot open the audit log {path}: {cause}; check audit.file and its permissions")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The thread that writes could not be started.
    #[error("cannot start the thread that writes the audit log: {0}")]
    Thread(#[source] io::Error),
}

/// What the audit log counts: cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Lines that were written.
    pub written: Counter,
    /// Lines that were lost.
    pub lost: Counter,
}

/// The audit log, or nothing where it is switched off: cheap to clone.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Inner>>);

struct Inner {
    lines: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
    /// Nobody waits for a sink that has just let somebody wait in vain.
    stuck: AtomicBool,
    flood: Mutex<Flood>,
}

/// What requests and the thread that writes both know.
struct Shared {
    reopen: AtomicBool,
    /// Lines that are accepted and neither written nor lost.
    waiting: AtomicU64,
    counters: Counters,
}

impl Audit {
    /// Opens the sink and starts the thread that writes.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread can be started.
    pub fn open(settings: &Settings, counters: Counters) -> Result<Self, AuditError> {
        if !settings.enabled {
            return Ok(Self(None));
        }
        let sink = Sink::open(&settings.place).map_err(|cause| AuditError::File {
            path: match &settings.place {
                Place::File(path) => path.clone(),
                Place::Stdout | Place::Stderr => PathBuf::new(),
            },
            cause,
        })?;
        let (lines, queue) = mpsc::channel(WAITING);
        let shared = Arc::new(Shared {
            reopen: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            counters,
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(queue, sink, &theirs))
            .map_err(AuditError::Thread)?;
        Ok(Self(Some(Arc::new(Inner {
            lines,
            shared,
            stuck: AtomicBool::new(false),
            flood: Mutex::default(),
        }))))
    }

    /// Whether anything is written.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes a line, waiting for room at most a second.
    pub async fn write(&self, entry: &Entry) {
        let Some(inner) = &self.0 else { return };
        let Some(suppressed) = inner.admit(entry) else {
            return;
        };
        inner.send(entry.line(Timestamp::now(), suppressed)).await;
    }

    /// Tells of failures that were too many for a line each, once their second
    /// is over. To be called about every second.
    pub fn tick(&self) {
        let Some(inner) = &self.0 else { return };
        let over = inner.flood().over(Instant::now());
        for (entry, suppressed) in over {
            let line = entry.line(Timestamp::now(), suppressed);
            inner.shared.waiting.fetch_add(1, Ordering::AcqRel);
            if inner.lines.try_send(line).is_err() {
                inner.lost();
            }
        }
    }

    /// Opens the file anew before the next line (SIGHUP, after logrotate).
    pub fn reopen(&self) {
        if let Some(inner) = &self.0 {
            inner.shared.reopen.store(true, Ordering::Release);
        }
    }

    /// Waits until every line is written, at most `patience`.
    pub async fn flush(&self, patience: Duration) {
        let Some(inner) = &self.0 else { return };
        let _ = timeout(patience, async {
            while inner.shared.waiting.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Audit").field(&self.is_on()).finish()
    }
}

impl Inner {
    /// Whether there may be a line of its own, and how many like it had none.
    fn admit(&self, entry: &Entry) -> Option<u64> {
        match entry.outcome {
            Outcome::Success => Some(0),
            Outcome::Failure => self.flood().admit(entry, Instant::now()),
        }
    }

    async fn send(&self, line: Vec<u8>) {
        self.shared.waiting.fetch_add(1, Ordering::AcqRel);
        let sent = match self.lines.try_send(line) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(line)) if !self.stuck.load(Ordering::Relaxed) => {
                matches!(timeout(PATIENCE, self.lines.send(line)).await, Ok(Ok(())))
            }
            Err(_) => false,
        };
        if !sent {
            self.lost();
        }
        if self.stuck.swap(!sent, Ordering::Relaxed) == sent && !sent {
            tracing::error!("audit lines are lost: audit.file takes them too slowly");
        }
    }

    fn lost(&self) {
        self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
        self.shared.counters.lost.inc();
    }

    fn flood(&self) -> std::sync::MutexGuard<'_, Flood> {
        self.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread: writes what waits, as much at once as there is.
fn write(mut queue: mpsc::Receiver<Vec<u8>>, mut sink: Sink, shared: &Shared) {
    let mut failing = false;
    while let Some(mut batch) = queue.blocking_recv() {
        let mut lines = 1;
        while batch.len() < BATCH
            && let Ok(more) = queue.try_recv()
        {
            batch.extend_from_slice(&more);
            lines += 1;
        }
        let written = sink.write(&batch, shared.reopen.swap(false, Ordering::AcqRel));
        match written {
            Ok(()) => {
                shared.counters.written.inc_by(lines);
                if failing {
                    tracing::info!("the audit log is written again");
                }
                failing = false;
            }
            Err(error) => {
                shared.counters.lost.inc_by(lines);
                if !failing {
                    tracing::error!(
                        "audit lines are lost: {error}; make room or mend audit.file, the registry goes on without them"
                    );
                }
                failing = true;
            }
        }
        shared.waiting.fetch_sub(lines, Ordering::AcqRel);
    }
}
