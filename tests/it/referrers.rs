//! Listing referrers (distribution-spec, "Listing Referrers").

use serde_json::{Value, json};

use crate::content::{self, ABSENT, EMPTY, EMPTY_JSON, IMAGE, INDEX, bytes, sha256, sha512};
use crate::repo::Repo;
use crate::wire::Answer;

/// Pushes a document that refers to `subject`, and returns its bytes.
pub fn refer(repo: &Repo, media_type: &str, mut document: Value, subject: &str) -> Vec<u8> {
    repo.push(EMPTY_JSON);
    document["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 2});
    let manifest = bytes(&document);
    let put = repo.put(&sha256(&manifest), media_type, &manifest);
    assert_eq!(put.expect(201).must("oci-subject"), subject);
    manifest
}

/// The descriptors that an answer lists, ordered by digest.
pub fn listed(answer: &Answer) -> Vec<Value> {
    let index = answer.json();
    assert_eq!(index["schemaVersion"], 2);
    assert_eq!(index["mediaType"], INDEX);
    assert_eq!(answer.must("content-type"), INDEX);
    let list = index["manifests"].as_array();
    let mut list = list.expect("a list of manifests").clone();
    list.sort_by_key(|one| one["digest"].to_string());
    list
}

/// The digests in descriptors.
pub fn digests(list: &[Value]) -> Vec<&str> {
    list.iter()
        .map(|one| one["digest"].as_str().unwrap())
        .collect()
}

fn artifact(artifact_type: &str) -> Value {
    let mut document = content::image(&[]);
    document["artifactType"] = json!(artifact_type);
    document["annotations"] = json!({"org.example.of": artifact_type, "b": "", "ü": "é"});
    document
}

// spec: 76, 77, 79, 80, 86
#[test]
fn without_referrers_there_is_an_empty_index() {
    let repo = Repo::fresh();
    let list = |repo: &Repo, digest: &str| {
        let answer = repo.get(&format!("referrers/{digest}")).expect(200);
        assert!(answer.json()["manifests"].is_array(), "{answer}");
        listed(&answer).len()
    };
    assert_eq!(list(&repo, ABSENT), 0, "in a repository that isn't there");
    let digest = repo.tag("latest", "one");
    for digest in [&digest, ABSENT, &sha512(b"x")] {
        assert_eq!(list(&repo, digest), 0);
    }
}

// spec: 78
#[test]
fn a_malformed_digest_is_400() {
    let repo = Repo::fresh();
    repo.tag("latest", "one");
    for digest in ["latest", "sha256:abc", "md5:abc", "sha256"] {
        repo.get(&format!("referrers/{digest}"))
            .refused(400, "DIGEST_INVALID");
    }
}

// spec: 81, 82, 83, 84, 85
#[test]
fn descriptors_say_what_the_manifests_say() {
    let repo = Repo::fresh();
    let subject = repo.tag("latest", "one");
    let typed = refer(&repo, IMAGE, artifact("application/vnd.one"), &subject);
    let plain = refer(&repo, IMAGE, content::image(&[]), &subject);
    let bare = refer(&repo, INDEX, content::index(&[]), &subject);
    let mut document = content::index(&[]);
    document["artifactType"] = json!("application/vnd.two");
    let index = refer(&repo, INDEX, document, &subject);

    let mut expected = vec![
        json!({
            "mediaType": IMAGE,
            "digest": sha256(&typed),
            "size": typed.len(),
            "artifactType": "application/vnd.one",
            "annotations": {"org.example.of": "application/vnd.one", "b": "", "ü": "é"},
        }),
        json!({"mediaType": IMAGE, "digest": sha256(&plain), "size": plain.len(), "artifactType": EMPTY}),
        json!({"mediaType": INDEX, "digest": sha256(&bare), "size": bare.len()}),
        json!({
            "mediaType": INDEX,
            "digest": sha256(&index),
            "size": index.len(),
            "artifactType": "application/vnd.two",
        }),
    ];
    expected.sort_by_key(|one| one["digest"].to_string());
    let answer = repo.get(&format!("referrers/{subject}")).expect(200);
    assert_eq!(listed(&answer), expected);
    assert_eq!(answer.header("oci-filters-applied"), None);
}

// spec: 81
#[test]
fn referrers_are_those_of_this_repository_and_this_subject() {
    let repo = Repo::fresh();
    let other = repo.beside("other");
    let subject = repo.tag("latest", "one");
    other.tag("latest", "one");
    let second = repo.tag("second", "two");
    let mine = refer(&repo, IMAGE, artifact("a/mine"), &subject);
    refer(&repo, IMAGE, artifact("a/second"), &second);
    refer(&other, IMAGE, artifact("a/theirs"), &subject);
    let answer = repo.get(&format!("referrers/{subject}"));
    assert_eq!(digests(&listed(&answer)), [sha256(&mine)]);
}

// spec: 93
#[test]
fn the_subject_may_come_first_or_last() {
    let repo = Repo::fresh();
    let manifest = repo.image("the subject");
    let subject = sha256(&manifest);
    let before = sha256(&refer(&repo, IMAGE, artifact("a/before"), &subject));
    let list = || listed(&repo.get(&format!("referrers/{subject}")));
    assert_eq!(digests(&list()), [before.as_str()]);
    repo.put("latest", IMAGE, &manifest).expect(201);
    assert_eq!(digests(&list()), [before.as_str()]);
    let after = sha256(&refer(&repo, IMAGE, artifact("a/after"), &subject));
    let mut both = [before, after];
    both.sort();
    assert_eq!(digests(&list()), both);
}

// spec: 89, 90, 91
#[test]
fn a_filter_leaves_one_type_and_says_that_it_was_applied() {
    let repo = Repo::fresh();
    let subject = repo.tag("latest", "one");
    let one = sha256(&refer(
        &repo,
        IMAGE,
        artifact("application/vnd.one+json"),
        &subject,
    ));
    let plain = sha256(&refer(&repo, IMAGE, content::image(&[]), &subject));
    refer(&repo, INDEX, content::index(&[]), &subject);
    for (filter, expected) in [
        ("application%2Fvnd.one%2Bjson", vec![one.as_str()]),
        ("application/vnd.oci.empty.v1%2Bjson", vec![plain.as_str()]),
        ("application/none", vec![]),
        // The one filter that there is, among parameters that are none.
        (
            "application%2Fvnd.one%2Bjson&digest=x&n=7",
            vec![one.as_str()],
        ),
    ] {
        let answer = repo
            .get(&format!("referrers/{subject}?artifactType={filter}"))
            .expect(200);
        assert_eq!(answer.all("oci-filters-applied"), ["artifactType"]);
        assert_eq!(digests(&listed(&answer)), expected, "{filter}");
    }
}

#[test]
fn a_referrer_may_have_referrers() {
    let repo = Repo::fresh();
    let subject = repo.tag("latest", "one");
    let first = sha256(&refer(&repo, IMAGE, artifact("a/first"), &subject));
    let second = sha256(&refer(&repo, IMAGE, artifact("a/second"), &first));
    let answer = repo.get(&format!("referrers/{first}"));
    assert_eq!(digests(&listed(&answer)), [second.as_str()]);
    let answer = repo.get(&format!("referrers/{subject}"));
    assert_eq!(digests(&listed(&answer)), [first.as_str()]);
}

#[test]
fn subjects_by_sha512_have_referrers_too() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    let subject = sha512(&manifest);
    repo.put(&subject, IMAGE, &manifest).expect(201);
    let mut document = artifact("a/b");
    document["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": manifest.len()});
    let referrer = bytes(&document);
    let digest = sha512(&referrer);
    let put = repo.put(&digest, IMAGE, &referrer).expect(201);
    assert_eq!(put.must("oci-subject"), subject);
    let answer = repo.get(&format!("referrers/{subject}"));
    assert_eq!(digests(&listed(&answer)), [digest.as_str()]);
}
