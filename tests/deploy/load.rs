//! Clients that go on pushing and pulling while something happens to the
//! registry, and what became of it.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::support::{Finished, eventually, run};

/// One client: its name, and what it does for the n-th time.
pub type Client<'a> = (&'a str, Box<dyn Fn(usize) -> Finished + Sync + 'a>);

/// What the clients did.
pub struct Report {
    commands: Vec<(String, Finished)>,
}

/// The clients while they run.
pub struct Running<'a> {
    done: &'a AtomicUsize,
}

/// Has every client work in a loop of its own while `body` runs.
pub fn during(clients: &[Client], body: impl FnOnce(&Running)) -> Report {
    let commands = Mutex::new(Vec::new());
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for (name, step) in clients {
            let (commands, stop, done) = (&commands, &stop, &done);
            scope.spawn(move || {
                for turn in 0..10_000 {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let finished = step(turn);
                    let mut commands = commands.lock().unwrap_or_else(PoisonError::into_inner);
                    commands.push((name.to_string(), finished));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Also when `body` panics, since the scope waits for the clients.
        let _stopped = Stop(&stop);
        body(&Running { done: &done });
    });
    Report {
        commands: commands
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner),
    }
}

impl Running<'_> {
    /// Waits until the clients finished so many commands more.
    pub fn commands(&self, more: usize) {
        let goal = self.done.load(Ordering::Relaxed) + more;
        eventually("commands of the clients", Duration::from_secs(120), || {
            (self.done.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Report {
    /// The commands that failed.
    pub fn failures(&self) -> Vec<&Finished> {
        let commands = self.commands.iter().map(|(_, finished)| finished);
        commands.filter(|finished| !finished.success()).collect()
    }

    /// Panics with what the clients printed unless all their commands
    /// succeeded.
    pub fn all_succeeded(&self) {
        let failures: Vec<String> = self.failures().iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{self}\n{}", failures.join("\n"));
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self
            .commands
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        for (place, name) in names.iter().enumerate() {
            let of_it = self.commands.iter().filter(|(by, _)| by == name);
            let took: Vec<Duration> = of_it.clone().map(|(_, finished)| finished.took).collect();
            let failed = of_it.filter(|(_, finished)| !finished.success()).count();
            let longest = took.iter().max().copied().unwrap_or_default();
            let comma = if place == 0 { "" } else { ", " };
            write!(
                f,
                "{comma}{name}: {} done, {failed} failed, the longest {:.1} s",
                took.len(),
                longest.as_secs_f64()
            )?;
        }
        Ok(())
    }
}

/// Runs `step`, and once more if it fails, as a person would: for what a
/// client can't repeat by itself, such as the rest of a blob whose server was
/// killed.
pub fn twice(step: impl Fn() -> Finished) -> Finished {
    let first = step();
    if first.success() {
        return first;
    }
    crate::support::say(&format!("repeated by hand: {first}"));
    step()
}

/// A layer as `crane append` takes it: a tar of random bytes, made anew.
pub fn fresh_layer(path: &std::path::Path, bytes: u64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    crate::site::random_file(&dir.path().join("content"), bytes);
    let tar = run("tar").arg("-cf").arg(path);
    tar.arg("-C").arg(dir.path()).arg("content").ok();
}
