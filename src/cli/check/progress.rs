//! How far the check is, on standard error: one line that is written over on a
//! terminal, a line every minute elsewhere.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::is_watched;
use super::report::{Teller, duration, size};
use crate::registry::check::Meter;

/// How often the line on a terminal changes.
const TICK: Duration = Duration::from_millis(250);

/// How often something else gets a line.
const SELDOM: Duration = Duration::from_secs(60);

/// Goes to the beginning of the line and empties it.
const ERASE: &str = "\r\x1b[2K";

/// Characters of the bar.
const BAR: usize = 24;

/// Progress that is being shown.
pub(super) struct Shown {
    end: CancellationToken,
    task: JoinHandle<()>,
}

/// Shows progress until it is told to end; lines elsewhere than on a terminal
/// only if `lines`.
pub(super) fn show(meter: Arc<Meter>, teller: Arc<Teller>, lines: bool) -> Shown {
    let end = CancellationToken::new();
    let watched = is_watched();
    let asked = end.clone();
    let task = tokio::spawn(async move {
        if watched {
            teller.erasing(ERASE);
        }
        let begun = Instant::now();
        let before = (meter.counts().bytes, meter.place());
        let mut tick = tokio::time::interval(if watched { TICK } else { SELDOM });
        tick.tick().await;
        loop {
            tokio::select! {
                () = asked.cancelled() => break,
                _ = tick.tick() => {}
            }
            let line = line(&meter, before, begun.elapsed());
            if watched {
                eprint!("{ERASE}{line}");
            } else if lines {
                eprintln!("{line}");
            }
        }
        if watched {
            eprint!("{ERASE}");
            teller.erasing("");
        }
    });
    Shown { end, task }
}

impl Shown {
    /// Ends it, and leaves the terminal as it was.
    pub(super) async fn end(self) {
        self.end.cancel();
        // It only prints.
        let _ = self.task.await;
    }
}

/// The line: what was read, how fast, and how long it will take. `before` is
/// what earlier runs had read, and how far they were.
fn line(meter: &Meter, before: (u64, f64), elapsed: Duration) -> String {
    let counts = meter.counts();
    let place = meter.place();
    let mut line = String::new();
    if place >= 1.0 {
        let _ = write!(
            line,
            "repositories: {}, {} manifests, {} tags",
            counts.repositories, counts.manifests, counts.tags
        );
    } else {
        let full = (place * BAR as f64) as usize;
        let seconds = elapsed.as_secs_f64().max(0.001);
        let read = counts.bytes.saturating_sub(before.0);
        let rate = (read as f64 / seconds) as u64;
        let _ = write!(
            line,
            "[{}{}] {:3.0} %  {}  {}/s",
            "=".repeat(full.min(BAR)),
            " ".repeat(BAR.saturating_sub(full)),
            place * 100.0,
            size(counts.bytes),
            size(rate)
        );
        let done = place - before.1;
        // At the beginning anything could be said.
        if done > 0.01 {
            let left = seconds * (1.0 - place) / done;
            let left = Duration::try_from_secs_f64(left).unwrap_or_default();
            let _ = write!(line, "  {} left", duration(left));
        }
    }
    match counts.findings {
        0 => {}
        1 => line.push_str("  1 problem"),
        several => {
            let _ = write!(line, "  {several} problems");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_read_yet_is_no_division() {
        let line = line(&Meter::default(), (0, 0.0), Duration::ZERO);
        assert!(
            line.starts_with("[                        ]   0 %  0 bytes"),
            "{line}"
        );
    }
}
