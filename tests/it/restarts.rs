//! A server that ends and comes back: nothing acknowledged is lost, and
//! uploads go on.

use std::io::Write as _;

use crate::content::{noise, sha256, sha512};
use crate::repo::{Repo, with_query};
use crate::support::{Manner, Registry, eventually};
use crate::wire::{PATIENCE, connect};

#[test]
fn an_upload_goes_on_after_the_server_was_killed_between_two_chunks() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "resumed");
    let content = noise(1, 900_000);
    for digest in [sha256(&content), sha512(&content)] {
        let location = repo.start();
        let answer = repo.at("PATCH", &location).body(&content[..400_000]).send();
        let location = answer.expect(202).must("location").to_owned();
        server.kill();
        server.restart();
        let received = repo.received(&location);
        assert!(received <= 400_000, "{received} of 400000 acknowledged");
        finish(&repo, &location, &content, received, &digest);
    }
}

#[test]
fn an_upload_goes_on_after_the_server_was_killed_within_a_chunk() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "resumed");
    let content = noise(2, 24_000_000);
    let location = repo.start();
    let answer = repo.at("PATCH", &location).body(&content[..100_000]).send();
    answer.expect(202);
    let cut = repo
        .at("PATCH", &location)
        .header("Content-Length", content.len() - 100_000)
        .body(&content[100_000..22_000_000]);
    let mut socket = connect(repo.host(), PATIENCE);
    socket.write_all(&cut.bytes()).unwrap();
    // On an object store they are seen when the request has ended; but so many
    // don't fit between us and the server, so it has some.
    if !Manner::of_this_run().s3 {
        eventually("bytes of the second chunk", PATIENCE, || {
            (repo.received(&location) > 100_000).then_some(())
        });
    }
    server.kill();
    drop(socket);
    server.restart();
    let received = repo.received(&location);
    assert!((100_000..=22_000_000).contains(&received), "{received}");
    finish(&repo, &location, &content, received, &sha256(&content));
}

#[test]
fn an_orderly_restart_keeps_uploads_tags_and_referrers() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "kept");
    let subject = repo.tag("latest", "one");
    let referrer = crate::referrers::refer(
        &repo,
        crate::content::IMAGE,
        crate::content::image(&[]),
        &subject,
    );
    let location = repo.start();
    repo.at("PATCH", &location).body("0123456789").send();
    server.restart();
    assert_eq!(repo.tags(), ["latest"]);
    repo.get("manifests/latest").expect(200);
    let answer = repo.get(&format!("referrers/{subject}"));
    let list = crate::referrers::listed(&answer);
    assert_eq!(crate::referrers::digests(&list), [sha256(&referrer)]);
    assert_eq!(repo.received(&location), 10);
}

/// Sends what is missing, from the byte that the status told.
fn finish(repo: &Repo, location: &str, content: &[u8], received: usize, digest: &str) {
    let closing = with_query(location, &format!("digest={digest}"));
    let put = repo
        .at("PUT", &closing)
        .header("Content-Range", format!("{received}-{}", content.len() - 1))
        .body(&content[received..])
        .send()
        .expect(201);
    let pulled = repo.at("GET", put.must("location")).send().expect(200);
    assert!(pulled.body == content);
}
