//! A password is never seen again: not in the log, at any level, in any format,
//! not in an answer, wherever a client has put it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::content::sha256;
use crate::repo::Repo;
use crate::support::{Registry, run};
use crate::wire::{Answer, Request};

/// The right password, and one word for every other place where clients and
/// people put secrets.
const RIGHT: &str = "canary-right-c0ffee";
const WRONG: &str = "canary-wrong-c0ffee";
const AS_USER: &str = "canary-typed-as-user";
const TOKEN: &str = "canary-bearer-token";
const QUERY: &str = "canary-in-the-query";
const COOKIE: &str = "canary-cookie";
const PROXY: &str = "canary-proxy-login";

#[test]
fn no_secret_of_a_client_is_in_the_log_or_an_answer() {
    for format in ["text", "json", "logstash"] {
        let mut server = Registry::with()
            .env("REGISTRY_LOG_LEVEL", "debug")
            .env("REGISTRY_LOG_FORMATTER", format)
            .env("REGISTRY_HTTP_SECRET", "canary-http-secret")
            .user("moby", RIGHT)
            .start();
        let answers = everywhere(&server);
        assert!(server.stop().success());
        let log = server.log();
        assert!(log.contains("request_id"), "{log}");
        unseen(&log);
        for answer in answers {
            unseen(&answer.to_string());
        }
    }
}

#[test]
fn a_users_file_in_the_log_shows_no_hash_and_no_plain_password() {
    let server = Registry::with().user("moby", RIGHT).start();
    let file = server.dir().join("htpasswd");
    let lines = std::fs::read_to_string(&file).unwrap();
    let hash = lines.trim().split_once(':').unwrap().1.to_owned();
    let more = format!("{lines}carol:{WRONG}\n{TOKEN}\nbad:$2y$05$canary\n");
    std::fs::write(&file, more).unwrap();
    server.signal(rustix::process::Signal::HUP);
    crate::support::eventually("the notices", crate::wire::PATIENCE, || {
        server.log().contains("htpasswd:4").then_some(())
    });
    let log = server.log();
    unseen(&log);
    assert!(!log.contains(&hash) && !log.contains("canary"), "{log}");
}

#[test]
fn the_command_line_for_users_repeats_no_password() {
    let dir = tempfile::TempDir::new().unwrap();
    let wharf = || run(crate::process::binary()).dir(dir.path());
    let add = ["user", "add", "moby", "--file", "users", "--password-stdin"];
    unseen(&wharf().args(add).stdin(format!("{RIGHT}\n")).ok().text());
    unseen(
        &wharf()
            .args(add)
            .stdin(format!("{RIGHT}\n"))
            .output()
            .text(),
    );
    let batch = ["htpasswd", "-bB", "users", "carol", WRONG];
    unseen(&wharf().args(batch).ok().text());
    unseen(&wharf().args(["user", "ls", "--file", "users"]).ok().text());
}

#[test]
fn neither_metrics_nor_health_nor_the_volume_hold_a_secret() {
    let server = Registry::with()
        .env("REGISTRY_LOG_LEVEL", "debug")
        .env("REGISTRY_HTTP_DEBUG_ADDR", "\"127.0.0.1:0\"")
        .env("REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED", "true")
        .env("REGISTRY_HTTP_SECRET", "canary-http-secret")
        .env("REGISTRY_REDIS_PASSWORD", "canary-redis")
        .env("REGISTRY_PROXY_PASSWORD", "canary-proxy")
        .user("moby", RIGHT)
        .start();
    everywhere(&server);
    let repo = Repo::on(&server, "a/b");
    let digest = sha256(b"content");
    repo.ask(
        "POST",
        &format!("blobs/uploads/?digest={digest}&token={QUERY}"),
    )
    .header("Authorization", basic("moby", RIGHT))
    .body("content")
    .send()
    .expect(201);
    let debug = crate::health::debug(&server);
    for path in ["/metrics", "/debug/health", "/readyz"] {
        let answer = Request::new(&debug, "GET", path).send().expect(200);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        unseen(&body);
        assert!(!body.contains("canary"), "{body}");
    }
    let mut files = 0;
    below(server.data(), &mut |path, content| {
        files += 1;
        let name = path.display().to_string();
        assert!(!name.contains("canary"), "{name}");
        let text = String::from_utf8_lossy(content).into_owned();
        assert!(!text.contains("canary"), "{name}: {text}");
        unseen(&text);
    });
    assert!(files > 0, "nothing is stored");
    unseen(&server.log());
    assert!(!server.log().contains("canary"), "{}", server.log());
    let arguments = format!("/proc/{}/cmdline", server.pid().unwrap());
    unseen(&std::fs::read_to_string(arguments).unwrap());
}

#[test]
fn a_crash_leaves_no_memory_behind_unless_that_is_asked_for() {
    let core = |server: &Registry| {
        let limits = format!("/proc/{}/limits", server.pid().unwrap());
        let limits = std::fs::read_to_string(limits).unwrap();
        let line = limits.lines().find(|line| line.contains("core file"));
        let words = line.unwrap().split_whitespace();
        let bounds: Vec<String> = words.skip(4).take(2).map(str::to_owned).collect();
        bounds
    };
    let server = Registry::start();
    assert_eq!(core(&server), ["0", "0"]);
    let debugged = Registry::with().env("WHARF_CORE_DUMPS", "1").start();
    let own = std::fs::read_to_string("/proc/self/limits").unwrap();
    let ours = own.lines().find(|line| line.contains("core file")).unwrap();
    let ours: Vec<&str> = ours.split_whitespace().skip(4).take(2).collect();
    assert_eq!(core(&debugged), ours);
    assert!(debugged.log().contains("WHARF_CORE_DUMPS is set"));
}

/// Every file below a directory.
fn below(directory: &Path, visit: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => below(&path, visit),
            false => visit(&path, &std::fs::read(&path).unwrap()),
        }
    }
}

/// Requests with a secret in every place.
fn everywhere(server: &Registry) -> Vec<Answer> {
    let repo = Repo::on(server, "a/b");
    let logins = [
        basic("moby", RIGHT),
        basic("moby", WRONG),
        basic("nobody", WRONG),
        basic(AS_USER, ""),
        basic(AS_USER, AS_USER),
        format!("Basic {WRONG}"),
        format!("Bearer {TOKEN}"),
        format!("Negotiate {TOKEN}"),
        TOKEN.to_owned(),
    ];
    let mut answers = Vec::new();
    for login in &logins {
        for (method, path) in [
            ("GET", "/v2/".to_owned()),
            ("GET", format!("/v2/?account=moby&access_token={QUERY}")),
            ("GET", format!("/v2/_catalog?n={QUERY}")),
            ("GET", format!("/v2/a/b/tags/list?last={QUERY}")),
            ("GET", format!("/v2/a/b/manifests/latest?token={QUERY}")),
            ("GET", format!("/nowhere?password={QUERY}")),
            (
                "PUT",
                format!(
                    "/v2/a/b/blobs/uploads/none?digest={}&_state={QUERY}",
                    sha256(b"")
                ),
            ),
        ] {
            let request = Request::new(server.host(), method, &path);
            let request = request
                .header("Authorization", login)
                .header("Cookie", format!("session={COOKIE}"))
                .header("Proxy-Authorization", basic("proxy", PROXY));
            answers.push(request.send());
        }
    }
    let twice = Request::new(repo.host(), "GET", "/v2/")
        .header("Authorization", basic("moby", RIGHT))
        .header("Authorization", basic("moby", WRONG));
    answers.push(twice.send());
    answers
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Panics if a secret is in a text, as it is or in base64.
#[track_caller]
fn unseen(text: &str) {
    for secret in [RIGHT, WRONG, AS_USER, TOKEN, QUERY, COOKIE, PROXY] {
        assert!(!text.contains(secret), "{secret} is seen in:\n{text}");
    }
    for (user, secret) in [
        ("moby", RIGHT),
        ("moby", WRONG),
        ("nobody", WRONG),
        (AS_USER, ""),
        (AS_USER, AS_USER),
        ("proxy", PROXY),
    ] {
        let encoded = STANDARD.encode(format!("{user}:{secret}"));
        assert!(!text.contains(&encoded), "{encoded} is seen in:\n{text}");
    }
    assert!(!text.contains("canary-http-secret"), "{text}");
}
