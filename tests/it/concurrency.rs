//! Many clients at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use crate::content::{EMPTY_JSON, IMAGE, noise, sha256};
use crate::repo::{Repo, with_query};

/// Clients that push at the same time.
const CLIENTS: usize = 16;

#[test]
fn sixteen_clients_push_one_blob_at_once() {
    let repo = Repo::fresh();
    let content = noise(1, 2_000_000);
    let digest = sha256(&content);
    let together = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (repo, content, digest, together) = (&repo, &content, &digest, &together);
            scope.spawn(move || {
                let location = repo.start();
                let half = content.len() / 2 + client;
                let patched = repo.at("PATCH", &location).body(&content[..half]).send();
                let closing = with_query(
                    patched.expect(202).must("location"),
                    &format!("digest={digest}"),
                );
                together.wait();
                let put = repo.at("PUT", &closing).chunked(&content[half..]).send();
                put.expect(201);
                repo.head(&format!("blobs/{digest}")).expect(200);
            });
        }
    });
    let pulled = repo.get(&format!("blobs/{digest}")).expect(200);
    assert!(pulled.body == content);
}

#[test]
fn readers_of_a_moving_tag_always_find_it() {
    let repo = Repo::fresh();
    let images = [repo.image("one"), repo.image("two")];
    repo.put("latest", IMAGE, &images[0]).expect(201);
    let moving = AtomicBool::new(true);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0;
                    while moving.load(Ordering::Relaxed) || reads == 0 {
                        let answer = repo.get("manifests/latest").expect(200);
                        let digest = answer.must("docker-content-digest");
                        assert_eq!(digest, sha256(&answer.body));
                        assert!(images.contains(&answer.body));
                        assert_eq!(repo.tags(), ["latest"]);
                        reads += 1;
                    }
                })
            })
            .collect();
        for turn in 1..=60 {
            repo.put("latest", IMAGE, &images[turn % 2]).expect(201);
        }
        moving.store(false, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("a reader that always found the tag");
        }
    });
}

#[test]
fn tags_set_by_many_clients_at_once_are_all_there() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    thread::scope(|scope| {
        for client in 0..8 {
            let (repo, manifest) = (&repo, &manifest);
            scope.spawn(move || {
                for n in 0..4 {
                    repo.put(&format!("t{client}-{n}"), IMAGE, manifest)
                        .expect(201);
                }
            });
        }
    });
    assert_eq!(repo.tags().len(), 32);
}

#[test]
fn referrers_pushed_by_many_clients_at_once_are_all_listed() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    let subject = repo.tag("latest", "one");
    let pushed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for client in 0..12 {
            let (repo, subject, pushed) = (&repo, &subject, &pushed);
            scope.spawn(move || {
                let mut document = crate::content::image(&[]);
                document["annotations"] = serde_json::json!({"client": client.to_string()});
                let manifest = crate::referrers::refer(repo, IMAGE, document, subject);
                pushed.lock().unwrap().push(sha256(&manifest));
            });
        }
    });
    let mut pushed = pushed.into_inner().unwrap();
    pushed.sort();
    let answer = repo.get(&format!("referrers/{subject}")).expect(200);
    let list = crate::referrers::listed(&answer);
    assert_eq!(crate::referrers::digests(&list), pushed);
}
