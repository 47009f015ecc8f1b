//! `wharf htpasswd`, and the binary under the name `htpasswd`: Apache's
//! command, for scripts that make users with `--entrypoint htpasswd`.
//!
//! Options, output and exit codes are those of httpd 2.4's `htpasswd`, except
//! that there is one kind of hash: bcrypt.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::ask::{self, AskError};
use crate::auth::htpasswd::edit::{self, Put};
use crate::auth::htpasswd::edit_error::EditError;
use crate::auth::htpasswd::hash::{Hash, HashError, NewHash};
use crate::auth::password::{InvalidPassword, Password};
use crate::auth::user_name::{InvalidUserName, UserName};

/// Make and change files of users, with the options of Apache's htpasswd
#[derive(Debug, Args)]
#[command(
    override_usage = "htpasswd [-c] [-iBD] [-C cost] passwordfile username\n       \
        htpasswd [-c] -b [-B] [-C cost] passwordfile username password\n       \
        htpasswd -n [-iB] [-C cost] username\n       \
        htpasswd -nb [-B] [-C cost] username password",
    after_help = "Exit codes: 0 done, 1 file, 2 usage, 3 password mismatch, 4 interrupted, \
        5 too long, 6 illegal characters."
)]
pub struct HtpasswdArgs {
    /// Make a new file; what it held is gone
    #[arg(short = 'c')]
    create: bool,
    /// Print the line instead of changing a file
    #[arg(short = 'n')]
    print: bool,
    /// Take the password from the command line
    #[arg(short = 'b', conflicts_with = "stdin")]
    batch: bool,
    /// Read the password from standard input, without asking twice
    #[arg(short = 'i')]
    stdin: bool,
    /// Hash with bcrypt: always on, since registries accept nothing else
    #[arg(short = 'B')]
    bcrypt: bool,
    /// The cost of bcrypt, 4 to 17; each step doubles the time
    #[arg(short = 'C', value_name = "cost", default_value_t = 5)]
    cost: u32,
    /// Remove the user
    #[arg(short = 'D')]
    delete: bool,
    /// Verify the user's password
    #[arg(short = 'v')]
    verify: bool,
    /// MD5: refused
    #[arg(short = 'm', hide = true)]
    md5: bool,
    /// SHA-256: refused
    #[arg(short = '2', hide = true)]
    sha256: bool,
    /// SHA-512: refused
    #[arg(short = '5', hide = true)]
    sha512: bool,
    /// Rounds of SHA-256 and SHA-512: refused
    #[arg(short = 'r', hide = true, value_name = "rounds")]
    rounds: Option<String>,
    /// crypt: refused
    #[arg(short = 'd', hide = true)]
    crypt: bool,
    /// SHA-1: refused
    #[arg(short = 's', hide = true)]
    sha1: bool,
    /// Plain text: refused
    #[arg(short = 'p', hide = true)]
    plain: bool,
    // The first operand ends the options, as in Apache's: a password may start
    // with a dash.
    /// The file (not with -n), the user, and with -b the password
    #[arg(
        value_names = ["passwordfile", "username", "password"],
        num_args = 1..=3,
        required = true,
        trailing_var_arg = true
    )]
    operands: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Syntax(&'static str),
    #[error("-{0} is not supported: wharf and registry:2 accept bcrypt only; use -B")]
    Kind(char),
    #[error("cannot create file {path}: {cause}")]
    Create { path: PathBuf, cause: io::Error },
    #[error("cannot modify file {0}: it does not exist; use '-c' to create it")]
    NoFile(PathBuf),
    #[error("user {0} not found")]
    NoUser(UserName),
    #[error("password verification failed")]
    Mismatch,
    #[error(transparent)]
    User(#[from] InvalidUserName),
    #[error(transparent)]
    Password(#[from] InvalidPassword),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// What the operands say.
struct Job {
    /// `None` with -n.
    file: Option<PathBuf>,
    user: UserName,
    /// Only with -b.
    password: Option<Password>,
}

/// Runs `wharf htpasswd`.
pub fn run(args: HtpasswdArgs) -> ExitCode {
    match act(args, &mut io::stdout(), &mut io::stderr()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("htpasswd: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn act(
    args: HtpasswdArgs,
    output: &mut dyn Write,
    messages: &mut dyn Write,
) -> Result<(), Failure> {
    let job = args.check()?;
    let Some(file) = &job.file else {
        let hash = args.hash(&job, messages)?;
        return writeln!(output, "{}:{}\n", job.user, hash.as_str()).map_err(Failure::Output);
    };
    let did = if args.delete {
        delete(file, &job.user)?
    } else if args.verify {
        let password = job.password.clone().map_or_else(|| args.ask(true), Ok)?;
        verify(file, &job.user, &password)?
    } else if args.create {
        make(file)?;
        edit::overwrite(file, &job.user, &args.hash(&job, messages)?)?;
        format!("Adding password for user {}", job.user)
    } else if !file.exists() {
        return Err(Failure::NoFile(file.clone()));
    } else {
        match edit::put(file, &job.user, &args.hash(&job, messages)?)? {
            Put::Added => format!("Adding password for user {}", job.user),
            Put::Updated => format!("Updating password for user {}", job.user),
        }
    };
    // Apache's words, on standard error as there; nothing depends on them.
    let _ = writeln!(messages, "{did}");
    Ok(())
}

impl HtpasswdArgs {
    fn check(&self) -> Result<Job, Failure> {
        let modes = [self.create, self.print, self.delete, self.verify];
        if modes.into_iter().filter(|mode| *mode).count() > 1 {
            return Err(Failure::Syntax("only one of -c -n -v -D may be specified"));
        }
        let refused = [
            (self.md5, 'm'),
            (self.sha256, '2'),
            (self.sha512, '5'),
            (self.rounds.is_some(), 'r'),
            (self.crypt, 'd'),
            (self.sha1, 's'),
            (self.plain, 'p'),
        ];
        if let Some((_, letter)) = refused.into_iter().find(|(given, _)| *given) {
            return Err(Failure::Kind(letter));
        }
        let mut operands = self.operands.iter();
        let mut next = |what| operands.next().ok_or(Failure::Syntax(what));
        let file = if self.print {
            None
        } else {
            Some(PathBuf::from(next("the password file is missing")?))
        };
        let user = next("the user name is missing")?;
        let password = if self.batch && !self.delete {
            Some(next("the password is missing; without -b it is asked for")?)
        } else {
            None
        };
        if operands.next().is_some() {
            return Err(Failure::Syntax(
                "there are more arguments than a file, a user and, with -b, a password",
            ));
        }
        Ok(Job {
            file,
            user: user.parse()?,
            password: password.cloned().map(Password::new).transpose()?,
        })
    }

    fn hash(&self, job: &Job, messages: &mut dyn Write) -> Result<Hash, Failure> {
        if !self.bcrypt {
            let _ = writeln!(
                messages,
                "htpasswd: hashing with bcrypt: wharf and registry:2 accept nothing else; -B says so"
            );
        }
        let password = job.password.clone().map_or_else(|| self.ask(false), Ok)?;
        Ok(Hash::make(NewHash::Bcrypt(self.cost), &password)?)
    }

    fn ask(&self, once: bool) -> Result<Password, Failure> {
        const INSTEAD: &str = "without a terminal use -i and standard input";
        Ok(match (self.stdin, once) {
            (true, _) => ask::stdin()?,
            (false, true) => ask::once(INSTEAD)?,
            (false, false) => ask::twice(INSTEAD)?,
        })
    }
}

/// Whether a file can be made, before a password is asked for. Apache makes no
/// directories either.
fn make(file: &Path) -> Result<(), Failure> {
    let parent = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let cause = match parent.metadata() {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => io::Error::from(io::ErrorKind::NotADirectory),
        Err(cause) => cause,
    };
    Err(Failure::Create {
        path: file.to_owned(),
        cause,
    })
}

/// Nobody to remove is no failure, as with Apache.
fn delete(file: &Path, user: &UserName) -> Result<String, Failure> {
    match edit::remove(file, user) {
        Ok(()) => Ok(format!("Deleting password for user {user}")),
        Err(EditError::NoUser { .. }) => Ok(format!("User {user} not found")),
        Err(EditError::NoFile(path)) => Err(Failure::NoFile(path)),
        Err(error) => Err(error.into()),
    }
}

fn verify(file: &Path, user: &UserName, password: &Password) -> Result<String, Failure> {
    let entries = edit::list(file)?;
    // The last line counts, as when logging in.
    let entry = entries.iter().rfind(|entry| entry.user == *user);
    let entry = entry.ok_or_else(|| Failure::NoUser(user.clone()))?;
    match &entry.hash {
        Ok(hash) if hash.verify(password) => Ok(format!("Password for user {user} correct.")),
        _ => Err(Failure::Mismatch),
    }
}

impl Failure {
    /// httpd's support/passwd_common.h
    fn code(&self) -> u8 {
        const FILE: u8 = 1;
        const SYNTAX: u8 = 2;
        const MISMATCH: u8 = 3;
        const INTERRUPTED: u8 = 4;
        const TOO_LONG: u8 = 5;
        const ILLEGAL: u8 = 6;
        match self {
            Self::Syntax(_) | Self::Kind(_) => SYNTAX,
            Self::Create { .. } | Self::NoFile(_) | Self::Edit(_) | Self::Output(_) => FILE,
            // Apache answers a cost that it cannot use with this one as well.
            Self::Mismatch | Self::Ask(AskError::Mismatch) | Self::Hash(HashError::Cost(_)) => {
                MISMATCH
            }
            Self::Hash(HashError::TooLong(_))
            | Self::User(InvalidUserName::TooLong(_))
            | Self::Password(InvalidPassword::TooLong(_))
            | Self::Ask(AskError::Invalid(InvalidPassword::TooLong(_))) => TOO_LONG,
            Self::Hash(HashError::Failed(_))
            | Self::Ask(AskError::Terminal { .. } | AskError::Stdin(_)) => INTERRUPTED,
            Self::NoUser(_) | Self::User(_) | Self::Password(_) | Self::Ask(_) => ILLEGAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::fs;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        htpasswd: HtpasswdArgs,
    }

    /// Exit code, standard output, standard error.
    fn htpasswd(arguments: &[&str]) -> (u8, String, String) {
        let (mut output, mut messages) = (Vec::new(), Vec::new());
        let code = match Cli::try_parse_from([&["htpasswd"], arguments].concat()) {
            Err(error) => u8::try_from(error.exit_code()).unwrap(),
            Ok(cli) => match act(cli.htpasswd, &mut output, &mut messages) {
                Ok(()) => 0,
                Err(failure) => {
                    messages.extend(failure.to_string().into_bytes());
                    failure.code()
                }
            },
        };
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (code, text(output), text(messages))
    }

    #[test]
    fn the_trainings_command_prints_a_line_and_an_empty_one() {
        for arguments in [
            &["-Bbn", "moby", "gordon"][..],
            &["-nbB", "-C", "4", "moby", "gordon"],
            &["-n", "-b", "-B", "-C4", "moby", "gordon"],
        ] {
            let (code, output, messages) = htpasswd(arguments);
            assert_eq!((code, messages.as_str()), (0, ""));
            let line = output.strip_suffix("\n\n").unwrap();
            let hash = line.strip_prefix("moby:").unwrap();
            assert!(hash.starts_with("$2y$0"));
            let password = Password::new("gordon".to_owned()).unwrap();
            assert!(Hash::parse(hash).unwrap().verify(&password));
        }
        let (_, output, _) = htpasswd(&["-Bbn", "moby", "gordon"]);
        assert!(output.starts_with("moby:$2y$05$"));
    }

    #[test]
    fn without_b_it_is_bcrypt_too_and_says_so() {
        let (code, output, messages) = htpasswd(&["-bn", "-C", "4", "moby", "gordon"]);
        assert_eq!(code, 0);
        assert!(output.starts_with("moby:$2y$04$"));
        assert!(messages.contains("bcrypt"));
    }

    #[test]
    fn files_are_made_changed_and_verified_as_apache_does_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("htpasswd");
        let file = path.to_str().unwrap();
        let run = |options, rest: &[&str]| {
            let (code, _, messages) = htpasswd(&[&["-C4", options, file], rest].concat());
            (code, messages)
        };
        let (code, messages) = run("-bB", &["moby", "gordon"]);
        assert_eq!(code, 1);
        assert!(messages.contains("use '-c' to create it"));
        let said = |code, text: &str| (code, format!("{text}\n"));
        let adding = said(0, "Adding password for user moby");
        assert_eq!(run("-bBc", &["moby", "gordon"]), adding);
        let updating = said(0, "Updating password for user moby");
        assert_eq!(run("-bB", &["moby", "other"]), updating);
        let adding = said(0, "Adding password for user bob");
        assert_eq!(run("-bB", &["bob", "x"]), adding);
        let correct = said(0, "Password for user moby correct.");
        assert_eq!(run("-vb", &["moby", "other"]), correct);
        assert_eq!(run("-vb", &["moby", "gordon"]).0, 3);
        assert_eq!(run("-vb", &["nobody", "gordon"]).0, 6);
        let deleting = said(0, "Deleting password for user bob");
        assert_eq!(run("-D", &["bob"]), deleting);
        assert_eq!(run("-D", &["bob"]), said(0, "User bob not found"));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn exit_codes_are_apaches() {
        for (code, arguments) in [
            (2, &[][..]),
            (2, &["-n"]),
            (2, &["-bc", "file"]),
            (2, &["-Bb", "file", "moby"]),
            (2, &["-Bbn", "moby", "gordon", "extra"]),
            (2, &["-Q", "a", "b"]),
            (2, &["-nBc", "moby"]),
            (2, &["-cD", "file", "moby"]),
            (2, &["-bBn", "-C", "abc", "m", "g"]),
            (3, &["-bBn", "-C", "3", "m", "g"]),
            (3, &["-bBn", "-C", "18", "m", "g"]),
            (1, &["-bBc", "/nonexistent/x", "m", "g"]),
            (1, &["-D", "/nonexistent/x", "m"]),
            (6, &["-bBn", "a:b", "g"]),
            (6, &["-bBn", "", "g"]),
        ] {
            assert_eq!(htpasswd(arguments).0, code, "{arguments:?}");
        }
        let long = "a".repeat(256);
        assert_eq!(htpasswd(&["-bBn", &long, "g"]).0, 5);
        // Apache cuts at 72 bytes in silence; those passwords cannot log in.
        assert_eq!(htpasswd(&["-bBn", "moby", &"a".repeat(73)]).0, 5);
    }

    #[test]
    fn weak_kinds_are_refused_with_words() {
        for letter in ["m", "s", "d", "p", "2", "5"] {
            let (code, output, messages) = htpasswd(&[&format!("-bn{letter}"), "moby", "gordon"]);
            assert_eq!((code, output.as_str()), (2, ""));
            assert!(messages.contains("bcrypt only"), "{messages}");
        }
        assert_eq!(htpasswd(&["-bn5", "-r", "9", "moby", "gordon"]).0, 2);
    }

    #[test]
    fn a_password_may_look_like_an_option() {
        let (code, output, _) = htpasswd(&["-Bbn", "-C4", "moby", "-n"]);
        assert_eq!(code, 0);
        let hash = output.trim_end().strip_prefix("moby:").unwrap();
        let password = Password::new("-n".to_owned()).unwrap();
        assert!(Hash::parse(hash).unwrap().verify(&password));
    }
}
