//! Quotas: refused at the first byte that can be known to exceed, whichever
//! way content comes.

use std::io::{Read as _, Write as _};
use std::thread;

use crate::content::{IMAGE, noise, sha256};
use crate::repo::{Repo, with_query};
use crate::support::{Registry, eventually};
use crate::usage::{command, of};
use crate::wire::{Answer, PATIENCE, Request, connect};

const QUOTAS: &str = "quotas:\n  - repositories: team/**\n    size: 1MiB\n";

const MIB: usize = 1024 * 1024;

fn limited() -> Registry {
    Registry::with().section(QUOTAS).start()
}

#[track_caller]
fn denied(answer: Answer) -> String {
    let answer = answer.refused(403, "DENIED");
    let message = answer.json()["errors"][0]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("the quota of `team/**` is 1.0 MiB"),
        "{message}"
    );
    message
}

/// Sends only a request's head, and reads the answer to that.
fn head_alone(host: &str, method: &str, path: &str, length: u64) -> Answer {
    let mut socket = connect(host, PATIENCE);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some((answer, _)) = Answer::parse(&heard, false) {
            return answer;
        }
        let count = socket.read(&mut piece).unwrap();
        assert!(
            count > 0,
            "no whole answer: {}",
            String::from_utf8_lossy(&heard)
        );
        heard.extend(&piece[..count]);
    }
}

#[test]
fn what_is_announced_as_too_much_is_refused_before_any_of_it_is_sent() {
    let server = limited();
    let repo = Repo::on(&server, "team/app");
    let gigabyte = 1 << 30;
    let location = repo.start();
    let digest = format!("digest={}", sha256(b"never sent"));
    let message = denied(head_alone(server.host(), "PATCH", &location, gigabyte));
    assert!(message.contains("1.0 GiB more"), "{message}");
    denied(head_alone(
        server.host(),
        "PUT",
        &with_query(&location, &digest),
        gigabyte,
    ));
    let whole = repo.path(&format!("blobs/uploads/?{digest}"));
    denied(head_alone(server.host(), "POST", &whole, gigabyte));
    // The session is there still, and what fits is taken.
    let content = noise(1, 1000);
    let closing = with_query(&location, &format!("digest={}", sha256(&content)));
    repo.at("PUT", &closing).body(content).send().expect(201);
    // Nobody else is held against it.
    Repo::on(&server, "other/app").push(&noise(2, 2 * MIB));
    Repo::on(&server, "team").push(&noise(3, 2 * MIB));
}

#[test]
fn a_stream_is_cut_where_it_exceeds() {
    let server = limited();
    let repo = Repo::on(&server, "team/app");
    let content = noise(4, 3 * MIB);
    let location = repo.start();
    denied(
        repo.at("PATCH", &location)
            .chunked(content.as_slice())
            .send(),
    );
    let kept = repo.received(&location);
    assert!(kept <= MIB, "{kept} bytes were kept");
    // It holds what it has reserved until it is given up.
    let closing = with_query(&location, &format!("digest={}", sha256(&content)));
    denied(repo.at("PUT", &closing).chunked(content.as_slice()).send());
    repo.at("DELETE", &location).send().expect(204);
    repo.push(&noise(5, MIB));
    denied(repo.ask("POST", "blobs/uploads/").body("").send());
    assert_eq!(of(&repo)["size"], MIB);
}

#[test]
fn uploads_at_once_do_not_exceed_together() {
    let server = limited();
    // Each sends all but its last byte and waits, so that all run at once.
    let size = 300_000;
    let uploads: Vec<_> = (0..10)
        .map(|number| {
            let repo = Repo::on(&server, &format!("team/app{number}"));
            let content = noise(10 + number, size);
            let closing = with_query(&repo.start(), &format!("digest={}", sha256(&content)));
            let request = repo.at("PUT", &closing).body(content).bytes();
            let mut socket = connect(server.host(), PATIENCE);
            thread::spawn(move || {
                let _ = socket.write_all(&request[..request.len() - 1]);
                thread::yield_now();
                let _ = socket.write_all(&request[request.len() - 1..]);
                let mut heard = Vec::new();
                let _ = socket.read_to_end(&mut heard);
                Answer::parse(&heard, false).map(|(answer, _)| answer.status)
            })
        })
        .collect();
    let said: Vec<u16> = uploads
        .into_iter()
        .map(|upload| upload.join().unwrap().expect("an answer"))
        .collect();
    let count = |status| said.iter().filter(|said| **said == status).count();
    assert_eq!((count(201), count(403)), (3, 7), "{said:?}");
}

#[test]
fn what_the_repository_holds_costs_nothing_again() {
    let server = limited();
    let repo = Repo::on(&server, "team/app");
    let content = noise(30, MIB - 10_000);
    let digest = repo.push(&content);
    let manifest = repo.image("layer");
    repo.put("v1", IMAGE, &manifest).expect(201);
    // What is left is little now.
    denied(repo.push_as(&sha256(&noise(31, 10_000)), &noise(31, 10_000)));
    let whole = format!("blobs/uploads/?digest={digest}");
    repo.ask("POST", &whole)
        .body(content.as_slice())
        .send()
        .expect(201);
    repo.push(&content);
    repo.put("v2", IMAGE, &manifest).expect(201);
    let own = format!("blobs/uploads/?mount={digest}&from=team/app");
    repo.ask("POST", &own).body("").send().expect(201);
    // Under a digest that it holds, no other content is taken for nothing.
    let lie = repo.ask("POST", &whole).chunked(noise(32, 2 * MIB)).send();
    denied(lie);
}

#[test]
fn mounts_and_manifests_are_held_against_it_too() {
    let server = limited();
    let source = Repo::on(&server, "elsewhere");
    let repo = Repo::on(&server, "team/app");
    let (large, fits) = (noise(40, 2 * MIB), noise(41, MIB - 100));
    let mount = |content: &[u8]| {
        source.push(content);
        let query = format!("blobs/uploads/?mount={}&from=elsewhere", sha256(content));
        repo.ask("POST", &query).body("").send()
    };
    denied(mount(&large));
    mount(&fits).expect(201);
    repo.push(b"{}");
    let manifest = crate::content::bytes(&crate::content::image(&[&fits]));
    assert!(manifest.len() > 100);
    denied(repo.put("v1", IMAGE, &manifest));
    repo.delete(&format!("blobs/{}", sha256(&fits))).expect(202);
    mount(&noise(42, 1000)).expect(201);
    repo.push(b"{}");
    repo.put(
        "v1",
        IMAGE,
        &crate::content::bytes(&crate::content::image(&[&noise(42, 1000)])),
    )
    .expect(201);
}

#[test]
fn it_holds_after_a_restart_and_after_a_crash() {
    let mut server = limited();
    let repo = Repo::on(&server, "team/app");
    repo.push(&noise(50, MIB / 2));
    server.restart();
    let repo = Repo::on(&server, "team/app");
    let more = noise(51, MIB / 2 + 1);
    denied(repo.push_as(&sha256(&more), &more));
    repo.push(&noise(52, MIB / 4));
    eventually("the changes in the storage", PATIENCE, || {
        Some(()).filter(|()| command(&server)["used"] == MIB * 3 / 4)
    });
    server.kill();
    server.restart();
    let repo = Repo::on(&server, "team/app");
    let more = noise(53, MIB / 4 + 1);
    denied(repo.push_as(&sha256(&more), &more));
    let query = format!("blobs/uploads/?digest={}", sha256(&noise(54, MIB / 4)));
    Request::new(server.host(), "POST", &repo.path(&query))
        .body(noise(54, MIB / 4))
        .send()
        .expect(201);
}
