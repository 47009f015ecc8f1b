//! `wharf check` on volumes that were damaged by hand beside a running server:
//! what it finds of each kind of file, what `--repair` mends, and that a push
//! heals the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::content::{self, EMPTY_JSON, IMAGE, INDEX};
use crate::process::{ended_with, wharf};
use crate::repo::Repo;
use crate::support::{Finished, Needs, Program, Registry, run};

pub const FOUND_PROBLEMS: i32 = 3;

/// `wharf check` of a server's configuration.
pub fn check(server: &Registry, flags: &[&str]) -> Finished {
    let args = ["check", "config.yml"].iter().chain(flags);
    wharf(server.dir(), args.copied())
        .limit(Duration::from_secs(120))
        .output()
}

/// The same as JSON.
pub fn checked(server: &Registry, flags: &[&str]) -> (i32, Value) {
    let flags: Vec<&str> = flags.iter().chain(&["--json"]).copied().collect();
    let finished = check(server, &flags);
    let code = finished.status.and_then(|status| status.code());
    let json = serde_json::from_str(&finished.stdout);
    let json = json.unwrap_or_else(|error| panic!("no JSON ({error}): {finished}"));
    (code.unwrap(), json)
}

/// Panics unless nothing is wrong.
#[track_caller]
pub fn clean(server: &Registry) -> Value {
    let (code, json) = checked(server, &[]);
    assert_eq!((code, &json["findings"]), (0, &json!([])), "{json:#}");
    json
}

/// The kinds in a list, each once, sorted.
pub fn kinds(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one["kind"].as_str().unwrap().to_owned())
        .collect()
}

/// The tree of registry:2.
pub fn tree(server: &Registry) -> PathBuf {
    server.data().join("docker/registry/v2")
}

pub fn blob(server: &Registry, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    tree(server).join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
}

pub fn of_repository(server: &Registry, repo: &Repo, path: &str) -> PathBuf {
    tree(server)
        .join("repositories")
        .join(repo.name())
        .join(path)
}

fn link(kind: &str, digest: &str) -> String {
    format!("{kind}/{}/link", digest.replace(':', "/"))
}

pub fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

/// An image whose layer is `seed`, under `v1`, in a repository of its own.
struct Image<'a> {
    server: &'a Registry,
    repo: Repo,
    seed: String,
    layer: String,
    manifest: String,
}

impl<'a> Image<'a> {
    fn push(server: &'a Registry, name: &str) -> Image<'a> {
        let repo = Repo::on(server, &format!("damaged/{name}"));
        let seed = format!("the one layer of {name}, long enough to be damaged in its middle");
        let image = Image {
            layer: content::sha256(seed.as_bytes()),
            manifest: String::new(),
            server,
            repo,
            seed,
        };
        let manifest = image.again();
        Image { manifest, ..image }
    }

    /// Pushes everything of it.
    fn again(&self) -> String {
        self.repo.tag("v1", &self.seed)
    }

    /// Another manifest, which says something about it.
    fn referrer(&self, seed: &str) -> String {
        let mut manifest = content::image(&[]);
        manifest["artifactType"] = json!("application/x.test");
        manifest["annotations"] = json!({"seed": seed});
        manifest["subject"] = json!({"mediaType": IMAGE, "digest": self.manifest, "size": 1});
        let manifest = content::bytes(&manifest);
        let digest = content::sha256(&manifest);
        self.repo.put(&digest, IMAGE, &manifest).expect(201);
        digest
    }

    fn layer(&self) -> PathBuf {
        blob(self.server, &self.layer)
    }

    fn bytes(&self) -> PathBuf {
        blob(self.server, &self.manifest)
    }

    fn file(&self, path: &str) -> PathBuf {
        of_repository(self.server, &self.repo, path)
    }

    fn record(&self, subject: &str, referrer: &str) -> PathBuf {
        let subject = subject.replace(':', "/");
        self.file(&link(&format!("_referrers/{subject}"), referrer))
    }
}

/// How something is damaged, what that is, and what is left after a repair.
type Case = (
    &'static str,
    fn(&Image<'_>),
    &'static [&'static str],
    &'static [&'static str],
);

const GARBAGE: &str = "no digest";

fn cases() -> Vec<Case> {
    let absent = content::ABSENT;
    assert_eq!(absent.len(), 71);
    vec![
        (
            "flipped",
            |image| flip(&image.layer()),
            &["damaged-blob", "incomplete-manifest"],
            &["incomplete-manifest"],
        ),
        (
            "truncated",
            |image| fs::write(image.layer(), "th").unwrap(),
            &["damaged-blob", "incomplete-manifest"],
            &["incomplete-manifest"],
        ),
        (
            "emptied",
            |image| fs::write(image.layer(), "").unwrap(),
            &["damaged-blob", "incomplete-manifest"],
            &["incomplete-manifest"],
        ),
        (
            "zeroed",
            |image| fs::write(image.layer(), vec![0; image.seed.len()]).unwrap(),
            &["damaged-blob", "incomplete-manifest"],
            &["incomplete-manifest"],
        ),
        (
            "grown",
            |image| fs::write(image.layer(), format!("{}x", image.seed)).unwrap(),
            &["damaged-blob", "incomplete-manifest"],
            &["incomplete-manifest"],
        ),
        (
            "removed",
            |image| fs::remove_file(image.layer()).unwrap(),
            &["incomplete-manifest"],
            &["incomplete-manifest"],
        ),
        (
            "manifest-flipped",
            |image| flip(&image.bytes()),
            &["damaged-blob", "missing-manifest", "dangling-tag"],
            &["missing-manifest", "dangling-tag"],
        ),
        (
            "manifest-truncated",
            |image| fs::write(image.bytes(), "{").unwrap(),
            &["damaged-blob", "missing-manifest", "dangling-tag"],
            &["missing-manifest", "dangling-tag"],
        ),
        (
            "manifest-removed",
            |image| fs::remove_file(image.bytes()).unwrap(),
            &["missing-manifest", "dangling-tag"],
            &["missing-manifest", "dangling-tag"],
        ),
        (
            "layer-link-emptied",
            |image| fs::write(image.file(&link("_layers", &image.layer)), "").unwrap(),
            &["malformed-link", "incomplete-manifest"],
            &[],
        ),
        (
            "layer-link-garbage",
            |image| fs::write(image.file(&link("_layers", &image.layer)), GARBAGE).unwrap(),
            &["malformed-link", "incomplete-manifest"],
            &[],
        ),
        (
            "layer-link-huge",
            |image| {
                fs::write(
                    image.file(&link("_layers", &image.layer)),
                    vec![b'a'; 9 << 20],
                )
                .unwrap()
            },
            &["malformed-link", "incomplete-manifest"],
            &[],
        ),
        (
            "layer-link-elsewhere",
            |image| {
                fs::write(
                    image.file(&link("_layers", &image.layer)),
                    content::EMPTY_DIGEST,
                )
                .unwrap()
            },
            &["wrong-link", "incomplete-manifest"],
            &[],
        ),
        (
            "layer-link-removed",
            |image| fs::remove_file(image.file(&link("_layers", &image.layer))).unwrap(),
            &["incomplete-manifest"],
            &["incomplete-manifest"],
        ),
        (
            "revision-garbage",
            |image| {
                fs::write(
                    image.file(&link("_manifests/revisions", &image.manifest)),
                    GARBAGE,
                )
                .unwrap()
            },
            &["malformed-link", "dangling-tag"],
            &[],
        ),
        (
            "revision-removed",
            |image| {
                fs::remove_file(image.file(&link("_manifests/revisions", &image.manifest))).unwrap()
            },
            &["dangling-tag"],
            &["dangling-tag"],
        ),
        (
            "tag-garbage",
            |image| fs::write(image.file("_manifests/tags/v1/current/link"), GARBAGE).unwrap(),
            &["malformed-link"],
            &["malformed-link"],
        ),
        (
            "tag-elsewhere",
            |image| {
                fs::write(
                    image.file("_manifests/tags/v1/current/link"),
                    content::ABSENT,
                )
                .unwrap()
            },
            &["dangling-tag", "broken-tag-history"],
            &["dangling-tag"],
        ),
        (
            "history-emptied",
            |image| {
                fs::write(
                    image.file(&link("_manifests/tags/v1/index", &image.manifest)),
                    "",
                )
                .unwrap()
            },
            &["broken-tag-history"],
            &[],
        ),
        (
            "history-removed",
            |image| {
                fs::remove_file(image.file(&link("_manifests/tags/v1/index", &image.manifest)))
                    .unwrap()
            },
            &["broken-tag-history"],
            &[],
        ),
        (
            "referrer-removed",
            |image| {
                let referrer = image.referrer("removed");
                fs::remove_file(image.record(&image.manifest, &referrer)).unwrap();
            },
            &["missing-referrer"],
            &[],
        ),
        (
            "referrer-torn",
            |image| {
                let referrer = image.referrer("torn");
                fs::write(image.record(&image.manifest, &referrer), "{\"media").unwrap();
            },
            &["wrong-referrer"],
            &[],
        ),
        (
            "referrer-of-another",
            |image| {
                let referrer = image.referrer("another");
                let record = image.record(content::ABSENT, &referrer);
                fs::create_dir_all(record.parent().unwrap()).unwrap();
                fs::copy(image.record(&image.manifest, &referrer), record).unwrap();
            },
            &["wrong-referrer"],
            &[],
        ),
    ]
}

#[test]
fn each_kind_of_damage_is_found_mended_or_healed_by_a_push() {
    let server = Registry::start();
    let bystander = Repo::on(&server, "bystander");
    bystander.tag("v1", "nothing happens to this one");
    let images: Vec<(Image<'_>, Case)> = cases()
        .into_iter()
        .map(|case| (Image::push(&server, case.0), case))
        .collect();
    clean(&server);
    for (image, (_, damage, ..)) in &images {
        damage(image);
    }
    let (code, json) = checked(&server, &[]);
    assert_eq!(code, FOUND_PROBLEMS);
    let found = by_image(&images, &json["findings"]);
    for (_, (name, _, expected, _)) in &images {
        assert_eq!(found[name], *expected, "{name}: {json:#}");
    }
    // Nothing was changed by looking.
    let (_, again) = checked(&server, &[]);
    assert_eq!(by_image(&images, &again["findings"]), found);

    let (code, json) = checked(&server, &["--repair"]);
    assert_eq!(code, FOUND_PROBLEMS);
    let remains = by_image(&images, &json["findings"]);
    for (_, (name, _, _, expected)) in &images {
        assert_eq!(remains[name], *expected, "{name}: {json:#}");
    }
    // What is set aside is absent, and none of it is lost.
    let (flipped, _) = &images[0];
    let path = format!("blobs/{}", flipped.layer);
    flipped.repo.head(&path).expect(404);
    let aside = tree(&server).join(format!(
        "wharf/quarantine/{}",
        flipped.layer.replace(':', "/")
    ));
    let kept: Vec<_> = fs::read_dir(aside).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1);
    let mut bytes = fs::read(kept[0].path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    assert_eq!(bytes, flipped.seed.as_bytes());

    for (image, _) in &images {
        image.again();
    }
    let json = clean(&server);
    assert!(kinds(&json["notes"]).contains("quarantined"), "{json:#}");
    for (image, _) in &images {
        image.repo.get("manifests/v1").expect(200);
        let layer = image.repo.get(&format!("blobs/{}", image.layer));
        assert_eq!(layer.expect(200).body, image.seed.as_bytes());
    }
}

/// What was found, by the names of the cases, in the order in which each case
/// has it.
fn by_image(images: &[(Image<'_>, Case)], findings: &Value) -> BTreeMap<&'static str, Vec<String>> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (_, (name, ..)) in images {
        found.insert(name, Vec::new());
    }
    for finding in findings.as_array().unwrap() {
        let (repository, digest) = (&finding["repository"], &finding["digest"]);
        let (_, (name, ..)) = images
            .iter()
            .find(|(image, _)| {
                repository == image.repo.name()
                    || repository.is_null() && (*digest == image.layer || *digest == image.manifest)
            })
            .unwrap_or_else(|| panic!("a false finding: {finding:#}"));
        let kind = finding["kind"].as_str().unwrap().to_owned();
        assert!(!finding["do"].as_str().unwrap().is_empty());
        found.get_mut(name).unwrap().push(kind);
    }
    found
}

#[test]
fn everything_that_can_be_pushed_is_clean() {
    let server = Registry::start();
    let repo = Repo::on(&server, "team/app");
    let image = repo.tag("v1", "one");
    repo.tag("v2", "two");
    repo.tag("v1", "three");
    let gone = repo.tag("gone", "four");
    repo.delete(&format!("manifests/{gone}")).expect(202);
    repo.tag("untagged", "five");
    repo.delete("manifests/untagged").expect(202);
    // By SHA-512, both.
    let layer = b"a layer by its SHA-512 digest";
    repo.push_as(&content::sha512(layer), layer).expect(201);
    let mut manifest = content::image(&[]);
    manifest["layers"] = json!([{
        "mediaType": content::LAYER, "digest": content::sha512(layer), "size": layer.len()
    }]);
    let manifest = content::bytes(&manifest);
    let digest = content::sha512(&manifest);
    repo.put(&digest, IMAGE, &manifest).expect(201);
    repo.put("by-512", IMAGE, &manifest).expect(201);
    let index = content::bytes(&content::index(&[(IMAGE, &manifest)]));
    repo.put("index", INDEX, &index).expect(201);
    // A referrer of something that isn't there, and one that was deleted.
    for subject in [content::ABSENT, &image] {
        let mut manifest = content::image(&[]);
        manifest["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 1});
        let manifest = content::bytes(&manifest);
        let digest = content::sha256(&manifest);
        repo.put(&digest, IMAGE, &manifest).expect(201);
        if subject == image {
            repo.delete(&format!("manifests/{digest}")).expect(202);
        }
    }
    // A layer that need not be here, and an upload that goes on.
    let mut foreign = content::image(&[]);
    foreign["layers"] = json!([{
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "digest": content::ABSENT, "size": 7, "urls": ["https://a.example/layer"]
    }]);
    repo.put("foreign", IMAGE, &content::bytes(&foreign))
        .expect(201);
    repo.start();
    Repo::on(&server, "team/app/nested").push(EMPTY_JSON);

    let json = clean(&server);
    assert_eq!(json["complete"], true);
    assert_eq!(json["notes"], json!([]), "{json:#}");
    assert_eq!(json["counts"]["tags"], 5, "{json:#}");
    assert_eq!(json["counts"]["repositories"], 3, "{json:#}");
    let stored = fs::read_dir(tree(&server).join("blobs/sha256")).unwrap();
    assert!(json["counts"]["blobs"].as_u64().unwrap() as usize >= stored.count());

    let finished = check(&server, &[]);
    ended_with(&finished, 0);
    assert!(finished.stdout.contains("all is well"), "{finished}");
    assert!(!finished.stderr.contains('\r'), "no terminal: {finished}");
}

#[test]
fn links_of_sha512_are_rebuilt() {
    let server = Registry::start();
    let repo = Repo::on(&server, "by-512");
    let (one, other) = (b"one layer".as_slice(), b"another layer".as_slice());
    for layer in [one, other] {
        repo.push_as(&content::sha512(layer), layer).expect(201);
    }
    clean(&server);
    let path = |layer| of_repository(&server, &repo, &link("_layers", &content::sha512(layer)));
    fs::write(path(one), "").unwrap();
    fs::write(path(other), content::sha256(one)).unwrap();
    let (code, json) = checked(&server, &[]);
    assert_eq!(code, FOUND_PROBLEMS);
    let expected = ["malformed-link", "wrong-link"].map(str::to_owned);
    assert_eq!(kinds(&json["findings"]), BTreeSet::from(expected));
    let (code, json) = checked(&server, &["--repair"]);
    assert_eq!((code, &json["findings"]), (0, &json!([])), "{json:#}");
    for layer in [one, other] {
        let held = fs::read_to_string(path(layer)).unwrap();
        assert_eq!(held, content::sha256(layer));
    }
}

#[test]
fn what_is_only_left_over_is_a_note() {
    let server = Registry::start();
    let repo = Repo::on(&server, "notes");
    let image = Image::push(&server, "notes");
    let deleted = image.referrer("deleted");
    let unneeded = repo.push(b"no manifest needs this");
    fs::remove_file(blob(&server, &unneeded)).unwrap();
    repo.tag("unfinished", "x");
    let tag = of_repository(&server, &repo, "_manifests/tags/unfinished/current/link");
    fs::remove_file(tag).unwrap();
    // As registry:2 deletes it.
    let revision = image.file(&link("_manifests/revisions", &deleted));
    fs::remove_file(revision).unwrap();
    let old = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    let torn = image.file("_manifests/tags/v1/current/link.x.tmp");
    fs::write(&torn, "sha2").unwrap();
    fs::File::open(&torn).unwrap().set_modified(old).unwrap();
    let young = image.file("_manifests/tags/v1/current/link.y.tmp");
    fs::write(&young, "sha2").unwrap();
    fs::write(tree(&server).join("README"), "hello").unwrap();
    let location = repo.start();
    let id = location.rsplit('/').next().unwrap();
    let id = id.split('?').next().unwrap();
    let started = of_repository(&server, &repo, &format!("_uploads/{id}/startedat"));
    fs::write(started, "2020-01-01T00:00:00Z").unwrap();
    let announced = of_repository(&server, &repo, "_deletes/long-ago");
    fs::create_dir_all(announced.parent().unwrap()).unwrap();
    fs::write(&announced, "").unwrap();
    fs::File::open(&announced)
        .unwrap()
        .set_modified(old)
        .unwrap();

    let json = clean(&server);
    let expected = [
        "layer-without-content",
        "old-delete",
        "old-upload",
        "strange-file",
        "superfluous-referrer",
        "temporary-file",
        "unfinished-tag",
    ];
    assert_eq!(kinds(&json["notes"]), expected.map(str::to_owned).into());
    assert_eq!(json["counts"]["notes"], 8);

    let (code, _) = checked(&server, &["--repair"]);
    assert_eq!(code, 0);
    assert!(!torn.exists(), "it is older than a day");
    assert!(young.exists());
    assert!(!image.record(&image.manifest, &deleted).exists());
    assert!(tree(&server).join("README").exists());
}

#[test]
fn good_bytes_that_a_repair_had_moved_come_back() {
    let server = Registry::start();
    let image = Image::push(&server, "moved");
    let hex = image.layer.strip_prefix("sha256:").unwrap();
    let aside = tree(&server).join(format!("wharf/quarantine/sha256/{hex}"));
    fs::create_dir_all(&aside).unwrap();
    fs::rename(image.layer(), aside.join("20260101T000000.000000Z")).unwrap();
    fs::write(aside.join("20250101T000000.000000Z"), "bad").unwrap();
    let (code, json) = checked(&server, &["--repair"]);
    assert_eq!((code, &json["findings"]), (0, &json!([])), "{json:#}");
    assert_eq!(fs::read(image.layer()).unwrap(), image.seed.as_bytes());
    assert!(aside.join("20250101T000000.000000Z").exists());
}

#[test]
fn what_cannot_be_checked_is_said() {
    let server = Registry::start();
    let dir = server.dir();
    for (args, code, words) in [
        (
            vec!["check", "none.yml"],
            78,
            "cannot read the configuration",
        ),
        (
            vec!["check", "--data", "nowhere"],
            78,
            "no data directory nowhere",
        ),
        (
            vec!["check", "config.yml", "--rate", "fast"],
            2,
            "is no rate",
        ),
        (
            vec!["check", "config.yml", "--from", "https://x"],
            2,
            "--repair",
        ),
        (
            vec!["check", "config.yml", "--repair", "--from", "ftp://x"],
            78,
            "is no address",
        ),
    ] {
        let finished = wharf(dir, args).output();
        ended_with(&finished, code);
        assert!(finished.stderr.contains(words), "{words} in {finished}");
    }
}

#[test]
fn a_volume_of_registry_2_is_clean() {
    let needs = Needs::of("docker-registry");
    if !needs
        .program("docker-registry", "apt install docker-registry")
        .met()
    {
        return;
    }
    let server = Registry::with().program(Program::Distribution).start();
    let repo = Repo::on(&server, "old/app");
    repo.tag("v1", "one");
    repo.tag("v2", "two");
    repo.tag("v1", "three");
    let gone = repo.tag("gone", "four");
    repo.delete(&format!("manifests/{gone}")).expect(202);
    let manifest = repo.image("the subject");
    let subject = content::sha256(&manifest);
    repo.put(&subject, IMAGE, &manifest).expect(201);
    let index = content::bytes(&content::index(&[(IMAGE, &manifest)]));
    repo.put("index", INDEX, &index).expect(201);
    let mut referrer = content::image(&[]);
    referrer["subject"] = content::descriptor(IMAGE, &manifest);
    let referrer = content::bytes(&referrer);
    repo.put(&content::sha256(&referrer), IMAGE, &referrer)
        .expect(201);
    let fallback = content::bytes(&content::index(&[(IMAGE, &referrer)]));
    repo.put(&subject.replace(':', "-"), INDEX, &fallback)
        .expect(201);
    repo.start();
    let json = clean(&server);
    assert_eq!(json["notes"], json!([]), "{json:#}");

    // Its own collection leaves links to blobs that it has removed.
    let collected = run("docker-registry")
        .args(["garbage-collect", "config.yml"])
        .dir(server.dir())
        .output();
    ended_with(&collected, 0);
    let json = clean(&server);
    let expected = ["layer-without-content".to_owned()];
    assert_eq!(kinds(&json["notes"]), expected.into(), "{json:#}");
}
