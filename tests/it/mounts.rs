//! Mounting a blob from another repository (distribution-spec, "Mounting a
//! blob from another repository").

use crate::content::{ABSENT, noise, sha256, sha512};
use crate::repo::{Repo, with_query};
use crate::wire::Answer;

fn mount(repo: &Repo, query: &str) -> Answer {
    repo.ask("POST", &format!("blobs/uploads/?{query}"))
        .body("")
        .send()
}

// spec: 49, 52
#[test]
fn a_blob_of_another_repository_is_mounted_without_sending_it() {
    let target = Repo::fresh();
    let source = target.beside("source");
    let content = noise(1, 1000);
    for digest in [sha256(&content), sha512(&content)] {
        source.push_as(&digest, &content).expect(201);
        let from = source.name().replace('/', "%2F");
        let escaped = digest.replace(':', "%3A");
        let answer = mount(&target, &format!("mount={escaped}&from={from}")).expect(201);
        let own = target.path(&format!("blobs/{digest}"));
        assert_eq!(answer.must("location"), own);
        assert_eq!(answer.must("docker-content-digest"), digest);
        let pulled = target.get(&format!("blobs/{digest}")).expect(200);
        assert!(pulled.body == content);
    }
}

// spec: 50
#[test]
fn what_cannot_be_mounted_is_uploaded_instead() {
    let target = Repo::fresh();
    let source = target.beside("source");
    source.push(b"something else");
    let elsewhere = target.beside("elsewhere");
    let content = noise(2, 1000);
    let digest = sha256(&content);
    elsewhere.push(&content);
    // The blob is in the store, but not in the repository that is named.
    for from in [source.name(), "no/such/repository", target.name()] {
        let answer = mount(&target, &format!("mount={digest}&from={from}")).expect(202);
        target.get(&format!("blobs/{digest}")).expect(404);
        let location = answer.must("location").to_owned();
        target.at("DELETE", &location).send().expect(204);
    }
    let answer = mount(&target, &format!("mount={digest}&from={}", source.name()));
    let closing = with_query(answer.must("location"), &format!("digest={digest}"));
    let put = target.at("PUT", &closing).body(content.as_slice()).send();
    put.expect(201);
    target.get(&format!("blobs/{digest}")).expect(200);
}

// spec: 51
#[test]
fn without_a_source_any_repository_will_do() {
    let target = Repo::fresh();
    let source = target.beside("source");
    // A repository is one by its manifests.
    source.tag("latest", "a layer to share");
    let digest = sha256(b"a layer to share");
    for query in [format!("mount={digest}"), format!("mount={digest}&from=")] {
        let answer = mount(&target, &query).expect(201);
        assert_eq!(
            answer.must("location"),
            target.path(&format!("blobs/{digest}"))
        );
    }
    target.get(&format!("blobs/{digest}")).expect(200);
}

// spec: 50, 51
#[test]
fn without_a_source_a_blob_that_is_nowhere_is_uploaded() {
    let target = Repo::fresh();
    for digest in [ABSENT, &sha512(b"nowhere")] {
        let answer = mount(&target, &format!("mount={digest}")).expect(202);
        assert!(!answer.must("location").is_empty());
    }
}

#[test]
fn a_mount_that_is_malformed_is_refused() {
    let target = Repo::fresh();
    let source = target.beside("source");
    let digest = source.push(b"content");
    let from = source.name();
    mount(&target, &format!("mount=sha256:abc&from={from}")).refused(400, "DIGEST_INVALID");
    mount(&target, &format!("mount=&from={from}")).refused(400, "DIGEST_INVALID");
    mount(&target, &format!("mount={digest}&from=../x")).refused(400, "NAME_INVALID");
    mount(
        &target,
        &format!("mount={digest}&mount={ABSENT}&from={from}"),
    )
    .expect(400);
}

#[test]
fn a_mounted_blob_stays_when_its_source_lets_go() {
    let target = Repo::fresh();
    let source = target.beside("source");
    let digest = source.push(b"shared content");
    mount(&target, &format!("mount={digest}&from={}", source.name())).expect(201);
    source.delete(&format!("blobs/{digest}")).expect(202);
    source.get(&format!("blobs/{digest}")).expect(404);
    let pulled = target.get(&format!("blobs/{digest}")).expect(200);
    assert_eq!(pulled.body, b"shared content");
}
