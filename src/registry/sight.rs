//! What a list of repositories shows to who asks, and what of it need not be
//! looked at.

use crate::oci::{RepositoryName, Span};

/// Which repositories are shown. A function that tells it for one name will do:
/// then all are looked at.
pub trait Sight: Sync {
    /// Whether this one is shown, if it exists.
    fn sees(&self, repository: &RepositoryName) -> bool;

    /// Nothing outside of these is shown. They are in order, and no name is in
    /// two of them.
    fn spans(&self) -> Vec<Span> {
        vec![Span::all()]
    }

    /// Whether anything below `directory` may be shown.
    fn sees_below(&self, _directory: &RepositoryName) -> bool {
        true
    }
}

impl<F: Fn(&RepositoryName) -> bool + Sync> Sight for F {
    fn sees(&self, repository: &RepositoryName) -> bool {
        self(repository)
    }
}
