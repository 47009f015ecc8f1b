//! Bytes that wait to be sent.

use bytes::{Bytes, BytesMut};
use object_store::PutPayload;

/// Smaller pieces are put together, in bytes: each piece costs memory of its own.
const SMALL: usize = 4 * 1024;

/// Pieces in order.
#[derive(Default, Clone)]
pub(super) struct Buffer {
    pieces: Vec<Bytes>,
    small: BytesMut,
    size: usize,
}

impl Buffer {
    pub(super) fn push(&mut self, piece: Bytes) {
        self.size += piece.len();
        if piece.len() < SMALL {
            self.small.extend_from_slice(&piece);
            if self.small.len() < 16 * SMALL {
                return;
            }
            self.pieces.push(self.small.split().freeze());
        } else {
            if !self.small.is_empty() {
                self.pieces.push(self.small.split().freeze());
            }
            self.pieces.push(piece);
        }
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.size
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Everything, in pieces.
    pub(super) fn pieces(&self) -> Vec<Bytes> {
        let mut pieces = self.pieces.clone();
        if !self.small.is_empty() {
            pieces.push(Bytes::copy_from_slice(&self.small));
        }
        pieces
    }

    /// Everything, to be sent; the buffer is empty afterwards.
    pub(super) fn take(&mut self) -> PutPayload {
        std::mem::take(self).pieces().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_bytes_and_order(sizes in proptest::collection::vec(0_usize..12_000, 0..40)) {
            let mut buffer = Buffer::default();
            let mut whole = Vec::new();
            for (index, size) in sizes.into_iter().enumerate() {
                let piece = vec![u8::try_from(index).unwrap(); size];
                whole.extend_from_slice(&piece);
                buffer.push(Bytes::from(piece));
                prop_assert_eq!(buffer.len(), whole.len());
            }
            prop_assert_eq!(buffer.pieces().concat(), whole.clone());
            prop_assert_eq!(buffer.take().content_length(), whole.len());
            prop_assert!(buffer.is_empty());
        }
    }
}
