//! `REGISTRY_*` variables over the file, as registry:2 lays them: in the order
//! of their names, split at `_`, each part a key by the name that it has in
//! registry:2's source, the value read as YAML.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::check::selected;
use super::nearest;
use super::report::{Origin, Report};
use super::schema::{Key, Kind, ROOT};
use super::tree::{Entry, Node, Value};
use super::yaml;

/// Sets in `root` what the variables say.
pub(super) fn overlay(
    root: &mut Node,
    variables: impl Iterator<Item = (String, String)>,
    report: &Report,
) {
    let variables: BTreeMap<String, String> =
        variables.filter(|(name, _)| concerns_us(name)).collect();
    for (name, text) in &variables {
        let origin = Origin::Variable(name.clone());
        let parts: Vec<&str> = name.split('_').skip(1).collect();
        let outcome = match target(&parts) {
            Some(Target::Value(parts)) => value(text, &origin, report).map_or(Ok(()), |value| {
                Overlay {
                    origin: &origin,
                    report,
                }
                .set(root, &ROOT, parts, value)
            }),
            Some(Target::Secret(parts)) => secret(name, text, &variables).and_then(|value| {
                Overlay {
                    origin: &origin,
                    report,
                }
                .set(root, &ROOT, parts, value)
            }),
            None => {
                unknown(name, &parts, &origin, report);
                Ok(())
            }
        };
        if let Err(reason) = outcome {
            report.problem(&origin, reason);
        }
    }
}

/// Whether somebody may have written this variable to configure a registry.
fn concerns_us(name: &str) -> bool {
    name.strip_prefix("REGISTRY_")
        .is_some_and(|rest| rest != "CONFIGURATION_PATH" && !is_service_link(rest))
}

/// Kubernetes sets `REGISTRY_PORT`, `REGISTRY_SERVICE_HOST`,
/// `REGISTRY_PORT_5000_TCP_ADDR` and so on in every container beside a service
/// named `registry`, and docker's `--link` does likewise.
fn is_service_link(rest: &str) -> bool {
    let parts: Vec<&str> = rest.split('_').collect();
    match parts.as_slice() {
        ["PORT" | "NAME"] | ["SERVICE", "HOST" | "PORT", ..] | ["ENV", ..] => true,
        ["PORT", number, "TCP" | "UDP", ..] => number.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// What a variable's name means.
enum Target<'a> {
    /// The value of this key.
    Value(&'a [&'a str]),
    /// The name of the file with the value of this key.
    Secret(&'a [&'a str]),
}

fn target<'a>(parts: &'a [&'a str]) -> Option<Target<'a>> {
    if resolve(&ROOT, None, parts).is_some() {
        return Some(Target::Value(parts));
    }
    let (last, key) = parts.split_last()?;
    let is_secret = last.eq_ignore_ascii_case("FILE")
        && resolve(&ROOT, None, key).is_some_and(|found| found.is_some_and(|key| key.secret));
    is_secret.then_some(Target::Secret(key))
}

/// The key that the parts lead to; `Some(None)` inside of lists and maps.
fn resolve(
    kind: &'static Kind,
    key: Option<&'static Key>,
    parts: &[&str],
) -> Option<Option<&'static Key>> {
    let Some((first, rest)) = parts.split_first() else {
        return Some(key);
    };
    match kind {
        Kind::Section(keys) | Kind::Choice(keys) | Kind::Strict(keys) => {
            let key = keys.iter().find(|key| key.is_variable(first))?;
            resolve(&key.kind, Some(key), rest)
        }
        Kind::List(inner) | Kind::Map(inner) => resolve(inner, None, rest),
        Kind::Any => Some(None),
        _ => None,
    }
}

/// The variable's text as YAML. What fails is reported without the text, which
/// may be a password.
fn value(text: &str, origin: &Origin, report: &Report) -> Option<Node> {
    match yaml::parse(&Arc::from(""), text) {
        Ok(node) => Some(node.moved_to(origin)),
        Err(error) => {
            report.problem(
                origin,
                format!(
                    "its value is not YAML: {}; put it in single quotes inside of the value",
                    error.reason
                ),
            );
            None
        }
    }
}

/// The content of the file that a `_FILE` variable names.
fn secret(name: &str, path: &str, variables: &BTreeMap<String, String>) -> Result<Node, String> {
    let direct = name.get(..name.len().saturating_sub("_FILE".len()));
    if let Some(direct) = direct.filter(|direct| variables.contains_key(*direct)) {
        return Err(format!("`{direct}` is set too; unset one of them"));
    }
    let text = fs::read_to_string(path).map_err(|error| {
        format!("cannot read `{path}`: {error}; make it readable or unset the variable")
    })?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| {
        text.strip_suffix('\r').unwrap_or(text)
    });
    Ok(Node {
        origin: Origin::Variable(name.to_owned()),
        value: Value::Scalar(text.to_owned()),
    })
}

/// registry:2 ignores an unknown variable, but one below `storage` or `auth`
/// selects a driver or a kind of login that it doesn't have.
fn unknown(name: &str, parts: &[&str], origin: &Origin, report: &Report) {
    let of_a_file = parts.split_last().is_some_and(|(last, key)| {
        last.eq_ignore_ascii_case("FILE") && resolve(&ROOT, None, key).is_some()
    });
    let hint = if of_a_file {
        "; only secrets can stand in files of their own".to_owned()
    } else {
        nearest::variable(name)
    };
    let chooses = parts.split_first().is_some_and(|(first, rest)| {
        ROOT.keys().iter().any(|key| {
            key.is_variable(first)
                && matches!(key.kind, Kind::Choice(_))
                && rest.first().is_some_and(|part| {
                    !key.kind.keys().iter().any(|inner| inner.is_variable(part))
                })
        })
    });
    if chooses {
        report.problem(origin, format!("unknown variable{hint}"));
    } else {
        report.note(origin, format!("unknown variable, ignored{hint}"));
    }
}

struct Overlay<'a> {
    origin: &'a Origin,
    report: &'a Report,
}

impl Overlay<'_> {
    /// Sets the value below `node`, making what is missing on the way.
    fn set(&self, node: &mut Node, kind: &Kind, parts: &[&str], value: Node) -> Result<(), String> {
        let Some((first, rest)) = parts.split_first() else {
            match (value.is_empty(), node.is_empty()) {
                (true, true) => self
                    .report
                    .note(self.origin, "is empty, and has no effect".to_owned()),
                (true, false) => self.unset(node, kind)?,
                (false, _) => {}
            }
            *node = value;
            return Ok(());
        };
        match kind {
            Kind::List(inner) => self.set(self.item(node, first)?, inner, rest, value),
            Kind::Any if matches!(node.value, Value::List(_)) => {
                self.set(self.item(node, first)?, kind, rest, value)
            }
            Kind::Any => self.set(self.named(node, kind, first)?, kind, rest, value),
            Kind::Map(inner) => self.set(self.named(node, kind, first)?, inner, rest, value),
            _ => {
                let key = kind.keys().iter().find(|key| key.is_variable(first));
                let Some(key) = key else { return Ok(()) };
                self.set(self.named(node, kind, key.name)?, &key.kind, rest, value)
            }
        }
    }

    /// registry:2 takes an empty variable as nothing, also instead of all of
    /// `auth` or `http.tls`: a variable that was forgotten would open the
    /// registry.
    fn unset(&self, node: &Node, kind: &Kind) -> Result<(), String> {
        if matches!(kind, Kind::Section(_) | Kind::Choice(_) | Kind::Strict(_)) {
            return Err(format!(
                "is empty, and so would unset the whole section at {}; give it a value or remove the variable",
                node.origin
            ));
        }
        self.report.note(
            self.origin,
            format!("is empty, and so unsets what {} sets", node.origin),
        );
        Ok(())
    }

    /// The item of a list by its index; the next one is made.
    fn item<'n>(&self, node: &'n mut Node, index: &str) -> Result<&'n mut Node, String> {
        let place = node.origin.clone();
        if node.value == Value::Null {
            node.value = Value::List(Vec::new());
        }
        let Value::List(items) = &mut node.value else {
            return Err(format!(
                "{place} holds no list, so that it has no item `{index}`"
            ));
        };
        let length = items.len();
        let position: usize = index.parse().map_err(|_| {
            format!("`{index}` is no index of a list; write a number from 0 to {length}")
        })?;
        if position == length {
            items.push(Node::null(self.origin.clone()));
        }
        items.get_mut(position).ok_or_else(|| {
            format!("the list has {length} items; the next one is {length}, not {position}")
        })
    }

    /// The entry of a section by its name, or of a map by its name in any
    /// case; a new one has it in lower case, as with registry:2.
    fn named<'n>(
        &self,
        node: &'n mut Node,
        kind: &Kind,
        name: &str,
    ) -> Result<&'n mut Node, String> {
        match &node.value {
            Value::Null => {
                node.origin = self.origin.clone();
                node.value = Value::Map(Vec::new());
            }
            Value::Scalar(text) if matches!(kind, Kind::Choice(_)) => {
                node.value = Value::Map(vec![selected(text, &node.origin)]);
            }
            _ => {}
        }
        let Value::Map(entries) = &mut node.value else {
            return Err(format!(
                "{} holds no section, so that it has no key `{name}`",
                node.origin
            ));
        };
        let any_case = matches!(kind, Kind::Map(_) | Kind::Any);
        let known = entries.iter().position(|entry| {
            entry.key == name || (any_case && entry.key.eq_ignore_ascii_case(name))
        });
        let position = known.unwrap_or_else(|| {
            entries.push(Entry {
                key: name.to_ascii_lowercase(),
                origin: self.origin.clone(),
                node: Node::null(self.origin.clone()),
            });
            entries.len().saturating_sub(1)
        });
        let entry = entries.get_mut(position).ok_or("the entry vanished")?;
        Ok(&mut entry.node)
    }
}
