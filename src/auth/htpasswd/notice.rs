//! What is wrong with a users file, in words that say how to put it right.

use std::fmt;
use std::path::PathBuf;

use super::hash::Refused;
use crate::auth::password::Password;
use crate::auth::user_name::{InvalidUserName, UserName};

/// Something about a users file that its owner should know. Shows neither a
/// hash nor a password.
#[derive(Debug, Clone)]
pub enum Notice {
    /// The file did not exist and was made: the caller shows the password once.
    Created(Created),
    /// A line by which nobody can log in, or not as it seems.
    Line {
        /// The file as it was configured.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: Problem,
    },
    /// So many lines have problems that the rest is only counted.
    More {
        /// The file as it was configured.
        file: PathBuf,
        /// How many problems are not shown.
        count: usize,
    },
    /// No line lets anybody in.
    NoUsers {
        /// The file as it was configured.
        file: PathBuf,
    },
}

/// A users file that was made. The password is nowhere else: the caller shows
/// it once.
#[derive(Debug, Clone)]
pub struct Created {
    /// The new file.
    pub path: PathBuf,
    /// Its one user.
    pub user: UserName,
    /// The user's password.
    pub password: Password,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The hash can never match.
    Hash(UserName, Refused),
    /// The user has an earlier line, which does not count (as in registry:2).
    Repeated(UserName, usize),
    /// No colon.
    NoColon,
    /// Not UTF-8.
    NotText,
    /// No user name before the colon.
    Name(InvalidUserName),
}

impl fmt::Display for Created {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} did not exist: made it with the user {} and a random password, which is shown only now",
            self.path.display(),
            self.user
        )
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created(created) => created.fmt(formatter),
            Self::Line {
                file,
                line,
                problem,
            } => {
                let path = file.display();
                write!(formatter, "{path}:{line}: ")?;
                match problem {
                    Problem::Hash(user, refused) => write!(
                        formatter,
                        "user {user}: {refused}; run `wharf user passwd {} --file {}`",
                        quoted(user.as_str()),
                        quoted(&path.to_string())
                    ),
                    Problem::Repeated(user, earlier) => write!(
                        formatter,
                        "user {user}: stands on line {earlier} already; this line counts, remove the other"
                    ),
                    Problem::NoColon => write!(
                        formatter,
                        "not of the form `user:hash`; correct or remove the line"
                    ),
                    Problem::NotText => {
                        write!(formatter, "not UTF-8 text; correct or remove the line")
                    }
                    Problem::Name(invalid) => {
                        write!(formatter, "{invalid}; correct or remove the line")
                    }
                }
            }
            Self::More { file, count } => write!(
                formatter,
                "{}: {count} more lines have problems; correct the first ones to see them",
                file.display()
            ),
            Self::NoUsers { file } => write!(
                formatter,
                "{}: nobody can log in; run `wharf user add NAME --file {}`",
                file.display(),
                quoted(&file.display().to_string())
            ),
        }
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._@%+=/-".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(problem: Problem) -> String {
        Notice::Line {
            file: "users.htpasswd".into(),
            line: 3,
            problem,
        }
        .to_string()
    }

    #[test]
    fn a_notice_says_where_what_and_what_to_type() {
        let bob: UserName = "bob".parse().unwrap();
        assert_eq!(
            line(Problem::Hash(bob.clone(), Refused::Kind("apr1 hash"))),
            "users.htpasswd:3: user bob: apr1 hash is not accepted; run `wharf user passwd bob --file users.htpasswd`"
        );
        assert_eq!(
            line(Problem::Repeated(bob, 2)),
            "users.htpasswd:3: user bob: stands on line 2 already; this line counts, remove the other"
        );
        assert_eq!(
            line(Problem::NoColon),
            "users.htpasswd:3: not of the form `user:hash`; correct or remove the line"
        );
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("bob"), "bob");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("o'neil; rm"), r"'o'\''neil; rm'");
        assert_eq!(quoted(""), "''");
    }
}
