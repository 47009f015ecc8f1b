//! What the start-up probe found out about a store.

use std::fmt;

/// Every check, in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was examined: the engine, the bucket and where it is.
    pub store: String,
    /// The checks.
    pub checks: Vec<Check>,
}

/// One thing that the protocol needs, or would like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was tried, in a few words.
    pub name: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The store does it.
    Passed,
    /// The store doesn't do it; the registry runs, but not everything works:
    /// the text says what doesn't and what to do.
    Lacking(String),
    /// The registry can't run on this store: why, and what to do.
    Failed(String),
}

impl Report {
    /// Why the registry can't run on this store.
    pub fn failure(&self) -> Option<&str> {
        self.checks.iter().find_map(|check| match &check.outcome {
            Outcome::Failed(why) => Some(why.as_str()),
            Outcome::Passed | Outcome::Lacking(_) => None,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => formatter.write_str("ok"),
            Self::Lacking(what) => write!(formatter, "lacking: {what}"),
            Self::Failed(why) => write!(formatter, "failed: {why}"),
        }
    }
}
