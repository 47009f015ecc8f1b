//! Finds requests of HTTP/1 that give their length twice, by `Content-Length`
//! and by `Transfer-Encoding`, and keeps how the last head began.
//!
//! RFC 9112 section 6.3: such a request may be an attempt to smuggle another
//! one past a proxy. hyper drops the length without a trace and keeps the
//! connection, so the raw heads are read here; the request is refused and the
//! connection closed. This only ever adds refusals: how requests are framed
//! stays hyper's decision.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Bytes of a line that are looked at: the names in question and a length, or a
/// method and a path for the log.
const LINE: usize = 256;

/// The heads of one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    ambiguous: AtomicBool,
    scanner: Mutex<Scanner>,
}

/// What is known of a head that hyper refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// How its first line begins.
    pub(super) line: Vec<u8>,
    /// Whether it announces more bytes than there can be.
    pub(super) is_oversized: bool,
}

#[derive(Debug, Default)]
struct Scanner {
    head: Head,
    /// Whether the first line of the head is complete.
    begun: bool,
    at: At,
    line: Vec<u8>,
    has_length: bool,
    has_encoding: bool,
    length: u64,
}

/// Where in the stream the next byte lies.
#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    /// In a head, or just before one.
    #[default]
    Head,
    /// In a body with this many bytes left.
    Body(u64),
    /// In a body whose end is not known; the next head begins when the server
    /// waits for one.
    Unknown,
}

impl Framing {
    /// Bytes came; `expects_head` if no request is being answered.
    pub(super) fn received(&self, bytes: &[u8], expects_head: bool) {
        self.scanner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read(bytes, expects_head, &self.ambiguous);
    }

    /// The head that came last, as far as it came.
    pub(super) fn head(&self) -> Head {
        let scanner = self.scanner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = scanner.head.clone();
        if !scanner.begun && !scanner.line.is_empty() {
            head = Head {
                line: scanner.line.clone(),
                is_oversized: false,
            };
        }
        head
    }

    /// Whether a head on this connection gave its length twice.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Relaxed)
    }
}

impl Scanner {
    fn read(&mut self, mut bytes: &[u8], expects_head: bool, ambiguous: &AtomicBool) {
        if expects_head && self.at == At::Unknown {
            self.at = At::Head;
        }
        while !bytes.is_empty() {
            match self.at {
                At::Unknown => return,
                At::Body(left) => {
                    let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    self.at = match left - skipped as u64 {
                        0 => At::Head,
                        rest => At::Body(rest),
                    };
                }
                At::Head => match bytes.iter().position(|byte| *byte == b'\n') {
                    None => return self.keep(bytes),
                    Some(end) => {
                        self.keep(bytes.get(..end).unwrap_or_default());
                        bytes = bytes.get(end + 1..).unwrap_or_default();
                        self.end_line(ambiguous);
                    }
                },
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE - self.line.len().min(LINE);
        self.line
            .extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn end_line(&mut self, ambiguous: &AtomicBool) {
        let line = std::mem::take(&mut self.line);
        let text = line.trim_ascii();
        if text.is_empty() {
            self.end_head();
        } else if !self.begun {
            self.begun = true;
            self.head.line.clear();
            self.head.line.extend_from_slice(text);
            self.head.is_oversized = false;
        } else if let Some(value) = value_of(text, b"content-length:") {
            self.has_length = true;
            self.length = std::str::from_utf8(value)
                .ok()
                .and_then(|value| value.trim().parse().ok())
                // hyper refuses what is no number, and closes.
                .unwrap_or(u64::MAX);
            self.head.is_oversized |=
                self.length > i64::MAX as u64 && value.trim_ascii().iter().all(u8::is_ascii_digit);
        } else if value_of(text, b"transfer-encoding:").is_some() {
            self.has_encoding = true;
        }
        if self.has_length && self.has_encoding {
            ambiguous.store(true, Relaxed);
        }
        // Its allocation is used again for the next line.
        self.line = line;
        self.line.clear();
    }

    fn end_head(&mut self) {
        self.begun = false;
        self.at = match (self.has_encoding, self.length) {
            (true, _) => At::Unknown,
            (false, 0) => At::Head,
            (false, length) => At::Body(length),
        };
        (self.has_length, self.has_encoding, self.length) = (false, false, 0);
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: &str = "POST /v2/ HTTP/1.1\r\nHost: r\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    const OTHER_ORDER: &str =
        "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nCONTENT-LENGTH:4\r\n\r\n0\r\n\r\n";
    const LENGTH: &str = "PUT / HTTP/1.1\r\nContent-Length: 44\r\n\r\nTransfer-Encoding: x\r\nContent-Length: 12\r\n\r\n";
    const CHUNKED: &str =
        "PATCH / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    const NEITHER: &str = "GET / HTTP/1.1\r\nHost: r\r\n\r\n";

    fn ambiguous(parts: &[&str]) -> bool {
        let framing = Framing::default();
        for part in parts {
            framing.received(part.as_bytes(), true);
        }
        framing.is_ambiguous()
    }

    #[test]
    fn two_lengths_are_seen_in_either_order() {
        assert!(ambiguous(&[BOTH]));
        assert!(ambiguous(&[OTHER_ORDER]));
    }

    #[test]
    fn ordinary_requests_are_not() {
        assert_eq!(LENGTH.split("\r\n\r\n").nth(1).unwrap().len() + 4, 44);
        assert!(!ambiguous(&[NEITHER, CHUNKED, NEITHER]));
        let framing = Framing::default();
        framing.received(LENGTH.as_bytes(), true);
        framing.received(NEITHER.as_bytes(), true);
        assert!(!framing.is_ambiguous(), "a body is not read as a head");
    }

    #[test]
    fn a_pipelined_request_is_seen() {
        assert!(ambiguous(&[&format!("{NEITHER}{BOTH}")]));
        let body = "PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\nok";
        assert!(ambiguous(&[&format!("{body}{BOTH}")]));
    }

    #[test]
    fn chunks_are_not_read_while_they_come() {
        let framing = Framing::default();
        framing.received(
            b"PATCH / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            true,
        );
        framing.received(b"content-length: 1\r\ntransfer-encoding: x\r\n", false);
        assert!(!framing.is_ambiguous());
        framing.received(BOTH.as_bytes(), true);
        assert!(framing.is_ambiguous());
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_does_not_matter(cuts in proptest::collection::vec(1usize..20, 0..40)) {
            for (text, expected) in [(BOTH, true), (OTHER_ORDER, true), (NEITHER, false)] {
                let framing = Framing::default();
                let mut rest = text.as_bytes();
                for cut in &cuts {
                    let (part, after) = rest.split_at((*cut).min(rest.len()));
                    framing.received(part, true);
                    rest = after;
                }
                framing.received(rest, true);
                prop_assert_eq!(framing.is_ambiguous(), expected);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            Framing::default().received(&bytes, true);
        }
    }
}
