//! `garbage-collect`: registry:2's command with its flags and its lines, for
//! scripts that have it. Collects at once, without a grace. What it would do is
//! looked at and printed first, then it is done.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, BufWriter, Stdout, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::CONFIGURATION;
use super::config::{found, variable};
use super::interrupt;
use super::store::Place;
use crate::app::storage::{open, patience};
use crate::oci::{Digest, RepositoryName};
use crate::registry::gc::{Collector, Observer, Options};
use crate::registry::{Registry, retention};

/// Remove what nothing needs any more at once, as registry:2's command does
#[derive(Debug, Args)]
#[command(
    after_help = "Without a grace: what a push has sent and its manifest doesn't name yet is sent again. `wharf gc` has one.\nExit codes: 0 done, 1 failed, 2 wrong usage, 78 the configuration can't be used."
)]
pub struct GarbageCollectArgs {
    /// registry:2's config.yml; else what REGISTRY_CONFIGURATION_PATH names
    config: Option<PathBuf>,
    /// Do everything except remove
    #[arg(long, short)]
    dry_run: bool,
    /// Remove the manifests that no tag names, with what only they need
    #[arg(long, short = 'm')]
    delete_untagged: bool,
    /// Print nothing
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(args: &GarbageCollectArgs) -> ExitCode {
    let Some(config) = found(args.config.as_deref(), variable) else {
        eprintln!(
            "wharf: write `garbage-collect CONFIG`, or name it in REGISTRY_CONFIGURATION_PATH"
        );
        return ExitCode::from(CONFIGURATION);
    };
    let place = match Place::configured(&config) {
        Ok(place) => place,
        Err(message) => {
            eprintln!("wharf: {message}");
            return ExitCode::from(CONFIGURATION);
        }
    };
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(collect(args, place)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // registry:2's words.
            eprintln!("failed to garbage collect: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn collect(args: &GarbageCollectArgs, mut place: Place) -> Result<(), String> {
    // Whoever follows registry:2's manual has made it read-only for this.
    place.registry.read_only = false;
    let batch = patience(&place.storage);
    let opened = open(&place.storage, args.dry_run).await.map_err(text)?;
    let work = Work {
        registry: Registry::new(opened.store, place.registry),
        batch,
        stop: interrupt::follow(),
    };
    let untagged = match args.delete_untagged {
        true => work.untagged(true).await?,
        false => HashMap::new(),
    };
    work.print(untagged, args.quiet).await?;
    if args.dry_run {
        return Ok(());
    }
    if args.delete_untagged {
        work.untagged(false).await?;
    }
    let collector = Collector::new(work.registry.clone(), work.options(), Arc::new(()));
    collector.run().await.map(drop).map_err(text)
}

/// What is worked on.
struct Work {
    registry: Registry,
    batch: Duration,
    stop: CancellationToken,
}

impl Work {
    fn options(&self) -> Options {
        Options {
            grace: Duration::ZERO,
            dead_after: self.registry.settings().gc.dead_after,
            // One repository after another, in order.
            jobs: 1,
            stop: self.stop.clone(),
            ..Options::default()
        }
    }

    /// Removes manifests without a tag, or tells which would go.
    async fn untagged(
        &self,
        dry_run: bool,
    ) -> Result<HashMap<RepositoryName, HashSet<Digest>>, String> {
        let planned = Planned::default();
        let options = retention::Options {
            dry_run,
            batch: self.batch,
            stop: self.stop.clone(),
            ..retention::Options::default()
        };
        let removed = self
            .registry
            .remove_untagged(Duration::ZERO, &options, &planned);
        removed.await.map_err(text)?;
        match locked(&planned.failed).take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut *locked(&planned.manifests))),
        }
    }

    /// Tells what a collection would do once these have gone.
    async fn print(
        &self,
        untagged: HashMap<RepositoryName, HashSet<Digest>>,
        quiet: bool,
    ) -> Result<(), String> {
        let untagged = Arc::new(untagged);
        let printer = Arc::new(Printer::new(Arc::clone(&untagged), quiet));
        let options = Options {
            dry_run: true,
            without: untagged,
            ..self.options()
        };
        let observer = Arc::clone(&printer) as Arc<dyn Observer>;
        let collector = Collector::new(self.registry.clone(), options, observer);
        let report = collector.run().await.map_err(text)?;
        printer.end(report.needed);
        Ok(())
    }
}

/// Hears which manifests go.
#[derive(Default)]
struct Planned {
    manifests: Mutex<HashMap<RepositoryName, HashSet<Digest>>>,
    /// The first that went wrong.
    failed: Mutex<Option<String>>,
}

impl retention::Observer for Planned {
    fn planned(&self, plan: &retention::Plan) {
        let digests = plan.manifests.iter().map(|one| one.digest.clone());
        locked(&self.manifests).insert(plan.repository.clone(), digests.collect());
    }

    fn failed(&self, repository: &RepositoryName, why: &retention::Failure) {
        locked(&self.failed).get_or_insert_with(|| format!("{repository}: {why}"));
    }
}

/// Prints registry:2's lines (`registry/storage/garbagecollect.go`).
struct Printer {
    /// The manifests that go before.
    untagged: Arc<HashMap<RepositoryName, HashSet<Digest>>>,
    quiet: bool,
    state: Mutex<Printing>,
}

struct Printing {
    out: BufWriter<Stdout>,
    /// Of the repository that is being read: those that aren't printed yet.
    going: BTreeSet<String>,
    /// They are printed behind their number.
    blobs: Vec<Digest>,
}

impl Printer {
    fn new(untagged: Arc<HashMap<RepositoryName, HashSet<Digest>>>, quiet: bool) -> Self {
        let state = Printing {
            out: BufWriter::new(io::stdout()),
            going: BTreeSet::new(),
            blobs: Vec::new(),
        };
        Self {
            untagged,
            quiet,
            state: Mutex::new(state),
        }
    }

    /// The lines behind the repositories. So many blobs are needed.
    fn end(&self, needed: u64) {
        let mut state = locked(&self.state);
        state.print_going(None, self.quiet);
        let blobs = std::mem::take(&mut state.blobs);
        if self.quiet {
            return;
        }
        let manifests: usize = self.untagged.values().map(HashSet::len).sum();
        state.line(&format!(
            "\n{needed} blobs marked, {} blobs and {manifests} manifests eligible for deletion",
            blobs.len()
        ));
        for digest in blobs {
            state.line(&format!("blob eligible for deletion: {digest}"));
        }
        // Whoever reads has gone away, perhaps.
        let _ = state.out.flush();
    }
}

impl Printing {
    fn line(&mut self, line: &str) {
        // What was asked for is done, whoever reads.
        let _ = writeln!(self.out, "{line}");
    }

    /// Those that go, up to where the reading is.
    fn print_going(&mut self, before: Option<&Digest>, quiet: bool) {
        let rest = match before {
            Some(digest) => self.going.split_off(&digest.to_string()),
            None => BTreeSet::new(),
        };
        for digest in std::mem::replace(&mut self.going, rest) {
            if !quiet {
                self.line(&format!("manifest eligible for deletion: {digest}"));
            }
        }
    }
}

impl Observer for Printer {
    fn repository(&self, name: &RepositoryName) {
        let mut state = locked(&self.state);
        state.print_going(None, self.quiet);
        let going = self.untagged.get(name).into_iter().flatten();
        state.going = going.map(ToString::to_string).collect();
        if !self.quiet {
            state.line(name.as_str());
        }
    }

    fn manifest(&self, repository: &RepositoryName, digest: &Digest) {
        let mut state = locked(&self.state);
        state.print_going(Some(digest), self.quiet);
        if !self.quiet {
            state.line(&format!("{repository}: marking manifest {digest} "));
        }
    }

    fn blob(&self, repository: &RepositoryName, digest: &Digest) {
        if !self.quiet {
            locked(&self.state).line(&format!("{repository}: marking blob {digest}"));
        }
    }

    fn eligible(&self, digest: &Digest, _size: u64) {
        let blobs = &mut locked(&self.state).blobs;
        // Of bytes under several names one line tells.
        if blobs.last() != Some(digest) {
            blobs.push(digest.clone());
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
