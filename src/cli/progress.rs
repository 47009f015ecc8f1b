//! How far a command is, on standard error: a bar on a terminal, a line every
//! minute elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the bar changes.
const TICK: Duration = Duration::from_millis(250);

/// How often something else gets a line.
const SELDOM: Duration = Duration::from_secs(60);

/// Steps of the bar.
const STEPS: f64 = 10_000.0;

/// With a bar, and without one.
const BAR: &str = "[{bar:24}] {percent:>3} %  {msg}  {eta} left";
const WORDS: &str = "{msg}";

/// What a command knows of its way.
pub(super) trait Progress: Send + Sync + 'static {
    /// How much is done, from 0 to 1; nothing while that can't be known.
    fn place(&self) -> Option<f64>;

    /// What was done so far. It began `elapsed` ago.
    fn message(&self, elapsed: Duration) -> String;
}

/// Progress that is being shown.
pub(super) struct Shown {
    bar: ProgressBar,
    end: CancellationToken,
    task: JoinHandle<()>,
}

/// A bar on standard error; nobody sees it where that is no terminal.
pub(super) fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(STEPS as u64), ProgressDrawTarget::stderr());
    bar.with_style(style(WORDS))
}

/// Shows progress until it is told to end; where the bar isn't seen, lines,
/// but only if `lines`.
pub(super) fn show(progress: impl Progress, bar: ProgressBar, lines: bool) -> Shown {
    let end = CancellationToken::new();
    let (asked, shown) = (end.clone(), bar.clone());
    let task = tokio::spawn(async move {
        let begun = Instant::now();
        let mut has_bar = false;
        let mut tick = tokio::time::interval(if bar.is_hidden() { SELDOM } else { TICK });
        tick.tick().await;
        loop {
            let place = progress.place();
            if place.is_some() != has_bar {
                has_bar = place.is_some();
                bar.set_style(style(if has_bar { BAR } else { WORDS }));
                bar.set_position(position(place));
                // What was done before says nothing about how fast this goes.
                bar.reset_eta();
            }
            tokio::select! {
                () = asked.cancelled() => return,
                _ = tick.tick() => {}
            }
            bar.set_position(position(progress.place()));
            let message = progress.message(begun.elapsed());
            if bar.is_hidden() && lines {
                match progress.place() {
                    Some(place) => eprintln!("{:3.0} %  {message}", place * 100.0),
                    None => eprintln!("{message}"),
                }
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

fn position(place: Option<f64>) -> u64 {
    (place.unwrap_or_default() * STEPS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_templates() {
        for template in [BAR, WORDS] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
