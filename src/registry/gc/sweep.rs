//! C4 and what follows: lists the cells that nothing needs, and removes their
//! names in runs.

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::collection::{Collector, Failure, Report};
use super::mark::{Mark, Part, Place};
use super::passes::Course;
use super::reached::cell;
use super::records::PAGE;
use super::run::{Candidate, NAMES};
use crate::oci::{Algorithm, Digest};
use crate::storage::{Key, Meta, Pages, layout};

/// Blobs of one shard that one look names.
const SHARD_PAGE: usize = 20_000;

impl Collector {
    /// C4 to R8 of one part of the digests, or what is left of it.
    pub(super) async fn sweep(&self, mark: &Mark, course: &mut Course) -> Result<(), Failure> {
        let Place::Sweeping(first) = mark.place else {
            return Ok(());
        };
        if !self.options().dry_run {
            // What readers no longer saw must be gone for good before its bytes are.
            self.registry().store().settle().await?;
        }
        let mut candidates = Vec::new();
        for number in first..=mark.part.last.into() {
            if self.is_due(&course.saving) {
                self.remove_full(mark, &mut candidates, 1, &mut course.report)
                    .await?;
                self.save(course, mark, Place::Sweeping(number)).await;
            }
            let report = &mut course.report;
            let shard = format!("{number:02x}");
            let prefix = layout::blob_shard(Algorithm::Sha256, &shard);
            let mut pages = Pages::of(prefix, SHARD_PAGE);
            while let Some(page) = pages.next(self.registry().store()).await? {
                self.check_stopped()?;
                let digests = page.iter().filter_map(|child| {
                    let digest = format!("sha256:{}", child.name).parse::<Digest>().ok()?;
                    (!mark.found().reached.has(&cell(&digest))).then_some(digest)
                });
                let unneeded: Vec<Digest> = digests.collect();
                for digests in unneeded.chunks(NAMES) {
                    let found = self.paced(self.names_of(mark, digests, report)).await?;
                    candidates.extend(found);
                    self.remove_full(mark, &mut candidates, NAMES, report)
                        .await?;
                }
            }
            self.counts().shard();
        }
        let report = &mut course.report;
        self.pieces(mark, mark.part, &mut candidates, report)
            .await?;
        self.remove_full(mark, &mut candidates, 1, report).await
    }

    /// The names of unneeded cells that are old enough.
    async fn names_of(
        &self,
        mark: &Mark,
        digests: &[Digest],
        report: &mut Report,
    ) -> Result<Vec<Candidate>, Failure> {
        let looks = stream::iter(digests.to_vec()).map(|digest| self.named(digest).boxed());
        let found: Vec<Vec<_>> = looks.buffered(self.jobs()).try_collect().await?;
        let mut candidates = Vec::new();
        for (digest, key, meta) in found.into_iter().flatten() {
            candidates.extend(self.old_enough(mark, digest, key, &meta, report));
        }
        Ok(candidates)
    }

    /// The names that a digest has.
    async fn named(&self, digest: Digest) -> Result<Vec<(Digest, Key, Meta)>, Failure> {
        let store = self.registry().store();
        let prefix = layout::blob_names(&digest);
        let names = store.children(&prefix, None, PAGE).await?;
        let mut found = Vec::new();
        for key in names
            .iter()
            .filter_map(|child| layout::blob_named(&digest, &child.name))
        {
            if let Some(meta) = store.head(&key).await? {
                found.push((digest.clone(), key, meta));
            }
        }
        if names.is_empty() && !self.options().dry_run {
            store.tidy(&prefix).await?;
        }
        Ok(found)
    }

    /// A name that may go, unless it is young.
    fn old_enough(
        &self,
        mark: &Mark,
        digest: Digest,
        key: Key,
        meta: &Meta,
        report: &mut Report,
    ) -> Option<Candidate> {
        if mark.is_young(meta.modified, self.options().grace) {
            report.young += 1;
            report.young_bytes += meta.size;
            return None;
        }
        report.eligible += 1;
        report.eligible_bytes += meta.size;
        self.observer().eligible(&digest, meta.size);
        Some(Candidate {
            digest,
            key,
            size: meta.size,
            version: meta.version,
        })
    }

    /// Content in an object store that is not put together yet.
    async fn pieces(
        &self,
        mark: &Mark,
        part: Part,
        candidates: &mut Vec<Candidate>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        for child in self.registry().all_names(&layout::pieces()).await? {
            let Some((digest, key)) = layout::piece_of(&child.name) else {
                continue;
            };
            let (cell, store) = (cell(&digest), self.registry().store());
            let known = candidates.iter().any(|one| one.key == key);
            if known || !part.has(&cell) || mark.found().reached.has(&cell) {
                continue;
            }
            let Some(meta) = store.head(&key).await? else {
                continue;
            };
            candidates.extend(self.old_enough(mark, digest, key, &meta, report));
        }
        Ok(())
    }

    /// Removes candidates in runs, as long as there are `least`.
    async fn remove_full(
        &self,
        mark: &Mark,
        candidates: &mut Vec<Candidate>,
        least: usize,
        report: &mut Report,
    ) -> Result<(), Failure> {
        while candidates.len() >= least && !candidates.is_empty() {
            let some = candidates.drain(..candidates.len().min(NAMES));
            let some: Vec<Candidate> = some.collect();
            if self.options().dry_run {
                continue;
            }
            let ended = self.paced(self.run_over(mark, &some)).await?;
            report.unsealed += u64::from(ended.unsealed);
            for gone in ended.removed {
                report.removed += 1;
                report.removed_bytes += gone.size;
                let names = layout::blob_names(&gone.digest);
                self.registry().store().tidy(&names).await?;
            }
        }
        Ok(())
    }
}
