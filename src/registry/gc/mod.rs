//! Garbage collection beside pushes, on volumes and in buckets, by any number
//! of processes: *mark, then short runs*. It needs of the store that a read or
//! listing sees what was written before it, and that creating what exists fails;
//! no lock, no clock, no conditional delete. The model in `tests/model` has the
//! same steps under the same names; docs/garbage-collection.md says why nothing
//! is lost.
//!
//! A *cell* is the bytes of one digest, with its *names* ([`super::content`]).
//! The roots are the revision links of all repositories.
//!
//! ```text
//! a push of a manifest ([`pushing`])
//!   P1  posts an intent: repository, digest, parts
//!   P2  lists marks and runs; waits for removals of links in its repository
//!   P3  reads the decision of each of those runs, or makes it void; then looks
//!       for each cell that it needs, under a name that none of them condemns
//!   P4  writes its own bytes under such a name
//!   P5  writes the revision link
//!   P7  leaves a copy of the intent beside each mark that it saw
//!   P6  is the intent still there? else it isn't acknowledged
//!   P8  is acknowledged, and withdraws the intent
//!
//! a collection ([`collection`])
//!   C1  registers a mark
//!   C2  reads the intents
//!   C3  then reads the links of every repository, and what they reach
//!   C4  lists cells; those that aren't reached and are old enough go, in runs:
//!   R1    registers a run
//!   R2    reads the intents again
//!   R3    then reads what pushes have left beside its mark
//!   R4    is the mark still registered? else nothing is removed
//!   R5    creates its decision: the names that it condemns; fails if a push
//!         made it void. Is the run still registered? else nothing is removed
//!   R6    removes the names
//!   R7    withdraws the run, if every removal was answered
//!   R8    then the decision
//!   C7  withdraws the mark, then what was left beside it
//!
//! a removal of links in a repository ([`links`], and [`super::deleting`])
//!   D1  announces itself in the repository
//!   D2  reads the intents
//!   D3  then reads the repository's links
//!   D4  removes those that nothing needs
//!   D5  withdraws the announcement
//! ```
//!
//! A name that was condemned is not written again before its run is withdrawn:
//! whoever needs the bytes meanwhile writes them under a name of their own,
//! since the removal may come at any time, even days later. Marks, void runs
//! and intents may be taken away from whoever seems dead at any moment; a run
//! that has decided only from whoever is dead ([`seal`]).

mod checkpoint;
mod collection;
mod held;
mod links;
mod mark;
mod meter;
mod pace;
mod passes;
mod place;
mod pushing;
mod reached;
mod reading;
mod records;
mod run;
mod seal;
mod settings;
mod sweep;
#[cfg(test)]
mod tests;

pub use collection::{Collector, Failure, Observer, Options, Report};
pub use meter::{Counts, Meter};
pub use records::{Intent, Record};
pub use settings::Settings;

pub(super) use pushing::Pushing;
pub(super) use records::Condemned;
