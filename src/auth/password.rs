//! A password: wiped from memory after use, and never printed by accident.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, Zeroizing};

/// The longest password, in bytes: beyond it a login costs no hash.
pub const MAX_LENGTH: usize = 1024;

/// A password that HTTP's Basic scheme can carry (RFC 7617 section 2).
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Why a string is no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// The password is empty.
    #[error("the password is empty")]
    Empty,
    /// The password is longer than [`MAX_LENGTH`].
    #[error("the password is {0} bytes long; at most {MAX_LENGTH} are allowed")]
    TooLong(usize),
    /// The password holds a control character. Besides RFC 7617: bcrypt repeats
    /// a password with a zero byte between, so that `a` and `a\0a` are one.
    #[error("the password holds a control character, which logins cannot carry")]
    Control,
}

impl Password {
    /// Takes a password over; a refused one is wiped.
    pub fn new(text: impl Into<Zeroizing<String>>) -> Result<Self, InvalidPassword> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidPassword::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(InvalidPassword::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPassword::Control);
        }
        Ok(Self(text))
    }

    /// A new password of 32 random bytes, in base64url, as registry:2 makes
    /// them.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        bytes.zeroize();
        Ok(Self(text.into()))
    }

    /// The password itself: for hashing, or for the one time that it is shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> InvalidPassword {
        Password::new(text.to_owned()).unwrap_err()
    }

    #[test]
    fn only_what_a_login_can_carry() {
        assert_eq!(refusal(""), InvalidPassword::Empty);
        assert_eq!(refusal("a\0a"), InvalidPassword::Control);
        assert_eq!(refusal("a\n"), InvalidPassword::Control);
        assert_eq!(refusal(&"a".repeat(1025)), InvalidPassword::TooLong(1025));
        assert!(Password::new("ä b:c".to_owned()).is_ok());
        assert!(Password::new("a".repeat(1024)).is_ok());
    }

    #[test]
    fn debug_does_not_tell_it() {
        let password = Password::new("gordon".to_owned()).unwrap();
        assert!(!format!("{password:?}").contains("gordon"));
    }

    #[test]
    fn random_passwords_are_long_and_differ() {
        let one = Password::random().unwrap();
        assert_eq!(one.reveal().len(), 43);
        assert_ne!(one.reveal(), Password::random().unwrap().reveal());
    }
}
