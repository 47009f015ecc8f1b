//! `wharf usage`: what repositories hold, from the storage's records, beside a
//! running server too. Reads only.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::CONFIGURATION;
use super::store::StoreArgs;
use crate::app::storage::open;
use crate::oci::RepositoryName;
use crate::registry::usage::{RepositoryUsage, Sessions, Summary, readable};
use crate::registry::{Error, Registry};

/// Repositories of one look.
const AT_ONCE: usize = 10_000;

/// Say how much each repository holds, what waits for a collection, and which uploads are open
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 the storage can't be read, 2 wrong usage, 78 the configuration can't be used."
)]
pub struct UsageArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// As JSON, for programs: bytes, and repositories in the order of their names
    #[arg(long)]
    json: bool,
}

/// What is told.
struct Told {
    repositories: Vec<RepositoryUsage>,
    summary: Summary,
    sessions: Sessions,
}

/// Runs the command.
pub fn run(args: UsageArgs) -> ExitCode {
    let place = match args.store.place() {
        Ok(place) => place,
        Err(message) => {
            eprintln!("wharf: {message}");
            return ExitCode::from(CONFIGURATION);
        }
    };
    let told = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime.block_on(async {
                let opened = open(&place.storage, true).await;
                let opened = opened.map_err(|error| error.to_string())?;
                let registry = Registry::new(opened.store, place.registry);
                look(&registry).await.map_err(|error| error.to_string())
            })
        });
    match told {
        Ok(told) => {
            let text = if args.json {
                as_json(&told).to_string()
            } else {
                as_table(told)
            };
            let written = writeln!(io::stdout().lock(), "{text}");
            // Whoever reads has gone away, perhaps.
            written.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Err(message) => {
            eprintln!("wharf: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn look(registry: &Registry) -> Result<Told, Error> {
    let mut repositories: Vec<RepositoryUsage> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = registry
            .usage_page(after.as_deref(), AT_ONCE, &|_: &RepositoryName| true)
            .await?;
        repositories.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(Told {
        repositories,
        summary: registry.usage_summary().await?,
        // What servers know of them isn't all: some were left by others.
        sessions: registry.count_sessions().await?,
    })
}

fn as_json(told: &Told) -> Value {
    let repositories: Vec<Value> = told
        .repositories
        .iter()
        .map(|one| {
            json!({
                "name": one.name,
                "manifests": one.manifests,
                "tags": one.tags,
                "size": one.size(),
                "unique": one.unique,
                "shared": one.shared,
            })
        })
        .collect();
    json!({
        "measured": told.summary.measured_at(),
        "used": told.summary.used,
        "waiting": told.summary.waiting,
        "uploads": {"sessions": told.sessions.count, "bytes": told.sessions.bytes},
        "repositories": repositories,
    })
}

/// The largest first.
fn as_table(mut told: Told) -> String {
    told.repositories
        .sort_by(|one, other| (other.size(), &one.name).cmp(&(one.size(), &other.name)));
    let names = told.repositories.iter().map(|one| one.name.len());
    let wide = names.max().unwrap_or_default().max("REPOSITORY".len());
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:wide$}  {:>9}  {:>9}  {:>10}  {:>10}  {:>10}",
        "REPOSITORY", "MANIFESTS", "TAGS", "UNIQUE", "SHARED", "SIZE"
    );
    for one in &told.repositories {
        let _ = writeln!(
            text,
            "{:wide$}  {:>9}  {:>9}  {:>10}  {:>10}  {:>10}",
            one.name,
            one.manifests,
            one.tags,
            readable(one.unique),
            readable(one.shared),
            readable(one.size())
        );
    }
    let summary = &told.summary;
    let _ = write!(
        text,
        "\nin all: {} in {} repositories\nwaiting for collection: {}\nupload sessions: {}, {}\n",
        readable(summary.used),
        told.repositories.len(),
        readable(summary.waiting),
        told.sessions.count,
        readable(told.sessions.bytes),
    );
    let _ = match summary.measured_at() {
        Some(time) => write!(
            text,
            "measured by the collection of {time}, and what changed since"
        ),
        None => write!(
            text,
            "no collection has measured yet: this is only what was pushed and deleted since usage is counted (run `wharf gc`)"
        ),
    };
    text
}
