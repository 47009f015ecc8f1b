//! `wharf user` and `htpasswd`, with a running server that notices.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::TempDir;

use crate::process::{binary, ended_with, wharf};
use crate::support::{Registry, eventually, run};
use crate::users_files::login;
use crate::wire::PATIENCE;

/// Nobody has that name.
const NO_SUCH_USER: i32 = 4;

#[test]
fn users_come_change_and_go_while_the_server_runs() {
    let dir = TempDir::new().unwrap();
    let server = serving(&dir);
    let user = |action: &str, name: &str| {
        let args = ["user", action, name, "--file", "users"];
        wharf(dir.path(), args)
    };
    let with = |action: &str, password: &str| {
        let line = format!("{password}\n");
        user(action, "alice").arg("--password-stdin").stdin(line)
    };
    login(&server, "alice", "first").expect(401);
    with("add", "first").ok();
    until(&server, "first", 200);
    let mode = fs::metadata(dir.path().join("users")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);

    with("add", "second").refused("alice");
    with("passwd", "second").ok();
    until(&server, "second", 200);
    login(&server, "alice", "first").expect(401);

    let list = wharf(dir.path(), ["user", "ls", "--file", "users"]).ok();
    let kind = |name: &str| {
        let line = list.stdout.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name}: {list}"))
            .to_owned()
    };
    assert!(kind("alice").contains("argon2id"), "{list}");
    assert!(kind("docker").contains("bcrypt"), "{list}");

    user("rm", "alice").ok();
    until(&server, "second", 401);
    ended_with(&user("rm", "alice").output(), NO_SUCH_USER);
    ended_with(&with("passwd", "third").output(), NO_SUCH_USER);
    let list = wharf(dir.path(), ["user", "ls", "--file", "users"]).ok();
    assert!(!list.stdout.contains("alice"), "{list}");
}

#[test]
fn the_file_of_users_is_named_by_the_environment_too_and_bcrypt_can_be_had() {
    let dir = TempDir::new().unwrap();
    let server = serving(&dir);
    let args = ["user", "add", "alice", "--password-stdin", "--bcrypt"];
    wharf(dir.path(), args)
        .env("WHARF_USERS", "users")
        .stdin("first\n")
        .ok();
    until(&server, "first", 200);
    let lines = fs::read_to_string(dir.path().join("users")).unwrap();
    assert!(lines.contains("\nalice:$2y$10$"), "{lines}");
}

#[test]
fn a_command_that_is_used_wrongly_ends_with_2_and_without_a_terminal_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    for args in [
        &["user"][..],
        &["user", "add"],
        &["user", "add", "a:b", "--password-stdin"],
        &["user", "add", "alice", "secret-on-the-command-line"],
        &["serve", "--nonsense"],
        &["nonsense"],
    ] {
        let wrong = wharf(dir.path(), args.iter().copied()).output();
        ended_with(&wrong, 2);
        assert!(wrong.stdout.is_empty(), "{wrong}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_usual_htpasswd_line_makes_a_user_who_can_log_in() {
    let dir = TempDir::new().unwrap();
    let server = serving(&dir);
    let printed = wharf(dir.path(), ["htpasswd", "-Bbn", "alice", "first"]).ok();
    assert!(printed.stdout.starts_with("alice:$2y$05$"), "{printed}");
    assert!(printed.stdout.ends_with("\n\n"), "as Apache's: {printed}");
    assert_eq!(printed.stderr, "");
    fs::write(dir.path().join("users"), &printed.stdout).unwrap();
    until(&server, "first", 200);
}

#[test]
fn the_binary_under_the_name_htpasswd_is_htpasswd() {
    let dir = TempDir::new().unwrap();
    let server = serving(&dir);
    let name = dir.path().join("htpasswd");
    symlink(binary(), &name).unwrap();
    let htpasswd = |args: &[&str]| run(&name).dir(dir.path()).args(args);
    htpasswd(&["-Bb", "users", "alice", "first"]).ok();
    until(&server, "first", 200);
    htpasswd(&["-iB", "users", "alice"]).stdin("second\n").ok();
    until(&server, "second", 200);
    htpasswd(&["-vb", "users", "alice", "second"]).ok();
    ended_with(&htpasswd(&["-vb", "users", "alice", "first"]).output(), 3);
    htpasswd(&["-D", "users", "alice"]).ok();
    until(&server, "second", 401);
    htpasswd(&["-Bbc", "users", "alice", "third"]).ok();
    until(&server, "third", 200);
    let lines = fs::read_to_string(dir.path().join("users")).unwrap();
    assert!(!lines.contains("docker:"), "-c starts anew: {lines}");
    htpasswd(&["-mb", "users", "alice", "x"]).refused("bcrypt");
}

/// A server whose file of users it has made itself.
fn serving(dir: &TempDir) -> Registry {
    let file = dir.path().join("users");
    let auth = format!("auth: {{htpasswd: {{realm: r, path: {}}}}}", file.display());
    Registry::with().section(&auth).start()
}

/// Asks again until alice gets this status with a password.
fn until(server: &Registry, password: &str, status: u16) {
    eventually(&format!("{status} for {password}"), PATIENCE, || {
        (login(server, "alice", password).status == status).then_some(())
    });
}
