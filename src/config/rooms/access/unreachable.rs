//! Access rules, or parts of them, that earlier rules leave nothing of.

use super::super::super::section::Section;
use crate::access::groups::Groups;
use crate::access::rules::{Pattern, Rule, Subject};

/// Notes what of `rule` can never match, since the rules before it decide.
pub(super) fn note(section: &Section<'_>, rule: &Rule, earlier: &[Rule], groups: &Groups) {
    let first = |pattern: &Pattern, subject: &Subject| {
        earlier
            .iter()
            .find(|rule| decides(rule, pattern, subject, groups))
    };
    let mut reached = false;
    let mut unreached = Vec::new();
    let mut deciding = None;
    for pattern in &rule.repositories {
        let by: Vec<_> = rule
            .subjects
            .iter()
            .map(|one| first(pattern, one))
            .collect();
        deciding = deciding.or_else(|| by.iter().flatten().next().copied());
        match by.iter().all(Option::is_some) {
            true => unreached.push(("repositories", pattern.to_string(), by.first().copied())),
            false => reached = true,
        }
    }
    if rule.repositories.is_empty() || rule.subjects.is_empty() {
        return;
    }
    if !reached {
        if let Some(by) = deciding {
            section.note(format!(
                "can never match: {} covers it, and the first rule that matches decides; move this one before it, or remove it",
                named(by)
            ));
        }
        return;
    }
    for subject in &rule.subjects {
        let by: Vec<_> = rule
            .repositories
            .iter()
            .map(|one| first(one, subject))
            .collect();
        if by.iter().all(Option::is_some) {
            unreached.push(("subjects", subject.to_string(), by.first().copied()));
        }
    }
    for (key, text, by) in unreached {
        if let Some(Some(by)) = by {
            section.note_of(
                key,
                format!(
                    "`{text}` can never match here: {} covers it, and the first rule that matches decides",
                    named(by)
                ),
            );
        }
    }
}

/// Whether `rule` decides whenever `subject` asks for what `pattern` stands for.
fn decides(rule: &Rule, pattern: &Pattern, subject: &Subject, groups: &Groups) -> bool {
    rule.repositories.iter().any(|one| one.covers(pattern))
        && rule.subjects.iter().any(|one| one.covers(subject, groups))
}

/// Where a rule is, for somebody who reads the file.
fn named(rule: &Rule) -> String {
    match rule.line.rsplit_once(':') {
        Some((_, line)) => format!("the rule on line {line}"),
        None => format!("the rule {}", rule.place),
    }
}
