//! YAML text into a [`Node`]: aliases, merges, duplicate keys and bounds are
//! the parser's; keeping every scalar as it was written is ours.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::report::Origin;
use super::tree::{Entry, Node, Value};

/// The text is not YAML, or not YAML that anybody should write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotYaml {
    /// From 1; 0 if unknown.
    pub line: u64,
    pub column: u64,
    /// In one line, without anything of the text's values.
    pub reason: String,
}

/// The tree of one YAML document; empty text is [`Value::Null`].
pub(super) fn parse(name: &Arc<str>, text: &str) -> Result<Node, NotYaml> {
    let mut options = serde_saphyr::options! { with_snippet: false };
    options.non_finite_float_policy = serde_saphyr::options::NonFiniteFloatPolicy::PassThrough;
    // The parser doesn't count a byte order mark as a column, but as bytes.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let raw = serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options)
        .map_err(|error| NotYaml::new(&error))?;
    Ok(Source { name, text }.node(raw))
}

impl NotYaml {
    fn new(error: &serde_saphyr::Error) -> Self {
        let location = error.location().unwrap_or(Location::UNKNOWN);
        let message = error.without_snippet().to_string();
        // The place is told apart, and the parser's functions are not the
        // reader's business.
        let reason = [" at line ", ", set DuplicateKeyPolicy", "; use from_str"]
            .into_iter()
            .fold(message.as_str(), |reason, end| {
                reason.split_once(end).map_or(reason, |(reason, _)| reason)
            });
        Self {
            line: location.line(),
            column: location.column(),
            reason: reason.lines().collect::<Vec<_>>().join(" "),
        }
    }
}

/// A value as the parser tells it: numbers and booleans only by their place.
enum Raw {
    Null,
    /// Its text is in the source.
    Typed,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

/// The text that raw values point into.
struct Source<'a> {
    name: &'a Arc<str>,
    text: &'a str,
}

impl Source<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Node {
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Typed => Value::Scalar(self.written(raw.defined)),
            Raw::Text(text) => Value::Scalar(text),
            Raw::List(items) => {
                Value::List(items.into_iter().map(|item| self.node(item)).collect())
            }
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        origin: self.origin(key.referenced),
                        key: key.value,
                        node: self.node(value),
                    })
                    .collect(),
            ),
        };
        Node {
            origin: self.origin(raw.referenced),
            value,
        }
    }

    fn origin(&self, location: Location) -> Origin {
        Origin::File {
            name: Arc::clone(self.name),
            line: location.line(),
            column: location.column(),
        }
    }

    /// A scalar's text as it stands in the source.
    fn written(&self, location: Location) -> String {
        let span = location.span();
        let range = span.byte_offset().zip(span.byte_len());
        range
            .and_then(|(offset, length)| {
                let start = usize::try_from(offset).ok()?;
                let end = start.checked_add(usize::try_from(length).ok()?)?;
                self.text.get(start..end)
            })
            .unwrap_or_default()
            .trim()
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        let place = match &node.origin {
            Origin::File { line, column, .. } => format!("{line}:{column}"),
            Origin::Variable(name) => name.clone(),
        };
        match &node.value {
            Value::Null => format!("null@{place}"),
            Value::Scalar(text) => format!("{text:?}@{place}"),
            Value::List(items) => {
                format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" "))
            }
            Value::Map(entries) => {
                let entries = entries.iter().map(|entry| {
                    let Origin::File { line, column, .. } = entry.origin else {
                        return String::new();
                    };
                    format!("{}@{line}:{column}={}", entry.key, show(&entry.node))
                });
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn parsed(text: &str) -> String {
        match parse(&"c".into(), text) {
            Ok(node) => show(&node),
            Err(error) => format!("{}:{}: {}", error.line, error.column, error.reason),
        }
    }

    #[test]
    fn scalars_stay_as_they_were_written() {
        assert_eq!(
            parsed("a: 0123\nb: 1_000\nc: yes\nd: 1.10\ne: 'no'\nf: ~\ng: ''\nh: \"\\t\"\ni: 0x1F"),
            "{a@1:1=\"0123\"@1:4 b@2:1=\"1_000\"@2:4 c@3:1=\"yes\"@3:4 d@4:1=\"1.10\"@4:4 \
             e@5:1=\"no\"@5:4 f@6:1=null@6:4 g@7:1=\"\"@7:4 h@8:1=\"\\t\"@8:4 i@9:1=\"0x1F\"@9:4}"
        );
        assert_eq!(
            parsed("a: .nan\nb: 1e999"),
            "{a@1:1=\".nan\"@1:4 b@2:1=\"1e999\"@2:4}"
        );
        assert_eq!(
            parsed("\u{feff}ä: ö # é\r\nb:   12 # é\r\n"),
            "{ä@1:1=\"ö\"@1:4 b@2:1=\"12\"@2:6}"
        );
        assert_eq!(parsed(":5000"), "\":5000\"@1:1");
        assert_eq!(parsed("a: :5000"), "{a@1:1=\":5000\"@1:4}");
        assert_eq!(parsed(""), "null@1:1");
    }

    #[test]
    fn aliases_and_merges_are_where_they_are_used() {
        assert_eq!(
            parsed("a: &x 07\nb: *x\nc: {<<: {d: 5}}\n8: [1, x]\n"),
            "{a@1:1=\"07\"@1:7 b@2:1=\"07\"@2:4 c@3:1={d@3:9=\"5\"@3:9} 8@4:1=[\"1\"@4:5 \"x\"@4:8]}"
        );
    }

    #[test]
    fn what_is_not_yaml_is_named_with_its_place() {
        let texts = [
            "a: 1\na: 2\n",
            "a: [1\n",
            "a: *nothing\n",
            "a: b: c\n",
            "a: 1\n---\nb: 1\n",
            "a: 's3cret",
            "a: @s3cret",
            "[a, b]: c",
            "a: !!int x",
        ];
        let told: Vec<String> = texts.iter().map(|text| parsed(text)).collect();
        assert_eq!(
            told,
            [
                "2:1: duplicate mapping key: a",
                "1:4: unclosed bracket '['",
                "1:4: alias references unknown anchor",
                "1:5: mapping values are not allowed in this context",
                "3:1: multiple YAML documents detected",
                "1:4: unclosed quote",
                "1:4: unexpected character: `@'",
                "1:1: expected string scalar",
                "1:10: invalid u64",
            ]
        );
    }
}
