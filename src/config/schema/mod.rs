//! Every key that registry:2 or registry:3 documents, as data: what kind of
//! value it takes, what wharf does with it, and what to tell about it. The
//! checks, the environment's names and docs/configuration.md all come from
//! here.

mod access;
mod audit;
mod auth;
mod http;
mod limits;
mod objects;
mod observe;
mod operations;
mod rules;
mod scrub;
mod storage;

/// A key of the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// As it stands in the file.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What wharf does with it. Everything below a key that is not honoured
    /// shares its fate.
    pub verdict: Verdict,
    /// As it would be written; empty is none.
    pub default: &'static str,
    /// A sentence for docs/configuration.md.
    pub remark: &'static str,
    /// The least and the most that it may be, as they would be written.
    pub range: Option<(&'static str, &'static str)>,
    /// Its part of a `REGISTRY_` variable, where that is not its name: there
    /// registry:2 takes the words of its source.
    pub variable: Option<&'static str>,
    /// May come from a file that a `_FILE` variable names.
    pub secret: bool,
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Keys of its own.
    Section(&'static [Key]),
    /// Keys of its own, one of which selects a type: a bare string selects it
    /// too, and an unknown key is an error.
    Choice(&'static [Key]),
    /// Keys of its own, where an unknown key is an error: what a rule was
    /// meant to keep would be removed.
    Strict(&'static [Key]),
    /// Any number of the same.
    List(&'static Kind),
    /// The same under any names.
    Map(&'static Kind),
    /// Whatever a part that wharf doesn't have takes.
    Any,
    /// A string.
    Text,
    /// A string that names a file or directory.
    Path,
    /// `true` or `false`, with YAML 1.1's other words for them.
    Bool,
    /// A whole number.
    Integer,
    /// Bytes: a whole number, perhaps with a unit (`64KiB`).
    Size,
    /// A Go duration: `10s`, `1h30m`; a number alone counts nanoseconds.
    Duration,
    /// A Go duration with a unit, or whole days: `12h`, `30d`.
    Age,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// What wharf does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What registry:2 does.
    Honoured,
    /// Nothing, which is harmless, because …
    Ignored(&'static str),
    /// It does not start: ignoring the key would be unsafe or would serve
    /// something else. Why, and what to do now.
    Refused(&'static str),
}

/// The top level of the file.
pub(super) static ROOT: Kind = Kind::Section(&[
    key("version", Kind::Word(&["0.1"])).remark("Required."),
    observe::LOG,
    observe::LOGLEVEL,
    storage::STORAGE,
    auth::AUTH,
    access::ACCESS,
    audit::AUDIT,
    operations::MIDDLEWARE,
    http::HTTP,
    observe::NOTIFICATIONS,
    operations::REDIS,
    observe::HEALTH,
    operations::CATALOG,
    operations::TAGS,
    limits::LIMITS,
    operations::PROXY,
    operations::VALIDATION,
    scrub::SCRUB,
    rules::GC,
    rules::RETENTION,
    rules::IMMUTABLE,
    rules::QUOTAS,
    operations::POLICY,
    operations::COMPATIBILITY,
    observe::REPORTING,
]);

const fn key(name: &'static str, kind: Kind) -> Key {
    Key {
        name,
        kind,
        verdict: Verdict::Honoured,
        default: "",
        remark: "",
        range: None,
        variable: None,
        secret: false,
    }
}

impl Key {
    const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    const fn remark(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }

    const fn within(mut self, least: &'static str, most: &'static str) -> Self {
        self.range = Some((least, most));
        self
    }

    const fn variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn ignored(mut self, because: &'static str) -> Self {
        self.verdict = Verdict::Ignored(because);
        self
    }

    const fn refused(mut self, because: &'static str) -> Self {
        self.verdict = Verdict::Refused(because);
        self
    }

    /// Whether `part` of a `REGISTRY_` variable means this key. Case does not
    /// matter, as it does not to the names of Windows's variables.
    pub(super) fn is_variable(&self, part: &str) -> bool {
        self.variable
            .unwrap_or(self.name)
            .eq_ignore_ascii_case(part)
    }
}

impl Kind {
    /// The keys of a section or a choice; none of anything else.
    pub(super) fn keys(&self) -> &'static [Key] {
        match self {
            Self::Section(keys) | Self::Choice(keys) | Self::Strict(keys) => keys,
            _ => &[],
        }
    }

    /// The key of this name.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys().iter().find(|key| key.name == name)
    }

    /// In words, for docs/configuration.md and for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Section(_) | Self::Strict(_) => "section".to_owned(),
            Self::Choice(_) => "section with one type".to_owned(),
            Self::List(inner) => format!("list of {}", inner.plural()),
            Self::Map(inner) => format!("map of {}", inner.plural()),
            Self::Any => "anything".to_owned(),
            Self::Text => "string".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Bool => "boolean".to_owned(),
            Self::Integer => "number".to_owned(),
            Self::Size => "size".to_owned(),
            Self::Duration => "duration".to_owned(),
            Self::Age => "age".to_owned(),
            Self::Word(words) => words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }

    fn plural(&self) -> String {
        match self {
            Self::Any => "anything".to_owned(),
            Self::List(inner) => format!("lists of {}", inner.plural()),
            Self::Map(inner) => format!("maps of {}", inner.plural()),
            Self::Word(_) => self.describe(),
            _ => format!("{}s", self.describe()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(kind: &Kind, path: &str, visit: &mut impl FnMut(&str, &Key)) {
        match kind {
            Kind::List(inner) | Kind::Map(inner) => walk(inner, path, visit),
            _ => {
                for key in kind.keys() {
                    let path = format!("{path}{}", key.name);
                    visit(&path, key);
                    walk(&key.kind, &format!("{path}."), visit);
                }
            }
        }
    }

    #[test]
    fn each_name_stands_once_in_its_section() {
        let mut seen = std::collections::BTreeSet::new();
        walk(&ROOT, "", &mut |path, _| {
            assert!(seen.insert(path.to_owned()), "{path} twice");
        });
        assert!(seen.len() > 200, "only {} keys", seen.len());
    }

    #[test]
    fn each_reason_is_a_sentence_that_can_follow_because() {
        walk(&ROOT, "", &mut |path, key| {
            if let Verdict::Ignored(reason) | Verdict::Refused(reason) = key.verdict {
                assert!(
                    !reason.is_empty() && !reason.ends_with('.'),
                    "{path}: {reason}"
                );
                let first = reason.chars().next().unwrap();
                assert!(
                    first.is_lowercase() || reason.starts_with("Let's"),
                    "{path}: {reason}"
                );
            }
        });
    }

    #[test]
    fn what_holds_a_password_can_come_from_a_file() {
        walk(&ROOT, "", &mut |path, key| {
            let holds = [
                "password",
                "secret",
                "secretkey",
                "accountkey",
                "licensekey",
                "apikey",
            ];
            if holds.iter().any(|word| key.name.ends_with(word)) {
                assert!(key.secret, "{path} is no secret");
            }
        });
    }
}
