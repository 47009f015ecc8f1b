//! The robots that this process knows, read from the storage again when what is
//! known is older than a second. Names that nobody has are remembered as well,
//! within bounds, so that trying names is no flood of reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::{Instant, timeout};

use super::name::RobotName;
use super::record::Robot;
use crate::auth::Unidentified;
use crate::storage::{StorageError, Store, layout};

/// How long an answer of the storage counts: a revocation takes effect after
/// this and one read.
const FRESH: Duration = Duration::from_secs(1);

/// How long the storage has to answer, before what was known must do.
const PATIENCE: Duration = Duration::from_millis(900);

/// How long what was known counts while the storage does not answer.
const GRACE: Duration = Duration::from_secs(60);

/// Names that are remembered; some 200 bytes each.
const MAX_NAMES: usize = 4096;

/// Reads at once for names that are not known to be robots.
const STRANGERS: usize = 16;

/// What the storage says about names.
pub(super) struct Known {
    store: Arc<dyn Store>,
    names: Mutex<HashMap<RobotName, Arc<Turn<Seen>>>>,
    strangers: Semaphore,
    /// [`GRACE`], but in tests.
    pub(super) grace: Duration,
}

/// One name. Whoever has the turn asks the storage; the others wait for that.
#[derive(Default)]
struct Seen {
    tried: Option<Instant>,
    answer: Option<(Instant, Option<Arc<Robot>>)>,
}

impl Known {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            names: Mutex::default(),
            strangers: Semaphore::new(STRANGERS),
            grace: GRACE,
        }
    }

    /// The robot of that name, expired or not, or `None`.
    ///
    /// # Errors
    /// The storage has not answered for too long.
    pub(super) async fn robot(&self, name: &RobotName) -> Result<Option<Arc<Robot>>, Unidentified> {
        let seen = self.seen(name);
        let mut seen = seen.lock().await;
        if seen.tried.is_none_or(|tried| tried.elapsed() >= FRESH) {
            self.look(name, &mut seen).await?;
        }
        match &seen.answer {
            Some((at, robot)) if at.elapsed() < self.grace => Ok(robot.clone()),
            _ => Err(Unidentified::Unavailable),
        }
    }

    async fn look(&self, name: &RobotName, seen: &mut Seen) -> Result<(), Unidentified> {
        let stranger = seen.robot().is_none();
        let permit = match stranger {
            true => {
                let waiting = timeout(PATIENCE, self.strangers.acquire()).await;
                Some(waiting.map_err(|_| Unidentified::Busy)?)
            }
            false => None,
        };
        let now = Instant::now();
        let read = timeout(PATIENCE, read(&*self.store, name)).await;
        drop(permit);
        seen.tried = Some(now);
        match read {
            Ok(Ok(robot)) => seen.answer = Some((now, robot.map(Arc::new))),
            Ok(Err(error)) => {
                tracing::warn!(%error, robot = %name, "cannot read a robot's record: what was known counts for a while");
            }
            Err(_) => {
                tracing::warn!(robot = %name, "the storage takes too long for a robot's record: what was known counts for a while");
            }
        }
        Ok(())
    }

    fn seen(&self, name: &RobotName) -> Arc<Turn<Seen>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = names.get(name) {
            return Arc::clone(seen);
        }
        if names.len() >= MAX_NAMES {
            names.retain(|_, seen| seen.try_lock().is_ok_and(|seen| seen.robot().is_some()));
        }
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        Arc::clone(names.entry(name.clone()).or_default())
    }
}

impl Seen {
    fn robot(&self) -> Option<&Arc<Robot>> {
        self.answer.as_ref().and_then(|(_, robot)| robot.as_ref())
    }
}

/// The robot of that name, as the storage has it. A record that cannot be read
/// is nobody's.
pub(super) async fn read(
    store: &dyn Store,
    name: &RobotName,
) -> Result<Option<Robot>, StorageError> {
    let Some(record) = store.get(&layout::robot(name.as_str())).await? else {
        return Ok(None);
    };
    let robot = Robot::read(&record);
    if robot.is_none() {
        tracing::warn!(
            robot = %name,
            "the record of a robot cannot be read: revoke it and make it anew"
        );
    }
    Ok(robot)
}
