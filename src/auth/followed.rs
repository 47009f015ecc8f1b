//! A small file that is followed: read again when it changes, while the last
//! good content stays in force.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tokio::task;

use super::source;
use super::watch::Watch;

/// What a file's bytes mean, or what is wrong with them.
type Parse<T> = fn(&[u8]) -> Result<T, String>;

/// A file, and what its last good content means.
pub(super) struct Followed<T> {
    parse: Parse<T>,
    watch: Watch,
    current: ArcSwap<T>,
    /// What was read last that is good: by one reader at a time.
    content: Mutex<Vec<u8>>,
}

impl<T> Followed<T> {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// It cannot be read, or means nothing.
    pub(super) fn open(path: PathBuf, parse: Parse<T>) -> Result<Self, String> {
        let (stamp, content) = source::read(&path).map_err(|cause| says(&path, cause))?;
        let current = parse(&content).map_err(|cause| says(&path, cause))?;
        Ok(Self {
            parse,
            watch: Watch::new(path, stamp),
            current: ArcSwap::from_pointee(current),
            content: Mutex::new(content),
        })
    }

    /// What the file means: looked at if nobody did for half a second. Whoever
    /// comes while somebody looks takes what there is.
    pub(super) async fn current(&self) -> Arc<T> {
        if self.watch.is_due() && self.watch.may_have_changed() {
            self.look().await;
        }
        self.current.load_full()
    }

    /// Looks at the file if that is due, and says what is wrong with it.
    pub(super) async fn problem(&self) -> Option<String> {
        let _ = self.current().await;
        self.watch.problem()
    }

    /// Reads the file, changed or not.
    pub(super) async fn look(&self) {
        let mut last = self.content.lock().await;
        let path = self.watch.path().to_owned();
        let read = task::spawn_blocking(move || source::read(&path)).await;
        let path = self.watch.path();
        let outcome = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((stamp, content)) => {
                self.watch.saw(stamp);
                if content == *last {
                    Ok(false)
                } else {
                    (self.parse)(&content)
                        .map(|new| {
                            *last = content;
                            self.current.store(Arc::new(new));
                            true
                        })
                        .map_err(|cause| says(path, cause))
                }
            }
            Err(cause) => Err(says(path, cause)),
        };
        match outcome {
            Ok(changed) => {
                if self.watch.recovered() || changed {
                    tracing::info!("{}: read again", path.display());
                }
            }
            Err(failure) => {
                if self.watch.failed(&failure) {
                    tracing::error!("{failure}; what was read before stays in force");
                }
            }
        }
    }
}

fn says(path: &Path, cause: impl Display) -> String {
    format!("{}: {cause}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, Instant};

    use super::*;

    fn number(bytes: &[u8]) -> Result<u32, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        text.trim().parse().map_err(|_| "no number".to_owned())
    }

    async fn becomes(followed: &Followed<u32>, wanted: u32) {
        let begun = Instant::now();
        while *followed.current().await != wanted {
            assert!(begun.elapsed() < Duration::from_secs(2), "never {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_change_counts_within_two_seconds_and_a_broken_file_never() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("keys");
        fs::write(&path, "1").unwrap();
        let followed = Followed::open(path.clone(), number).unwrap();
        assert_eq!(*followed.current().await, 1);
        fs::write(&path, "2").unwrap();
        becomes(&followed, 2).await;
        fs::write(&path, "nonsense").unwrap();
        let begun = Instant::now();
        loop {
            assert_eq!(*followed.current().await, 2);
            if followed.problem().await.is_some() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(2), "never noticed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, "3").unwrap();
        becomes(&followed, 3).await;
        assert_eq!(followed.problem().await, None);
    }

    #[test]
    fn at_the_start_it_must_be_good() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("keys");
        assert!(Followed::open(path.clone(), number).is_err());
        fs::write(&path, "x").unwrap();
        let error = Followed::open(path.clone(), number).err().unwrap();
        assert_eq!(error, format!("{}: no number", path.display()));
    }
}
