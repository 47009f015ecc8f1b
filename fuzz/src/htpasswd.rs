//! A users file of any content: read, and edited without touching what is
//! others'.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arbitrary::Unstructured;
use tokio::runtime::{Builder, Runtime};
use wharf::auth::htpasswd::edit;
use wharf::auth::htpasswd::hash::{Cost, Hash};
use wharf::auth::user_name::UserName;
use wharf::auth::{AuthError, Authenticator};
use wharf::storage::Store;

/// An edit, a name (mostly one of few), and the content of the file.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (Ok(edit), Ok(pick)) = (input.arbitrary::<u8>(), input.arbitrary::<u8>()) else {
        return;
    };
    let name = match pick % 4 {
        0 => input.arbitrary::<&str>().unwrap_or_default().to_owned(),
        one => ["", "alice", "b", "ünïcødé"][usize::from(one)].to_owned(),
    };
    let content = input.take_rest();
    thread_local! {
        static PLACE: tempfile::TempDir = super::site::directory();
    }
    PLACE.with(|place| {
        let path = place.path().join("users");
        fs::write(&path, content).unwrap();
        read(&path);
        if let Ok(user) = name.parse() {
            change(&path, content, &user, edit);
        }
    });
}

/// Whatever it holds, it is read, or refused as a whole.
fn read(path: &Path) {
    thread_local! {
        static STORE: (tempfile::TempDir, Runtime, Arc<dyn Store>) = {
            let place = super::site::directory();
            let store = super::site::store(place.path());
            (place, Builder::new_current_thread().build().unwrap(), store)
        };
    }
    let opened = STORE.with(|(_, runtime, store)| {
        runtime.block_on(Authenticator::open(super::site::users(path), store))
    });
    match opened {
        Ok((_, notices)) => {
            for notice in notices {
                assert!(!notice.to_string().contains(char::is_control), "{notice:?}");
            }
        }
        Err(AuthError::Broken(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// After an edit the user is there once or not at all, and every other line is
/// what it was.
fn change(path: &Path, before: &[u8], user: &UserName, edit: u8) {
    let hash = Hash::unmatchable(Cost::Bcrypt(9));
    let known = of(before, user) > 0;
    let (done, stays) = match edit % 4 {
        0 => (edit::add(path, user, &hash).is_ok() != known, true),
        1 => (edit::passwd(path, user, &hash).is_ok() == known, known),
        2 => (edit::put(path, user, &hash).is_ok(), true),
        _ => (edit::remove(path, user).is_ok() == known, false),
    };
    assert!(done, "{user} was there: {known}");
    let after = fs::read(path).unwrap();
    assert_eq!(others(before, user), others(&after, user));
    // Adding a user who is there leaves all of their lines.
    let expected = match (edit % 4, known) {
        (0, true) => of(before, user),
        _ => usize::from(stays),
    };
    assert_eq!(of(&after, user), expected);
    let listed = edit::list(path).unwrap();
    assert_eq!(
        listed.iter().filter(|entry| entry.user == *user).count(),
        expected
    );
}

fn of(content: &[u8], user: &UserName) -> usize {
    lines(content).filter(|line| is_of(line, user)).count()
}

/// The lines of everybody else, without their ends.
fn others<'a>(content: &'a [u8], user: &UserName) -> Vec<&'a [u8]> {
    let mut lines: Vec<&[u8]> = lines(content).filter(|line| !is_of(line, user)).collect();
    // An empty rest behind the last line end is no line.
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    content.split(|byte| *byte == b'\n')
}

/// As registry:2 and Apache read a line.
fn is_of(line: &[u8], user: &UserName) -> bool {
    let line = line.trim_ascii();
    let colon = line.iter().position(|byte| *byte == b':');
    // What is not UTF-8 is nobody's line.
    colon.is_some_and(|end| &line[..end] == user.as_str().as_bytes())
        && std::str::from_utf8(line).is_ok()
        && !line.starts_with(b"#")
}
