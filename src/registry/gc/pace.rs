//! How hard a collection works: after each piece of work it pauses in
//! proportion, so that pushes and pulls go on as if it were not there.

use std::time::{Duration, Instant};

/// The longest pause at once: whoever is stopped shouldn't wait long.
const LONGEST: Duration = Duration::from_millis(500);

/// A part of the time, in percent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace(u8);

impl Pace {
    pub(super) fn new(percent: u8) -> Self {
        Self(percent.clamp(1, 100))
    }

    /// Works, then pauses.
    pub(super) async fn work<T>(self, work: impl Future<Output = T>) -> T {
        if self.0 == 100 {
            return work.await;
        }
        let begun = Instant::now();
        let done = work.await;
        let pause = begun.elapsed() * u32::from(100 - self.0) / u32::from(self.0);
        tokio::time::sleep(pause.min(LONGEST)).await;
        done
    }
}
