//! Abandoned uploads go away (distribution-spec: "unfinished uploads time out
//! and are cleared"; registry:2's `uploadpurging`).

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::{Error, Registry};
use crate::oci::{RepositoryName, UploadId};
use crate::storage::{Pages, Stage, layout};

/// Uploads that one look into a repository fetches.
const AT_ONCE: usize = 1000;

/// How long an upload takes to be begun, generously.
const BEGINNING: Duration = Duration::from_secs(2);

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Uploads that were removed, or would have been.
    pub removed: u64,
    /// Uploads that are younger.
    pub kept: u64,
}

impl Registry {
    /// Removes uploads that were started more than `age` ago, unless a client was
    /// at one a moment ago; with `dry_run` only counts them. An upload whose start cannot be read is as old as the
    /// record of it; one without a record has ended, and goes too.
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
        let mut ended = Vec::new();
        let mut pages = Pages::of(layout::uploads(name), AT_ONCE);
        while let Some(page) = pages.next(self.store()).await? {
            for child in page {
                let Ok(id) = child.name.parse::<UploadId>() else {
                    continue;
                };
                let stage = layout::upload(name, &id);
                let Some(started) = self.started(&stage).await? else {
                    ended.push(stage);
                    continue;
                };
                let is_old = started.elapsed().is_ok_and(|elapsed| elapsed >= age);
                if is_old && !self.inner.sessions.is_active(&stage, age) {
                    purged.removed += 1;
                    if !dry_run {
                        self.store().discard(&stage).await?;
                        self.inner.uploads.end(&stage);
                    }
                } else {
                    purged.kept += 1;
                }
            }
        }
        if !ended.is_empty() && !dry_run {
            // One that is being begun has its record by then.
            tokio::time::sleep(BEGINNING).await;
        }
        for stage in ended {
            if self.started(&stage).await?.is_none() {
                purged.removed += 1;
                if !dry_run {
                    self.store().discard(&stage).await?;
                }
            }
        }
        Ok(())
    }

    /// When an upload was started; `None` if there is only something left of it.
    pub(super) async fn started(&self, stage: &Stage) -> Result<Option<SystemTime>, Error> {
        let record = stage.started_at();
        let Some(text) = self.store().get(&record).await? else {
            return Ok(None);
        };
        let started = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.trim().parse::<Timestamp>().ok());
        if let Some(started) = started {
            return Ok(Some(started.into()));
        }
        // A power cut emptied it, since it is not synced.
        let meta = self.store().head(&record).await?;
        Ok(meta.map(|meta| meta.modified))
    }
}
