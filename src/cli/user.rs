//! `wharf user`: the users who may log in.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::ask::{self, AskError};
use super::can::{self, CanArgs};
use crate::auth::htpasswd::edit::{self, Entry};
use crate::auth::htpasswd::edit_error::EditError;
use crate::auth::htpasswd::hash::{Hash, HashError, NewHash};
use crate::auth::password::Password;
use crate::auth::user_name::UserName;

/// The cost of `--bcrypt`: registry:2's own, some 60 ms.
const BCRYPT_COST: u32 = 10;

/// Nobody has that name.
const NO_SUCH_USER: u8 = 4;

/// Add and remove the users who may log in
#[derive(Debug, Args)]
#[command(
    after_help = "A running server notices a change by itself.\nExit codes: 0 done, 1 failed, 2 wrong usage, 4 no such user."
)]
pub struct UserArgs {
    #[command(subcommand)]
    action: Action,
    /// The file of users
    #[arg(
        long,
        global = true,
        env = "WHARF_USERS",
        value_name = "PATH",
        default_value = "./wharf-data/users.htpasswd"
    )]
    file: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user; makes the file if there is none
    Add(NewPassword),
    /// Give a user another password
    Passwd(NewPassword),
    /// Remove a user
    Rm {
        /// The user's name
        name: UserName,
    },
    /// List the users and the kinds of their password hashes
    Ls,
    /// Tell whether somebody may do something in a repository, and which rule says so
    Can(CanArgs),
}

#[derive(Debug, Args)]
struct NewPassword {
    /// The user's name
    name: UserName,
    /// Read the password from standard input, one line, instead of asking
    #[arg(long)]
    password_stdin: bool,
    /// Hash with bcrypt instead of argon2id, so that registry:2 can read the
    /// file too; the password may have 72 bytes at most
    #[arg(long)]
    bcrypt: bool,
}

#[derive(Debug, thiserror::Error)]
enum UserError {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Runs `wharf user`.
pub fn run(args: UserArgs) -> ExitCode {
    if let Action::Can(question) = &args.action {
        return can::run(question);
    }
    match act(&args.file, args.action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wharf: {error}");
            match error {
                UserError::Edit(EditError::NoUser { .. }) => ExitCode::from(NO_SUCH_USER),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn act(file: &Path, action: Action) -> Result<(), UserError> {
    match action {
        Action::Add(new) => {
            edit::expect_absent(file, &new.name)?;
            edit::add(file, &new.name, &new.hash()?)?;
            writeln!(io::stdout(), "added {} to {}", new.name, file.display())?;
        }
        Action::Passwd(new) => {
            edit::expect_present(file, &new.name)?;
            edit::passwd(file, &new.name, &new.hash()?)?;
        }
        Action::Rm { name } => edit::remove(file, &name)?,
        // Needs no file of users: `run` has answered it.
        Action::Can(_) => {}
        Action::Ls => io::stdout().write_all(table(&edit::list(file)?).as_bytes())?,
    }
    Ok(())
}

impl NewPassword {
    fn hash(&self) -> Result<Hash, UserError> {
        let password: Password = if self.password_stdin {
            ask::stdin()?
        } else {
            ask::twice("without a terminal use --password-stdin")?
        };
        let kind = if self.bcrypt {
            NewHash::Bcrypt(BCRYPT_COST)
        } else {
            NewHash::Argon2id
        };
        Ok(Hash::make(kind, &password)?)
    }
}

fn table(entries: &[Entry]) -> String {
    let width = |entry: &Entry| entry.user.as_str().chars().count();
    let widest = entries.iter().map(width).max().unwrap_or_default();
    entries
        .iter()
        .map(|entry| match &entry.hash {
            Ok(hash) => format!("{:widest$}  {}\n", entry.user.as_str(), hash.cost()),
            Err(refused) => format!(
                "{:widest$}  cannot log in: {refused}\n",
                entry.user.as_str()
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::fs;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        user: UserArgs,
    }

    fn parse(arguments: &[&str]) -> Result<UserArgs, clap::Error> {
        let arguments = [&["user"], arguments].concat();
        Cli::try_parse_from(arguments).map(|cli| cli.user)
    }

    #[test]
    fn the_file_may_stand_before_or_after_the_action() {
        for arguments in [["--file", "f", "ls"], ["ls", "--file", "f"]] {
            let args = parse(&arguments).unwrap();
            assert_eq!(args.file, Path::new("f"));
        }
    }

    #[test]
    fn names_that_no_line_can_hold_are_wrong_usage() {
        for name in ["", "a:b", "#a", "a\nb"] {
            let error = parse(&["add", name]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{name:?}");
        }
        assert!(parse(&["add", "moby", "--bcrypt", "--password-stdin"]).is_ok());
        assert!(parse(&["add", "moby", "gordon"]).is_err());
    }

    #[test]
    fn ls_shows_who_can_log_in_and_never_a_hash() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("users");
        let bcrypt = "$2y$04$knGItLJl1vrpsdewkeI3i.hEmAo9ZeRaFNoZEHBb/GpS.xhHRXV8S";
        fs::write(&file, format!("# x\nmoby:{bcrypt}\nal:plain\n\n")).unwrap();
        assert_eq!(
            table(&edit::list(&file).unwrap()),
            "moby  bcrypt, cost 4\nal    cannot log in: plain text, crypt or an unknown hash is not accepted\n"
        );
    }

    #[test]
    fn who_is_missing_or_there_is_told_before_a_password_is_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("users");
        fs::write(&file, "moby:x\n").unwrap();
        let run = |arguments: &[&str]| act(&file, parse(arguments).unwrap().action);
        assert!(matches!(
            run(&["add", "moby"]),
            Err(UserError::Edit(EditError::UserExists { .. }))
        ));
        for arguments in [["passwd", "bob"], ["rm", "bob"]] {
            assert!(matches!(
                run(&arguments),
                Err(UserError::Edit(EditError::NoUser { .. }))
            ));
        }
        run(&["rm", "moby"]).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"");
    }
}
