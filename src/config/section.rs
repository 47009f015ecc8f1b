//! Typed reading: a section hands out the values of its keys and reports those
//! that are not what they should be, so that readers only deal with good ones.

use std::time::Duration;

use super::report::{Origin, Report};
use super::tree::{Entry, Node, Value};
use super::values;

/// A section, which may be missing: then none of its keys is set.
pub(super) struct Section<'a> {
    path: String,
    entries: &'a [Entry],
    /// Where the section is, or what should hold it.
    origin: &'a Origin,
    report: &'a Report,
}

impl<'a> Section<'a> {
    /// The top level.
    pub(super) fn root(node: &'a Node, report: &'a Report) -> Self {
        Self {
            path: String::new(),
            entries: node.entries(),
            origin: &node.origin,
            report,
        }
    }

    /// The section `name`.
    pub(super) fn section(&self, name: &str) -> Section<'a> {
        let entry = self.entry(name);
        Section {
            path: self.path(name),
            entries: entry.map_or(&[], |entry| entry.node.entries()),
            origin: entry.map_or(self.origin, |entry| &entry.origin),
            report: self.report,
        }
    }

    /// The sections in the list `name`.
    pub(super) fn sections(&self, name: &str) -> Vec<Section<'a>> {
        let items = self.items(name);
        items
            .into_iter()
            .enumerate()
            .filter_map(|(index, node)| {
                let path = format!("{}[{index}]", self.path(name));
                match &node.value {
                    Value::Map(entries) => Some(Section {
                        path,
                        entries,
                        origin: &node.origin,
                        report: self.report,
                    }),
                    // Said by the check against the schema.
                    _ => None,
                }
            })
            .collect()
    }

    /// The names of the keys, set or not.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().map(|entry| entry.key.as_str())
    }

    /// Whether a key has a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// Whether a key stands there, though it may be empty.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.entry(name)
            .is_some_and(|entry| entry.node.value != Value::Null)
    }

    /// Its path: `retention.rules[2]`.
    pub(super) fn name(&self) -> &str {
        &self.path
    }

    /// Where the section is, for whoever has the file: `config.yml:12`.
    pub(super) fn place(&self) -> String {
        match self.origin {
            Origin::File { name, line, .. } => format!("{name}:{line}"),
            Origin::Variable(name) => name.clone(),
        }
    }

    /// The same for somebody who reads the file: `on line 12`.
    pub(super) fn line(&self) -> String {
        match self.origin {
            Origin::File { line, .. } => format!("on line {line}"),
            Origin::Variable(name) => format!("in `{name}`"),
        }
    }

    /// The value of `name`, if it is set.
    pub(super) fn read<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.scalar(&self.path(name), self.node(name)?, parse)
    }

    /// The value of `name`, which must be set.
    pub(super) fn require<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(name) {
            self.problem(format!("needs `{name}`"));
        }
        self.read(name, parse)
    }

    /// The duration `name`. A number alone is taken as registry:2 takes it,
    /// but seldom meant like that.
    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        let node = self.node(name)?;
        let path = self.path(name);
        self.scalar(&path, node, |text| {
            let duration = values::duration(text)?;
            if !duration.is_zero() && text.bytes().all(|byte| byte.is_ascii_digit()) {
                self.report.note(
                    &node.origin,
                    format!("{path}: `{text}` without a unit counts nanoseconds; did you mean `{text}s`?"),
                );
            }
            Ok(duration)
        })
    }

    /// The values in the list `name`; one alone may stand without a list.
    pub(super) fn list<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let path = self.path(name);
        self.items(name)
            .into_iter()
            .filter(|node| !node.is_empty())
            .filter_map(|node| self.scalar(&path, node, &parse))
            .collect()
    }

    /// Says what is wrong with the section.
    pub(super) fn problem(&self, text: impl AsRef<str>) {
        self.report
            .problem(self.origin, format!("{}: {}", self.path, text.as_ref()));
    }

    /// Says what is wrong with the value of `name`.
    pub(super) fn problem_of(&self, name: &str, text: impl AsRef<str>) {
        let origin = self.node(name).map_or(self.origin, |node| &node.origin);
        self.report
            .problem(origin, format!("{}: {}", self.path(name), text.as_ref()));
    }

    /// Says something about the section.
    pub(super) fn note(&self, text: impl AsRef<str>) {
        self.report
            .note(self.origin, format!("{}: {}", self.path, text.as_ref()));
    }

    /// Says something about the value of `name`.
    pub(super) fn note_of(&self, name: &str, text: impl AsRef<str>) {
        let origin = self.node(name).map_or(self.origin, |node| &node.origin);
        self.report
            .note(origin, format!("{}: {}", self.path(name), text.as_ref()));
    }

    fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    fn node(&self, name: &str) -> Option<&'a Node> {
        self.entry(name)
            .map(|entry| &entry.node)
            .filter(|node| !node.is_empty())
    }

    fn items(&self, name: &str) -> Vec<&'a Node> {
        let Some(node) = self.node(name) else {
            return Vec::new();
        };
        match &node.value {
            Value::List(items) => items.iter().collect(),
            Value::Scalar(_) => vec![node],
            _ => {
                self.problem_of(name, "must be a list");
                Vec::new()
            }
        }
    }

    fn scalar<T>(
        &self,
        path: &str,
        node: &Node,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let outcome = match &node.value {
            Value::Scalar(text) => parse(text),
            _ => Err("must be a single value".to_owned()),
        };
        outcome
            .map_err(|reason| {
                self.report
                    .problem(&node.origin, format!("{path}: {reason}"))
            })
            .ok()
    }
}
