//! `audit`: wharf's own section.

use super::Kind::{Bool, Path, Strict};
use super::{Key, key};

pub(super) const AUDIT: Key = key(
    "audit",
    Strict(&[
        key("enabled", Bool)
            .default("false")
            .remark("Whether there is an audit log."),
        key("file", Path)
            .default("stdout")
            .remark("`stdout`, `stderr` or a file, which is made for its owner alone, appended to, and opened anew on SIGHUP and when it was moved away."),
    ]),
)
.remark("wharf's own section: one JSON line for each login, push, delete, moved tag and denied action ([audit.md](audit.md)). A change takes a restart.");
