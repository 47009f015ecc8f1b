//! What can be done with a repository, in the words of access rules and of
//! tokens' scopes.

use std::fmt;
use std::str::FromStr;

/// One thing that can be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Reading manifests, blobs, tags and referrers.
    Pull,
    /// Writing blobs and manifests, and moving tags.
    Push,
    /// Writing blobs and manifests under tags that are new.
    Create,
    /// Removing blobs, manifests and tags.
    Delete,
}

/// Some actions; displayed as they are written in a scope: `pull,push`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Actions(u8);

/// The string is no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no action; these are: pull, push, create, delete")]
pub struct InvalidAction(String);

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Push, Self::Create, Self::Delete];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Pull => 1,
            Self::Push => 2,
            Self::Create => 4,
            Self::Delete => 8,
        }
    }
}

impl Actions {
    /// No action.
    pub const NONE: Self = Self(0);
    /// Every action.
    pub const ALL: Self = Self(15);

    /// Whether `action` is among them. Who may push may create.
    pub fn has(self, action: Action) -> bool {
        let implied = action == Action::Create && self.0 & Action::Push.bit() != 0;
        implied || self.0 & action.bit() != 0
    }

    /// These, and one more.
    #[must_use]
    pub fn with(self, action: Action) -> Self {
        Self(self.0 | action.bit())
    }

    /// What these and `others` have in common. Who may push on the one side and
    /// create on the other may create.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        let common = |action: &Action| self.has(*action) && others.has(*action);
        Action::ALL.into_iter().filter(common).collect()
    }

    /// These and `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, as they were given: `create` only where it is more than
    /// what `push` implies.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        let push = self.has(Action::Push);
        let plain = move |action: &Action| self.0 & action.bit() != 0;
        let said = move |action: &Action| plain(action) && !(push && *action == Action::Create);
        Action::ALL.into_iter().filter(said)
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        actions.into_iter().fold(Self::NONE, Self::with)
    }
}

impl FromStr for Action {
    type Err = InvalidAction;

    fn from_str(text: &str) -> Result<Self, InvalidAction> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| InvalidAction(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, action) in self.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(formatter, "{comma}{action}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(text: &str) -> Actions {
        text.split(',')
            .filter_map(|word| word.parse().ok())
            .collect()
    }

    #[test]
    fn have_one_spelling() {
        for text in ["pull", "pull,push", "pull,create", "pull,push,delete", ""] {
            assert_eq!(actions(text).to_string(), text);
        }
        assert_eq!(Actions::ALL.to_string(), "pull,push,delete");
        for wrong in ["", "*", "Pull", "pull ", "write"] {
            assert!(wrong.parse::<Action>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn who_may_push_may_create_and_not_the_other_way_round() {
        assert!(actions("push").has(Action::Create));
        assert!(!actions("create").has(Action::Push));
        assert_eq!(actions("push").and(actions("create")), actions("create"));
        assert_eq!(
            actions("pull,push").and(actions("push,delete")).to_string(),
            "push"
        );
    }

    #[test]
    fn none_is_nothing() {
        assert!(Actions::NONE.is_empty());
        for action in Action::ALL {
            assert!(!Actions::NONE.has(action));
            assert!(Actions::ALL.has(action));
        }
    }
}
