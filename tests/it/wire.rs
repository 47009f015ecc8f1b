//! HTTP/1.1 as bytes on a socket: requests go out exactly as they are written
//! here, and answers are read to the end of the connection, so that a length
//! that is wrong by one byte is seen.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take. The specification has no limit; a test must.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A request to one host.
#[derive(Clone)]
pub struct Request {
    host: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Nothing,
    Whole(Vec<u8>),
    Chunked(Vec<u8>),
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    /// In the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A request whose target is sent as it stands: nothing is normalised.
    pub fn new(host: &str, method: &str, target: &str) -> Request {
        Request {
            host: host.to_owned(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            content: Content::Nothing,
        }
    }

    /// Adds a header. `Host`, `Content-Length` and `Transfer-Encoding` given
    /// here replace the ones that would be right.
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Request {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sends this with its `Content-Length`.
    pub fn body(mut self, content: impl Into<Vec<u8>>) -> Request {
        self.content = Content::Whole(content.into());
        self
    }

    /// Sends this in chunks, with no length announced.
    pub fn chunked(mut self, content: impl Into<Vec<u8>>) -> Request {
        self.content = Content::Chunked(content.into());
        self
    }

    /// Sends it on a connection of its own and reads the answer.
    ///
    /// # Panics
    /// When no whole answer comes, or more bytes than it announces.
    pub fn send(self) -> Answer {
        let line = format!("{} {}", self.method, self.target);
        let received = exchange(&self.host, self.bytes(), PATIENCE);
        let Some((answer, rest)) = Answer::parse(&received, self.method == "HEAD") else {
            let text = String::from_utf8_lossy(&received);
            panic!("{line}: no whole answer, but `{text}`");
        };
        assert_eq!(rest, 0, "{line}: {rest} bytes more than announced");
        answer
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let given = |name: &str| {
            self.headers
                .iter()
                .any(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !given("Host") {
            head += &format!("Host: {}\r\n", self.host);
        }
        if !given("Connection") {
            head += "Connection: close\r\n";
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut bytes = head.into_bytes();
        match &self.content {
            Content::Nothing => bytes.extend(b"\r\n"),
            Content::Whole(content) => {
                if !given("Content-Length") {
                    bytes.extend(format!("Content-Length: {}\r\n", content.len()).as_bytes());
                }
                bytes.extend(b"\r\n");
                bytes.extend(content);
            }
            Content::Chunked(content) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in content.chunks(64 * 1024) {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

impl Answer {
    /// The first final answer in `bytes`, and how many bytes follow it.
    pub fn parse(bytes: &[u8], to_head: bool) -> Option<(Answer, usize)> {
        let end = position(bytes, b"\r\n\r\n")?;
        let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let rest = bytes.get(end + 4..)?;
        if (100..200).contains(&status) {
            return Answer::parse(rest, to_head);
        }
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Option<Vec<_>>>()?;
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let bodiless = to_head || status == 204 || status == 304;
        let rest = if bodiless {
            rest
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().ok()?;
            answer.body = rest.get(..length)?.to_vec();
            rest.get(length..)?
        } else if answer.header("transfer-encoding") == Some("chunked") {
            let (body, rest) = unchunked(rest)?;
            answer.body = body;
            rest
        } else {
            answer.body = rest.to_vec();
            &[]
        };
        Some((answer, rest.len()))
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// A header that must be there.
    pub fn must(&self, name: &str) -> &str {
        let value = self.header(name);
        value.unwrap_or_else(|| panic!("no {name} in {self}"))
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// `Content-Length` as a number.
    pub fn length(&self) -> usize {
        let length = self.must("content-length").parse();
        length.expect("a Content-Length in digits")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// Panics unless it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Panics unless it is the specification's error with this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Answer {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.code(), code, "{self}");
        self
    }

    /// The code of the first error.
    #[track_caller]
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body = self.json();
        let errors = body["errors"].as_array();
        let errors = errors.unwrap_or_else(|| panic!("no list of errors in {self}"));
        for error in errors {
            assert!(error["code"].is_string(), "{self}");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(!message.is_empty(), "{self}");
        }
        let first = errors.first();
        let first = first.unwrap_or_else(|| panic!("an empty list of errors in {self}"));
        first["code"].as_str().expect("a code").to_owned()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            write!(f, "\n{name}: {value}")?;
        }
        let shown = self.body.get(..2000).unwrap_or(&self.body);
        write!(f, "\n\n{}", String::from_utf8_lossy(shown))
    }
}

/// Sends bytes and reads until the server ends the connection.
pub fn exchange(host: &str, bytes: Vec<u8>, patience: Duration) -> Vec<u8> {
    let mut socket = connect(host, patience);
    // Beside the reading: a server may answer before it has read everything.
    let mut writer = socket.try_clone().expect("a second handle");
    let writing = std::thread::spawn(move || {
        let _ = writer.write_all(&bytes);
    });
    let mut received = Vec::new();
    // A reset behind a whole answer is the server's right.
    let _ = socket.read_to_end(&mut received);
    let _ = socket.shutdown(Shutdown::Both);
    writing.join().expect("the request written");
    received
}

/// A connection that neither reads nor writes longer than `patience`.
pub fn connect(host: &str, patience: Duration) -> TcpStream {
    let socket = TcpStream::connect(host).expect("a connection");
    socket.set_read_timeout(Some(patience)).expect("a limit");
    socket.set_write_timeout(Some(patience)).expect("a limit");
    socket
}

fn unchunked(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = position(rest, b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        body.extend(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
        if size == 0 {
            return Some((body, rest));
        }
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
