//! A users file for those who have none: one user with a random password.

use std::path::Path;

use super::edit;
use super::edit_error::EditError;
use super::hash::{Hash, NewHash};
use super::notice::Created;
use crate::auth::password::Password;
use crate::auth::user_name::UserName;

/// Makes a users file (mode 0600, its parents 0700) with one user and a random
/// password of 43 characters, durable on return. `None` if there is a file
/// already: it is left alone, whatever it holds.
pub fn create_with_random_password(
    path: &Path,
    user: &str,
    kind: NewHash,
) -> Result<Option<Created>, EditError> {
    if path.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let user: UserName = user.parse()?;
    let password = Password::random()?;
    let hash = Hash::make(kind, &password)?;
    let created = Created {
        path: path.to_owned(),
        user,
        password,
    };
    Ok(edit::create(path, &created.user, &hash)?.then_some(created))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn makes_a_private_file_with_a_working_password() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("auth/deep/htpasswd");
        let created = create_with_random_password(&path, "docker", NewHash::Bcrypt(4))
            .unwrap()
            .unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&root.path().join("auth")), 0o700);
        let content = fs::read_to_string(&path).unwrap();
        let hash = content.trim_end().strip_prefix("docker:").unwrap();
        assert!(Hash::parse(hash).unwrap().verify(&created.password));
        for shown in [created.to_string(), format!("{created:?}")] {
            assert!(!shown.contains(created.password.reveal()));
        }
    }

    #[test]
    fn leaves_an_existing_file_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("htpasswd");
        fs::write(&path, "").unwrap();
        let created = create_with_random_password(&path, "admin", NewHash::Argon2id).unwrap();
        assert!(created.is_none());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}
