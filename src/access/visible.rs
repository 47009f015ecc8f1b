//! Which repositories a caller sees in lists.

use crate::auth::caller::Caller;
use crate::oci::{Action, RepositoryName};

use super::Access;

/// The proof that the caller may list repositories, and which they see.
#[derive(Debug, Clone)]
pub struct Visible {
    access: Access,
    caller: Caller,
}

impl Visible {
    pub(super) fn new(access: Access, caller: &Caller) -> Self {
        Self {
            access,
            // A token for lists is narrowed to lists: what its owner may pull counts.
            caller: Caller {
                scope: None,
                ..caller.clone()
            },
        }
    }

    /// Whether the caller may pull `repository`.
    pub fn sees(&self, repository: &RepositoryName) -> bool {
        let decision = self.access.decide(&self.caller, repository);
        decision.actions.has(Action::Pull)
    }

    /// Whether nothing is hidden from them.
    pub fn everything(&self) -> bool {
        self.access.settings.rules.is_none() && self.caller.grants.is_none()
    }
}
