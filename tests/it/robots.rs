//! Robots: made, listed and revoked by `wharf token` beside running servers, and
//! what they may do there.

use std::fs;
use std::time::{Duration, Instant};

use reqwest::blocking::Response;
use tempfile::TempDir;

use crate::process::{ended_with, wharf};
use crate::support::{Registry, eventually};

/// What revocations promise.
const SOON: Duration = Duration::from_secs(2);

struct Robot<'a> {
    name: &'a str,
    secret: String,
}

impl Robot<'_> {
    fn ask(&self, server: &Registry, method: &str, path: &str) -> Response {
        let url = format!("{}{path}", server.url());
        let request = server.client().request(method.parse().unwrap(), url);
        let login = request.basic_auth(self.name, Some(&self.secret));
        login.body("").send().unwrap()
    }

    fn status(&self, server: &Registry, method: &str, path: &str) -> u16 {
        self.ask(server, method, path).status().as_u16()
    }
}

fn token(server: &Registry, args: &[&str]) -> crate::support::Run {
    let data = server.data().to_str().unwrap();
    wharf(server.dir(), args.iter().copied().chain(["--data", data]))
}

fn make<'a>(server: &Registry, name: &'a str, allow: &str, expires: &str) -> Robot<'a> {
    let args = [
        "token",
        "create",
        "--name",
        name,
        "--allow",
        allow,
        "--expires",
        expires,
    ];
    let made = token(server, &args).ok();
    let secret = made.stdout.trim_end().to_owned();
    assert!(
        secret.starts_with("wharf_") && secret.len() == 49,
        "{secret}"
    );
    assert!(!made.stderr.contains(&secret));
    Robot { name, secret }
}

fn served(volume: &TempDir) -> Registry {
    let setup = Registry::with().data(volume.path());
    setup.user("alice", "wonderland").start()
}

#[test]
fn a_robot_has_its_own_rights_everywhere_until_it_is_revoked() {
    let volume = TempDir::new().unwrap();
    let (one, other) = (served(&volume), served(&volume));
    let robot = make(&one, "ci", "pull,push team/**", "1h");
    for server in [&one, &other] {
        assert_eq!(
            robot.status(server, "POST", "/v2/team/app/blobs/uploads/"),
            202
        );
        let digest = format!("sha256:{}", "0".repeat(64));
        for (method, rest) in [
            ("GET", "tags/list".to_owned()),
            ("GET", "manifests/latest".to_owned()),
            ("DELETE", "manifests/latest".to_owned()),
            ("GET", format!("blobs/{digest}")),
            ("GET", format!("referrers/{digest}")),
            ("POST", "blobs/uploads/".to_owned()),
        ] {
            let path = format!("/v2/other/app/{rest}");
            assert_eq!(robot.status(server, method, &path), 403, "{method} {path}");
        }
        assert_eq!(
            robot.status(server, "DELETE", "/v2/team/app/manifests/latest"),
            403
        );
    }
    let used = || {
        let listed = token(&one, &["token", "ls", "--json"]).ok();
        let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
        assert_eq!(listed["robots"][0]["name"], "ci");
        listed["robots"][0]["used"].as_str().map(str::to_owned)
    };
    eventually("the last use is listed", Duration::from_secs(20), used);
    token(
        &one,
        &["token", "create", "--name", "ci", "--allow", "pull a"],
    )
    .refused("there is a robot ci already");

    token(&one, &["token", "revoke", "ci"]).ok();
    let revoked = Instant::now();
    for server in [&one, &other] {
        while robot.status(server, "GET", "/v2/") != 401 {
            assert!(revoked.elapsed() < SOON, "it still logs in");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    ended_with(&token(&one, &["token", "revoke", "ci"]).output(), 4);
    ended_with(&token(&one, &["token", "show", "ci"]).output(), 4);
    for server in [&one, &other] {
        assert!(!server.log().contains(&robot.secret));
    }
    assert!(!holds(volume.path(), robot.secret.as_bytes()));
}

#[test]
fn wrong_expired_and_unknown_robots_look_alike() {
    let volume = TempDir::new().unwrap();
    let server = served(&volume);
    let robot = make(&server, "ci", "pull **", "never");
    let brief = make(&server, "brief", "pull **", "1s");
    let secret = || robot.secret.clone();
    let answer = |name, secret| {
        let answer = Robot { name, secret }.ask(&server, "GET", "/v2/");
        (answer.status().as_u16(), answer.text().unwrap())
    };
    assert_eq!(answer("ci", secret()).0, 200);
    eventually("the end of a brief robot", Duration::from_secs(5), || {
        (answer("brief", brief.secret.clone()).0 == 401).then_some(())
    });
    let wrong = answer("ci", brief.secret.clone());
    assert_eq!(wrong.0, 401);
    assert_eq!(answer("nobody", secret()), wrong);
    assert_eq!(answer("brief", brief.secret.clone()), wrong);
    // A user's name with a robot's secret, and a secret in another form.
    assert_eq!(answer("alice", secret()), wrong);
    assert_eq!(answer("alice", "wonderland".to_owned()).0, 200);
}

/// Whether any file below a directory has these bytes.
fn holds(dir: &std::path::Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, bytes),
            false => {
                let content = fs::read(&path).unwrap_or_default();
                content.windows(bytes.len()).any(|part| part == bytes)
            }
        }
    })
}
