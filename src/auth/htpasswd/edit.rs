//! Changes to a users file, line by line: comments and order stay.

use std::path::Path;

use super::edit_error::EditError;
use super::hash::{Hash, Refused};
use super::lines::{BYTE_ORDER_MARK, Line, lines};
use super::replace::{change, change_existing, read};
use crate::auth::user_name::UserName;

/// A user's line, for people to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The user.
    pub user: UserName,
    /// The hash, or why it can never match.
    pub hash: Result<Hash, Refused>,
}

/// What [`put`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The user is new.
    Added,
    /// The user has another password now.
    Updated,
}

/// Adds a user who must not be there yet; makes the file (mode 0600, parents
/// 0700) if there is none.
pub fn add(path: &Path, user: &UserName, hash: &Hash) -> Result<(), EditError> {
    change(path, |content| {
        match with_line(content.unwrap_or_default(), user, Some(hash)) {
            (_, true) => Err(exists(path, user)),
            (after, false) => Ok((Some(after), ())),
        }
    })
}

/// Gives a user, who must be there, another password.
pub fn passwd(path: &Path, user: &UserName, hash: &Hash) -> Result<(), EditError> {
    change_user(path, user, Some(hash))
}

/// Removes a user, who must be there.
pub fn remove(path: &Path, user: &UserName) -> Result<(), EditError> {
    change_user(path, user, None)
}

/// Adds a user or gives them another password, in a file that must be there.
pub fn put(path: &Path, user: &UserName, hash: &Hash) -> Result<Put, EditError> {
    change_existing(path, |content| {
        let (after, known) = with_line(content, user, Some(hash));
        Ok((after, if known { Put::Updated } else { Put::Added }))
    })
}

/// Makes the file hold this one user, whatever it held.
pub fn overwrite(path: &Path, user: &UserName, hash: &Hash) -> Result<(), EditError> {
    change(path, |_| Ok((Some(with_line(b"", user, Some(hash)).0), ())))
}

/// Makes a new file with this one user; `false` if there is a file already.
pub(super) fn create(path: &Path, user: &UserName, hash: &Hash) -> Result<bool, EditError> {
    change(path, |content| {
        Ok(match content {
            Some(_) => (None, false),
            None => (Some(with_line(b"", user, Some(hash)).0), true),
        })
    })
}

/// The users of a file in its order; a repeated user once for each line.
pub fn list(path: &Path) -> Result<Vec<Entry>, EditError> {
    let content = read(path)?.ok_or_else(|| EditError::NoFile(path.to_owned()))?;
    Ok(lines(&content)
        .filter_map(|line| match Line::parse(line) {
            Line::Entry(user, text) => Some(Entry {
                user,
                hash: Hash::parse(text),
            }),
            Line::Ignored | Line::Malformed(_) => None,
        })
        .collect())
}

/// Fails if the user is there, to say so before a password is asked for.
pub fn expect_absent(path: &Path, user: &UserName) -> Result<(), EditError> {
    match list(path) {
        Ok(entries) if entries.iter().any(|entry| entry.user == *user) => Err(exists(path, user)),
        Ok(_) | Err(EditError::NoFile(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Fails if the user is not there, to say so before a password is asked for.
pub fn expect_present(path: &Path, user: &UserName) -> Result<(), EditError> {
    if list(path)?.iter().any(|entry| entry.user == *user) {
        Ok(())
    } else {
        Err(absent(path, user))
    }
}

fn change_user(path: &Path, user: &UserName, hash: Option<&Hash>) -> Result<(), EditError> {
    change_existing(path, |content| match with_line(content, user, hash) {
        (after, true) => Ok((after, ())),
        (_, false) => Err(absent(path, user)),
    })
}

fn exists(path: &Path, user: &UserName) -> EditError {
    EditError::UserExists {
        user: user.clone(),
        path: path.to_owned(),
    }
}

fn absent(path: &Path, user: &UserName) -> EditError {
    EditError::NoUser {
        user: user.clone(),
        path: path.to_owned(),
    }
}

/// The content with the user's first line replaced, or a line added, or (with
/// no hash) none; further lines of the user go. Also whether there was one.
fn with_line(content: &[u8], user: &UserName, hash: Option<&Hash>) -> (Vec<u8>, bool) {
    let mut after = Vec::with_capacity(content.len() + 160);
    let mut known = false;
    // Without it a second one would be taken for the first.
    if content.starts_with(BYTE_ORDER_MARK) {
        after.extend_from_slice(BYTE_ORDER_MARK);
    }
    for line in lines(content) {
        match Line::parse(line) {
            Line::Entry(other, _) if other == *user => {
                if let (Some(hash), false) = (hash, known) {
                    push_entry(&mut after, user, hash);
                }
                known = true;
            }
            _ => after.extend_from_slice(line),
        }
    }
    if let (Some(hash), false) = (hash, known) {
        push_entry(&mut after, user, hash);
    }
    (after, known)
}

fn push_entry(content: &mut Vec<u8>, user: &UserName, hash: &Hash) {
    if content.last().is_some_and(|byte| *byte != b'\n') {
        content.push(b'\n');
    }
    content.extend_from_slice(format!("{user}:{}\n", hash.as_str()).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::htpasswd::hash::Cost;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::thread;

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    fn hash(cost: u32) -> Hash {
        Hash::unmatchable(Cost::Bcrypt(cost))
    }

    #[test]
    fn users_are_added_changed_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("new/users.htpasswd");
        add(&path, &user("a"), &hash(4)).unwrap();
        add(&path, &user("b"), &hash(5)).unwrap();
        passwd(&path, &user("a"), &hash(6)).unwrap();
        let entry = |name, cost| Entry {
            user: user(name),
            hash: Ok(hash(cost)),
        };
        assert_eq!(list(&path).unwrap(), [entry("a", 6), entry("b", 5)]);
        remove(&path, &user("a")).unwrap();
        assert_eq!(list(&path).unwrap(), [entry("b", 5)]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn what_cannot_be_done_is_said_and_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("users");
        assert!(matches!(list(&path), Err(EditError::NoFile(_))));
        assert!(matches!(
            put(&path, &user("a"), &hash(4)),
            Err(EditError::NoFile(_))
        ));
        let deep = root.path().join("no/such");
        assert!(remove(&deep, &user("a")).is_err());
        assert!(!path.exists() && !deep.parent().unwrap().exists());
        add(&path, &user("a"), &hash(4)).unwrap();
        let before = fs::metadata(&path).unwrap();
        assert!(matches!(
            add(&path, &user("a"), &hash(5)),
            Err(EditError::UserExists { .. })
        ));
        assert!(matches!(
            passwd(&path, &user("b"), &hash(5)),
            Err(EditError::NoUser { .. })
        ));
        assert!(matches!(
            remove(&path, &user("b")),
            Err(EditError::NoUser { .. })
        ));
        assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
    }

    #[test]
    fn comments_order_foreign_lines_mode_and_link_stay() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().join("real");
        let link = root.path().join("link");
        fs::write(&real, b"# who\r\na:x\n\nrubbish \xff\na:{SHA}x\nb:y").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real", &link).unwrap();
        passwd(&link, &user("a"), &hash(4)).unwrap();
        add(&link, &user("c"), &hash(5)).unwrap();
        let expected = format!(
            "# who\r\na:{}\n\nrubbish \u{fffd}\nb:y\nc:{}\n",
            hash(4).as_str(),
            hash(5).as_str()
        );
        let content = fs::read(&real).unwrap();
        assert_eq!(String::from_utf8_lossy(&content), expected);
        let mode = fs::metadata(&real).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert!(link.symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn put_and_overwrite_do_what_apache_does() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("users");
        overwrite(&path, &user("a"), &hash(4)).unwrap();
        assert_eq!(put(&path, &user("b"), &hash(4)).unwrap(), Put::Added);
        assert_eq!(put(&path, &user("a"), &hash(5)).unwrap(), Put::Updated);
        assert_eq!(list(&path).unwrap().len(), 2);
        overwrite(&path, &user("c"), &hash(4)).unwrap();
        assert_eq!(list(&path).unwrap().len(), 1);
    }

    #[test]
    fn concurrent_edits_lose_nobody() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("users");
        thread::scope(|scope| {
            for editor in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..5 {
                        let name = format!("u{editor}-{number}");
                        add(path, &user(&name), &hash(4)).unwrap();
                    }
                });
            }
        });
        assert_eq!(list(&path).unwrap().len(), 20);
    }

    #[test]
    fn what_a_crash_left_behind_is_no_obstacle() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("users");
        fs::write(root.path().join(".users.tmp"), "half a li").unwrap();
        add(&path, &user("a"), &hash(4)).unwrap();
        assert_eq!(list(&path).unwrap().len(), 1);
        assert!(!root.path().join(".users.tmp").exists());
    }
}
