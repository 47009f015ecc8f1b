//! Where in the byte order of names the repositories of a pattern lie: a list
//! goes there without passing what lies before.

use super::{RepositoryName, RepositoryPattern};

/// Names that stand together in byte order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// All names that begin so, be it in the middle of a component.
    Prefix(String),
    /// This one.
    One(RepositoryName),
}

impl Span {
    /// All names.
    pub fn all() -> Self {
        Self::Prefix(String::new())
    }

    /// What none of its names is smaller than.
    pub fn start(&self) -> &str {
        match self {
            Self::Prefix(prefix) => prefix,
            Self::One(name) => name.as_str(),
        }
    }

    /// Whether a name of the span, or one below it, may lie below `directory`.
    pub fn reaches_below(&self, directory: &RepositoryName) -> bool {
        let below = format!("{directory}/");
        self.start().starts_with(&below)
            || matches!(self, Self::Prefix(prefix) if below.starts_with(prefix.as_str()))
    }

    /// The same names in as few spans as can be, in order; no name is in two.
    pub fn merged(spans: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut all: Vec<Self> = spans.into_iter().collect();
        // What another one holds stands right behind it.
        all.sort_by(|one, other| one.start().cmp(other.start()).then(one.cmp(other)));
        let mut merged: Vec<Self> = Vec::new();
        for span in all {
            let held = match merged.last() {
                Some(Self::Prefix(prefix)) => span.start().starts_with(prefix.as_str()),
                Some(one) => *one == span,
                None => false,
            };
            if !held {
                merged.push(span);
            }
        }
        merged
    }
}

impl RepositoryPattern {
    /// Where all lie that the pattern stands for; others may lie between them.
    pub fn span(&self) -> Span {
        let text = self.as_str();
        let literal = text.split('*').next().unwrap_or_default();
        match text.parse() {
            Ok(name) => Span::One(name),
            Err(_) => Span::Prefix(literal.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(patterns: &[&str]) -> Vec<String> {
        let pattern = |text: &&str| text.parse::<RepositoryPattern>().unwrap().span();
        let merged = Span::merged(patterns.iter().map(pattern));
        let starts = merged.iter().map(|span| match span {
            Span::Prefix(prefix) => format!("{prefix}…"),
            Span::One(name) => name.to_string(),
        });
        starts.collect()
    }

    #[test]
    fn spans_are_in_order_and_apart() {
        assert_eq!(
            merged(&[
                "team/**", "team/app", "team-x", "team", "a/b-*/c", "a/b", "team"
            ]),
            ["a/b", "a/b-…", "team", "team-x", "team/…"]
        );
        assert_eq!(merged(&["team/**", "**/cache"]), ["…"]);
        assert_eq!(merged(&["app*", "app", "app-x", "apq"]), ["app…", "apq"]);
        assert_eq!(merged(&[]), [""; 0]);
    }

    #[test]
    fn a_span_reaches_below_what_it_begins_with_or_lies_in() {
        let reaches = |pattern: &str, directory: &str| {
            let span = pattern.parse::<RepositoryPattern>().unwrap().span();
            span.reaches_below(&directory.parse().unwrap())
        };
        for (pattern, directory) in [
            ("**", "a"),
            ("team/**", "team"),
            ("team/**", "team/x"),
            ("team/app", "team"),
            ("te*/x", "team"),
        ] {
            assert!(reaches(pattern, directory), "{pattern} {directory}");
        }
        for (pattern, directory) in [
            ("team/**", "tea"),
            ("team/app", "team/app"),
            ("team-*/x", "team"),
            ("a/b", "b"),
        ] {
            assert!(!reaches(pattern, directory), "{pattern} {directory}");
        }
    }
}
