//! registry:2's `auth: htpasswd`.

use std::path::PathBuf;

/// `auth.htpasswd` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The realm of the challenge.
    pub realm: String,
    /// The file of users.
    pub path: PathBuf,
}
