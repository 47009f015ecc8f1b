//! Listing tags (distribution-spec, "Listing Tags").

use crate::content::{IMAGE, sha256};
use crate::repo::{Repo, next, strings};
use crate::support::Registry;

/// Tags whose byte order is none that people would sort by.
const TAGS: [&str; 9] = ["10", "9", "A", "B", "_x", "a", "a-b", "latest", "v1.0"];

fn tagged() -> Repo {
    let repo = Repo::fresh();
    tag(&repo);
    repo
}

fn tag(repo: &Repo) {
    let manifest = repo.image("one");
    for tag in TAGS.iter().rev() {
        repo.put(tag, IMAGE, &manifest).expect(201);
    }
}

// spec: 68, 69, 70
#[test]
fn all_tags_come_in_byte_order() {
    let repo = tagged();
    let answer = repo.get("tags/list").expect(200);
    assert_eq!(answer.json()["name"], repo.name());
    assert_eq!(answer.must("content-type"), "application/json");
    let tags = strings(&answer, "tags");
    assert_eq!(tags, TAGS);
    assert!(tags.is_sorted());
    assert_eq!(next(&answer), None);
}

// spec: 68
#[test]
fn the_tags_of_a_repository_that_does_not_exist_are_404() {
    let repo = Repo::fresh();
    repo.get("tags/list").refused(404, "NAME_UNKNOWN");
    repo.get("tags/list?n=0").refused(404, "NAME_UNKNOWN");
    // A repository above or below others is none by that.
    let below = repo.beside("below/inner");
    below.tag("latest", "one");
    repo.beside("below")
        .get("tags/list")
        .refused(404, "NAME_UNKNOWN");
}

// spec: 69
#[test]
fn no_tags_are_an_empty_list() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    repo.put(&sha256(&manifest), IMAGE, &manifest).expect(201);
    let answer = repo.get("tags/list").expect(200);
    assert_eq!(
        answer.json(),
        serde_json::json!({"name": repo.name(), "tags": []})
    );
}

// spec: 71, 72
#[test]
fn pages_of_any_size_are_the_whole_list() {
    let repo = tagged();
    for n in 1..=TAGS.len() + 1 {
        let mut seen = Vec::new();
        let mut page = Some(repo.path(&format!("tags/list?n={n}")));
        while let Some(location) = page {
            let answer = repo.at("GET", &location).send().expect(200);
            let tags = strings(&answer, "tags");
            page = next(&answer);
            if page.is_some() {
                assert_eq!(tags.len(), n);
            }
            seen.extend(tags);
        }
        assert_eq!(seen, TAGS, "n={n}");
    }
    let all = repo.get(&format!("tags/list?n={}", TAGS.len()));
    assert_eq!(next(&all), None, "nothing follows");
}

// spec: 73
#[test]
fn n_0_is_an_empty_list_without_a_link() {
    let repo = tagged();
    let answer = repo.get("tags/list?n=0").expect(200);
    assert!(strings(&answer, "tags").is_empty());
    assert_eq!(answer.header("link"), None);
}

// spec: 74
#[test]
fn last_begins_behind_it_whether_or_not_it_exists() {
    let repo = tagged();
    for (query, expected) in [
        ("last=_x", &TAGS[5..]),
        ("last=a-", &TAGS[6..]),
        ("last=zzz", &[]),
        ("last=", &TAGS[..]),
        ("last=0", &TAGS[..]),
        ("n=2&last=A", &TAGS[3..5]),
        ("n=2&last=AA", &TAGS[3..5]),
        ("n=100&last=latest", &TAGS[8..]),
        ("last=../../x", &TAGS[..]),
        ("last=%00", &TAGS[..]),
    ] {
        let answer = repo.get(&format!("tags/list?{query}")).expect(200);
        assert_eq!(strings(&answer, "tags"), expected, "{query}");
    }
}

// spec: 75
#[test]
fn an_n_that_is_no_number_is_400() {
    let repo = tagged();
    for n in ["-1", "x", "1.5", "0x1", "+1", "%zz", "1%202"] {
        repo.get(&format!("tags/list?n={n}"))
            .refused(400, "UNSUPPORTED");
    }
}

// spec: 71
#[test]
fn an_n_above_the_largest_page_is_clamped_with_a_link_and_a_hint() {
    let server = Registry::with().section("tags:\n  maxtags: 4").start();
    let repo = Repo::on(&server, "clamped");
    tag(&repo);
    for n in ["5", "1000000000", "99999999999999999999999999"] {
        let answer = repo.get(&format!("tags/list?n={n}")).expect(200);
        assert_eq!(strings(&answer, "tags"), TAGS[..4]);
        assert!(answer.must("warning").starts_with("299 - \""), "{answer}");
        let rest = next(&answer).expect("a next page");
        let second = repo.at("GET", &rest).send().expect(200);
        assert_eq!(strings(&second, "tags"), TAGS[4..8]);
    }
    assert_eq!(repo.tags(), TAGS, "all without n");
}
