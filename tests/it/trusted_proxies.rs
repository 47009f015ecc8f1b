//! `http.trustedproxies`: what a proxy says of its clients is believed from
//! those that are named, and from nobody else (CVE-2026-20896 of Gitea: a
//! header that anybody may send).

use crate::repo::Repo;
use crate::support::{Registry, eventually};
use crate::wire::{Answer, PATIENCE, Request};

const CLIENT: &str = "192.0.2.77";

fn forwarded(request: Request) -> Request {
    request
        .header("X-Forwarded-For", format!("6.6.6.6, {CLIENT}"))
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "images.example")
}

/// The line of a request.
fn line(server: &Registry, answer: &Answer) -> String {
    let id = answer.must("x-request-id");
    eventually("its line", PATIENCE, || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains(id));
        line.map(str::to_owned)
    })
}

fn trusting(list: &str) -> Registry {
    Registry::with()
        .user("moby", "gordon")
        .env("REGISTRY_HTTP_TRUSTEDPROXIES", list)
        .section("limits:\n  uploadsperuser: 2\n")
        .start()
}

#[test]
fn nobody_is_believed_by_default_nor_who_is_not_named() {
    for list in ["[]", "[10.0.0.0/8, unix]"] {
        let server = trusting(list);
        let answer = forwarded(Request::new(server.host(), "GET", "/v2/")).send();
        let answer = answer.refused(401, "UNAUTHORIZED");
        assert!(!answer.to_string().contains("images.example"), "{answer}");
        let line = line(&server, &answer);
        assert!(line.contains("client=127.0.0.1:"), "{line}");
        assert!(
            !line.contains(CLIENT) && !line.contains("6.6.6.6"),
            "{line}"
        );
    }
}

#[test]
fn a_named_proxy_tells_who_asks_and_by_which_name() {
    let server = trusting("[10.0.0.0/8, 127.0.0.0/8]");
    let answer = forwarded(Request::new(server.host(), "GET", "/v2/")).send();
    let answer = answer.refused(401, "UNAUTHORIZED");
    let message = answer.json()["errors"][0]["message"].to_string();
    assert!(message.contains("docker login images.example"), "{message}");
    let line = line(&server, &answer);
    assert!(line.contains(&format!("client={CLIENT} ")), "{line}");
    assert!(line.contains("proxy=127.0.0.1:"), "{line}");
    assert!(!line.contains("6.6.6.6"), "{line}");
}

#[test]
fn uploads_without_a_login_are_counted_by_client() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_TRUSTEDPROXIES", "[127.0.0.1]")
        .section("limits:\n  uploadsperuser: 2\n")
        .start();
    let repo = Repo::on(&server, "a/b");
    let start = |from: &str| {
        let request = repo.ask("POST", "blobs/uploads/").body("");
        request.header("Forwarded", format!("for={from}")).send()
    };
    start(CLIENT).expect(202);
    start(CLIENT).expect(202);
    start(CLIENT).refused(429, "TOOMANYREQUESTS");
    start("192.0.2.78").expect(202);
}

#[test]
fn identity_headers_are_nobodys_word() {
    let server = trusting("[127.0.0.0/8]");
    for name in [
        "X-WEBAUTH-USER",
        "X-Remote-User",
        "X-Forwarded-User",
        "Remote-User",
        "X-Auth-Request-User",
    ] {
        let request = Request::new(server.host(), "GET", "/v2/").header(name, "moby");
        request.send().refused(401, "UNAUTHORIZED");
    }
}

#[test]
fn what_is_no_address_is_refused_with_its_line() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("config.yml");
    let yaml = "version: 0.1\nstorage: {filesystem: {rootdirectory: d}}\nhttp:\n  trustedproxies:\n    - proxy.example\n    - 10.0.0.1/8\n";
    std::fs::write(&file, yaml).unwrap();
    let told = crate::support::run(crate::process::binary())
        .args(["config", "check"])
        .arg(&file)
        .output()
        .text();
    assert!(told.contains("`proxy.example` is no address"), "{told}");
    assert!(
        told.contains("write `10.0.0.0/8` for the network"),
        "{told}"
    );
}
