//! The vocabulary of the OCI distribution specification, without any I/O.
//!
//! Strings from outside become these types once, at the edge, or are refused
//! there. Each type has one grammar, `FromStr` and `Display` as its wire form,
//! so that what is inside the program is always valid.

mod action;
mod descriptor;
mod digest;
mod error_code;
mod fields;
mod json;
mod manifest;
mod media_type;
mod name;
mod pattern;
mod readings;
mod reference;
mod span;
mod tag;
mod upload_id;

pub use action::{Action, Actions, InvalidAction};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Digester, InvalidDigest};
pub use error_code::ErrorCode;
pub use manifest::{Bounds, InvalidManifest, Manifest, Part, PartKind, Platform};
pub use media_type::{ManifestType, OCI_IMAGE_INDEX};
pub use name::{InvalidName, RepositoryName};
pub use pattern::{InvalidPattern, RepositoryPattern, TagPattern};
pub use reference::{InvalidReference, Reference};
pub use span::Span;
pub use tag::{InvalidTag, Tag};
pub use upload_id::{InvalidUploadId, UploadId};
