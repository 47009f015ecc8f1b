//! What is removed by itself and what stays: `gc`, `retention`, `immutable` and
//! `quotas`. A rule that is never reached is an error: whoever wrote it counts
//! on it.

use std::fmt::Display;
use std::str::FromStr;

use super::super::section::Section;
use super::super::values::{age, age_or, boolean, number, percent, size, span, word};
use crate::oci::{RepositoryPattern, TagPattern};
use crate::registry::retention::{self, Keep, Newest, Order, Rule};
use crate::registry::usage::Quota;
use crate::registry::{Immutable, ImmutableTags, gc};

/// The words for a removal that doesn't happen.
const OFF: [&str; 3] = ["off", "false", "no"];

/// How garbage is collected.
pub(super) fn gc(section: &Section<'_>) -> gc::Settings {
    let defaults = gc::Settings::default();
    gc::Settings {
        enabled: section.read("enabled", boolean).unwrap_or(defaults.enabled),
        interval: section.read("interval", span).unwrap_or(defaults.interval),
        grace: section.read("grace", age).unwrap_or(defaults.grace),
        untagged: section
            .read("untagged", |text| age_or(&OFF, text))
            .unwrap_or(defaults.untagged),
        dead_after: section
            .read("deadafter", |text| age_or(&["never"], text))
            .unwrap_or(defaults.dead_after),
        pace: section.read("pace", percent).unwrap_or(defaults.pace),
    }
}

/// Which tags stay.
pub(super) fn retention(section: &Section<'_>) -> retention::Settings {
    let mut earlier = Earlier::default();
    let rules = section.sections("rules");
    retention::Settings {
        interval: section
            .read("interval", span)
            .unwrap_or(retention::Settings::default().interval),
        rules: rules
            .iter()
            .map(|rule| Rule {
                place: rule.place(),
                repositories: earlier.patterns(rule),
                keep: keep(rule),
                untagged: rule
                    .read("untagged", |text| age_or(&OFF, text))
                    .unwrap_or_default(),
            })
            .collect(),
    }
}

fn keep(rule: &Section<'_>) -> Keep {
    let section = rule.section("keep");
    let orders = [("pushed", Order::Pushed), ("version", Order::Version)];
    let order = section.read("order", |text| word(&orders, text));
    let count = section.read("newest", |text| match number(text)? {
        0 => Err("`0` keeps nothing; write at least 1, or leave it out".to_owned()),
        count => Ok(count),
    });
    if order.is_some() && !section.has("newest") {
        section.note_of("order", "has no effect without `newest`");
    }
    let keep = Keep {
        newest: count.map(|count| Newest {
            count,
            order: order.unwrap_or_default(),
        }),
        pushed_within: section.read("pushedwithin", span),
        pulled_within: section.read("pulledwithin", span),
        tags: section.list("tags", parsed::<TagPattern>),
    };
    let reasons = ["newest", "pushedwithin", "pulledwithin", "tags"];
    if !reasons.iter().any(|reason| section.has(reason)) {
        rule.problem_of(
            "keep",
            "keeps nothing, so every tag would go; write what stays, or `keep: {tags: [\"*\"]}` for all of them",
        );
    }
    keep
}

/// Which tags are immutable.
pub(super) fn immutable(root: &Section<'_>) -> Immutable {
    let mut earlier = Earlier::default();
    let rules = root.sections("immutable");
    Immutable {
        rules: rules
            .iter()
            .map(|rule| {
                if !rule.mentions("tags") {
                    rule.problem("needs `tags`; write `[]` where every tag may be moved");
                }
                ImmutableTags {
                    repositories: earlier.patterns(rule),
                    tags: rule.list("tags", parsed::<TagPattern>),
                }
            })
            .collect(),
    }
}

/// How much some repositories may hold.
pub(super) fn quotas(root: &Section<'_>) -> Vec<Quota> {
    let mut earlier = Earlier::default();
    let quotas = root.sections("quotas");
    quotas
        .iter()
        .filter_map(|quota| {
            let repositories = quota.require("repositories", prefix);
            let size = quota.require("size", size);
            let repositories = repositories?;
            earlier.check(quota, std::slice::from_ref(&repositories));
            Some(Quota {
                repositories,
                size: size? as u64,
            })
        })
        .collect()
}

/// A pattern of one repository, of all below a name, or of all.
fn prefix(text: &str) -> Result<RepositoryPattern, String> {
    let pattern: RepositoryPattern = parsed(text)?;
    let literal = pattern.literal();
    if text == literal || text == "**" || text.strip_suffix("/**") == Some(literal) {
        return Ok(pattern);
    }
    Err(format!(
        "`{text}` is too fine for a quota; write a repository, all below a name as in `team/**`, or `**`"
    ))
}

/// The patterns of the rules before, and where they are.
#[derive(Default)]
struct Earlier(Vec<(String, RepositoryPattern)>);

impl Earlier {
    /// The `repositories` of a rule, which it must have.
    fn patterns(&mut self, rule: &Section<'_>) -> Vec<RepositoryPattern> {
        let patterns = rule.list("repositories", parsed::<RepositoryPattern>);
        if !rule.has("repositories") {
            rule.problem("needs `repositories`; write `**` for all");
        }
        self.check(rule, &patterns);
        patterns
    }

    /// Refuses patterns of which an earlier rule leaves nothing.
    fn check(&mut self, rule: &Section<'_>, patterns: &[RepositoryPattern]) {
        for pattern in patterns {
            let found = self.0.iter().find(|(_, first)| first.covers(pattern));
            if let Some((place, first)) = found {
                rule.problem_of(
                    "repositories",
                    format!(
                        "`{pattern}` can never match: the rule {place} has `{first}`, and the first rule that matches decides; move this one before it, or remove it"
                    ),
                );
            }
        }
        let place = rule.line();
        let own = patterns
            .iter()
            .map(|pattern| (place.clone(), pattern.clone()));
        self.0.extend(own);
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
