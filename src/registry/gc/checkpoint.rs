//! Checkpoints: how far a collection is, from time to time, so that a later
//! process goes on with its mark instead of reading everything again.
//!
//! What was found is true of one mark only, and only as long as that mark's
//! record has stood all the time: pushes leave their copies beside it. So a
//! checkpoint counts if the very same record is there, if nothing that was
//! posted can have got lost since ([`crate::storage::Store::era`]), and if the
//! same version of the program with the same grace goes on. R4 looks again
//! before anything is removed.
//!
//! The pieces are written first, under new names; then the checkpoint that
//! names them with their digests replaces the one before.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::collection::{Collector, Failure, Report};
use super::mark::{Found, Mark, Place};
use super::meter::Tally;
use super::passes::Course;
use super::reached::{CELLS_PIECE, Reached};
use super::records::written;
use crate::oci::{Algorithm, Digest, RepositoryName, UploadId};
use crate::registry::usage::Measured;
use crate::registry::{Error, Registry};
use crate::storage::{Hold, Version, layout};

/// To be raised when a repository is read in another way.
const FORMAT: u32 = 1;

/// So many times as long as saving takes is between two of them.
const SHARE: u32 = 20;

/// One that is older counts no more: what pushes left beside it has grown.
const OLD: Duration = Duration::from_secs(7 * 24 * 3600);

/// Repositories in one piece.
const NAMES_PIECE: usize = 5_000;

/// When the next checkpoint is due, and what the last one names.
#[derive(Default)]
pub(super) struct Saving {
    last: Option<Instant>,
    took: Duration,
    /// Of the last one.
    pieces: Vec<Piece>,
    /// Whether these pieces tell of everything that was read.
    all: bool,
    /// Whether the mark has a checkpoint, of this process or the one before.
    pub(super) is_saved: bool,
}

impl Saving {
    /// From now on time counts.
    pub(super) fn begin(&mut self) {
        self.last = Some(Instant::now());
    }
}

/// A checkpoint.
#[derive(Serialize, Deserialize)]
pub(super) struct Checkpoint {
    format: u32,
    version: String,
    era: Option<String>,
    grace: Duration,
    /// The mark's name, when it was registered, and its very record.
    pub(super) mark: String,
    registered: SystemTime,
    record: Version,
    place: Place,
    parts: usize,
    pass: usize,
    began: SystemTime,
    report: Report,
    holding: u64,
    tally: Tally,
    pieces: Vec<Piece>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Piece {
    kind: Kind,
    name: String,
    digest: Digest,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Cells,
    Repositories,
    Measured,
    Untidy,
}

impl Collector {
    /// When a checkpoint is due; never, if none is to be made.
    pub(super) fn due(&self, saving: &Saving) -> Option<Instant> {
        let pause = self.options().checkpoints?.max(saving.took * SHARE);
        let last = saving.last.unwrap_or_else(Instant::now);
        (!self.options().dry_run).then(|| last + pause)
    }

    pub(super) fn is_due(&self, saving: &Saving) -> bool {
        self.due(saving).is_some_and(|due| due <= Instant::now())
    }

    /// Saves how far the collection is. Without it, a later one begins anew or
    /// goes on where it was saved before.
    pub(super) async fn save(&self, course: &mut Course, mark: &Mark, place: Place) {
        let (Some(record), Some(era)) = (mark.record, self.registry().store().era()) else {
            return;
        };
        let begun = Instant::now();
        if let Err(error) = self.try_save(course, mark, record, era, place).await {
            tracing::warn!(%error, "how far the collection of garbage is could not be saved");
        } else {
            course.saving.is_saved = true;
        }
        course.saving.took = begun.elapsed();
        course.saving.last = Some(Instant::now());
    }

    async fn try_save(
        &self,
        course: &mut Course,
        mark: &Mark,
        record: Version,
        era: String,
        place: Place,
    ) -> Result<(), Failure> {
        let swept = matches!(place, Place::Sweeping(_));
        if !(swept && course.saving.all) {
            course.saving.pieces = self.save_found(course, mark).await?;
            course.saving.all = swept;
        }
        let checkpoint = Checkpoint {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            era: Some(era),
            grace: self.options().grace,
            mark: mark.name.clone(),
            registered: mark.now,
            record,
            place,
            parts: course.parts,
            pass: course.pass,
            began: course.began,
            report: course.report.clone(),
            holding: mark.found().holding,
            tally: self.counts().tally(),
            pieces: course.saving.pieces.clone(),
        };
        let store = self.registry().store();
        let content = written(&checkpoint)?;
        store.post(&layout::checkpoint(), content).await?;
        self.clear_pieces(&checkpoint.pieces).await
    }

    async fn save_found(&self, course: &Course, mark: &Mark) -> Result<Vec<Piece>, Failure> {
        let mut pieces = Vec::new();
        let parts = mark
            .found()
            .reached
            .len()
            .div_ceil(CELLS_PIECE)
            .clamp(1, 256);
        for part in 0..parts {
            let content = mark.found().reached.piece(part, parts);
            pieces.push(self.save_piece(Kind::Cells, content.into()).await?);
        }
        let repositories: Vec<Measured> = mark.found().repositories.clone();
        let measured: Vec<Measured> = course.measured.values().cloned().collect();
        let both = [
            (Kind::Repositories, repositories),
            (Kind::Measured, measured),
        ];
        for (kind, list) in both {
            for some in list.chunks(NAMES_PIECE) {
                let rows: Vec<Row> = some.iter().map(Row::from).collect();
                pieces.push(self.save_piece(kind, written(&rows)?).await?);
            }
        }
        let untidy: Vec<RepositoryName> = mark.found().untidy.clone();
        for some in untidy.chunks(NAMES_PIECE) {
            pieces.push(self.save_piece(Kind::Untidy, written(&some)?).await?);
        }
        Ok(pieces)
    }

    async fn save_piece(&self, kind: Kind, content: Bytes) -> Result<Piece, Failure> {
        let piece = Piece {
            kind,
            name: UploadId::random().to_string(),
            digest: Algorithm::Sha256.digest(&content),
        };
        let key = layout::checkpoint_piece(&piece.name);
        self.registry().store().post(&key, content).await?;
        Ok(piece)
    }

    /// Removes the pieces that no checkpoint names.
    async fn clear_pieces(&self, named: &[Piece]) -> Result<(), Failure> {
        let registry = self.registry();
        for child in registry.all_names(&layout::checkpoint_pieces()).await? {
            if !named.iter().any(|piece| piece.name == child.name) {
                let key = layout::checkpoint_piece(&child.name);
                registry.store().withdraw(&key).await?;
            }
        }
        Ok(())
    }

    /// The checkpoint, if it counts; one that doesn't is taken away with its
    /// mark.
    pub(super) async fn checkpoint(&self, now: SystemTime) -> Result<Option<Checkpoint>, Failure> {
        let store = self.registry().store();
        let key = layout::checkpoint();
        let Some(meta) = store.head(&key).await? else {
            return Ok(None);
        };
        let content = store.get(&key).await?.unwrap_or_default();
        let Ok(checkpoint) = serde_json::from_slice::<Checkpoint>(&content) else {
            self.forget().await?;
            return Ok(None);
        };
        let age = now.duration_since(meta.modified).unwrap_or_default();
        let record = store.head(&layout::run(&checkpoint.mark)).await?;
        let counts = self.options().checkpoints.is_some()
            && age < OLD
            && checkpoint.format == FORMAT
            && checkpoint.version == env!("CARGO_PKG_VERSION")
            && checkpoint.era.is_some()
            && checkpoint.era == store.era()
            && checkpoint.grace == self.options().grace
            && record.is_some_and(|record| record.version == checkpoint.record);
        if !counts {
            self.forget().await?;
            self.unmark(&checkpoint.mark).await;
            return Ok(None);
        }
        Ok(Some(checkpoint))
    }

    /// What a checkpoint tells; nothing if a piece isn't what it was.
    pub(super) async fn resumed(
        &self,
        checkpoint: Checkpoint,
    ) -> Result<Option<(Course, Mark)>, Failure> {
        let mut found = Found {
            holding: checkpoint.holding,
            ..Found::default()
        };
        let mut measured = Vec::new();
        for piece in &checkpoint.pieces {
            let key = layout::checkpoint_piece(&piece.name);
            let content = self.registry().store().get(&key).await?;
            let content = content.unwrap_or_default();
            let read = Algorithm::Sha256.digest(&content) == piece.digest
                && match piece.kind {
                    Kind::Cells => found.reached.add_piece(&content),
                    Kind::Repositories => rows(&content, &mut found.repositories),
                    Kind::Measured => rows(&content, &mut measured),
                    Kind::Untidy => list(&content, &mut found.untidy),
                };
            if !read {
                self.forget().await?;
                self.unmark(&checkpoint.mark).await;
                return Ok(None);
            }
        }
        tracing::info!(
            repositories = found.repositories.len(),
            needed = found.reached.len(),
            "garbage collection goes on with the mark of an earlier one"
        );
        self.counts().resume(checkpoint.tally);
        let mut course = Course::new(checkpoint.parts, checkpoint.began);
        course.pass = checkpoint.pass;
        course.report = checkpoint.report;
        course.report.resumed += 1;
        let named = measured.into_iter().map(|one| (one.name.to_string(), one));
        course.measured = named.collect();
        course.saving = Saving {
            is_saved: true,
            all: matches!(checkpoint.place, Place::Sweeping(_)),
            pieces: checkpoint.pieces,
            ..Saving::default()
        };
        let mark = Mark::resumed(
            checkpoint.mark,
            checkpoint.registered,
            checkpoint.record,
            checkpoint.place,
            found,
        );
        Ok(Some((course, mark)))
    }

    /// Takes away what a collection that was stopped has left for another, if
    /// nobody collects: for whoever will not go on with it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn give_up(&self) -> Result<(), Failure> {
        let registry = self.registry();
        if !registry.has_checkpoint().await? {
            return Ok(());
        }
        let hold = registry.store().hold(&layout::collector()).await?;
        let busy = match &hold {
            Hold::Held(_) => false,
            Hold::Taken => true,
            Hold::Unknown => self.is_another_at_it(&registry.collections().await?),
        };
        if busy {
            return Ok(());
        }
        let content = registry.store().get(&layout::checkpoint()).await?;
        let checkpoint = serde_json::from_slice::<Checkpoint>(&content.unwrap_or_default());
        self.forget().await?;
        if let Ok(checkpoint) = checkpoint {
            self.unmark(&checkpoint.mark).await;
        }
        Ok(())
    }

    /// Takes the checkpoint away.
    pub(super) async fn forget(&self) -> Result<(), Failure> {
        let store = self.registry().store();
        store.withdraw(&layout::checkpoint()).await?;
        self.clear_pieces(&[]).await
    }
}

impl Registry {
    /// Whether a collection was stopped that another may go on with.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn has_checkpoint(&self) -> Result<bool, Error> {
        Ok(self.store().head(&layout::checkpoint()).await?.is_some())
    }
}

/// A repository in a piece.
#[derive(Serialize, Deserialize)]
struct Row(RepositoryName, u64, u64, u64, u64);

impl From<&Measured> for Row {
    fn from(one: &Measured) -> Self {
        Self(
            one.name.clone(),
            one.manifests,
            one.tags,
            one.unique,
            one.shared,
        )
    }
}

fn rows(content: &[u8], into: &mut Vec<Measured>) -> bool {
    let mut rows = Vec::<Row>::new();
    let read = list(content, &mut rows);
    into.extend(
        rows.into_iter()
            .map(|Row(name, manifests, tags, unique, shared)| Measured {
                name,
                manifests,
                tags,
                unique,
                shared,
            }),
    );
    read
}

fn list<T: DeserializeOwned>(content: &[u8], into: &mut Vec<T>) -> bool {
    let Ok(some) = serde_json::from_slice::<Vec<T>>(content) else {
        return false;
    };
    into.extend(some);
    true
}

impl Reached {
    /// The cells of one of `parts` parts, 20 bytes each.
    fn piece(&self, part: usize, parts: usize) -> Vec<u8> {
        let mut content = Vec::new();
        for (cell, number) in self.iter() {
            // The first byte says to which pass a cell belongs.
            if usize::from(cell[1]) * parts / 256 == part {
                content.extend_from_slice(cell);
                content.extend_from_slice(&number.to_le_bytes());
            }
        }
        content
    }

    fn add_piece(&mut self, content: &[u8]) -> bool {
        let (rows, rest) = content.as_chunks::<20>();
        for row in rows {
            if let (Some(cell), Some(number)) = (row.first_chunk(), row.last_chunk()) {
                self.put(*cell, u32::from_le_bytes(*number));
            }
        }
        rest.is_empty()
    }
}
