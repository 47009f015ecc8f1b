//! Why a users file was not changed, in words that say what to do.

use std::io;
use std::path::PathBuf;

use super::hash::HashError;
use crate::auth::user_name::{InvalidUserName, UserName};

/// Why a users file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such file.
    #[error("{0} does not exist; check the path, or add a first user to make it")]
    NoFile(PathBuf),
    /// There is no such user.
    #[error("there is no user {user} in {path}; `wharf user ls` shows who there is")]
    NoUser {
        /// The user.
        user: UserName,
        /// The file.
        path: PathBuf,
    },
    /// The user exists already.
    #[error("user {user} is in {path} already; `wharf user passwd` changes the password")]
    UserExists {
        /// The user.
        user: UserName,
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file or its directory cannot be written.
    #[error("cannot write {path}: {cause}; is its directory writable for you?")]
    Write {
        /// The file or the directory.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file belongs to somebody else, and would not afterwards.
    #[error("cannot keep the owner of {path}: {cause}; run this as its owner")]
    Owner {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is mounted by itself, so that nothing can take its place.
    #[error(
        "{0} is a mount of its own and cannot be replaced; edit it on the host, or mount its directory instead"
    )]
    Mount(PathBuf),
    /// The name is none.
    #[error(transparent)]
    User(#[from] InvalidUserName),
    /// The password cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}
