//! `wharf check`: looks whether everything that is stored is whole, beside a
//! running server too, and mends it where that was asked for.

mod progress;
mod report;
mod resume;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::CONFIGURATION;
use super::ask;
use super::config::variable;
use super::interrupt::{self, INTERRUPTED};
use super::progress::{bar, show};
use super::store::{Place, StoreArgs};
use crate::app::storage::open;
use crate::app::upstream::Upstream;
use crate::auth::password::Password;
use crate::registry::check::{Checker, Checkpoint, Observer, Options, Rate, Report, Source};
use crate::registry::{self, Registry};
use crate::storage::{Settings, files};
use progress::Reading;
use report::Teller;
use resume::{Resume, ResumeError};

/// There is something to mend.
const FOUND_PROBLEMS: u8 = 3;

/// Things that are looked at at once in a bucket, whose answers take their time.
const BUCKET_JOBS: usize = 8;

/// What the password for `--from` may stand in.
const PASSWORD: &str = "WHARF_FROM_PASSWORD";

/// Look whether every blob, manifest, tag and referrer is whole; the server may run meanwhile
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is well, 1 it could not be checked, 2 wrong usage, 3 found problems, 78 the configuration can't be used, 130 interrupted."
)]
pub struct CheckArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Mend what can be mended: damaged bytes are set aside, never removed
    #[arg(long)]
    repair: bool,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// The most bytes that are read per second, such as 50MiB
    #[arg(long)]
    rate: Option<Rate>,
    /// Things that are looked at at once; as many as there are processors, 8 for a bucket
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Keep in this file how far the check is; with the same file the next one goes on there
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// A second registry, https://HOST[:PORT], from which --repair fetches what is damaged or missing
    #[arg(long, value_name = "URL", requires = "repair")]
    from: Option<String>,
    /// The user there; the password is read from WHARF_FROM_PASSWORD or asked for
    #[arg(long, value_name = "NAME", requires = "from")]
    user: Option<String>,
    /// Read the password for --user from standard input, one line
    #[arg(long, requires = "user")]
    password_stdin: bool,
    /// A certificate (PEM) of the authority that --from trusts, beside the system's
    #[arg(long, value_name = "FILE", requires = "from")]
    from_ca: Option<PathBuf>,
}

/// Why the command could not do its work, and how it ends.
enum Refused {
    Configuration(String),
    Failed(String),
}

/// What is checked, and how.
struct Plan {
    storage: Settings,
    registry: registry::Settings,
    source: Option<Arc<dyn Source>>,
    resume: Resume,
    from: Checkpoint,
}

/// Runs the command.
pub fn run(args: CheckArgs) -> ExitCode {
    match plan(&args).and_then(|plan| check(&args, plan)) {
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

fn plan(args: &CheckArgs) -> Result<Plan, Refused> {
    let Place { storage, registry } = args.store.place().map_err(Refused::Configuration)?;
    if args.repair && registry.read_only {
        return Err(Refused::Configuration(
            "storage.maintenance.readonly is on, so nothing may be repaired; leave out --repair, or give a configuration without it".to_owned(),
        ));
    }
    let source = source(args).map_err(Refused::Configuration)?;
    let resume = Resume::new(args.resume.clone(), &storage, args.repair);
    let from = resume.read().map_err(|error| match error {
        ResumeError::Other(_) => Refused::Configuration(error.to_string()),
        ResumeError::Unreadable(..) => Refused::Failed(error.to_string()),
    })?;
    Ok(Plan {
        storage,
        registry,
        source,
        resume,
        from,
    })
}

fn source(args: &CheckArgs) -> Result<Option<Arc<dyn Source>>, String> {
    let Some(url) = &args.from else {
        return Ok(None);
    };
    let login = match &args.user {
        Some(user) => Some((user.clone(), password(args)?)),
        None => None,
    };
    let authority = match &args.from_ca {
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        ),
        None => None,
    };
    let upstream = Upstream::new(url, login, authority.as_deref());
    let upstream = upstream.map_err(|error| error.to_string())?;
    Ok(Some(Arc::new(upstream)))
}

fn password(args: &CheckArgs) -> Result<Password, String> {
    let asked = if args.password_stdin {
        ask::stdin()
    } else if let Some(password) = variable(PASSWORD) {
        return Password::new(password).map_err(|error| format!("{PASSWORD}: {error}"));
    } else {
        ask::once("give it in WHARF_FROM_PASSWORD, or with --password-stdin")
    };
    asked.map_err(|error| error.to_string())
}

fn check(args: &CheckArgs, plan: Plan) -> Result<u8, Refused> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Refused::Failed(error.to_string()))?;
    runtime.block_on(check_store(args, plan))
}

async fn check_store(args: &CheckArgs, plan: Plan) -> Result<u8, Refused> {
    // Without a repair nothing is written, not even to try the storage out.
    let opened = open(&plan.storage, !args.repair).await;
    let opened = opened.map_err(|error| Refused::Failed(error.to_string()))?;
    let stop = interrupt::follow();
    let options = Options {
        jobs: jobs(args, &plan.storage),
        rate: args.rate,
        repair: args.repair,
        source: plan.source,
        survey: match &plan.storage {
            Settings::Files(files) => Some(files::Survey::new(&files.root)),
            Settings::Object(_) => None,
        },
        stop,
        ..Options::default()
    };
    let begun = Instant::now();
    let resumed = plan.from.blob.is_some() || plan.from.blobs_done;
    let bar = bar();
    let teller = Arc::new(Teller::new(args.json, plan.resume.clone(), bar.clone()));
    let registry = Registry::new(opened.store, plan.registry);
    let checker = Checker::new(registry, options, Arc::clone(&teller) as Arc<dyn Observer>);
    let shown = show(Reading::new(checker.meter()), bar, !args.json);
    let ended = checker.run(plan.from).await;
    shown.end().await;
    let took = begun.elapsed();
    match ended {
        Ok(report) => end(args, &report, took, resumed, &plan.resume),
        Err(failure) => {
            let kept = plan.resume.write(&failure.reached);
            Err(Refused::Failed(format!("{failure}{}", kept.advice())))
        }
    }
}

/// Tells what came of it, and how the command ends.
fn end(
    args: &CheckArgs,
    report: &Report,
    took: Duration,
    resumed: bool,
    resume: &Resume,
) -> Result<u8, Refused> {
    let mut advice = String::new();
    if report.complete {
        resume.remove();
    } else {
        advice = resume.write(&report.reached).advice();
    }
    let text = if args.json {
        report::as_json(report, took)
    } else {
        report::summary(report, took, resumed, args.repair)
    };
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").is_err() {
        // Whoever reads has gone away.
        return Ok(1);
    }
    if !report.complete {
        eprintln!("wharf: interrupted{advice}");
        return Ok(INTERRUPTED);
    }
    Ok(if report.reached.findings.is_empty() {
        0
    } else {
        FOUND_PROBLEMS
    })
}

fn jobs(args: &CheckArgs, storage: &Settings) -> usize {
    match (args.jobs, storage) {
        (Some(jobs), _) => usize::from(jobs),
        (None, Settings::Object(_)) => BUCKET_JOBS,
        (None, Settings::Files(_)) => std::thread::available_parallelism().map_or(2, usize::from),
    }
}
