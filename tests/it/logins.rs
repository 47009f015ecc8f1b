//! Logins that must not work: the group `auth` of `bad-inputs.json`, as far as
//! it is about who somebody is. What somebody may is a matter of access rules,
//! and tokens are no login here.

use std::fs;

use tempfile::TempDir;

use crate::bad_entries::{Entry, Stage, entries};
use crate::bad_inputs::play_on;
use crate::support::Registry;

/// Lines that no hash may come of: they would pin a processor, eat the memory,
/// or are no hash at all.
const NEVER: &str = "\
frank:$2b$31$iWxaHRWggL45yNXNN/3eVOXOCL5i8JyQsovjVr2hHg5HQCfkzYMCq
grace:$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI
henry:x
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
    let auth = format!("auth: {{htpasswd: {{realm: r, path: {}}}}}", file.display());
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
    let (played, left): (Vec<Entry>, Vec<Entry>) =
        entries("auth").into_iter().partition(is_about_who);
    assert!(played.len() >= 20, "{} entries", played.len());
    for entry in left {
        let id = entry.id();
        assert!(
            RIGHTS.iter().any(|prefix| id.starts_with(prefix)),
            "{id} is not played"
        );
    }
    let stage = stage.moved(&server);
    play_on(server, &stage, played);
}

/// What entries are called that need rights which differ between users.
const RIGHTS: [&str; 3] = ["auth-readonly-", "auth-noaccess-", "auth-upload-other"];

/// Entries that need no rights which differ between users. Tokens are like any
/// other login that is none.
fn is_about_who(entry: &Entry) -> bool {
    !RIGHTS.iter().any(|prefix| entry.id().starts_with(prefix))
}
