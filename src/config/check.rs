//! Holds a tree against the schema: names what is unknown, what is ignored and
//! why, and what is refused. Values of honoured keys are read elsewhere.

use super::nearest;
use super::report::{Origin, Report};
use super::schema::{Key, Kind, ROOT, Verdict};
use super::tree::{Entry, Node, Value};

/// Turns a bare string that selects a type into a section: `auth: htpasswd`.
pub(super) fn normalise(root: &mut Node) {
    let Value::Map(entries) = &mut root.value else {
        return;
    };
    for entry in entries {
        let is_choice = ROOT
            .key(&entry.key)
            .is_some_and(|key| matches!(key.kind, Kind::Choice(_)));
        if let (true, Value::Scalar(name)) = (is_choice, &entry.node.value) {
            let chosen = (!name.is_empty()).then(|| selected(name, &entry.node.origin));
            entry.node.value = Value::Map(chosen.into_iter().collect());
        }
    }
}

/// Checks the whole tree, which must be normalised.
pub(super) fn check(root: &Node, report: &Report) {
    Check { report }.value(root, &ROOT, "");
}

struct Check<'a> {
    report: &'a Report,
}

impl Check<'_> {
    fn value(&self, node: &Node, kind: &Kind, path: &str) {
        match (kind, &node.value) {
            (_, Value::Null) => {}
            (Kind::Section(_) | Kind::Choice(_) | Kind::Strict(_), Value::Map(entries)) => {
                for entry in entries {
                    self.entry(entry, kind, path);
                }
            }
            (Kind::List(inner), Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, inner, &format!("{path}[{index}]"));
                }
            }
            (Kind::Map(inner), Value::Map(entries)) => {
                for entry in entries {
                    self.value(&entry.node, inner, &join(path, &entry.key));
                }
            }
            (Kind::Section(_) | Kind::Choice(_) | Kind::Strict(_) | Kind::Map(_), _) => {
                let place = if path.is_empty() {
                    "a configuration"
                } else {
                    path
                };
                self.report.problem(
                    &node.origin,
                    format!("{place}: must be a section, with `key: value` lines below it"),
                );
            }
            (Kind::List(inner), _) if !inner.keys().is_empty() => {
                self.report
                    .problem(&node.origin, format!("{path}: must be a list"));
            }
            // Other lists and scalars are looked at by those who read them.
            _ => {}
        }
    }

    fn entry(&self, entry: &Entry, section: &Kind, path: &str) {
        let Some(key) = section.key(&entry.key) else {
            return self.unknown(entry, section, path);
        };
        let path = join(path, key.name);
        match key.verdict {
            Verdict::Honoured => self.value(&entry.node, &key.kind, &path),
            Verdict::Ignored(_) | Verdict::Refused(_) if is_unset(key, section, entry) => {}
            Verdict::Ignored(because) => self.report.note(
                &entry.origin,
                format!("{path}: not supported, ignored because {because}"),
            ),
            Verdict::Refused(because) => self
                .report
                .problem(&entry.origin, format!("{path}: not supported: {because}")),
        }
    }

    /// registry:2 ignores an unknown key, but not an unknown driver or kind of
    /// login; nor does wharf in a rule.
    fn unknown(&self, entry: &Entry, section: &Kind, path: &str) {
        let place = match path {
            "" => String::new(),
            path => format!(" in `{path}`"),
        };
        let hint = nearest::key(&entry.key, section);
        let text = format!("unknown key `{}`{place}{hint}", entry.key);
        if matches!(section, Kind::Choice(_) | Kind::Strict(_)) {
            self.report.problem(&entry.origin, text);
        } else {
            self.report.note(&entry.origin, text);
        }
    }
}

/// Whether an entry says nothing. In a choice the name alone selects, with
/// nothing below it.
fn is_unset(key: &Key, section: &Kind, entry: &Entry) -> bool {
    let selects = matches!(section, Kind::Choice(_)) && matches!(key.verdict, Verdict::Refused(_));
    !selects && hollow(&entry.node)
}

/// Null or empty, all the way down: templates leave such sections behind.
fn hollow(node: &Node) -> bool {
    match &node.value {
        Value::Map(entries) => entries.iter().all(|entry| hollow(&entry.node)),
        Value::List(items) => items.iter().all(hollow),
        _ => node.is_empty(),
    }
}

/// What `name` alone means where a type is selected.
pub(super) fn selected(name: &str, origin: &Origin) -> Entry {
    Entry {
        key: name.to_owned(),
        origin: origin.clone(),
        node: Node::null(origin.clone()),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
