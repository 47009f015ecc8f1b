//! Uploads and announcements that nobody goes on with: notes, never findings.

use std::time::{Duration, SystemTime};

use super::Checker;
use super::finding::{Finding, Kind, Place};
use crate::oci::{RepositoryName, UploadId};
use crate::registry::{Error, Repository};
use crate::storage::{StorageError, layout};

/// An announcement that is older was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(60);

impl Checker {
    pub(super) async fn upload(
        &self,
        place: &Place,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<Vec<Finding>, StorageError> {
        let stage = layout::upload(name, id);
        let note = |kind, what: String| Ok(vec![Finding::new(kind, place, what)]);
        let started = match self.inner.registry.started(&stage).await {
            Ok(started) => started,
            Err(Error::Storage(error)) => return note(Kind::UnfinishedUpload, error.to_string()),
            Err(_) => None,
        };
        let Some(started) = started else {
            if self.store().exists(&layout::upload_all(&stage)).await? {
                return note(Kind::UnfinishedUpload, "only leftovers of it".to_owned());
            }
            return Ok(Vec::new());
        };
        // The bytes that a client would go on behind are those that are there.
        let size = match self.store().staged(&stage).await {
            Ok(size) => size.unwrap_or_default(),
            Err(error) => {
                let what = format!("it can't be continued: {error}");
                return note(Kind::UnfinishedUpload, what);
            }
        };
        let age = started.elapsed().unwrap_or_default();
        if age < self.inner.registry.settings().purging.age {
            return Ok(Vec::new());
        }
        let days = age.as_secs() / (24 * 3600);
        note(
            Kind::OldUpload,
            format!("{size} bytes, begun {days} days ago"),
        )
    }

    pub(super) async fn announcement(
        &self,
        place: &Place,
        name: &RepositoryName,
        id: &str,
    ) -> Result<Vec<Finding>, StorageError> {
        let meta = self.store().head(&layout::deleting(name, id)).await?;
        let age = meta.and_then(|meta| SystemTime::now().duration_since(meta.modified).ok());
        Ok(match age {
            Some(age) if age > ABANDONED => {
                let what = format!("announced {} s ago and not ended", age.as_secs());
                vec![Finding::new(Kind::OldDelete, place, what)]
            }
            _ => Vec::new(),
        })
    }
}

impl Repository {
    /// Whether a delete of a manifest is running, or an announcement of the last
    /// minute was left.
    pub(super) async fn delete_is_announced(&self) -> bool {
        let prefix = layout::deletes(&self.name);
        let announced = self.store().children(&prefix, None, 100).await;
        for child in announced.unwrap_or_default() {
            let key = layout::deleting(&self.name, &child.name);
            if let Ok(Some(meta)) = self.store().head(&key).await
                && meta.modified.elapsed().is_ok_and(|age| age <= ABANDONED)
            {
                return true;
            }
        }
        false
    }
}
