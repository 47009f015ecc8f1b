//! Retention from outside: what `wharf retention plan` shows is what goes,
//! pulls are known after restarts, and the server applies rules by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::check::{clean, of_repository};
use crate::content::{self, IMAGE, INDEX, bytes, sha256};
use crate::process::wharf;
use crate::referrers::refer;
use crate::repo::Repo;
use crate::support::{Finished, Registry, eventually};

const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const WOULD_GO: i32 = 3;

fn serving(rules: &str) -> Registry {
    Registry::with()
        .section(&format!("retention: {{interval: 24h, rules: [{rules}]}}"))
        .start()
}

/// `wharf retention` of a server's configuration.
fn retention(server: &Registry, command: &str, flags: &[&str]) -> Finished {
    let args = ["retention", command, "config.yml"];
    wharf(server.dir(), args.iter().chain(flags).copied())
        .limit(Duration::from_secs(120))
        .output()
}

/// `plan --json`, and its exit code.
pub fn planned(server: &Registry) -> (i32, Value) {
    let finished = retention(server, "plan", &["--json"]);
    let code = finished.status.and_then(|status| status.code());
    let json = serde_json::from_str(&finished.stdout);
    let json = json.unwrap_or_else(|error| panic!("no JSON ({error}): {finished}"));
    (code.unwrap(), json)
}

/// What the plan says of a tag.
pub fn of_tag<'a>(plan: &'a Value, repo: &Repo, tag: &str) -> &'a Value {
    let repositories = plan["repositories"].as_array().unwrap().iter();
    let mut tags = repositories
        .filter(|one| one["repository"] == repo.name())
        .flat_map(|one| one["tags"].as_array().unwrap());
    let found = tags.find(|one| one["tag"] == tag);
    found.unwrap_or_else(|| panic!("no {tag} in {plan:#}"))
}

/// Makes links look as old as that.
fn age(server: &Registry, repo: &Repo, path: &str, days: u32) {
    for link in links(&of_repository(server, repo, path)) {
        let file = fs::File::options().write(true).open(link).unwrap();
        file.set_modified(SystemTime::now() - DAY * days).unwrap();
    }
}

fn links(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(links(&path));
        } else if path.ends_with("link") {
            found.push(path);
        }
    }
    found
}

#[test]
fn what_the_plan_shows_is_what_goes() {
    let server = serving(
        "{repositories: 'team/**', keep: {newest: 2, order: version, tags: [keep-*]}, untagged: 7d}",
    );
    let repo = Repo::on(&server, "team/app");
    let other = Repo::on(&server, "elsewhere/app");
    for tag in ["1.9", "1.10", "1.10.0-rc1", "keep-me", "latest"] {
        repo.tag(tag, tag);
        other.tag(tag, tag);
    }
    let (arm, amd) = (repo.image("arm"), repo.image("amd"));
    for child in [&arm, &amd] {
        repo.put(&sha256(child), IMAGE, child).expect(201);
    }
    let index = bytes(&content::index(&[(IMAGE, &arm), (IMAGE, &amd)]));
    repo.put("1.8", INDEX, &index).expect(201);
    let signature = refer(&repo, IMAGE, content::image(&[]), &sha256(&index));
    let kept = repo.tag("1.11", "signed and kept");
    let kept_signature = refer(&repo, IMAGE, content::image(&[]), &kept);
    let untagged = repo.image("without a tag");
    repo.put(&sha256(&untagged), IMAGE, &untagged).expect(201);
    let young = repo.image("without a tag, and young");
    age(&server, &repo, "_manifests", 100);
    repo.put(&sha256(&young), IMAGE, &young).expect(201);

    let (code, plan) = planned(&server);
    assert_eq!(code, WOULD_GO, "{plan:#}");
    assert_eq!((&plan["tags"], &plan["failed"]), (&json!(4), &json!(0)));
    let going = ["1.8", "1.9", "1.10.0-rc1", "latest"];
    for tag in repo.tags() {
        let told = of_tag(&plan, &repo, &tag);
        assert_eq!(told["goes"], json!(going.contains(&tag.as_str())), "{told}");
    }
    let told = of_tag(&plan, &repo, "1.9");
    assert_eq!(told["pulled"], json!(null));
    assert!(told["pushed"].as_str().unwrap().starts_with("20"), "{told}");
    let why = told["why"].as_str().unwrap();
    assert!(why.contains("not one of the newest 2 by version"), "{why}");
    let rule = plan["repositories"][0]["rule"].as_str().unwrap();
    assert!(rule.contains("config.yml:"), "{rule}");
    // For people: the same.
    let text = retention(&server, "plan", &[]).stdout;
    for word in [
        "team/app (rule at",
        "goes  1.9",
        "4 tags and 8 manifests would go",
    ] {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
    assert!(!text.contains("keep-me"), "{text}");
    let all = retention(&server, "plan", &["--all"]).stdout;
    assert!(
        all.contains("stays keep-me") && all.contains("`keep-*`"),
        "{all}"
    );

    // Nobody agrees, so nothing goes.
    let refused = retention(&server, "apply", &[]);
    assert_eq!(refused.status.and_then(|status| status.code()), Some(1));
    assert!(refused.stderr.contains("--yes"), "{refused}");
    assert_eq!(repo.tags().len(), 7);

    let done = retention(&server, "apply", &["--yes"]);
    assert!(done.success(), "{done}");
    assert!(
        done.stdout.contains("removed 4 tags and 8 manifests"),
        "{done}"
    );
    assert_eq!(repo.tags(), ["1.10", "1.11", "keep-me"]);
    for gone in [&index, &arm, &amd, &signature, &untagged] {
        repo.get(&format!("manifests/{}", sha256(gone))).expect(404);
    }
    for stays in [&kept_signature, &young] {
        repo.get(&format!("manifests/{}", sha256(stays)))
            .expect(200);
    }
    let list = repo.get(&format!("referrers/{kept}")).expect(200).json();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(other.tags().len(), 5);
    let (code, plan) = planned(&server);
    assert_eq!((code, &plan["tags"]), (0, &json!(0)), "{plan:#}");
    clean(&server);
}

#[test]
fn pulls_keep_tags_and_are_known_after_a_restart() {
    let mut server = serving("{repositories: '**', keep: {pulledwithin: 30d}}");
    let repo = Repo::on(&server, "pulled");
    let mut digests = Vec::new();
    for tag in [
        "by-tag",
        "by-digest",
        "asked-for",
        "never",
        "head-of-digest",
    ] {
        digests.push(repo.tag(tag, tag));
    }
    let child = repo.image("child");
    repo.put(&sha256(&child), IMAGE, &child).expect(201);
    let index = bytes(&content::index(&[(IMAGE, &child)]));
    repo.put("by-child", INDEX, &index).expect(201);
    age(&server, &repo, "_manifests", 100);
    let (_, plan) = planned(&server);
    assert_eq!(plan["tags"], json!(6));

    repo.get("manifests/by-tag").expect(200);
    repo.get(&format!("manifests/{}", digests[1])).expect(200);
    repo.head("manifests/asked-for").expect(200);
    repo.head(&format!("manifests/{}", digests[4])).expect(200);
    repo.get(&format!("manifests/{}", sha256(&child)))
        .expect(200);
    // Many pulls are one write, at the end.
    for _ in 0..20 {
        repo.get("manifests/by-tag").expect(200);
    }
    let records = || fs::read_dir(of_repository(&server, &repo, "_pulls"));
    assert!(records().is_err());
    assert!(server.stop().success());
    let records = fs::read_dir(of_repository(&server, &repo, "_pulls"));
    assert_eq!(records.unwrap().count(), 1);

    server.restart();
    // The restarted server has a record of its own, and both count.
    let repo = Repo::on(&server, "pulled");
    for tag in ["by-tag", "by-digest", "asked-for", "by-child"] {
        let told = planned(&server).1;
        let told = of_tag(&told, &repo, tag);
        assert_eq!(told["goes"], json!(false), "{told}");
        assert!(told["pulled"].is_string(), "{told}");
    }
    let (_, plan) = planned(&server);
    for tag in ["never", "head-of-digest"] {
        let told = of_tag(&plan, &repo, tag);
        assert_eq!(
            (&told["goes"], &told["pulled"]),
            (&json!(true), &json!(null))
        );
    }
    assert_eq!(plan["tags"], json!(2));
    repo.get("manifests/never").expect(200);
    server.stop();
    let records = fs::read_dir(of_repository(&server, &repo, "_pulls"));
    assert_eq!(records.unwrap().count(), 2);
    server.restart();
    let (_, plan) = planned(&server);
    assert_eq!(plan["tags"], json!(1), "{plan:#}");
    // Nobody else sees the records.
    let catalog = Repo::on(&server, "pulled");
    assert_eq!(catalog.tags().len(), 6);
    clean(&server);
}

#[test]
fn a_push_is_written_down_by_its_links() {
    let server = serving("{repositories: '**', keep: {pushedwithin: 30d}}");
    let repo = Repo::on(&server, "pushed");
    repo.tag("again", "the same bytes");
    repo.tag("not", "other bytes");
    age(&server, &repo, "_manifests", 100);
    assert_eq!(planned(&server).1["tags"], json!(2));
    repo.tag("again", "the same bytes");
    let (_, plan) = planned(&server);
    assert_eq!(plan["tags"], json!(1), "{plan:#}");
    assert_eq!(of_tag(&plan, &repo, "again")["goes"], json!(false));
    let manifests = plan["repositories"][0]["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 1, "{plan:#}");
}

#[test]
fn the_server_applies_the_rules_by_itself() {
    let server = Registry::with()
        .section("retention: {interval: 1s, rules: [{repositories: 'ci/*', keep: {newest: 1}}]}")
        .start();
    let repo = Repo::on(&server, "ci/app");
    let other = Repo::on(&server, "release");
    for tag in ["one", "two", "three"] {
        repo.tag(tag, tag);
        other.tag(tag, tag);
    }
    eventually("two tags gone", PATIENCE, || {
        (repo.tags() == ["three"]).then_some(())
    });
    assert_eq!(other.tags().len(), 3);
    repo.get("manifests/three").expect(200);
    eventually("a line in the log", PATIENCE, || {
        let log = server.log();
        let mut lines = log.lines();
        lines.find_map(|line| {
            let is_it = line.contains("retention removed") && line.contains("ci/app");
            is_it.then(|| line.to_owned())
        })
    });
    let log = server.log();
    let mut lines = log
        .lines()
        .filter(|line| line.contains("retention removed"));
    assert!(lines.all(|line| line.contains("ci/app")), "{log}");
    clean(&server);
}

#[test]
fn nothing_goes_from_a_registry_that_is_read_only_or_has_no_rules() {
    let server = Registry::start();
    let repo = Repo::on(&server, "kept");
    repo.tag("v1", "stays");
    let told = retention(&server, "plan", &[]);
    assert!(told.success(), "{told}");
    assert!(told.stderr.contains("everything stays"), "{told}");
    drop(server);

    let data = tempfile::TempDir::new().unwrap();
    let writing = Registry::with().data(data.path()).start();
    let repo = Repo::on(&writing, "kept");
    repo.tag("v1", "stays");
    age(&writing, &repo, "_manifests", 100);
    drop(writing);
    let mut server = Registry::with()
        .data(data.path())
        .env("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
        .section(
            "retention: {interval: 1s, rules: [{repositories: '**', keep: {pushedwithin: 1d}}]}",
        )
        .start();
    let repo = Repo::on(&server, "kept");
    repo.get("manifests/v1").expect(200);
    server.stop();
    assert!(!of_repository(&server, &repo, "_pulls").exists());
    server.restart();
    assert_eq!(Repo::on(&server, "kept").tags(), ["v1"]);
}
