//! Holds a registry to a ledger: asks for everything that was ever pushed, and
//! looks whether what it gets is what it may get.
//!
//! | letter of durability's invariants | here |
//! |---|---|
//! | acknowledged pushes are there, deletes stay done | [`Findings::lost`] |
//! | nothing torn is served, manifests have their parts, referrers are exact, uploads have no more than was sent and end in the right digest, a second push heals | [`Findings::broken`] |
//! | what lies on the volume is what its names say | [`volume`](crate::volume), `wharf check` |

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::{Client, Way, path};
use crate::content::sha256;
use crate::ledger::{Key, Session};
use crate::support::{Program, Registry, run};
use crate::view::View;
use crate::volume;

/// Clients that ask at once.
const ASKERS: usize = 3;

/// How many contents are pushed once more.
const AGAIN: usize = 12;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Names that were asked for.
    pub names: usize,
    /// Uploads that were gone on with.
    pub resumed: usize,
    /// Contents that were pushed once more.
    pub again: usize,
    /// Files and links on the volume.
    pub files: usize,
    /// How often `wharf check` was asked.
    pub checks: usize,
    /// Acknowledged pushes that are not there, and deletes that came undone.
    pub lost: Vec<String>,
    /// Everything else that must not be.
    pub broken: Vec<String>,
}

impl Findings {
    /// Nothing lost, nothing broken.
    #[track_caller]
    pub fn assert_clean(&self, what: &str) {
        let all: Vec<&str> = self
            .lost
            .iter()
            .chain(&self.broken)
            .map(String::as_str)
            .take(20)
            .collect();
        assert!(
            all.is_empty(),
            "{what}: {} lost, {} broken:\n{}",
            self.lost.len(),
            self.broken.len(),
            all.join("\n")
        );
    }

    /// Adds what another check found.
    pub fn add(&mut self, other: Findings) {
        self.names += other.names;
        self.resumed += other.resumed;
        self.again += other.again;
        self.files += other.files;
        self.checks += other.checks;
        self.lost.extend(other.lost);
        self.broken.extend(other.broken);
    }
}

/// Which promises a server makes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Promises {
    /// All of ours.
    Wharf,
    /// registry:2 has no referrers, and its uploads end with their process.
    Distribution,
}

/// Asks the registry behind `client` for everything in `view`.
pub fn check(client: &Client, view: &View, promises: Promises) -> Findings {
    let checker = Checker {
        client,
        view,
        found: Mutex::default(),
        observed: Mutex::default(),
    };
    checker.names();
    checker.parts();
    if promises == Promises::Wharf {
        checker.referrers();
        checker.uploads();
    }
    checker.push_again();
    let mut found = checker.found.into_inner().expect("no asker died");
    found.broken.extend(view.torn.iter().cloned());
    found
}

/// What lies on a volume, by our own walker.
pub fn check_volume(root: &Path) -> Findings {
    let walked = volume::walk(root);
    Findings {
        files: walked.files,
        broken: walked.wrong,
        ..Findings::default()
    }
}

/// The same for a server's volume, and what `wharf check` says about it.
pub fn check_stored(registry: &Registry) -> Findings {
    let mut found = check_volume(registry.data());
    if registry.program() != Program::Wharf {
        return found;
    }
    let checked = run(binary())
        .args(["check", "config.yml", "--json"])
        .dir(registry.dir())
        .output();
    let json: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap_or_default();
    let findings = json["findings"].as_array().cloned().unwrap_or_default();
    found.checks += 1;
    found
        .broken
        .extend(findings.iter().map(|one| format!("wharf check: {one}")));
    if findings.is_empty() && !checked.success() {
        found.broken.push(format!("wharf check: {checked}"));
    }
    found
}

/// The program under test.
pub fn binary() -> PathBuf {
    std::env::var_os("WHARF_TEST_SERVER")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_wharf").into())
        .into()
}

struct Checker<'a> {
    client: &'a Client,
    view: &'a View,
    found: Mutex<Findings>,
    /// What each name holds.
    observed: Mutex<BTreeMap<Key, Option<String>>>,
}

impl Checker<'_> {
    fn lost(&self, what: String) {
        self.found.lock().expect("no asker died").lost.push(what);
    }

    fn broken(&self, what: String) {
        self.found.lock().expect("no asker died").broken.push(what);
    }

    /// Every name holds something that it may hold.
    fn names(&self) {
        let keys: Vec<Key> = self.view.keys().into_iter().collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..ASKERS {
                scope.spawn(|| {
                    while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.name(key);
                    }
                });
            }
        });
        self.found.lock().expect("no asker died").names += keys.len();
    }

    fn name(&self, key: &Key) {
        let Some(reply) = self.client.get(&path(key)) else {
            return self.broken(format!("{key:?}: no whole answer"));
        };
        let holds = match reply.status {
            200 => Some(sha256(&reply.body)),
            404 => None,
            status => return self.broken(format!("{key:?}: {status}")),
        };
        match (&holds, key) {
            (Some(digest), Key::Blob(_, wanted) | Key::Manifest(_, wanted)) if digest != wanted => {
                return self.broken(format!("{key:?} is served as {digest}"));
            }
            (Some(digest), Key::Tag(..)) if !self.view.contents.contains_key(digest) => {
                return self.broken(format!(
                    "{key:?} is served as {digest}, which nobody pushed"
                ));
            }
            _ => {}
        }
        let allowed = self.view.allowed(key);
        if !allowed.contains(&holds) {
            self.lost(format!("{key:?} holds {holds:?}, may hold {allowed:?}"));
        }
        let mut observed = self.observed.lock().expect("no asker died");
        observed.insert(key.clone(), holds);
    }

    /// Every manifest that is served has its parts in the same repository, and
    /// every tag a manifest.
    fn parts(&self) {
        let observed = self.observed.lock().expect("no asker died").clone();
        let is_there = |key: &Key| observed.get(key).is_some_and(Option::is_some);
        for (key, holds) in &observed {
            let (Key::Manifest(repository, _) | Key::Tag(repository, _), Some(digest)) =
                (key, holds)
            else {
                continue;
            };
            let manifest = Key::Manifest(repository.clone(), digest.clone());
            if !is_there(&manifest) {
                self.broken(format!("{key:?} holds {digest}, which is not there"));
            }
            let Some(content) = self.view.contents.get(digest) else {
                continue;
            };
            let blobs = content.blobs.iter().map(|blob| {
                let digest = blob.digest.clone();
                Key::Blob(repository.clone(), digest)
            });
            let children = content.children.iter().map(|child| {
                let digest = child.digest.clone();
                Key::Manifest(repository.clone(), digest)
            });
            for part in blobs.chain(children).filter(|part| !is_there(part)) {
                self.broken(format!("{key:?} is served without {part:?}"));
            }
        }
    }

    /// The referrers of each subject are exactly the manifests about it.
    fn referrers(&self) {
        let observed = self.observed.lock().expect("no asker died").clone();
        let mut wanted: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for (key, holds) in &observed {
            let Key::Manifest(repository, digest) = key else {
                continue;
            };
            let content = self.view.contents.get(digest);
            let Some(subject) = content.and_then(|content| content.subject.clone()) else {
                continue;
            };
            let about = wanted.entry((repository.clone(), subject)).or_default();
            about.extend(holds.clone());
        }
        for ((repository, subject), wanted) in wanted {
            let path = format!("/v2/{repository}/referrers/{subject}");
            let listed = self.client.get(&path).and_then(|reply| {
                let json: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
                let list = json["manifests"].as_array()?;
                let digests = list.iter().filter_map(|one| one["digest"].as_str());
                Some(digests.map(str::to_owned).collect::<BTreeSet<_>>())
            });
            if listed.as_ref() != Some(&wanted) {
                self.broken(format!("{path} lists {listed:?}, but there are {wanted:?}"));
            }
        }
    }

    /// Uploads that were open have no more than was sent, and can be ended.
    fn uploads(&self) {
        for session in &self.view.sessions {
            if let Err(wrong) = self.upload(session) {
                self.broken(wrong);
            }
        }
    }

    fn upload(&self, session: &Session) -> Result<(), String> {
        let at = &session.location;
        let reply = self.client.get(at).ok_or(format!("{at}: no answer"))?;
        let received = match (reply.status, reply.range.as_deref()) {
            // Begun a moment before, or closed: it may be gone.
            (404, _) => return Ok(()),
            // None or one: nobody can tell, so it is cancelled.
            (204, Some("0-0")) => return Ok(()),
            (204, Some(range)) => range
                .strip_prefix("0-")
                .and_then(|last| last.parse::<usize>().ok())
                .map(|last| last + 1)
                .ok_or(format!("{at}: a range of {range}"))?,
            (status, range) => return Err(format!("{at}: {status} with a range of {range:?}")),
        };
        if received > session.sent {
            let sent = session.sent;
            return Err(format!("{at}: {received} bytes, but {sent} were ever sent"));
        }
        let at = reply.location.as_deref().unwrap_or(at);
        let closed = self
            .client
            .close(&session.repository, &session.content, at, received)
            .ok_or(format!("{at}: its closing was not answered"))?;
        if closed.status != 201 {
            let (status, code) = (closed.status, closed.code());
            return Err(format!(
                "{at}: resumed at {received}, then {status} {code:?}"
            ));
        }
        let digest = &session.content.digest;
        let key = Key::Blob(session.repository.clone(), digest.clone());
        let pulled = self.client.get(&path(&key));
        if pulled.is_none_or(|pulled| sha256(&pulled.body) != *digest) {
            return Err(format!("{key:?}: resumed, but not there as a whole"));
        }
        self.found.lock().expect("no asker died").resumed += 1;
        Ok(())
    }

    /// A second push of the same content succeeds, and what was missing is
    /// there: first of all of what is not there now.
    fn push_again(&self) {
        let observed = self.observed.lock().expect("no asker died").clone();
        let mut manifests: Vec<(&String, &String, bool)> = observed
            .iter()
            .filter_map(|(key, holds)| match key {
                Key::Manifest(repository, digest) => Some((repository, digest, holds.is_some())),
                _ => None,
            })
            .collect();
        manifests.sort_by_key(|(.., is_there)| *is_there);
        let half = AGAIN / 2;
        let ends = manifests
            .iter()
            .take(half)
            .chain(manifests.iter().rev().take(half));
        for (repository, digest, _) in ends {
            let Some(content) = self.view.contents.get(*digest) else {
                continue;
            };
            let pushed = self
                .client
                .push(repository, None, content, &mut || Way::Monolithic);
            if pushed.as_ref().is_none_or(|reply| reply.status != 201) {
                self.broken(format!("a second push of {digest}: {pushed:?}"));
                continue;
            }
            let blobs = content.blobs.iter();
            let keys = blobs.map(|blob| Key::Blob((*repository).clone(), blob.digest.clone()));
            let own = Key::Manifest((*repository).clone(), (*digest).clone());
            for key in keys.chain([own]) {
                let (Key::Blob(_, wanted) | Key::Manifest(_, wanted) | Key::Tag(_, wanted)) = &key;
                let pulled = self.client.get(&path(&key));
                if pulled.is_none_or(|pulled| sha256(&pulled.body) != *wanted) {
                    self.broken(format!("{key:?} is not whole after a second push"));
                }
            }
            self.found.lock().expect("no asker died").again += 1;
        }
    }
}
