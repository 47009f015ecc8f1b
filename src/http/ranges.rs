//! Ranges of bytes: `Range` of a read (RFC 9110, section 14) and
//! `Content-Range` of a chunk (distribution-spec, "Pushing a blob in chunks").

use std::ops::Range;

use http::header::CONTENT_RANGE;
use http::{HeaderMap, HeaderValue};

use super::body;
use super::error::Problem;
use crate::oci::ErrorCode;
use crate::registry::ChunkRange;

/// What a read should answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// Everything, with 200.
    Whole,
    /// These ranges, in the order asked for, with 206.
    Parts(Vec<Range<u64>>),
    /// None of it, with 416.
    Unsatisfiable,
}

/// What `Range: <text>` asks of `size` bytes. Other units and malformed sets
/// are ignored, as RFC 9110 wants; a range that ends before it begins is
/// unsatisfiable, as the conformance suite wants. More than `most` ranges get
/// the whole instead.
pub(super) fn select(text: &str, size: u64, most: usize) -> Selection {
    let Some((unit, set)) = text.split_once('=') else {
        return Selection::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    let mut parts = Vec::new();
    for (count, item) in set
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .enumerate()
    {
        if count == most {
            return Selection::Whole;
        }
        match resolve(item, size) {
            Ok(part) => parts.extend(part),
            Err(Malformed) => return Selection::Whole,
        }
    }
    let asked: u64 = parts
        .iter()
        .map(|part| part.end - part.start)
        .fold(0, u64::saturating_add);
    match parts.len() {
        0 => Selection::Unsatisfiable,
        // Overlapping ranges must not multiply what is sent (CVE-2011-3192).
        2.. if asked > size => Selection::Whole,
        _ => Selection::Parts(parts),
    }
}

struct Malformed;

fn resolve(item: &str, size: u64) -> Result<Option<Range<u64>>, Malformed> {
    let (first, last) = item.split_once('-').ok_or(Malformed)?;
    if first.is_empty() {
        let suffix = number(last)?;
        let start = size.saturating_sub(suffix);
        return Ok((start < size).then_some(start..size));
    }
    let first = number(first)?;
    let end = if last.is_empty() {
        size
    } else {
        number(last)?.saturating_add(1).min(size)
    };
    Ok((first < end).then_some(first..end))
}

/// Digits only; what is over 64 bits is just very large.
fn number(text: &str) -> Result<u64, Malformed> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// `Content-Range: <start>-<end>` of a chunk, inclusive, without a unit. Its
/// length must be that of the body, where that is announced.
pub(super) fn chunk(headers: &HeaderMap) -> Result<Option<ChunkRange>, Problem> {
    let Some(value) = headers.get(CONTENT_RANGE) else {
        return Ok(None);
    };
    let range = chunk_range(value).ok_or_else(|| {
        Problem::bad_request(
            ErrorCode::BlobUploadInvalid,
            "the Content-Range of a chunk must be `<first>-<last>`, both inclusive",
        )
    })?;
    match body::length(headers) {
        Some(length) if length != range.length => Err(Problem::bad_request(
            ErrorCode::SizeInvalid,
            format!(
                "the Content-Range has {} bytes, and the Content-Length is {length}",
                range.length
            ),
        )),
        _ => Ok(Some(range)),
    }
}

fn chunk_range(value: &HeaderValue) -> Option<ChunkRange> {
    let (first, last) = value.to_str().ok()?.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return None;
    }
    let start: u64 = first.parse().ok()?;
    let end: u64 = last.parse().ok()?;
    Some(ChunkRange {
        start,
        length: end.checked_sub(start)?.checked_add(1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: usize = 256;

    fn parts(text: &str, size: u64) -> Vec<Range<u64>> {
        match select(text, size, MOST) {
            Selection::Parts(parts) => parts,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn one(range: Range<u64>) -> Vec<Range<u64>> {
        Vec::from([range])
    }

    #[test]
    fn ranges_resolve_against_the_size() {
        assert_eq!(parts("bytes=500-1499", 2048), one(500..1500));
        assert_eq!(parts("bytes=500-", 2048), one(500..2048));
        assert_eq!(parts("bytes=-500", 2048), one(1548..2048));
        assert_eq!(parts("bytes=2000-5000", 2048), one(2000..2048));
        assert_eq!(parts("bytes=-5000", 2048), one(0..2048));
        assert_eq!(parts("bytes=0-0, 5-6,9000-", 2048), [0..1, 5..7]);
        assert_eq!(parts("Bytes=0-99999999999999999999999", 10), one(0..10));
    }

    #[test]
    fn what_cannot_be_satisfied_is_told_from_what_is_ignored() {
        for text in [
            "bytes=500-0",
            "bytes=5000-10000",
            "bytes=-0",
            "bytes=99999999999999999999-",
            "bytes=2048-",
        ] {
            assert_eq!(select(text, 2048, MOST), Selection::Unsatisfiable, "{text}");
        }
        assert_eq!(select("bytes=0-", 0, MOST), Selection::Unsatisfiable);
        for text in [
            "items=0-5",
            "bytes",
            "bytes=a-b",
            "bytes=1",
            "bytes=+1-2",
            "bytes=0-1000,0-1000,0-1000",
        ] {
            assert_eq!(select(text, 2048, MOST), Selection::Whole, "{text}");
        }
        let many: Vec<String> = (0..1000).map(|n| format!("{n}-{n}")).collect();
        assert_eq!(
            select(&format!("bytes={}", many.join(",")), 2048, MOST),
            Selection::Whole
        );
    }

    proptest! {
        #[test]
        fn selected_parts_lie_within_the_size(text in "bytes=[0-9,-]{0,30}", size in 0..1000_u64) {
            if let Selection::Parts(parts) = select(&text, size, MOST) {
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
            }
        }
    }
}
