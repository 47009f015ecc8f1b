//! What can go wrong, in the words of the domain.

use super::ImmutableRule;
use super::usage::readable;
use crate::oci::{Digest, InvalidManifest, Reference, RepositoryName, Tag};
use crate::storage::StorageError;

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The blob is not in this repository.
    #[error("blob {0} is not in this repository")]
    BlobUnknown(Digest),
    /// The manifest is not in this repository.
    #[error("manifest {0} is not in this repository")]
    ManifestUnknown(Reference),
    /// Nothing was ever pushed under this name.
    #[error("repository {0} does not exist")]
    NameUnknown(RepositoryName),
    /// There is no such upload: it was finished, cancelled, has expired, or
    /// belongs to another repository.
    #[error("there is no such upload: it was finished, was cancelled or has expired")]
    UploadUnknown,
    /// The chunk does not begin where the upload ends.
    #[error("the chunk begins at byte {start}, but the upload has {size} bytes")]
    ChunkOutOfOrder {
        /// Where the chunk begins.
        start: u64,
        /// The upload's size in bytes.
        size: u64,
    },
    /// Another request is writing to the upload.
    #[error("another request is writing to this upload")]
    UploadBusy,
    /// The user has as many uploads open as they may.
    #[error(
        "you have {most} uploads open, and more are not allowed at once: finish or cancel some, or try again in a few minutes (limits.uploadsperuser)"
    )]
    TooManyUploads {
        /// How many they may have.
        most: usize,
    },
    /// Less room is left than must be.
    #[error(
        "little room is left on the registry's storage, so it takes nothing new: ask its administrator to make room (limits.freespace); what is there can be pulled and deleted"
    )]
    LittleRoom,
    /// What arrived has another length than was announced.
    #[error("{expected} bytes were announced, and {actual} arrived")]
    SizeMismatch {
        /// Announced bytes.
        expected: u64,
        /// Bytes that arrived.
        actual: u64,
    },
    /// The content has another digest than the client says.
    #[error("the content's digest is {actual}, not {expected}")]
    DigestMismatch {
        /// What the client says.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// The manifest is malformed, or refused by the configuration.
    #[error("{0}")]
    ManifestInvalid(#[from] InvalidManifest),
    /// The manifest names a URL or a size that is refused.
    #[error("{0}")]
    ManifestRefused(String),
    /// The manifest needs content that is not in this repository.
    #[error("the manifest needs content that is not in this repository: push it first")]
    PartsUnknown(Vec<Digest>),
    /// The quota does not allow it.
    #[error(
        "the quota of `{quota}` is {}, of which {} are used or being uploaded, and this needs {} more: delete images that nobody needs, which counts once `wharf gc` has collected them, or ask the registry's administrator for more (quotas)",
        readable(*size), readable(*used), readable(*needs)
    )]
    QuotaExceeded {
        /// The pattern of repositories that share it.
        quota: String,
        /// Its bytes.
        size: u64,
        /// The bytes of it that are taken.
        used: u64,
        /// The bytes that were asked for.
        needs: u64,
    },
    /// The tag can be neither moved nor removed.
    #[error(
        "tag {tag} of {repository} is immutable ({rule}) and names {named}, so it can be neither moved nor removed: use another tag, or ask the registry's administrator to change the rule"
    )]
    TagImmutable {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// What it names.
        named: Digest,
        /// The rule that says so.
        rule: ImmutableRule,
    },
    /// The manifest is a child of an index, and such are not deleted.
    #[error(
        "manifest {digest} belongs to the index {index}, so it can't be deleted before that (storage.delete.children): delete the index first"
    )]
    ChildOfIndex {
        /// The manifest.
        digest: Digest,
        /// An index that names it.
        index: Digest,
    },
    /// Deletes are switched off.
    #[error("deleting is switched off")]
    DeleteDisabled,
    /// Every write is switched off.
    #[error("the registry is read-only")]
    ReadOnly,
    /// The client's content broke off.
    #[error("the content broke off after {size} bytes of the upload: {cause}")]
    Interrupted {
        /// The upload's size now: it can be continued from there.
        size: u64,
        /// Why.
        cause: std::io::Error,
    },
    /// Manifests of the repository are being deleted, and go on being.
    #[error("manifests of {0} are being deleted at the moment: push again")]
    DeleteRuns(RepositoryName),
    /// The push of a manifest took so long that its intent was taken for that of
    /// a process that died.
    #[error("this push took longer than a push may: push again")]
    PushTookTooLong,
    /// The server stops while it was writing.
    #[error("the registry is stopping")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::UnknownStage => Self::UploadUnknown,
            StorageError::Interrupted { size, cause } => Self::Interrupted { size, cause },
            StorageError::WrongOffset { expected, actual } => Self::ChunkOutOfOrder {
                start: expected,
                size: actual,
            },
            other => Self::Storage(other),
        }
    }
}
