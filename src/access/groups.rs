//! Groups of users, as the configuration or a file names them.

use std::collections::{BTreeMap, BTreeSet};

use crate::auth::user_name::UserName;

/// Which users each group holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(BTreeMap<String, BTreeSet<UserName>>);

impl Groups {
    /// One more user of a group.
    pub fn add(&mut self, group: &str, user: UserName) {
        self.0.entry(group.to_owned()).or_default().insert(user);
    }

    /// The group is known, though nobody may be in it.
    pub fn declare(&mut self, group: &str) {
        self.0.entry(group.to_owned()).or_default();
    }

    /// Whether somebody is in `group`.
    pub fn has_members(&self, group: &str) -> bool {
        self.0.get(group).is_some_and(|users| !users.is_empty())
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `user` is in `group`.
    pub fn holds(&self, group: &str, user: &UserName) -> bool {
        self.0.get(group).is_some_and(|users| users.contains(user))
    }

    /// The groups that `user` is in, in their order.
    pub fn of(&self, user: &UserName) -> impl Iterator<Item = &str> {
        let theirs = self.0.iter().filter(move |(_, users)| users.contains(user));
        theirs.map(|(group, _)| group.as_str())
    }
}
