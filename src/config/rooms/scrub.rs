//! `scrub`: wharf's own section about the check that the server makes by itself.

use super::super::section::Section;
use super::super::values::{boolean, period};
use crate::registry::check::{InvalidRate, Rate, Scrubbing};

/// How the server checks its storage.
pub(super) fn scrub(section: &Section<'_>) -> Scrubbing {
    let defaults = Scrubbing::default();
    Scrubbing {
        enabled: section.read("enabled", boolean).unwrap_or(defaults.enabled),
        interval: section
            .read("interval", period)
            .unwrap_or(defaults.interval),
        rate: section.read("rate", rate).unwrap_or(defaults.rate),
        repair: section.read("repair", boolean).unwrap_or(defaults.repair),
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    text.parse().map_err(|error: InvalidRate| error.to_string())
}
