//! What a collection found while it marked: exact, as of its beginning, and
//! kept in the store until the next one.
//!
//! A record of totals says in how many pieces the repositories lie, in the
//! order of their names; it is written last, so that whoever sees it finds the
//! pieces too.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::records::{microseconds, parse, render};
use crate::oci::RepositoryName;
use crate::registry::{Error, Registry};
use crate::storage::{Store, layout};

/// Repositories in one piece: with the longest names well below
/// [`crate::storage::MAX_RECORD`].
const PIECE: usize = 5_000;

/// What a collection found one repository to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The repository.
    pub name: RepositoryName,
    /// Its manifests.
    pub manifests: u64,
    /// Its tags.
    pub tags: u64,
    /// The bytes of blobs and manifests that it needs and nobody else.
    pub unique: u64,
    /// The bytes that it needs and others too.
    pub shared: u64,
}

/// What a collection found in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// When it began, before it looked at anything, in microseconds since 1970.
    pub began: u64,
    /// Repositories that hold something.
    pub repositories: u64,
    /// The bytes of all distinct content that some repository needs.
    pub used: u64,
    /// The bytes that nobody needs and that are there still.
    pub waiting: u64,
    /// The pieces that the repositories lie in.
    #[serde(default)]
    pub(super) pieces: usize,
}

/// One repository in a piece.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 4]", into = "[u64; 4]")]
pub(super) struct Held {
    pub(super) manifests: u64,
    pub(super) tags: u64,
    pub(super) unique: u64,
    pub(super) shared: u64,
}

/// The repositories by their names.
pub(super) type Repositories = BTreeMap<String, Held>;

impl Totals {
    /// Totals of a collection that began then.
    pub fn new(began: SystemTime) -> Self {
        Self {
            began: microseconds(began),
            repositories: 0,
            used: 0,
            waiting: 0,
            pieces: 0,
        }
    }
}

impl Registry {
    /// Takes over what a collection has measured, for all processes: what
    /// changed before it began counts no more beside it. Only repositories that
    /// hold something are given.
    ///
    /// # Errors
    /// Those of the store; then the measure before this one stays.
    pub async fn usage_measured(
        &self,
        mut totals: Totals,
        repositories: Vec<Measured>,
    ) -> Result<(), Error> {
        let repositories: Repositories = repositories
            .into_iter()
            .map(|one| (one.name.to_string(), Held::from(&one)))
            .collect();
        totals.repositories = repositories.len() as u64;
        write(self.store(), &mut totals, &repositories).await?;
        self.usage().refresh(self).await?;
        self.usage().clear_away(self, totals.began).await
    }
}

/// Writes the pieces, then the totals, then clears away pieces of before.
async fn write(
    store: &dyn Store,
    totals: &mut Totals,
    repositories: &Repositories,
) -> Result<(), Error> {
    let all: Vec<(&String, &Held)> = repositories.iter().collect();
    totals.pieces = all.len().div_ceil(PIECE);
    for (index, piece) in all.chunks(PIECE).enumerate() {
        let piece: BTreeMap<_, _> = piece.iter().copied().collect();
        store
            .put(&layout::usage_piece(index), render(&piece)?)
            .await?;
    }
    store.put(&layout::usage_totals(), render(totals)?).await?;
    for child in store
        .children(&layout::usage_pieces(), None, 10_000)
        .await?
    {
        let left = child.name.parse().ok().filter(|at| *at >= totals.pieces);
        if let Some(index) = left {
            store.delete(&layout::usage_piece(index)).await?;
        }
    }
    Ok(())
}

/// The totals as they lie in the store.
pub(super) async fn totals(store: &dyn Store) -> Result<Option<Bytes>, Error> {
    Ok(store.get(&layout::usage_totals()).await?)
}

/// The repositories of these totals; a torn piece counts as empty until the
/// next collection.
pub(super) async fn repositories(
    store: &dyn Store,
    totals: &Totals,
) -> Result<Repositories, Error> {
    let mut all = Repositories::new();
    for index in 0..totals.pieces {
        if let Some(piece) = store.get(&layout::usage_piece(index)).await? {
            all.append(&mut parse(&piece).unwrap_or_default());
        }
    }
    Ok(all)
}

impl From<&Measured> for Held {
    fn from(one: &Measured) -> Self {
        Self {
            manifests: one.manifests,
            tags: one.tags,
            unique: one.unique,
            shared: one.shared,
        }
    }
}

impl From<[u64; 4]> for Held {
    fn from([manifests, tags, unique, shared]: [u64; 4]) -> Self {
        Self {
            manifests,
            tags,
            unique,
            shared,
        }
    }
}

impl From<Held> for [u64; 4] {
    fn from(held: Held) -> Self {
        [held.manifests, held.tags, held.unique, held.shared]
    }
}
