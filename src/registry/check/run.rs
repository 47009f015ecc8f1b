//! One run of a check: what looked wrong is looked at again, then told, mended
//! and remembered.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;

use super::finding::{Finding, Kind, Place};
use super::{Checker, Checkpoint, Failure, Record, Report};
use crate::oci::Digest;
use crate::registry::Error;
use crate::storage::{Prefix, StorageError};

/// The most findings that are kept; all are told and counted.
const KEPT: usize = 100_000;

/// The most notes that are kept.
const KEPT_NOTES: usize = 10_000;

/// The most suspects that wait for their second look.
const WAITING: usize = 1000;

/// Between two checkpoints.
const BETWEEN: Duration = Duration::from_secs(3);

/// Why a run ends before its end.
pub(super) enum Stop {
    /// It was asked to.
    Asked,
    /// The store failed.
    Failed(Error),
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A run and what it knows.
pub(super) struct Run<'a> {
    pub(super) checker: &'a Checker,
    /// How far it is, in truth.
    pub(super) reached: Checkpoint,
    /// The same, when nothing waited for a second look.
    safe: (Option<Digest>, Option<String>),
    /// What looked wrong, and when.
    suspects: VecDeque<(Instant, Finding)>,
    /// What was told, by a run before this one too.
    told: HashSet<(Kind, Place)>,
    saved: Instant,
}

/// Runs a check from a checkpoint on.
pub(super) async fn run(checker: &Checker, from: Checkpoint) -> Result<Report, Failure> {
    checker.inner.meter.restore(&from.counts);
    let before = from.findings.iter().chain(&from.notes);
    let mut run = Run {
        checker,
        told: before
            .filter_map(Record::finding)
            .map(|finding| (finding.kind, finding.place))
            .collect(),
        safe: (from.blob.clone(), from.repository.clone()),
        reached: from,
        suspects: VecDeque::new(),
        saved: Instant::now(),
    };
    let ended = run.everything().await;
    let complete = ended.is_ok();
    if !complete {
        (run.reached.blob, run.reached.repository) = run.safe.clone();
    }
    run.reached.counts = checker.inner.meter.counts();
    let reached = run.reached;
    match ended {
        Err(Stop::Failed(error)) => Err(Failure {
            error,
            reached: Box::new(reached),
        }),
        _ => Ok(Report { complete, reached }),
    }
}

impl Run<'_> {
    async fn everything(&mut self) -> Result<(), Stop> {
        if self.checker.options().repair {
            self.put_back().await?;
        }
        self.blobs().await?;
        self.repositories().await?;
        self.strange().await?;
        self.set_aside_before().await?;
        if self.checker.options().repair {
            self.heal().await?;
            self.what_remains().await?;
        }
        Ok(())
    }

    /// Waits for `work`, or until the check is asked to stop.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.checker.options().stop.cancelled() => Err(Stop::Asked),
            done = work => Ok(done),
        }
    }

    /// Takes what looks wrong for a second look.
    pub(super) fn suspect(&mut self, findings: impl IntoIterator<Item = Finding>) {
        let now = Instant::now();
        self.suspects
            .extend(findings.into_iter().map(|finding| (now, finding)));
    }

    /// The blobs up to this one were read.
    pub(super) fn passed_blob(&mut self, digest: Digest) {
        self.reached.blob = Some(digest);
        self.passed();
    }

    /// The repositories up to this one were looked at.
    pub(super) fn passed_repository(&mut self, name: String) {
        self.reached.repository = Some(name);
        self.passed();
    }

    fn passed(&mut self) {
        if self.suspects.is_empty() {
            self.safe = (self.reached.blob.clone(), self.reached.repository.clone());
            if self.saved.elapsed() >= BETWEEN {
                self.save();
            }
        }
    }

    /// Tells how far the check is.
    pub(super) fn save(&mut self) {
        self.saved = Instant::now();
        self.safe = (self.reached.blob.clone(), self.reached.repository.clone());
        self.reached.counts = self.checker.inner.meter.counts();
        self.checker.inner.observer.reached(&self.reached);
    }

    /// Looks again at what has waited long enough; with `all` waits until
    /// everything has.
    pub(super) async fn settle(&mut self, all: bool) -> Result<(), Stop> {
        let settle = self.checker.options().settle;
        let oldest = self.suspects.front().map(|(seen, _)| seen.elapsed());
        let all = all
            || self.suspects.len() >= WAITING
            || oldest.is_some_and(|oldest| oldest > 5 * settle);
        if all && let Some((newest, _)) = self.suspects.back() {
            self.unless_stopped(tokio::time::sleep_until(*newest + settle))
                .await?;
        }
        let ripe = self
            .suspects
            .iter()
            .take_while(|(seen, _)| seen.elapsed() >= settle)
            .count();
        let ripe: Vec<Finding> = self.suspects.drain(..ripe).map(|(_, one)| one).collect();
        self.second_look(ripe).await
    }

    async fn second_look(&mut self, suspects: Vec<Finding>) -> Result<(), Stop> {
        // All that is wrong with one place came at once.
        let mut places: Vec<(Place, Vec<Kind>)> = Vec::new();
        for finding in suspects {
            // A listing that failed was asked for twice already.
            if matches!(finding.place, Place::File(_)) {
                self.report(finding).await?;
                continue;
            }
            let Finding { kind, place, .. } = finding;
            match places.last_mut() {
                Some((last, kinds)) if *last == place => kinds.push(kind),
                _ => places.push((place, vec![kind])),
            }
        }
        let checker = self.checker.clone();
        let mut looks = stream::iter(places)
            .map(|(place, kinds)| {
                let checker = checker.clone();
                async move {
                    checker.no_delete_runs(&place).await;
                    let again = checker.inspect(&place, None).await;
                    (again, kinds)
                }
            })
            .buffered(checker.jobs());
        while let Some((again, kinds)) = self.unless_stopped(looks.next()).await? {
            for finding in again {
                if kinds.contains(&finding.kind) {
                    self.report(finding).await?;
                }
            }
        }
        Ok(())
    }

    /// Tells of a finding, and mends it if that was asked for.
    pub(super) async fn report(&mut self, finding: Finding) -> Result<(), Stop> {
        let checker = self.checker;
        if finding.kind == Kind::Unreadable {
            // Is it this one thing, or the whole store?
            checker.store().probe().await?;
        }
        if !self.told.insert((finding.kind, finding.place.clone())) {
            return Ok(());
        }
        let damage = finding.kind.is_damage();
        checker.inner.meter.found(damage);
        checker.inner.observer.found(&finding);
        let (kept, most) = if damage {
            (&mut self.reached.findings, KEPT)
        } else {
            (&mut self.reached.notes, KEPT_NOTES)
        };
        if kept.len() < most {
            kept.push(Record::from(&finding));
        }
        if checker.options().repair {
            self.mend(&finding).await?;
        }
        Ok(())
    }

    /// A directory can't be listed; everything else goes on.
    pub(super) async fn unlisted(
        &mut self,
        prefix: &Prefix,
        error: &StorageError,
    ) -> Result<(), Stop> {
        let place = Place::File(prefix.as_str().to_owned());
        self.report(super::inspect::unreadable(&place, error)).await
    }

    /// Something was done.
    pub(super) fn did(&mut self, deed: String) {
        self.checker.inner.observer.mended(&deed);
        self.reached.mended.push(deed);
    }

    /// After a repair: which findings are still true.
    async fn what_remains(&mut self) -> Result<(), Stop> {
        let checker = self.checker.clone();
        let findings = std::mem::take(&mut self.reached.findings);
        let mut looks = stream::iter(findings)
            .map(|record| {
                let checker = checker.clone();
                async move {
                    let Some(finding) = record.finding() else {
                        return Some(record);
                    };
                    // What can't be looked at again stays.
                    if matches!(finding.place, Place::File(_)) {
                        return Some(record);
                    }
                    let again = checker.inspect(&finding.place, None).await;
                    let still = again.iter().find(|one| one.kind == finding.kind);
                    still.map(Record::from)
                }
            })
            .buffered(checker.jobs());
        let mut remaining = Vec::new();
        while let Some(look) = self.unless_stopped(looks.next()).await? {
            remaining.extend(look);
        }
        drop(looks);
        self.reached.findings = remaining;
        Ok(())
    }
}
