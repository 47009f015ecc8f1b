//! Asks for a password: on the terminal, twice, or on standard input.

use std::io::{self, BufRead};

use zeroize::Zeroizing;

use crate::auth::password::{InvalidPassword, MAX_LENGTH, Password};

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The two do not match.
    #[error("the two passwords are not the same; try again")]
    Mismatch,
    /// There is no terminal to ask on.
    #[error("cannot ask for a password: {cause}; {instead}")]
    Terminal {
        /// What the system says.
        cause: io::Error,
        /// What to do without a terminal.
        instead: &'static str,
    },
    /// Standard input failed.
    #[error("cannot read the password from standard input: {0}")]
    Stdin(io::Error),
    /// Standard input is not UTF-8.
    #[error("the password on standard input is not UTF-8 text")]
    NotText,
    /// It is no password.
    #[error("{0}")]
    Invalid(#[from] InvalidPassword),
}

/// Asks on the terminal, twice, without showing what is typed. `instead` says
/// what to do if there is none.
pub(super) fn twice(instead: &'static str) -> Result<Password, AskError> {
    let password = Password::new(hidden("New password: ", instead)?)?;
    let again = hidden("Re-type new password: ", instead)?;
    if *again == password.reveal() {
        Ok(password)
    } else {
        Err(AskError::Mismatch)
    }
}

/// Asks on the terminal once, to verify a password.
pub(super) fn once(instead: &'static str) -> Result<Password, AskError> {
    Ok(Password::new(hidden("Enter password: ", instead)?)?)
}

/// Reads one line of standard input.
pub(super) fn stdin() -> Result<Password, AskError> {
    one_line(io::stdin().lock())
}

fn hidden(prompt: &str, instead: &'static str) -> Result<Zeroizing<String>, AskError> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|cause| AskError::Terminal { cause, instead })
}

fn one_line(input: impl BufRead) -> Result<Password, AskError> {
    // Room for a line that is too long by a little, so that it is told and not
    // cut; and from the start, so that no copy stays behind in memory.
    let room = MAX_LENGTH + 16;
    let mut line = Zeroizing::new(Vec::with_capacity(room));
    input
        .take(room as u64)
        .read_until(b'\n', &mut line)
        .map_err(AskError::Stdin)?;
    let text = std::str::from_utf8(&line).map_err(|_| AskError::NotText)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Password::new(text.to_owned())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str) -> Result<String, String> {
        one_line(input.as_bytes())
            .map(|password| password.reveal().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_line_is_the_password() {
        for input in ["gordon", "gordon\n", "gordon\r\n", "gordon\nmore\n"] {
            assert_eq!(read(input), Ok("gordon".to_owned()));
        }
        assert_eq!(read(" a b \n"), Ok(" a b ".to_owned()));
    }

    #[test]
    fn what_is_no_password_is_refused() {
        assert_eq!(read(""), Err("the password is empty".to_owned()));
        assert_eq!(read("\n"), Err("the password is empty".to_owned()));
        assert!(read(&"a".repeat(2000)).is_err());
        assert_eq!(read(&"a".repeat(1024)), Ok("a".repeat(1024)));
        assert!(matches!(one_line(&b"\xff\n"[..]), Err(AskError::NotText)));
    }
}
