//! Errors, warnings, and what only proxies do (distribution-spec, "Error
//! Codes", "Warnings").

use std::io::ErrorKind;
use std::net::TcpListener;

use crate::content::{self, ABSENT, EMPTY_DIGEST, EMPTY_JSON, IMAGE, INDEX, bytes, sha256};
use crate::repo::Repo;
use crate::wire::Request;

/// The codes of the specification. registry:2 has more; clients need not know
/// them.
pub const CODES: [&str; 14] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
];

/// One request for each way to go wrong.
fn mistakes(repo: &Repo) -> Vec<Request> {
    let location = repo.start();
    vec![
        repo.at("GET", "/v2/UPPER/tags/list"),
        repo.at("GET", "/v2/no/such/repository/tags/list"),
        repo.at("GET", "/v2/nothing"),
        repo.at("GET", "/elsewhere"),
        repo.ask("GET", "manifests/none"),
        repo.ask("GET", &format!("manifests/{ABSENT}")),
        repo.ask("GET", "manifests/sha256:totallywrong"),
        repo.ask("GET", &format!("blobs/{ABSENT}")),
        repo.ask("GET", "blobs/sha256:abc"),
        repo.ask("GET", "referrers/latest"),
        repo.ask("GET", "tags/list?n=x"),
        repo.ask("DELETE", "manifests/none"),
        repo.ask("DELETE", "tags/list"),
        repo.ask("PUT", "manifests/x")
            .header("Content-Type", IMAGE)
            .body("{"),
        repo.ask("PUT", "manifests/.x")
            .header("Content-Type", IMAGE)
            .body("{}"),
        repo.ask("PUT", "manifests/x")
            .header("Content-Type", IMAGE)
            .body(bytes(&content::image(&[b"absent"]))),
        repo.ask("POST", "blobs/uploads/?digest=x").body("x"),
        repo.ask("POST", &format!("blobs/uploads/?digest={ABSENT}"))
            .body("x"),
        repo.ask("POST", &format!("blobs/uploads/?mount={ABSENT}&from=X"))
            .body(""),
        repo.ask("PATCH", "blobs/uploads/x").body("x"),
        repo.at("PATCH", &location)
            .header("Content-Range", "7-7")
            .body("x"),
        repo.at("PATCH", &location)
            .header("Content-Range", "0-7")
            .body("x"),
        repo.at("PATCH", &location)
            .header("Content-Range", "x")
            .body("x"),
        repo.at("PUT", &location).body("x"),
    ]
}

// spec: 104, 105, 106, 107
#[test]
fn every_error_has_a_code_of_the_specification_and_words() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    repo.tag("latest", "one");
    for request in mistakes(&repo) {
        let answer = request.send();
        assert!((400..500).contains(&answer.status), "{answer}");
        let code = answer.code();
        assert!(code.bytes().all(|c| c.is_ascii_uppercase() || c == b'_'));
        assert!(CODES.contains(&code.as_str()), "{answer}");
        for error in answer.json()["errors"].as_array().unwrap() {
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(' '), "words for people: {answer}");
            let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
            assert!(
                keys.iter()
                    .all(|key| ["code", "message", "detail"].contains(&key.as_str())),
                "{answer}"
            );
        }
    }
}

// spec: 109, 110
#[test]
fn warnings_have_the_form_that_clients_print() {
    let repo = Repo::fresh();
    let subject = repo.tag("latest", "one");
    let tag = subject.replace(':', "-");
    let answer = repo.put(&tag, INDEX, &bytes(&content::index(&[])));
    let warnings = answer.all("warning");
    assert!(!warnings.is_empty(), "{answer}");
    for warning in &warnings {
        let text = warning.strip_prefix("299 - \"");
        let text = text.and_then(|text| text.strip_suffix('"'));
        let text = text.unwrap_or_else(|| panic!("{warning}"));
        assert!(!text.contains(['"', '\\']), "no date, one quoted text");
    }
    assert!(warnings.iter().map(|one| one.len()).sum::<usize>() <= 4096);
    assert!(repo.get("manifests/latest").all("warning").is_empty());
}

// spec: 111, 112
#[test]
fn a_namespace_is_ignored_and_nobody_elses_registry_is_asked() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = upstream.local_addr().unwrap();
    let repo = Repo::fresh();
    repo.tag("latest", "one");
    for (rest, status) in [
        ("manifests/latest".to_owned(), 200),
        ("manifests/none".to_owned(), 404),
        (format!("blobs/{EMPTY_DIGEST}"), 200),
        (format!("blobs/{ABSENT}"), 404),
        ("tags/list".to_owned(), 200),
    ] {
        let answer = repo
            .ask("GET", &format!("{rest}?ns={address}"))
            .header("Authorization", "Basic bW9ieTpnb3Jkb24=")
            .send()
            .expect(status);
        assert_eq!(answer.header("oci-namespace"), None);
    }
    upstream.set_nonblocking(true).unwrap();
    let asked = upstream.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(asked, Err(ErrorKind::WouldBlock));
}

#[test]
fn an_error_does_not_repeat_what_could_be_markup_for_a_terminal() {
    let repo = Repo::fresh();
    repo.tag("latest", "one");
    let answer = repo.get("manifests/a%1b%5b31m%0d%0aX-Injected:%201");
    assert!((400..500).contains(&answer.status), "{answer}");
    assert_eq!(answer.header("x-injected"), None);
    assert!(!answer.body.contains(&0x1b), "{answer}");
}

#[test]
fn a_refused_push_leaves_nothing_behind() {
    let repo = Repo::fresh();
    let manifest = bytes(&content::image(&[b"absent"]));
    repo.put("latest", IMAGE, &manifest).expect(400);
    repo.get(&format!("manifests/{}", sha256(&manifest)))
        .expect(404);
    repo.get("tags/list").refused(404, "NAME_UNKNOWN");
}
