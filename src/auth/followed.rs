//! A small file that is followed: read again when it changes, while the last
//! good content stays in force.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tokio::task;

/// How often the file is looked at while it is in use.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The largest file, in bytes.
const MAX_SIZE: u64 = 4 * 1024 * 1024;

/// What a file's bytes mean, or what is wrong with them.
type Parse<T> = fn(&[u8]) -> Result<T, String>;

/// A file, and what its last good content means.
pub(super) struct Followed<T> {
    path: PathBuf,
    parse: Parse<T>,
    current: ArcSwap<T>,
    looked: Mutex<Looked>,
}

/// The last look at the file.
struct Looked {
    at: Instant,
    content: Vec<u8>,
    /// What was logged last, so that it is not logged twice a second.
    failure: Option<String>,
}

impl<T> Followed<T> {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// It cannot be read, or means nothing.
    pub(super) fn open(path: PathBuf, parse: Parse<T>) -> Result<Self, String> {
        let content = read(&path).map_err(|cause| says(&path, cause))?;
        let current = parse(&content).map_err(|cause| says(&path, cause))?;
        Ok(Self {
            path,
            parse,
            current: ArcSwap::from_pointee(current),
            looked: Mutex::new(Looked {
                at: Instant::now(),
                content,
                failure: None,
            }),
        })
    }

    /// What the file means: looked at if nobody did for half a second. Whoever
    /// comes while somebody looks takes what there is.
    pub(super) async fn current(&self) -> Arc<T> {
        if let Ok(mut looked) = self.looked.try_lock()
            && looked.at.elapsed() >= LOOK_EVERY
        {
            self.look(&mut looked).await;
        }
        self.current.load_full()
    }

    async fn look(&self, looked: &mut Looked) {
        looked.at = Instant::now();
        let path = self.path.clone();
        let read = task::spawn_blocking(move || read(&path)).await;
        let failure = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(content) if content == looked.content => None,
            Ok(content) => match (self.parse)(&content) {
                Ok(new) => {
                    looked.content = content;
                    self.current.store(Arc::new(new));
                    tracing::info!("{}: read again", self.path.display());
                    None
                }
                Err(cause) => Some(says(&self.path, cause)),
            },
            Err(cause) => Some(says(&self.path, cause)),
        };
        if let Some(failure) = &failure
            && looked.failure.as_ref() != Some(failure)
        {
            tracing::error!("{failure}; what was read before stays in force");
        }
        looked.failure = failure;
    }
}

fn says(path: &Path, cause: impl Display) -> String {
    format!("{}: {cause}", path.display())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_SIZE + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_SIZE {
        return Err(io::Error::other("larger than 4 MiB"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
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
            if followed.looked.lock().await.failure.is_some() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(2), "never noticed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, "3").unwrap();
        becomes(&followed, 3).await;
        assert_eq!(followed.looked.lock().await.failure, None);
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
