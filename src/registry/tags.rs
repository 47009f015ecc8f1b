//! Tags: the movable names of manifests.

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::usage::Change;
use super::{Error, Page, Repository, uncancelled};
use crate::oci::{Digest, Reference, Tag};
use crate::storage::layout;

/// Tags that are looked at, or removed, at once.
const LOOKS: usize = 16;

impl Repository {
    /// The tags greater than `after` in byte order, at most `limit` (all, up to
    /// `limits.taglist`, without one).
    pub async fn tags(
        &self,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Page<String>, Error> {
        let limit = limit.unwrap_or(self.settings().limits.tags);
        let names = self
            .store()
            .children(&layout::tags(&self.name), after, limit.saturating_add(1))
            .await?;
        if names.is_empty() && !self.exists().await? {
            return Err(Error::NameUnknown(self.name.clone()));
        }
        // Directories that are no tags count too: the walk goes on behind them.
        let last = limit.checked_sub(1).filter(|_| names.len() > limit);
        let next = last.and_then(|last| Some(names.get(last)?.name.clone()));
        let items = names
            .into_iter()
            .take(limit)
            .filter(|child| child.is_prefix && child.name.parse::<Tag>().is_ok())
            .map(|child| child.name)
            .collect();
        Ok(Page { items, next })
    }

    /// Removes a tag; the manifest and its other tags stay. Clears away, too,
    /// what a crash left half made or half removed.
    pub async fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
        self.check_deletable()?;
        let (repository, tag) = (self.clone(), tag.clone());
        uncancelled(async move {
            let _alone = repository.locks().alone(&repository.name).await;
            let named = repository.tagged(&tag).await?;
            repository.check_removable(&tag, named.as_ref())?;
            match (&named, repository.immutable(&tag)) {
                // A push on another replica may be creating it: it has to be told.
                (None, Some(_)) => repository.announced(repository.clear_tag(&tag)).await?,
                _ => repository.remove_tag(&tag).await?,
            }
            if named.is_some() {
                repository.note_usage(Change::default().with_tags(-1));
                Ok(())
            } else {
                Err(Error::ManifestUnknown(Reference::Tag(tag)))
            }
        })
        .await
    }

    /// Removes what is left of a tag that names nothing.
    async fn clear_tag(&self, tag: &Tag) -> Result<(), Error> {
        if self.tagged(tag).await?.is_none() {
            self.remove_tag(tag).await?;
        }
        Ok(())
    }

    /// The digest that a tag names.
    pub(super) async fn tagged(&self, tag: &Tag) -> Result<Option<Digest>, Error> {
        self.registry
            .link(&layout::tag_current(&self.name, tag))
            .await
    }

    /// Notes in a tag's history what it will name; durable on return. It comes
    /// before the tag: one without it would be collected by registry:2.
    pub(super) async fn record_tag(&self, tag: &Tag, digest: &Digest) -> Result<(), Error> {
        self.registry
            .set_link(&layout::tag_history(&self.name, tag, digest), digest)
            .await
    }

    /// Points a tag at a manifest that is in place, and in its history; durable
    /// on return.
    pub(super) async fn set_tag(&self, tag: &Tag, digest: &Digest) -> Result<(), Error> {
        self.registry
            .set_link(&layout::tag_current(&self.name, tag), digest)
            .await
    }

    /// Removes the tags that name a manifest.
    pub(super) async fn untag(&self, digest: &Digest) -> Result<(), Error> {
        let mut after = None;
        loop {
            let (named, next) = self.tags_naming(digest, after.as_deref()).await?;
            for some in named.chunks(LOOKS) {
                try_join_all(some.iter().map(|tag| self.remove_tag(tag))).await?;
                let removed = i64::try_from(some.len()).unwrap_or_default();
                self.note_usage(Change::default().with_tags(-removed));
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Those of the next tags after `after` that name a manifest, and after which
    /// one the next call goes on, if more follow.
    pub(super) async fn tags_naming(
        &self,
        digest: &Digest,
        after: Option<&str>,
    ) -> Result<(Vec<Tag>, Option<String>), Error> {
        const AT_ONCE: usize = 1000;
        let names = self
            .store()
            .children(&layout::tags(&self.name), after, AT_ONCE)
            .await?;
        let tags = names.iter().filter_map(|child| child.name.parse().ok());
        let naming: Vec<Tag> = stream::iter(tags.collect::<Vec<Tag>>())
            .map(|tag| async move {
                let names_it = self.tagged(&tag).await?.as_ref() == Some(digest);
                Ok::<_, Error>(names_it.then_some(tag))
            })
            .buffered(LOOKS)
            .try_filter_map(|tag| async { Ok(tag) })
            .try_collect()
            .await?;
        let next = names.into_iter().nth(AT_ONCE - 1).map(|last| last.name);
        Ok((naming, next))
    }

    /// Whether anything was ever pushed under this name.
    pub(super) async fn exists(&self) -> Result<bool, Error> {
        Ok(self.store().exists(&layout::manifests(&self.name)).await?
            || self.store().exists(&layout::layers(&self.name)).await?)
    }

    /// The pointer goes first, so that no reader sees the tag half gone.
    pub(super) async fn remove_tag(&self, tag: &Tag) -> Result<(), Error> {
        self.store()
            .delete(&layout::tag_current(&self.name, tag))
            .await?;
        Ok(self
            .store()
            .delete_all(&layout::tag(&self.name, tag))
            .await?)
    }
}
