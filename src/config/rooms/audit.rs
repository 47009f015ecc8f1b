//! `audit`: the log of who did what.

use super::super::section::Section;
use super::super::values::{boolean, text};
use crate::observe::audit::{Place, Settings};

/// Whether there is an audit log, and where.
pub(super) fn audit(section: &Section<'_>) -> Settings {
    let place = section.read("file", text);
    Settings {
        enabled: section.read("enabled", boolean).unwrap_or_default(),
        place: match place.as_deref() {
            None | Some("stdout") => Place::Stdout,
            Some("stderr") => Place::Stderr,
            Some(path) => Place::File(path.into()),
        },
    }
}
