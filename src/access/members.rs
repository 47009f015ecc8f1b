//! Who is in which group now, by the configuration and by the file of groups.

use std::sync::Arc;

use arc_swap::Guard;

use super::group_file::GroupFile;
use super::groups::Groups;
use crate::auth::caller::{Caller, Identity};
use crate::auth::user_name::UserName;

/// The groups at one moment.
pub struct Members<'a> {
    configured: &'a Groups,
    file: Option<Guard<Arc<Groups>>>,
}

impl<'a> Members<'a> {
    pub(super) fn new(configured: &'a Groups, file: Option<&GroupFile>) -> Self {
        Self {
            configured,
            file: file.map(GroupFile::groups),
        }
    }

    /// Whether the caller is in `group`: by what proved who they are, or, if
    /// they are a user, by name.
    pub fn holds(&self, group: &str, caller: &Caller) -> bool {
        caller.groups.iter().any(|own| own == group)
            || user(caller).is_some_and(|user| self.all().any(|groups| groups.holds(group, user)))
    }

    /// The groups that the caller is in, in their order.
    pub fn of(&self, caller: &Caller) -> Vec<String> {
        let named = self.all().flat_map(|groups| {
            let theirs = user(caller).map(|user| groups.of(user));
            theirs.into_iter().flatten().map(str::to_owned)
        });
        let mut all: Vec<String> = caller.groups.iter().cloned().chain(named).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Whether the configuration or the file puts somebody into `group`.
    pub fn anybody_in(&self, group: &str) -> bool {
        self.all().any(|groups| groups.has_members(group))
    }

    fn all(&self) -> impl Iterator<Item = &Groups> {
        let file = self.file.iter().map(|groups| &***groups);
        std::iter::once(self.configured).chain(file)
    }
}

fn user(caller: &Caller) -> Option<&UserName> {
    match &caller.identity {
        Identity::User(user) => Some(user),
        _ => None,
    }
}
