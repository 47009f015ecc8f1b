//! Users files as Apache's htpasswd and people write them: who can log in, what
//! is wrong with a line, and what a client without a login is told.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Registry, eventually};
use crate::wire::{Answer, PATIENCE, Request};

/// What Apache's htpasswd printed, each with its empty line at the end.
const MOBY: &str = "moby:$2y$05$iWxaHRWggL45yNXNN/3eVOXOCL5i8JyQsovjVr2hHg5HQCfkzYMCq\n\n";
const APR1: &str = "apr:$apr1$1o6Yce3m$dMMYtu9k9v46XeGctn6FI/\n\n";
const SHA1: &str = "sha:{SHA}2PRZAyDhNDqRW2OUFwZQqPNdaSY=\n\n";
const CRYPT: &str = "cr:KWglU/QGnA3Ac\n\n";
const SHA512: &str = "s5:$6$3S312wGjyhJV.Q93$S0nLjleP83Hh2yQXoMYsfrCcR3Q9aFAvKeAlsWzqJhgyDv6heLTNe2EVRVmwRRv7qRZgyZ1VpiejHo363MTti/\n\n";

#[test]
fn apaches_bcrypt_logs_in_under_all_its_names_and_argon2id_does() {
    let dir = TempDir::new().unwrap();
    let (a, b) = (MOBY.replace("$2y$", "$2a$"), MOBY.replace("$2y$", "$2b$"));
    let add = [
        "user",
        "add",
        "argon",
        "--file",
        "users",
        "--password-stdin",
    ];
    let add = crate::process::wharf(dir.path(), add);
    add.stdin("gordon\n").ok();
    let argon = fs::read_to_string(dir.path().join("users")).unwrap();
    assert!(argon.contains("argon:$argon2id$"), "{argon}");
    let lines = format!(
        "# the team\n{MOBY}{}{}{argon}",
        a.replace("moby", "anna"),
        b.replace("moby", "ben")
    );
    let server = serving(dir.path(), &lines);
    for user in ["moby", "anna", "ben", "argon"] {
        login(&server, user, "gordon").expect(200);
        login(&server, user, "gordo").refused(401, "UNAUTHORIZED");
        login(&server, user, "").refused(401, "UNAUTHORIZED");
    }
    assert!(
        !server.log().contains("users.htpasswd:"),
        "{}",
        server.log()
    );
}

#[test]
fn kinds_that_nobody_accepts_are_named_with_their_line_and_what_to_do() {
    let dir = TempDir::new().unwrap();
    let lines = format!("{MOBY}{APR1}{SHA1}{CRYPT}{SHA512}henry:x\nnot a line\n");
    let server = serving(dir.path(), &lines);
    let log = server.log();
    let file = dir.path().join("users.htpasswd");
    let file = file.to_str().unwrap();
    for (line, user, kind) in [
        (3, "apr", "apr1 hash"),
        (5, "sha", "sha hash"),
        (7, "cr", "plain text, crypt or an unknown hash"),
        (9, "s5", "sha512-crypt hash"),
        (11, "henry", "plain text, crypt or an unknown hash"),
    ] {
        let words = format!(
            "{file}:{line}: user {user}: {kind} is not accepted; run `wharf user passwd {user} --file {file}`"
        );
        assert!(log.contains(&words), "{words}\n{log}");
    }
    assert!(log.contains(&format!("{file}:12: ")), "{log}");
    for (user, password) in [
        ("apr", "apr"),
        ("sha", "sha"),
        ("cr", "crypt"),
        ("s5", "s5"),
        ("henry", "x"),
        ("not a line", ""),
    ] {
        login(&server, user, password).refused(401, "UNAUTHORIZED");
    }
    login(&server, "moby", "gordon").expect(200);
}

#[test]
fn without_a_login_there_is_a_challenge_that_tells_nothing() {
    let dir = TempDir::new().unwrap();
    let server = serving(dir.path(), MOBY);
    let asked = |authorization: Option<String>| {
        let request = Request::new(server.host(), "GET", "/v2/some/repo/tags/list");
        let request = match authorization {
            Some(value) => request.header("Authorization", value),
            None => request,
        };
        request.send().refused(401, "UNAUTHORIZED")
    };
    let wrong = asked(Some(basic("moby", "wrong")));
    let unknown = asked(Some(basic("nobody", "wrong")));
    for answer in [&wrong, &unknown, &asked(None)] {
        assert_eq!(answer.must("www-authenticate"), "Basic realm=\"the pier\"");
        assert_eq!(
            answer.must("docker-distribution-api-version"),
            "registry/2.0"
        );
    }
    assert_eq!(wrong.body, unknown.body);
    let names = |answer: &Answer| {
        let names = answer.headers.iter().filter(|(name, _)| name != "date");
        let names = names.filter(|(name, _)| name != "x-request-id");
        names.cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&wrong), names(&unknown));
}

#[test]
fn users_added_to_the_file_are_let_in_with_and_without_sighup() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("users.htpasswd");
    let server = serving(dir.path(), MOBY);
    login(&server, "anna", "gordon").refused(401, "UNAUTHORIZED");
    fs::write(&file, format!("{MOBY}{}", MOBY.replace("moby", "anna"))).unwrap();
    until(&server, "anna", 200);

    fs::write(&file, MOBY.replace("moby", "ben")).unwrap();
    server.signal(Signal::HUP);
    until(&server, "ben", 200);
    until(&server, "moby", 401);
    until(&server, "anna", 401);
}

#[test]
fn a_users_file_that_goes_missing_or_breaks_keeps_the_users_there_were() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("users.htpasswd");
    let server = serving(dir.path(), MOBY);
    for broken in [None, Some(&b"\xff\xfe\x00\x01 no users file"[..])] {
        let said = server.log().len();
        match broken {
            None => fs::remove_file(&file).unwrap(),
            Some(bytes) => fs::write(&file, bytes).unwrap(),
        }
        server.signal(Signal::HUP);
        eventually("the log says so", PATIENCE, || {
            server.log()[said..]
                .contains("users stay as they were")
                .then_some(())
        });
        login(&server, "moby", "gordon").expect(200);
        login(&server, "moby", "wrong").refused(401, "UNAUTHORIZED");
    }
    fs::write(&file, MOBY.replace("moby", "anna")).unwrap();
    until(&server, "anna", 200);
    until(&server, "moby", 401);
}

fn serving(dir: &Path, lines: &str) -> Registry {
    let file = dir.join("users.htpasswd");
    fs::write(&file, lines).unwrap();
    let auth = format!(
        "auth: {{htpasswd: {{realm: the pier, path: {}}}}}",
        file.display()
    );
    Registry::with().section(&auth).start()
}

/// Asks again until a user with the password `gordon` gets this status.
fn until(server: &Registry, user: &str, status: u16) {
    eventually(&format!("{status} for {user}"), PATIENCE, || {
        (login(server, user, "gordon").status == status).then_some(())
    });
}

pub fn login(server: &Registry, user: &str, password: &str) -> Answer {
    Request::new(server.host(), "GET", "/v2/")
        .header("Authorization", basic(user, password))
        .send()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
