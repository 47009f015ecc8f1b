//! `scrub`: wharf's own section.

use super::Kind::{Bool, Duration, Section, Text};
use super::{Key, key};

pub(super) const SCRUB: Key = key(
    "scrub",
    Section(&[
        key("enabled", Bool)
            .default("false")
            .remark("Whether the server reads everything that is stored, again and again, and says what is damaged. Without a configuration file it does. In a bucket each reading costs what the store asks for it."),
        key("interval", Duration)
            .default("168h")
            .remark("From the end of one check to the beginning of the next; with a unit."),
        key("rate", Text)
            .default("20MiB")
            .remark("The most bytes that are read per second: `500KB`, `20MiB`, `1GiB`."),
        key("repair", Bool)
            .default("false")
            .remark("Whether damaged bytes are set aside, so that they aren't served and the next push heals them ([check.md](check.md))."),
    ]),
)
.remark("wharf's own section: the server checks its storage by itself ([check.md](check.md)).");
