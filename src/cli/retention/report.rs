//! What `wharf retention` says: what goes, when it was pushed and pulled, and
//! which rule says so; for people, and as JSON.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::oci::{Digest, RepositoryName};
use crate::registry::retention::{Failure, Observer, Plan, PlannedTag, Removed, Report};

/// Hex digits of a digest that people are shown.
const SHOWN: usize = 12;

/// How a plan is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// What goes, for people.
    Going,
    /// What stays, too.
    All,
    /// All of it, at the end.
    Json,
}

/// Tells plans while they are made.
pub(super) struct Teller {
    form: Form,
    kept: Mutex<Vec<Value>>,
}

impl Teller {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            kept: Mutex::default(),
        }
    }

    /// `{version, repositories: […], tags, manifests, failed}`
    pub(super) fn json(&self, report: &Report) -> String {
        as_json(&lock(&self.kept), report)
    }
}

impl Observer for Teller {
    fn planned(&self, plan: &Plan) {
        match self.form {
            Form::Json => lock(&self.kept).push(plan_as_json(plan)),
            Form::All => say(&plan_as_text(plan, true)),
            Form::Going if !plan.is_empty() => say(&plan_as_text(plan, false)),
            Form::Going => {}
        }
    }

    fn failed(&self, repository: &RepositoryName, why: &Failure) {
        match self.form {
            Form::Json => lock(&self.kept).push(failure_as_json(repository, why)),
            Form::Going | Form::All => say(&format!("!! {repository}: {why}")),
        }
    }
}

/// Keeps what was removed.
#[derive(Default)]
pub(super) struct Collected(Mutex<Vec<Value>>);

impl Collected {
    /// The last lines for people.
    pub(super) fn text(&self, report: &Report) -> String {
        let mut text = format!("removed {}", counted(report));
        if report.removed.spared > 0 {
            let _ = write!(
                text,
                "; {} stay, since they were pushed or pulled meanwhile",
                report.removed.spared
            );
        }
        for failure in lock(&self.0)
            .iter()
            .filter(|one| one.get("error").is_some())
        {
            let of = |key: &str| failure.get(key).and_then(Value::as_str).unwrap_or_default();
            let _ = write!(text, "\n!! {}: {}", of("repository"), of("error"));
        }
        text
    }

    /// `{version, repositories: […], tags, manifests, failed}`
    pub(super) fn json(&self, report: &Report) -> String {
        as_json(&lock(&self.0), report)
    }
}

impl Observer for Collected {
    fn removed(&self, repository: &RepositoryName, removed: &Removed) {
        lock(&self.0).push(json!({
            "repository": repository.as_str(),
            "removed": {"tags": removed.tags, "manifests": removed.manifests},
            "spared": removed.spared,
        }));
    }

    fn failed(&self, repository: &RepositoryName, why: &Failure) {
        lock(&self.0).push(failure_as_json(repository, why));
    }
}

/// The last line of a plan for people.
pub(super) fn would_go(report: &Report) -> String {
    if report.removed.tags + report.removed.manifests == 0 && report.failed == 0 {
        return "nothing would go".to_owned();
    }
    let mut text = format!("{} would go", counted(report));
    if report.failed > 0 {
        let _ = write!(text, "; {} could not be looked at", report.failed);
    }
    text
}

fn counted(report: &Report) -> String {
    let many = |count: u64, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    format!(
        "{} and {}",
        many(report.removed.tags, "tag"),
        many(report.removed.manifests, "manifest")
    )
}

fn plan_as_text(plan: &Plan, all: bool) -> String {
    let mut text = match &plan.rule {
        Some(rule) => format!("{} (rule at {rule})", plan.repository),
        None => plan.repository.to_string(),
    };
    let width = plan.tags.iter().map(|tag| tag.tag.as_str().len());
    let width = width.max().unwrap_or_default().min(40);
    let shown = plan.tags.iter().filter(|tag| all || tag.verdict.goes());
    for tag in shown {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n  {} {:width$}  {}  {}: {}",
            if tag.verdict.goes() { "goes " } else { "stays" },
            tag.tag.as_str(),
            short(&tag.digest),
            times(tag.pushed, tag.pulled),
            tag.verdict.why()
        );
    }
    for manifest in &plan.manifests {
        let _ = write!(
            text,
            "\n  goes  {}  {}: {}",
            manifest.digest,
            times(manifest.pushed, manifest.pulled),
            manifest.why
        );
    }
    text
}

fn plan_as_json(plan: &Plan) -> Value {
    let manifests = plan.manifests.iter().map(|manifest| {
        json!({
            "digest": manifest.digest,
            "pushed": time(manifest.pushed),
            "pulled": manifest.pulled.map(time),
            "why": manifest.why,
        })
    });
    json!({
        "repository": plan.repository.as_str(),
        "rule": plan.rule,
        "tags": plan.tags.iter().map(tag_as_json).collect::<Vec<_>>(),
        "manifests": manifests.collect::<Vec<_>>(),
    })
}

fn tag_as_json(tag: &PlannedTag) -> Value {
    json!({
        "tag": tag.tag.as_str(),
        "digest": tag.digest,
        "pushed": time(tag.pushed),
        "pulled": tag.pulled.map(time),
        "goes": tag.verdict.goes(),
        "why": tag.verdict.why(),
    })
}

fn failure_as_json(repository: &RepositoryName, why: &Failure) -> Value {
    json!({"repository": repository.as_str(), "error": why.to_string()})
}

fn as_json(repositories: &[Value], report: &Report) -> String {
    json!({
        "version": 1,
        "repositories": repositories,
        "tags": report.removed.tags,
        "manifests": report.removed.manifests,
        "spared": report.removed.spared,
        "failed": report.failed,
    })
    .to_string()
}

fn short(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}:{}", digest.algorithm(), hex.get(..SHOWN).unwrap_or(hex))
}

fn times(pushed: SystemTime, pulled: Option<SystemTime>) -> String {
    let pulled = pulled.map_or_else(|| "never".to_owned(), time);
    format!("pushed {}, pulled {pulled}", time(pushed))
}

/// In RFC 3339, to the second.
fn time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).ok();
    let time = time.and_then(|time| Timestamp::from_second(time.as_second()).ok());
    time.map_or_else(|| "unknown".to_owned(), |time| time.to_string())
}

fn say(line: &str) {
    // Nobody may be reading any more; the end will tell.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn lock(kept: &Mutex<Vec<Value>>) -> MutexGuard<'_, Vec<Value>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
