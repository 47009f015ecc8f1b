//! `wharf serve` without a configuration: what the first start makes and tells,
//! and what later starts keep.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use reqwest::blocking::{Client, Response};
use reqwest::tls::TlsInfo;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use x509_parser::pem::Pem;

use crate::process::{CONFIGURATION, Serving, ended_with, wharf};
use crate::wire::Request;

#[test]
fn the_first_start_tells_everything_that_a_login_needs() {
    let dir = TempDir::new().unwrap();
    let server = Serving::start(dir.path(), &[]);
    let data = dir.path().canonicalize().unwrap().join("wharf-data");

    let address = format!("https://{}", server.host());
    assert_eq!(server.told("address"), Some(address));
    let said = server.said();
    let place = said.lines().find(|line| line.contains("  data ")).unwrap();
    assert!(place.contains(data.to_str().unwrap()), "{place}");
    assert!(place.ends_with("B free)"), "{place}");
    let ca = data.join("tls/ca.crt");
    assert_eq!(server.told("CA"), Some(ca.to_str().unwrap().to_owned()));
    assert_eq!(server.told("SHA-256"), Some(fingerprint(&ca)));
    let login = format!("docker login localhost:{} -u admin", server.port());
    assert!(said.lines().any(|line| line.trim() == login), "{said}");

    let password = server.told("password").unwrap();
    assert!(password.len() >= 32, "{said}");
    assert_eq!(said.matches(&password).count(), 1, "told once: {said}");
    let answer = login_as(&server, dir.path(), "127.0.0.1", &password);
    assert_eq!(answer.status(), 200);
    assert_eq!(certificate(&answer), der(&data.join("tls/server.crt")));
    let wrong = login_as(&server, dir.path(), "localhost", "not the password");
    assert_eq!(wrong.status(), 401);
}

#[test]
fn keys_and_users_are_readable_by_the_owner_alone() {
    let dir = TempDir::new().unwrap();
    let server = Serving::start(dir.path(), &[]);
    let data = dir.path().join("wharf-data");
    for secret in ["tls/ca.key", "tls/server.key", "users.htpasswd"] {
        let mode = fs::metadata(data.join(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let users = fs::read_to_string(data.join("users.htpasswd")).unwrap();
    assert!(users.contains("admin:$argon2id$"), "{users}");
    assert!(!users.contains(&server.told("password").unwrap()));
}

#[test]
fn a_second_start_keeps_certificates_and_password_and_tells_none() {
    let dir = TempDir::new().unwrap();
    let first = Serving::start(dir.path(), &[]);
    let password = first.told("password").unwrap();
    let certificate_then = served(&first, dir.path(), "127.0.0.1");
    let fingerprint_then = first.told("SHA-256");
    first.stop();

    let second = Serving::start(dir.path(), &[]);
    assert_eq!(second.told("SHA-256"), fingerprint_then);
    assert_eq!(served(&second, dir.path(), "127.0.0.1"), certificate_then);
    let said = second.said();
    assert_eq!(second.told("password"), None, "{said}");
    assert!(!said.contains(&password), "{said}");
    assert!(second.told("users").is_some(), "{said}");
    let answer = login_as(&second, dir.path(), "127.0.0.1", &password);
    assert_eq!(answer.status(), 200);
}

#[test]
fn a_name_given_later_is_added_to_the_certificate_by_the_same_authority() {
    let dir = TempDir::new().unwrap();
    let first = Serving::start(dir.path(), &[]);
    let (password, ca) = (first.told("password").unwrap(), first.told("SHA-256"));
    let client = client(&first, dir.path());
    let url = format!("https://reg.test:{}/v2/", first.port());
    assert!(client.get(&url).send().is_err(), "no such name yet");
    first.stop();

    let second = Serving::start(dir.path(), &["--name", "reg.test"]);
    assert_eq!(second.told("SHA-256"), ca);
    for name in ["reg.test", "localhost", "127.0.0.1"] {
        let answer = login_as(&second, dir.path(), name, &password);
        assert_eq!(answer.status(), 200, "{name}");
    }
}

#[test]
fn a_taken_port_is_one_line_and_the_next_start_still_tells_the_password() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let failed = wharf(dir.path(), ["serve", "--addr", &address.to_string()]).output();
    ended_with(&failed, CONFIGURATION);
    assert_eq!(failed.text().lines().count(), 1, "{failed}");
    let port = address.port().to_string();
    assert!(failed.stderr.contains(&port), "{failed}");
    assert!(failed.stderr.contains("--addr"), "what to do: {failed}");

    let server = Serving::start(dir.path(), &[]);
    let password = server.told("password");
    let password = password.expect("a password that nobody was told is told now");
    let answer = login_as(&server, dir.path(), "127.0.0.1", &password);
    assert_eq!(answer.status(), 200);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_one_line() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "no directory").unwrap();
    let args = ["serve", "--addr", "127.0.0.1:0", "--data", "file/below"];
    let failed = wharf(dir.path(), args).output();
    ended_with(&failed, CONFIGURATION);
    assert_eq!(failed.text().lines().count(), 1, "{failed}");
    assert!(failed.stderr.contains("file/below"), "{failed}");
    assert!(failed.stderr.contains("--data"), "what to do: {failed}");
}

#[test]
fn plain_http_is_told_to_use_https_and_asked_for_no_password() {
    let dir = TempDir::new().unwrap();
    let server = Serving::start(dir.path(), &[]);
    for (method, path) in [
        ("GET", "/v2/"),
        ("GET", "/v2/some/repo/manifests/latest"),
        ("POST", "/v2/some/repo/blobs/uploads/"),
    ] {
        let answer = Request::new(server.host(), method, path)
            .header("Authorization", "Basic YWRtaW46c2VjcmV0")
            .send()
            .refused(400, "UNSUPPORTED");
        let message = answer.json()["errors"][0]["message"].to_string();
        let https = format!("https://{}", server.host());
        assert!(message.contains(&https), "{message}");
        let login = format!("docker login {}", server.host());
        assert!(message.contains(&login), "{message}");
        assert_eq!(answer.header("www-authenticate"), None);
        assert_eq!(
            answer.header("docker-distribution-api-version"),
            Some("registry/2.0")
        );
    }
}

/// A client that trusts the server's own authority and nobody else, and finds
/// every name of the tests on loopback.
fn client(server: &Serving, dir: &Path) -> Client {
    let pem = fs::read(dir.join("wharf-data/tls/ca.crt")).unwrap();
    let ca = reqwest::Certificate::from_pem(&pem).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
    Client::builder()
        .no_proxy()
        .tls_certs_only([ca])
        .tls_info(true)
        .resolve("reg.test", address)
        .resolve("localhost", address)
        .build()
        .unwrap()
}

fn login_as(server: &Serving, dir: &Path, name: &str, password: &str) -> Response {
    let url = format!("https://{name}:{}/v2/", server.port());
    let request = client(server, dir).get(url);
    let request = request.basic_auth("admin", Some(password));
    request.send().unwrap()
}

/// The certificate that the server shows, as DER.
fn served(server: &Serving, dir: &Path, name: &str) -> Vec<u8> {
    certificate(&login_as(server, dir, name, "whatever"))
}

fn certificate(answer: &Response) -> Vec<u8> {
    let info = answer.extensions().get::<TlsInfo>();
    let certificate = info.and_then(TlsInfo::peer_certificate);
    certificate.expect("a certificate").to_vec()
}

/// The first certificate of a file.
fn der(file: &Path) -> Vec<u8> {
    let pem = fs::read(file).unwrap();
    let first = Pem::iter_from_buffer(&pem).next();
    first.expect("a certificate").unwrap().contents
}

/// As `openssl x509 -fingerprint -sha256` shows it.
fn fingerprint(file: &Path) -> String {
    let digest = Sha256::digest(der(file));
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}
