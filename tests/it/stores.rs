//! Replicas that should share one storage and don't: an upload that reaches
//! the wrong one is told so.

use tempfile::TempDir;

use crate::content::sha256;
use crate::repo::{Repo, with_query};
use crate::support::Registry;
use crate::wire::Request;

const OTHER: &str = "00000000";

/// The id in an upload's location.
fn store(location: &str) -> &str {
    let (_, id) = location.split_once("?store=").expect("a store");
    id
}

#[test]
fn every_location_of_an_upload_names_the_store_and_restarts_keep_it() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "named");
    let location = repo.start();
    let id = store(&location).to_owned();
    assert_eq!(id.len(), 8, "{location}");
    let record = server.data().join("docker/registry/v2/wharf/store-id");
    let record = std::fs::read_to_string(record).unwrap();
    assert!(record.starts_with(&id) && record.len() == 37, "{record}");
    for answer in [
        repo.at("PATCH", &location).body("01234").send().expect(202),
        repo.at("GET", &location).send().expect(204),
        repo.at("PATCH", &location)
            .header("Content-Range", "9-9")
            .body("x")
            .send()
            .expect(416),
    ] {
        assert_eq!(store(answer.must("location")), id);
    }

    server.restart();
    assert_eq!(store(&repo.start()), id);
    let closing = with_query(&location, &format!("digest={}", sha256(b"01234")));
    repo.at("PUT", &closing).body("").send().expect(201);
}

#[test]
fn an_upload_that_reaches_a_replica_with_another_store_is_told_so() {
    let (one, other) = (Registry::start(), Registry::start());
    let begun = Repo::on(&one, "split").start();
    let (theirs, ours) = (
        store(&begun).to_owned(),
        store(&Repo::on(&other, "split").start()).to_owned(),
    );
    assert_ne!(theirs, ours);
    let closing = with_query(&begun, &format!("digest={}", sha256(b"x")));
    for (method, location) in [
        ("GET", &begun),
        ("PATCH", &begun),
        ("PUT", &closing),
        ("DELETE", &begun),
    ] {
        let request = Request::new(other.host(), method, location);
        let request = match method {
            "PATCH" | "PUT" => request.body("x"),
            _ => request,
        };
        let answer = request.send().refused(404, "BLOB_UPLOAD_UNKNOWN");
        let said = answer.to_string();
        let words = format!("begun on the store {theirs}, but this replica uses {ours}");
        assert!(
            method == "HEAD" || said.contains(&words),
            "{method}: {said}"
        );
    }
    let log = other.log();
    assert!(log.contains("must share one storage"), "{log}");
}

#[test]
fn replicas_with_one_store_go_on_with_each_others_uploads() {
    let volume = TempDir::new().unwrap();
    let start = || Registry::with().data(volume.path()).start();
    let (one, other) = (start(), start());
    let (one, other) = (Repo::on(&one, "shared"), Repo::on(&other, "shared"));
    let location = one.start();
    assert_eq!(store(&location), store(&other.start()));
    other
        .at("PATCH", &location)
        .body("01234")
        .send()
        .expect(202);
    let closing = with_query(&location, &format!("digest={}", sha256(b"0123456789")));
    one.at("PUT", &closing).body("56789").send().expect(201);
}

#[test]
fn a_session_that_is_there_is_served_whatever_its_location_says() {
    let repo = Repo::fresh();
    let location = repo.start();
    let (path, id) = location.split_once("?store=").unwrap();
    for other in [
        path.to_owned(),
        format!("{path}?store={OTHER}"),
        format!("{path}?store=x"),
        format!("{path}?store={id}&store={OTHER}"),
    ] {
        assert_eq!(repo.received(&other), 0, "{other}");
    }
    let unknown = repo.path("blobs/uploads/00000000-0000-4000-8000-000000000000");
    for location in [unknown.clone(), format!("{unknown}?store={id}")] {
        let answer = repo.at("GET", &location).send();
        let said = answer.refused(404, "BLOB_UPLOAD_UNKNOWN").to_string();
        assert!(!said.contains("share one storage"), "{said}");
    }
}

#[test]
fn a_volume_that_is_only_read_gets_no_id() {
    let server = Registry::with()
        .env("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")
        .start();
    Request::new(server.host(), "GET", "/v2/")
        .send()
        .expect(200);
    assert_eq!(std::fs::read_dir(server.data()).unwrap().count(), 0);
}
