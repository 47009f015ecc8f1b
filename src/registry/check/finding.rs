//! What a check found: which kind, where, in words, and what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::oci::{Digest, RepositoryName, Tag, UploadId};

/// What is wrong, or left over. The names in JSON and in metrics are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The bytes of a blob or manifest don't have its digest.
    DamagedBlob,
    /// Something is there and can't be read.
    Unreadable,
    /// A link holds no digest.
    MalformedLink,
    /// A link holds another digest than it must.
    WrongLink,
    /// A repository holds a manifest whose bytes are gone.
    MissingManifest,
    /// A manifest needs something that its repository doesn't have.
    IncompleteManifest,
    /// A part has another size than its manifest says.
    WrongSize,
    /// A tag names a manifest that its repository doesn't have.
    DanglingTag,
    /// The list of what a tag named is torn.
    BrokenTagHistory,
    /// A manifest is not listed among its subject's referrers.
    MissingReferrer,
    /// The record of a referrer is torn, or says something else than the manifest.
    WrongReferrer,
    /// A note: a repository links a blob whose bytes are gone, and no manifest
    /// needs it.
    LayerWithoutContent,
    /// A note: a tag without a manifest.
    UnfinishedTag,
    /// A note: a record of a referrer that is gone.
    SuperfluousReferrer,
    /// A note: a manifest that this registry doesn't serve.
    UnsupportedManifest,
    /// A note: an upload that nobody goes on with.
    OldUpload,
    /// A note: what is left of an upload.
    UnfinishedUpload,
    /// A note: the announcement of a delete that has ended.
    OldDelete,
    /// A note: a file that was being written when the process ended.
    TemporaryFile,
    /// A note: something that no registry puts there.
    StrangeFile,
    /// A note: bytes that an earlier repair has set aside.
    Quarantined,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// The bytes of a blob or manifest.
    Blob(Digest),
    /// A blob of a repository.
    Layer(RepositoryName, Digest),
    /// A manifest of a repository.
    Manifest(RepositoryName, Digest),
    /// A tag.
    Tag(RepositoryName, Tag),
    /// A manifest among the referrers of another.
    Referrer {
        /// Both are in this repository.
        repository: RepositoryName,
        /// What the other says something about.
        subject: Digest,
        /// The manifest that says it.
        digest: Digest,
    },
    /// An upload.
    Upload(RepositoryName, UploadId),
    /// The announcement of a delete.
    Delete(RepositoryName, String),
    /// Something below the root directory.
    File(String),
}

/// One thing that is wrong or left over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// Where.
    pub place: Place,
    /// What is wrong, in words.
    pub what: String,
}

impl Kind {
    /// Whether something is lost or will fail, rather than merely left over.
    pub fn is_damage(self) -> bool {
        self <= Self::WrongReferrer
    }

    /// Its stable name: `damaged-blob`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DamagedBlob => "damaged-blob",
            Self::Unreadable => "unreadable",
            Self::MalformedLink => "malformed-link",
            Self::WrongLink => "wrong-link",
            Self::MissingManifest => "missing-manifest",
            Self::IncompleteManifest => "incomplete-manifest",
            Self::WrongSize => "wrong-size",
            Self::DanglingTag => "dangling-tag",
            Self::BrokenTagHistory => "broken-tag-history",
            Self::MissingReferrer => "missing-referrer",
            Self::WrongReferrer => "wrong-referrer",
            Self::LayerWithoutContent => "layer-without-content",
            Self::UnfinishedTag => "unfinished-tag",
            Self::SuperfluousReferrer => "superfluous-referrer",
            Self::UnsupportedManifest => "unsupported-manifest",
            Self::OldUpload => "old-upload",
            Self::UnfinishedUpload => "unfinished-upload",
            Self::OldDelete => "old-delete",
            Self::TemporaryFile => "temporary-file",
            Self::StrangeFile => "strange-file",
            Self::Quarantined => "quarantined",
        }
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::DamagedBlob => {
                "look at the disk; `--repair` sets it aside, then push the images that need it again, or heal with `--from`"
            }
            Self::Unreadable => "look at the disk and at who may read the file",
            Self::MalformedLink | Self::WrongLink => {
                "`--repair` writes it again if its content is known; else push again"
            }
            Self::MissingManifest | Self::IncompleteManifest | Self::DanglingTag => {
                "push the image again, heal with `--repair --from`, or delete it"
            }
            Self::WrongSize => "build and push the image again: clients refuse it as it is",
            Self::BrokenTagHistory | Self::MissingReferrer | Self::WrongReferrer => {
                "`--repair` writes it again; nothing is lost"
            }
            Self::LayerWithoutContent => {
                "nothing, unless a manifest needs it, which is told by itself; the next push brings it"
            }
            Self::UnfinishedTag => "push the tag again, or delete it",
            Self::SuperfluousReferrer => "nothing: it isn't listed; `--repair` removes it",
            Self::UnsupportedManifest => "push the image again with a current client",
            Self::OldUpload | Self::UnfinishedUpload => "nothing: `uploadpurging` removes it",
            Self::OldDelete => "nothing: the next push removes it",
            Self::TemporaryFile => {
                "nothing: a later write removes it, and `--repair` if it is older than a day"
            }
            Self::StrangeFile => "look who put it there; the registry steps over it",
            Self::Quarantined => "remove it when you don't want to look at it any more",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Place {
    /// The repository that it is in.
    pub fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Layer(repository, _)
            | Self::Manifest(repository, _)
            | Self::Tag(repository, _)
            | Self::Referrer { repository, .. }
            | Self::Upload(repository, _)
            | Self::Delete(repository, _) => Some(repository),
            Self::Blob(_) | Self::File(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) => write!(formatter, "blob {digest}"),
            Self::Layer(repository, digest) => write!(formatter, "{repository}: blob {digest}"),
            Self::Manifest(repository, digest) => {
                write!(formatter, "{repository}: manifest {digest}")
            }
            Self::Tag(repository, tag) => write!(formatter, "{repository}: tag {tag}"),
            Self::Referrer {
                repository,
                subject,
                digest,
            } => write!(formatter, "{repository}: referrer {digest} of {subject}"),
            Self::Upload(repository, id) => write!(formatter, "{repository}: upload {id}"),
            Self::Delete(repository, id) => write!(formatter, "{repository}: delete {id}"),
            Self::File(path) => write!(formatter, "{}", path.escape_debug()),
        }
    }
}

impl Finding {
    /// A finding.
    pub(super) fn new(kind: Kind, place: &Place, what: impl Into<String>) -> Self {
        Self {
            kind,
            place: place.clone(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.kind, self.place, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_json_says() {
        for kind in [
            Kind::DamagedBlob,
            Kind::WrongReferrer,
            Kind::LayerWithoutContent,
            Kind::Quarantined,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert!(Kind::WrongReferrer.is_damage());
        assert!(!Kind::LayerWithoutContent.is_damage());
    }
}
