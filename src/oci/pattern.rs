//! Patterns by which rules name repositories and tags.
//!
//! Both match in time bounded by the product of the two lengths, whatever a
//! client calls its repository.

use std::fmt;
use std::str::FromStr;

use super::{RepositoryName, Tag};

mod inclusion;
#[cfg(test)]
mod tests;

/// A pattern of repository names.
///
/// It is written as the components of a name. Within a component, `*` stands
/// for any run of characters, the empty one too. A component that is `**`
/// stands for any number of whole components: none or more at the front and
/// in the middle, one or more at the end. So `team/**` is everything below
/// `team` but not `team` itself, `**/cache` is every repository whose last
/// component is `cache`, and `**` is all repositories.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryPattern(String);

/// A pattern of tags: `*` stands for any run of characters, the empty one
/// too, and `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagPattern(String);

/// Why a string is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// The pattern is empty.
    #[error("the pattern is empty; `{all}` matches everything", all = .0.all())]
    Empty(What),
    /// The pattern is longer than any name that it could match.
    #[error("the pattern is {length} bytes long; at most {max} are allowed", max = .what.longest())]
    TooLong {
        /// What it would match.
        what: What,
        /// Its length in bytes.
        length: usize,
    },
    /// Braces, which are kept for placeholders.
    #[error(
        "`{0}` has braces; patterns have no placeholders and no alternatives: write one pattern for each"
    )]
    Braces(String),
    /// A character that no name and no wildcard has.
    #[error("`{pattern}` has `{character}`, which {rule}", rule = .what.characters())]
    Character {
        /// What it would match.
        what: What,
        /// The pattern.
        pattern: String,
        /// The first such character.
        character: char,
    },
    /// `**` is not a component of its own, or stands beside another.
    #[error("in `{0}`, `**` must be a whole component and not follow another, as in `team/**`")]
    Stars(String),
    /// A component is empty.
    #[error("`{0}` has an empty component: neither start nor end with `/`, nor write `//`")]
    Component(String),
    /// No valid name matches.
    #[error("`{pattern}` can match no {what}")]
    Nothing {
        /// What it would match.
        what: What,
        /// The pattern.
        pattern: String,
    },
}

/// What a pattern is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Repository names.
    Repositories,
    /// Tags.
    Tags,
}

impl RepositoryPattern {
    /// Whether the pattern stands for `repository`.
    pub fn matches(&self, repository: &RepositoryName) -> bool {
        let pattern: Vec<&str> = self.0.split('/').collect();
        let name: Vec<&str> = repository.as_str().split('/').collect();
        // At the end `**` needs a component of its own: it takes the last.
        let (pattern, name) = match (pattern.split_last(), name.split_last()) {
            (Some((&"**", front)), Some((_, before))) => {
                let below: Vec<&str> = front.iter().copied().chain(["**"]).collect();
                (below, before.to_vec())
            }
            _ => (pattern, name),
        };
        wild(
            &pattern,
            &name,
            |component| *component == "**",
            |component, part| wild(component.as_bytes(), part.as_bytes(), is_star, same),
        )
    }

    /// Whether this pattern stands for everything that `other` stands for, so
    /// that after a rule with this one a rule with `other` is never reached.
    ///
    /// Exact up to the bound on a name's length, which is left out of account.
    /// Patterns with very many wildcards may be given up on: then the answer
    /// is no.
    pub fn covers(&self, other: &Self) -> bool {
        inclusion::covers(What::Repositories, &self.0, &other.0)
    }

    /// The leading components without a wildcard, as they are written: `team`
    /// of `team/**`, nothing of `**`. All that the pattern stands for is this
    /// repository or lies below it.
    pub fn literal(&self) -> &str {
        match self.0.find('*') {
            None => &self.0,
            Some(star) => {
                let before = self.0.get(..star).unwrap_or_default();
                before.rsplit_once('/').map_or("", |(literal, _)| literal)
            }
        }
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TagPattern {
    /// Whether the pattern stands for `tag`.
    pub fn matches(&self, tag: &Tag) -> bool {
        wild(
            self.0.as_bytes(),
            tag.as_str().as_bytes(),
            is_star,
            |token, byte| *token == b'?' || token == byte,
        )
    }

    /// Whether this pattern stands for every tag that `other` stands for; as
    /// exact as [`RepositoryPattern::covers`].
    pub fn covers(&self, other: &Self) -> bool {
        inclusion::covers(What::Tags, &self.0, &other.0)
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_star(token: &u8) -> bool {
    *token == b'*'
}

fn same(token: &u8, byte: &u8) -> bool {
    token == byte
}

/// Whether `pattern` takes the whole of `text`, where a `star` takes any run
/// and every other token takes what `one` says. On a mismatch only the last
/// star grows, which is enough for a match and bounds the work.
fn wild<P, T>(
    pattern: &[P],
    text: &[T],
    star: impl Fn(&P) -> bool,
    one: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut retry = None;
    while let Some(letter) = text.get(next) {
        match pattern.get(at) {
            Some(token) if star(token) => {
                retry = Some((at, next));
                at += 1;
            }
            Some(token) if one(token, letter) => {
                at += 1;
                next += 1;
            }
            _ => match retry {
                Some((starred, taken)) => {
                    retry = Some((starred, taken + 1));
                    at = starred + 1;
                    next = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(star)
}

impl FromStr for RepositoryPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let what = What::Repositories;
        written(what, text)?;
        let components: Vec<&str> = text.split('/').collect();
        if components.contains(&"") {
            return Err(InvalidPattern::Component(text.to_owned()));
        }
        let mut after_deep = false;
        for component in components {
            let deep = component == "**";
            if (deep && after_deep) || (!deep && component.contains("**")) {
                return Err(InvalidPattern::Stars(text.to_owned()));
            }
            after_deep = deep;
        }
        possible(what, text)?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for TagPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        written(What::Tags, text)?;
        possible(What::Tags, text)?;
        Ok(Self(text.to_owned()))
    }
}

/// Refuses what cannot be a pattern of `what` by its length and characters.
fn written(what: What, text: &str) -> Result<(), InvalidPattern> {
    if text.is_empty() {
        return Err(InvalidPattern::Empty(what));
    }
    if text.len() > what.longest() {
        return Err(InvalidPattern::TooLong {
            what,
            length: text.len(),
        });
    }
    if text.contains(['{', '}']) {
        return Err(InvalidPattern::Braces(text.to_owned()));
    }
    match text.chars().find(|character| !what.allows(*character)) {
        Some(character) => Err(InvalidPattern::Character {
            what,
            pattern: text.to_owned(),
            character,
        }),
        None => Ok(()),
    }
}

/// Refuses a pattern that stands for nothing: its writer meant something else.
fn possible(what: What, text: &str) -> Result<(), InvalidPattern> {
    if inclusion::matches_something(what, text) {
        return Ok(());
    }
    Err(InvalidPattern::Nothing {
        what,
        pattern: text.to_owned(),
    })
}

impl What {
    /// The pattern of all of them.
    fn all(self) -> &'static str {
        match self {
            What::Repositories => "**",
            What::Tags => "*",
        }
    }

    /// The longest pattern, in bytes: that of the longest name.
    fn longest(self) -> usize {
        match self {
            What::Repositories => RepositoryName::MAX_LENGTH,
            What::Tags => Tag::MAX_LENGTH,
        }
    }

    fn allows(self, character: char) -> bool {
        match self {
            What::Repositories => {
                character.is_ascii_lowercase()
                    || character.is_ascii_digit()
                    || "._-/*".contains(character)
            }
            What::Tags => character.is_ascii_alphanumeric() || "._-*?".contains(character),
        }
    }

    fn characters(self) -> &'static str {
        match self {
            What::Repositories => {
                "no repository name has: lower-case letters, digits, `.`, `_`, `-` and `/`, with the wildcards `*` and `**`"
            }
            What::Tags => {
                "no tag has: letters, digits, `.`, `_` and `-`, with the wildcards `*` and `?`"
            }
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            What::Repositories => "repository name",
            What::Tags => "tag",
        })
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
