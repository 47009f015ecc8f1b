//! `wharf token`: the robots, by their records in the storage, beside running
//! servers too.

mod told;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::store::StoreArgs;
use super::{CONFIGURATION, DENIED, NOT_FOUND};
use crate::app::storage::open;
use crate::auth::caller::Grant;
use crate::auth::robots::{Robot, RobotName, Secret, book};
use crate::config::age;
use crate::oci::{Action, Actions};
use crate::storage::{Created, Store};

/// Make, list and revoke the secrets that robots log in with
#[derive(Debug, Args)]
#[command(
    after_help = "Robots are kept in the storage: all running servers on it notice a change within 2 s.\nExit codes: 0 done, 1 failed, 2 wrong usage, 4 no such robot, 5 denied (read-only), 78 the configuration can't be used."
)]
pub struct TokenArgs {
    #[command(subcommand)]
    action: What,
    /// The configuration that the server is started with; else the one that
    /// REGISTRY_CONFIGURATION_PATH names; without either, the data directory
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// The data directory of a server without a configuration
    #[arg(long, global = true, value_name = "PATH", default_value = "wharf-data")]
    data: PathBuf,
    /// As JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a robot and print its secret, this once
    Create {
        /// Its name, which it logs in with: lower-case letters, digits, `.`, `_`
        /// and `-`
        #[arg(long)]
        name: RobotName,
        /// What it may do and where, as 'push team/**'; may be repeated; push and create bring pull along
        #[arg(long, required = true, value_name = "ACTIONS PATTERN", value_parser = grant)]
        allow: Vec<Grant>,
        /// For how long, as 30d or 12h, or `never`
        #[arg(long, default_value = "90d", value_parser = life)]
        expires: Life,
    },
    /// List the robots: rights, times, and when each was last used
    Ls,
    /// Show one robot
    Show {
        /// Its name
        name: RobotName,
    },
    /// Revoke a robot's secret, and its rights with it
    Revoke {
        /// Its name
        name: RobotName,
    },
}

/// How long a secret counts; `None` is for ever.
#[derive(Debug, Clone, Copy)]
struct Life(Option<Duration>);

/// How the command ends, and what it says for that.
struct Refused(u8, String);

/// Runs `wharf token`.
pub fn run(args: TokenArgs) -> ExitCode {
    match act(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refused(code, message)) => {
            eprintln!("wharf: {message}");
            ExitCode::from(code)
        }
    }
}

fn grant(text: &str) -> Result<Grant, String> {
    let (actions, pattern) = text
        .trim()
        .split_once(' ')
        .ok_or("write actions, a space and a pattern, as 'push team/**'")?;
    let actions: Result<Actions, _> = actions.split(',').map(str::parse).collect();
    let pattern: Result<crate::oci::RepositoryPattern, _> = pattern.trim().parse();
    let actions = actions.map_err(|error: crate::oci::InvalidAction| error.to_string())?;
    Ok(Grant {
        actions: match actions.has(Action::Create) {
            // Clients that push look first what is there, and most fail if they may not.
            true => actions.with(Action::Pull),
            false => actions,
        },
        repositories: pattern.map_err(|error: crate::oci::InvalidPattern| error.to_string())?,
    })
}

fn life(text: &str) -> Result<Life, String> {
    if text == "never" {
        return Ok(Life(None));
    }
    match age(text)? {
        Duration::ZERO => Err("a secret counts longer than nothing".to_owned()),
        life => Ok(Life(Some(life))),
    }
}

fn failed(error: impl std::fmt::Display) -> Refused {
    Refused(1, error.to_string())
}

fn act(args: TokenArgs) -> Result<(), Refused> {
    let place = StoreArgs::of(args.config, args.data).place();
    let place = place.map_err(|message| Refused(CONFIGURATION, message))?;
    let looks = matches!(args.action, What::Ls | What::Show { .. });
    if !looks && place.registry.read_only {
        return Err(Refused(
            DENIED,
            "storage.maintenance.readonly is on, so nothing may be written; give a configuration without it".to_owned(),
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let store = open(&place.storage, looks).await.map_err(failed)?.store;
        match args.action {
            What::Create {
                name,
                allow,
                expires,
            } => create(&store, &name, allow, expires, args.json).await,
            What::Ls => {
                let entries = book::list(&*store).await.map_err(failed)?;
                told::all(&entries, args.json).map_err(failed)
            }
            What::Show { name } => {
                let entry = book::find(&*store, &name).await.map_err(failed)?;
                let entry = entry.ok_or_else(|| unknown(&name))?;
                told::one(&entry, args.json).map_err(failed)
            }
            What::Revoke { name } => match book::revoke(&*store, &name).await {
                Ok(true) => {
                    eprintln!("revoked {name}: every server refuses it within 2 s");
                    Ok(())
                }
                Ok(false) => Err(unknown(&name)),
                Err(error) => Err(failed(error)),
            },
        }
    })
}

fn unknown(name: &RobotName) -> Refused {
    Refused(
        NOT_FOUND,
        format!("there is no robot {name}; `wharf token ls` lists them"),
    )
}

async fn create(
    store: &Arc<dyn Store>,
    name: &RobotName,
    allow: Vec<Grant>,
    Life(life): Life,
    json: bool,
) -> Result<(), Refused> {
    for grant in &allow {
        warn(grant);
    }
    let secret = Secret::random().map_err(failed)?;
    let robot = Robot::new(&secret, allow, SystemTime::now(), life)
        .ok_or_else(|| failed("a robot can't expire that late; write `never`"))?;
    match book::create(&**store, name, &robot).await {
        Ok(Created::New) => told::made(name, &robot, &secret, json).map_err(failed),
        Ok(Created::Exists) => Err(failed(format!(
            "there is a robot {name} already: choose another name, or `wharf token revoke {name}` first"
        ))),
        Err(error) => Err(failed(error)),
    }
}

/// What is allowed all the same, but is seldom meant.
fn warn(grant: &Grant) {
    let (actions, pattern) = (grant.actions, &grant.repositories);
    if actions.has(Action::Delete) && pattern.as_str() == "**" {
        eprintln!("warning: with `{actions} {pattern}` it may delete everything in this registry");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_actions_and_a_pattern() {
        let read = |text| grant(text).map(|grant| grant.to_string());
        assert_eq!(read("push team/**"), Ok("pull,push team/**".to_owned()));
        assert_eq!(read("delete a"), Ok("delete a".to_owned()));
        assert_eq!(read(" pull,create  a/b "), Ok("pull,create a/b".to_owned()));
        for wrong in [
            "",
            "push",
            "write a",
            "pull, push a",
            "pull A",
            "pull **/**",
        ] {
            assert!(grant(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_life_is_a_time_or_never() {
        assert_eq!(
            life("30d").unwrap().0,
            Some(Duration::from_secs(30 * 86_400))
        );
        assert_eq!(life("never").unwrap().0, None);
        for wrong in ["", "0d", "30", "-1d", "soon"] {
            assert!(life(wrong).is_err(), "{wrong:?}");
        }
    }
}
