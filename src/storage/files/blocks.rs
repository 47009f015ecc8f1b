//! Buffers that large reads go through, used again and again: a fresh one
//! would cost as much to be mapped and cleared as to be filled.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The size of a large read, in bytes: it fits a core's cache, so that sending
/// it doesn't fetch it from memory again.
pub(super) const BLOCK: usize = 256 * 1024;

/// Reads up to this size don't take a block, in bytes.
pub(super) const SMALL: usize = 64 * 1024;

/// The most idle blocks that are kept: 4 MiB.
const IDLE: usize = 16;

/// Blocks that wait for their next use.
#[derive(Clone, Default)]
pub(super) struct Blocks(Arc<Mutex<Vec<Box<[u8]>>>>);

/// A block that is being filled, or read by whoever holds its [`Bytes`]. It
/// returns to the others when the last of them is dropped.
pub(super) struct Block {
    buffer: Box<[u8]>,
    filled: usize,
    home: Option<Blocks>,
}

impl Blocks {
    /// A buffer of at least `wanted` bytes, or of [`BLOCK`] if that is less.
    pub(super) fn take(&self, wanted: usize) -> Block {
        if wanted <= SMALL {
            return Block {
                buffer: vec![0; wanted].into_boxed_slice(),
                filled: 0,
                home: None,
            };
        }
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Block {
            buffer: idle.unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice()),
            filled: 0,
            home: Some(self.clone()),
        }
    }
}

impl Block {
    /// What isn't filled of the first `wanted` bytes.
    pub(super) fn room(&mut self, wanted: usize) -> &mut [u8] {
        let end = wanted.min(self.buffer.len());
        self.buffer.get_mut(self.filled..end).unwrap_or_default()
    }

    /// Says that `count` more bytes have been filled.
    pub(super) fn fill(&mut self, count: usize) {
        self.filled += count;
    }

    /// How many bytes are filled.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// What was filled, without a copy.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let mut idle = home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(blocks: &Blocks, with: u8, count: usize) -> Bytes {
        let mut block = blocks.take(BLOCK);
        block.room(count).fill(with);
        block.fill(count);
        block.freeze()
    }

    #[test]
    fn a_block_is_used_again_and_shows_only_what_was_filled() {
        let blocks = Blocks::default();
        let first = filled(&blocks, 1, BLOCK);
        let (address, half) = (first.as_ptr(), first.slice(..BLOCK / 2));
        drop(first);
        assert_eq!(half, vec![1; BLOCK / 2], "still held");
        drop(half);
        let second = filled(&blocks, 2, 3);
        assert_eq!(second.as_ptr(), address);
        assert_eq!(&second[..], [2; 3]);
    }

    #[test]
    fn keeps_a_bounded_number() {
        let blocks = Blocks::default();
        let held: Vec<_> = (0..2 * IDLE).map(|_| filled(&blocks, 0, 1)).collect();
        drop(held);
        assert_eq!(blocks.0.lock().unwrap().len(), IDLE);
    }

    #[test]
    fn small_reads_take_no_block() {
        let blocks = Blocks::default();
        let mut small = blocks.take(10);
        assert_eq!(small.room(BLOCK).len(), 10);
        drop(small);
        assert!(blocks.0.lock().unwrap().is_empty());
    }
}
