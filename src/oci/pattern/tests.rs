//! Patterns against names, against each other, and against brute force.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn repositories(pattern: &str) -> RepositoryPattern {
    pattern.parse().unwrap()
}

fn tags(pattern: &str) -> TagPattern {
    pattern.parse().unwrap()
}

#[test]
fn stars_stay_within_a_component_and_double_stars_do_not() {
    for (pattern, yes, no) in [
        ("team/app", vec!["team/app"], vec!["team/app2", "app"]),
        ("*", vec!["a", "abc"], vec!["a/b"]),
        ("**", vec!["a", "a/b", "a/b/c"], vec![]),
        (
            "team/*",
            vec!["team/a", "team/a-b"],
            vec!["team", "team/a/b"],
        ),
        (
            "team/**",
            vec!["team/a", "team/a/b/c"],
            vec!["team", "teams/a", "a/team/b"],
        ),
        (
            "**/cache",
            vec!["cache", "a/cache", "a/b/cache"],
            vec!["cache/a", "a/xcache"],
        ),
        (
            "a/**/z",
            vec!["a/z", "a/b/z", "a/b/c/z", "a/z/z"],
            vec!["a", "z", "a/b", "b/a/z"],
        ),
        (
            "**/x/**",
            vec!["x/a", "b/x/a", "x/x"],
            vec!["x", "a/x", "a/b"],
        ),
        ("ci-*-x/b*", vec!["ci-1-x/b", "ci-a-x-x/bc"], vec!["ci-x/b"]),
    ] {
        for name in yes {
            assert!(
                repositories(pattern).matches(&name.parse().unwrap()),
                "{pattern} {name}"
            );
        }
        for name in no {
            assert!(
                !repositories(pattern).matches(&name.parse().unwrap()),
                "{pattern} {name}"
            );
        }
    }
}

#[test]
fn tags_have_stars_and_question_marks() {
    for (pattern, yes, no) in [
        ("v*", vec!["v", "v1.2"], vec!["1v", "V1"]),
        (
            "v?.?",
            vec!["v1.2", "v_._"],
            vec!["v1.2.3", "v1.", "v11.2x"],
        ),
        ("*-rc*", vec!["1-rc", "-1-rc2"], vec!["rc"]),
        ("latest", vec!["latest"], vec!["latest2", "Latest"]),
        ("*", vec!["a"], vec![]),
    ] {
        for tag in yes
            .into_iter()
            .filter_map(|tag: &str| tag.parse::<Tag>().ok())
        {
            assert!(tags(pattern).matches(&tag), "{pattern} {tag}");
        }
        for tag in no
            .into_iter()
            .filter_map(|tag: &str| tag.parse::<Tag>().ok())
        {
            assert!(!tags(pattern).matches(&tag), "{pattern} {tag}");
        }
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_its_reason() {
    for (text, reason) in [
        ("", "the pattern is empty; `**` matches everything"),
        (
            "team/{user}",
            "`team/{user}` has braces; patterns have no placeholders and no alternatives: write one pattern for each",
        ),
        (
            "Team/*",
            "`Team/*` has `T`, which no repository name has: lower-case letters, digits, `.`, `_`, `-` and `/`, with the wildcards `*` and `**`",
        ),
        (
            "team**",
            "in `team**`, `**` must be a whole component and not follow another, as in `team/**`",
        ),
        (
            "a/**/**",
            "in `a/**/**`, `**` must be a whole component and not follow another, as in `team/**`",
        ),
        (
            "team/",
            "`team/` has an empty component: neither start nor end with `/`, nor write `//`",
        ),
        ("team/.*", "`team/.*` can match no repository name"),
        ("a..b/**", "`a..b/**` can match no repository name"),
        (
            "***",
            "in `***`, `**` must be a whole component and not follow another, as in `team/**`",
        ),
    ] {
        let error = text.parse::<RepositoryPattern>().unwrap_err();
        assert_eq!(error.to_string(), reason, "{text}");
    }
    for (text, reason) in [
        ("", "the pattern is empty; `*` matches everything"),
        (
            "a/b",
            "`a/b` has `/`, which no tag has: letters, digits, `.`, `_` and `-`, with the wildcards `*` and `?`",
        ),
        (".*", "`.*` can match no tag"),
    ] {
        let error = text.parse::<TagPattern>().unwrap_err();
        assert_eq!(error.to_string(), reason, "{text}");
    }
    let long = "a".repeat(256).parse::<RepositoryPattern>().unwrap_err();
    assert_eq!(
        long.to_string(),
        "the pattern is 256 bytes long; at most 255 are allowed"
    );
    assert!("a".repeat(129).parse::<TagPattern>().is_err());
}

#[test]
fn a_pattern_covers_what_it_leaves_nothing_of() {
    for (cover, other) in [
        ("**", "team/**"),
        ("**", "a"),
        ("team/**", "team/*"),
        ("team/**", "team/a/**"),
        ("team/**", "team/**/b"),
        ("a*", "a*b"),
        ("**/b", "a/**/b"),
        ("*", "abc*"),
        // A joint stands only between letters.
        ("a*/**", "a_*/b"),
    ] {
        assert!(
            repositories(cover).covers(&repositories(other)),
            "{cover} {other}"
        );
        assert!(
            !repositories(other).covers(&repositories(cover)),
            "{other} {cover}"
        );
    }
    assert!(!repositories("team/**").covers(&repositories("team")));
    assert!(repositories("a/**/b").covers(&repositories("a/b")));
    assert!(tags("*").covers(&tags("v?")) && !tags("v?").covers(&tags("v*")));
}

#[test]
fn the_literal_part_is_of_whole_components() {
    for (pattern, literal) in [
        ("**", ""),
        ("team/**", "team"),
        ("team/a*/b", "team"),
        ("team/a", "team/a"),
        ("te*", ""),
    ] {
        assert_eq!(repositories(pattern).literal(), literal);
    }
}

#[test]
fn hostile_names_and_patterns_cost_little() {
    let begun = std::time::Instant::now();
    let name: RepositoryName = "a".repeat(255).parse().unwrap();
    let deep: RepositoryName = ["a"; 128].join("/").parse().unwrap();
    let stars = repositories(&format!("{}b", "*a".repeat(127)));
    let doubles = repositories(&format!("{}b", "**/a/".repeat(50)));
    for _ in 0..100 {
        assert!(!stars.matches(&name) && !doubles.matches(&deep));
    }
    let tag: Tag = "a".repeat(128).parse().unwrap();
    assert!(!tags(&format!("{}b", "*a".repeat(60))).matches(&tag));
    // The search for what is covered is given up, not run for ever.
    let wide = tags(&format!("*a{}", "?".repeat(100)));
    let other = tags(&format!("*b{}", "?".repeat(100)));
    assert!(!wide.covers(&other) && !stars.covers(&doubles));
    // Of a thousand rules each is held against each before it.
    let rules: Vec<RepositoryPattern> = (0..1000)
        .map(|number| repositories(&format!("team{number}/**")))
        .collect();
    for (number, rule) in rules.iter().enumerate() {
        assert!(!rules[..number].iter().any(|before| before.covers(rule)));
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

/// All names in `letters` of up to `longest` bytes.
fn names<T: FromStr>(letters: &[&str], longest: usize) -> Vec<(String, T)> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..longest {
        last = last
            .iter()
            .flat_map(|word| letters.iter().map(move |letter| format!("{word}{letter}")))
            .collect();
        all.extend(last.iter().cloned());
    }
    let name = |word: String| Some((word.clone(), word.parse().ok()?));
    all.into_iter().filter_map(name).collect()
}

/// Longer than any that tells two patterns of the tests below apart.
static REPOSITORIES: LazyLock<Vec<(String, RepositoryName)>> =
    LazyLock::new(|| names(&["a", "b", "/"], 8));
static TAGS: LazyLock<Vec<(String, Tag)>> = LazyLock::new(|| names(&["a", "b", ".", "c"], 6));

/// The plainest matcher there is: it tries everything.
fn brute(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', b'*', b'/', rest @ ..], _) => {
            brute(rest, text)
                || (0..text.len()).any(|at| text[at] == b'/' && brute(rest, &text[at + 1..]))
        }
        ([b'*', b'*'], _) => !text.is_empty(),
        ([b'*', rest @ ..], _) => {
            let run = text.iter().take_while(|byte| **byte != b'/').count();
            (0..=run).any(|at| brute(rest, &text[at..]))
        }
        ([b'?', rest @ ..], [_, after @ ..]) => brute(rest, after),
        ([byte, rest @ ..], [same, after @ ..]) if byte == same => brute(rest, after),
        _ => false,
    }
}

proptest! {
    #[test]
    fn repositories_are_as_brute_force_finds(
        one in "(\\*\\*|[ab*]{1,2})(/(\\*\\*|[ab*])){0,2}",
        two in "(\\*\\*|[ab*]{1,2})(/(\\*\\*|[ab*])){0,2}",
    ) {
        let (Ok(first), Ok(second)) = (one.parse::<RepositoryPattern>(), two.parse::<RepositoryPattern>()) else {
            return Ok(());
        };
        let mut covered = true;
        for (word, name) in REPOSITORIES.iter() {
            prop_assert_eq!(first.matches(name), brute(one.as_bytes(), word.as_bytes()), "{} {}", one, word);
            covered &= first.matches(name) || !second.matches(name);
        }
        prop_assert_eq!(first.covers(&second), covered, "{} {}", one, two);
    }

    #[test]
    fn tags_are_as_brute_force_finds(one in "[ab*?.]{1,5}", two in "[ab*?.]{1,5}") {
        let (Ok(first), Ok(second)) = (one.parse::<TagPattern>(), two.parse::<TagPattern>()) else {
            return Ok(());
        };
        // Two stars of a tag are as one.
        let plain = one.replace("***", "*").replace("**", "*").replace("**", "*");
        let mut covered = true;
        for (word, tag) in TAGS.iter() {
            prop_assert_eq!(first.matches(tag), brute(plain.as_bytes(), word.as_bytes()), "{} {}", one, word);
            covered &= first.matches(tag) || !second.matches(tag);
        }
        prop_assert_eq!(first.covers(&second), covered, "{} {}", one, two);
    }

    #[test]
    fn nothing_panics(text in "[a-z*?/._{}-]{0,30}") {
        let _ = text.parse::<TagPattern>();
        if let Ok(pattern) = text.parse::<RepositoryPattern>() {
            prop_assert_eq!(pattern.to_string(), text);
            prop_assert!(pattern.covers(&pattern));
        }
    }
}
