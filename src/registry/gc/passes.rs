//! The passes of a collection, each over a part of the digests with a mark of
//! its own, and what is tidied and measured once all have ended.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::checkpoint::Saving;
use super::collection::{Collector, Failure, Report};
use super::mark::{Mark, Part};
use crate::oci::{Algorithm, RepositoryName};
use crate::registry::usage::{Measured, Totals};
use crate::storage::layout;

/// How far a collection is.
pub(super) struct Course {
    pub(super) began: SystemTime,
    /// Passes in all, and which is at it.
    pub(super) parts: usize,
    pub(super) pass: usize,
    pub(super) report: Report,
    /// What the passes before this one have measured.
    pub(super) measured: BTreeMap<String, Measured>,
    pub(super) saving: Saving,
}

impl Course {
    pub(super) fn new(parts: usize, began: SystemTime) -> Self {
        Self {
            began,
            parts,
            pass: 0,
            report: Report::default(),
            measured: BTreeMap::new(),
            saving: Saving::default(),
        }
    }

    /// The digests that a pass looks at.
    fn part(&self) -> Part {
        let width = 256 / self.parts.clamp(1, 256);
        let first = u8::try_from(self.pass * width).unwrap_or(u8::MAX);
        let last = u8::try_from((self.pass + 1) * width - 1).unwrap_or(u8::MAX);
        Part { first, last }
    }

    fn measure(&mut self, one: Measured) {
        match self.measured.get_mut(one.name.as_str()) {
            None => {
                self.measured.insert(one.name.to_string(), one);
            }
            Some(before) => {
                before.unique += one.unique;
                before.shared += one.shared;
                (before.manifests, before.tags) = (one.manifests, one.tags);
            }
        }
    }
}

impl Collector {
    /// All passes, or those that are left; what they have measured is told once
    /// all have ended.
    pub(super) async fn passes(&self, resumed: Option<(Course, Mark)>) -> Result<Report, Failure> {
        let (mut course, mut mark) = match resumed {
            Some((course, mark)) => (course, Some(mark)),
            None => (Course::new(self.parts().await?, SystemTime::now()), None),
        };
        course.report.passes = course.parts as u64;
        let mut untidy = Vec::new();
        while course.pass < course.parts {
            untidy = self.pass(&mut course, mark.take()).await?;
            course.pass += 1;
        }
        self.finish(course, untidy).await
    }

    /// One pass; returns the repositories that are to be tidied.
    async fn pass(
        &self,
        course: &mut Course,
        resumed: Option<Mark>,
    ) -> Result<Vec<RepositoryName>, Failure> {
        let mut mark = match resumed {
            Some(mark) => mark,
            None => {
                course.saving = Saving::default();
                self.mark(course.part()).await?
            }
        };
        mark.part = course.part();
        let mut outcome = self.read_roots(course, &mut mark).await;
        if outcome.is_ok() {
            outcome = self.sweep(&mark, course).await;
        }
        let stays = matches!(outcome, Err(Failure::Stopped)) && course.saving.is_saved;
        if !stays {
            if self.options().checkpoints.is_some() {
                // Before the mark: a checkpoint never outlives it.
                if let Err(error) = self.forget().await {
                    tracing::warn!(%error, "the checkpoint of a collection is left; without its mark it counts no more");
                }
            }
            self.unmark(&mark.name).await;
        }
        outcome?;
        let mut found = mark.found();
        let report = &mut course.report;
        report.repositories = found.holding;
        report.manifests = found.repositories.iter().map(|one| one.manifests).sum();
        report.needed += found.reached.len() as u64;
        for one in std::mem::take(&mut found.repositories) {
            course.measure(one);
        }
        Ok(std::mem::take(&mut found.untidy))
    }

    async fn finish(&self, course: Course, untidy: Vec<RepositoryName>) -> Result<Report, Failure> {
        let mut report = course.report;
        // Each pass has met all of them.
        report.dangling = self.counts().all_dangling() / report.passes.max(1);
        if self.options().dry_run {
            return Ok(report);
        }
        for name in untidy {
            report.links += self.paced(self.tidy(&name)).await?;
        }
        let mut totals = Totals::new(course.began);
        totals.waiting = report.young_bytes;
        totals.used = self.counts().needed_bytes();
        let held = course.measured.into_values();
        let held = held.filter(|one| one.manifests > 0).collect();
        self.registry().usage_measured(totals, held).await?;
        Ok(report)
    }

    /// In how many parts the digests are looked at, so that what is reached fits
    /// into memory: digests are spread evenly, so that some shards tell of all.
    async fn parts(&self) -> Result<usize, Failure> {
        const LOOKED_AT: [&str; 4] = ["13", "5b", "a4", "ec"];
        let mut cells = 0;
        for shard in LOOKED_AT {
            let prefix = layout::blob_shard(Algorithm::Sha256, shard);
            let most = self.options().most_cells / 16;
            let store = self.registry().store();
            cells += store.children(&prefix, None, most.max(16)).await?.len() * 64;
        }
        // Half as much again, for what is pushed meanwhile.
        let wanted = (cells + cells / 2).div_ceil(self.options().most_cells.max(1));
        Ok(wanted.clamp(1, 256).next_power_of_two().min(256))
    }
}
