//! What one connection is doing, as its I/O, its requests and its watchdog see
//! it: the base of every time limit.
//!
//! hyper's own limit for heads also closes idle connections, and nothing bounds
//! a client that does not take its answers; so the limits are ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// "Not since": no head has begun.
const NEVER: u64 = u64::MAX;

/// Shared by the parts of one connection. Times are milliseconds since the
/// connection's start. The numbers are independent of each other, so their
/// order among threads does not matter.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// HTTP/2: bytes say nothing about requests.
    multiplexed: AtomicBool,
    /// Whether there has been a request at all.
    used: AtomicBool,
    /// Requests that are being answered.
    running: AtomicUsize,
    /// Of these, answers whose next piece the client has yet to take.
    untaken: AtomicUsize,
    head_begun: AtomicU64,
    written: AtomicU64,
    taken: AtomicU64,
    ended: AtomicU64,
    /// HTTP/2 requests abandoned within the minute `minute`.
    abandoned: AtomicU32,
    minute: AtomicU64,
}

/// What the watchdog does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again.
    Fine,
    /// No request for a long time: close in the protocol's way.
    Idle,
    /// Close without more words.
    Cut(&'static str),
}

/// A verdict and when it holds if nothing happens until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    /// When.
    pub(super) at: Instant,
    /// What.
    pub(super) verdict: Verdict,
}

impl Activity {
    /// A connection that starts now.
    pub(super) fn new(multiplexed: bool) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            multiplexed: AtomicBool::new(multiplexed),
            used: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            untaken: AtomicUsize::new(0),
            head_begun: AtomicU64::new(NEVER),
            written: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            abandoned: AtomicU32::new(0),
            minute: AtomicU64::new(0),
        })
    }

    /// HTTP/2 was recognised.
    pub(super) fn multiplex(&self) {
        self.multiplexed.store(true, Relaxed);
        self.head_begun.store(NEVER, Relaxed);
    }

    /// Whether this is HTTP/2.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    /// Whether the bytes that come next belong to a head of HTTP/1.
    pub(super) fn expects_head(&self) -> bool {
        !self.is_multiplexed() && self.running.load(Relaxed) == 0
    }

    /// Whether bytes of a head of HTTP/1 have come that is no request yet.
    pub(super) fn is_in_head(&self) -> bool {
        self.expects_head() && self.head_begun.load(Relaxed) != NEVER
    }

    /// Bytes of a head came.
    pub(super) fn head_bytes(&self) {
        if self.head_begun.load(Relaxed) == NEVER {
            self.head_begun.store(self.now(), Relaxed);
        }
    }

    /// Bytes went out.
    pub(super) fn wrote(&self) {
        self.written.store(self.now(), Relaxed);
    }

    /// A request begins; it ends when the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.used.store(true, Relaxed);
        self.head_begun.store(NEVER, Relaxed);
        self.running.fetch_add(1, Relaxed);
        Running {
            activity: Arc::clone(self),
            answered: false,
            untaken: false,
        }
    }

    /// What follows from the state as it is.
    pub(super) fn deadline(&self, limits: &Limits) -> Deadline {
        if self.abandoned.load(Relaxed) > limits.resets_per_minute {
            return Deadline {
                at: self.start,
                verdict: Verdict::Cut("it abandons too many requests"),
            };
        }
        let running = self.running.load(Relaxed);
        if running == 0 {
            return self.waiting(limits);
        }
        if self.untaken.load(Relaxed) >= running {
            let mut progress = self.taken.load(Relaxed);
            if !self.is_multiplexed() {
                // HTTP/2's control frames are no progress.
                progress = progress.max(self.written.load(Relaxed));
            }
            return self.after(
                progress,
                limits.answer_stall,
                Verdict::Cut("it does not take its answers"),
            );
        }
        // The handlers' own time, or a body's, which has its own limits.
        self.after(self.now(), limits.head, Verdict::Fine)
    }

    fn waiting(&self, limits: &Limits) -> Deadline {
        const SLOW: Verdict = Verdict::Cut("its request's head took too long");
        match self.head_begun.load(Relaxed) {
            NEVER if self.used.load(Relaxed) || self.is_multiplexed() => {
                let mut since = self.ended.load(Relaxed);
                if !self.is_multiplexed() {
                    // The end of an answer may still be on its way out.
                    since = since.max(self.written.load(Relaxed));
                }
                self.after(since, limits.idle, Verdict::Idle)
            }
            NEVER => self.after(0, limits.head, SLOW),
            begun => self.after(begun, limits.head, SLOW),
        }
    }

    fn after(&self, since: u64, time: Duration, verdict: Verdict) -> Deadline {
        Deadline {
            at: self.start + Duration::from_millis(since) + time,
            verdict,
        }
    }

    fn abandon(&self) {
        let minute = self.now() / 60_000;
        if self.minute.swap(minute, Relaxed) != minute {
            self.abandoned.store(0, Relaxed);
        }
        self.abandoned.fetch_add(1, Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

/// One request from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct Running {
    activity: Arc<Activity>,
    answered: bool,
    untaken: bool,
}

impl Running {
    /// The handler has answered; what follows is the answer's body.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// A piece of the answer was handed over and waits to be taken.
    pub(super) fn handed_over(&mut self) {
        if !self.untaken {
            self.untaken = true;
            self.activity.untaken.fetch_add(1, Relaxed);
        }
        self.activity.taken.store(self.activity.now(), Relaxed);
    }

    /// The next piece is asked for: the one before was taken.
    pub(super) fn taken(&mut self) {
        if self.untaken {
            self.untaken = false;
            self.activity.untaken.fetch_sub(1, Relaxed);
            self.activity.taken.store(self.activity.now(), Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.taken();
        if !self.answered && self.activity.is_multiplexed() {
            self.activity.abandon();
        }
        self.activity.ended.store(self.activity.now(), Relaxed);
        self.activity.running.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            resets_per_minute: 2,
            ..Limits::default()
        }
    }

    fn verdict(activity: &Activity) -> Verdict {
        activity.deadline(&limits()).verdict
    }

    #[tokio::test]
    async fn a_silent_connection_has_the_time_of_a_head() {
        let activity = Activity::new(false);
        let deadline = activity.deadline(&limits());
        assert_eq!(deadline.at, activity.start + limits().head);
        assert!(matches!(deadline.verdict, Verdict::Cut(_)));
    }

    #[tokio::test]
    async fn trickling_bytes_do_not_prolong_a_head() {
        let activity = Activity::new(false);
        drop(activity.begin());
        assert_eq!(verdict(&activity), Verdict::Idle);
        activity.head_bytes();
        let first = activity.deadline(&limits());
        activity.head_bytes();
        assert_eq!(activity.deadline(&limits()), first);
        assert!(matches!(first.verdict, Verdict::Cut(_)));
    }

    #[tokio::test]
    async fn a_working_handler_has_no_limit_here() {
        let activity = Activity::new(false);
        let mut running = activity.begin();
        assert_eq!(verdict(&activity), Verdict::Fine);
        running.answered();
        running.handed_over();
        assert!(matches!(verdict(&activity), Verdict::Cut(_)));
        running.taken();
        assert_eq!(verdict(&activity), Verdict::Fine);
        running.handed_over();
        drop(running);
        assert_eq!(verdict(&activity), Verdict::Idle);
    }

    #[tokio::test]
    async fn one_moving_answer_keeps_the_others() {
        let activity = Activity::new(true);
        let (mut stuck, _moving) = (activity.begin(), activity.begin());
        stuck.handed_over();
        assert_eq!(verdict(&activity), Verdict::Fine);
    }

    #[tokio::test]
    async fn rapid_resets_end_the_connection() {
        let activity = Activity::new(true);
        for _ in 0..2 {
            drop(activity.begin());
        }
        assert_eq!(verdict(&activity), Verdict::Idle);
        drop(activity.begin());
        assert!(matches!(verdict(&activity), Verdict::Cut(_)));
    }
}
