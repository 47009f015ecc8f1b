//! What `wharf gc` says: how far it is, and what came of it, for people and as
//! JSON.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::progress::Progress;
use crate::oci::{Digest, RepositoryName};
use crate::registry::gc::{Counts, Failure, Meter, Observer, Report};
use crate::registry::retention;
use crate::registry::usage::readable;

/// Manifests without bytes that are named.
const NAMED: usize = 1000;

/// Those that people are shown.
const SHOWN: usize = 20;

/// What a collection has told.
#[derive(Default)]
pub(super) struct Heard {
    /// Manifests without bytes. Several passes tell of each several times.
    dangling: Mutex<BTreeSet<(RepositoryName, Digest)>>,
}

impl Heard {
    pub(super) fn dangling(&self) -> Vec<(RepositoryName, Digest)> {
        locked(&self.dangling).iter().cloned().collect()
    }
}

impl Observer for Heard {
    fn dangling(&self, repository: &RepositoryName, digest: &Digest) {
        let mut dangling = locked(&self.dangling);
        if dangling.len() < NAMED {
            dangling.insert((repository.clone(), digest.clone()));
        }
    }
}

/// What became of manifests without a tag.
#[derive(Default)]
pub(super) struct Kept {
    /// `None` if nobody asked.
    pub(super) report: Option<retention::Report>,
    planned: Mutex<HashMap<RepositoryName, HashSet<Digest>>>,
    failed: Mutex<Vec<(RepositoryName, String)>>,
}

impl Kept {
    /// Those that are removed, or would be.
    pub(super) fn planned(&self) -> HashMap<RepositoryName, HashSet<Digest>> {
        locked(&self.planned).clone()
    }

    /// Repositories of which nothing more was removed, and why.
    pub(super) fn failed(&self) -> Vec<(RepositoryName, String)> {
        locked(&self.failed).clone()
    }
}

impl retention::Observer for Kept {
    fn planned(&self, plan: &retention::Plan) {
        let digests = plan.manifests.iter().map(|one| one.digest.clone());
        locked(&self.planned).insert(plan.repository.clone(), digests.collect());
    }

    fn failed(&self, repository: &RepositoryName, why: &retention::Failure) {
        locked(&self.failed).push((repository.clone(), why.to_string()));
    }
}

/// Shows how far a collection is.
pub(super) struct Collecting(pub(super) Arc<Meter>);

impl Progress for Collecting {
    /// How many repositories there are, nobody knows.
    fn place(&self) -> Option<f64> {
        Some(self.0.place()).filter(|place| *place > 0.0)
    }

    fn message(&self, _elapsed: Duration) -> String {
        let counts = self.0.counts();
        match self.place() {
            None => format!(
                "what is needed: {} repositories, {} manifests read",
                counts.repositories, counts.manifests
            ),
            Some(_) => format!(
                "{} removed, {} freed",
                counts.removed,
                readable(counts.removed_bytes)
            ),
        }
    }
}

/// How a collection ended.
pub(super) struct Ending {
    pub(super) dry_run: bool,
    pub(super) grace: Duration,
    pub(super) took: Duration,
    pub(super) untagged: Kept,
    pub(super) dangling: Vec<(RepositoryName, Digest)>,
    pub(super) counts: Counts,
    pub(super) outcome: Result<Report, Failure>,
}

impl Ending {
    /// For people: what went, what waits, what is wrong.
    pub(super) fn as_text(&self) -> String {
        let mut lines = Vec::new();
        let would_be = if self.dry_run { "would be " } else { "" };
        if let Some(untagged) = &self.untagged.report {
            lines.push(format!(
                "manifests without a tag {would_be}removed: {}",
                untagged.removed.manifests
            ));
        }
        let Ok(report) = &self.outcome else {
            if self.counts.removed > 0 {
                lines.push(self.freed(self.counts.removed, self.counts.removed_bytes));
            }
            return lines.join("\n");
        };
        let (count, bytes) = if self.dry_run {
            (report.eligible, report.eligible_bytes)
        } else {
            (report.removed, report.removed_bytes)
        };
        lines.push(self.freed(count, bytes));
        if report.young > 0 {
            lines.push(format!(
                "not needed, but younger than {}: {}, {}",
                age(self.grace),
                things(report.young),
                readable(report.young_bytes)
            ));
        }
        lines.push(format!(
            "needed: {} by {} manifests in {} repositories",
            things(report.needed),
            report.manifests,
            report.repositories
        ));
        if report.links > 0 {
            lines.push(format!("links to layers removed: {}", report.links));
        }
        if !self.dry_run && report.eligible > report.removed {
            lines.push(format!(
                "left, since somebody needs them again: {}",
                things(report.eligible - report.removed)
            ));
        }
        if report.unsealed > 0 {
            lines.push(format!(
                "{} removals were not answered by the storage: what is pushed of them gets another name for a while",
                report.unsealed
            ));
        }
        if !self.dangling.is_empty() {
            lines.push(self.all_dangling());
        }
        lines.join("\n")
    }

    fn freed(&self, count: u64, bytes: u64) -> String {
        let would_be = if self.dry_run { "would be " } else { "" };
        format!("{would_be}removed: {}, {}", things(count), readable(bytes))
    }

    fn all_dangling(&self) -> String {
        let mut text = "manifests whose bytes are gone (push them again or delete them; `wharf check` says more):".to_owned();
        for (repository, digest) in self.dangling.iter().take(SHOWN) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {repository}@{digest}");
        }
        let more = self.dangling.len().saturating_sub(SHOWN);
        if more > 0 {
            let _ = write!(text, "\n  … and {more} more");
        }
        text
    }

    /// For programs; docs/garbage-collection.md names the members.
    pub(super) fn as_json(&self) -> Value {
        let named = |repository: &RepositoryName, digest: &Digest| json!({"repository": repository.as_str(), "digest": digest.to_string()});
        let dangling: Vec<Value> = self
            .dangling
            .iter()
            .map(|(repository, digest)| named(repository, digest))
            .collect();
        let unreadable = match &self.outcome {
            Err(Failure::Unreadable {
                repository, digest, ..
            }) => named(repository, digest),
            _ => Value::Null,
        };
        let error = self.outcome.as_ref().err().map(ToString::to_string);
        let report = match &self.outcome {
            Ok(report) => report.clone(),
            // What was removed before it ended.
            Err(_) => Report {
                removed: self.counts.removed,
                removed_bytes: self.counts.removed_bytes,
                ..Report::default()
            },
        };
        let counted = |count: u64, bytes: u64| json!({"count": count, "bytes": bytes});
        json!({
            "version": 1,
            "complete": self.outcome.is_ok(),
            "dryRun": self.dry_run,
            "grace": self.grace.as_secs(),
            "seconds": (self.took.as_secs_f64() * 1000.0).round() / 1000.0,
            "repositories": report.repositories,
            "manifests": report.manifests,
            "needed": report.needed,
            "eligible": counted(report.eligible, report.eligible_bytes),
            "removed": counted(report.removed, report.removed_bytes),
            "young": counted(report.young, report.young_bytes),
            "links": report.links,
            "unanswered": report.unsealed,
            "untagged": self.untagged_json(),
            "dangling": dangling,
            "error": error,
            "unreadable": unreadable,
        })
    }

    fn untagged_json(&self) -> Value {
        let Some(report) = &self.untagged.report else {
            return Value::Null;
        };
        let failed: Vec<Value> = self
            .untagged
            .failed()
            .into_iter()
            .map(|(repository, why)| json!({"repository": repository.as_str(), "error": why}))
            .collect();
        json!({
            "manifests": report.removed.manifests,
            "spared": report.removed.spared,
            "failed": failed,
        })
    }
}

fn things(count: u64) -> String {
    match count {
        1 => "1 blob or manifest".to_owned(),
        count => format!("{count} blobs and manifests"),
    }
}

/// As it is written in a configuration.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match (seconds % 60, seconds % 3600) {
        (0, 0) if seconds > 0 => format!("{}h", seconds / 3600),
        (0, 1..) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(outcome: Result<Report, Failure>) -> Ending {
        Ending {
            dry_run: false,
            grace: Duration::from_secs(24 * 3600),
            took: Duration::from_millis(1234),
            untagged: Kept::default(),
            dangling: Vec::new(),
            counts: Counts::default(),
            outcome,
        }
    }

    #[test]
    fn what_waits_and_what_dangles_is_told() {
        let mut ending = ending(Ok(Report {
            repositories: 2,
            manifests: 3,
            needed: 7,
            eligible: 1,
            removed: 1,
            removed_bytes: 3 << 20,
            young: 2,
            young_bytes: 100,
            ..Report::default()
        }));
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        for n in 0..25 {
            let name = format!("team/app{n:02}").parse().unwrap();
            ending.dangling.push((name, digest.clone()));
        }
        let text = ending.as_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "removed: 1 blob or manifest, 3.0 MiB");
        assert_eq!(
            lines[1],
            "not needed, but younger than 24h: 2 blobs and manifests, 100 bytes"
        );
        assert_eq!(
            lines[2],
            "needed: 7 blobs and manifests by 3 manifests in 2 repositories"
        );
        assert_eq!(lines[4], format!("  team/app00@{digest}"));
        assert_eq!(*lines.last().unwrap(), "  … and 5 more");
        assert_eq!(ending.as_json()["dangling"].as_array().unwrap().len(), 25);
    }

    #[test]
    fn ages_are_written_as_they_are_read() {
        for (seconds, text) in [
            (0, "0s"),
            (90, "90s"),
            (120, "2m"),
            (5400, "90m"),
            (86_400, "24h"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_collection_that_fails_says_what_it_had_removed() {
        let mut ending = ending(Err(Failure::Stopped));
        assert_eq!(ending.as_text(), "");
        ending.counts.removed = 2;
        assert!(ending.as_text().starts_with("removed: 2 "));
        let json = ending.as_json();
        assert_eq!(json["complete"], false);
        assert_eq!(json["removed"]["count"], 2);
        assert_eq!(json["error"], "stopped");
    }
}
