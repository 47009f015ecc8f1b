//! `Range` of a pull and `Content-Range` of a chunk, as the router answers them.

use std::cell::LazyCell;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;
use wharf::oci::Algorithm;

use super::site::{Answer, Site};

const SIZE: usize = 1000;

thread_local! {
    static STAGE: LazyCell<(Site, Vec<u8>, String)> = LazyCell::new(|| {
        let site = Site::empty();
        let content: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
        let digest = Algorithm::Sha256.digest(&content);
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let put = site.ask("POST", path.as_bytes(), &[], &content).unwrap();
        assert_eq!(put.status, 201);
        (site, content, format!("/v2/a/blobs/{digest}"))
    });
}

static ONE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A(?i:bytes)=(\d{1,9})-(\d{0,9})\z").unwrap());
static SUFFIX: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A(?i:bytes)=-(\d{1,9})\z").unwrap());
static CHUNK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\A(\d+)-(\d+)\z").unwrap());

/// The first byte says which of the two headers the rest is.
pub fn run(data: &[u8]) {
    let Some((kind, value)) = data.split_first() else {
        return;
    };
    STAGE.with(|stage| {
        let (site, content, path) = &**stage;
        match kind % 2 {
            0 => pull(site, content, path, value),
            _ => chunk(site, usize::from(*kind), value),
        }
    });
}

/// Every answer is what it says that it is, and a plain range is understood.
fn pull(site: &Site, content: &[u8], path: &str, value: &[u8]) {
    let Some(answer) = site.ask("GET", path.as_bytes(), &[("Range", value)], b"") else {
        return;
    };
    assert!(answer.complete);
    let total: usize = match answer.status.as_u16() {
        200 => {
            assert_eq!(answer.body, content);
            SIZE
        }
        206 => parts(&answer)
            .into_iter()
            .map(|(range, bytes)| {
                assert_eq!(bytes, &content[range]);
                bytes.len()
            })
            .sum(),
        416 => {
            assert_eq!(answer.header("content-range"), format!("bytes */{SIZE}"));
            0
        }
        _ => panic!("{answer:?}"),
    };
    assert!(total <= SIZE, "more than there is: {answer:?}");
    if let Some(range) = plain(value) {
        if range.is_empty() {
            assert_eq!(answer.status, 416);
        } else {
            assert_eq!(
                (answer.status.as_u16(), &answer.body[..]),
                (206, &content[range])
            );
        }
    }
}

/// What a set of one plain range asks for (RFC 9110, section 14.1.2).
fn plain(value: &[u8]) -> Option<Range<usize>> {
    let number = |bytes: &[u8]| -> usize { std::str::from_utf8(bytes).unwrap().parse().unwrap() };
    if let Some(found) = SUFFIX.captures(value) {
        return Some(SIZE.saturating_sub(number(&found[1]))..SIZE);
    }
    let found = ONE.captures(value)?;
    let first = number(&found[1]);
    let end = if found[2].is_empty() {
        SIZE
    } else {
        (number(&found[2]) + 1).min(SIZE)
    };
    Some(if first < end { first..end } else { 0..0 })
}

/// The parts of a 206, each with the range that it claims.
fn parts(answer: &Answer) -> Vec<(Range<usize>, &[u8])> {
    let content_type = answer.header("content-type");
    let Some((_, boundary)) = content_type.split_once("boundary=") else {
        return vec![(claimed(answer.header("content-range")), &answer.body[..])];
    };
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let mut parts = Vec::new();
    let mut rest = &answer.body[..];
    loop {
        let start = find(rest, boundary.as_bytes()).expect("a boundary") + boundary.len();
        rest = &rest[start..];
        if rest.starts_with(b"--") {
            return parts;
        }
        let end = find(rest, b"\r\n\r\n").expect("the head of a part");
        let head = String::from_utf8_lossy(&rest[..end]).to_lowercase();
        let range = head.split_once("content-range:").expect("a range").1;
        let range = claimed(range.split("\r\n").next().unwrap().trim());
        let begin = end + 4;
        let bytes = &rest[begin..begin + range.len()];
        rest = &rest[begin + range.len()..];
        parts.push((range, bytes));
    }
}

fn claimed(text: &str) -> Range<usize> {
    let text = text.strip_prefix("bytes ").expect("bytes");
    let (range, size) = text.split_once('/').expect("a size");
    assert_eq!(size, SIZE.to_string());
    let (first, last) = range.split_once('-').expect("a range");
    first.parse().unwrap()..last.parse::<usize>().unwrap() + 1
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

/// A first chunk is taken exactly if its range begins at 0 and is as long as it.
fn chunk(site: &Site, length: usize, value: &[u8]) {
    let begun = site.ask("POST", b"/v2/a/blobs/uploads/", &[], b"").unwrap();
    let path = begun.header("location").to_owned();
    let body = vec![7; length];
    let answer = site.ask("PATCH", path.as_bytes(), &[("Content-Range", value)], &body);
    if let Some(answer) = answer {
        let numbers = CHUNK.captures(value).and_then(|found| {
            let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse::<u64>().ok();
            Some((number(&found[1])?, number(&found[2])?))
        });
        let right =
            matches!(numbers, Some((0, last)) if last.checked_add(1) == Some(length as u64));
        let status = answer.status.as_u16();
        match right {
            true => assert_eq!(status, 202, "{answer:?}"),
            false => assert!(matches!(status, 400 | 416), "{answer:?}"),
        }
        let now = site.ask("GET", path.as_bytes(), &[], b"").unwrap();
        let kept = if right { length } else { 0 };
        let expected = format!("0-{}", kept.saturating_sub(1));
        // A chunk that is shorter than its range may have been kept.
        if right || status == 416 || numbers.is_none() {
            assert_eq!(now.header("range"), expected, "{answer:?}");
        }
    }
    site.ask("DELETE", path.as_bytes(), &[], b"").unwrap();
}
