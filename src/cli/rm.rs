//! `wharf rm`: removes a tag, a manifest or a whole repository from the
//! storage, beside a running server too. Shows first what goes, and asks.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::store::StoreArgs;
use super::{CONFIGURATION, DENIED, NOT_FOUND};
use crate::app::storage::open;
use crate::oci::{Reference, RepositoryName};
use crate::registry::removal::{Plan, Removed, Target};
use crate::registry::usage::readable;
use crate::registry::{Error, Registry};

/// Lines of one list that people are shown.
const SHOWN: usize = 50;

/// Remove a tag, a manifest or a whole repository; the server may run meanwhile
#[derive(Debug, Args)]
#[command(
    after_help = "Works whatever storage.delete says: it is for who administers the storage. What is immutable stays.\nExit codes: 0 done, 1 failed or not confirmed, 2 wrong usage, 4 not found, 5 denied (immutable, or read-only), 78 the configuration can't be used."
)]
pub struct RmArgs {
    /// REPOSITORY:TAG removes the tag alone, REPOSITORY@DIGEST the manifest with
    /// its tags and referrers, REPOSITORY everything in it (not what is below it)
    #[arg(value_name = "REPOSITORY[:TAG|@DIGEST]", value_parser = what)]
    what: What,
    #[command(flatten)]
    store: StoreArgs,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// As JSON, for programs: what goes, and with --yes what went
    #[arg(long)]
    json: bool,
}

/// What the argument names.
#[derive(Debug, Clone)]
struct What {
    name: RepositoryName,
    target: Target,
}

/// How the command ends, and what it says for that.
struct Refused(u8, String);

/// Runs the command.
pub fn run(args: RmArgs) -> ExitCode {
    match remove(&args) {
        Ok(code) => code,
        Err(Refused(code, message)) => {
            eprintln!("wharf: {message}");
            ExitCode::from(code)
        }
    }
}

fn what(text: &str) -> Result<What, String> {
    let parsed = |name: &str| -> Result<RepositoryName, String> {
        name.parse()
            .map_err(|error: crate::oci::InvalidName| error.to_string())
    };
    if let Some((name, digest)) = text.split_once('@') {
        let digest = digest
            .parse()
            .map_err(|error: crate::oci::InvalidDigest| error.to_string())?;
        return Ok(What {
            name: parsed(name)?,
            target: Target::Manifest(digest),
        });
    }
    match text.split_once(':') {
        Some((name, tag)) => Ok(What {
            name: parsed(name)?,
            target: Target::Tag(
                tag.parse()
                    .map_err(|error: crate::oci::InvalidTag| error.to_string())?,
            ),
        }),
        None => Ok(What {
            name: parsed(text)?,
            target: Target::Repository,
        }),
    }
}

fn remove(args: &RmArgs) -> Result<ExitCode, Refused> {
    let place = args.store.place();
    let place = place.map_err(|message| Refused(CONFIGURATION, message))?;
    let failed = |error: &dyn std::fmt::Display| Refused(1, error.to_string());
    if place.registry.read_only {
        return Err(Refused(
            DENIED,
            "storage.maintenance.readonly is on, so nothing may be removed; give a configuration without it".to_owned(),
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    runtime.block_on(async {
        let opened = open(&place.storage, false).await;
        let opened = opened.map_err(|error| failed(&error))?;
        let registry = Registry::new(opened.store, place.registry);
        let plan = plan(&registry, args).await?;
        if let Some(kept) = plan.kept.first() {
            return Err(Refused(
                DENIED,
                format!(
                    "the tag {} is immutable ({}), so nothing was removed: change the rule first, if it really is to go",
                    kept.tag, kept.rule
                ),
            ));
        }
        if !args.json {
            say(&as_text(&plan));
        }
        if !confirmed(args, &plan)? {
            return Ok(ExitCode::FAILURE);
        }
        let removed = registry.remove(&plan).await.map_err(refused)?;
        if args.json {
            say(&as_json(&plan, Some(&removed)).to_string());
        } else {
            say(&done(&removed));
        }
        if removed.pushed_to || !removed.spared.is_empty() || !removed.needed.is_empty() {
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn plan(registry: &Registry, args: &RmArgs) -> Result<Plan, Refused> {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(250));
    let planned = registry
        .plan_removal(&args.what.name, args.what.target.clone(), &|seen| {
            bar.set_message(format!(
                "what else needs it: {} repositories, {} manifests read",
                seen.repositories, seen.manifests
            ));
        })
        .await;
    bar.finish_and_clear();
    planned.map_err(refused)
}

fn refused(error: Error) -> Refused {
    match error {
        Error::NameUnknown(_) => Refused(NOT_FOUND, error.to_string()),
        Error::ManifestUnknown(Reference::Tag(tag)) => Refused(
            NOT_FOUND,
            format!("the tag {tag} is not in this repository"),
        ),
        Error::ManifestUnknown(_) => Refused(NOT_FOUND, error.to_string()),
        Error::ReadOnly => Refused(DENIED, error.to_string()),
        error => Refused(1, error.to_string()),
    }
}

/// Whether it may be done.
fn confirmed(args: &RmArgs, plan: &Plan) -> Result<bool, Refused> {
    if args.yes {
        return Ok(true);
    }
    if args.json {
        say(&as_json(plan, None).to_string());
    }
    if args.json || !io::stdin().is_terminal() {
        return Err(Refused(
            1,
            "nothing was removed: say --yes to remove it".to_owned(),
        ));
    }
    eprint!("Remove this? [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    let yes = read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if !yes {
        eprintln!("wharf: nothing was removed");
    }
    Ok(yes)
}

fn as_text(plan: &Plan) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut list = |title: &str, all: Vec<String>| {
        if all.is_empty() {
            return;
        }
        lines.push(format!("{title}:"));
        let more = all.len().saturating_sub(SHOWN);
        lines.extend(all.into_iter().take(SHOWN).map(|one| format!("  {one}")));
        if more > 0 {
            lines.push(format!("  … and {more} more"));
        }
    };
    let repository = &plan.repository;
    list(
        &format!("tags of {repository} that go"),
        plan.tags
            .iter()
            .map(|(tag, digest)| format!("{tag}  {digest}"))
            .collect(),
    );
    list(
        &format!("manifests of {repository} that go"),
        plan.manifests
            .iter()
            .map(|going| match &going.referrer_of {
                Some(subject) => format!("{}  refers to {subject}", going.digest),
                None => going.digest.to_string(),
            })
            .collect(),
    );
    list(
        "manifests that stay",
        plan.stays
            .iter()
            .map(|staying| format!("{}  {}", staying.digest, staying.why))
            .collect(),
    );
    if plan.target == Target::Repository {
        lines.push(format!(
            "{repository} itself goes, with links to {} blobs and {} upload sessions; repositories below it stay",
            plan.blobs.len(),
            plan.uploads
        ));
    }
    let mut text = lines.join("\n");
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\nfreed by the next collection (`wharf gc`): {}",
        readable(plan.freed)
    );
    if plan.unreadable > 0 {
        let _ = write!(
            text,
            ", or less: {} manifests can't be read (`wharf check` names them), and a collection stops at them",
            plan.unreadable
        );
    }
    text
}

fn done(removed: &Removed) -> String {
    let mut text = format!(
        "removed: {} tags, {} manifests, {} links to blobs, {} upload sessions",
        removed.tags, removed.manifests, removed.blobs, removed.uploads
    );
    for tag in &removed.spared {
        let _ = write!(
            text,
            "\nthe tag {tag} stays: it was moved meanwhile; run the command again if it is to go, too"
        );
    }
    for digest in &removed.needed {
        let _ = write!(
            text,
            "\n{digest} stays: a push needs it that was under way; run the command again if it is to go all the same"
        );
    }
    if removed.pushed_to {
        text.push_str(
            "\nthe repository stays: somebody pushes to it; run the command again once that has ended",
        );
    }
    text
}

fn as_json(plan: &Plan, removed: Option<&Removed>) -> Value {
    let manifests: Vec<Value> = plan
        .manifests
        .iter()
        .map(|going| {
            json!({
                "digest": going.digest.to_string(),
                "size": going.size,
                "referrerOf": going.referrer_of.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    let stays: Vec<Value> = plan
        .stays
        .iter()
        .map(|staying| json!({"digest": staying.digest.to_string(), "why": staying.why}))
        .collect();
    let tags: Vec<Value> = plan
        .tags
        .iter()
        .map(|(tag, digest)| json!({"tag": tag.to_string(), "digest": digest.to_string()}))
        .collect();
    json!({
        "repository": plan.repository.as_str(),
        "tags": tags,
        "manifests": manifests,
        "stays": stays,
        "blobs": plan.blobs.len(),
        "uploads": plan.uploads,
        "freed": plan.freed,
        "unreadable": plan.unreadable,
        "removed": removed.map(|removed| json!({
            "tags": removed.tags,
            "manifests": removed.manifests,
            "blobs": removed.blobs,
            "uploads": removed.uploads,
            "spared": removed.spared.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "needed": removed.needed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "pushedTo": removed.pushed_to,
        })),
    })
}

fn say(text: &str) {
    // Whoever reads has gone away, perhaps; what was asked for is done all the same.
    let _ = writeln!(io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_told_apart() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(what("team/app").unwrap().target, Target::Repository);
        let tag = what("team/app:v1").unwrap();
        assert_eq!(tag.target, Target::Tag("v1".parse().unwrap()));
        assert_eq!(tag.name.as_str(), "team/app");
        let manifest = what(&format!("team/app@{digest}")).unwrap();
        assert_eq!(manifest.target, Target::Manifest(digest.parse().unwrap()));
        for wrong in ["", "Team/app", "team/app:", "team/app@v1", "a:b:c", "a/:v1"] {
            assert!(what(wrong).is_err(), "{wrong}");
        }
    }
}
