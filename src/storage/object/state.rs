//! The record of an upload: a line of JSON, and behind it the bytes that are
//! too few for a segment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// The form of the record; another one is not understood.
const VERSION: u8 = 1;

/// An upload as it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State {
    pub(super) segments: Vec<Segment>,
    /// What follows the segments.
    pub(super) tail: Bytes,
    pub(super) note: Option<Bytes>,
}

/// Some of an upload's bytes, in an object of their own that never changes: each
/// request gives its segments names of its own, so that one that was thought
/// dead can't overwrite what another has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u8,
    segments: Vec<Segment>,
    note: Option<String>,
}

impl State {
    /// Bytes in all.
    pub(super) fn size(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.size).sum();
        segments + self.tail.len() as u64
    }

    pub(super) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let head = serde_json::to_vec(&Head {
            version: VERSION,
            segments: self.segments.clone(),
            note: self.note.as_ref().map(|note| STANDARD.encode(note)),
        })?;
        let mut record = BytesMut::with_capacity(head.len() + 1 + self.tail.len());
        record.put_slice(&head);
        record.put_u8(b'\n');
        record.put_slice(&self.tail);
        Ok(record.freeze())
    }

    /// The state in a record, or `None` if it is in another form.
    pub(super) fn decode(record: &Bytes) -> Option<Self> {
        let end = record.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(record.get(..end)?).ok()?;
        if head.version != VERSION {
            return None;
        }
        let note = match head.note {
            Some(text) => Some(Bytes::from(STANDARD.decode(text).ok()?)),
            None => None,
        };
        Some(Self {
            segments: head.segments,
            tail: record.slice(end + 1..),
            note,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back_as_it_was(sizes in proptest::collection::vec(any::<u32>(), 0..5), tail in proptest::collection::vec(any::<u8>(), 0..200), note in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200))) {
            let segments = sizes.iter().enumerate().map(|(index, size)| Segment {
                name: format!("{index:05}-x"),
                size: u64::from(*size),
            });
            let state = State {
                segments: segments.collect(),
                tail: tail.into(),
                note: note.map(Bytes::from),
            };
            prop_assert_eq!(State::decode(&state.encode().unwrap()), Some(state));
        }

        #[test]
        fn garbage_is_no_state(record in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = State::decode(&Bytes::from(record));
        }
    }
}
