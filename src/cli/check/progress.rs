//! How far the check is, on standard error: a bar on a terminal, a line every
//! minute elsewhere.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::report::size;
use crate::registry::check::Meter;

/// How often the bar changes.
const TICK: Duration = Duration::from_millis(250);

/// How often something else gets a line.
const SELDOM: Duration = Duration::from_secs(60);

/// Steps of the bar.
const STEPS: f64 = 10_000.0;

/// Progress that is being shown.
pub(super) struct Shown {
    bar: ProgressBar,
    end: CancellationToken,
    task: JoinHandle<()>,
}

/// A bar on standard error; nobody sees it where that is no terminal.
pub(super) fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(STEPS as u64), ProgressDrawTarget::stderr());
    bar.with_style(style("[{bar:24}] {percent:>3} %  {msg}  {eta} left"))
}

/// Shows progress until it is told to end; where the bar isn't seen, lines,
/// but only if `lines`.
pub(super) fn show(meter: Arc<Meter>, bar: ProgressBar, lines: bool) -> Shown {
    let end = CancellationToken::new();
    let (asked, shown) = (end.clone(), bar.clone());
    let task = tokio::spawn(async move {
        let (begun, before) = (Instant::now(), meter.counts().bytes);
        // What earlier runs have read says nothing about how fast this one is.
        bar.set_position(position(&meter));
        bar.reset_eta();
        let mut tick = tokio::time::interval(if bar.is_hidden() { SELDOM } else { TICK });
        tick.tick().await;
        loop {
            tokio::select! {
                () = asked.cancelled() => return,
                _ = tick.tick() => {}
            }
            if meter.place() >= 1.0 {
                bar.set_style(style("{msg}"));
            }
            bar.set_position(position(&meter));
            let message = message(&meter, before, begun.elapsed());
            if bar.is_hidden() && lines {
                eprintln!("{:3.0} %  {message}", meter.place() * 100.0);
            }
            bar.set_message(message);
        }
    });
    Shown {
        bar: shown,
        end,
        task,
    }
}

impl Shown {
    /// Ends it, and leaves the terminal as it was.
    pub(super) async fn end(self) {
        self.end.cancel();
        // It only prints.
        let _ = self.task.await;
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn position(meter: &Meter) -> u64 {
    (meter.place() * STEPS) as u64
}

/// What was read, how fast, and what was found. `before` is what earlier runs
/// had read, in bytes.
fn message(meter: &Meter, before: u64, elapsed: Duration) -> String {
    let counts = meter.counts();
    let mut text = if meter.place() >= 1.0 {
        format!(
            "repositories: {}, {} manifests, {} tags",
            counts.repositories, counts.manifests, counts.tags
        )
    } else {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let rate = (counts.bytes.saturating_sub(before) as f64 / seconds) as u64;
        format!("{}  {}/s", size(counts.bytes), size(rate))
    };
    match counts.findings {
        0 => {}
        1 => text.push_str("  1 problem"),
        several => {
            // Writing to a String cannot fail.
            let _ = write!(text, "  {several} problems");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_read_yet_is_no_division() {
        let text = message(&Meter::default(), 0, Duration::ZERO);
        assert_eq!(text, "0 bytes  0 bytes/s");
    }

    #[test]
    fn the_templates_are_templates() {
        for template in ["[{bar:24}] {percent:>3} %  {msg}  {eta} left", "{msg}"] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
