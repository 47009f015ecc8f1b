//! The counter-examples of `tests/model` step by step against the real thing:
//! what each weakened protocol lost, ours keeps. A push and a collection run in
//! this process as two replicas; each is held back where the counter-example
//! has the other one go on.
//!
//! Where a weakness can be had from outside, the same steps with it do lose
//! the image: these replays would see it.

use std::fs;
use std::io;
use std::path::PathBuf;

use futures_util::{TryStreamExt as _, stream};
use tempfile::TempDir;
use wharf::oci::{Digest, Reference, RepositoryName};
use wharf::registry::gc::Failure;
use wharf::registry::{Error, PutManifest, Reading, Registry as Core};

use crate::content::{self, IMAGE, bytes, noise, sha256};
use crate::gate::{Gate, Held};
use crate::site::{Beside, Site};

/// The moments of a push, as the model names them.
const P1: Step = ("post", "/gc/intents/");
const P2_REMOVALS: Step = ("children", "/_deletes");
const P3_DECISION: Step = ("get", "/gc/decisions/");
const P5: Step = ("put", "/_manifests/revisions/");
const P7: Step = ("post", "/gc/pushed/");
const P6: Step = ("head", "/gc/intents/");
const P8_WITHDRAW: Step = ("withdraw", "/gc/intents/");

/// The moments of a collection.
const C1: Step = ("post", "/gc/runs/mark-");
const INTENTS: Step = ("children", "/gc/intents");
const C3: Step = ("children", "/v2/repositories");
const C4: Step = ("children", "/blobs/sha256/00");
const R1: Step = ("post", "/gc/runs/run-");
const R3: Step = ("children", "/gc/pushed/mark-");
const R4: Step = ("head", "/gc/runs/mark-");
const R5: Step = ("create", "/gc/decisions/");
const R6: Step = ("withdraw", "/blobs/sha256/");

/// And of a removal of links.
const D1: Step = ("post", "/_deletes/");
const D3: Step = ("children", "/_manifests/revisions/");
const D4: Step = ("delete", "/_layers/");

/// A verb and a part of its key.
type Step = (&'static str, &'static str);

/// One repository on a new volume, without a server.
struct Play {
    site: Site,
    plain: Core,
    name: RepositoryName,
    dir: TempDir,
}

/// Somebody on their way, and their gate.
struct Actor<T> {
    gate: Gate,
    held: Held,
    work: Beside<T>,
}

impl<T> Actor<T> {
    /// Lets them go on until just before a step.
    #[track_caller]
    fn until(self, (verb, part): Step) -> Self {
        let next = self.gate.before(verb, part);
        self.held.go();
        Actor {
            held: next.reached(),
            ..self
        }
    }

    /// Lets them go, without waiting.
    fn goes_on(self) -> Beside<T> {
        self.held.go();
        self.work
    }

    /// Lets them go to their end.
    #[track_caller]
    fn end(self) -> T {
        self.held.go();
        self.work.end()
    }
}

type Pushed = Result<PutManifest, Error>;
type Collected = Result<wharf::registry::gc::Report, Failure>;

impl Play {
    fn new() -> Play {
        let dir = TempDir::with_prefix("wharf-replay-").unwrap();
        let site = Site::at(dir.path());
        Play {
            plain: site.core(&Gate::default()),
            name: "replayed".parse().unwrap(),
            site,
            dir,
        }
    }

    /// The model's garbage: the layers are there, and nothing needs them.
    fn with_garbage() -> (Play, Vec<u8>) {
        let play = Play::new();
        let layer = noise(1, 1000);
        play.blob(content::EMPTY_JSON);
        play.blob(&layer);
        let image = image(&layer);
        (play, image)
    }

    fn blob(&self, content: &[u8]) {
        self.blob_in(&self.name, content);
    }

    fn blob_in(&self, name: &RepositoryName, content: &[u8]) {
        let digest: Digest = sha256(content).parse().unwrap();
        let content = Ok::<_, io::Error>(content.to_vec().into());
        let content = Box::pin(stream::iter([content]));
        let repository = self.plain.repository(name);
        let put = repository.put_blob(&digest, content);
        self.site.run(put).unwrap();
    }

    /// Another repository has the image, so that only links can go.
    fn keep_elsewhere(&self, image: &[u8]) {
        let name: RepositoryName = "elsewhere".parse().unwrap();
        self.blob_in(&name, content::EMPTY_JSON);
        self.blob_in(&name, &noise(1, 1000));
        let reference = Reference::Digest(sha256(image).parse().unwrap());
        let repository = self.plain.repository(&name);
        let put = repository.put_manifest(&reference, Vec::new(), None, image.to_vec().into());
        self.site.run(put).unwrap();
    }

    /// A push of an image or index by its digest that is held before a step.
    #[track_caller]
    fn push_until(&self, content: &[u8], (verb, part): Step) -> Actor<Pushed> {
        let gate = Gate::default();
        let held = gate.before(verb, part);
        let core = self.site.core(&gate);
        let (name, content) = (self.name.clone(), content.to_vec());
        let work = self.site.beside(async move || {
            let reference = Reference::Digest(sha256(&content).parse().unwrap());
            let repository = core.repository(&name);
            let put = repository.put_manifest(&reference, Vec::new(), None, content.into());
            put.await
        });
        let held = held.reached();
        Actor { gate, held, work }
    }

    fn push(&self, content: &[u8]) -> Pushed {
        self.push_until(content, P1).end()
    }

    /// A collection that is held before a step.
    #[track_caller]
    fn collect_until(&self, (verb, part): Step) -> Actor<Collected> {
        let gate = Gate::default();
        let held = gate.before(verb, part);
        let work = self.site.collecting(&gate);
        let held = held.reached();
        Actor { gate, held, work }
    }

    fn records(&self, kind: &str, name: &str) -> Vec<PathBuf> {
        let gc = self.dir.path().join("docker/registry/v2/wharf/gc");
        let entries = fs::read_dir(gc.join(kind)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let named = |path: &PathBuf| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(name)
        };
        paths.filter(named).collect()
    }

    /// Takes the records of somebody away who seems to be dead.
    #[track_caller]
    fn take_for_dead(&self, kind: &str, name: &str) -> PathBuf {
        let records = self.records(kind, name);
        assert_eq!(records.len(), 1, "{kind}/{name}");
        fs::remove_file(&records[0]).unwrap();
        records[0].clone()
    }

    /// What is missing of an image or index; nothing if it is whole.
    fn damage(&self, content: &[u8]) -> Option<String> {
        self.site.run(self.damaged(sha256(content)))
    }

    async fn damaged(&self, digest: String) -> Option<String> {
        let repository = self.plain.repository(&self.name);
        let reference = Reference::Digest(digest.parse().unwrap());
        let manifest = match repository.manifest(&reference).await {
            Ok(manifest) => manifest.content,
            Err(error) => return Some(format!("{digest}: {error}")),
        };
        let json: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        for child in json["manifests"].as_array().into_iter().flatten() {
            let child = child["digest"].as_str().unwrap().to_owned();
            if let Some(damage) = Box::pin(self.damaged(child)).await {
                return Some(damage);
            }
        }
        let layers = json["layers"].as_array().into_iter().flatten();
        for part in layers.chain(json.get("config")) {
            let part = part["digest"].as_str().unwrap();
            let blob = repository
                .blob(&part.parse().unwrap(), Reading::Whole)
                .await;
            let blob = match blob {
                Ok(blob) => blob,
                Err(error) => return Some(format!("{part}: {error}")),
            };
            let read: Result<Vec<_>, _> = blob.read(0..blob.size()).try_collect().await;
            if sha256(&read.unwrap().concat()) != part {
                return Some(format!("{part}: other bytes"));
            }
        }
        None
    }

    /// It was acknowledged, and so it is whole: now and after a collection that
    /// nobody disturbs.
    #[track_caller]
    fn assert_kept(&self, content: &[u8]) {
        assert_eq!(self.damage(content), None);
        self.site.collect();
        assert_eq!(self.damage(content), None, "after another collection");
    }
}

fn image(layer: &[u8]) -> Vec<u8> {
    bytes(&content::image(&[layer]))
}

#[track_caller]
fn assert_refused(pushed: &Pushed) {
    assert!(matches!(pushed, Err(Error::PartsUnknown(_))), "{pushed:?}");
}

#[test]
fn no_intent() {
    for hidden in [false, true] {
        let (play, image) = Play::with_garbage();
        let push = play.push_until(&image, P5);
        let collection = play.collect_until(C1);
        if hidden {
            collection.gate.hide("/gc/intents");
        }
        let collection = collection.until(C4);
        push.end().unwrap();
        collection.end().unwrap();
        if hidden {
            assert!(play.damage(&image).is_some(), "this would see no loss");
        } else {
            play.assert_kept(&image);
        }
    }
}

#[test]
fn links_before_intents() {
    let (play, image) = Play::with_garbage();
    let push = play.push_until(&image, P5);
    // Whoever read the links by now saw none of it.
    let collection = play.collect_until(C1).until(C3);
    push.end().unwrap();
    collection.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn mark_registered_late() {
    let (play, image) = Play::with_garbage();
    let collection = play.collect_until(C1).until(C3);
    let push = play.push_until(&image, P5);
    let collection = collection.until(C4);
    // It knows of the mark: P7.
    push.until(P7).end().unwrap();
    collection.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn run_registered_late() {
    let (play, image) = Play::with_garbage();
    // The run is registered, and has read the intents.
    let collection = play.collect_until(C4).until(R1).until(R3);
    let push = play.push_until(&image, P5);
    // The push found it undecided, waited, and made it void.
    push.end().unwrap();
    collection.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn run_without_intents() {
    for hidden in [false, true] {
        let (play, image) = Play::with_garbage();
        let collection = play.collect_until(C1).until(C3);
        let push = play.push_until(&image, P5);
        let collection = collection.until(C4);
        let push = push.until(P7);
        if hidden {
            collection.gate.hide("/gc/intents");
        }
        let collection = collection.until(R4);
        let push = push.until(P8_WITHDRAW);
        collection.end().unwrap();
        push.end().unwrap();
        if hidden {
            assert!(play.damage(&image).is_some(), "this would see no loss");
        } else {
            play.assert_kept(&image);
        }
    }
}

#[test]
fn pushed_before_intents() {
    let (play, image) = Play::with_garbage();
    let collection = play.collect_until(C1).until(C3);
    let push = play.push_until(&image, P5);
    let collection = collection.until(C4);
    let push = push.until(P7);
    let collection = collection.until(R1).until(INTENTS).until(R3);
    // Its intent is gone before anybody could read it a second time.
    push.end().unwrap();
    collection.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn nothing_pushed() {
    for hidden in [false, true] {
        let (play, image) = Play::with_garbage();
        let collection = play.collect_until(C1).until(C3);
        if hidden {
            collection.gate.hide("/gc/pushed");
        }
        let push = play.push_until(&image, P5);
        let collection = collection.until(C4);
        push.end().unwrap();
        collection.end().unwrap();
        if hidden {
            assert!(play.damage(&image).is_some(), "this would see no loss");
        } else {
            play.assert_kept(&image);
        }
    }
}

#[test]
fn pushed_after_the_last_look() {
    let (play, image) = Play::with_garbage();
    let collection = play.collect_until(C1).until(C3);
    let push = play.push_until(&image, P5);
    let collection = collection.until(C4);
    let push = push.until(P6);
    // What it pushed is beside the mark before it looks whether it still counts.
    assert_eq!(play.records("pushed", "mark-").len(), 1);
    let intent = play.take_for_dead("intents", "");
    assert!(!intent.exists());
    collection.end().unwrap();
    assert!(matches!(push.end(), Err(Error::PushTookTooLong)));
    play.push(&image).unwrap();
    play.assert_kept(&image);
}

#[test]
fn undecided_is_empty() {
    let (play, image) = Play::with_garbage();
    let collection = play.collect_until(C4).until(R5);
    play.push(&image).unwrap();
    collection.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn check_before_decision() {
    let (play, image) = Play::with_garbage();
    let collection = play.collect_until(C4).until(R5);
    let push = play.push_until(&image, P3_DECISION);
    let collection = collection.until(R6);
    assert_refused(&push.end());
    collection.end().unwrap();
    assert!(play.damage(&image).is_some(), "it was not acknowledged");
    play.blob(content::EMPTY_JSON);
    play.blob(&noise(1, 1000));
    play.push(&image).unwrap();
    play.assert_kept(&image);
}

#[test]
fn no_last_look() {
    let (play, image) = Play::with_garbage();
    let push = play.push_until(&image, P5);
    let collection = play.collect_until(C1);
    play.take_for_dead("intents", "");
    let collection = collection.until(C4);
    assert!(matches!(push.end(), Err(Error::PushTookTooLong)));
    collection.end().unwrap();
}

#[test]
fn intent_dropped_early() {
    let (play, image) = Play::with_garbage();
    let push = play.push_until(&image, P6);
    assert_eq!(play.records("intents", "").len(), 1);
    let collection = play.collect_until(C1).until(C4);
    push.end().unwrap();
    collection.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn run_withdrawn_early() {
    let (play, image) = Play::with_garbage();
    let collection = play.collect_until(C4).until(R6);
    assert_eq!(play.records("runs", "run-").len(), 1);
    assert_refused(&play.push(&image));
    collection.end().unwrap();
}

#[test]
fn doomed_name_reused() {
    let (play, image) = Play::with_garbage();
    let collection = play.collect_until(C4).until(R6);
    // Under names of their own, since the removals may come at any time.
    play.blob(content::EMPTY_JSON);
    play.blob(&noise(1, 1000));
    play.push(&image).unwrap();
    collection.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn own_name_unchecked() {
    let (play, image) = Play::with_garbage();
    play.push(&image).unwrap();
    let digest: Digest = sha256(&image).parse().unwrap();
    let repository = play.plain.repository(&play.name);
    play.site.run(repository.delete_manifest(&digest)).unwrap();
    let collection = play.collect_until(C4).until(R6);
    play.blob(content::EMPTY_JSON);
    play.blob(&noise(1, 1000));
    play.push(&image).unwrap();
    collection.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn direct_children_only() {
    let (play, child) = Play::with_garbage();
    let index = bytes(&content::index(&[(IMAGE, &child)]));
    let first = play.push_until(&child, P5);
    let collection = play.collect_until(C1);
    play.take_for_dead("intents", "");
    let collection = collection.until(C4);
    // Its link is there, and it is never acknowledged.
    let first = first.until(P6);
    let collection = collection.until(R1).until(INTENTS).until(R3);
    let second = play.push_until(&index, P3_DECISION);
    let collection = collection.until(R6);
    // A grandchild goes, though the child stays.
    assert_refused(&second.end());
    collection.end().unwrap();
    assert!(matches!(first.end(), Err(Error::PushTookTooLong)));
    play.blob(content::EMPTY_JSON);
    play.blob(&noise(1, 1000));
    play.push(&child).unwrap();
    play.push(&index).unwrap();
    play.assert_kept(&index);
}

#[test]
fn mark_not_looked_at() {
    let (play, image) = Play::with_garbage();
    let collection = play.collect_until(C4).until(R1);
    play.take_for_dead("runs", "mark-");
    play.push(&image).unwrap();
    let ended = collection.end();
    assert!(matches!(ended, Err(Failure::TakenForDead)), "{ended:?}");
    play.assert_kept(&image);
}

#[test]
fn run_not_looked_at() {
    let (play, image) = Play::with_garbage();
    let collection = play.collect_until(C4).until(R5);
    play.take_for_dead("runs", "mark-");
    let run = play.records("runs", "run-")[0].clone();
    let name = run.file_name().unwrap();
    let decisions = run.parent().unwrap().parent().unwrap().join("decisions");
    fs::create_dir_all(&decisions).unwrap();
    fs::write(decisions.join(name), r#"{"condemned":[]}"#).unwrap();
    fs::remove_file(&run).unwrap();
    let push = play.push_until(&image, P8_WITHDRAW);
    fs::remove_file(decisions.join(name)).unwrap();
    let _ = collection.end();
    push.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn push_does_not_wait() {
    let (play, image) = Play::with_garbage();
    // What goes first are the links: the bytes are needed in another place.
    play.keep_elsewhere(&image);
    let removal = play.collect_until(D1).until(D4);
    let push = play.push_until(&image, P2_REMOVALS);
    assert!(!push.work.is_over());
    let pushing = push.goes_on();
    assert!(removal.end().unwrap().links > 0);
    assert_refused(&pushing.end());
    play.blob(content::EMPTY_JSON);
    play.blob(&noise(1, 1000));
    play.push(&image).unwrap();
    play.assert_kept(&image);
}

#[test]
fn sweep_links_before_intents() {
    let (play, image) = Play::with_garbage();
    play.keep_elsewhere(&image);
    let removal = play.collect_until(D1);
    let push = play.push_until(&image, P5);
    // It has read the intents, and the links come next.
    let removal = removal.until(INTENTS).until(D3);
    let pushing = push.goes_on();
    assert_eq!(removal.end().unwrap().links, 0);
    pushing.end().unwrap();
    play.assert_kept(&image);
}

#[test]
fn sweep_without_intents() {
    for hidden in [false, true] {
        let (play, image) = Play::with_garbage();
        play.keep_elsewhere(&image);
        let push = play.push_until(&image, P5);
        let removal = play.collect_until(D1);
        if hidden {
            removal.gate.hide("/gc/intents");
            let removal = removal.until(D4);
            let pushing = push.goes_on();
            removal.end().unwrap();
            pushing.end().unwrap();
            assert!(play.damage(&image).is_some(), "this would see no loss");
        } else {
            assert_eq!(removal.end().unwrap().links, 0);
            push.end().unwrap();
            play.assert_kept(&image);
        }
    }
}

#[test]
fn sweep_ends_early() {
    let (play, image) = Play::with_garbage();
    play.keep_elsewhere(&image);
    let removal = play.collect_until(D1).until(D4);
    let announced = play
        .dir
        .path()
        .join("docker/registry/v2/repositories/replayed/_deletes");
    assert_eq!(fs::read_dir(announced).unwrap().count(), 1);
    let pushing = play.push_until(&image, P2_REMOVALS).goes_on();
    assert!(removal.end().unwrap().links > 0);
    assert_refused(&pushing.end());
}

/// A disk may take longer for one removal than a server waits for whoever served
/// its volume before.
#[test]
fn a_collection_that_takes_long_is_not_taken_for_dead() {
    let (play, image) = Play::with_garbage();
    play.keep_elsewhere(&image);
    let removal = play.collect_until(D1).until(D4);
    play.plain.alone();
    let repository = play.plain.repository(&play.name);
    let reference = Reference::Digest(sha256(&image).parse().unwrap());
    let put = repository.put_manifest(&reference, Vec::new(), None, image.clone().into());
    let pushed = play.site.run(put);
    assert!(matches!(pushed, Err(Error::DeleteRuns(_))), "{pushed:?}");
    assert!(removal.end().unwrap().links > 0);
}
