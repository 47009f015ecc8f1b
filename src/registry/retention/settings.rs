//! What a registry is told to keep of its tags.

use std::time::Duration;

use crate::oci::{RepositoryName, RepositoryPattern, TagPattern};

/// `retention` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// From the end of one application of the rules to the beginning of the next.
    pub interval: Duration,
    /// In a repository the first that matches decides; without one everything
    /// stays.
    pub rules: Vec<Rule>,
}

/// What stays in some repositories; every other tag of theirs goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it was written, for whom it may concern: `config.yml:12`.
    pub place: String,
    /// Of which repositories.
    pub repositories: Vec<RepositoryPattern>,
    /// Which tags stay; it names at least one reason.
    pub keep: Keep,
    /// From which age on manifests without a tag go, too; they stay without one.
    pub untagged: Option<Duration>,
}

/// Reasons for a tag to stay; one is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// It is one of the newest.
    pub newest: Option<Newest>,
    /// It was pushed within this time.
    pub pushed_within: Option<Duration>,
    /// It was pulled within this time.
    pub pulled_within: Option<Duration>,
    /// It matches one of these.
    pub tags: Vec<TagPattern>,
}

/// The newest tags of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// How many; at least one.
    pub count: usize,
    /// What newest means.
    pub order: Order,
}

/// By what tags are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The time of their push.
    #[default]
    Pushed,
    /// The version that they are.
    Version,
}

impl Settings {
    /// The rule that decides about a repository.
    pub fn rule(&self, repository: &RepositoryName) -> Option<&Rule> {
        self.rules.iter().find(|rule| {
            rule.repositories
                .iter()
                .any(|pattern| pattern.matches(repository))
        })
    }
}

impl Keep {
    /// Whether there is no reason: every tag would go.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(24 * 3600),
            rules: Vec::new(),
        }
    }
}
