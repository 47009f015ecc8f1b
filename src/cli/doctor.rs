//! `wharf doctor`: looks at what `wharf serve` would use, from the same machine
//! and with the same keys, and says what to do. So far it knows the storage.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::CONFIGURATION;
use super::config::{environment, found, variable};
use crate::app::storage::examine;
use crate::config::Config;
use crate::storage::object::{Outcome, Report};
use crate::storage::{Settings, files};

/// There is something to mend.
const FOUND_PROBLEMS: u8 = 3;

/// File operations at once, for the directory of `--data`.
const THREADS: usize = 25;

/// Look whether everything that a server would use works: exit code 0 if it does,
/// 3 if there is something to mend, 78 if the configuration can't be used.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The configuration that the server is started with; else the one that
    /// REGISTRY_CONFIGURATION_PATH names; without either, the data directory
    #[arg(conflicts_with = "data")]
    config: Option<PathBuf>,
    /// The storage: that it can be reached, and does what a registry needs. It is what
    /// is looked at without any flag, too
    #[arg(long)]
    storage: bool,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// The data directory of a server without a configuration
    #[arg(long, default_value = "wharf-data")]
    data: PathBuf,
}

/// Runs the command.
pub fn run(args: DoctorArgs) -> ExitCode {
    let told = settings(&args).and_then(|(settings, read_only)| look(&settings, read_only));
    let report = match told {
        Ok(report) => report,
        Err(message) => {
            eprintln!("wharf: {message}");
            return ExitCode::from(CONFIGURATION);
        }
    };
    let mut out = io::stdout().lock();
    let written = if args.json {
        writeln!(out, "{}", as_json(&report))
    } else {
        write!(out, "{}", as_text(&report))
    };
    match written {
        Ok(()) if problems(&report) == 0 => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(FOUND_PROBLEMS),
        // Whoever reads has gone away.
        Err(_) => ExitCode::FAILURE,
    }
}

/// The storage, and whether it is only read.
fn settings(args: &DoctorArgs) -> Result<(Settings, bool), String> {
    let Some(found) = found(args.config.as_deref(), variable) else {
        let files = files::Settings {
            root: args.data.clone(),
            max_threads: THREADS,
            sync: files::SyncMode::Full,
        };
        return Ok((Settings::Files(files), false));
    };
    let loaded = Config::read(&found.path, environment()).map_err(|error| error.to_string())?;
    let config = loaded.config;
    Ok((config.storage, config.registry.read_only))
}

fn look(settings: &Settings, read_only: bool) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime
        .block_on(examine(settings, read_only))
        .map_err(|error| error.to_string())
}

fn problems(report: &Report) -> usize {
    let checks = report.checks.iter();
    checks
        .filter(|check| check.outcome != Outcome::Passed)
        .count()
}

fn as_text(report: &Report) -> String {
    let mut text = format!("storage: {}\n", report.store);
    for check in &report.checks {
        let line = match &check.outcome {
            Outcome::Passed => format!("  ok       {}\n", check.name),
            Outcome::Lacking(what) => format!("  lacking  {}\n           {what}\n", check.name),
            Outcome::Failed(why) => format!("  failed   {}\n           {why}\n", check.name),
        };
        text.push_str(&line);
    }
    text.push_str(&match problems(report) {
        0 => "all is well\n".to_owned(),
        1 => "1 problem\n".to_owned(),
        several => format!("{several} problems\n"),
    });
    text
}

/// `{storage: {store, checks: [{name, outcome, advice}]}, problems}`
fn as_json(report: &Report) -> Value {
    let checks: Vec<Value> = report
        .checks
        .iter()
        .map(|check| {
            let (outcome, advice) = match &check.outcome {
                Outcome::Passed => ("passed", None),
                Outcome::Lacking(what) => ("lacking", Some(what)),
                Outcome::Failed(why) => ("failed", Some(why)),
            };
            json!({ "name": check.name, "outcome": outcome, "advice": advice })
        })
        .collect();
    json!({
        "storage": { "store": report.store, "checks": checks },
        "problems": problems(report),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::object::Check;

    fn report() -> Report {
        let check = |name, outcome| Check { name, outcome };
        Report {
            store: "bucket b at http://s3:8333".to_owned(),
            checks: vec![
                check("reach it", Outcome::Passed),
                check("create once", Outcome::Lacking("use another".to_owned())),
                check("delete", Outcome::Failed("allow it".to_owned())),
            ],
        }
    }

    #[test]
    fn text_says_what_to_do() {
        assert_eq!(
            as_text(&report()),
            "storage: bucket b at http://s3:8333\n\
             \x20 ok       reach it\n\
             \x20 lacking  create once\n\
             \x20          use another\n\
             \x20 failed   delete\n\
             \x20          allow it\n\
             2 problems\n"
        );
    }

    #[test]
    fn json_has_every_check() {
        assert_eq!(
            as_json(&report()),
            json!({
                "storage": {
                    "store": "bucket b at http://s3:8333",
                    "checks": [
                        {"name": "reach it", "outcome": "passed", "advice": null},
                        {"name": "create once", "outcome": "lacking", "advice": "use another"},
                        {"name": "delete", "outcome": "failed", "advice": "allow it"},
                    ],
                },
                "problems": 2,
            })
        );
    }
}
