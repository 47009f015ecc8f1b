//! The command line: one file per command.

mod ask;
pub mod htpasswd;
pub mod user;

use std::process::ExitCode;

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
