//! Logins that must not work, and rights that nobody has: the group `auth` of
//! `bad-inputs.json`. Tokens are no login here.

use std::fs;

use tempfile::TempDir;

use crate::bad_entries::{Stage, entries};
use crate::bad_inputs::play_on;
use crate::support::Registry;

/// Lines that no hash may come of: they would pin a processor, eat the memory,
/// or are no hash at all.
const NEVER: &str = "\
frank:$2b$31$iWxaHRWggL45yNXNN/3eVOXOCL5i8JyQsovjVr2hHg5HQCfkzYMCq
grace:$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI
henry:x
";

/// What each of them may, by what the entries say of them.
const RULES: &str = "\
access:
  rules:
  - {repositories: '**', subjects: [alice], actions: [pull, push, delete]}
  - {repositories: '**', subjects: [bob], actions: [pull]}
";

#[test]
fn wrong_logins_get_a_401_whatever_they_are_made_of() {
    let volume = TempDir::new().unwrap();
    let open = Registry::with().data(volume.path()).start();
    let stage = Stage::on(&open, "bad/inputs");
    drop(open);

    let users = TempDir::new().unwrap();
    let file = users.path().join("htpasswd");
    let mut lines = NEVER.to_owned();
    for user in ["alice", "bob", "carol"] {
        let hash = bcrypt::hash(format!("{user}-secret"), 5).unwrap();
        lines += &format!("{user}:{hash}\n");
    }
    fs::write(&file, lines).unwrap();
    let auth = format!(
        "auth: {{htpasswd: {{realm: r, path: {}}}}}\n{RULES}",
        file.display()
    );
    let server = Registry::with().data(volume.path()).section(&auth).start();
    for user in ["frank", "grace"] {
        let words = format!("user {user}: ");
        let line = server
            .log()
            .lines()
            .find(|line| line.contains(&words))
            .map(str::to_owned);
        assert!(
            line.is_some_and(|line| line.contains("costs too much")),
            "{user}"
        );
    }
    let played = entries("auth");
    assert!(played.len() >= 27, "{} entries", played.len());
    let stage = stage.moved(&server);
    play_on(server, &stage, played);
}
