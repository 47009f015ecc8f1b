//! Conditional requests (RFC 9110, section 13): the entity tag of content is
//! its digest.

use crate::content::{ABSENT, EMPTY_DIGEST, EMPTY_JSON};
use crate::repo::Repo;

// spec: 7
#[test]
fn what_the_client_has_is_304() {
    let repo = Repo::fresh();
    let digest = repo.tag("latest", "one");
    repo.push(EMPTY_JSON);
    for (rest, digest) in [
        ("manifests/latest".to_owned(), digest.as_str()),
        (format!("manifests/{digest}"), &digest),
        (format!("blobs/{EMPTY_DIGEST}"), EMPTY_DIGEST),
    ] {
        for tags in [
            format!("\"{digest}\""),
            // registry:2 takes it without quotes.
            digest.to_owned(),
            format!("W/\"{digest}\""),
            format!("\"other\", \"{digest}\""),
            "*".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let answer = repo
                    .ask(method, &rest)
                    .header("If-None-Match", &tags)
                    .send()
                    .expect(304);
                assert_eq!(answer.must("etag"), format!("\"{digest}\""));
                assert_eq!(answer.must("docker-content-digest"), digest);
                // RFC 9110, 15.4.5.
                let whole = repo.ask(method, &rest).send();
                let caching = whole.must("cache-control");
                assert_eq!(answer.must("cache-control"), caching);
            }
        }
    }
}

// spec: 7
#[test]
fn what_the_client_does_not_have_is_sent() {
    let repo = Repo::fresh();
    repo.tag("latest", "one");
    for rest in ["manifests/latest", &format!("blobs/{EMPTY_DIGEST}")] {
        let answer = repo
            .ask("GET", rest)
            .header("If-None-Match", format!("\"{ABSENT}\""))
            .send();
        answer.expect(200);
    }
    // A tag that moved is new to whoever has the old manifest.
    let old = repo.head("manifests/latest").must("etag").to_owned();
    repo.tag("latest", "two");
    repo.ask("GET", "manifests/latest")
        .header("If-None-Match", old)
        .send()
        .expect(200);
}

// spec: 7
#[test]
fn if_match_that_names_another_is_412() {
    let repo = Repo::fresh();
    let digest = repo.tag("latest", "one");
    let ask = |tag: &str| {
        repo.ask("GET", "manifests/latest")
            .header("If-Match", tag)
            .send()
    };
    ask(&format!("\"{digest}\"")).expect(200);
    ask("*").expect(200);
    ask(&format!("\"{ABSENT}\"")).expect(412);
}
