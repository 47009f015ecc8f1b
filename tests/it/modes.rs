//! What the configuration changes: deletes or every write switched off, and how
//! answers look.

use crate::content::{EMPTY_DIGEST, IMAGE, sha256};
use crate::repo::{Repo, with_query};
use crate::support::Registry;

// spec: 95, 99, 103
#[test]
fn with_deletes_off_every_delete_is_405_and_nothing_goes() {
    let server = Registry::with()
        .env("REGISTRY_STORAGE_DELETE_ENABLED", "false")
        .start();
    let repo = Repo::on(&server, "kept");
    let digest = repo.tag("latest", "one");
    for rest in [
        "manifests/latest",
        &format!("manifests/{digest}"),
        &format!("blobs/{EMPTY_DIGEST}"),
    ] {
        let answer = repo.delete(rest).refused(405, "UNSUPPORTED");
        let allowed = answer.must("allow");
        assert!(!allowed.contains("DELETE"), "{answer}");
        repo.get(rest).expect(200);
    }
    // An upload is no content yet: it can be cancelled.
    let location = repo.start();
    repo.at("DELETE", &location).send().expect(204);
}

#[test]
fn a_read_only_registry_serves_and_refuses_every_write() {
    let volume = tempfile::TempDir::new().unwrap();
    let writable = Registry::with().data(volume.path()).start();
    let repo = Repo::on(&writable, "frozen");
    let digest = repo.tag("latest", "one");
    let location = repo.start();
    let manifest = repo.get("manifests/latest").body;
    drop(writable);

    let server = Registry::with()
        .data(volume.path())
        .env("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
        .start();
    let repo = Repo::on(&server, "frozen");
    let closing = with_query(&location, &format!("digest={}", sha256(b"x")));
    for request in [
        repo.ask("POST", "blobs/uploads/").body(""),
        repo.ask("POST", &format!("blobs/uploads/?digest={}", sha256(b"x")))
            .body("x"),
        repo.ask(
            "POST",
            &format!("blobs/uploads/?mount={EMPTY_DIGEST}&from=frozen"),
        )
        .body(""),
        repo.at("PATCH", &location).body("x"),
        repo.at("PUT", &closing).body("x"),
        repo.at("DELETE", &location),
        repo.ask("PUT", "manifests/new")
            .header("Content-Type", IMAGE)
            .body(manifest.as_slice()),
        repo.ask("DELETE", "manifests/latest"),
        repo.ask("DELETE", &format!("manifests/{digest}")),
        repo.ask("DELETE", &format!("blobs/{EMPTY_DIGEST}")),
    ] {
        let answer = request.send().refused(405, "UNSUPPORTED");
        assert!(answer.header("allow").is_some(), "{answer}");
    }
    assert_eq!(repo.get("manifests/latest").expect(200).body, manifest);
    repo.get(&format!("blobs/{EMPTY_DIGEST}")).expect(200);
    assert_eq!(repo.tags(), ["latest"]);
    repo.get(&format!("referrers/{digest}")).expect(200);
}

// spec: 59
#[test]
fn with_validation_off_a_manifest_may_come_before_its_parts() {
    let server = Registry::with()
        .section("validation:\n  disabled: true")
        .start();
    let repo = Repo::on(&server, "sparse");
    let manifest = crate::content::bytes(&crate::content::image(&[b"never pushed"]));
    repo.put("latest", IMAGE, &manifest).expect(201);
    assert_eq!(repo.get("manifests/latest").expect(200).body, manifest);
}

#[test]
fn with_an_address_of_its_own_locations_are_absolute() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_HOST", "https://registry.example:8443")
        .start();
    let repo = Repo::on(&server, "known");
    let started = repo.ask("POST", "blobs/uploads/").body("").send();
    let started = started.expect(202);
    let prefix = format!(
        "https://registry.example:8443{}",
        repo.path("blobs/uploads/")
    );
    assert!(started.must("location").starts_with(&prefix), "{started}");
}

#[test]
fn configured_headers_are_in_every_answer() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_HEADERS", "{X-Served-By: [harbour]}")
        .start();
    let repo = Repo::on(&server, "headers");
    for path in ["/v2/", "/v2/none/tags/list", "/"] {
        let answer = repo.at("GET", path).send();
        assert_eq!(answer.header("x-served-by"), Some("harbour"), "{path}");
    }
}
