//! Access rules: who may do what in which repositories. The first rule that
//! matches both decides; what no rule allows is not allowed.

use std::fmt;
use std::str::FromStr;

use crate::auth::caller::{Caller, Identity};
use crate::auth::user_name::{InvalidUserName, UserName};
use crate::oci::{Actions, InvalidPattern, RepositoryName, RepositoryPattern};

use super::groups::Groups;
use super::members::Members;

/// What stands for the caller's own name in a pattern.
const USER: &str = "{user}";

/// A user's name that no pattern has in it.
const NOBODY: &str = "n0b0dy__s-0wn";

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its place among the rules: `access.rules[2]`.
    pub place: String,
    /// Where that is written: `config.yml:12`.
    pub line: String,
    /// Where it applies.
    pub repositories: Vec<Pattern>,
    /// To whom.
    pub subjects: Vec<Subject>,
    /// What it allows; nothing more where it applies.
    pub actions: Actions,
}

/// A pattern of repositories; the component `{user}` stands for the name of the
/// user who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// The same for everybody.
    Fixed(RepositoryPattern),
    /// With `{user}`.
    Personal(String),
}

/// To whom a rule applies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `anonymous`: who has not logged in.
    Anonymous,
    /// `authenticated`: who has.
    Authenticated,
    /// A user's name; `user:NAME` where the name is one of the words above.
    User(UserName),
    /// `group:NAME`
    Group(String),
}

/// Why a string is no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubject {
    /// A group without a name.
    #[error("`group:` needs the name of a group")]
    Group,
    /// Neither a word nor a user's name.
    #[error(
        "`{text}` is no subject: {cause}; write a user's name, `group:NAME`, `anonymous` or `authenticated`"
    )]
    User {
        /// As it was written.
        text: String,
        /// What is wrong with it.
        cause: InvalidUserName,
    },
}

impl Rule {
    /// Whether the rule decides about a caller's rights in a repository.
    pub(super) fn applies(
        &self,
        caller: &Caller,
        members: &Members<'_>,
        repository: &RepositoryName,
    ) -> bool {
        let mut patterns = self.repositories.iter();
        self.concerns(caller, members)
            && patterns.any(|pattern| pattern.matches(caller, repository))
    }

    /// Whether the rule says anything about a caller's rights.
    pub(super) fn concerns(&self, caller: &Caller, members: &Members<'_>) -> bool {
        let mut subjects = self.subjects.iter();
        subjects.any(|subject| subject.is(caller, members))
    }
}

impl Subject {
    /// Whether the caller is meant. Robots are not: their rights are their own.
    pub(super) fn is(&self, caller: &Caller, members: &Members<'_>) -> bool {
        match (self, &caller.identity) {
            (_, Identity::Robot(_)) => false,
            (Self::Anonymous, Identity::Anonymous) => true,
            (_, Identity::Anonymous) | (Self::Anonymous, _) => false,
            (Self::Authenticated, _) => true,
            (Self::User(name), Identity::User(user)) => name == user,
            (Self::User(_), _) => false,
            (Self::Group(group), _) => members.holds(group, caller),
        }
    }

    /// Whether everybody who is meant by `other` is meant by this, too, as far
    /// as the configuration's own `groups` tell.
    pub fn covers(&self, other: &Self, groups: &Groups) -> bool {
        match (self, other) {
            (Self::Anonymous, _) | (_, Self::Anonymous) => self == other,
            (Self::Authenticated, _) => true,
            (Self::Group(group), Self::User(user)) => groups.holds(group, user),
            _ => self == other,
        }
    }
}

impl Pattern {
    /// Whether the pattern stands for `repository` when `caller` asks.
    pub(super) fn matches(&self, caller: &Caller, repository: &RepositoryName) -> bool {
        match self {
            Self::Fixed(pattern) => pattern.matches(repository),
            Self::Personal(_) => {
                let own = self.of(caller);
                own.is_some_and(|pattern| pattern.matches(repository))
            }
        }
    }

    /// Whether this stands for everything that `other` stands for, whoever
    /// asks. Where it can't be told, the answer is no.
    pub fn covers(&self, other: &Self) -> bool {
        let with = |text: &str, name| text.replace(USER, name).parse::<RepositoryPattern>().ok();
        let (first, second) = match (self, other) {
            (Self::Fixed(first), Self::Fixed(second)) => return first.covers(second),
            // What stands for any one component stands for every user's name.
            (Self::Fixed(first), Self::Personal(text)) => (Some(first.clone()), with(text, "*")),
            (Self::Personal(_), Self::Fixed(_)) => return false,
            // What is so for a name that neither mentions is so for all.
            (Self::Personal(first), Self::Personal(second)) => {
                (with(first, NOBODY), with(second, NOBODY))
            }
        };
        match (first, second) {
            (Some(first), Some(second)) => first.covers(&second),
            _ => false,
        }
    }

    /// The pattern for one caller; `None` if it stands for nothing then: only
    /// users have a name, and one that is no component of a repository's name
    /// must not become several, or a wildcard.
    pub(super) fn of(&self, caller: &Caller) -> Option<RepositoryPattern> {
        match (self, &caller.identity) {
            (Self::Fixed(pattern), _) => Some(pattern.clone()),
            (Self::Personal(text), Identity::User(user)) => {
                let name = user.as_str();
                let component = !name.contains('/') && name.parse::<RepositoryName>().is_ok();
                let own = component.then(|| text.replace(USER, name))?;
                own.parse().ok()
            }
            (Self::Personal(_), _) => None,
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if !text.split('/').any(|component| component == USER) {
            return text.parse().map(Self::Fixed);
        }
        // What remains wrong is wrong for every user.
        text.replace(USER, "u").parse::<RepositoryPattern>()?;
        Ok(Self::Personal(text.to_owned()))
    }
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        match (text, text.split_once(':')) {
            ("anonymous", _) => Ok(Self::Anonymous),
            ("authenticated", _) => Ok(Self::Authenticated),
            (_, Some(("group", ""))) => Err(InvalidSubject::Group),
            (_, Some(("group", group))) => Ok(Self::Group(group.to_owned())),
            (_, named) => {
                let name = match named {
                    Some(("user", name)) => name,
                    _ => text,
                };
                let user = name.parse().map_err(|cause| InvalidSubject::User {
                    text: text.to_owned(),
                    cause,
                });
                user.map(Self::User)
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(pattern) => formatter.write_str(pattern.as_str()),
            Self::Personal(text) => formatter.write_str(text),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("anonymous"),
            Self::Authenticated => formatter.write_str("authenticated"),
            Self::User(name) if ["anonymous", "authenticated"].contains(&name.as_str()) => {
                write!(formatter, "user:{name}")
            }
            Self::User(name) => name.fmt(formatter),
            Self::Group(group) => write!(formatter, "group:{group}"),
        }
    }
}
