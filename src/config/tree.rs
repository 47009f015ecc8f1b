//! Configuration as a tree in which everything remembers where it was written.

use super::report::Origin;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub origin: Origin,
    pub value: Value,
}

/// What YAML can say, before a type is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing, as in `key:`.
    Null,
    /// A scalar exactly as it was written, without quotes: whether `0.1` is a
    /// number is for the key to say.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key, where it was written, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: String,
    pub origin: Origin,
    pub node: Node,
}

impl Node {
    pub(super) fn null(origin: Origin) -> Self {
        Self {
            origin,
            value: Value::Null,
        }
    }

    /// Whether nothing is set: null, an empty string, list or map. Go's zero
    /// values, which registry:2 can't tell from a missing key.
    pub(super) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Scalar(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
        }
    }

    /// The entries of a map; none of anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The same tree, as if all of it had been written at `origin`.
    pub(super) fn moved_to(mut self, origin: &Origin) -> Self {
        self.origin = origin.clone();
        self.value = match self.value {
            Value::List(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| item.moved_to(origin))
                    .collect(),
            ),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|entry| Entry {
                        key: entry.key,
                        origin: origin.clone(),
                        node: entry.node.moved_to(origin),
                    })
                    .collect(),
            ),
            plain => plain,
        };
        self
    }
}
