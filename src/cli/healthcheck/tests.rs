//! Servers of every kind on loopback, asked as a container would.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};

use super::*;

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Reads one request and answers it.
fn answer(mut stream: impl std::io::Read + std::io::Write, answer: &str) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.flush();
    String::from_utf8(request).unwrap()
}

fn ask_plain(said: &'static str) -> (Result<String, String>, String) {
    let (listener, port) = listen();
    let server = thread::spawn(move || answer(listener.accept().unwrap().0, said));
    let told = told(Some(&format!("http://127.0.0.1:{port}")), &[]);
    (told, server.join().unwrap())
}

/// What the command says, without the port.
fn told(url: Option<&str>, environment: &[(&str, &str)]) -> Result<String, String> {
    let find = |name: &str| {
        let found = environment.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    };
    let port = regex_lite::Regex::new(r"(127\.0\.0\.1):\d+").unwrap();
    let without = |text: String| port.replace_all(&text, "$1:PORT").into_owned();
    let args = HealthcheckArgs {
        config: None,
        url: url.map(str::to_owned),
    };
    let told = target(&args, find).map_err(Error::from).and_then(check);
    told.map(without)
        .map_err(|error| without(error.to_string()))
}

#[test]
fn an_answer_and_a_request_for_a_login_are_healthy() {
    let (told, request) = ask_plain("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(told.unwrap(), "healthy: http://127.0.0.1:PORT/ answers 200");
    assert!(
        request.starts_with("GET / HTTP/1.1\r\nHost: 127.0.0.1:"),
        "{request}"
    );
    assert!(ask_plain("HTTP/1.1 401 x\r\n\r\n").0.is_ok());
}

#[test]
fn what_is_not_found_is_not_healthy() {
    let (told, _) = ask_plain("HTTP/1.1 404 x\r\n\r\n");
    assert!(told.unwrap_err().contains("answers 404"));
}

#[test]
fn the_configuration_says_where_the_server_listens() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.yml");
    let (listener, port) = listen();
    let text = format!("version: 0.1\nstorage: filesystem\nhttp: {{addr: ':{port}'}}\n");
    std::fs::write(&config, text).unwrap();
    let server = thread::spawn(move || {
        answer(
            listener.accept().unwrap().0,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        )
    });
    let args = HealthcheckArgs {
        config: Some(config),
        url: None,
    };
    let told = check(target(&args, |_| None).unwrap()).unwrap();
    assert_eq!(
        told,
        format!("healthy: http://127.0.0.1:{port}/ answers 200")
    );
    server.join().unwrap();
}

#[test]
fn an_answer_from_500_on_is_not() {
    let (told, _) = ask_plain("HTTP/1.1 503 Service Unavailable\r\n\r\n");
    insta::assert_snapshot!(told.unwrap_err(), @"http://127.0.0.1:PORT/ answers 503: its log, or /debug/health, says why");
}

#[test]
fn nobody_and_nonsense_are_not() {
    let (listener, port) = listen();
    drop(listener);
    let error = told(Some(&format!("http://127.0.0.1:{port}/")), &[]).unwrap_err();
    insta::assert_snapshot!(error, @"http://127.0.0.1:PORT/ cannot be asked: Connection refused (os error 111)");
    let (told, _) = ask_plain("SSH-2.0-OpenSSH_9.2\r\n");
    insta::assert_snapshot!(told.unwrap_err(), @"http://127.0.0.1:PORT/ cannot be asked: it speaks no HTTP");
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let (listener, port) = listen();
    let begun = std::time::Instant::now();
    let error = told(None, &[("REGISTRY_HTTP_ADDR", &format!(":{port}"))]).unwrap_err();
    insta::assert_snapshot!(error, @"http://127.0.0.1:PORT/ did not answer within 3 s");
    assert!(begun.elapsed() < PATIENCE * 2);
    drop(listener);
}

#[test]
fn a_unix_socket_is_asked_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || answer(listener.accept().unwrap().0, "HTTP/1.1 200 OK\r\n"));
    let environment = [
        ("REGISTRY_HTTP_NET", "unix"),
        ("REGISTRY_HTTP_ADDR", path.to_str().unwrap()),
    ];
    let told = told(None, &environment).unwrap();
    assert!(told.ends_with("registry.sock (http) answers 200"), "{told}");
    assert!(server.join().unwrap().contains("Host: localhost\r\n"));
}

/// A server whose certificate nobody knows and that names another host.
fn tls_server(ask_for_certificate: bool) -> u16 {
    let made = rcgen::generate_simple_self_signed(["elsewhere.test".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if ask_for_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let config = Arc::new(builder.with_single_cert(vec![certificate], key).unwrap());
    let (listener, port) = listen();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(config).unwrap();
        answer(
            Stream::new(&mut tls, &mut socket),
            "HTTP/1.1 200 OK\r\n\r\n",
        );
        tls.send_close_notify();
        let _ = tls.write_tls(&mut socket);
        // Until the client has read all, closing would take it back.
        let _ = socket.read(&mut [0; 1024]);
    });
    port
}

#[test]
fn the_certificate_of_this_machine_is_not_verified() {
    let port = tls_server(false);
    let environment = [
        ("REGISTRY_HTTP_ADDR", format!("0.0.0.0:{port}")),
        ("REGISTRY_HTTP_TLS_CERTIFICATE", "/certs/domain.crt".into()),
    ];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let told = told(None, &environment);
    assert_eq!(
        told.unwrap(),
        "healthy: https://127.0.0.1:PORT/ answers 200"
    );
}

#[test]
fn a_server_that_asks_for_a_certificate_is_there() {
    let port = tls_server(true);
    let told = told(Some(&format!("https://127.0.0.1:{port}/")), &[]);
    insta::assert_snapshot!(told.unwrap(), @"healthy: https://127.0.0.1:PORT/ asks for a client certificate");
}
