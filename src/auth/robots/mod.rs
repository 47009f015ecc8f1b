//! Robots: callers that `wharf token create` has made for machines, each with a
//! secret, rights and an end of its own. Their records lie in the storage, so
//! that all replicas know the same.

pub mod book;
mod known;
mod name;
mod record;
mod secret;
#[cfg(test)]
mod tests;
mod uses;

use std::sync::Arc;
use std::time::SystemTime;

pub use name::{InvalidRobotName, RobotName};
pub use record::Robot;
pub use secret::{PREFIX, Secret};

use super::Unidentified;
use super::caller::{Caller, Stamp};
use super::user_name::UserName;
use crate::storage::{StorageError, Store};
use known::Known;
use uses::Uses;

/// Tells robots apart.
pub(super) struct Robots {
    store: Arc<dyn Store>,
    known: Known,
    uses: Uses,
}

impl Robots {
    pub(super) fn new(store: &Arc<dyn Store>) -> Self {
        Self {
            store: Arc::clone(store),
            known: Known::new(Arc::clone(store)),
            uses: Uses::default(),
        }
    }

    /// The robot that logs in by its name and its secret. That there is none,
    /// that the secret is another's and that it has expired is one answer.
    pub(super) async fn verify(
        &self,
        user: &UserName,
        secret: &Secret,
    ) -> Result<Caller, Unidentified> {
        let name: RobotName = user.as_str().parse().map_err(|_| Unidentified::Wrong)?;
        let robot = self.known.robot(&name).await?;
        let fits = record::fits(secret, robot.as_deref());
        match robot {
            Some(robot) if fits && !robot.is_expired(SystemTime::now()) => {
                self.uses.note(&name);
                Ok(robot.caller(&name))
            }
            _ => Err(Unidentified::Wrong),
        }
    }

    /// Whether the robot of that name still has this record, and has not
    /// expired. Nothing is said for one that the storage does not tell of.
    pub(super) async fn stands(&self, name: &str, stamp: Stamp) -> bool {
        let Ok(name) = name.parse() else {
            return false;
        };
        match self.known.robot(&name).await {
            Ok(Some(robot)) => robot.stamp() == stamp && !robot.is_expired(SystemTime::now()),
            _ => false,
        }
    }

    /// Writes down which robots were used: those whose last record is a minute
    /// old, or `all`.
    pub(super) async fn write_uses(&self, all: bool) -> Result<(), StorageError> {
        self.uses.write(&*self.store, all).await
    }
}
