//! `wharf retention`: what the rules of the configuration would remove, and
//! removing it now, beside a running server too.

mod report;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::CONFIGURATION;
use super::store::{Place, StoreArgs};
use crate::app::storage::{open, patience};
use crate::oci::RepositoryName;
use crate::registry::Registry;
use crate::registry::retention::{Observer, Options, Report};
use report::{Collected, Form, Teller};

/// Something would go, or could not be looked at.
const WOULD_GO: u8 = 3;

/// `wharf retention`
#[derive(Debug, Args)]
pub struct RetentionArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what would go, and which rule says so; nothing is removed
    #[command(
        after_help = "Exit codes: 0 nothing would go, 1 it could not be looked at, 2 wrong usage, 3 something would go, 78 the configuration can't be used."
    )]
    Plan(PlanArgs),
    /// Remove it now, once you agree; the bytes go with the next collection
    #[command(
        after_help = "Exit codes: 0 done, 1 something could not be done or was not agreed to, 2 wrong usage, 78 the configuration can't be used."
    )]
    Apply {
        #[command(flatten)]
        plan: PlanArgs,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct PlanArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Only this repository
    #[arg(long, value_name = "NAME")]
    repository: Option<RepositoryName>,
    /// Show the tags that stay, too, and why
    #[arg(long)]
    all: bool,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Why the command could not do its work, and how it ends.
enum Refused {
    Configuration(String),
    Failed(String),
}

/// Runs the command.
pub fn run(args: RetentionArgs) -> ExitCode {
    let (plan, apply) = match args.command {
        Command::Plan(plan) => (plan, None),
        Command::Apply { plan, yes } => (plan, Some(yes)),
    };
    match retention(&plan, apply) {
        Ok(code) => ExitCode::from(code),
        Err(Refused::Configuration(message)) => {
            eprintln!("wharf: {message}");
            ExitCode::from(CONFIGURATION)
        }
        Err(Refused::Failed(message)) => {
            eprintln!("wharf: {message}");
            ExitCode::FAILURE
        }
    }
}

fn retention(args: &PlanArgs, apply: Option<bool>) -> Result<u8, Refused> {
    let place = args.store.place().map_err(Refused::Configuration)?;
    if apply.is_some() && place.registry.read_only {
        return Err(Refused::Configuration(
            "storage.maintenance.readonly is on, so nothing may be removed; give a configuration without it".to_owned(),
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        match apply {
            None => show(args, place).await,
            Some(yes) => carry_out(args, place, yes).await,
        }
    })
}

/// `plan`
async fn show(args: &PlanArgs, place: Place) -> Result<u8, Refused> {
    let teller = Teller::new(form(args));
    let registry = opened(place, true).await?;
    let report = look(args, &registry, &teller).await?;
    if args.json {
        print(&teller.json(&report))?;
    } else {
        print(&report::would_go(&report))?;
    }
    Ok(
        match (
            report.failed,
            report.removed.tags + report.removed.manifests,
        ) {
            (0, 0) => 0,
            (0, _) => WOULD_GO,
            _ => 1,
        },
    )
}

/// `apply`: shows, asks, removes.
async fn carry_out(args: &PlanArgs, place: Place, yes: bool) -> Result<u8, Refused> {
    let batch = patience(&place.storage);
    if !yes && args.json {
        return Err(Refused::Failed(
            "with --json nobody can be asked; add --yes".to_owned(),
        ));
    }
    let registry = opened(place, false).await?;
    if !args.json {
        let report = look(args, &registry, &Teller::new(form(args))).await?;
        print(&report::would_go(&report))?;
        if report.removed.tags + report.removed.manifests == 0 {
            return Ok(u8::from(report.failed > 0));
        }
        if !yes {
            agreed()?;
        }
    }
    let collected = Collected::default();
    let options = Options {
        dry_run: false,
        batch,
        ..options(args)
    };
    let report = registry.retain(&options, &collected).await;
    let report = report.map_err(failed)?;
    if args.json {
        print(&collected.json(&report))?;
    } else {
        print(&collected.text(&report))?;
    }
    Ok(u8::from(report.failed > 0))
}

/// What would go, told to an observer.
async fn look(
    args: &PlanArgs,
    registry: &Registry,
    observer: &dyn Observer,
) -> Result<Report, Refused> {
    if registry.settings().retention.rules.is_empty() {
        eprintln!("wharf: the configuration has no rules (retention.rules): everything stays");
    }
    registry
        .retain(&options(args), observer)
        .await
        .map_err(failed)
}

async fn opened(place: Place, only_reading: bool) -> Result<Registry, Refused> {
    let opened = open(&place.storage, only_reading).await.map_err(failed)?;
    Ok(Registry::new(opened.store, place.registry))
}

fn options(args: &PlanArgs) -> Options {
    Options {
        repository: args.repository.clone(),
        dry_run: true,
        ..Options::default()
    }
}

fn form(args: &PlanArgs) -> Form {
    match (args.json, args.all) {
        (true, _) => Form::Json,
        (false, true) => Form::All,
        (false, false) => Form::Going,
    }
}

/// Asks on the terminal.
fn agreed() -> Result<(), Refused> {
    if !io::stdin().is_terminal() {
        return Err(Refused::Failed(
            "nothing was removed: there is no terminal to ask on; add --yes".to_owned(),
        ));
    }
    eprint!("Remove this? [y/N] ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    if matches!(line.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Refused::Failed("nothing was removed".to_owned()))
    }
}

fn print(text: &str) -> Result<(), Refused> {
    let written = writeln!(io::stdout().lock(), "{text}");
    written.map_err(|_| Refused::Failed("nobody reads what is printed".to_owned()))
}

fn failed(error: impl ToString) -> Refused {
    Refused::Failed(error.to_string())
}
