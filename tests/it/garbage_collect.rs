//! `garbage-collect` beside registry:2's own: on copies of one volume both print
//! the same lines and leave the same files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::content::{self, IMAGE, INDEX};
use crate::gc_command::{age, files};
use crate::process::{CONFIGURATION, binary, ended_with, wharf};
use crate::repo::Repo;
use crate::support::{Finished, Needs, Program, Registry, run};

fn distribution_is_there() -> bool {
    Needs::of("docker-registry")
        .program("docker-registry", "apt install docker-registry")
        .met()
}

/// A volume, and the configuration that names it.
struct Volume(TempDir);

impl Volume {
    /// A copy of a server's volume.
    fn copy(server: &Registry) -> Volume {
        let dir = TempDir::new().unwrap();
        run("cp")
            .args(["-a", server.data().to_str().unwrap()])
            .arg(dir.path().join("data"))
            .ok();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n",
            dir.path().join("data").display()
        );
        fs::write(dir.path().join("config.yml"), config).unwrap();
        Volume(dir)
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Everything that is stored, without what each keeps for itself.
    fn blobs(&self) -> BTreeSet<PathBuf> {
        let blobs = self.dir().join("data/docker/registry/v2/blobs");
        let files = files(&blobs).into_keys();
        files
            .map(|path| path.strip_prefix(&blobs).unwrap().to_owned())
            .collect()
    }

    /// The manifests that repositories hold.
    fn revisions(&self) -> BTreeSet<PathBuf> {
        let root = self.dir().join("data/docker/registry/v2/repositories");
        let files = files(&root).into_keys();
        files
            .filter(|path| path.to_str().unwrap().contains("_manifests/revisions/"))
            .map(|path| path.strip_prefix(&root).unwrap().to_owned())
            .collect()
    }

    fn ours(&self, flags: &[&str]) -> Finished {
        let args = ["garbage-collect", "config.yml"].iter().chain(flags);
        wharf(self.dir(), args.copied()).output()
    }

    fn theirs(&self, flags: &[&str]) -> Finished {
        run("docker-registry")
            .args(["garbage-collect", "config.yml"])
            .args(flags)
            .dir(self.dir())
            .output()
    }
}

/// Its lines; those behind the numbers stand in no order in registry:2's output.
fn lines(finished: &Finished) -> (Vec<String>, BTreeSet<String>) {
    let mut lines: Vec<String> = finished.stdout.lines().map(str::to_owned).collect();
    let numbers = lines
        .iter()
        .position(|line| line.contains(" blobs marked, "))
        .unwrap_or_else(|| panic!("no numbers: {finished}"));
    let last = lines.split_off(numbers + 1);
    (lines, last.into_iter().collect())
}

/// Images that share layers, in repositories of either server.
fn filled(program: Program) -> Registry {
    let mut server = Registry::with().program(program).start();
    let app = Repo::on(&server, "app");
    app.tag("v1", "one");
    app.tag("latest", "two");
    // Loses its tag.
    app.tag("v1", "three");
    let api = Repo::on(&server, "team/api");
    api.tag("v1", "two");
    let gone = api.tag("gone", "four");
    api.delete(&format!("manifests/{gone}")).expect(202);
    api.push(b"no manifest needs this");
    let list = Repo::on(&server, "team/list");
    let child = list.image("five");
    list.put("child", IMAGE, &child).expect(201);
    let index = content::bytes(&content::index(&[(IMAGE, &child)]));
    list.put("latest", INDEX, &index).expect(201);
    server.stop();
    age(server.data(), Duration::from_secs(3600));
    server
}

#[test]
fn its_lines_and_what_it_leaves_are_those_of_registry_2() {
    if !distribution_is_there() {
        return;
    }
    for program in [Program::Distribution, Program::Wharf] {
        let server = filled(program);
        for flags in [
            ["--dry-run"].as_slice(),
            &[],
            &["-d", "-m"],
            &["--delete-untagged"],
        ] {
            let (our, their) = (Volume::copy(&server), Volume::copy(&server));
            let (ours, theirs) = (our.ours(flags), their.theirs(flags));
            ended_with(&theirs, 0);
            ended_with(&ours, 0);
            let what = format!("{flags:?} on a volume of {program:?}: {ours}{theirs}");
            assert_eq!(lines(&ours), lines(&theirs), "{what}");
            assert_eq!(our.blobs(), their.blobs(), "{what}");
            assert_eq!(our.revisions(), their.revisions(), "{what}");
            let removed = !flags
                .iter()
                .any(|flag| flag.starts_with("-d") || *flag == "--dry-run");
            let before = Volume::copy(&server).blobs().len();
            assert_eq!(our.blobs().len() < before, removed, "{what}");
        }
    }
}

#[test]
fn children_of_an_index_stay_unlike_with_registry_2() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "list");
    let child = repo.image("a child without a tag");
    let digest = content::sha256(&child);
    repo.put(&digest, IMAGE, &child).expect(201);
    let index = content::bytes(&content::index(&[(IMAGE, &child)]));
    repo.put("latest", INDEX, &index).expect(201);
    server.stop();
    age(server.data(), Duration::from_secs(3600));
    let volume = Volume::copy(&server);
    let before = volume.blobs();
    let told = volume.ours(&["-m"]);
    ended_with(&told, 0);
    assert!(
        told.stdout
            .contains(", 0 blobs and 0 manifests eligible for deletion"),
        "{told}"
    );
    assert_eq!(volume.blobs(), before);
}

#[test]
fn a_registry_that_was_made_read_only_for_it_is_collected() {
    let server = filled(Program::Wharf);
    let volume = Volume::copy(&server);
    let before = volume.blobs().len();
    // As registry:2's manual has it, through its name and its variable.
    let registry = volume.dir().join("registry");
    std::os::unix::fs::symlink(binary(), &registry).unwrap();
    let quiet = run(registry)
        .args(["garbage-collect", "-q"])
        .env(
            "REGISTRY_CONFIGURATION_PATH",
            volume.dir().join("config.yml"),
        )
        .env("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
        .ok();
    assert_eq!(quiet.text(), "");
    assert!(volume.blobs().len() < before);
}

#[test]
fn what_stops_it_is_said_in_registry_2s_words() {
    let server = filled(Program::Wharf);
    let volume = Volume::copy(&server);
    let link = volume.revisions().into_iter().next().unwrap();
    let digest = link.parent().unwrap().file_name().unwrap().to_owned();
    let digest = digest.into_string().unwrap();
    let path = format!(
        "data/docker/registry/v2/blobs/sha256/{}/{digest}/data",
        &digest[..2]
    );
    fs::write(volume.dir().join(path), "torn").unwrap();
    let before = volume.blobs();
    for flags in [&[][..], &["-m"]] {
        let failed = volume.ours(flags);
        ended_with(&failed, 1);
        assert!(
            failed.stderr.starts_with("failed to garbage collect: "),
            "{failed}"
        );
        assert!(failed.stderr.contains(&digest), "{failed}");
        assert_eq!(volume.blobs(), before);
    }
    let dir = TempDir::new().unwrap();
    let none = wharf(dir.path(), ["garbage-collect"]).output();
    ended_with(&none, CONFIGURATION);
    assert!(none.stderr.contains("garbage-collect CONFIG"), "{none}");
}
