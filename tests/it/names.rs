//! The grammars of repository names and tags.

use crate::content::{IMAGE, sha256};
use crate::repo::Repo;

// spec: 4
#[test]
fn names_follow_the_grammar() {
    let repo = Repo::fresh();
    let longest = format!("names/{}", "a".repeat(200));
    for name in [
        "a",
        "0",
        "a.b_c__d-e---f/g",
        "foo---bar",
        "foo__bar",
        "a/b/c/d/e/f/g/h",
        "manifests/blobs/uploads",
        "tags/list",
        "x/manifests/latest/y",
        &longest,
    ] {
        let started = repo
            .at("POST", &format!("/v2/{name}/blobs/uploads/"))
            .body("")
            .send()
            .expect(202);
        let prefix = format!("/v2/{name}/blobs/uploads/");
        assert!(started.must("location").starts_with(&prefix), "{started}");
    }
}

// spec: 4
#[test]
fn other_names_are_refused_and_nothing_is_made_of_them() {
    let repo = Repo::fresh();
    let longer = "a".repeat(256);
    let nested = "ab/".repeat(100) + "a";
    for name in [
        "Foo",
        "-foo",
        "foo-",
        "_foo",
        "foo_",
        ".foo",
        "foo.",
        "foo..bar",
        "foo___bar",
        "foo._bar",
        "foo-_bar",
        "foo//bar",
        "foo/",
        "/foo",
        "foo/_uploads",
        "foo/..",
        "../foo",
        "foo%00bar",
        "foo%2fbar",
        "foo%20bar",
        "f%c3%b6%c3%b6",
        "%2e%2e/foo",
        "foo%5cbar",
        "foo:bar",
        &longer,
        &nested,
    ] {
        let path = format!("/v2/{name}/blobs/uploads/");
        repo.at("POST", &path)
            .body("")
            .send()
            .refused(400, "NAME_INVALID");
        repo.at("GET", &format!("/v2/{name}/tags/list"))
            .send()
            .refused(400, "NAME_INVALID");
    }
}

// spec: 6
#[test]
fn tags_follow_the_grammar() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    let longest = "a".repeat(128);
    for tag in ["a", "_", "0", "V1.2-rc_3", "A-.-_", "manifests", &longest] {
        repo.put(tag, IMAGE, &manifest).expect(201);
        let answer = repo.get(&format!("manifests/{tag}")).expect(200);
        assert_eq!(sha256(&answer.body), sha256(&manifest));
    }
}

// spec: 6
#[test]
fn other_tags_are_refused_and_no_manifest_is_found_under_them() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    repo.put("good", IMAGE, &manifest).expect(201);
    let longer = "a".repeat(129);
    for tag in [
        ".INVALID_MANIFEST_NAME",
        "-a",
        "a%20b",
        "a+b",
        "a%00",
        "a%5cb",
        "%c3%b6",
        "..",
        ".",
        &longer,
    ] {
        repo.put(tag, IMAGE, &manifest)
            .refused(400, "MANIFEST_INVALID");
        repo.get(&format!("manifests/{tag}"))
            .refused(404, "MANIFEST_UNKNOWN");
        repo.head(&format!("manifests/{tag}")).expect(404);
        repo.delete(&format!("manifests/{tag}"))
            .refused(404, "MANIFEST_UNKNOWN");
    }
    assert_eq!(repo.tags(), ["good"]);
}

#[test]
fn a_percent_escape_names_what_it_stands_for() {
    let repo = Repo::fresh();
    let digest = repo.tag("latest", "one");
    for reference in ["l%61test".to_owned(), digest.replace(':', "%3A")] {
        let answer = repo.get(&format!("manifests/{reference}")).expect(200);
        assert_eq!(sha256(&answer.body), digest);
    }
}
