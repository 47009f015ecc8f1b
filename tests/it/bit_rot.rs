//! Files that decay under the server, one of each kind in each way: wrong bytes
//! are never a complete answer, and pushing the same content again mends it
//! (docs/durability.md).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::content::{self, IMAGE, INDEX, LAYER, bytes, noise, sha256, sha512};
use crate::health::{ask, debug};
use crate::referrers::listed;
use crate::repo::{Repo, with_query};
use crate::support::Registry;
use crate::wire::{Answer, PATIENCE, Request, exchange};

/// More than is hashed before it is sent.
const LARGE: usize = 20_000_000;

#[test]
fn wrong_bytes_are_never_a_complete_answer_and_a_push_mends_them() {
    let server = Registry::start();
    let scenes = scenes(&server);
    scenes.iter().for_each(Scene::damage);
    scenes.iter().for_each(Scene::play);
}

#[test]
fn so_it_is_with_a_server_that_has_not_seen_the_content() {
    let mut server = Registry::start();
    let scenes = scenes(&server);
    server.kill();
    scenes.iter().for_each(Scene::damage);
    server.restart();
    scenes.iter().for_each(Scene::play);
}

#[test]
fn a_client_that_asks_first_mends_what_nobody_pulled_meanwhile() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "asks");
    let image = Image::push(&repo, "asks", 3_000);
    server.kill();
    Harm::Flip.apply(&blob(server.data(), &sha256(&image.layer)));
    server.restart();
    image.push_what_is_missing(&repo);
    image.assert_whole(&repo);
}

#[test]
fn damage_is_said_once_and_counted() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_DEBUG_ADDR", "\"127.0.0.1:0\"")
        .env("REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED", "true")
        .start();
    let repo = Repo::on(&server, "said");
    let blob_digest = repo.push(b"soon damaged");
    let manifest_digest = repo.tag("latest", "as well");
    Harm::Flip.apply(&blob(server.data(), &blob_digest));
    Harm::Flip.apply(&blob(server.data(), &manifest_digest));
    for _ in 0..3 {
        repo.get(&format!("blobs/{blob_digest}"))
            .refused(404, "BLOB_UNKNOWN");
        repo.get("manifests/latest")
            .refused(404, "MANIFEST_UNKNOWN");
    }
    let log = server.log();
    let said = log.matches("this stored content is damaged").count();
    assert_eq!(said, 2, "{log}");
    let metrics = ask(&debug(&server), "/metrics").expect(200);
    let text = String::from_utf8(metrics.body).unwrap();
    let counted = text
        .lines()
        .any(|line| line == "wharf_damaged_content_total 2");
    assert!(counted, "{text}");
}

/// Each kind of file in each way, in a repository of its own.
fn scenes(server: &Registry) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for kind in KINDS {
        for harm in HARMS {
            let name = format!("rot/{kind:?}-{harm:?}").to_lowercase();
            let repo = Repo::on(server, &name);
            let size = if kind == Kind::LargeLayer {
                LARGE
            } else {
                3_000
            };
            let image = Image::push(&repo, &name, size);
            image.assert_whole(&repo);
            let file = image.file(server.data(), &repo, kind);
            scenes.push(Scene {
                repo,
                image,
                file,
                harm,
            });
        }
    }
    scenes
}

struct Scene {
    repo: Repo,
    image: Image,
    file: PathBuf,
    harm: Harm,
}

impl Scene {
    fn damage(&self) {
        self.harm.apply(&self.file);
    }

    fn play(&self) {
        self.image.assert_nothing_wrong(&self.repo);
        self.image.push_what_is_missing(&self.repo);
        self.image.assert_whole(&self.repo);
    }
}

/// What lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Config,
    Layer,
    LargeLayer,
    Sha512Layer,
    Manifest,
    Index,
    Referrer,
    LayerLink,
    RevisionLink,
    TagLink,
    TagHistory,
    ReferrerRecord,
}

const KINDS: [Kind; 12] = [
    Kind::Config,
    Kind::Layer,
    Kind::LargeLayer,
    Kind::Sha512Layer,
    Kind::Manifest,
    Kind::Index,
    Kind::Referrer,
    Kind::LayerLink,
    Kind::RevisionLink,
    Kind::TagLink,
    Kind::TagHistory,
    Kind::ReferrerRecord,
];

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip,
    FlipLast,
    Halve,
    Empty,
    Zero,
}

const HARMS: [Harm; 5] = [
    Harm::Flip,
    Harm::FlipLast,
    Harm::Halve,
    Harm::Empty,
    Harm::Zero,
];

impl Harm {
    fn apply(self, file: &Path) {
        let mut content = fs::read(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let (middle, last) = (content.len() / 2, content.len() - 1);
        match self {
            Self::Flip => content[middle] ^= 1,
            Self::FlipLast => content[last] ^= 0x80,
            Self::Halve => content.truncate(middle),
            Self::Empty => content.clear(),
            Self::Zero => content.fill(0),
        }
        // In place: the inode stays, as a medium that decays leaves it.
        fs::write(file, content).unwrap();
    }
}

/// An image, an index of it, and an artifact that refers to it.
struct Image {
    config: Vec<u8>,
    layer: Vec<u8>,
    other: Vec<u8>,
    manifest: Vec<u8>,
    index: Vec<u8>,
    referrer: Vec<u8>,
}

impl Image {
    fn push(repo: &Repo, name: &str, size: usize) -> Image {
        let config = bytes(&json!({"of": name}));
        let seed = u64::from_str_radix(&sha256(name.as_bytes())[7..22], 16).unwrap();
        let layer = noise(seed, size);
        let other = noise(seed + 1, 2_000);
        let config_type = "application/vnd.oci.image.config.v1+json";
        let manifest = bytes(&json!({
            "schemaVersion": 2, "mediaType": IMAGE,
            "config": content::descriptor(config_type, &config),
            "layers": [
                content::descriptor(LAYER, &layer),
                {"mediaType": LAYER, "digest": sha512(&other), "size": other.len()},
            ],
        }));
        let index = bytes(&content::index(&[(IMAGE, &manifest)]));
        let referrer = bytes(&json!({
            "schemaVersion": 2, "mediaType": IMAGE, "artifactType": "application/x.signature",
            "config": content::descriptor(config_type, &config), "layers": [],
            "subject": content::descriptor(IMAGE, &manifest),
            "annotations": {"of": name},
        }));
        let image = Image {
            config,
            layer,
            other,
            manifest,
            index,
            referrer,
        };
        image.push_what_is_missing(repo);
        image
    }

    /// As a client does it: what the registry says it has is not sent.
    fn push_what_is_missing(&self, repo: &Repo) {
        for (digest, content) in self.blobs() {
            match repo.head(&format!("blobs/{digest}")).status {
                200 => {}
                404 => {
                    let location = with_query(&repo.start(), &format!("digest={digest}"));
                    repo.at("PUT", &location).body(content).send().expect(201);
                }
                status => panic!("{digest}: {status}"),
            }
        }
        for (reference, media_type, content) in self.manifests() {
            repo.put(&reference, media_type, content).expect(201);
        }
    }

    fn blobs(&self) -> [(String, &[u8]); 3] {
        [
            (sha256(&self.config), &self.config),
            (sha256(&self.layer), &self.layer),
            (sha512(&self.other), &self.other),
        ]
    }

    fn manifests(&self) -> [(String, &str, &[u8]); 3] {
        [
            ("one".to_owned(), IMAGE, &self.manifest),
            ("all".to_owned(), INDEX, &self.index),
            (sha256(&self.referrer), IMAGE, &self.referrer),
        ]
    }

    /// Everything that can be pulled, with what it must be.
    fn pulls(&self) -> Vec<(String, &[u8])> {
        let blobs = self.blobs();
        let blobs = blobs
            .into_iter()
            .map(|(digest, content)| (format!("blobs/{digest}"), content));
        let mut pulls: Vec<_> = blobs.collect();
        for (reference, _, content) in self.manifests() {
            pulls.push((format!("manifests/{reference}"), content));
            pulls.push((format!("manifests/{}", sha256(content)), content));
        }
        pulls
    }

    fn assert_nothing_wrong(&self, repo: &Repo) {
        for (path, content) in self.pulls() {
            let request = Request::new(repo.host(), "GET", &repo.path(&path));
            let received = exchange(repo.host(), request.bytes(), PATIENCE);
            match Answer::parse(&received, false) {
                Some((answer, _)) if answer.status == 200 => {
                    assert!(
                        answer.body == content,
                        "{}/{path}: wrong bytes",
                        repo.name()
                    );
                }
                Some((answer, _)) => {
                    answer.expect(404).code();
                }
                None => assert!(
                    content.len() == LARGE,
                    "{}/{path}: only large content may break off",
                    repo.name()
                ),
            }
            if content.len() < LARGE && path.starts_with("blobs/") {
                let part = repo
                    .ask("GET", &path)
                    .header("Range", "bytes=1-1000")
                    .send();
                if part.status == 206 {
                    assert!(part.body == content[1..=1000.min(content.len() - 1)]);
                }
            }
        }
        let digest = sha256(&self.manifest);
        for referrer in listed(&repo.get(&format!("referrers/{digest}")).expect(200)) {
            self.assert_describes(&referrer);
        }
    }

    fn assert_whole(&self, repo: &Repo) {
        for (path, content) in self.pulls() {
            let answer = repo.get(&path).expect(200);
            assert!(answer.body == content, "{}/{path}", repo.name());
        }
        let digest = sha256(&self.manifest);
        let list = listed(&repo.get(&format!("referrers/{digest}")).expect(200));
        assert_eq!(list.len(), 1, "{}", repo.name());
        self.assert_describes(&list[0]);
    }

    fn assert_describes(&self, referrer: &Value) {
        let document: Value = serde_json::from_slice(&self.referrer).unwrap();
        assert_eq!(referrer["digest"], sha256(&self.referrer));
        assert_eq!(referrer["size"], self.referrer.len());
        assert_eq!(referrer["artifactType"], document["artifactType"]);
        assert_eq!(referrer["annotations"], document["annotations"]);
    }

    fn file(&self, data: &Path, repo: &Repo, kind: Kind) -> PathBuf {
        let repository = data
            .join("docker/registry/v2/repositories")
            .join(repo.name());
        let link = |path: String| repository.join(path).join("link");
        let manifest = hex(&self.manifest);
        match kind {
            Kind::Config => blob(data, &sha256(&self.config)),
            Kind::Layer | Kind::LargeLayer => blob(data, &sha256(&self.layer)),
            Kind::Sha512Layer => blob(data, &sha256(&self.other)),
            Kind::Manifest => blob(data, &sha256(&self.manifest)),
            Kind::Index => blob(data, &sha256(&self.index)),
            Kind::Referrer => blob(data, &sha256(&self.referrer)),
            Kind::LayerLink => link(format!("_layers/sha256/{}", hex(&self.layer))),
            Kind::RevisionLink => link(format!("_manifests/revisions/sha256/{manifest}")),
            Kind::TagLink => link("_manifests/tags/one/current".to_owned()),
            Kind::TagHistory => link(format!("_manifests/tags/one/index/sha256/{manifest}")),
            Kind::ReferrerRecord => link(format!(
                "_referrers/sha256/{manifest}/sha256/{}",
                hex(&self.referrer)
            )),
        }
    }
}

/// Where the bytes behind a SHA-256 digest lie.
fn blob(data: &Path, digest: &str) -> PathBuf {
    let hex = &digest["sha256:".len()..];
    data.join(format!(
        "docker/registry/v2/blobs/sha256/{}/{hex}/data",
        &hex[..2]
    ))
}

fn hex(content: &[u8]) -> String {
    sha256(content)["sha256:".len()..].to_owned()
}
