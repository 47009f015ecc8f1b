//! Groups of users, as the configuration names them.

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
