//! Immutable tags: once pushed, they are neither moved nor removed.
//!
//! Which of two pushes of a new tag wins is decided by the store, which creates
//! a key for one of them only. A link that holds no digest (registry:2 leaves
//! those after a crash) counts as no tag, and is written over.

use std::fmt;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::{Error, Repository};
use crate::oci::{Digest, RepositoryName, RepositoryPattern, Tag, TagPattern};
use crate::storage::{Created, layout};

#[cfg(test)]
mod tests;

/// `immutable` of the configuration: in a repository the first rule that
/// matches decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Immutable {
    /// The rules, in their order.
    pub rules: Vec<ImmutableTags>,
}

/// Which tags of some repositories are immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImmutableTags {
    /// Of which repositories.
    pub repositories: Vec<RepositoryPattern>,
    /// Which tags; none are, if it is empty.
    pub tags: Vec<TagPattern>,
}

/// What keeps a tag as it is, as people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImmutableRule {
    /// A rule of `immutable`.
    Configured {
        /// Its place in the list, from 1.
        number: usize,
        /// What the tag matches.
        pattern: TagPattern,
    },
    /// Whoever pushes may only create tags.
    Creating,
}

impl Immutable {
    /// The rule that makes a tag immutable, if one does.
    pub(super) fn rule(&self, repository: &RepositoryName, tag: &Tag) -> Option<ImmutableRule> {
        let (number, rule) = self.deciding(repository)?;
        let pattern = rule.tags.iter().find(|pattern| pattern.matches(tag))?;
        Some(ImmutableRule::Configured {
            number,
            pattern: pattern.clone(),
        })
    }

    /// Whether no tag of a repository is immutable.
    fn spares(&self, repository: &RepositoryName) -> bool {
        self.deciding(repository)
            .is_none_or(|(_, rule)| rule.tags.is_empty())
    }

    fn deciding(&self, repository: &RepositoryName) -> Option<(usize, &ImmutableTags)> {
        let matches = |rule: &ImmutableTags| {
            let mut patterns = rule.repositories.iter();
            patterns.any(|pattern| pattern.matches(repository))
        };
        (1..).zip(&self.rules).find(|(_, rule)| matches(rule))
    }
}

impl Repository {
    /// The same repository, for somebody who may write new tags only: to them
    /// every tag is immutable.
    #[must_use]
    pub fn creating(mut self) -> Self {
        self.creating = true;
        self
    }

    /// What makes a tag of this repository immutable, if anything does.
    pub(super) fn immutable(&self, tag: &Tag) -> Option<ImmutableRule> {
        let rule = self.settings().immutable.rule(&self.name, tag);
        rule.or_else(|| self.creating.then_some(ImmutableRule::Creating))
    }

    /// Refuses to point at a manifest those of `tags` that are immutable and name
    /// another one. Another push may still be faster: see [`Self::claim_tags`].
    pub(super) async fn check_movable(&self, tags: &[Tag], digest: &Digest) -> Result<(), Error> {
        for tag in tags {
            if let Some(rule) = self.immutable(tag)
                && let Some(named) = self.tagged(tag).await?
                && named != *digest
            {
                return Err(self.refusal(tag, named, rule));
            }
        }
        Ok(())
    }

    /// Points those of `tags` that are immutable at a manifest that is in place
    /// and in their history, if they name none; durable on return.
    ///
    /// # Errors
    /// [`Error::TagImmutable`] if one names another manifest.
    pub(super) async fn claim_tags(&self, tags: &[Tag], digest: &Digest) -> Result<(), Error> {
        let immutable = tags
            .iter()
            .filter_map(|tag| Some((tag, self.immutable(tag)?)));
        try_join_all(immutable.map(|(tag, rule)| self.claim_tag(tag, digest, rule))).await?;
        Ok(())
    }

    async fn claim_tag(
        &self,
        tag: &Tag,
        digest: &Digest,
        rule: ImmutableRule,
    ) -> Result<(), Error> {
        let key = layout::tag_current(&self.name, tag);
        let content = Bytes::from(digest.to_string());
        if self.store().create(&key, content).await? == Created::New {
            return Ok(());
        }
        match self.tagged(tag).await? {
            Some(named) if named == *digest => Ok(()),
            Some(named) => {
                // It never named this one.
                let record = layout::tag_history(&self.name, tag, digest);
                self.store().delete(&record).await?;
                Err(self.refusal(tag, named, rule))
            }
            None if self.store().head(&key).await?.is_some() => self.set_tag(tag, digest).await,
            // Removed by now, which the push finds out by itself.
            None => Ok(()),
        }
    }

    /// Refuses to remove a tag that is immutable and names a manifest.
    pub(super) fn check_removable(&self, tag: &Tag, named: Option<&Digest>) -> Result<(), Error> {
        match (named, self.immutable(tag)) {
            (Some(named), Some(rule)) => Err(self.refusal(tag, named.clone(), rule)),
            _ => Ok(()),
        }
    }

    /// Refuses to remove a manifest that an immutable tag names.
    pub(super) async fn check_unpinned(&self, digest: &Digest) -> Result<(), Error> {
        if self.settings().immutable.spares(&self.name) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let (tags, next) = self.tags_naming(digest, after.as_deref()).await?;
            for tag in &tags {
                self.check_removable(tag, Some(digest))?;
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn refusal(&self, tag: &Tag, named: Digest, rule: ImmutableRule) -> Error {
        Error::TagImmutable {
            repository: self.name.clone(),
            tag: tag.clone(),
            named,
            rule,
        }
    }
}

impl fmt::Display for ImmutableRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured { number, pattern } => {
                write!(formatter, "`{pattern}` in rule {number} of `immutable`")
            }
            Self::Creating => formatter.write_str("you may create tags here and not move them"),
        }
    }
}
