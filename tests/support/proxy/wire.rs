//! As much of HTTP/1.1 (RFC 9112) as the proxy needs, and which of S3's
//! operations a request is.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

/// The first line and the headers of a message, as they came.
pub(super) struct Head {
    lines: Vec<String>,
}

/// A request that passed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// Whether it copies within the store.
    pub is_copy: bool,
}

/// What bounds the bytes of one connection.
#[derive(Default)]
pub(super) struct Meter {
    pub(super) delay: Duration,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) cut_after: Option<u64>,
    passed: u64,
}

impl Seen {
    pub(super) fn of(head: &Head) -> Seen {
        let mut words = head.first().split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        Seen {
            method: word(),
            target: word(),
            is_copy: head.value("x-amz-copy-source").is_some(),
        }
    }

    /// The operation by the name that S3's documentation and price list have.
    pub fn operation(&self) -> &'static str {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let has = |name: &str| {
            query
                .split('&')
                .any(|pair| pair.split('=').next() == Some(name))
        };
        match (self.method.as_str(), self.is_copy) {
            ("GET", _) if has("uploads") => "ListMultipartUploads",
            ("GET", _) if has("uploadId") => "ListParts",
            ("GET", _) if has("list-type") || has("prefix") => "ListObjectsV2",
            ("GET", _) => "GetObject",
            ("HEAD", _) => "HeadObject",
            ("PUT", true) if has("partNumber") => "UploadPartCopy",
            ("PUT", false) if has("partNumber") => "UploadPart",
            ("PUT", true) => "CopyObject",
            ("PUT", false) => "PutObject",
            ("POST", _) if has("uploads") => "CreateMultipartUpload",
            ("POST", _) if has("uploadId") => "CompleteMultipartUpload",
            ("POST", _) if has("delete") => "DeleteObjects",
            ("DELETE", _) if has("uploadId") => "AbortMultipartUpload",
            ("DELETE", _) => "DeleteObject",
            _ => "something else",
        }
    }
}

impl Head {
    /// `None` at the end of the connection.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end_matches(['\r', '\n']);
            match (line.is_empty(), lines.is_empty()) {
                (true, true) => {}
                (true, false) => return Ok(Some(Head { lines })),
                (false, _) => lines.push(line.to_owned()),
            }
        }
    }

    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all((self.lines.join("\r\n") + "\r\n\r\n").as_bytes())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.lines.retain(|line| {
            let found = line.split_once(':').map_or("", |(name, _)| name);
            !found.eq_ignore_ascii_case(name)
        });
    }

    pub(super) fn is_interim(&self) -> bool {
        self.status().starts_with('1')
    }

    /// Passes a request's content.
    pub(super) fn pass_body(
        &self,
        from: &mut BufReader<impl Read>,
        to: &mut impl Write,
        meter: &mut Meter,
    ) -> io::Result<()> {
        match (self.length(), self.is_chunked()) {
            (_, true) => pass_chunks(from, to, meter),
            (Some(length), _) => meter.pass(from, to, length),
            (None, false) => Ok(()),
        }
    }

    /// Passes an answer's content; whether it had an end of its own.
    pub(super) fn pass_answer(
        &self,
        request: &Head,
        from: &mut BufReader<impl Read>,
        to: &mut impl Write,
        meter: &mut Meter,
    ) -> io::Result<bool> {
        let bodiless = request.first().starts_with("HEAD ")
            || self.status().starts_with("204")
            || self.status().starts_with("304");
        if bodiless {
            return Ok(true);
        }
        if self.is_chunked() || self.length().is_some() {
            self.pass_body(from, to, meter)?;
            return Ok(true);
        }
        meter.pass(from, to, u64::MAX)?;
        Ok(false)
    }

    fn first(&self) -> &str {
        &self.lines[0]
    }

    fn status(&self) -> &str {
        self.first()
            .split_once(' ')
            .map_or("", |(_, status)| status)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn length(&self) -> Option<u64> {
        self.value("content-length")?.parse().ok()
    }

    fn is_chunked(&self) -> bool {
        self.value("transfer-encoding") == Some("chunked")
    }
}

impl Meter {
    /// Passes at most so many bytes, as slowly as ordered; fails where the
    /// connection is to be cut, and where the source ends too soon.
    fn pass(&mut self, from: &mut impl Read, to: &mut impl Write, mut left: u64) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = from.read(&mut buffer[..most])?;
            if count == 0 && left > u64::MAX / 2 {
                return Ok(());
            }
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.passed += count as u64;
            left -= count as u64;
            to.write_all(&buffer[..count])?;
            if self.cut_after.is_some_and(|bytes| self.passed >= bytes) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if let Some(rate) = self.bytes_per_second {
                let seconds = count as f64 / rate as f64;
                std::thread::sleep(Duration::from_secs_f64(seconds));
            }
        }
        Ok(())
    }
}

fn pass_chunks(
    from: &mut BufReader<impl Read>,
    to: &mut impl Write,
    meter: &mut Meter,
) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        to.write_all(line.as_bytes())?;
        let digits = line.trim().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        // The chunk and the line end behind it.
        meter.pass(from, to, size + 2)?;
        if size == 0 {
            return Ok(());
        }
    }
}
