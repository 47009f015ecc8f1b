//! One line of the audit log.

use jiff::Timestamp;
use serde::Serialize;

use crate::observe::log::escape_invisible;

/// The most characters of one field that a client chooses.
const LONGEST: usize = 256;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody logged in, or could not.
    Login,
    /// A manifest or a blob is there.
    Push,
    /// A tag names another manifest.
    TagMove,
    /// A manifest, a tag or a blob of a repository is gone.
    Delete,
    /// Somebody might not do what they asked for.
    Denied,
}

/// Whether it came to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did.
    Success,
    /// It did not.
    Failure,
}

/// What one line says; fields that are `None` are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// Whether it came to pass.
    pub outcome: Outcome,
    /// Who; of a failed login, what was given as the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How they are known: `password`, `token`, `certificate`, `robot`,
    /// `workload` or `anonymous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<&'static str>,
    /// Where from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The request's method.
    pub method: String,
    /// What was asked for.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub operation: &'static str,
    /// In which repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The tag, digest or upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What a moved tag named before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_digest: Option<String>,
    /// What allowed or forbade it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request's id, as in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// As the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    entry: &'a Entry,
    /// How many like it had no line.
    #[serde(skip_serializing_if = "is_zero")]
    suppressed: u64,
}

impl Entry {
    /// The line with its newline: nothing in it can forge another, or move a
    /// terminal's cursor.
    pub(super) fn line(&self, now: Timestamp, suppressed: u64) -> Vec<u8> {
        let line = Line {
            time: format!("{now:.3}"),
            entry: self,
            suppressed,
        };
        // Strings and numbers into memory: it can't fail.
        let mut json = escape_invisible(serde_json::to_string(&line).unwrap_or_default());
        json.push('\n');
        json.into_bytes()
    }

    /// A text of a client's choice, cut to a bounded length.
    pub fn bounded(text: &str) -> String {
        match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text.to_owned(),
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
