//! `wharf user can`: whether somebody may do something, and which rule says so.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::config::{environment, found, variable};
use super::{CONFIGURATION, DENIED};
use crate::access::{Access, Decision, Ground};
use crate::auth::caller::{Caller, Identity, Proof};
use crate::auth::user_name::UserName;
use crate::config::{Config, Problems};
use crate::oci::{Action, RepositoryName};

/// What stands for somebody who has not logged in.
const ANONYMOUS: &str = "anonymous";

/// `wharf user can`
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 yes, 5 no, 2 wrong usage, 78 the configuration is wrong.")]
pub struct CanArgs {
    /// The user, or `anonymous` for who has not logged in
    #[arg(value_parser = who)]
    who: Who,
    /// pull, push, create (a push that moves no tag) or delete
    action: Action,
    /// The repository; it need not exist
    repository: RepositoryName,
    /// The configuration; without it, what REGISTRY_CONFIGURATION_PATH names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One more group, as a CI job's identity may bring along; may be repeated
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// About whom is asked.
#[derive(Debug, Clone)]
struct Who(Identity);

#[derive(Debug, thiserror::Error)]
enum CanError {
    #[error("no configuration; write `--config FILE`")]
    None,
    #[error("{0}")]
    Configuration(#[from] Problems),
    #[error(transparent)]
    Groups(#[from] crate::access::GroupFileError),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Answers: 0 for yes, 5 for no.
pub fn run(args: &CanArgs) -> ExitCode {
    match answer(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DENIED),
        Err(error) => {
            eprintln!("wharf: {error}");
            match error {
                CanError::Output(_) => ExitCode::FAILURE,
                _ => ExitCode::from(CONFIGURATION),
            }
        }
    }
}

fn who(text: &str) -> Result<Who, String> {
    if text == ANONYMOUS {
        return Ok(Who(Identity::Anonymous));
    }
    if text.starts_with("robot:") {
        return Err(
            "a robot's rights are its own, and rules don't apply to it; `wharf token ls` shows them"
                .to_owned(),
        );
    }
    let name: UserName = text
        .strip_prefix("user:")
        .unwrap_or(text)
        .parse()
        .map_err(|error: crate::auth::user_name::InvalidUserName| error.to_string())?;
    Ok(Who(Identity::User(name)))
}

fn answer(args: &CanArgs) -> Result<bool, CanError> {
    let found = found(args.config.as_deref(), variable).ok_or(CanError::None)?;
    let config = Config::read(&found.path, environment())?.config;
    let access = Access::open(config.access)?;
    let proof = Proof::Nothing;
    let mut caller = Caller::known(args.who.0.clone(), proof);
    caller.groups.clone_from(&args.group);
    let decision = access.decide(&caller, &args.repository);
    let yes = decision.actions.has(args.action);
    let groups = access.members().of(&caller);
    let text = match args.json {
        true => format!("{:#}\n", as_json(args, &access, &decision, &groups)),
        false => as_text(args, &access, &decision, &groups),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(yes)
}

/// Where the rule that decides is written.
fn line<'a>(access: &'a Access, ground: &Ground) -> Option<&'a str> {
    let Ground::Rule(place) = ground else {
        return None;
    };
    let mut rules = access.rules()?.iter();
    let rule = rules.find(|rule| rule.place == *place)?;
    Some(&rule.line)
}

fn as_text(args: &CanArgs, access: &Access, decision: &Decision, groups: &[String]) -> String {
    let yes = decision.actions.has(args.action);
    let word = if yes { "yes" } else { "no" };
    let allowed = match decision.actions.is_empty() {
        true => "nothing".to_owned(),
        false => decision.actions.to_string(),
    };
    let why = match (&decision.ground, line(access, &decision.ground)) {
        (Ground::Rule(place), Some(line)) => {
            format!("{place} ({line}) is the first rule that matches; it allows {allowed}")
        }
        (Ground::Open, _) => {
            "there is no `access` in the configuration: who has logged in may do everything"
                .to_owned()
        }
        (ground, _) => format!("{ground}, and what no rule allows is not allowed"),
    };
    let groups = match groups {
        [] => String::new(),
        some => format!("groups: {}\n", some.join(", ")),
    };
    format!("{word}: {why}\n{groups}")
}

fn as_json(args: &CanArgs, access: &Access, decision: &Decision, groups: &[String]) -> Value {
    let rule = match &decision.ground {
        Ground::Rule(place) => json!(place),
        _ => Value::Null,
    };
    let actions: Vec<&str> = decision.actions.iter().map(Action::as_str).collect();
    json!({
        "allowed": decision.actions.has(args.action),
        "ground": decision.ground.to_string(),
        "rule": rule,
        "line": line(access, &decision.ground),
        "actions": actions,
        "groups": groups,
    })
}
