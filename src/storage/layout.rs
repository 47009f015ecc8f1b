//! The layout of keys: registry:2's own tree, and what wharf adds beside it.
//! The only file that forms a key.
//!
//! ```text
//! docker/registry/v2/
//!   blobs/<alg>/<hh>/<hex>/data                           the bytes of blobs and manifests
//!   blobs/<alg>/<hh>/<hex>/data.<id>                      wharf: the same, while `data` is condemned
//!   repositories/<name>/
//!     _layers/<alg>/<hex>/link                            the repository holds this blob
//!     _manifests/revisions/<alg>/<hex>/link               the repository holds this manifest
//!     _manifests/tags/<tag>/current/link                  the manifest that the tag names
//!     _manifests/tags/<tag>/index/<alg>/<hex>/link        every manifest that it ever named
//!     _uploads/<uuid>/{startedat,data,wharf-note}         an upload session, on files
//!     _uploads/<uuid>/{startedat,wharf-…}                 an upload session, in an object store
//!     _referrers/<alg>/<hex>/<alg>/<hex>/link             wharf: <subject>/<referrer>, a descriptor and its sum
//!     _deletes/<id>                                       wharf: a delete of a manifest that is running
//!     _pulls/<id>                                         wharf: when things were last pulled, a record of each process
//!   wharf/store-id                                        wharf: which store this is, a UUID
//!   wharf/scrub                                           wharf: how far the scrub is
//!   wharf/retention                                       wharf: who applies retention, and when that was last done
//!   wharf/clock                                           wharf: written to learn what time it is in the store
//!   wharf/gc/…                                            wharf: garbage collection, see `registry::gc`
//!   wharf/usage/{totals,measured/<n>,changes/<id>}        wharf: what repositories hold, see `registry::usage`
//!   wharf/auth/keys/<period>                              wharf: what tokens of one period are signed with, see `auth::tokens`
//!   wharf/auth/robots/<name>                              wharf: a robot, see `auth::robots`
//!   wharf/auth/used/<name>                                wharf: when that robot was last used
//!   wharf/quarantine/<alg>/<hex>/<time>                   wharf: damaged bytes that were in `blobs/`
//!   wharf/pieces/<key>                                    wharf, in an object store: where a blob lies until it is put together
//! ```
//!
//! A link file holds a digest `<alg>:<hex>`, without a newline: the *canonical*
//! (SHA-256) digest under which the bytes lie in `blobs/`, which is how
//! registry:2 keeps content that was pushed by its SHA-512 digest. A tag's
//! links hold the digest of the revision that they name.

use crate::oci::{Algorithm, Digest, RepositoryName, Tag, UploadId};

const REPOSITORIES: &str = "docker/registry/v2/repositories";
const BLOBS: &str = "docker/registry/v2/blobs";
const QUARANTINE: &str = "docker/registry/v2/wharf/quarantine";
const COLLECTION: &str = "docker/registry/v2/wharf/gc";
const USAGE: &str = "docker/registry/v2/wharf/usage";
const AUTH: &str = "docker/registry/v2/wharf/auth";
const PIECES: &str = "docker/registry/v2/wharf/pieces";

/// Stands for `/` in the names of [`pieces`]: in no key of a blob, and no store
/// or library of one writes it in another way.
const JOINT: &str = "_";

/// The name of one object. Its components never are `.` or `..`, since only
/// this module makes keys, from parsed types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

/// What several keys begin with: a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

/// Where an upload session lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stage(String);

impl Key {
    /// The key with `/` between components, relative to the root directory.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says where the bytes of this key lie while they are put together, in an
    /// object store. One record for each key.
    pub(super) fn pieces(&self) -> Self {
        Self(format!(
            "{PIECES}/{}",
            self.0
                .trim_start_matches("docker/registry/v2/")
                .replace('/', JOINT)
        ))
    }

    /// A key of a blob's or a manifest's bytes as it was written down.
    pub(super) fn parse_blob(text: &str) -> Option<Self> {
        blob_of(text).map(|(_, key)| key)
    }

    /// Whether it is a blob's or a manifest's bytes, under any of their names.
    pub(super) fn is_blob(&self) -> bool {
        self.0.starts_with(BLOBS)
    }

    /// The record that [`super::Store::probe`] writes.
    pub(super) fn probe(id: &UploadId) -> Self {
        Self(format!("docker/registry/v2/.wharf-probe-{id}.tmp"))
    }

    /// What an object store is tried out with: `path` below a place of its own.
    pub(super) fn trial(id: &UploadId, path: &str) -> Self {
        Self(format!("{}/{path}", Prefix::trial(id).as_str()))
    }
}

impl Prefix {
    /// Where an object store is tried out.
    pub(super) fn trial(id: &UploadId) -> Self {
        Self(format!("docker/registry/v2/wharf/probe-{id}"))
    }

    /// The prefix without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory around the prefix that stays when it is empty: an
    /// algorithm's of `blobs`, else `repositories` or `wharf`.
    pub(super) fn floor(&self) -> &str {
        let components = match self.0.strip_prefix(BLOBS) {
            Some(_) => 5,
            None => 4,
        };
        let mut ends = self.0.match_indices('/').map(|(at, _)| at);
        let end = ends.nth(components - 1).unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or(&self.0)
    }
}

impl Stage {
    /// The session that a segment belongs to, by the segment's key.
    pub(super) fn of_segment(key: &str) -> Option<Self> {
        let (session, _) = key.split_once("/wharf-segments/")?;
        let (repository, id) = session.rsplit_once("/_uploads/")?;
        let repository = repository.strip_prefix(REPOSITORIES)?.strip_prefix('/')?;
        Some(upload(&repository.parse().ok()?, &id.parse().ok()?))
    }

    /// The session's directory, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the session was started, in RFC 3339.
    pub fn started_at(&self) -> Key {
        Key(format!("{}/startedat", self.0))
    }

    /// How far the session is, in an object store.
    pub(super) fn state(&self) -> Key {
        Key(format!("{}/wharf-state", self.0))
    }

    /// A part of its bytes, in an object store. `name` is one component.
    pub(super) fn segment(&self, name: &str) -> Key {
        Key(format!("{}/wharf-segments/{name}", self.0))
    }

    /// The large object that is being put together of its parts.
    pub(super) fn assembly(&self) -> Key {
        Key(format!("{}/wharf-assembly", self.0))
    }

    /// Everything of the session.
    pub(super) fn all(&self) -> Prefix {
        Prefix(self.0.clone())
    }
}

/// The bytes of a blob or manifest, by its canonical digest.
pub fn blob_data(digest: &Digest) -> Key {
    let hex = digest.hex();
    let shard = hex.get(..2).unwrap_or(hex);
    Key(format!("{BLOBS}/{}/{shard}/{hex}/data", digest.algorithm()))
}

/// Says that a repository holds a blob.
pub fn layer_link(repository: &RepositoryName, digest: &Digest) -> Key {
    Key(format!(
        "{REPOSITORIES}/{repository}/_layers/{}/{}/link",
        digest.algorithm(),
        digest.hex()
    ))
}

/// Says that a repository holds a manifest.
pub fn revision_link(repository: &RepositoryName, digest: &Digest) -> Key {
    Key(format!(
        "{REPOSITORIES}/{repository}/_manifests/revisions/{}/{}/link",
        digest.algorithm(),
        digest.hex()
    ))
}

/// Everything about one manifest of a repository.
pub fn revision(repository: &RepositoryName, digest: &Digest) -> Prefix {
    let link = revision_link(repository, digest).0;
    Prefix(link.trim_end_matches("/link").to_owned())
}

/// Says which manifest a tag names.
pub fn tag_current(repository: &RepositoryName, tag: &Tag) -> Key {
    Key(format!(
        "{REPOSITORIES}/{repository}/_manifests/tags/{tag}/current/link"
    ))
}

/// Says that a tag names or named a manifest.
pub fn tag_history(repository: &RepositoryName, tag: &Tag, digest: &Digest) -> Key {
    Key(format!(
        "{REPOSITORIES}/{repository}/_manifests/tags/{tag}/index/{}/{}/link",
        digest.algorithm(),
        digest.hex()
    ))
}

/// Everything about one tag.
pub fn tag(repository: &RepositoryName, tag: &Tag) -> Prefix {
    Prefix(format!("{REPOSITORIES}/{repository}/_manifests/tags/{tag}"))
}

/// The tags of a repository, one child each.
pub fn tags(repository: &RepositoryName) -> Prefix {
    Prefix(format!("{REPOSITORIES}/{repository}/_manifests/tags"))
}

/// What makes a directory a repository.
pub fn manifests(repository: &RepositoryName) -> Prefix {
    Prefix(format!("{REPOSITORIES}/{repository}/_manifests"))
}

/// The blobs that a repository holds.
pub fn layers(repository: &RepositoryName) -> Prefix {
    Prefix(format!("{REPOSITORIES}/{repository}/_layers"))
}

/// All repositories: the children are first components of names.
pub fn repositories() -> Prefix {
    Prefix(REPOSITORIES.to_owned())
}

/// The repositories below a name, and its own `_…` directories.
pub fn below(repository: &RepositoryName) -> Prefix {
    Prefix(format!("{REPOSITORIES}/{repository}"))
}

/// The referrers of one subject: `<alg>` children, each with `<hex>` children.
fn referrers(repository: &RepositoryName, subject: &Digest) -> Prefix {
    Prefix(format!(
        "{REPOSITORIES}/{repository}/_referrers/{}/{}",
        subject.algorithm(),
        subject.hex()
    ))
}

/// The referrers of every subject of a repository.
pub fn all_referrers(repository: &RepositoryName) -> Prefix {
    Prefix(format!("{REPOSITORIES}/{repository}/_referrers"))
}

/// The referrers of one subject whose own digests use one algorithm.
pub fn referrers_by(repository: &RepositoryName, subject: &Digest, algorithm: Algorithm) -> Prefix {
    Prefix(format!(
        "{}/{algorithm}",
        referrers(repository, subject).as_str()
    ))
}

/// The descriptor of one referrer, as JSON with its digest.
pub fn referrer(repository: &RepositoryName, subject: &Digest, referrer: &Digest) -> Key {
    Key(format!(
        "{}/{}/{}/link",
        referrers(repository, subject).as_str(),
        referrer.algorithm(),
        referrer.hex()
    ))
}

/// The deletes of manifests that are running in a repository.
pub fn deletes(repository: &RepositoryName) -> Prefix {
    Prefix(format!("{REPOSITORIES}/{repository}/_deletes"))
}

/// Announces a running delete. `id` is a name that [`deletes`] lists, or a new
/// one; one component.
pub fn deleting(repository: &RepositoryName, id: &str) -> Key {
    Key(format!("{REPOSITORIES}/{repository}/_deletes/{id}"))
}

/// When things of a repository were last pulled: a record of each process.
pub fn pulls(repository: &RepositoryName) -> Prefix {
    Prefix(format!("{REPOSITORIES}/{repository}/_pulls"))
}

/// What one process knows about pulls. `id` is a name that [`pulls`] lists, or a
/// new one; one component.
pub fn pulled(repository: &RepositoryName, id: &str) -> Key {
    Key(format!("{REPOSITORIES}/{repository}/_pulls/{id}"))
}

/// Says which store this is.
pub fn store_id() -> Key {
    Key("docker/registry/v2/wharf/store-id".to_owned())
}

/// One upload session.
pub fn upload(repository: &RepositoryName, id: &UploadId) -> Stage {
    Stage(format!("{REPOSITORIES}/{repository}/_uploads/{id}"))
}

/// Everything of one upload session.
pub fn upload_all(stage: &Stage) -> Prefix {
    stage.all()
}

/// The upload sessions of a repository, one child each.
pub fn uploads(repository: &RepositoryName) -> Prefix {
    Prefix(format!("{REPOSITORIES}/{repository}/_uploads"))
}

/// The blobs whose digests begin with two hex digits: one child each.
pub fn blob_shard(algorithm: Algorithm, shard: &str) -> Prefix {
    Prefix(format!("{BLOBS}/{algorithm}/{shard}"))
}

/// The blobs that are not put together yet, in an object store: a child each,
/// which [`piece_of`] reads.
pub fn pieces() -> Prefix {
    Prefix(PIECES.to_owned())
}

/// The digest in a child's name of [`pieces`].
pub fn piece_digest(name: &str) -> Option<Digest> {
    piece_of(name).map(|(digest, _)| digest)
}

/// What a child of [`pieces`] tells of: a digest, and under which of its names
/// the bytes lie in pieces.
pub fn piece_of(name: &str) -> Option<(Digest, Key)> {
    blob_of(&format!("docker/registry/v2/{}", name.replace(JOINT, "/")))
}

/// What every child of [`pieces`] begins with that tells of the names below a
/// prefix; `None` unless that is one of [`blob_names`].
pub(super) fn pieces_below(prefix: &Prefix) -> Option<String> {
    let names = format!("{}/", prefix.0);
    blob_of(&format!("{names}data"))?;
    let below = names.strip_prefix("docker/registry/v2/")?;
    Some(below.replace('/', JOINT))
}

/// The digest in a key of a blob's bytes that was written down, and the key.
fn blob_of(text: &str) -> Option<(Digest, Key)> {
    let mut parts = text.strip_prefix(BLOBS)?.strip_prefix('/')?.split('/');
    let (algorithm, _, hex, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let digest: Digest = format!("{algorithm}:{hex}").parse().ok()?;
    let key = blob_named(&digest, name)?;
    (key.0 == text).then_some((digest, key))
}

/// The blobs that a repository holds by digests of one algorithm.
pub fn layers_by(repository: &RepositoryName, algorithm: Algorithm) -> Prefix {
    Prefix(format!("{}/{algorithm}", layers(repository).0))
}

/// The manifests that a repository holds by digests of one algorithm.
pub fn revisions_by(repository: &RepositoryName, algorithm: Algorithm) -> Prefix {
    Prefix(format!("{}/revisions/{algorithm}", manifests(repository).0))
}

/// The manifests that a tag ever named by digests of one algorithm.
pub fn tag_history_by(repository: &RepositoryName, name: &Tag, algorithm: Algorithm) -> Prefix {
    Prefix(format!("{}/index/{algorithm}", tag(repository, name).0))
}

/// The subjects that referrers are recorded for, by digests of one algorithm.
pub fn subjects_by(repository: &RepositoryName, algorithm: Algorithm) -> Prefix {
    Prefix(format!("{}/_referrers/{algorithm}", below(repository).0))
}

/// The blobs that were set aside: a child for each digest's hex part.
pub fn quarantine(algorithm: Algorithm) -> Prefix {
    Prefix(format!("{QUARANTINE}/{algorithm}"))
}

/// What was set aside of one blob: a child for each time.
pub fn quarantined(digest: &Digest) -> Prefix {
    Prefix(format!(
        "{QUARANTINE}/{}/{}",
        digest.algorithm(),
        digest.hex()
    ))
}

/// Where a damaged blob is set aside. `time` is one component.
pub fn quarantined_at(digest: &Digest, time: &str) -> Key {
    Key(format!("{}/{time}", quarantined(digest).0))
}

/// The keys that tokens are signed with, a child for each period.
pub fn token_keys() -> Prefix {
    Prefix("docker/registry/v2/wharf/auth/keys".to_owned())
}

/// What the tokens of one period are signed with.
pub fn token_key(period: u64) -> Key {
    Key(format!("{}/{period}", token_keys().0))
}

/// How far the scrub of this store is.
pub fn scrub() -> Key {
    Key("docker/registry/v2/wharf/scrub".to_owned())
}

/// Who applies retention to this store, and when that was last done.
pub fn retention() -> Key {
    Key("docker/registry/v2/wharf/retention".to_owned())
}

/// Written by whoever asks what time it is in the store.
pub fn clock() -> Key {
    Key("docker/registry/v2/wharf/clock".to_owned())
}

/// Where else the bytes of a blob or manifest may lie: a name that was never
/// used before, for when [`blob_data`] is condemned.
pub fn blob_again(digest: &Digest, id: &UploadId) -> Key {
    Key(format!("{}.{id}", blob_data(digest).0))
}

/// The names under which the bytes of one digest lie: `data`, `data.<id>`.
pub fn blob_names(digest: &Digest) -> Prefix {
    let data = blob_data(digest).0;
    Prefix(data.trim_end_matches("/data").to_owned())
}

/// One of the names that [`blob_names`] lists, as a key; `None` if it is none
/// that bytes are kept under.
pub fn blob_named(digest: &Digest, name: &str) -> Option<Key> {
    match name.strip_prefix("data") {
        Some("") => Some(blob_data(digest)),
        Some(rest) => {
            let id: UploadId = rest.strip_prefix('.')?.parse().ok()?;
            Some(blob_again(digest, &id))
        }
        None => None,
    }
}

/// The blobs that were written under another name than `data`: a child for each
/// canonical digest's hex part.
pub fn written_again() -> Prefix {
    Prefix(format!("{COLLECTION}/again"))
}

/// Notes that a blob was written under another name.
pub fn again(digest: &Digest) -> Key {
    Key(format!("{COLLECTION}/again/{}", digest.hex()))
}

/// What the pushes of manifests under way are about to need, one child each.
pub fn intents() -> Prefix {
    Prefix(format!("{COLLECTION}/intents"))
}

/// What one push is about to need.
pub fn intent(id: &UploadId) -> Key {
    Key(format!("{COLLECTION}/intents/{id}"))
}

/// The marks and runs of collections that are registered, one child each.
pub fn runs() -> Prefix {
    Prefix(format!("{COLLECTION}/runs"))
}

/// A registered mark or run. `name` is one component.
pub fn run(name: &str) -> Key {
    Key(format!("{COLLECTION}/runs/{name}"))
}

/// The decisions of runs, one child each, named like the run.
pub fn decisions() -> Prefix {
    Prefix(format!("{COLLECTION}/decisions"))
}

/// What one run will remove.
pub fn decision(name: &str) -> Key {
    Key(format!("{COLLECTION}/decisions/{name}"))
}

/// The pushes that ended while marks were registered: a child for each mark.
pub fn all_pushed() -> Prefix {
    Prefix(format!("{COLLECTION}/pushed"))
}

/// The pushes that ended while one mark was registered, one child each.
pub fn pushed(mark: &str) -> Prefix {
    Prefix(format!("{COLLECTION}/pushed/{mark}"))
}

/// What one push needs that ended while a mark was registered.
pub fn pushed_by(mark: &str, id: &UploadId) -> Key {
    Key(format!("{COLLECTION}/pushed/{mark}/{id}"))
}

/// How far a collection was, for one that goes on with it.
pub fn checkpoint() -> Key {
    Key(format!("{COLLECTION}/checkpoint"))
}

/// The pieces of what it had found, one child each.
pub fn checkpoint_pieces() -> Prefix {
    Prefix(format!("{COLLECTION}/found"))
}

/// One piece of what it had found. `name` is one component.
pub fn checkpoint_piece(name: &str) -> Key {
    Key(format!("{COLLECTION}/found/{name}"))
}

/// Whoever collects has it ([`super::Store::hold`]).
pub fn collector() -> Key {
    Key(format!("{COLLECTION}/collector"))
}

/// When the last collection was, and what came of it.
pub fn collections() -> Key {
    Key(format!("{COLLECTION}/record"))
}

/// What the last collection measured in all.
pub fn usage_totals() -> Key {
    Key(format!("{USAGE}/totals"))
}

/// The pieces of what it measured of the repositories, one child each.
pub fn usage_pieces() -> Prefix {
    Prefix(format!("{USAGE}/measured"))
}

/// One piece of what it measured of the repositories.
pub fn usage_piece(index: usize) -> Key {
    Key(format!("{USAGE}/measured/{index}"))
}

/// What has changed since, one child for each process.
pub fn usage_changes() -> Prefix {
    Prefix(format!("{USAGE}/changes"))
}

/// What one process has changed since.
pub fn usage_changed_by(id: &UploadId) -> Key {
    Key(format!("{USAGE}/changes/{id}"))
}

/// The robots, one child each.
pub fn robots() -> Prefix {
    Prefix(format!("{AUTH}/robots"))
}

/// What is kept of a robot. `name` is one component.
pub fn robot(name: &str) -> Key {
    Key(format!("{AUTH}/robots/{name}"))
}

/// When a robot was last used. `name` is one component.
pub fn robot_used(name: &str) -> Key {
    Key(format!("{AUTH}/used/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        Algorithm::Sha256.digest(b"x")
    }

    #[test]
    fn every_name_of_a_blob_is_read_back() {
        let id = UploadId::random();
        for key in [blob_data(&digest()), blob_again(&digest(), &id)] {
            assert!(key.is_blob());
            assert_eq!(Key::parse_blob(key.as_str()), Some(key.clone()));
            let pieces = key.pieces();
            let child = pieces.as_str().strip_prefix(PIECES).unwrap();
            let child = child.strip_prefix('/').unwrap();
            assert_eq!(piece_of(child), Some((digest(), key.clone())));
            assert_eq!(piece_digest(child), Some(digest()));
            let beginning = pieces_below(&blob_names(&digest())).unwrap();
            let name = child.strip_prefix(&beginning).unwrap();
            assert_eq!(blob_named(&digest(), name), Some(key));
        }
        let data = blob_data(&digest()).0;
        for other in ["x", ".", ".x", ".tmp", "/x"].map(|rest| format!("{data}{rest}")) {
            assert_eq!(Key::parse_blob(&other), None, "{other}");
        }
        let elsewhere = data.replacen("sha256/", "sha256/0", 1);
        assert_eq!(Key::parse_blob(&elsewhere), None);
        assert_eq!(pieces_below(&blob_shard(Algorithm::Sha256, "ab")), None);
    }

    #[test]
    fn a_segment_tells_its_session() {
        let stage = upload(&"team/app".parse().unwrap(), &UploadId::random());
        let segment = stage.segment("00000-x");
        assert_eq!(Stage::of_segment(segment.as_str()), Some(stage.clone()));
        assert_eq!(Stage::of_segment(stage.started_at().as_str()), None);
    }

    #[test]
    fn what_stays_of_the_tree_is_the_same_for_all_below() {
        let repository: RepositoryName = "a/b".parse().unwrap();
        for (prefix, floor) in [
            (blob_names(&digest()), format!("{BLOBS}/sha256")),
            (
                blob_shard(Algorithm::Sha256, "ab"),
                format!("{BLOBS}/sha256"),
            ),
            (tags(&repository), REPOSITORIES.to_owned()),
            (repositories(), REPOSITORIES.to_owned()),
            (intents(), "docker/registry/v2/wharf".to_owned()),
        ] {
            assert_eq!(prefix.floor(), floor);
        }
    }
}
