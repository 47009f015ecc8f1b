//! `gc`, `retention`, `immutable` and `quotas`: what they mean, and how their
//! mistakes are told.

use std::time::Duration;

use super::{MINIMAL, config, told};
use crate::registry::retention::{Newest, Order};
use crate::registry::{Children, gc};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is told of the minimal file with `text` behind it.
fn told_of(text: &str) -> String {
    told(&format!("{MINIMAL}{text}"), &[])
}

#[test]
fn a_registry_2_s_file_collects_and_deletes_nothing() {
    let registry = config(MINIMAL, &[]).registry;
    assert!(!registry.gc.enabled && !registry.delete);
    assert_eq!(registry.delete_children, Children::Allow);
}

#[test]
fn collections_are_told_everything() {
    let text = format!(
        "{MINIMAL}gc: {{enabled: yes, interval: 1h, grace: 0s, untagged: 30d, deadafter: never, pace: 10%}}\n"
    );
    assert_eq!(
        config(&text, &[]).registry.gc,
        gc::Settings {
            enabled: true,
            interval: Duration::from_secs(3600),
            grace: Duration::ZERO,
            untagged: Some(30 * DAY),
            dead_after: None,
            pace: 10,
        }
    );
    assert_eq!(
        told_of(
            "gc: {interval: 0s, grace: 24, untagged: soon, deadafter: 1w, pace: 0, enable: true}\n"
        ),
        [
            "config.yml:3:16: gc.interval: must be longer than nothing",
            "config.yml:3:27: gc.grace: `24` has no unit; write `24h` or `24d`",
            "config.yml:3:41: gc.untagged: `soon` is no time; write a number with a unit, such as `12h` or `30d`, or `off`",
            "config.yml:3:58: gc.deadafter: `1w` is no time; write a number with a unit, such as `12h` or `30d`, or `never`",
            "config.yml:3:68: gc.pace: `0` is no part of the time; write a number from 1 to 100, in percent",
            "config.yml:3:71: unknown key `enable` in `gc`; did you mean `enabled`?",
        ]
        .join("\n")
    );
}

#[test]
fn retention_keeps_what_its_rules_say() {
    let text = format!(
        "{MINIMAL}retention:
  interval: 6h
  rules:
    - repositories: release/**
      keep: {{tags: [\"*\"]}}
      untagged: 7d
    - repositories: [ci/*, scratch]
      keep:
        newest: 5
        order: version
        pushedwithin: 2d
        pulledwithin: 12h
        tags: [latest, v?]
"
    );
    let retention = config(&text, &[]).registry.retention;
    assert_eq!(retention.interval, DAY / 4);
    let rule = |name: &str| retention.rule(&name.parse().unwrap());
    let release = rule("release/a").unwrap();
    assert_eq!(release.untagged, Some(7 * DAY));
    assert_eq!(release.place, "config.yml:6");
    let scratch = rule("scratch").unwrap();
    assert_eq!(Some(scratch), rule("ci/x"));
    assert_eq!(rule("ci/x/y"), None);
    assert_eq!(
        scratch.keep.newest,
        Some(Newest {
            count: 5,
            order: Order::Version
        })
    );
    assert_eq!(scratch.keep.pushed_within, Some(2 * DAY));
    assert_eq!(scratch.keep.pulled_within, Some(DAY / 2));
    let patterns: Vec<&str> = scratch.keep.tags.iter().map(|tag| tag.as_str()).collect();
    assert_eq!(patterns, ["latest", "v?"]);
    assert_eq!(scratch.untagged, None);
}

#[test]
fn a_rule_that_keeps_nothing_or_is_misspelt_is_an_error() {
    assert_eq!(
        told_of(
            "retention:
  rules:
    - {repositories: a/**}
    - repositories: b/**
      keep: {}
    - repositories: c/**
      keep: {newest: 0, order: version}
    - repositories: d/**
      keep: {newest: 1, tag: [v*], pushedwithin: 0d}
    - keep: {newest: 1}
    - repositories: Team
      keep: {newest: 1, order: age, tags: [a/b]}
"
        ),
        [
            "config.yml:5:7: retention.rules[0].keep: keeps nothing, so every tag would go; write what stays, or `keep: {tags: [\"*\"]}` for all of them",
            "config.yml:6:7: retention.rules[1].keep: keeps nothing, so every tag would go; write what stays, or `keep: {tags: [\"*\"]}` for all of them",
            "config.yml:9:22: retention.rules[2].keep.newest: `0` keeps nothing; write at least 1, or leave it out",
            "config.yml:11:25: unknown key `tag` in `retention.rules[3].keep`; did you mean `tags`?",
            "config.yml:11:50: retention.rules[3].keep.pushedwithin: must be longer than nothing",
            "config.yml:12:7: retention.rules[4]: needs `repositories`; write `**` for all",
            "config.yml:13:21: retention.rules[5].repositories: `Team` has `T`, which no repository name has: lower-case letters, digits, `.`, `_`, `-` and `/`, with the wildcards `*` and `**`",
            "config.yml:14:32: retention.rules[5].keep.order: `age` is none of `pushed`, `version`",
            "config.yml:14:44: retention.rules[5].keep.tags: `a/b` has `/`, which no tag has: letters, digits, `.`, `_` and `-`, with the wildcards `*` and `?`",
        ]
        .join("\n")
    );
}

#[test]
fn immutable_tags_and_quotas_are_read() {
    let text = format!(
        "{MINIMAL}immutable:
  - {{repositories: ci/**, tags: []}}
  - {{repositories: '**', tags: [v*, latest]}}
quotas:
  - {{repositories: team/a, size: 1GiB}}
  - {{repositories: team/**, size: 0}}
  - {{repositories: '**', size: 1000}}
"
    );
    let registry = config(&text, &[]).registry;
    let tags: Vec<usize> = registry
        .immutable
        .rules
        .iter()
        .map(|rule| rule.tags.len())
        .collect();
    assert_eq!(tags, [0, 2]);
    let quota = |name: &str| {
        let name = name.parse().unwrap();
        crate::registry::usage::Quota::of(&registry.quotas, &name)
            .unwrap()
            .size
    };
    assert_eq!(
        [
            quota("team/a"),
            quota("team/b"),
            quota("team"),
            quota("team/a/b")
        ],
        [1 << 30, 0, 1000, 0]
    );
}

#[test]
fn mistakes_in_immutable_and_quotas_have_their_line() {
    assert_eq!(
        told_of(
            "immutable:
  - repositories: ['a/{user}']
    tags: ['[a-z]']
  - repositories: b
  - tags: [x]
  - both
quotas:
  - {repositories: team/*, size: 1GiB}
  - {repositories: team/**, size: 50GB}
  - {size: 1}
  - {repositories: a, bytes: 1}
"
        ),
        [
            "config.yml:4:20: immutable[0].repositories: `a/{user}` has braces; patterns have no placeholders and no alternatives: write one pattern for each",
            "config.yml:5:12: immutable[0].tags: `[a-z]` has `[`, which no tag has: letters, digits, `.`, `_` and `-`, with the wildcards `*` and `?`",
            "config.yml:6:5: immutable[1]: needs `tags`; write `[]` where every tag may be moved",
            "config.yml:7:5: immutable[2]: needs `repositories`; write `**` for all",
            "config.yml:8:5: immutable[3]: must be a section, with `key: value` lines below it",
            "config.yml:10:20: quotas[0].repositories: `team/*` is too fine for a quota; write a repository, all below a name as in `team/**`, or `**`",
            "config.yml:11:35: quotas[1].size: `50GB` is no size; write a number of bytes, or one with a unit, such as `256MiB`",
            "config.yml:12:5: quotas[2]: needs `repositories`",
            "config.yml:13:5: quotas[3]: needs `size`",
            "config.yml:13:23: unknown key `bytes` in `quotas[3]`",
        ]
        .join("\n")
    );
}

#[test]
fn a_rule_that_is_never_reached_is_an_error() {
    assert_eq!(
        told_of(
            "immutable:
  - {repositories: [team/**, x], tags: [v*]}
  - {repositories: [y, team/a/*], tags: [w*]}
retention:
  rules:
    - {repositories: a*, keep: {newest: 1}}
    - {repositories: b*, keep: {newest: 2}}
    - {repositories: a*, keep: {newest: 3}}
quotas:
  - {repositories: '**', size: 1GiB}
  - {repositories: team/**, size: 1GiB}
"
        ),
        [
            "config.yml:5:20: immutable[1].repositories: `team/a/*` can never match: the rule on line 4 has `team/**`, and the first rule that matches decides; move this one before it, or remove it",
            "config.yml:10:22: retention.rules[2].repositories: `a*` can never match: the rule on line 8 has `a*`, and the first rule that matches decides; move this one before it, or remove it",
            "config.yml:13:20: quotas[1].repositories: `team/**` can never match: the rule on line 12 has `**`, and the first rule that matches decides; move this one before it, or remove it",
        ]
        .join("\n")
    );
}

#[test]
fn rules_come_from_the_environment_too() {
    let variables = [
        ("REGISTRY_GC_ENABLED", "true"),
        ("REGISTRY_GC_GRACE", "30d"),
        ("REGISTRY_IMMUTABLE_0_REPOSITORIES", "'**'"),
        ("REGISTRY_IMMUTABLE_0_TAGS", "[v*]"),
        ("REGISTRY_STORAGE_DELETE_CHILDREN", "refuse"),
    ];
    let registry = config(MINIMAL, &variables).registry;
    assert!(registry.gc.enabled);
    assert_eq!(registry.gc.grace, 30 * DAY);
    assert_eq!(registry.immutable.rules.len(), 1);
    assert_eq!(registry.delete_children, Children::Refuse);
}
