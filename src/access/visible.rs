//! Which repositories a caller sees in lists: those that they may pull.

use crate::auth::caller::{Caller, Scope};
use crate::oci::{Action, RepositoryName, RepositoryPattern, Span};

use super::Access;

/// The proof that the caller may list repositories, and which they see.
#[derive(Debug, Clone)]
pub struct Visible {
    /// What of the rules is about the caller, or what they bring along; `None`
    /// where everything may be seen.
    parts: Option<Vec<Part>>,
    /// What a token narrows it to.
    scope: Option<Scope>,
}

/// One rule as it is for the caller. The first that matches decides.
#[derive(Debug, Clone)]
struct Part {
    patterns: Vec<RepositoryPattern>,
    pulls: bool,
}

impl Visible {
    /// What the caller may pull, as far as their token is for it.
    pub(super) fn new(access: &Access, caller: &Caller) -> Self {
        Self {
            parts: parts(access, caller),
            scope: caller.scope.clone(),
        }
    }

    /// A token for lists is narrowed to lists: what its owner may pull counts.
    pub(super) fn without_scope(self) -> Self {
        Self {
            scope: None,
            ..self
        }
    }

    /// Whether the caller may pull `repository`.
    pub fn sees(&self, repository: &RepositoryName) -> bool {
        let scope = self.scope.as_ref();
        if scope.is_some_and(|scope| !scope.actions(repository).has(Action::Pull)) {
            return false;
        }
        let Some(parts) = &self.parts else {
            return true;
        };
        let matches = |pattern: &RepositoryPattern| pattern.matches(repository);
        let deciding = parts.iter().find(|part| part.patterns.iter().any(matches));
        deciding.is_some_and(|part| part.pulls)
    }

    /// Where all lie that they see.
    pub fn spans(&self) -> Vec<Span> {
        if let Some(scope) = &self.scope {
            let pulled = scope.repositories.iter();
            let pulled = pulled.filter(|(_, actions)| actions.has(Action::Pull));
            return Span::merged(pulled.map(|(name, _)| Span::One(name.clone())));
        }
        let Some(parts) = &self.parts else {
            return vec![Span::all()];
        };
        let pulled = parts.iter().filter(|part| part.pulls);
        Span::merged(pulled.flat_map(|part| part.patterns.iter().map(RepositoryPattern::span)))
    }

    /// Whether they may see anything below `directory`; where that is hard to
    /// tell, the answer is yes.
    pub fn sees_below(&self, directory: &RepositoryName) -> bool {
        let Some(parts) = &self.parts else {
            return true;
        };
        for part in parts {
            if part.pulls {
                let mut spans = part.patterns.iter().map(RepositoryPattern::span);
                if spans.any(|span| span.reaches_below(directory)) {
                    return true;
                }
            } else if hides_below(part, directory) {
                return false;
            }
        }
        false
    }

    /// Whether nothing is hidden from them.
    pub fn everything(&self) -> bool {
        self.parts.is_none() && self.scope.is_none()
    }
}

fn hides_below(part: &Part, directory: &RepositoryName) -> bool {
    // Too long for a pattern: then it is not hidden by one.
    let below = format!("{directory}/**").parse::<RepositoryPattern>();
    below.is_ok_and(|below| part.patterns.iter().any(|pattern| pattern.covers(&below)))
}

fn parts(access: &Access, caller: &Caller) -> Option<Vec<Part>> {
    if let Some(grants) = &caller.grants {
        let pulled = grants
            .iter()
            .filter(|grant| grant.actions.has(Action::Pull));
        return Some(
            pulled
                .map(|grant| Part {
                    patterns: vec![grant.repositories.clone()],
                    pulls: true,
                })
                .collect(),
        );
    }
    let members = access.members();
    let rules = access.rules()?.iter();
    let concerned = rules.filter(|rule| rule.concerns(caller, &members));
    Some(
        concerned
            .map(|rule| Part {
                patterns: rule
                    .repositories
                    .iter()
                    .filter_map(|one| one.of(caller))
                    .collect(),
                pulls: rule.actions.has(Action::Pull),
            })
            .collect(),
    )
}
