//! When robots were last used: noted in memory, and written beside their records
//! at most once a minute each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use super::name::RobotName;
use crate::storage::{StorageError, Store, layout};

/// The time between two records of one robot.
const APART: Duration = Duration::from_secs(60);

/// The uses that this process has seen.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<RobotName, Use>>);

struct Use {
    last: Timestamp,
    due: bool,
    written: Option<Instant>,
}

impl Uses {
    /// The robot was used just now.
    pub(super) fn note(&self, name: &RobotName) {
        let last = Timestamp::now();
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match uses.get_mut(name) {
            Some(known) => (known.last, known.due) = (last, true),
            None => {
                let first = Use {
                    last,
                    due: true,
                    written: None,
                };
                uses.insert(name.clone(), first);
            }
        }
    }

    /// Writes down what is due, or `all`.
    pub(super) async fn write(&self, store: &dyn Store, all: bool) -> Result<(), StorageError> {
        for (name, last) in self.take(all) {
            // Another replica may have seen a later one.
            if read(store, &name).await?.is_some_and(|kept| kept >= last) {
                continue;
            }
            let text = Bytes::from(last.to_string());
            store.post(&layout::robot_used(name.as_str()), text).await?;
        }
        Ok(())
    }

    fn take(&self, all: bool) -> Vec<(RobotName, Timestamp)> {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let recent = |written: Instant| now.duration_since(written) < APART;
        let due = uses
            .iter_mut()
            .filter(|(_, one)| one.due && (all || !one.written.is_some_and(recent)));
        due.map(|(name, one)| {
            (one.due, one.written) = (false, Some(now));
            (name.clone(), one.last)
        })
        .collect()
    }
}

/// When a robot was last used, as the storage has it.
pub(super) async fn read(
    store: &dyn Store,
    name: &RobotName,
) -> Result<Option<Timestamp>, StorageError> {
    let text = store.get(&layout::robot_used(name.as_str())).await?;
    let text = text.and_then(|text| String::from_utf8(text.to_vec()).ok());
    Ok(text.and_then(|text| text.parse().ok()))
}
