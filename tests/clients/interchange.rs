//! One volume, two servers: what registry:2 (Debian's docker-registry 2.8.2)
//! stored is served by wharf, and the other way round: digest by digest, with
//! tags, catalog and deletes; one after the other, and both at once.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::content::{self, Compression, Layout, TAG, digest_in};
use crate::support::{Manner, Needs, Program, Registry, run};

/// What a client sees of a registry: for each repository in the catalog, each
/// tag with its digest.
type Sight = BTreeMap<String, BTreeMap<String, String>>;

#[test]
fn images_pushed_through_registry_2_are_served_by_wharf() {
    if needs().met() {
        hand_over(Program::Distribution, Program::Wharf);
    }
}

#[test]
fn images_pushed_through_wharf_are_served_by_registry_2() {
    if needs().met() {
        hand_over(Program::Wharf, Program::Distribution);
    }
}

#[test]
fn both_serve_one_volume_at_once() {
    if !needs().met() {
        return;
    }
    let room = Room::new();
    let wharf = room.start(Program::Wharf);
    let reference = room.start(Program::Distribution);
    room.push(&wharf, "from/wharf", &room.single);
    room.push(&reference, "from/reference", &room.index);
    for server in [&wharf, &reference] {
        room.pull(server, "from/wharf", &room.single.digest);
        room.pull(server, "from/reference", &room.index.digest);
    }
    assert_eq!(sight(&wharf), sight(&reference));
    // Moved by one, seen by the other.
    room.push(&reference, "from/wharf", &room.other);
    assert_eq!(digest(&wharf, "from/wharf", TAG), room.other.digest);
    room.push(&wharf, "from/reference", &room.other);
    assert_eq!(digest(&reference, "from/reference", TAG), room.other.digest);
    assert_eq!(sight(&wharf), sight(&reference));
}

fn needs() -> Needs {
    Needs::of("docker-registry")
        .program("docker-registry", "apt install docker-registry")
        .program("skopeo", "apt install skopeo")
        .program("crane", "go install, as .ci/run does it")
}

/// `first` takes pushes and deletes and stops; `second` serves its volume,
/// takes pushes and deletes and stops; `first` comes back.
fn hand_over(first: Program, second: Program) {
    let room = Room::new();
    let mut before = room.start(first);
    room.push(&before, "team/single", &room.single);
    room.push(&before, "team/index", &room.index);
    room.push(&before, "team/single/nested", &room.other);
    room.push(&before, "team/moved", &room.single);
    room.push(&before, "team/moved", &room.other);
    crane(&before, &["tag", "team/moved:v1", "also"]);
    room.push(&before, "team/deleted", &room.single);
    room.push(&before, "team/kept", &room.single);
    delete(&before, "team/deleted", &room.single.digest);
    let seen = sight(&before);
    before.stop();

    let mut after = room.start(second);
    assert_eq!(sight(&after), seen, "{second:?} sees what {first:?} left");
    room.pull(&after, "team/single", &room.single.digest);
    room.pull(&after, "team/index", &room.index.digest);
    room.pull(&after, "team/single/nested", &room.other.digest);
    room.pull(&after, "team/moved", &room.other.digest);
    // A repository that lost its only image doesn't get it back through one
    // that keeps it.
    absent(&after, "team/deleted", &room.single.digest);
    room.pull(&after, "team/kept", &room.single.digest);

    room.push(&after, "team/new", &room.index);
    room.push(&after, "team/single", &room.other);
    delete(&after, "team/kept", &room.single.digest);
    let seen = sight(&after);
    after.stop();

    let back = room.start(first);
    assert_eq!(sight(&back), seen, "{first:?} sees what {second:?} left");
    room.pull(&back, "team/new", &room.index.digest);
    room.pull(&back, "team/single", &room.other.digest);
    absent(&back, "team/kept", &room.single.digest);
}

/// The volume, the images, and a place for pulls.
struct Room {
    dir: TempDir,
    single: Layout,
    other: Layout,
    index: Layout,
}

impl Room {
    fn new() -> Room {
        let dir = TempDir::with_prefix("wharf-volume-").expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        Room {
            single: content::image(&at("single"), Compression::None, 100_000),
            other: content::image(&at("other"), Compression::None, 50_000),
            index: content::index(&at("index")),
            dir,
        }
    }

    fn start(&self, program: Program) -> Registry {
        let volume = self.dir.path().join("volume");
        let setup = Registry::with().program(program).data(&volume);
        setup.start()
    }

    fn push(&self, registry: &Registry, repository: &str, layout: &Layout) {
        let from = format!("oci:{}:{TAG}", layout.dir.display());
        let to = format!("docker://{}/{repository}:{TAG}", registry.host());
        skopeo("dest", &from, &to);
        assert_eq!(digest(registry, repository, TAG), layout.digest);
    }

    /// skopeo checks each digest on its way.
    fn pull(&self, registry: &Registry, repository: &str, expected: &str) {
        let out = self.dir.path().join("pulled");
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir(&out).expect("a directory");
        let from = format!("docker://{}/{repository}:{TAG}", registry.host());
        skopeo("src", &from, &format!("oci:{}:{TAG}", out.display()));
        assert_eq!(digest_in(&out), expected, "{repository}");
        assert_whole(&out, expected);
    }
}

/// Every blob that a pull wrote has the digest that it is named after.
fn assert_whole(dir: &Path, manifest: &str) {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir.join("blobs/sha256")).expect("blobs") {
        let path = entry.expect("a blob").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let digest = content::sha256(&std::fs::read(&path).expect("a blob"));
        assert_eq!(digest, format!("sha256:{name}"));
        found.push(digest);
    }
    assert!(found.iter().any(|digest| digest == manifest));
}

fn skopeo(end: &str, from: &str, to: &str) {
    run("skopeo")
        .args(["copy", "--all", "--preserve-digests"])
        .arg(format!("--{end}-tls-verify=false"))
        .args([from, to])
        .ok();
}

/// crane, with the registry's name put before each reference.
fn crane(registry: &Registry, words: &[&str]) -> String {
    let words = words.iter().map(|word| match word.contains('/') {
        true => format!("{}/{word}", registry.host()),
        false => (*word).to_owned(),
    });
    run("crane").args(words).ok().stdout
}

fn digest(registry: &Registry, repository: &str, tag: &str) -> String {
    let said = crane(registry, &["digest", &format!("{repository}:{tag}")]);
    said.trim().to_owned()
}

fn delete(registry: &Registry, repository: &str, digest: &str) {
    crane(registry, &["delete", &format!("{repository}@{digest}")]);
}

fn absent(registry: &Registry, repository: &str, digest: &str) {
    let path = format!("/v2/{repository}/manifests/{digest}");
    let get = registry.request("GET", &path);
    let get = get.header("accept", "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(get.send().expect("an answer").status(), 404, "{path}");
}

/// The catalog, each repository's tags and their digests; a repository whose
/// tags are all gone counts as one without tags, whichever way it says so.
fn sight(registry: &Registry) -> Sight {
    let catalog = run("crane").args(["catalog", registry.host()]).ok().stdout;
    let mut sight = Sight::new();
    for repository in catalog.lines() {
        let path = format!("/v2/{repository}/tags/list");
        let answer = registry.request("GET", &path).send().expect("an answer");
        let list: Value = serde_json::from_str(&answer.text().expect("text")).expect("JSON");
        let tags = list["tags"].as_array().into_iter().flatten();
        let tags: BTreeMap<String, String> = tags
            .map(|tag| tag.as_str().expect("a tag").to_owned())
            .filter(|tag| !is_left_over(registry, repository, tag))
            .map(|tag| (tag.clone(), digest(registry, repository, &tag)))
            .collect();
        // Objects make directories, so there a repository goes with its last
        // manifest; registry:2 sees it as long as the store shows it empty.
        if !(tags.is_empty() && Manner::of_this_run().s3) {
            sight.insert(repository.to_owned(), tags);
        }
    }
    sight
}

/// registry:2 goes on listing a tag that was deleted as long as the store shows
/// its empty directory, as SeaweedFS does for a while.
fn is_left_over(registry: &Registry, repository: &str, tag: &str) -> bool {
    if registry.program() == Program::Wharf || !Manner::of_this_run().s3 {
        return false;
    }
    let path = format!("/v2/{repository}/manifests/{tag}");
    let kinds =
        ["manifest", "index"].map(|kind| format!("application/vnd.oci.image.{kind}.v1+json"));
    let head = registry.request("HEAD", &path);
    let head = head.header("accept", kinds.join(", "));
    head.send().expect("an answer").status() == 404
}
