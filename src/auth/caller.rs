//! Who makes a request: an identity, what proved it, and what the proof itself
//! says about rights.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::oci::{Action, Actions, RepositoryName, RepositoryPattern};

use super::user_name::UserName;
use super::wire;

/// Who it is. Displayed, no two are alike: a user's name has no colon.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// A user.
    User(#[serde(with = "wire::user")] UserName),
    /// A robot, which `wharf token create` has named.
    Robot(String),
    /// A workload, such as a CI job, that an issuer of identities vouches for.
    Workload {
        /// The issuer, by its name in the configuration.
        issuer: String,
        /// What the issuer calls it (`sub`).
        subject: String,
    },
}

/// What proved an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// Nothing: the caller is anonymous.
    Nothing,
    /// A password, by the version of its hash in the users file.
    Password(Stamp),
    /// A token of the outside service that is trusted.
    Outside {
        /// When it ends.
        expires: SystemTime,
    },
    /// An ID token of a workload.
    Workload {
        /// The version of the entry by which its claims were taken.
        mapping: Stamp,
        /// When it ends.
        expires: SystemTime,
    },
    /// A robot's secret, by the version of its record.
    Robot(Stamp),
}

/// Tells one version of a credential from the next, and nothing else about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp(#[serde(with = "wire::stamp")] pub [u8; 16]);

/// One right that a credential brings along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Where.
    #[serde(with = "wire::pattern")]
    pub repositories: RepositoryPattern,
    /// What.
    #[serde(with = "wire::actions")]
    pub actions: Actions,
}

/// What a token was made for: it never widens what its owner may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// What may be done in these repositories; nothing in any other.
    pub repositories: Vec<(RepositoryName, Actions)>,
    /// Whether repositories may be listed.
    pub catalog: bool,
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub identity: Identity,
    /// What proved it.
    pub proof: Proof,
    /// Groups that the proof itself names, beside those of the configuration.
    pub groups: Vec<String>,
    /// All rights of a robot: rules don't apply to it.
    pub grants: Option<Vec<Grant>>,
    /// What a token narrows the rights to.
    pub scope: Option<Scope>,
}

impl Caller {
    /// Somebody who showed no credentials.
    pub fn anonymous() -> Self {
        Self::known(Identity::Anonymous, Proof::Nothing)
    }

    /// Somebody with neither groups nor rights of their own.
    pub fn known(identity: Identity, proof: Proof) -> Self {
        Self {
            identity,
            proof,
            groups: Vec::new(),
            grants: None,
            scope: None,
        }
    }

    /// Whether nobody in particular asks.
    pub fn is_anonymous(&self) -> bool {
        self.identity == Identity::Anonymous
    }
}

impl Scope {
    /// What may be done in `repository`.
    pub fn actions(&self, repository: &RepositoryName) -> Actions {
        let here = self.repositories.iter();
        here.filter(|(name, _)| name == repository)
            .fold(Actions::NONE, |all, (_, actions)| all.or(*actions))
    }
}

/// What an operation needs, in the words of a challenge's `scope`
/// (distribution's "Token Scope Documentation").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needed {
    /// `repository:<name>:<actions>`
    Repository(RepositoryName, Actions),
    /// `registry:catalog:*`
    Catalog,
}

impl Needed {
    /// Actions in a repository.
    pub fn within(repository: &RepositoryName, actions: &[Action]) -> Self {
        Self::Repository(repository.clone(), actions.iter().copied().collect())
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(name, actions) => write!(formatter, "repository:{name}:{actions}"),
            Self::Catalog => formatter.write_str("registry:catalog:*"),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.actions, self.repositories)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("anonymous:"),
            Self::User(name) => name.fmt(formatter),
            Self::Robot(name) => write!(formatter, "robot:{name}"),
            Self::Workload { issuer, subject } => write!(formatter, "workload:{issuer}:{subject}"),
        }
    }
}
