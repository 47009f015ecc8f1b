//! A replica with another store behind the same balancer: whoever meets it in
//! the middle of an upload is told that, not that the upload is unknown.

use crate::content::sha256;
use crate::repo::{Repo, with_query};
use crate::support::{Balancer, Registry, S3Engine};
use crate::wire::{Answer, Request};

#[test]
fn a_replica_with_another_store_says_so() {
    if !S3Engine::needs().met() || !Balancer::needs().met() {
        return;
    }
    let one = Registry::with().s3(&S3Engine::shared().bucket()).start();
    let other = Registry::with().s3(&S3Engine::shared().bucket()).start();
    let dir = tempfile::TempDir::new().unwrap();
    let hosts = [one.host().to_owned(), other.host().to_owned()];
    let balancer = Balancer::start(dir.path(), "127.0.0.1:0", None, &hosts);
    let ask = |method: &str, path: &str| Request::new(balancer.host(), method, path);

    // Every other request comes to the other store.
    let mut named = 0;
    for round in 0..6 {
        let begun = ask("POST", "/v2/split/blobs/uploads/").body("").send();
        let location = begun.expect(202).must("location").to_owned();
        let content = format!("round {round}");
        let closing = with_query(&location, &format!("digest={}", sha256(content.as_bytes())));
        for request in [
            ask("PATCH", &location).body(content.clone()),
            ask("GET", &location),
            ask("PUT", &closing).body(""),
        ] {
            let answer = request.send();
            if answer.status >= 300 {
                named += usize::from(names_the_store(&answer));
            }
        }
    }
    assert!(named >= 6, "only {named} answers named the other store");
}

#[test]
fn the_same_store_is_the_same_for_every_replica_and_after_a_restart() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    // Both begin on an empty store at once: one of them makes the id.
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let bucket = bucket.clone();
            std::thread::spawn(move || Registry::with().s3(&bucket).start())
        })
        .collect();
    let mut replicas: Vec<Registry> = starts
        .into_iter()
        .map(|start| start.join().unwrap())
        .collect();
    let location = Repo::on(&replicas[0], "same").start();
    replicas[1].restart();
    for (number, replica) in replicas.iter().enumerate() {
        let repo = Repo::on(replica, "same");
        let patched = repo.at("PATCH", &location).body("x").send().expect(202);
        assert_eq!(repo.received(patched.must("location")), number + 1);
    }
}

/// Whether an error says what is wrong, rather than that the upload is unknown.
fn names_the_store(answer: &Answer) -> bool {
    let body = answer.json();
    let message = body["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("store"), "{answer}");
    true
}
