//! The secret of a robot: made here, shown once, and known by its form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::auth::password::Password;
use crate::oci::{Algorithm, Digest};

/// By it scanners of source code find secrets that were checked in, and a login
/// tells a secret from a password before it hashes anything.
pub const PREFIX: &str = "wharf_";

/// A robot's secret: [`PREFIX`] and 32 random bytes in base64url. No word list
/// has it, so that a fast hash keeps it as well as a slow one.
#[derive(Debug, Clone)]
pub struct Secret(Password);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let random = Password::random()?;
        let text = Zeroizing::new(format!("{PREFIX}{}", random.reveal()));
        // It is short and has no control character.
        let password = Password::new(text).map_err(|_| getrandom::Error::UNEXPECTED)?;
        Ok(Self(password))
    }

    /// The secret that was sent as a password, if it has the form of one: then
    /// it is tried as nothing else.
    pub(in crate::auth) fn of(password: &Password) -> Option<Self> {
        let random = password.reveal().strip_prefix(PREFIX)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(random).ok()?);
        (bytes.len() == 32).then(|| Self(password.clone()))
    }

    /// The secret itself, for the one time that it is shown.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// What is kept of it.
    pub(super) fn hash(&self) -> Digest {
        Algorithm::Sha256.digest(self.reveal().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<Secret> {
        Secret::of(&Password::new(text.to_owned()).unwrap())
    }

    #[test]
    fn is_known_by_its_form() {
        let made = Secret::random().unwrap();
        let read = secret(made.reveal()).unwrap();
        assert_eq!(read.hash(), made.hash());
        assert_ne!(Secret::random().unwrap().hash(), made.hash());
        let text = made.reveal();
        for other in ["wharf_", "wharf_secret", &text[6..], &text[..48]] {
            assert!(secret(other).is_none(), "{other}");
        }
        assert!(secret(&format!("{text}A")).is_none());
        assert!(!format!("{made:?}").contains(text));
    }
}
