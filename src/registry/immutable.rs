//! Immutable tags: once pushed, they are neither moved nor removed.

use std::fmt;

use crate::oci::{RepositoryName, RepositoryPattern, Tag, TagPattern};

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

/// The rule that keeps a tag as it is, as people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImmutableRule {
    /// Its place in the list, from 1.
    number: usize,
    /// What the tag matches.
    pattern: TagPattern,
}

impl Immutable {
    /// The rule that makes a tag immutable, if one does.
    pub(super) fn rule(&self, repository: &RepositoryName, tag: &Tag) -> Option<ImmutableRule> {
        let (number, rule) = self.deciding(repository)?;
        let pattern = rule.tags.iter().find(|pattern| pattern.matches(tag))?;
        Some(ImmutableRule {
            number,
            pattern: pattern.clone(),
        })
    }

    fn deciding(&self, repository: &RepositoryName) -> Option<(usize, &ImmutableTags)> {
        let matches = |rule: &ImmutableTags| {
            let mut patterns = rule.repositories.iter();
            patterns.any(|pattern| pattern.matches(repository))
        };
        (1..).zip(&self.rules).find(|(_, rule)| matches(rule))
    }
}

impl fmt::Display for ImmutableRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "`{}` in rule {} of `immutable`",
            self.pattern, self.number
        )
    }
}
