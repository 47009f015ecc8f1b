//! What an administrator removes by hand, beside a running server too: a tag,
//! a manifest with what belongs to it, or a whole repository.
//!
//! First a [`Plan`] says what goes, what stays and why, and how many bytes
//! nothing will need any more. Carrying it out goes the way of every delete
//! (`super::deleting`), in batches that are short enough for no process to
//! take the announcement for one that was left behind.

mod carry_out;
mod freed;
mod plan;
#[cfg(test)]
mod tests;

pub use carry_out::Removed;
pub use freed::Seen;
pub use plan::{Going, Kept, Plan, Staying};

use crate::oci::{Digest, Tag};

/// What is to be removed of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The tag alone.
    Tag(Tag),
    /// The manifest, its tags and its referrers.
    Manifest(Digest),
    /// Everything.
    Repository,
}
