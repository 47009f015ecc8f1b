//! How much some repositories may hold.

use crate::oci::{RepositoryName, RepositoryPattern};

/// One of `quotas` of the configuration: the repositories that it matches, and
/// that none before it matches, share its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// One repository, all below a name (`team/**`), or all (`**`).
    pub repositories: RepositoryPattern,
    /// The most bytes that they hold together.
    pub size: u64,
}

impl Quota {
    /// The quota of `quotas` that a repository shares, if it has one.
    pub fn of<'a>(quotas: &'a [Quota], repository: &RepositoryName) -> Option<&'a Quota> {
        quotas
            .iter()
            .find(|quota| quota.repositories.matches(repository))
    }
}
