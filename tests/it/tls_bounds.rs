//! Handshakes that are old, broken, slow or not for us: each ends soon, and the
//! next client is served. The group `tls` of `bad-inputs.json`, action by action
//! (`tls-key-swap` is in `reloads`).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use crate::bad_inputs::{resident, settled};
use crate::content::noise;
use crate::support::{Authority, Registry, SERVER_NAMES};
use crate::tls::{Identity, base, client_hello, config, hello, said_to};
use crate::wire::{PATIENCE, Request, connect};

/// How long a handshake may take (docs/limits.md), and what a busy machine may
/// add.
const HANDSHAKE: Duration = Duration::from_secs(10);
const ALLOWANCE: Duration = Duration::from_secs(8);

/// The type of a TLS record that says why a connection ends.
const ALERT: u8 = 0x15;

// bad input: tls-tls10
#[test]
fn tls_1_0_and_1_1_get_an_alert_and_no_service() {
    let server = Registry::with().tls().start();
    for version in [1, 2] {
        let heard = said_to(server.host(), &old_hello(version), PATIENCE);
        assert_eq!(heard.first(), Some(&ALERT), "{heard:?}");
        assert!(heard.len() < 16, "an alert alone: {heard:?}");
    }
    still_serves(&server);
}

// bad input: tls-plain-on-tls
#[test]
fn plain_http_on_a_tls_port_is_told_so_without_a_challenge() {
    let server = Registry::with().tls().user("moby", "gordon").start();
    let answer = Request::new(server.host(), "GET", "/v2/").send();
    let answer = answer.refused(400, "UNSUPPORTED");
    assert_eq!(answer.header("www-authenticate"), None);
    assert!(answer.to_string().contains("https://"), "{answer}");
    let head = Request::new(server.host(), "HEAD", "/v2/").send();
    assert_eq!(head.status, 400);
}

// bad input: tls-noise
#[test]
fn noise_in_place_of_a_hello_ends_the_connection() {
    let server = Registry::with().tls().start();
    let noise = noise(1, 64 * 1024);
    for head in [
        &b"\x16\x03\x01\x40\x00"[..],
        b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc",
        b"\x16\xff\xff\xff\xff",
        b"\x16\x03\x01\x00\x00",
        b"",
    ] {
        let bytes = [head, &noise].concat();
        let begun = Instant::now();
        said_to(server.host(), &bytes, HANDSHAKE + ALLOWANCE);
        assert!(begun.elapsed() < HANDSHAKE + ALLOWANCE);
        still_serves(&server);
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

// bad input: tls-fragmented-hello
#[test]
fn a_hello_of_one_byte_per_record_works_or_ends() {
    let server = Registry::with().tls().start();
    let mut client = hello(config(&server, None), "reg.test");
    let bytes = client_hello(&mut client);
    let (head, body) = bytes.split_at(5);
    let mut pieces = Vec::new();
    for byte in body {
        pieces.extend([head[0], head[1], head[2], 0, 1, *byte]);
    }
    let mut socket = connect(server.host(), PATIENCE);
    let _ = socket.write_all(&pieces);
    if let Ok(status) = base(client, socket, server.host()) {
        assert!(matches!(status, 0 | 200), "{status}");
    }
    still_serves(&server);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

// bad input: tls-slow-hello
#[test]
fn a_hello_that_trickles_in_ends_at_its_limit() {
    let server = Registry::with().tls().start();
    let bytes = client_hello(&mut hello(config(&server, None), "reg.test"));
    let begun = Instant::now();
    let mut socket = connect(server.host(), Duration::from_millis(500));
    for byte in bytes {
        if socket.write_all(&[byte]).is_err() {
            break;
        }
        match socket.read(&mut [0; 64]) {
            Ok(0) => break,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            _ => {}
        }
        assert!(begun.elapsed() < HANDSHAKE + ALLOWANCE, "still open");
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "has its time");
    still_serves(&server);
}

// bad input: tls-no-sni
#[test]
fn a_client_that_names_no_server_gets_the_certificate_too() {
    let server = Registry::with().tls().start();
    for name in ["127.0.0.1", "localhost", "reg.test"] {
        let client = hello(config(&server, None), name);
        let socket = connect(server.host(), PATIENCE);
        assert_eq!(base(client, socket, server.host()).unwrap(), 200, "{name}");
    }
}

// bad input: tls-client-cert-other-ca
#[test]
fn a_client_certificate_of_another_authority_is_refused() {
    let (dir, server, clients) = mutual();
    let ours = identity(&clients, &dir, "ours");
    assert_eq!(ask(&server, Some(ours)).unwrap(), 200);
    let others = Authority::create(&dir.path().join("others"), "another CA");
    let theirs = identity(&others, &dir, "theirs");
    let refused = ask(&server, Some(theirs)).unwrap_err().to_string();
    assert!(refused.contains("alert"), "{refused}");
    let refused = ask(&server, None).unwrap_err().to_string();
    assert!(refused.contains("alert"), "{refused}");
}

// bad input: tls-client-cert-huge
#[test]
fn a_chain_of_client_certificates_of_a_megabyte_is_refused_soon() {
    let (dir, server, clients) = mutual();
    let (mut chain, key) = identity(&clients, &dir, "ours");
    let size = chain[0].len();
    while chain.len() * size < 1_000_000 {
        chain.push(chain[0].clone());
    }
    let begun = Instant::now();
    assert!(ask(&server, Some((chain, key))).is_err());
    assert!(begun.elapsed() < Duration::from_secs(5));
    let ours = identity(&clients, &dir, "ours");
    assert_eq!(ask(&server, Some(ours)).unwrap(), 200);
}

// bad input: tls-half-handshake-1000
#[test]
fn a_thousand_half_handshakes_end_and_nobody_else_notices() {
    wharf::server::raise_open_files();
    let server = Registry::with().tls().start();
    let bytes = client_hello(&mut hello(config(&server, None), "reg.test"));
    let begun = Instant::now();
    let half: Vec<TcpStream> = (0..1000)
        .map(|_| {
            let mut socket = connect(server.host(), HANDSHAKE + ALLOWANCE);
            socket.write_all(&bytes[..bytes.len() / 2]).unwrap();
            socket
        })
        .collect();
    let asked = Instant::now();
    still_serves(&server);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "others are served"
    );
    for mut socket in half {
        let mut heard = Vec::new();
        if let Err(error) = socket.read_to_end(&mut heard) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    let took = begun.elapsed();
    assert!(took < HANDSHAKE + ALLOWANCE, "{} s", took.as_secs());
    still_serves(&server);
}

#[test]
fn tls_on_a_plain_port_is_answered_and_named_in_the_log() {
    let plain = Registry::start();
    let tls = Registry::with().tls().start();
    let bytes = client_hello(&mut hello(config(&tls, None), "reg.test"));
    let heard = said_to(plain.host(), &bytes, PATIENCE);
    assert!(heard.starts_with(b"HTTP/1.1 400 "), "{heard:?}");
    let hint = format!("speaks TLS to the plain-HTTP port {}", plain.port());
    crate::support::eventually("the hint", PATIENCE, || {
        plain.log().contains(&hint).then_some(())
    });
    assert!(plain.log().contains("\"reg.test:"), "{}", plain.log());
}

#[test]
fn hellos_of_ssl_get_no_service() {
    let server = Registry::with().tls().start();
    // SSL 2 begins without a record; SSL 3 has the form of TLS.
    let mut ssl2 = vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10];
    ssl2.extend([7; 37]);
    let mut ssl3 = old_hello(0);
    ssl3[2] = 0;
    for hello in [ssl2, ssl3] {
        let heard = said_to(server.host(), &hello, PATIENCE);
        let is_refusal = heard.is_empty()
            || heard.first() == Some(&ALERT)
            || heard.starts_with(b"HTTP/1.1 400 ");
        assert!(is_refusal, "{heard:?}");
        still_serves(&server);
    }
}

#[test]
fn records_that_belong_nowhere_end_the_connection() {
    let server = Registry::with().tls().start();
    let memory = resident(&server);
    let hello = client_hello(&mut hello(config(&server, None), "reg.test"));
    let (change, alert, heartbeat, empty) = (
        [0x14, 3, 3, 0, 1, 1],
        [0x15, 3, 3, 0, 2, 1, 90],
        [0x18, 3, 3, 0, 3, 1, 0x40, 0],
        [0x17, 3, 3, 0, 0],
    );
    for (what, bytes) in [
        ("changes of cipher first", change.repeat(10_000)),
        (
            "changes of cipher",
            [&hello[..], &change.repeat(10_000)].concat(),
        ),
        ("warnings first", alert.repeat(10_000)),
        ("warnings", [&hello[..], &alert.repeat(10_000)].concat()),
        ("a heartbeat", [&hello[..], &heartbeat].concat()),
        (
            "empty records",
            [&hello[..], &empty.repeat(100_000)].concat(),
        ),
        ("hellos", hello.repeat(1_000)),
        (
            "a record of 64 KiB",
            [&[0x16, 3, 1, 0xff, 0xff][..], &[1; 65_535]].concat(),
        ),
        (
            "a hello of 16 MiB",
            [
                &[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..],
                &[0; 16_380],
            ]
            .concat(),
        ),
    ] {
        let begun = Instant::now();
        said_to(server.host(), &bytes, HANDSHAKE + ALLOWANCE);
        assert!(begun.elapsed() < HANDSHAKE + ALLOWANCE, "{what}");
        still_serves(&server);
    }
    settled(&server, memory);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn names_that_are_none_are_no_harm() {
    let server = Registry::with().tls().start();
    for name in [
        vec![b'a'; 15_000],
        vec![0; 200],
        b"a\r\nb".to_vec(),
        vec![0xff; 64],
        Vec::new(),
    ] {
        let size = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
        // server_name: a list of one host_name (RFC 6066, section 3).
        let entry = [&[0][..], &size(name.len()), &name].concat();
        let list = [&size(entry.len())[..], &entry].concat();
        let extension = [&[0, 0][..], &size(list.len()), &list].concat();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(size(extension.len()));
        body.extend(&extension);
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[1, length[1], length[2], length[3]][..], &body].concat();
        let record = [&[0x16, 3, 1][..], &size(message.len()), &message].concat();
        said_to(server.host(), &record, HANDSHAKE + ALLOWANCE);
        still_serves(&server);
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn handshakes_that_are_abandoned_leave_nothing() {
    let server = Registry::with().tls().start();
    still_serves(&server);
    let memory = resident(&server);
    let bytes = client_hello(&mut hello(config(&server, None), "reg.test"));
    for _ in 0..500 {
        let mut socket = connect(server.host(), PATIENCE);
        socket.write_all(&bytes).unwrap();
        // It answers, and nobody is there.
        drop(socket);
    }
    still_serves(&server);
    settled(&server, memory);
}

/// A ClientHello of TLS 1.0 or 1.1 (RFC 2246 and 4346, section 7.4.1.2), with a
/// cipher suite that every version has, and no extensions.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut hello = vec![3, minor];
    hello.extend([7; 32]);
    // No session; TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA; no compression.
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let size = u8::try_from(hello.len()).unwrap();
    let mut bytes = vec![0x16, 3, 1, 0, size + 4, 1, 0, 0, size];
    bytes.extend(hello);
    bytes
}

/// A server that asks every client for a certificate of one authority.
fn mutual() -> (TempDir, Registry, Authority) {
    let dir = TempDir::new().unwrap();
    let clients = Authority::create(&dir.path().join("clients"), "clients CA");
    let server = Registry::with()
        .tls()
        .env(
            "REGISTRY_HTTP_TLS_CLIENTCAS",
            &format!("[{}]", clients.certificate().display()),
        )
        .start();
    (dir, server, clients)
}

fn identity(authority: &Authority, dir: &TempDir, name: &str) -> Identity {
    let (crt, key) = authority.sign_client(name, &dir.path().join(name));
    let chain = vec![CertificateDer::from_pem_file(crt).unwrap()];
    (chain, PrivateKeyDer::from_pem_file(key).unwrap())
}

fn ask(server: &Registry, identity: Option<Identity>) -> std::io::Result<u16> {
    let client = hello(config(server, identity), SERVER_NAMES[0]);
    let socket = connect(server.host(), PATIENCE);
    base(client, socket, server.host())
}

/// Somebody who comes now is served.
fn still_serves(server: &Registry) {
    assert_eq!(ask(server, None).unwrap(), 200);
}
