//! Waiting for a condition instead of for luck, and lines past the test runner.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// Waits until `condition` gives a value, asking every 20 ms.
///
/// # Panics
/// When `limit` is over; the message names `what` was awaited.
pub fn eventually<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            begun.elapsed() < limit,
            "{what}: not within {} s",
            limit.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Prints one line past the test runner's capture, so that timings and skipped
/// clients are seen in a run where everything passes.
pub fn say(line: &str) {
    let mut line = line.to_owned();
    line.push('\n');
    // One write, so that lines of parallel tests don't mix.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
