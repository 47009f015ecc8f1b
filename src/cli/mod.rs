//! The command line: one file per command. Exit codes: 0 done, 1 failed, 2
//! usage, 3 found problems, 4 not found, 5 denied, 75 busy, 78 configuration,
//! 130 interrupted.

mod ask;
mod can;
mod check;
mod config;
mod doctor;
mod garbage_collect;
mod gc;
mod healthcheck;
mod htpasswd;
mod interrupt;
mod progress;
mod retention;
mod rm;
mod serve;
mod store;
mod token;
mod usage;
mod user;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The configuration or the surroundings are wrong: trying again does not help
/// (`EX_CONFIG` of sysexits.h).
const CONFIGURATION: u8 = 78;

/// What was named isn't there.
const NOT_FOUND: u8 = 4;

/// It may not be done.
const DENIED: u8 = 5;

/// A private registry for container images.
#[derive(Parser)]
#[command(name = "wharf", version, propagate_version = true)]
struct Wharf {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the registry
    Serve(serve::ServeArgs),
    /// Look at a configuration without starting
    Config(config::ConfigArgs),
    /// Add, change, remove and list users
    User(user::UserArgs),
    /// Make, list and revoke the secrets that robots log in with
    Token(token::TokenArgs),
    /// Make lines of a users file, with the flags of Apache's htpasswd
    Htpasswd(htpasswd::HtpasswdArgs),
    /// Look whether what the registry uses works, and say what to do
    Doctor(doctor::DoctorArgs),
    /// Look whether what is stored is whole, and mend it
    Check(check::CheckArgs),
    /// Remove what nothing needs any more, while the registry runs
    Gc(gc::GcArgs),
    /// The same at once, with the flags and the output of registry:2
    GarbageCollect(garbage_collect::GarbageCollectArgs),
    /// Show what the rules of retention would remove, and remove it
    Retention(retention::RetentionArgs),
    /// Say how much each repository holds
    Usage(usage::UsageArgs),
    /// Remove a tag, a manifest or a whole repository
    Rm(rm::RmArgs),
    /// Ask a running registry whether it answers, for containers
    Healthcheck(healthcheck::HealthcheckArgs),
}

/// `htpasswd` as a name of its own for this binary.
#[derive(Parser)]
#[command(name = "htpasswd", version)]
struct Htpasswd {
    #[command(flatten)]
    args: htpasswd::HtpasswdArgs,
}

/// Runs the command that the arguments name. The binary may be called by other
/// names: `registry` is `wharf`, `htpasswd` is `wharf htpasswd`.
pub fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if called_as(&arguments, "htpasswd") {
        return htpasswd::run(Htpasswd::parse_from(arguments).args);
    }
    // registry:2's image takes its own name as the command, `-v`, and a
    // configuration file alone.
    if called_as(&arguments, "registry")
        && arguments.get(1).is_some_and(|first| first == "registry")
    {
        arguments.remove(1);
    }
    if let [_, only] = arguments.as_mut_slice()
        && only == "-v"
    {
        *only = "--version".into();
    }
    if let Some(first) = arguments.get(1)
        && Path::new(first)
            .extension()
            .is_some_and(|ending| ending == "yml" || ending == "yaml")
    {
        arguments.insert(1, "serve".into());
    }
    match Wharf::parse_from(arguments).command {
        Command::Serve(args) => serve::run(args),
        Command::Config(args) => config::run(args),
        Command::User(args) => user::run(args),
        Command::Token(args) => token::run(args),
        Command::Htpasswd(args) => htpasswd::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Check(args) => check::run(args),
        Command::Gc(args) => gc::run(args),
        Command::GarbageCollect(args) => garbage_collect::run(&args),
        Command::Retention(args) => retention::run(args),
        Command::Usage(args) => usage::run(args),
        Command::Rm(args) => rm::run(args),
        Command::Healthcheck(args) => healthcheck::run(args),
    }
}

fn called_as(arguments: &[OsString], name: &str) -> bool {
    arguments
        .first()
        .and_then(|program| Path::new(program).file_name())
        .is_some_and(|file| file == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Wharf::command().debug_assert();
        Htpasswd::command().debug_assert();
    }
}
