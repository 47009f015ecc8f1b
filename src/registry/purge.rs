//! Abandoned uploads go away (distribution-spec: "unfinished uploads time out
//! and are cleared"; registry:2's `uploadpurging`).

use std::time::Duration;

use jiff::Timestamp;

use super::{Error, Registry};
use crate::oci::{RepositoryName, UploadId};
use crate::storage::{Stage, layout};

/// Uploads that one look into a repository fetches.
const AT_ONCE: usize = 1000;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Uploads that were removed, or would have been.
    pub removed: u64,
    /// Uploads that are younger.
    pub kept: u64,
}

impl Registry {
    /// Removes uploads that were started more than `age` ago; with `dry_run`
    /// only counts them. An upload whose start cannot be read is as old as the
    /// record of it.
    pub async fn purge_uploads(&self, age: Duration, dry_run: bool) -> Result<Purged, Error> {
        let mut repositories = Vec::new();
        self.each_directory(&mut |name| {
            repositories.push(name);
            true
        })
        .await?;
        let mut purged = Purged::default();
        for name in repositories {
            let purging = self
                .purge_repository(&name, age, dry_run, &mut purged)
                .await;
            if let Err(error) = purging {
                tracing::warn!(repository = %name, %error, "its abandoned uploads are looked at again later");
            }
        }
        Ok(purged)
    }

    async fn purge_repository(
        &self,
        name: &RepositoryName,
        age: Duration,
        dry_run: bool,
        purged: &mut Purged,
    ) -> Result<(), Error> {
        let mut after = None;
        loop {
            let children = self
                .store()
                .children(&layout::uploads(name), after.as_deref(), AT_ONCE)
                .await?;
            for child in &children {
                let Ok(id) = child.name.parse::<UploadId>() else {
                    continue;
                };
                let stage = layout::upload(name, &id);
                if !self.older_than(&stage, age).await? {
                    purged.kept += 1;
                    continue;
                }
                purged.removed += 1;
                if !dry_run {
                    self.store().discard(&stage).await?;
                }
            }
            match children.into_iter().nth(AT_ONCE - 1) {
                Some(last) => after = Some(last.name),
                None => return Ok(()),
            }
        }
    }

    async fn older_than(&self, stage: &Stage, age: Duration) -> Result<bool, Error> {
        let record = self.store().get(&stage.started_at()).await?;
        let started = record
            .as_deref()
            .and_then(|text| std::str::from_utf8(text).ok())
            .and_then(|text| text.trim().parse::<Timestamp>().ok());
        let Some(started) = started else {
            // A power cut emptied it, since it is not synced.
            let meta = self.store().head(&stage.started_at()).await?;
            let elapsed = meta.and_then(|meta| meta.modified.elapsed().ok());
            return Ok(elapsed.is_some_and(|elapsed| elapsed >= age));
        };
        let elapsed = Timestamp::now().duration_since(started);
        Ok(Duration::try_from(elapsed).is_ok_and(|elapsed| elapsed >= age))
    }
}
