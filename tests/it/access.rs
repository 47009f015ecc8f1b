//! Access rules from outside: who may do what, what is hidden looks like what
//! isn't there, and groups that change count at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::content::{self, INDEX, sha256};
use crate::process::wharf;
use crate::repo::{next, strings, with_query};
use crate::support::{Registry, eventually};
use crate::wire::{Answer, Request};

const USERS: [&str; 5] = ["alice", "bob", "carol", "ci", "admin"];

fn rules(groups: &Path) -> String {
    format!(
        "access:
  groups: {{dev: [alice]}}
  groupfile: {}
  rules:
  - {{repositories: '**', subjects: [admin], actions: [pull, push, delete]}}
  - {{repositories: team/secret/**, subjects: [authenticated, anonymous], actions: []}}
  - {{repositories: team/**, subjects: ['group:dev'], actions: [pull, push]}}
  - {{repositories: team/**, subjects: [ci], actions: [pull, create]}}
  - {{repositories: team/**, subjects: [bob], actions: [pull]}}
  - {{repositories: '{{user}}/**', subjects: [authenticated], actions: [pull, push, delete]}}
  - {{repositories: public/**, subjects: [anonymous, authenticated], actions: [pull]}}
",
        groups.display()
    )
}

struct Scene {
    server: Registry,
    files: TempDir,
}

impl Scene {
    fn start() -> Scene {
        let files = TempDir::new().unwrap();
        let groups = files.path().join("groups");
        fs::write(&groups, "# nobody yet\n").unwrap();
        let mut setup = Registry::with().section(&rules(&groups));
        for user in USERS {
            setup = setup.user(user, "secret");
        }
        let server = setup.start();
        Scene { server, files }
    }

    /// A request as a user; as nobody where the name is empty.
    fn ask(&self, user: &str, method: &str, path: &str) -> Request {
        let path = path.strip_prefix(&self.server.url()).unwrap_or(path);
        let request = Request::new(self.server.host(), method, path);
        if user.is_empty() {
            return request;
        }
        let login = STANDARD.encode(format!("{user}:secret"));
        request.header("Authorization", format!("Basic {login}"))
    }

    fn put(&self, user: &str, repository: &str, reference: &str, note: &str) -> Answer {
        self.ask(
            user,
            "PUT",
            &format!("/v2/{repository}/manifests/{reference}"),
        )
        .header("Content-Type", INDEX)
        .body(manifest(note))
        .send()
    }

    fn get(&self, user: &str, path: &str) -> Answer {
        self.ask(user, "GET", &format!("/v2/{path}")).send()
    }

    fn begin(&self, user: &str, repository: &str) -> Answer {
        let path = format!("/v2/{repository}/blobs/uploads/");
        self.ask(user, "POST", &path).body("").send()
    }

    fn push(&self, user: &str, repository: &str, content: &[u8]) -> String {
        let digest = sha256(content);
        let begun = self.begin(user, repository).expect(202);
        let location = with_query(begun.must("location"), &format!("digest={digest}"));
        self.ask(user, "PUT", &location)
            .body(content)
            .send()
            .expect(201);
        digest
    }

    fn mount(&self, user: &str, repository: &str, digest: &str, from: &str) -> Answer {
        let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={from}");
        self.ask(user, "POST", &path).body("").send()
    }
}

fn manifest(note: &str) -> Vec<u8> {
    let mut index = content::index(&[]);
    index["annotations"] = serde_json::json!({ "note": note });
    content::bytes(&index)
}

/// What an answer says but for its time and its number.
fn told(answer: &Answer, name: &str) -> (u16, Vec<(String, String)>, String) {
    let mut headers = answer.headers.clone();
    headers.retain(|(header, _)| {
        !["date", "x-request-id", "content-length"].contains(&header.as_str())
    });
    // A challenge names what was asked for.
    for (_, value) in &mut headers {
        *value = value.replace(name, "NAME");
    }
    let body = String::from_utf8_lossy(&answer.body).replace(name, "NAME");
    (answer.status, headers, body)
}

#[test]
fn each_action_is_for_whom_a_rule_allows_it() {
    let scene = Scene::start();
    scene.put("alice", "team/app", "v1", "one").expect(201);
    for user in ["alice", "bob", "ci", "admin"] {
        scene.get(user, "team/app/manifests/v1").expect(200);
        assert_eq!(
            strings(&scene.get(user, "team/app/tags/list").expect(200), "tags"),
            ["v1"]
        );
    }
    scene
        .get("carol", "team/app/manifests/v1")
        .refused(403, "DENIED");
    scene
        .get("", "team/app/manifests/v1")
        .refused(401, "UNAUTHORIZED");
    for user in ["bob", "carol"] {
        scene
            .put(user, "team/app", "v2", "two")
            .refused(403, "DENIED");
        scene.begin(user, "team/app").refused(403, "DENIED");
    }
    for (user, status) in [("alice", 403), ("bob", 403), ("ci", 403), ("admin", 202)] {
        let deleted = scene
            .ask(user, "DELETE", "/v2/team/app/manifests/v1")
            .send();
        assert_eq!(deleted.status, status, "{user}: {deleted}");
    }
    // Their own name is theirs, and nobody else's.
    scene.put("carol", "carol/app", "v1", "own").expect(201);
    scene
        .put("bob", "carol/app", "v1", "own")
        .refused(403, "DENIED");
    scene
        .ask("carol", "DELETE", "/v2/carol/app/manifests/v1")
        .send()
        .expect(202);
    // An earlier rule forbids what a later one would allow.
    scene
        .put("alice", "team/secret/app", "v1", "x")
        .refused(403, "DENIED");
    scene.put("admin", "public/app", "v1", "x").expect(201);
    scene.get("", "public/app/manifests/v1").expect(200);
    scene.get("carol", "public/app/manifests/v1").expect(200);
    scene
        .put("carol", "public/app", "v1", "y")
        .refused(403, "DENIED");
    scene
        .put("", "public/app", "v1", "y")
        .refused(401, "UNAUTHORIZED");
}

#[test]
fn who_may_create_moves_no_tag() {
    let scene = Scene::start();
    scene.put("ci", "team/app", "v1", "one").expect(201);
    scene.put("ci", "team/app", "v1", "one").expect(201);
    scene
        .put("ci", "team/app", "v1", "two")
        .refused(403, "DENIED");
    scene.put("ci", "team/app", "latest", "one").expect(201);
    scene
        .put("ci", "team/app", "latest", "two")
        .refused(403, "DENIED");
    let digest = sha256(&manifest("two"));
    scene.put("ci", "team/app", &digest, "two").expect(201);
    scene
        .put("ci", "team/app", &format!("{digest}?tag=v2"), "two")
        .expect(201);
    scene
        .put("ci", "team/app", &format!("{digest}?tag=v1"), "two")
        .refused(403, "DENIED");
    let named = scene.get("bob", "team/app/manifests/v1").expect(200);
    assert_eq!(
        named.must("docker-content-digest"),
        sha256(&manifest("one"))
    );
    scene.put("alice", "team/app", "v1", "two").expect(201);
}

#[test]
fn what_is_forbidden_looks_like_what_is_not_there() {
    let scene = Scene::start();
    let digest = scene.push("admin", "team/app", b"content");
    scene.put("admin", "team/app", "v1", "one").expect(201);
    for user in ["carol", ""] {
        for rest in [
            "manifests/v1".to_owned(),
            "manifests/none".to_owned(),
            format!("manifests/{}", sha256(&manifest("one"))),
            format!("blobs/{digest}"),
            "tags/list".to_owned(),
            format!("referrers/{digest}"),
        ] {
            for method in ["GET", "HEAD", "DELETE"] {
                let ask = |name: &str| {
                    let answer = scene
                        .ask(user, method, &format!("/v2/{name}/{rest}"))
                        .send();
                    told(&answer, name)
                };
                let seen = ask("team/app");
                assert!([401, 403].contains(&seen.0) || seen.0 == 405, "{seen:?}");
                assert_eq!(seen, ask("team/abc"), "{user} {method} {rest}");
            }
        }
    }
    // Who may read is told what is missing.
    scene
        .get("bob", "team/app/manifests/none")
        .refused(404, "MANIFEST_UNKNOWN");
    scene.get("bob", "team/none/manifests/v1").expect(404);
}

#[test]
fn lists_show_what_may_be_pulled() {
    let scene = Scene::start();
    for name in [
        "a/hidden",
        "bob/x",
        "carol/y",
        "public/z",
        "team/app",
        "team/secret/s",
        "team-x/a",
    ] {
        scene.put("admin", name, "v1", "x").expect(201);
    }
    let listed = |user: &str, query: &str| {
        let answer = scene.get(user, &format!("_catalog{query}")).expect(200);
        (strings(&answer, "repositories"), next(&answer))
    };
    assert_eq!(listed("admin", "").0.len(), 7);
    assert_eq!(listed("bob", "").0, ["bob/x", "public/z", "team/app"]);
    assert_eq!(listed("carol", "").0, ["carol/y", "public/z"]);
    let (first, more) = listed("bob", "?n=2");
    assert_eq!(first, ["bob/x", "public/z"]);
    let page = scene.ask("bob", "GET", &more.unwrap()).send().expect(200);
    assert_eq!(
        (strings(&page, "repositories"), next(&page)),
        (vec!["team/app".to_owned()], None)
    );
    assert_eq!(listed("bob", "?last=public/z").0, ["team/app"]);
    let usage = scene.get("carol", "_wharf/usage").expect(200).json();
    let names: Vec<_> = usage["repositories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(names, ["carol/y", "public/z"]);
}

#[test]
fn a_mount_needs_pull_on_its_source() {
    let scene = Scene::start();
    let digest = scene.push("admin", "team/app", b"a layer");
    scene.put("admin", "team/app", "v1", "x").expect(201);
    scene
        .mount("carol", "carol/app", &digest, "team/app")
        .expect(202);
    scene.mount("carol", "carol/app", &digest, "").expect(202);
    scene
        .ask("carol", "HEAD", &format!("/v2/carol/app/blobs/{digest}"))
        .send()
        .expect(404);
    // Naming it as a layer is no way to it either.
    let mut image = content::image(&[b"a layer"]);
    image["config"] = content::descriptor("application/vnd.oci.image.config.v1+json", b"{}");
    scene.push("carol", "carol/app", b"{}");
    let put = scene.ask("carol", "PUT", "/v2/carol/app/manifests/v1");
    let put = put
        .header("Content-Type", content::IMAGE)
        .body(content::bytes(&image));
    put.send().refused(400, "MANIFEST_BLOB_UNKNOWN");
    scene
        .mount("bob", "bob/app", &digest, "team/app")
        .expect(201);
    scene.mount("ci", "ci/app", &digest, "").expect(201);
}

#[test]
fn an_upload_is_its_owners() {
    let scene = Scene::start();
    let begun = scene.begin("alice", "team/app").expect(202);
    let location = begun.must("location").to_owned();
    let closing = with_query(&location, &format!("digest={}", sha256(b"mine")));
    for user in ["ci", "admin"] {
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let target = if method == "PUT" { &closing } else { &location };
            let answer = scene.ask(user, method, target).body("").send();
            answer.refused(404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    scene
        .ask("alice", "PATCH", &location)
        .body("mine")
        .send()
        .expect(202);
    scene
        .ask("alice", "PUT", &closing)
        .body("")
        .send()
        .expect(201);
}

#[test]
fn groups_that_change_count_at_once_and_a_broken_file_changes_nothing() {
    let scene = Scene::start();
    let groups = scene.files.path().join("groups");
    let may = |status: u16| {
        eventually("the new groups", Duration::from_secs(2), || {
            (scene.begin("carol", "team/app").status == status).then_some(())
        });
    };
    may(403);
    fs::write(&groups, "dev: carol\n").unwrap();
    may(202);
    fs::write(&groups, "dev carol\n").unwrap();
    eventually("a word about the file", Duration::from_secs(5), || {
        scene.begin("carol", "team/app").expect(202);
        scene
            .server
            .log()
            .contains("the groups read before stay in force")
            .then_some(())
    });
    fs::write(&groups, "dev: dora\n").unwrap();
    may(403);
    // Those of the configuration stay.
    scene.begin("alice", "team/app").expect(202);
}

#[test]
fn user_can_says_which_rule_decides() {
    let dir = TempDir::new().unwrap();
    let groups = dir.path().join("groups");
    fs::write(&groups, "dev: dora\n").unwrap();
    let text = format!(
        "version: 0.1\nstorage: filesystem\nauth: {{htpasswd: {{realm: r, path: users}}}}\n{}",
        rules(&groups)
    );
    fs::write(dir.path().join("c.yml"), text).unwrap();
    let can = |words: &str| {
        let words = ["user", "can", "--config", "c.yml"]
            .into_iter()
            .chain(words.split(' '));
        wharf(dir.path(), words).output()
    };
    let yes = can("dora push team/app");
    assert_eq!(
        yes.text(),
        "yes: access.rules[2] (c.yml:10) is the first rule that matches; it allows pull,push\ngroups: dev\n"
    );
    assert!(yes.success());
    crate::process::ended_with(&can("bob push team/app").says("no: access.rules[4]"), 5);
    crate::process::ended_with(
        &can("anonymous pull team/app").says("no: no rule matches"),
        5,
    );
    assert!(
        can("x pull team/app --group dev --json")
            .says("\"allowed\": true")
            .success()
    );
    crate::process::ended_with(
        &can("robot:ci pull team/app").says("a robot's rights are its own"),
        2,
    );
}
