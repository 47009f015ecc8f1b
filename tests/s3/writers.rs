//! Two replicas write to one upload: the client gave up a connection that the
//! first one still holds, and goes on at the second. Nobody's bytes may end up
//! in the wrong place.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::content::{noise, sha256};
use crate::repo::{Repo, with_query};
use crate::support::{Registry, S3Engine, eventually};
use crate::wire::{Answer, PATIENCE, connect};

#[test]
fn a_forgotten_writer_at_one_replica_spoils_nothing_at_another() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let replicas = [(); 2].map(|()| Registry::with().s3(&bucket).start());
    let [first, second] = [0, 1].map(|number| Repo::on(&replicas[number], "forgotten"));
    for (round, stall) in [100, 3_000_000, 11_000_000, 23_000_000].iter().enumerate() {
        let content = noise(round as u64, 30_000_000);
        let location = first.start();
        let patch = first
            .at("PATCH", &location)
            .header("Content-Length", content.len())
            .header("Content-Range", format!("0-{}", content.len() - 1))
            .body(&content[..*stall])
            .bytes();
        let mut forgotten = connect(first.host(), PATIENCE);
        forgotten.write_all(&patch).unwrap();

        // A client that comes back asks, and goes on from what it is told.
        let mut received = second.received(&location);
        let chunk = (received + 9_000_000).min(content.len());
        let patched = second
            .at("PATCH", &location)
            .header("Content-Range", format!("{received}-{}", chunk - 1))
            .body(&content[received..chunk])
            .send();
        match patched.status {
            202 => received = chunk,
            // It may be told to wait for the other one, or that it is ahead.
            416 | 429 | 503 => {}
            _ => panic!("{patched}"),
        }

        // The forgotten one wakes up and sends the rest.
        let rest = content[*stall..].to_vec();
        let waking = std::thread::spawn(move || {
            let _ = forgotten.write_all(&rest);
            let mut heard = Vec::new();
            let _ = forgotten.read_to_end(&mut heard);
            Answer::parse(&heard, false).map(|(answer, _)| answer.status)
        });
        let said = waking.join().unwrap();
        let known = said.is_none_or(|status| matches!(status, 202 | 404 | 409 | 416 | 429 | 503));
        assert!(known, "round {round}: {said:?}");

        finish(&second, &location, &content, received, round);
    }
}

/// Goes on until the upload is closed, as a client does: by what it is told.
fn finish(repo: &Repo, location: &str, content: &[u8], acknowledged: usize, round: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let digest = sha256(content);
    let closing = with_query(location, &format!("digest={digest}"));
    eventually("the upload's end", PATIENCE, || {
        assert!(Instant::now() < deadline, "round {round}");
        let received = repo.received(location);
        assert!(
            received >= acknowledged,
            "round {round}: {received} bytes, of {acknowledged} acknowledged"
        );
        let put = repo.at("PUT", &closing);
        let put = if received < content.len() {
            let range = format!("{received}-{}", content.len() - 1);
            put.header("Content-Range", range)
        } else {
            put
        };
        let answer = put.body(&content[received..]).send();
        match answer.status {
            201 => Some(()),
            416 | 429 | 503 => None,
            _ => panic!("round {round} from byte {received}: {answer}"),
        }
    });
    let pulled = repo.get(&format!("blobs/{digest}")).expect(200);
    assert!(pulled.body == content, "round {round}: another content");
}
