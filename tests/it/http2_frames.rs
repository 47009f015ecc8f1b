//! More frames of HTTP/2 that no client should send: each connection is bounded
//! or ended, and the next client is served. And the entries of the group `h2` of
//! `bad-inputs.json` that need a client which keeps state.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::bad_inputs::resident;
use crate::content::noise;
use crate::http2_bounds::{
    BASE, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, LIMIT, Outcome, PING,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, ask, block, flooded, frame, lives,
    open, speaking,
};
use crate::repo::Repo;
use crate::support::Registry;

const ACK: u8 = 1;
const PADDED: u8 = 8;

/// A setting's identifier (RFC 9113, section 6.5.2) and its value.
fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A request for `/v2/` on a stream.
fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&BASE))
}

#[test]
fn a_flood_of_pings_is_bounded() {
    flooded(&frame(PING, 0, 0, &[7; 8]).repeat(100_000));
}

#[test]
fn a_flood_of_acknowledgements_is_bounded() {
    flooded(&frame(PING, ACK, 0, &[7; 8]).repeat(100_000));
}

#[test]
fn a_flood_of_continuations_is_bounded() {
    let mut frames = frame(HEADERS, 0, 1, &block(&BASE));
    frames.extend(frame(CONTINUATION, 0, 1, &[]).repeat(100_000));
    flooded(&frames);
    let mut frames = frame(HEADERS, 0, 1, &block(&BASE));
    let more = block(&[("x-more", &"a".repeat(10_000))]);
    frames.extend(frame(CONTINUATION, 0, 1, &more).repeat(5_000));
    flooded(&frames);
}

#[test]
fn a_flood_of_unknown_frames_is_bounded() {
    flooded(&frame(0xfa, 0, 0, &[0; 64]).repeat(100_000));
}

#[test]
fn a_flood_of_window_updates_is_bounded() {
    flooded(&frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(100_000));
}

#[test]
fn a_flood_of_padding_is_bounded() {
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "reg.test"),
        (":path", "/v2/padded/blobs/uploads/"),
    ];
    let mut frames = frame(HEADERS, END_HEADERS, 1, &block(&head));
    let mut padding = vec![255];
    padding.extend([0; 255]);
    frames.extend(frame(DATA, PADDED, 1, &padding).repeat(10_000));
    flooded(&frames);
}

#[test]
fn rapid_resets_end_the_connection() {
    let mut frames = Vec::new();
    for n in 0..20_000_u32 {
        frames.extend(request(2 * n + 1));
        frames.extend(frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes()));
    }
    flooded(&frames);
    assert!(is_ended(&frames), "still open");
}

#[test]
fn more_streams_than_are_allowed_are_refused_and_forgotten() {
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "reg.test"),
        (":path", "/v2/many/blobs/uploads/?digest=sha256:00"),
    ];
    let mut frames = Vec::new();
    for n in 0..20_000_u32 {
        frames.extend(frame(HEADERS, END_HEADERS, 2 * n + 1, &block(&head)));
    }
    flooded(&frames);
}

// bad input: h2-reset-queue
#[test]
fn refusals_that_nobody_reads_do_not_pile_up() {
    let server = speaking();
    let memory = resident(&server);
    let mut socket = open(&server);
    socket
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let mut frames = frame(SETTINGS, 0, 0, &setting(4, 0));
    for n in 0..100_000_u32 {
        // No path: each is worth a reset, and none is read.
        frames.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            2 * n + 1,
            &block(&BASE[..3]),
        ));
    }
    // The server may end it, or take no more.
    let _ = socket.write_all(&frames);
    assert_eq!(ask(&server, &block(&BASE)), Outcome::Ok);
    let _ = socket.shutdown(Shutdown::Both);
    lives(&server, memory);
}

// bad input: h2-zero-window
#[test]
fn an_answer_that_has_no_window_is_not_kept_for_ever() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_H2C_ENABLED", "true")
        .env("REGISTRY_LIMITS_ANSWERTIMEOUT", "2s")
        .start();
    let repo = Repo::on(&server, "windows");
    let digest = repo.push(&noise(1, 64 << 20));
    let memory = resident(&server);
    let begun = Instant::now();
    let path = repo.path(&format!("blobs/{digest}"));
    let head = [&BASE[..3], &[(":path", path.as_str())]].concat();
    let mut socket = open(&server);
    let mut frames = frame(SETTINGS, 0, 0, &setting(4, 0));
    frames.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&head)));
    socket.write_all(&frames).unwrap();
    let mut heard = Vec::new();
    // Ended by the server, or by our own limit.
    let _ = socket.read_to_end(&mut heard);
    assert!(begun.elapsed() < LIMIT, "{} s", begun.elapsed().as_secs());
    assert!(heard.len() < 4096, "{} bytes without a window", heard.len());
    lives(&server, memory);
}

// bad input: h2-authority-host
#[test]
fn neither_authority_nor_host_is_believed() {
    let server = speaking();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let answer = runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(server.host()).await.unwrap();
        let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::post("http://evil.example/v2/hosts/blobs/uploads/")
            .header("host", "wicked.example")
            .body(())
            .unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        drop(client);
        connection.abort();
        answer
    });
    let status = answer.status().as_u16();
    assert!(matches!(status, 202 | 400 | 421), "{status}");
    for (name, value) in answer.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        assert!(!value.contains("evil"), "{name}: {value}");
        assert!(!value.contains("wicked"), "{name}: {value}");
    }
}

#[test]
fn broken_frames_end_the_connection() {
    let big = vec![0; 300 * 1024];
    let window = 0x7fff_ffff_u32.to_be_bytes();
    for (what, frames) in [
        (
            "headers on stream 0",
            frame(HEADERS, END_STREAM | END_HEADERS, 0, &block(&BASE)),
        ),
        ("data on stream 0", frame(DATA, 0, 0, &[1])),
        ("data on an idle stream", frame(DATA, 0, 5, &[1])),
        ("an even stream", request(2)),
        ("a stream that goes back", [request(5), request(3)].concat()),
        ("a frame that is too large", frame(DATA, 0, 1, &big)),
        ("settings of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        (
            "an acknowledgement with content",
            frame(SETTINGS, ACK, 0, &[0; 6]),
        ),
        (
            "a window beyond 31 bits",
            frame(SETTINGS, 0, 0, &setting(4, u32::MAX)),
        ),
        (
            "frames beyond 24 bits",
            frame(SETTINGS, 0, 0, &setting(5, u32::MAX)),
        ),
        (
            "a push that is neither",
            frame(SETTINGS, 0, 0, &setting(2, 2)),
        ),
        ("a ping of 7 bytes", frame(PING, 0, 0, &[0; 7])),
        ("a ping of a stream", frame(PING, 0, 1, &[0; 8])),
        (
            "a window that overflows",
            frame(WINDOW_UPDATE, 0, 0, &window).repeat(2),
        ),
        ("a window of 3 bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (
            "a promise by a client",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
        ),
        (
            "a continuation of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &[]),
        ),
        (
            "a reset of an idle stream",
            frame(RST_STREAM, 0, 7, &[0; 4]),
        ),
        (
            "a reset of 3 bytes",
            [request(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
        ),
        ("a goaway of 4 bytes", frame(GOAWAY, 0, 0, &[0; 4])),
        (
            "padding beyond the frame",
            frame(HEADERS, PADDED | END_HEADERS, 1, &[200, 0x82]),
        ),
        (
            "headers that are interrupted",
            [
                frame(HEADERS, 0, 1, &block(&BASE)),
                frame(PING, 0, 0, &[0; 8]),
            ]
            .concat(),
        ),
        (
            "an index that no table has",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &[0xff, 0xff, 0xff, 0xff, 0x0f],
            ),
        ),
        (
            "a table beyond what was allowed",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &[0x3f, 0xff, 0xff, 0xff, 0x7f],
            ),
        ),
        (
            "an endless number",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 64]),
        ),
        (
            "a code of Huffman's that is none",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &[0, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
            ),
        ),
        (
            "a text beyond its block",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0, 0x7f, 0x80]),
        ),
        ("a priority of 4 bytes", frame(PRIORITY, 0, 1, &[0; 4])),
    ] {
        assert!(is_ended(&frames), "{what}: still open");
    }
}

#[test]
fn heads_that_are_no_request_are_refused() {
    let server = speaking();
    let memory = resident(&server);
    let with = |more: &[(&'static str, &'static str)]| [&BASE[..], more].concat();
    let instead = |index: usize, pair: (&'static str, &'static str)| {
        let mut head = BASE.to_vec();
        head[index] = pair;
        head
    };
    for head in [
        with(&[(":x", "y")]),
        with(&[(":status", "200")]),
        with(&[(":protocol", "websocket")]),
        with(&[("te", "gzip")]),
        with(&[("proxy-connection", "keep-alive")]),
        with(&[("keep-alive", "5")]),
        with(&[("content-length", "10")]),
        with(&[("content-length", "-1")]),
        with(&[("content-length", "1"), ("content-length", "2")]),
        with(&[("x\0y", "1")]),
        with(&[("x y", "1")]),
        with(&[("", "1")]),
        with(&[("x", "a\r\nb: c")]),
        with(&[("x", "a\0b")]),
        with(&[("host", "evil.example"), ("host", "other.example")]),
        instead(0, (":method", "")),
        instead(0, (":method", "GE T")),
        instead(0, (":method", "CONNECT")),
        instead(0, (":method", "TRACE")),
        instead(2, (":authority", "a b")),
        instead(2, (":authority", "user@")),
        instead(3, (":path", "*")),
        instead(3, (":path", "//")),
        instead(3, (":path", "/v2/../../etc/passwd")),
        instead(3, (":path", "http://evil.example/")),
        instead(3, (":path", "/v2/\0")),
        instead(3, (":path", "/v2/ x")),
        instead(3, (":path", "/v2/_catalog%00")),
    ] {
        let outcome = ask(&server, &block(&head));
        // Some of it is none of HTTP/2's business, as long as nothing odd is served.
        let harmless = head
            .iter()
            .any(|(name, _)| matches!(*name, "proxy-connection" | "keep-alive" | "host"));
        assert!(harmless || outcome != Outcome::Ok, "{head:?}");
    }
    lives(&server, memory);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = speaking();
    let memory = resident(&server);
    for size in [70_000, 120_000, 200_000] {
        let mut socket = open(&server);
        let large = "a".repeat(size);
        let block = block(&[&BASE[..], &[("x-large", large.as_str())]].concat());
        let mut pieces = block.chunks(16_000);
        let mut frames = frame(HEADERS, END_STREAM, 1, pieces.next().unwrap());
        for piece in pieces {
            frames.extend(frame(CONTINUATION, 0, 1, piece));
        }
        frames.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
        let _ = socket.write_all(&frames);
        let first = first_of(&mut socket, &[HEADERS, RST_STREAM, GOAWAY]);
        let accepted =
            first.is_some_and(|(kind, payload)| kind == HEADERS && payload.first() == Some(&0x88));
        assert!(!accepted, "{size} bytes");
    }
    lives(&server, memory);
}

/// The first frame of one of these kinds; `None` if the connection ends.
fn first_of(socket: &mut std::net::TcpStream, kinds: &[u8]) -> Option<(u8, Vec<u8>)> {
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).ok()?;
        let size = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(size).unwrap()];
        socket.read_exact(&mut payload).ok()?;
        if kinds.contains(&head[3]) {
            return Some((head[3], payload));
        }
    }
}

/// Whether the server ends the connection, or the stream, after these frames.
fn is_ended(frames: &[u8]) -> bool {
    thread_local! {
        static SERVER: Registry = speaking();
    }
    SERVER.with(|server| {
        let mut socket = open(server);
        let _ = socket.write_all(frames);
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let begun = Instant::now();
        // It says why, or just ends; by our own limit it does not.
        let said = first_of(&mut socket, &[RST_STREAM, GOAWAY]).is_some();
        let ended = said || begun.elapsed() < Duration::from_secs(5);
        assert_eq!(ask(server, &block(&BASE)), Outcome::Ok);
        ended
    })
}
