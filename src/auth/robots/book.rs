//! The robots in the storage, for who administers them: makes, lists and
//! revokes.

use jiff::Timestamp;

use super::known;
use super::name::RobotName;
use super::record::Robot;
use super::uses;
use crate::storage::{Created, Pages, StorageError, Store, layout};

/// Names of one look.
const AT_ONCE: usize = 1000;

/// A robot as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: RobotName,
    /// What is known of it; `None` if its record cannot be read.
    pub robot: Option<Robot>,
    /// When it was last used, within a minute or so.
    pub used: Option<Timestamp>,
}

/// Keeps a new robot; one of that name is left alone.
///
/// # Errors
/// Those of the storage.
pub async fn create(
    store: &dyn Store,
    name: &RobotName,
    robot: &Robot,
) -> Result<Created, StorageError> {
    let record = robot.write().unwrap_or_default();
    // What is left of an earlier one of that name is not this one's.
    store.withdraw(&layout::robot_used(name.as_str())).await?;
    store.create(&layout::robot(name.as_str()), record).await
}

/// The robot of that name, if there is one.
///
/// # Errors
/// Those of the storage.
pub async fn find(store: &dyn Store, name: &RobotName) -> Result<Option<Entry>, StorageError> {
    if store.head(&layout::robot(name.as_str())).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(Entry {
        name: name.clone(),
        robot: known::read(store, name).await?,
        used: uses::read(store, name).await?,
    }))
}

/// All robots, in the order of their names.
///
/// # Errors
/// Those of the storage.
pub async fn list(store: &dyn Store) -> Result<Vec<Entry>, StorageError> {
    let mut pages = Pages::of(layout::robots(), AT_ONCE);
    let mut entries = Vec::new();
    while let Some(page) = pages.next(store).await? {
        for name in page.iter().filter_map(|child| child.name.parse().ok()) {
            entries.extend(find(store, &name).await?);
        }
    }
    Ok(entries)
}

/// Revokes a robot; whether there was one.
///
/// # Errors
/// Those of the storage.
pub async fn revoke(store: &dyn Store, name: &RobotName) -> Result<bool, StorageError> {
    let key = layout::robot(name.as_str());
    let there = store.head(&key).await?.is_some();
    store.delete(&key).await?;
    store.withdraw(&layout::robot_used(name.as_str())).await?;
    Ok(there)
}
