//! `access`: who may do what. Mistakes are problems; rules and names without
//! effect are notes, since they let nobody in.

mod unreachable;

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use super::super::section::Section;
use super::super::values::text;
use crate::access::Settings;
use crate::access::groups::Groups;
use crate::access::rules::{Pattern, Rule, Subject};
use crate::auth::user_name::UserName;
use crate::oci::{Action, Actions};

/// `access`; `logins` says whether there is any way to log in.
pub(super) fn access(section: &Section<'_>, logins: bool) -> Settings {
    if section.names().next().is_none() {
        return Settings::default();
    }
    if !section.mentions("rules") {
        section.problem(
            "needs `rules`; write `[]` where nobody may do anything, or leave `access` out",
        );
    }
    let groups = groups(&section.section("groups"));
    let group_file = section.read("groupfile", text).map(PathBuf::from);
    let sections = section.sections("rules");
    let rules: Vec<Rule> = sections.iter().map(rule).collect();
    if rules.is_empty() && section.mentions("rules") {
        section.note_of("rules", "there are none, so nobody may do anything");
    }
    for (index, (section, rule)) in sections.iter().zip(&rules).enumerate() {
        let earlier = rules.get(..index).unwrap_or_default();
        unreachable::note(section, rule, earlier, &groups);
        without_effect(section, rule, &rules, logins);
        if group_file.is_none() {
            nobody_in(section, rule, &groups);
        }
    }
    Settings {
        rules: Some(rules),
        groups,
        group_file,
    }
}

fn groups(section: &Section<'_>) -> Groups {
    let mut groups = Groups::default();
    for name in section.names() {
        groups.declare(name);
        for user in section.list(name, parsed::<UserName>) {
            groups.add(name, user);
        }
    }
    groups
}

fn rule(section: &Section<'_>) -> Rule {
    if !section.has("repositories") {
        section.problem("needs `repositories`; write `**` for all");
    }
    if !section.has("subjects") {
        section
            .problem("needs `subjects`; write users, `group:NAME`, `authenticated` or `anonymous`");
    }
    if !section.mentions("actions") {
        section.problem("needs `actions`; write `[]` where nothing is allowed");
    }
    let actions: Actions = section
        .list("actions", parsed::<Action>)
        .into_iter()
        .collect();
    Rule {
        place: section.name().to_owned(),
        line: section.place(),
        repositories: section.list("repositories", parsed::<Pattern>),
        subjects: section.list("subjects", parsed::<Subject>),
        actions,
    }
}

/// Notes what can't be meant by a rule's subjects.
fn without_effect(section: &Section<'_>, rule: &Rule, rules: &[Rule], logins: bool) {
    let is_anonymous = |subject: &Subject| *subject == Subject::Anonymous;
    if !logins && let Some(subject) = rule.subjects.iter().find(|one| !is_anonymous(one)) {
        section.note_of(
            "subjects",
            format!("`{subject}` is nobody, since without `auth` nobody can log in"),
        );
    }
    if !rule.subjects.iter().any(is_anonymous) {
        return;
    }
    for pattern in &rule.repositories {
        if matches!(pattern, Pattern::Personal(_)) {
            section.note_of(
                "repositories",
                format!("`{pattern}` is nothing to `anonymous`, who has no name"),
            );
        } else if logins && !rule.actions.is_empty() && !known_may(rule, pattern, rules) {
            section.note_of(
                "subjects",
                format!(
                    "`anonymous` may {} in `{pattern}`, but who has logged in may not: it means only who has not; did you mean `[anonymous, authenticated]`?",
                    rule.actions
                ),
            );
        }
    }
}

/// Whether everybody who has logged in may do as much there by some rule.
fn known_may(rule: &Rule, pattern: &Pattern, rules: &[Rule]) -> bool {
    rules.iter().any(|other| {
        other.subjects.contains(&Subject::Authenticated)
            && other.actions.and(rule.actions) == rule.actions
            && other.repositories.iter().any(|one| one.covers(pattern))
    })
}

fn nobody_in(section: &Section<'_>, rule: &Rule, groups: &Groups) {
    for subject in &rule.subjects {
        if let Subject::Group(group) = subject
            && !groups.has_members(group)
        {
            section.note_of(
                "subjects",
                format!(
                    "nobody is in `{subject}` by `access.groups`, and there is no `access.groupfile`"
                ),
            );
        }
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
