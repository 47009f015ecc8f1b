//! `wharf gc`: removes what nothing needs any more, beside running servers too;
//! before it, manifests without a tag where that was asked for.

mod report;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::CONFIGURATION;
use super::interrupt::{self, INTERRUPTED};
use super::progress::{bar, show};
use super::store::{Place, StoreArgs};
use crate::app::storage::{open, patience};
use crate::config;
use crate::registry::gc::{Collector, Failure, Observer, Options};
use crate::registry::{Registry, retention};
use report::{Collecting, Ending, Heard, Kept};

/// Another collection is running: try again later (`EX_TEMPFAIL` of sysexits.h).
const BUSY: u8 = 75;

/// Remove blobs and manifests that nothing needs any more; the server may run meanwhile
#[derive(Debug, Args)]
#[command(
    after_help = "An AGE is a number with a unit, such as 90m, 12h or 30d.\nExit codes: 0 done, 1 failed, 2 wrong usage, 75 another collection is running, 78 the configuration can't be used, 130 interrupted."
)]
pub struct GcArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Only tell what would be removed
    #[arg(long)]
    dry_run: bool,
    /// First remove the manifests that no tag names, with what only they need; those
    /// older than AGE; without one, than the grace
    #[arg(long, value_name = "AGE", num_args = 0..=1, require_equals = true, value_parser = config::age)]
    untagged: Option<Option<Duration>>,
    /// Leave what was pushed within AGE, since a push may be about to need it; 0s
    /// for nothing; as in the configuration (gc.grace), 24h without
    #[arg(long, value_name = "AGE", value_parser = config::age)]
    grace: Option<Duration>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// Say nothing but what went wrong
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

/// How the command ends, and what it says for that.
struct Refused(u8, String);

/// Runs the command.
pub fn run(args: GcArgs) -> ExitCode {
    match collect(&args) {
        Ok(code) => ExitCode::from(code),
        Err(Refused(code, message)) => {
            eprintln!("wharf: {message}");
            ExitCode::from(code)
        }
    }
}

fn collect(args: &GcArgs) -> Result<u8, Refused> {
    let place = args.store.place();
    let place = place.map_err(|message| Refused(CONFIGURATION, message))?;
    if place.registry.read_only && !args.dry_run {
        return Err(Refused(
            CONFIGURATION,
            "storage.maintenance.readonly is on, so nothing may be removed; add --dry-run, or give a configuration without it".to_owned(),
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(collect_from(args, place))
}

async fn collect_from(args: &GcArgs, place: Place) -> Result<u8, Refused> {
    let batch = patience(&place.storage);
    let opened = open(&place.storage, args.dry_run).await.map_err(failed)?;
    let registry = Registry::new(opened.store, place.registry);
    let stop = interrupt::follow();
    let begun = Instant::now();
    let settings = registry.settings().gc;
    let grace = args.grace.unwrap_or(settings.grace);

    let mut kept = Kept::default();
    if let Some(age) = args.untagged {
        let options = retention::Options {
            dry_run: args.dry_run,
            batch,
            stop: stop.clone(),
            ..retention::Options::default()
        };
        let age = age.unwrap_or(grace);
        let removed = registry.remove_untagged(age, &options, &kept).await;
        kept.report = Some(removed.map_err(failed)?);
    }

    let heard = Arc::new(Heard::default());
    let options = Options {
        grace,
        dead_after: settings.dead_after,
        dry_run: args.dry_run,
        without: Arc::new(kept.planned()),
        stop: stop.clone(),
        ..Options::default()
    };
    let observer = Arc::clone(&heard) as Arc<dyn Observer>;
    let collector = Collector::new(registry, options, observer);
    let bar = bar();
    let lines = !args.json && !args.quiet;
    let shown = (!args.quiet).then(|| show(Collecting(collector.meter()), bar, lines));
    let ended = if stop.is_cancelled() {
        Err(Failure::Stopped)
    } else {
        collector.run().await
    };
    if let Some(shown) = shown {
        shown.end().await;
    }
    let ending = Ending {
        dry_run: args.dry_run,
        grace,
        took: begun.elapsed(),
        untagged: kept,
        dangling: heard.dangling(),
        counts: collector.meter().counts(),
        outcome: ended,
    };
    Ok(tell(args, &ending))
}

/// Says what came of it, and how the command ends.
fn tell(args: &GcArgs, ending: &Ending) -> u8 {
    let text = if args.json {
        ending.as_json().to_string()
    } else {
        ending.as_text()
    };
    let mut unheard = false;
    if !args.quiet && !text.is_empty() {
        // Whoever reads has gone away, perhaps.
        unheard = writeln!(io::stdout().lock(), "{text}").is_err();
    }
    for (repository, why) in ending.untagged.failed() {
        eprintln!("wharf: {repository}: {why}");
    }
    match &ending.outcome {
        Ok(_) => u8::from(unheard || !ending.untagged.failed().is_empty()),
        Err(failure) => {
            eprintln!("wharf: {failure}");
            match failure {
                Failure::Busy => BUSY,
                Failure::ReadOnly => CONFIGURATION,
                Failure::Stopped => INTERRUPTED,
                _ => 1,
            }
        }
    }
}

fn failed(error: impl ToString) -> Refused {
    Refused(1, error.to_string())
}
