//! HTTP/2 as frames on a socket, as a hostile client sends them: each connection
//! is bounded, and the next client is served. The group `h2` of
//! `bad-inputs.json`; `http2_frames` has more of the kind.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::bad_inputs::{resident, settled};
use crate::support::Registry;
use crate::wire::connect;

/// Within this a connection is answered, reset or ended.
pub const LIMIT: Duration = Duration::from_secs(20);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113, section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The whole head of `GET /v2/`.
pub const BASE: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "reg.test"),
    (":path", "/v2/"),
];

/// How the server takes a request.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Answered with 200.
    Ok,
    /// Answered with another status.
    Other,
    /// The stream was reset or the connection ended, with or without a word.
    Refused,
}

// bad input: h2-settings
#[test]
fn a_flood_of_settings_is_bounded() {
    flooded(&frame(SETTINGS, 0, 0, &[]).repeat(100_000));
}

// bad input: h2-priority-tree
#[test]
fn a_tree_of_priorities_is_ignored_or_refused() {
    let mut frames = Vec::new();
    for n in 1..10_000_u32 {
        let mut payload = (2 * n - 1).to_be_bytes().to_vec();
        payload.push(255);
        frames.extend(frame(PRIORITY, 0, 2 * n + 1, &payload));
    }
    flooded(&frames);
}

// bad input: h2-empty-data
#[test]
fn a_million_empty_data_frames_are_bounded() {
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "reg.test"),
        (":path", "/v2/empty/blobs/uploads/"),
    ];
    let mut frames = frame(HEADERS, END_HEADERS, 1, &block(&head));
    frames.extend(frame(DATA, 0, 1, &[]).repeat(1_000_000));
    flooded(&frames);
}

// bad input: h2-hpack-bomb
#[test]
fn a_small_block_that_grows_to_many_headers_is_refused() {
    let server = speaking();
    let memory = resident(&server);
    let mut bomb = block(&BASE);
    // Kept in the table once, then named by one byte each (RFC 7541, 6.1).
    bomb.extend([0x40, 1, b'x', 0x7f, 0x81, 0x1d]);
    bomb.extend([b'a'; 3_840]);
    bomb.extend([0xbe; 8_000]);
    assert_ne!(ask(&server, &bomb), Outcome::Ok);
    lives(&server, memory);
}

// bad input: h2-te-header
#[test]
fn headers_of_http_1_are_refused() {
    let server = speaking();
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "keep-alive"),
        ("upgrade", "h2c"),
    ] {
        let head = [&BASE[..], &[(name, value)]].concat();
        assert_ne!(ask(&server, &block(&head)), Outcome::Ok, "{name}");
    }
    lives(&server, resident(&server));
}

// bad input: h2-dup-pseudo, h2-path-noslash
#[test]
fn heads_that_name_no_one_resource_are_refused() {
    let server = speaking();
    let path = |path| [&BASE[..3], &[(":path", path)]].concat();
    for head in [
        [&BASE[..], &[(":path", "/v2/_catalog")]].concat(),
        [&BASE[..], &[("a", "b"), (":method", "GET")]].concat(),
        path("v2/"),
        path(""),
        BASE[..3].to_vec(),
        BASE[1..].to_vec(),
        [&BASE[..], &[("X-Upper", "case")]].concat(),
    ] {
        assert_ne!(ask(&server, &block(&head)), Outcome::Ok, "{head:?}");
    }
    lives(&server, resident(&server));
}

/// A server that speaks HTTP/2 without TLS.
pub fn speaking() -> Registry {
    let server = Registry::with()
        .env("REGISTRY_HTTP_H2C_ENABLED", "true")
        .start();
    assert_eq!(ask(&server, &block(&BASE)), Outcome::Ok);
    server
}

/// Sends frames on a connection of their own, to a server that must live on.
pub fn flooded(frames: &[u8]) {
    let server = speaking();
    let memory = resident(&server);
    let begun = Instant::now();
    let mut socket = open(&server);
    let mut reader = socket.try_clone().unwrap();
    // What it says is taken, or it would be right to wait for us.
    let reading = std::thread::spawn(move || {
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    let _ = socket.write_all(frames);
    assert_eq!(
        ask(&server, &block(&BASE)),
        Outcome::Ok,
        "others are served"
    );
    let _ = socket.shutdown(std::net::Shutdown::Both);
    reading.join().unwrap();
    assert!(begun.elapsed() < LIMIT, "{} s", begun.elapsed().as_secs());
    lives(&server, memory);
}

/// The next client is served, and nothing has piled up.
pub fn lives(server: &Registry, memory: u64) {
    assert_eq!(ask(server, &block(&BASE)), Outcome::Ok);
    settled(server, memory);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

pub fn open(server: &Registry) -> TcpStream {
    let mut socket = connect(server.host(), LIMIT);
    socket.write_all(PREFACE).unwrap();
    socket.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    socket
}

/// Sends one request with this header block, on a connection of its own.
pub fn ask(server: &Registry, block: &[u8]) -> Outcome {
    let mut socket = open(server);
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, block);
    if socket.write_all(&request).is_err() {
        return Outcome::Refused;
    }
    loop {
        let mut head = [0; 9];
        if let Err(error) = socket.read_exact(&mut head) {
            let timed_out = error.kind() == std::io::ErrorKind::WouldBlock;
            assert!(!timed_out, "neither answered nor ended");
            return Outcome::Refused;
        }
        let size = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(size).unwrap()];
        socket.read_exact(&mut payload).unwrap();
        match head[3] {
            // `:status: 200` is one byte (RFC 7541, appendix A).
            HEADERS if payload.first() == Some(&0x88) => return Outcome::Ok,
            HEADERS => return Outcome::Other,
            RST_STREAM | GOAWAY => return Outcome::Refused,
            _ => {}
        }
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![size[1], size[2], size[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Headers as literals that no table keeps (RFC 7541, 6.2.2).
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text.bytes());
        }
    }
    block
}

/// A text's length, without Huffman's code (RFC 7541, 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return block.push(u8::try_from(length).unwrap());
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}
