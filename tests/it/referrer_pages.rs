//! Many referrers, or long ones: pages that are each a whole index.

use serde_json::json;

use crate::content::{self, IMAGE, sha256};
use crate::referrers::{digests, listed, refer};
use crate::repo::{Repo, next};

/// Follows the links from `query` on and returns all digests, with a check of
/// every page.
fn walk(repo: &Repo, subject: &str, query: &str, check: impl Fn(usize, &str)) -> Vec<String> {
    let mut seen = Vec::new();
    let mut page = Some(repo.path(&format!("referrers/{subject}{query}")));
    while let Some(location) = page {
        let answer = repo.at("GET", &location).send().expect(200);
        assert!(
            answer.body.len() <= 4 * 1024 * 1024,
            "clients stop at 4 MiB"
        );
        let list = listed(&answer);
        page = next(&answer);
        if let Some(link) = &page {
            check(list.len(), link);
        }
        seen.extend(digests(&list).into_iter().map(str::to_owned));
    }
    seen
}

// spec: 87, 88
#[test]
fn pages_of_any_size_are_the_whole_list() {
    let repo = Repo::fresh();
    let subject = repo.tag("latest", "one");
    let (mut all, mut even) = (Vec::new(), Vec::new());
    for n in 0..7 {
        let mut document = content::image(&[]);
        document["artifactType"] = json!(format!("application/x+{}", n % 2));
        document["annotations"] = json!({"n": n.to_string()});
        let digest = sha256(&refer(&repo, IMAGE, document, &subject));
        if n % 2 == 0 {
            even.push(digest.clone());
        }
        all.push(digest);
    }
    all.sort();
    even.sort();
    for n in [1, 2, 3, 7, 8] {
        let seen = walk(&repo, &subject, &format!("?n={n}"), |size, _| {
            assert_eq!(size, n);
        });
        assert_eq!(seen, all, "n={n}");
        let query = format!("?artifactType=application%2Fx%2B0&n={n}");
        let seen = walk(&repo, &subject, &query, |_, link| {
            assert!(link.contains("artifactType="), "{link}");
        });
        assert_eq!(seen, even, "n={n}");
    }
}

// spec: 87
#[test]
fn what_is_too_long_for_one_answer_comes_in_pages_unasked() {
    let repo = Repo::fresh();
    let subject = repo.tag("latest", "one");
    let mut all = Vec::new();
    for n in 0..5 {
        let mut document = content::image(&[]);
        document["annotations"] = json!({"n": n.to_string(), "long": "x".repeat(1_000_000)});
        all.push(sha256(&refer(&repo, IMAGE, document, &subject)));
    }
    all.sort();
    let first = repo.get(&format!("referrers/{subject}"));
    assert!(next(&first).is_some(), "5 MB do not fit into one answer");
    assert_eq!(walk(&repo, &subject, "", |_, _| ()), all);
}
