//! The audit log: each event once, with exactly what happened, whatever clients
//! put into their names.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::content::{EMPTY_JSON, IMAGE, bytes, image, sha256};
use crate::support::{Registry, eventually};
use crate::wire::{Answer, PATIENCE, Request};

#[test]
fn each_event_is_one_line_with_who_what_and_why() {
    let site = Site::start();
    let (one, first) = site.push("alice", "one");
    let (_, second) = site.push("alice", "two");
    site.put("alice", "v1", &one).expect(201);
    let two = bytes(&image(&[b"two"]));
    site.put("alice", "v1", &two).expect(201);
    site.ask("alice", "DELETE", "manifests/v1")
        .send()
        .expect(202);
    site.put("bob", "v1", &one).expect(403);
    site.ask("bob", "GET", "tags/list").send();
    let wrong = Request::new(site.server.host(), "GET", "/v2/");
    let wrong = wrong.header("Authorization", basic("alice", "no")).send();
    wrong.expect(401);
    let asked = Request::new(site.server.host(), "GET", "/v2/").send();
    asked.expect(401);

    let lines = site.lines_until("login", "failure");
    let of = |event: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["event"] == event).collect()
    };
    let logins: Vec<_> = of("login")
        .iter()
        .map(|line| (line["user"].clone(), line["outcome"].clone()))
        .collect();
    let known = |user: &str, outcome: &str| (Value::from(user), Value::from(outcome));
    assert_eq!(
        logins,
        [
            known("alice", "success"),
            known("bob", "success"),
            known("alice", "failure")
        ]
    );
    let manifests: Vec<_> = of("push")
        .into_iter()
        .filter(|line| line["operation"] == "manifest")
        .collect();
    assert_eq!(manifests.len(), 2, "{lines:?}");
    for (line, digest) in manifests.iter().zip([&first, &second]) {
        assert_eq!(line["user"], "alice");
        assert_eq!(line["how"], "password");
        assert_eq!(line["outcome"], "success");
        assert_eq!(line["address"], "127.0.0.1");
        assert_eq!(line["method"], "PUT");
        assert_eq!(line["repository"], "team/app");
        assert_eq!(line["reference"], "v1");
        assert_eq!(line["digest"], **digest);
        assert_eq!(line["rule"], "access.rules[0]");
        assert!(line["request_id"].is_string() && line["time"].is_string());
    }
    // EMPTY_JSON twice, and a layer each.
    assert_eq!(of("push").len() - manifests.len(), 4, "{lines:?}");
    let [moved] = of("tag_move")[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(moved["old_digest"], first);
    assert_eq!(moved["digest"], second);
    assert_eq!(moved["reference"], "v1");
    let [gone] = of("delete")[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(gone["reference"], "v1");
    let [denied] = of("denied")[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(denied["user"], "bob");
    assert_eq!(denied["outcome"], "failure");
    assert_eq!(denied["rule"], "access.rules[1]");
    let mode = fs::metadata(&site.file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn names_and_agents_cannot_forge_a_line() {
    let site = Site::start();
    let name = "eve\r\n{\"event\" forged}\u{1b}[31m\u{7f}\u{9b}\u{2028}\u{202e}";
    let request = Request::new(site.server.host(), "GET", "/v2/")
        .header("Authorization", basic(name, "x"))
        .header("User-Agent", "agent\t\u{9b}31m \"quoted\"");
    request.send().expect(401);
    let lines = site.lines_until("login", "failure");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["user"], name);
    let text = fs::read_to_string(&site.file).unwrap();
    let plain = |char: char| char == '\n' || (' '..='~').contains(&char);
    assert!(text.chars().all(plain), "{text:?}");
    assert_eq!(text.matches('\n').count(), 1);
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let site = Site::start();
    site.ask("alice", "GET", "tags/list").send();
    site.lines_until("login", "success");
    let old = site.file.with_extension("1");
    fs::rename(&site.file, &old).unwrap();
    site.ask("bob", "GET", "tags/list").send();
    let lines = site.lines_until("login", "success");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["user"], "bob");
    assert_eq!(fs::read_to_string(old).unwrap().lines().count(), 1);
}

#[test]
fn a_flood_of_denials_is_a_few_lines_that_count_the_rest() {
    let site = Site::start();
    for _ in 0..40 {
        site.ask("bob", "PUT", "manifests/x")
            .body("{}")
            .send()
            .expect(403);
    }
    eventually("forty denials", PATIENCE, || {
        let lines = site.lines();
        let denied = lines.iter().filter(|line| line["event"] == "denied");
        let count: u64 = denied
            .map(|line| 1 + line["suppressed"].as_u64().unwrap_or_default())
            .sum();
        assert!(count <= 40, "{lines:?}");
        (count == 40).then_some(())
    });
    assert!(site.lines().len() < 41, "some had no line");
}

struct Site {
    server: Registry,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Site {
    fn start() -> Site {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("audit.log");
        let server = Registry::with()
            .user("alice", "secret")
            .user("bob", "secret")
            .section(&format!("audit: {{enabled: true, file: {}}}", file.display()))
            .section(
                "access:\n  rules:\n  - {repositories: ['**'], subjects: [alice], actions: [pull, push, delete]}\n  - {repositories: ['**'], subjects: [bob], actions: [pull]}",
            )
            .start();
        Site {
            server,
            file,
            _dir: dir,
        }
    }

    fn ask(&self, user: &str, method: &str, rest: &str) -> Request {
        let path = format!("/v2/team/app/{rest}");
        Request::new(self.server.host(), method, &path)
            .header("Authorization", basic(user, "secret"))
    }

    fn put(&self, user: &str, tag: &str, manifest: &[u8]) -> Answer {
        self.ask(user, "PUT", &format!("manifests/{tag}"))
            .header("Content-Type", IMAGE)
            .body(manifest)
            .send()
    }

    /// Pushes the blobs of an image; its manifest and that one's digest.
    fn push(&self, user: &str, layer: &str) -> (Vec<u8>, String) {
        for content in [EMPTY_JSON, layer.as_bytes()] {
            let rest = format!("blobs/uploads/?digest={}", sha256(content));
            self.ask(user, "POST", &rest)
                .body(content)
                .send()
                .expect(201);
        }
        let manifest = bytes(&image(&[layer.as_bytes()]));
        let digest = sha256(&manifest);
        (manifest, digest)
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.collect()
    }

    /// All lines, once there is one of this event with this outcome.
    fn lines_until(&self, event: &str, outcome: &str) -> Vec<Value> {
        eventually("an audit line", PATIENCE, || {
            let lines = self.lines();
            let there = lines
                .iter()
                .any(|line| line["event"] == event && line["outcome"] == outcome);
            there.then_some(lines)
        })
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
