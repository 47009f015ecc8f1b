//! The memory of the process holds passwords and keys: nobody else on the
//! machine is to read it (threat model T23).

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Keeps the memory out of core dumps, and from other processes of the same
/// user, which could attach to this one or read it in `/proc`. Failing is told,
/// and no reason not to serve.
pub fn keep_private() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, none);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(hidden) {
        tracing::warn!(%error, "the memory of this process, which holds passwords, could not be kept out of core dumps");
    }
}
