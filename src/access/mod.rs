//! May they: turns a caller and an action into a right, or into a refusal.
//!
//! A right is a value, [`Allowed`], which only this module makes. Handlers
//! take it as an argument: without a decision they do not compile. Without
//! rules, registry:2's meaning holds: whoever is identified may do everything,
//! and everybody is identified where no authentication is configured.

mod group_file;
pub mod groups;
mod members;
pub mod rules;
#[cfg(test)]
mod tests;
mod visible;

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

pub use group_file::{GroupFileError, LineProblem};
pub use members::Members;
pub use visible::Visible;

use crate::auth::caller::{Caller, Needed};
use crate::oci::{Action, Actions, RepositoryName};
use group_file::GroupFile;
use groups::Groups;
use rules::Rule;

/// `access` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// In their order; `None` where there is no such section.
    pub rules: Option<Vec<Rule>>,
    /// Groups that rules may name.
    pub groups: Groups,
    /// A file with more of them, and more users of these.
    pub group_file: Option<PathBuf>,
}

impl Settings {
    /// Whether somebody who has not logged in may do anything at all.
    pub fn welcomes_anonymous(&self) -> bool {
        let rules = self.rules.iter().flatten();
        let named = rules.filter(|rule| !rule.actions.is_empty());
        named
            .flat_map(|rule| &rule.subjects)
            .any(|subject| *subject == rules::Subject::Anonymous)
    }
}

/// Reading manifests, blobs, tags and referrers of a repository.
#[derive(Debug, Clone, Copy)]
pub struct Pull;
/// Writing blobs and manifests of a repository.
#[derive(Debug, Clone, Copy)]
pub struct Push;
/// Removing blobs, manifests and tags of a repository.
#[derive(Debug, Clone, Copy)]
pub struct Delete;

/// What a right can be for.
pub trait Right {
    /// Any of these gives the right; the first is the one that is asked for.
    const ACTIONS: &'static [Action];
}

impl Right for Pull {
    const ACTIONS: &'static [Action] = &[Action::Pull];
}
impl Right for Push {
    const ACTIONS: &'static [Action] = &[Action::Push, Action::Create];
}
impl Right for Delete {
    const ACTIONS: &'static [Action] = &[Action::Delete];
}

/// The proof that the caller may do something in a repository.
#[derive(Debug, Clone)]
pub struct Allowed<R> {
    repository: RepositoryName,
    actions: Actions,
    ground: Ground,
    right: PhantomData<R>,
}

/// What a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// There are no rules: whoever is known may do everything.
    Open,
    /// This rule, by its place.
    Rule(String),
    /// No rule applies.
    NoRule,
    /// The rights that the credential itself brings.
    Credential,
}

/// What a caller may do in a repository, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What they may do with what they showed.
    pub actions: Actions,
    /// What another token of theirs could do.
    pub without_scope: Actions,
    /// Why.
    pub ground: Ground,
}

/// The caller may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub struct Denied {
    /// What was asked for.
    pub needed: Needed,
    /// Who asked, for people.
    pub who: String,
    /// Whether only the token is too narrow: another one may do.
    pub scope: bool,
    /// Why, for the log: a client is not told.
    pub ground: Ground,
}

/// Who may do what.
#[derive(Debug, Clone, Default)]
pub struct Access {
    settings: Arc<Settings>,
    file: Option<Arc<GroupFile>>,
}

impl<R> Allowed<R> {
    /// The repository that the right is for.
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// What it rests on.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }
}

impl<R: Right> Allowed<R> {
    /// The actions that give the right.
    pub fn actions(&self) -> Actions {
        self.actions.and(R::ACTIONS.iter().copied().collect())
    }
}

impl Allowed<Push> {
    /// Whether tags may be moved; otherwise only new ones may be written.
    pub fn moves_tags(&self) -> bool {
        self.actions.has(Action::Push)
    }
}

impl Access {
    /// Decides by these rules and groups alone: a file of groups is not read.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            file: None,
        }
    }

    /// Decides by these rules, and follows their file of groups.
    ///
    /// # Errors
    /// That file is of no use.
    pub fn open(settings: Settings) -> Result<Self, GroupFileError> {
        let file = settings.group_file.clone().map(GroupFile::open);
        Ok(Self {
            file: file.transpose()?.map(Arc::new),
            settings: Arc::new(settings),
        })
    }

    /// Decides by other rules from now on. A file of groups that stays the same
    /// is read again; while it is broken, its last good version counts.
    ///
    /// # Errors
    /// Another file of groups is of no use.
    pub fn reload(&self, settings: Settings) -> Result<Self, GroupFileError> {
        match (&self.file, &settings.group_file) {
            (Some(file), Some(path)) if file.path() == path => {
                file.reread();
                Ok(Self {
                    file: Some(Arc::clone(file)),
                    settings: Arc::new(settings),
                })
            }
            _ => Self::open(settings),
        }
    }

    /// What is wrong with a file now whose last good version still counts.
    pub fn problems(&self) -> Vec<String> {
        let file = self.file.iter();
        file.filter_map(|file| file.problem()).collect()
    }

    /// The proof that `caller` has the right `R` in `repository`.
    ///
    /// # Errors
    /// They have not.
    pub fn allows<R: Right>(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
    ) -> Result<Allowed<R>, Denied> {
        let decision = self.decide(caller, repository);
        let gives = |actions: Actions| R::ACTIONS.iter().any(|action| actions.has(*action));
        if gives(decision.actions) {
            return Ok(Allowed {
                repository: repository.clone(),
                actions: decision.actions,
                ground: decision.ground,
                right: PhantomData,
            });
        }
        let asked = R::ACTIONS.first().copied().into_iter().collect();
        Err(Denied {
            needed: Needed::Repository(repository.clone(), asked),
            who: caller.identity.to_string(),
            scope: gives(decision.without_scope),
            ground: decision.ground,
        })
    }

    /// What `caller` may do in `repository`. It doesn't matter whether the
    /// repository exists: unknown and forbidden ones look alike.
    pub fn decide(&self, caller: &Caller, repository: &RepositoryName) -> Decision {
        let (without_scope, ground) = self.base(caller, repository);
        let actions = match &caller.scope {
            Some(scope) => without_scope.and(scope.actions(repository)),
            None => without_scope,
        };
        Decision {
            actions,
            without_scope,
            ground,
        }
    }

    /// Which repositories `caller` sees in lists: those that they may pull.
    ///
    /// # Errors
    /// Their token is not for lists.
    pub fn lists(&self, caller: &Caller) -> Result<Visible, Denied> {
        match &caller.scope {
            Some(scope) if !scope.catalog => Err(Denied {
                needed: Needed::Catalog,
                who: caller.identity.to_string(),
                scope: true,
                ground: Ground::Credential,
            }),
            _ => Ok(Visible::new(self, caller).without_scope()),
        }
    }

    /// Which repositories `caller` may pull with what they showed.
    pub fn pulls(&self, caller: &Caller) -> Visible {
        Visible::new(self, caller)
    }

    /// Whether somebody who has not logged in may do anything at all.
    pub fn welcomes_anonymous(&self) -> bool {
        self.settings.welcomes_anonymous()
    }

    /// Who is in which group now.
    pub fn members(&self) -> Members<'_> {
        Members::new(&self.settings.groups, self.file.as_deref())
    }

    /// The rules, in their order; `None` where there are none.
    pub fn rules(&self) -> Option<&[Rule]> {
        self.settings.rules.as_deref()
    }

    /// What a caller may do by the rules or by their own grants.
    fn base(&self, caller: &Caller, repository: &RepositoryName) -> (Actions, Ground) {
        if let Some(grants) = &caller.grants {
            let here = grants
                .iter()
                .filter(|grant| grant.repositories.matches(repository));
            let actions = here.fold(Actions::NONE, |all, grant| all.or(grant.actions));
            return (actions, Ground::Credential);
        }
        let Some(rules) = &self.settings.rules else {
            return (Actions::ALL, Ground::Open);
        };
        let members = self.members();
        let deciding = rules
            .iter()
            .find(|rule| rule.applies(caller, &members, repository));
        match deciding {
            Some(rule) => (rule.actions, Ground::Rule(rule.place.clone())),
            None => (Actions::NONE, Ground::NoRule),
        }
    }
}

impl Denied {
    /// The same words whether the repository exists or not.
    fn reason(&self) -> String {
        match &self.needed {
            Needed::Repository(name, actions) => format!(
                "{} may not {actions} in {name}: ask the registry's administrator for the right",
                self.who
            ),
            Needed::Catalog => "this token is not for lists of repositories".to_owned(),
        }
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => formatter.write_str("no rules"),
            Self::Rule(place) => formatter.write_str(place),
            Self::NoRule => formatter.write_str("no rule matches"),
            Self::Credential => formatter.write_str("the credential's own rights"),
        }
    }
}
