//! What a mark has reached: each cell with the repository that needs it, or that
//! several do.
//!
//! A cell is known by the first 16 bytes of its digest: 20 bytes each in memory
//! instead of 64. Two that share them would both be kept: nothing is lost by it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::oci::Digest;

/// The most cells of one pass: with the table's own room at most 100 MB.
pub(super) const MOST: usize = 2_000_000;

/// Cells in one piece of a checkpoint, about: 5 MB.
pub(super) const CELLS_PIECE: usize = 250_000;

/// No repository needs it, but it must stay.
const NOBODY: u32 = u32::MAX;

/// Several repositories need it.
const SEVERAL: u32 = u32::MAX - 1;

/// A cell.
pub(super) type Cell = [u8; 16];

/// What a pass has reached.
#[derive(Default)]
pub(super) struct Reached(HashMap<Cell, u32>);

/// What became of bytes by being needed once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// They are the first repository's alone.
    First,
    /// They were this one's alone, and are shared now.
    TakenFrom(u32),
    /// Several needed them before.
    Shared,
    /// The same repository needed them before.
    Known,
}

impl Reached {
    /// A repository, by its number in this collection, needs a cell.
    pub(super) fn needs(&mut self, cell: Cell, repository: u32) -> Share {
        match self.0.entry(cell) {
            Entry::Vacant(entry) => {
                entry.insert(repository);
                Share::First
            }
            Entry::Occupied(mut entry) => {
                let before = *entry.get();
                if before == repository {
                    return Share::Known;
                }
                if before == NOBODY {
                    entry.insert(repository);
                    return Share::First;
                }
                entry.insert(SEVERAL);
                if before == SEVERAL {
                    Share::Shared
                } else {
                    Share::TakenFrom(before)
                }
            }
        }
    }

    /// A cell stays, whoever needs it.
    pub(super) fn stays(&mut self, cell: Cell) {
        self.0.entry(cell).or_insert(NOBODY);
    }

    /// Every cell, with what is known of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Cell, &u32)> {
        self.0.iter()
    }

    /// A cell as [`Self::iter`] told it.
    pub(super) fn put(&mut self, cell: Cell, known: u32) {
        self.0.insert(cell, known);
    }

    pub(super) fn has(&self, cell: &Cell) -> bool {
        self.0.contains_key(cell)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The cell of a digest.
pub(super) fn cell(digest: &Digest) -> Cell {
    let mut cell = [0; 16];
    for (byte, pair) in cell.iter_mut().zip(digest.hex().as_bytes().chunks(2)) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).unwrap_or_default();
    }
    cell
}
