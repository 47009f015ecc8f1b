//! Which workload is who: patterns that a token's claims must match.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// One entry of `workloads`: all claims must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Claims by their names; `kubernetes.io/namespace` is a member of a member.
    pub claims: Vec<(String, Pattern)>,
    /// The groups of such a workload.
    pub groups: Vec<String>,
}

/// What a claim must be: `*` stands for any run of characters but `/`, `**` for
/// any run at all, everything else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// A pattern without a character matches nothing that a claim can be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a claim's pattern is empty")]
pub struct EmptyPattern;

impl Mapping {
    /// Whether a token with these claims is meant.
    pub(super) fn matches(&self, claims: &Map<String, Value>) -> bool {
        self.claims
            .iter()
            .all(|(name, pattern)| find(claims, name).is_some_and(|claim| pattern.is(claim)))
    }
}

/// A claim by its name, or by the names on the way to it.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let mut slashes = name.match_indices('/');
        slashes.find_map(|(at, _)| {
            let (outer, inner) = (name.get(..at)?, name.get(at + 1..)?);
            find(claims.get(outer)?.as_object()?, inner)
        })
    })
}

impl Pattern {
    /// Of a list, one entry must match; an object never does.
    fn is(&self, claim: &Value) -> bool {
        match claim {
            Value::String(text) => self.matches(text),
            Value::Bool(truth) => self.matches(&truth.to_string()),
            Value::Number(number) => self.matches(&number.to_string()),
            Value::Array(several) => several.iter().any(|one| !one.is_array() && self.is(one)),
            Value::Null | Value::Object(_) => false,
        }
    }

    /// Whether the pattern stands for `text`. Each place of the text is looked
    /// at once for each of the pattern's, however many stars there are.
    fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // Which places of the text can be reached with the pattern so far.
        let mut reached = vec![false; text.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        let mut rest = self.0.as_str();
        while let Some(next) = rest.chars().next() {
            let (token, after) = match rest.strip_prefix("**") {
                Some(after) => (Token::Any, after.trim_start_matches('*')),
                None if next == '*' => (Token::Within, rest.get(1..).unwrap_or_default()),
                None => (
                    Token::One(next),
                    rest.get(next.len_utf8()..).unwrap_or_default(),
                ),
            };
            reached = token.step(&reached, &text);
            rest = after;
        }
        reached.last().copied().unwrap_or(false)
    }
}

/// A piece of a pattern.
#[derive(Clone, Copy)]
enum Token {
    Any,
    Within,
    One(char),
}

impl Token {
    fn step(self, reached: &[bool], text: &[char]) -> Vec<bool> {
        let mut next = Vec::with_capacity(reached.len());
        let mut before = false;
        for (place, here) in reached.iter().enumerate() {
            let passed = place.checked_sub(1).and_then(|last| text.get(last));
            let was = place
                .checked_sub(1)
                .and_then(|last| reached.get(last))
                .is_some_and(|reached| *reached);
            before = match (self, passed) {
                (Self::Any, _) => *here || before,
                (Self::Within, passed) => *here || (before && passed != Some(&'/')),
                (Self::One(wanted), Some(passed)) => was && wanted == *passed,
                (Self::One(_), None) => false,
            };
            next.push(before);
        }
        next
    }
}

impl FromStr for Pattern {
    type Err = EmptyPattern;

    fn from_str(text: &str) -> Result<Self, EmptyPattern> {
        match text.is_empty() {
            true => Err(EmptyPattern),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(pattern: &str, text: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(text)
    }

    #[test]
    fn stars_stay_within_a_component_unless_there_are_two() {
        for (pattern, text, expected) in [
            ("acme/app", "acme/app", true),
            ("acme/app", "acme/apps", false),
            ("acme/app", "Acme/app", false),
            ("acme/*", "acme/app", true),
            ("acme/*", "acme/", true),
            ("acme/*", "acme-evil/app", false),
            ("acme/*", "evil/acme/app", false),
            ("acme/*", "acme/a/b", false),
            ("acme/**", "acme/a/b", true),
            ("*", "", true),
            ("*", "a/b", false),
            ("**", "a/b", true),
            ("***", "a/b", true),
            ("refs/heads/release-*", "refs/heads/release-1.2", true),
            ("refs/heads/release-*", "refs/heads/release-1/evil", false),
            (
                "repo:acme/*:ref:refs/heads/main",
                "repo:acme/app:ref:refs/heads/main",
                true,
            ),
            (
                "repo:acme/*:ref:refs/heads/main",
                "repo:acme/app:pull_request",
                false,
            ),
            ("*-*-*", "a-b-c-d", true),
            ("ä*", "äö", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_their_number() {
        let pattern = "*a".repeat(200);
        let begun = std::time::Instant::now();
        assert!(!matches(&pattern, &format!("{}b", "a".repeat(2000))));
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    }

    fn mapped(claims: &[(&str, &str)], token: &Value) -> bool {
        let claims = claims
            .iter()
            .map(|(name, pattern)| ((*name).to_owned(), pattern.parse().unwrap()))
            .collect();
        let mapping = Mapping {
            claims,
            groups: Vec::new(),
        };
        mapping.matches(token.as_object().unwrap())
    }

    #[test]
    fn all_claims_must_match() {
        let token = json!({"repository": "acme/app", "ref": "refs/heads/main"});
        assert!(mapped(&[("repository", "acme/*")], &token));
        assert!(mapped(
            &[("repository", "acme/*"), ("ref", "refs/heads/main")],
            &token
        ));
        assert!(!mapped(
            &[("repository", "acme/*"), ("ref", "refs/tags/*")],
            &token
        ));
        assert!(!mapped(
            &[("repository", "acme/*"), ("environment", "*")],
            &token
        ));
    }

    #[test]
    fn claims_of_other_types_match_by_their_words() {
        let token = json!({
            "protected": true, "number": 7, "none": null, "object": {"a": "b"},
            "teams": ["a", "b"], "nested": [["a"]],
            "kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "builder"}},
            "https://claims/role": "x",
        });
        assert!(mapped(&[("protected", "true"), ("number", "7")], &token));
        assert!(!mapped(&[("none", "**")], &token));
        assert!(!mapped(&[("object", "**")], &token));
        assert!(mapped(&[("teams", "b")], &token));
        assert!(!mapped(&[("teams", "c")], &token));
        assert!(!mapped(&[("nested", "a")], &token));
        assert!(mapped(&[("kubernetes.io/namespace", "ci")], &token));
        assert!(mapped(
            &[("kubernetes.io/serviceaccount/name", "b*")],
            &token
        ));
        assert!(!mapped(&[("kubernetes.io/pod/name", "**")], &token));
        assert!(mapped(&[("https://claims/role", "x")], &token));
    }
}
