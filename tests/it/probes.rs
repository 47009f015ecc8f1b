//! `/livez` and `/readyz`: what load balancers ask, and what they are told when
//! the storage fails and when the server is about to stop.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::health::debug;
use crate::repo::Repo;
use crate::support::{Registry, eventually};
use crate::wire::{Answer, PATIENCE, Request, connect};

#[test]
fn probes_need_no_login_and_leave_no_lines() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_DEBUG_ADDR", "\"127.0.0.1:0\"")
        .env("REGISTRY_HTTP_PREFIX", "/x/")
        .user("moby", "gordon")
        .start();
    let debug = debug(&server);
    for path in ["/livez", "/readyz", "/x/livez", "/x/readyz"] {
        let answer = ask(server.host(), path).expect(200);
        assert_eq!(answer.json(), json!({}), "{path}");
        assert_eq!(answer.must("cache-control"), "no-store");
        Request::new(server.host(), "HEAD", path).send().expect(200);
        Request::new(server.host(), "POST", path).send().expect(401);
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(ask(&debug, path).expect(200).json(), json!({}), "{path}");
    }
    // Lines come in order, so that none of the probes' is still to come.
    let last = ask(server.host(), "/x/v2/").expect(401);
    let id = last.must("x-request-id");
    eventually("the last request's line", PATIENCE, || {
        server.log().contains(id).then_some(())
    });
    let log = server.log();
    let quiet = |line: &&str| line.contains("livez") || line.contains("readyz");
    let lines: Vec<&str> = log.lines().filter(quiet).collect();
    assert!(
        lines.iter().all(|line| line.contains("method=POST")),
        "{lines:?}"
    );
}

#[test]
fn a_storage_that_fails_is_not_ready_but_alive_until_it_works_again() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_DEBUG_ADDR", "\"127.0.0.1:0\"")
        .start();
    let repo = Repo::on(&server, "moved");
    repo.tag("latest", "one");
    let debug = debug(&server);
    ask(server.host(), "/readyz").expect(200);

    let aside = server.dir().join("aside");
    fs::rename(server.data(), &aside).unwrap();
    fs::write(server.data(), "no directory").unwrap();
    let answer = eventually("not ready", PATIENCE, || {
        Some(ask(server.host(), "/readyz")).filter(|answer| answer.status == 503)
    });
    let said = "it does not work: the log says why";
    assert_eq!(answer.json(), json!({ "storage": said }));
    let whole = ask(&debug, "/readyz").expect(503).json();
    let whole = whole["storage"].as_str().unwrap();
    let path = server.data().to_str().unwrap();
    assert!(whole.contains(path), "{whole}");
    ask(server.host(), "/livez").expect(200);
    let refused = repo.ask("POST", "blobs/uploads/").body("").send();
    let refused = refused.refused(503, "UNAVAILABLE");
    assert_eq!(refused.must("retry-after"), "5");
    assert!(server.log().contains("not ready"), "{}", server.log());

    fs::remove_file(server.data()).unwrap();
    fs::rename(&aside, server.data()).unwrap();
    eventually("ready again", PATIENCE, || {
        (ask(server.host(), "/readyz").status == 200).then_some(())
    });
    assert!(server.log().contains("ready again"), "{}", server.log());
    repo.get("manifests/latest").expect(200);
}

#[test]
fn a_failing_health_check_is_not_ready_but_alive() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("maintenance");
    fs::write(&file, "").unwrap();
    let server = Registry::with()
        .section(&format!(
            "health: {{file: [{{file: {}, interval: 100ms}}]}}",
            file.display()
        ))
        .start();
    let answer = eventually("not ready", PATIENCE, || {
        Some(ask(server.host(), "/readyz")).filter(|answer| answer.status == 503)
    });
    let said = answer.json();
    assert!(said["health"].is_string(), "{said}");
    ask(server.host(), "/livez").expect(200);
    ask(server.host(), "/v2/").expect(503);
}

#[test]
fn during_the_pause_before_draining_only_readiness_changes() {
    const PAUSE: Duration = Duration::from_secs(4);
    let mut server = Registry::with()
        .env("REGISTRY_HTTP_DRAINPAUSE", "4s")
        .start();
    let repo = Repo::on(&server, "paused");
    let mut kept = connect(server.host(), PATIENCE);
    assert_eq!(on(&mut kept, "/readyz"), 200);

    let begun = Instant::now();
    server.signal(Signal::TERM);
    let answer = eventually("draining", PAUSE, || {
        Some(ask(server.host(), "/readyz")).filter(|answer| answer.status == 503)
    });
    assert_eq!(
        answer.json(),
        json!({ "draining": "the server is stopping" })
    );
    ask(server.host(), "/livez").expect(200);
    // A new connection, and one that was there before.
    repo.tag("latest", "one");
    assert_eq!(on(&mut kept, "/readyz"), 503);
    assert_eq!(on(&mut kept, "/v2/"), 200);
    assert!(begun.elapsed() < PAUSE, "too slow a machine for this test");

    eventually("no new connections", PATIENCE, || {
        TcpStream::connect(server.host()).err()
    });
    assert!(server.wait().success(), "an orderly end");
    assert!(begun.elapsed() >= PAUSE);
}

#[test]
fn a_second_sigterm_cuts_the_pause_short() {
    let mut server = Registry::with()
        .env("REGISTRY_HTTP_DRAINPAUSE", "10m")
        .start();
    server.signal(Signal::TERM);
    eventually("the first signal noticed", PATIENCE, || {
        server.log().contains("stopping").then_some(())
    });
    server.signal(Signal::TERM);
    server.wait();
}

fn ask(host: &str, path: &str) -> Answer {
    Request::new(host, "GET", path).send()
}

/// The status of a request on a connection that stays open.
fn on(socket: &mut TcpStream, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut heard = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let length = socket.read(&mut bytes).unwrap();
        assert_ne!(length, 0, "closed: {}", String::from_utf8_lossy(&heard));
        heard.extend(&bytes[..length]);
        if let Some((answer, 0)) = Answer::parse(&heard, false) {
            return answer.status;
        }
    }
}
