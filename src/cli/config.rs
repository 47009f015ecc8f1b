//! `wharf config check`: everything that `wharf serve` would say about a
//! configuration, without starting.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::CONFIGURATION;
use crate::config::{self, Config, Found};

/// What registry:2 names its configuration file by.
const CONFIGURATION_PATH: &str = "REGISTRY_CONFIGURATION_PATH";

/// `wharf config`
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what is wrong with a configuration, without starting
    Check {
        /// The configuration; without it, what REGISTRY_CONFIGURATION_PATH names
        file: Option<PathBuf>,
    },
}

/// Runs the command: 0, or 78 if the registry would not start.
pub fn run(args: ConfigArgs) -> ExitCode {
    let Command::Check { file } = args.command;
    let Some(found) = found(file.as_deref(), variable) else {
        eprintln!("no configuration to check; write `wharf config check FILE`");
        return ExitCode::from(CONFIGURATION);
    };
    match check(&found.path, environment(), &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(CONFIGURATION),
        // Whoever reads has gone away.
        Err(_) => ExitCode::FAILURE,
    }
}

/// The configuration file that an argument names, or else its variable.
pub(super) fn found(
    argument: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<Found> {
    config::find(argument, variable(CONFIGURATION_PATH).as_deref())
}

/// A variable of this process, if it is set and Unicode.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variables of this process whose names and values are Unicode, as names
/// and values of the configuration are.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Tells what there is to say; whether the registry would start.
fn check(
    path: &Path,
    environment: impl Iterator<Item = (String, String)>,
    out: &mut impl Write,
) -> io::Result<bool> {
    let name = path.display();
    match Config::read(path, environment) {
        Ok(loaded) => {
            for note in &loaded.notes {
                writeln!(out, "warning: {note}")?;
            }
            writeln!(out, "{name}: ok")?;
            Ok(true)
        }
        Err(found) => {
            for note in &found.notes {
                writeln!(out, "warning: {note}")?;
            }
            for problem in &found.problems {
                writeln!(out, "error: {problem}")?;
            }
            match found.problems.len() {
                1 => writeln!(out, "{name}: 1 problem")?,
                several => writeln!(out, "{name}: {several} problems")?,
            }
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yml");
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let good = check(&path, std::iter::empty(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        (
            good,
            out.replace(&format!("{}/", folder.path().display()), ""),
        )
    }

    #[test]
    fn warnings_are_allowed() {
        assert_eq!(
            checked("version: 0.1\nstorage: filesystem\nhtttp:\n"),
            (
                true,
                "warning: config.yml:3:1: unknown key `htttp`; did you mean `http`?\n\
                 config.yml: ok\n"
                    .to_owned()
            )
        );
    }

    #[test]
    fn problems_are_counted() {
        assert_eq!(
            checked("version: 0.1\nstorage: filesystem\nhttp: {addr: 5000}\n"),
            (
                false,
                "error: config.yml:3:14: http.addr: `5000` is not `host:port`; write `:5000` for every address\n\
                 config.yml: 1 problem\n"
                    .to_owned()
            )
        );
        let (good, out) = checked("storage: filesystem\nhtttp:\nhttp: {addr: 5000}\n");
        assert!(!good);
        assert!(out.starts_with("warning: config.yml:2:1: "), "{out}");
        assert!(out.ends_with("config.yml: 2 problems\n"), "{out}");
    }

    #[test]
    fn a_file_that_is_not_there_is_a_problem() {
        let mut out = Vec::new();
        let path = Path::new("/nowhere/config.yml");
        assert!(!check(path, std::iter::empty(), &mut out).unwrap());
        assert!(
            String::from_utf8(out)
                .unwrap()
                .ends_with("/nowhere/config.yml: 1 problem\n")
        );
    }
}
