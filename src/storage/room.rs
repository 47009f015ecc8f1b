//! How much room is left where the images lie, and whether that is too little
//! to begin anything new (threat model T11).
//!
//! A volume that is filled to its last byte can't even be tidied up: deletes
//! need a little room, too. So new content is refused while some is left; what
//! has begun goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::{Space, Store};

/// How long a look counts: asking the system for each push would cost more than
/// it tells.
const FRESH: Duration = Duration::from_secs(1);

/// What [`Floor::Auto`] keeps free at most, in bytes.
const AUTO_BYTES: u64 = 256 * 1024 * 1024;

/// What [`Floor::Auto`] keeps free at most, in hundredths of the volume.
const AUTO_PERCENT: u64 = 5;

/// Files that are kept free where a volume counts them: at most so many, and at
/// most one in a hundred.
const FILES: u64 = 1_000;

/// What is to be left free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// 256 MiB or 5 % of the volume, whichever is less.
    Auto,
    /// So many bytes; 0 is no floor at all, not for files either.
    Bytes(u64),
    /// So many hundredths of the volume.
    Percent(u64),
}

/// Watches the room of one store: cheap to clone.
#[derive(Clone)]
pub struct Room {
    store: Arc<dyn Store>,
    looked: Arc<Mutex<Option<Instant>>>,
    /// What was seen then, for those who can't wait, too.
    last: Arc<ArcSwapOption<Space>>,
    low: Arc<AtomicBool>,
}

impl Room {
    /// The room of a store, which was not looked at yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            looked: Arc::default(),
            last: Arc::default(),
            low: Arc::default(),
        }
    }

    /// Whether less is left than `floor` wants; says so in the log when that
    /// changes. A store without bounds, or one that doesn't say, is never low.
    pub async fn is_low(&self, floor: Floor) -> bool {
        let space = self.look().await;
        let low = space.is_some_and(|space| floor.is_above(&space));
        if let Some(space) = space
            && self.low.swap(low, Relaxed) != low
        {
            tell(low, &space);
        }
        low
    }

    /// What the last question was answered.
    pub fn was_low(&self) -> bool {
        self.low.load(Relaxed)
    }

    /// What was left at the last look.
    pub fn last(&self) -> Option<Space> {
        self.last.load().as_deref().copied()
    }

    async fn look(&self) -> Option<Space> {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < FRESH) {
            return self.last();
        }
        let space = match self.store.space().await {
            Ok(space) => space,
            Err(error) => {
                tracing::debug!(%error, "the storage does not say how much room it has");
                None
            }
        };
        self.last.store(space.map(Arc::new));
        *looked = Some(Instant::now());
        space
    }
}

impl Floor {
    /// Whether less is left than this.
    fn is_above(self, space: &Space) -> bool {
        let percent = |hundredths: u64| (space.total / 100).saturating_mul(hundredths);
        let bytes = match self {
            Self::Bytes(0) | Self::Percent(0) => return false,
            Self::Auto => percent(AUTO_PERCENT).min(AUTO_BYTES),
            Self::Bytes(bytes) => bytes,
            Self::Percent(hundredths) => percent(hundredths),
        };
        // A volume of 0 files doesn't count them.
        let files = FILES.min(space.total_files / 100);
        space.free < bytes || space.free_files < files
    }
}

fn tell(low: bool, space: &Space) {
    let (free, files) = (space.free / (1024 * 1024), space.free_files);
    if low {
        tracing::warn!(
            free_mib = free,
            free_files = files,
            "little room is left on the storage (limits.freespace): new pushes are answered with 429, pulls and deletes go on; make room"
        );
    } else {
        tracing::info!(
            free_mib = free,
            free_files = files,
            "there is room on the storage again: pushes are accepted"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn space(free: u64, total: u64) -> Space {
        Space {
            free: free * MIB,
            total: total * MIB,
            free_files: 0,
            total_files: 0,
        }
    }

    #[test]
    fn the_floor_is_the_smaller_of_the_two_by_itself() {
        assert!(Floor::Auto.is_above(&space(1, 32)));
        assert!(!Floor::Auto.is_above(&space(2, 32)));
        assert!(Floor::Auto.is_above(&space(255, 1_000_000)));
        assert!(!Floor::Auto.is_above(&space(256, 1_000_000)));
    }

    #[test]
    fn the_floor_is_what_was_said() {
        assert!(Floor::Bytes(10 * MIB).is_above(&space(9, 32)));
        assert!(!Floor::Bytes(10 * MIB).is_above(&space(10, 32)));
        assert!(Floor::Percent(50).is_above(&space(15, 32)));
        assert!(!Floor::Percent(50).is_above(&space(16, 32)));
        for off in [Floor::Bytes(0), Floor::Percent(0)] {
            assert!(!off.is_above(&space(0, 32)));
        }
    }

    #[test]
    fn files_run_out_too_where_they_are_counted() {
        let mut space = space(100, 100);
        space.total_files = 5_000;
        space.free_files = 49;
        assert!(Floor::Auto.is_above(&space));
        assert!(!Floor::Bytes(0).is_above(&space));
        space.free_files = 50;
        assert!(!Floor::Auto.is_above(&space));
    }
}
