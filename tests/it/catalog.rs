//! `_catalog`: all repositories in byte order, nested names among them.

use crate::content::{self, INDEX};
use crate::repo::{Repo, next, strings};
use crate::support::Registry;

/// Directories nest where names don't sort: `a/b` comes behind `a-b` and `a.b`.
const NAMES: [&str; 18] = [
    "0", "a", "a--b", "a-b", "a-b/c", "a-b/c-d", "a.b", "a.b/c", "a/0", "a/b", "a/b-c", "a/b/c",
    "a0", "a0/b", "a_b", "a__b", "ab", "b",
];

fn catalogued(section: &str) -> (Registry, Repo) {
    let server = Registry::with().section(section).start();
    let empty = content::bytes(&content::index(&[]));
    for name in NAMES.iter().rev() {
        Repo::on(&server, name)
            .put("latest", INDEX, &empty)
            .expect(201);
    }
    let repo = Repo::on(&server, "a");
    (server, repo)
}

fn sorted() -> Vec<String> {
    let mut names: Vec<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
    names.sort();
    names
}

#[test]
fn pages_of_any_size_are_the_whole_catalog_in_byte_order() {
    let (_server, repo) = catalogued("");
    let whole = repo.at("GET", "/v2/_catalog").send().expect(200);
    assert_eq!(whole.must("content-type"), "application/json");
    assert_eq!(strings(&whole, "repositories"), sorted());
    assert_eq!(next(&whole), None);
    for n in [1, 2, 3, 5, 17, 18, 19] {
        let mut seen = Vec::new();
        let mut page = Some(format!("/v2/_catalog?n={n}"));
        while let Some(location) = page {
            let answer = repo.at("GET", &location).send().expect(200);
            let names = strings(&answer, "repositories");
            page = next(&answer);
            assert!(names.len() == n || page.is_none(), "{answer}");
            seen.extend(names);
        }
        assert_eq!(seen, sorted(), "n={n}");
    }
}

#[test]
fn last_begins_behind_it_whether_or_not_it_exists() {
    let (_server, repo) = catalogued("");
    let many = "a-".repeat(10_000);
    for last in [
        "a",
        "a-",
        "a-b/c",
        "a.a",
        "a/",
        "a/b",
        "a/b/c/d",
        "a/zzz",
        "a0",
        "aa",
        "Z",
        "b",
        "zz",
        "../..",
        "%00",
        "a-%00",
        "a-%EE%80%80",
        &many,
    ] {
        let answer = repo
            .at("GET", &format!("/v2/_catalog?last={last}"))
            .send()
            .expect(200);
        let last = last.replace("%00", "\0").replace("%EE%80%80", "\u{E000}");
        let expected: Vec<String> = sorted().into_iter().filter(|name| *name > last).collect();
        assert_eq!(strings(&answer, "repositories"), expected, "{last}");
    }
}

#[test]
fn n_0_is_empty_and_a_bad_n_is_400() {
    let (_server, repo) = catalogued("");
    let none = repo.at("GET", "/v2/_catalog?n=0").send().expect(200);
    assert!(strings(&none, "repositories").is_empty());
    assert_eq!(none.header("link"), None);
    for n in ["-1", "x"] {
        repo.at("GET", &format!("/v2/_catalog?n={n}"))
            .send()
            .refused(400, "UNSUPPORTED");
    }
}

#[test]
fn an_n_above_the_largest_page_is_clamped() {
    let (_server, repo) = catalogued("catalog:\n  maxentries: 3");
    let answer = repo.at("GET", "/v2/_catalog?n=5000").send().expect(200);
    assert_eq!(strings(&answer, "repositories"), sorted()[..3]);
    assert!(next(&answer).is_some());
    assert!(answer.must("warning").starts_with("299 - \""), "{answer}");
}

#[test]
fn without_n_a_page_has_a_hundred() {
    let server = Registry::start();
    let empty = content::bytes(&content::index(&[]));
    for n in 0..101 {
        Repo::on(&server, &format!("many/r{n:03}"))
            .put("latest", INDEX, &empty)
            .expect(201);
    }
    let repo = Repo::on(&server, "many");
    let first = repo.at("GET", "/v2/_catalog").send().expect(200);
    assert_eq!(strings(&first, "repositories").len(), 100);
    let rest = next(&first).expect("a next page");
    let second = repo.at("GET", &rest).send().expect(200);
    assert_eq!(strings(&second, "repositories"), ["many/r100"]);
}

#[test]
fn an_empty_registry_has_an_empty_catalog() {
    let server = Registry::start();
    let answer = Repo::on(&server, "none").at("GET", "/v2/_catalog").send();
    assert_eq!(
        answer.expect(200).json(),
        serde_json::json!({"repositories": []})
    );
}
