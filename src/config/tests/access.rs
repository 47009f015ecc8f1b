//! `access`: what it means, its mistakes, and what is noted about its rules.

use super::{MINIMAL, config, load, told};
use crate::access::Settings;
use crate::oci::{Action, Actions};

const AUTH: &str = "auth: {htpasswd: {realm: r, path: users}}\n";

/// What is told of rules, one a line from line 5 on, in a file with users.
fn told_of(rules: &[&str]) -> Vec<String> {
    let rules: String = rules.iter().map(|rule| format!("- {{{rule}}}\n")).collect();
    let text = format!("{MINIMAL}{AUTH}access: {{groups: {{dev: [alice, bob]}}, rules: [\n");
    let rules = rules.replace("- ", "").replace("}\n", "},\n");
    // By which name clients come says nothing about rules.
    let host = "http: {host: 'https://registry.example'}\n";
    let told = told(&format!("{text}{rules}]}}\n{host}"), &[]);
    told.lines().map(str::to_owned).collect()
}

#[test]
fn without_the_section_there_are_no_rules() {
    for text in ["", "access:\n", "access: {}\n"] {
        let access = config(&format!("{MINIMAL}{text}"), &[]).access;
        assert_eq!(access, Settings::default(), "{text}");
    }
}

#[test]
fn rules_and_groups_are_told_with_their_places() {
    let text = format!(
        "{MINIMAL}{AUTH}access:
  groups: {{dev: [alice, bob], empty: []}}
  groupfile: /etc/wharf/groups
  rules:
  - {{repositories: team/**, subjects: [group:dev, ci], actions: [pull, push]}}
  - repositories: [\"{{user}}/**\", public]
    subjects: authenticated
    actions: []
"
    );
    assert_eq!(told(&text, &[]), "");
    let access = config(&text, &[]).access;
    assert_eq!(
        access.group_file.as_deref(),
        Some("/etc/wharf/groups".as_ref())
    );
    assert!(access.groups.holds("dev", &"bob".parse().unwrap()));
    assert_eq!(access.groups.len(), 2);
    let rules = access.rules.unwrap();
    let push = Actions::NONE.with(Action::Pull).with(Action::Push);
    assert_eq!(rules[0].actions, push);
    assert_eq!(rules[0].place, "access.rules[0]");
    assert_eq!(rules[0].line, "config.yml:8");
    assert_eq!(rules[1].actions, Actions::NONE);
    assert_eq!(rules[1].line, "config.yml:9");
    let shown: Vec<_> = rules[1]
        .repositories
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, ["{user}/**", "public"]);
}

#[test]
fn mistakes_are_problems_with_their_place() {
    let told = told_of(&[
        "repositories: 'team/***', subjects: [alice], actions: [pull]",
        "repositories: 'a', subjects: ['group:'], actions: [pul]",
        "repositories: 'b', actions: [pull]",
        "subjects: ['a:b'], actions: [pull]",
        "repositories: 'c', subjects: [alice]",
        "repositories: 'd', subjects: [alice], actions: [], except: [e]",
    ]);
    assert_eq!(
        told,
        [
            "config.yml:5:16: access.rules[0].repositories: in `team/***`, `**` must be a whole component and not follow another, as in `team/**`",
            "config.yml:6:32: access.rules[1].subjects: `group:` needs the name of a group",
            "config.yml:6:53: access.rules[1].actions: `pul` is no action; these are: pull, push, create, delete",
            "config.yml:7:1: access.rules[2]: needs `subjects`; write users, `group:NAME`, `authenticated` or `anonymous`",
            "config.yml:8:1: access.rules[3]: needs `repositories`; write `**` for all",
            "config.yml:8:13: access.rules[3].subjects: `a:b` is no subject: the user name holds ':'; colons and control characters are not allowed; write a user's name, `group:NAME`, `anonymous` or `authenticated`",
            "config.yml:9:1: access.rules[4]: needs `actions`; write `[]` where nothing is allowed",
            "config.yml:10:53: unknown key `except` in `access.rules[5]`",
        ]
    );
}

#[test]
fn a_section_without_rules_is_a_mistake_and_none_at_all_are_noted() {
    let told = |text: &str| told(&format!("{MINIMAL}{AUTH}access: {text}\n"), &[]);
    assert_eq!(
        told("{groups: {dev: [alice]}}"),
        "config.yml:4:1: access: needs `rules`; write `[]` where nobody may do anything, or leave `access` out"
    );
    assert_eq!(
        told("{rules: []}"),
        "note config.yml:4:1: access.rules: there are none, so nobody may do anything"
    );
    assert!(
        told("{groups: {dev: ['a:b']}, rules: []}").contains("access.groups.dev: the user name")
    );
    assert!(told("{rules: [], rule: []}").contains("did you mean `rules`?"));
}

#[test]
fn a_rule_that_is_never_reached_is_noted() {
    let reached = |rules: &[&str]| -> Vec<String> {
        let told = told_of(rules);
        assert!(
            told.iter().all(|line| line.starts_with("note ")),
            "{told:?}"
        );
        told
    };
    for (first, second) in [
        ("team/** alice", "team/** alice"),
        ("team/** authenticated", "team/app alice"),
        ("team/** authenticated", "team/* group:dev"),
        ("team/** group:dev", "team/app bob"),
        ("'{user}/**' authenticated", "'{user}/app' alice"),
        ("'*/**' authenticated", "'{user}/**' alice"),
        ("'**' anonymous, authenticated", "'{user}/**' group:dev"),
    ] {
        let rule = |text: &str| {
            let (pattern, subjects) = text.split_once(' ').unwrap();
            format!("repositories: {pattern}, subjects: [{subjects}], actions: [pull]")
        };
        let told = reached(&[&rule(first), &rule(second)]);
        assert_eq!(
            told,
            [
                "note config.yml:6:1: access.rules[1]: can never match: the rule on line 5 covers it, and the first rule that matches decides; move this one before it, or remove it"
            ],
            "{first} before {second}"
        );
    }
    for (first, second) in [
        ("team/** alice", "team/** bob"),
        ("team/* authenticated", "team/** alice"),
        ("team/** alice", "team/app group:dev"),
        ("'{user}/**' authenticated", "alice/** alice"),
        ("team/** group:dev", "team/app carol"),
        ("'{user}/**' authenticated", "'{user}/**' anonymous, alice"),
    ] {
        let rule = |text: &str| {
            let (pattern, subjects) = text.split_once(' ').unwrap();
            format!("repositories: {pattern}, subjects: [{subjects}], actions: [pull]")
        };
        let told = reached(&[&rule(first), &rule(second)]);
        let whole = told.iter().any(|line| line.contains("]: can never match:"));
        assert!(!whole, "{first} before {second}: {told:?}");
    }
}

#[test]
fn parts_that_are_never_reached_are_noted() {
    let told = told_of(&[
        "repositories: [team/**, b], subjects: [alice], actions: [pull]",
        "repositories: [team/app, c], subjects: [alice], actions: [pull]",
        "repositories: [team/app], subjects: [alice, carol], actions: [push]",
    ]);
    assert_eq!(
        told,
        [
            "note config.yml:6:16: access.rules[1].repositories: `team/app` can never match here: the rule on line 5 covers it, and the first rule that matches decides",
            "note config.yml:7:38: access.rules[2].subjects: `alice` can never match here: the rule on line 5 covers it, and the first rule that matches decides",
        ]
    );
}

#[test]
fn names_and_words_without_effect_are_noted() {
    assert_eq!(
        told_of(&[
            "repositories: public/**, subjects: [anonymous], actions: [pull]",
            "repositories: '{user}/**', subjects: [anonymous, alice], actions: [pull]",
            "repositories: x, subjects: ['group:ops'], actions: [pull]",
        ]),
        [
            "note config.yml:5:37: access.rules[0].subjects: `anonymous` may pull in `public/**`, but who has logged in may not: it means only who has not; did you mean `[anonymous, authenticated]`?",
            "note config.yml:6:16: access.rules[1].repositories: `{user}/**` is nothing to `anonymous`, who has no name",
            "note config.yml:7:29: access.rules[2].subjects: nobody is in `group:ops` by `access.groups`, and there is no `access.groupfile`",
        ]
    );
    let open = format!(
        "{MINIMAL}access: {{rules: [{{repositories: '**', subjects: [anonymous], actions: [pull]}}, {{repositories: '**', subjects: [alice], actions: [push]}}]}}\n"
    );
    let noted = load(&open, &[]).unwrap().notes;
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert!(
        noted[0]
            .text
            .ends_with("`alice` is nobody, since without `auth` nobody can log in"),
        "{noted:?}"
    );
}
