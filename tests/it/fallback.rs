//! The referrers tag schema (distribution-spec, "Unavailable Referrers API"):
//! a volume that registry:2 wrote has no list of referrers, but indexes under
//! `sha256-…` tags that clients kept.

use std::path::Path;

use serde_json::json;

use crate::content::{self, EMPTY_JSON, IMAGE, INDEX, bytes, sha256, sha512};
use crate::referrers::{digests, listed, refer};
use crate::repo::Repo;
use crate::support::Registry;

// spec: 92, 93, 113
#[test]
fn what_clients_listed_under_a_tag_is_merged_with_what_is_pushed_later() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "old/volume");
    let manifest = repo.image("the subject");
    for subject in [sha256(&manifest), sha512(&manifest)] {
        repo.put(&subject, IMAGE, &manifest).expect(201);
        let old = refer(&repo, IMAGE, content::image(&[]), &subject);
        let mut stranger = content::image(&[]);
        stranger["annotations"] = json!({"subject": "none"});
        let stranger = bytes(&stranger);
        repo.put(&sha256(&stranger), IMAGE, &stranger).expect(201);
        // What the index claims of a manifest is not believed.
        let index = content::index(&[(IMAGE, &old), (IMAGE, &stranger)]);
        repo.put(&fallback_tag(&subject), INDEX, &bytes(&index))
            .expect(201);

        server.stop();
        forget_records(
            &server
                .data()
                .join("docker/registry/v2/repositories/old/volume"),
        );
        server.restart();

        let list = || listed(&repo.get(&format!("referrers/{subject}")).expect(200));
        assert_eq!(digests(&list()), [sha256(&old)]);
        let mut document = content::image(&[]);
        document["annotations"] = json!({"pushed": "later"});
        let new = refer(&repo, IMAGE, document, &subject);
        let mut both = [sha256(&old), sha256(&new)];
        both.sort();
        assert_eq!(digests(&list()), both);
        repo.delete(&format!("manifests/{}", sha256(&old)))
            .expect(202);
        assert_eq!(digests(&list()), [sha256(&new)]);
    }
}

// spec: 113
#[test]
fn clients_may_keep_such_a_tag_and_are_told_that_they_need_not() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    let subject = repo.tag("latest", "one");
    let index = bytes(&content::index(&[]));
    let put = repo.put(&fallback_tag(&subject), INDEX, &index).expect(201);
    assert!(put.must("warning").starts_with("299 - \""), "{put}");
    let tag = fallback_tag(&subject);
    assert_eq!(repo.get(&format!("manifests/{tag}")).body, index);
}

/// At most 32 characters of the algorithm, 64 of the hash, and `-` for what no
/// tag may have.
fn fallback_tag(subject: &str) -> String {
    let (algorithm, hash) = subject.split_once(':').unwrap();
    let hash: String = hash.chars().take(64).collect();
    format!("{algorithm}-{hash}")
}

/// Makes of our volume one that registry:2 wrote.
fn forget_records(repository: &Path) {
    let records = repository.join("_referrers");
    assert!(records.is_dir(), "{} is not there", records.display());
    std::fs::remove_dir_all(records).unwrap();
}
