//! Brings bytes that a push wrote under another name back to `data`, once no
//! run is registered, so that registry:2 finds them too.
//!
//! It is a push of its own kind: what it moves is in an intent before it looks
//! for runs, so that a run that begins later leaves the cell alone.

use super::collection::{Collector, Failure};
use super::pushing::Pushing;
use super::records::{Intent, Registered};
use crate::oci::Digest;
use crate::storage::{Aside, layout};

impl Collector {
    /// Brings the bytes of one digest back, if nobody may be removing any.
    pub(super) async fn bring_back(&self, digest: &Digest) -> Result<bool, Failure> {
        let registry = self.registry();
        let Ok(repository) = "wharf".parse() else {
            return Ok(false);
        };
        let intent = Intent {
            repository,
            digest: digest.clone(),
            parts: Vec::new(),
            cells: vec![digest.clone()],
            children: Vec::new(),
        };
        let pushing = Pushing::begin(registry, intent).await?;
        let moved = self.move_back(digest).await;
        pushing.end().await;
        moved
    }

    async fn move_back(&self, digest: &Digest) -> Result<bool, Failure> {
        let registry = self.registry();
        let registered = registry.registered().await?;
        if registered
            .iter()
            .any(|one| matches!(one, Registered::Run(_)))
        {
            return Ok(false);
        }
        let data = layout::blob_data(digest);
        let names = registry.all_names(&layout::blob_names(digest)).await?;
        for key in names
            .iter()
            .filter_map(|child| layout::blob_named(digest, &child.name))
            .filter(|key| *key != data)
        {
            let Some(meta) = registry.store().head(&key).await? else {
                continue;
            };
            if registry.store().head(&data).await?.is_some() {
                registry.store().delete(&key).await?;
            } else if registry.store().set_aside(&key, &data, &meta).await? == Aside::Changed {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
