//! Tags as versions: `v1.2.3`, `1.10`, `2.0.0-rc.1`, in the order of semver.org,
//! with as many numbers as a tag has.

use std::cmp::Ordering;

use crate::oci::Tag;

/// A tag that is a version. Equal versions may be written differently: `1.2`
/// and `v1.2.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// Without zeros at the end.
    numbers: Vec<u64>,
    /// What stands behind the first `-`: such a version comes before the one
    /// without.
    before: Option<Vec<Word>>,
}

/// A run of digits, or of anything else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    /// Comes before text, as in semver.
    Number(u64),
    Text(String),
}

impl Version {
    /// The version that a tag is, if it is one: a number or more, joined by
    /// `.`, with or without a `v` in front and something behind a `-`.
    pub(super) fn of(tag: &Tag) -> Option<Self> {
        let text = tag.as_str();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (numbers, before) = match text.split_once('-') {
            Some((numbers, before)) => (numbers, Some(before)),
            None => (text, None),
        };
        let mut numbers = numbers
            .split('.')
            .map(number)
            .collect::<Option<Vec<u64>>>()?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Self {
            numbers,
            before: before.map(words),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let before = || match (&self.before, &other.before) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(another)) => one.cmp(another),
        };
        self.numbers.cmp(&other.numbers).then_with(before)
    }
}

fn number(text: &str) -> Option<u64> {
    // `+1` is a number to `parse`.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `rc10` is `rc`, 10, so that it comes behind `rc9`, which people expect and
/// semver.org has only for `rc.10`.
fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        if !first.is_ascii_alphanumeric() {
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let is_same = |byte: u8| {
            byte.is_ascii_alphanumeric() && byte.is_ascii_digit() == first.is_ascii_digit()
        };
        let end = rest.bytes().position(|byte| !is_same(byte));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(match number(word) {
            Some(number) => Word::Number(number),
            None => Word::Text(word.to_owned()),
        });
        rest = after;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<Version> {
        Version::of(&text.parse().unwrap())
    }

    #[test]
    fn versions_have_an_order() {
        let ordered = [
            "0.9",
            "v1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta",
            "1.0.0-rc.1",
            "1.0.0-rc2",
            "1.0.0-rc10",
            "1",
            "1.0.1",
            "v1.2.3",
            "1.9",
            "1.10.0-rc1",
            "1.10",
            "1.10.0.1",
            "2",
            "20261123",
            "20261123.7",
        ];
        for pair in ordered.windows(2) {
            let [one, other] = pair else { panic!() };
            assert!(version(one) < version(other), "{one} < {other}");
        }
        assert_eq!(version("V1.2"), version("1.2.0"));
    }

    #[test]
    fn other_tags_are_no_versions() {
        for tag in [
            "latest",
            "main-1.2",
            "1.x",
            "v",
            "1.",
            "1..2",
            "1_2",
            "release",
            "99999999999999999999999",
            "4c08b1a",
        ] {
            assert_eq!(version(tag), None, "{tag}");
        }
    }
}
