//! What a request asks for: one value for each endpoint of distribution-spec,
//! parsed from method, path and query.
//!
//! Repository names hold slashes, so the path is read from the right, where
//! the grammar is unambiguous.

use std::str::FromStr;

use http::Method;
use percent_encoding::percent_decode_str;

use super::Limits;
use super::error::Problem;
use super::query::Query;
use crate::auth::caller::Needed;
use crate::oci::{Action, Algorithm, Digest, ErrorCode, Reference, RepositoryName, Tag, UploadId};
use crate::registry::StoreId;

/// One request of the API. `HEAD` is the operation of its `GET`.
pub(super) enum Operation {
    /// `GET /token`, and `POST` with a form
    Token,
    /// `GET /v2/`
    Base,
    /// `GET /v2/_catalog`
    Catalog {
        after: Option<String>,
        limit: Option<usize>,
    },
    /// `GET /v2/_wharf/usage`
    Usage {
        after: Option<String>,
        limit: Option<usize>,
        /// Only this one.
        repository: Option<RepositoryName>,
    },
    /// Everything within one repository.
    In(RepositoryName, Resource),
}

/// Where tokens are given out.
const TOKEN: &str = "/token";

/// What is asked of a repository.
pub(super) enum Resource {
    /// `GET tags/list`
    Tags {
        after: Option<String>,
        limit: Option<usize>,
    },
    /// `GET referrers/<digest>`
    Referrers {
        subject: Digest,
        artifact_type: Option<String>,
        after: Option<Digest>,
        limit: Option<usize>,
    },
    /// `GET manifests/<reference>`
    GetManifest(Reference),
    /// `PUT manifests/<reference>`
    PutManifest {
        reference: Reference,
        tags: Vec<Tag>,
    },
    /// `DELETE manifests/<reference>`
    DeleteManifest(Reference),
    /// `GET blobs/<digest>`
    GetBlob(Digest),
    /// `DELETE blobs/<digest>`
    DeleteBlob(Digest),
    /// `POST blobs/uploads/`
    StartUpload(Start),
    /// `GET blobs/uploads/<id>`
    UploadStatus(Session),
    /// `PATCH blobs/uploads/<id>`
    Append(Session),
    /// `PUT blobs/uploads/<id>?digest=`
    Finish(Session, Digest),
    /// `DELETE blobs/uploads/<id>`
    CancelUpload(Session),
}

/// An upload session as its `Location` names it.
pub(super) struct Session {
    pub(super) id: UploadId,
    /// On which store it was begun; clients that don't keep it are served too.
    pub(super) store: Option<StoreId>,
}

/// The ways to start an upload.
pub(super) enum Start {
    /// A session, to be closed with a digest by this algorithm if one is announced.
    Session(Option<Algorithm>),
    /// The whole blob in this request.
    Whole(Digest),
    /// Take the blob from another repository, or from any.
    Mount {
        digest: Digest,
        from: Option<RepositoryName>,
    },
}

/// Which resource a path names, before the method is looked at.
enum Place<'a> {
    Token,
    Base,
    Catalog,
    Usage,
    Tags(&'a [String]),
    Referrers(&'a [String], &'a str),
    Manifest(&'a [String], &'a str),
    Blob(&'a [String], &'a str),
    Uploads(&'a [String]),
    Upload(&'a [String], &'a str),
}

impl Operation {
    /// Parses a request. `path` comes as it was sent, without the query.
    pub(super) fn parse(
        method: &Method,
        path: &str,
        query: &str,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        let segments = match path {
            TOKEN => Vec::new(),
            _ => segments(path)?,
        };
        let place = match path {
            TOKEN => Place::Token,
            _ => place(&segments)?,
        };
        let allowed = place.methods();
        if *method == Method::OPTIONS {
            return Err(Problem::options(allowed));
        }
        let read = *method == Method::GET || *method == Method::HEAD;
        let query = Query::parse(query, limits.query_parameters)?;
        let after = || query.last().map(str::to_owned);
        match (place, method.as_str()) {
            (Place::Token, "GET" | "POST") => Ok(Self::Token),
            (Place::Base, _) if read => Ok(Self::Base),
            (Place::Catalog, _) if read => Ok(Self::Catalog {
                after: after(),
                limit: query.n()?,
            }),
            (Place::Usage, _) if read => Ok(Self::Usage {
                after: after(),
                limit: query.n()?,
                repository: query.get("repository").map(repository).transpose()?,
            }),
            (Place::Tags(name), _) if read => Self::within(name, || {
                Ok(Resource::Tags {
                    after: after(),
                    limit: query.n()?,
                })
            }),
            (Place::Referrers(name, digest), _) if read => Self::within(name, || {
                Ok(Resource::Referrers {
                    subject: self::digest(digest)?,
                    artifact_type: query
                        .get("artifactType")
                        .filter(|text| !text.is_empty())
                        .map(str::to_owned),
                    after: query.last().map(self::digest).transpose()?,
                    limit: query.n()?,
                })
            }),
            (Place::Manifest(name, reference), _) if read => {
                Self::within(name, || Ok(Resource::GetManifest(wanted(reference)?)))
            }
            (Place::Manifest(name, reference), "DELETE") => {
                Self::within(name, || Ok(Resource::DeleteManifest(wanted(reference)?)))
            }
            (Place::Manifest(name, reference), "PUT") => {
                Self::within(name, || put_manifest(reference, &query, limits.tags))
            }
            (Place::Blob(name, digest), _) if read => {
                Self::within(name, || Ok(Resource::GetBlob(self::digest(digest)?)))
            }
            (Place::Blob(name, digest), "DELETE") => {
                Self::within(name, || Ok(Resource::DeleteBlob(self::digest(digest)?)))
            }
            (Place::Uploads(name), "POST") => {
                Self::within(name, || Ok(Resource::StartUpload(start(&query)?)))
            }
            (Place::Upload(name, id), _) if read => {
                Self::within(name, || Ok(Resource::UploadStatus(session(id, &query)?)))
            }
            (Place::Upload(name, id), "PATCH") => {
                Self::within(name, || Ok(Resource::Append(session(id, &query)?)))
            }
            (Place::Upload(name, id), "PUT") => Self::within(name, || {
                let session = session(id, &query)?;
                let digest = query.unambiguous("digest")?.unwrap_or_default();
                Ok(Resource::Finish(session, self::digest(digest)?))
            }),
            (Place::Upload(name, id), "DELETE") => {
                Self::within(name, || Ok(Resource::CancelUpload(session(id, &query)?)))
            }
            _ => Err(Problem::method_not_allowed(allowed)),
        }
    }

    /// registry:2's name of the resource: a label of metrics and logs.
    pub(super) fn handler(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Base => "base",
            Self::Catalog { .. } => "catalog",
            Self::Usage { .. } => "usage",
            Self::In(_, resource) => match resource {
                Resource::Tags { .. } => "tags",
                Resource::Referrers { .. } => "referrers",
                Resource::GetManifest(_)
                | Resource::PutManifest { .. }
                | Resource::DeleteManifest(_) => "manifest",
                Resource::GetBlob(_) | Resource::DeleteBlob(_) => "blob",
                Resource::StartUpload(_) => "blob_upload",
                Resource::UploadStatus(_)
                | Resource::Append(_)
                | Resource::Finish(..)
                | Resource::CancelUpload(_) => "blob_upload_chunk",
            },
        }
    }

    /// The repository, if the operation is within one.
    pub(super) fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Token | Self::Base | Self::Catalog { .. } => None,
            Self::Usage { repository, .. } => repository.as_ref(),
            Self::In(name, _) => Some(name),
        }
    }

    /// The scopes that a token needs for it, as registry:2 asks for them.
    pub(super) fn needs(&self) -> Vec<Needed> {
        use Action::{Delete, Pull, Push};
        match self {
            Self::Token | Self::Base => Vec::new(),
            Self::Catalog { .. } | Self::Usage { .. } => vec![Needed::Catalog],
            Self::In(name, resource) => {
                let actions: &[Action] = match resource {
                    Resource::Tags { .. }
                    | Resource::Referrers { .. }
                    | Resource::GetManifest(_)
                    | Resource::GetBlob(_) => &[Pull],
                    Resource::DeleteManifest(_) | Resource::DeleteBlob(_) => &[Delete],
                    Resource::PutManifest { .. }
                    | Resource::StartUpload(_)
                    | Resource::UploadStatus(_)
                    | Resource::Append(_)
                    | Resource::Finish(..)
                    | Resource::CancelUpload(_) => &[Pull, Push],
                };
                let source = match resource {
                    Resource::StartUpload(Start::Mount { from, .. }) => from.as_ref(),
                    _ => None,
                };
                let source = source.map(|from| Needed::within(from, &[Pull]));
                let here = Needed::within(name, actions);
                [here].into_iter().chain(source).collect()
            }
        }
    }

    /// The tag, digest or upload that is asked for.
    pub(super) fn reference(&self) -> Option<String> {
        let Self::In(_, resource) = self else {
            return None;
        };
        match resource {
            Resource::Tags { .. } => None,
            Resource::Referrers { subject, .. } => Some(subject.to_string()),
            Resource::GetManifest(reference)
            | Resource::PutManifest { reference, .. }
            | Resource::DeleteManifest(reference) => Some(reference.to_string()),
            Resource::GetBlob(digest)
            | Resource::DeleteBlob(digest)
            | Resource::Finish(_, digest) => Some(digest.to_string()),
            Resource::StartUpload(Start::Whole(digest) | Start::Mount { digest, .. }) => {
                Some(digest.to_string())
            }
            Resource::StartUpload(Start::Session(_)) => None,
            Resource::UploadStatus(session)
            | Resource::Append(session)
            | Resource::CancelUpload(session) => Some(session.id.to_string()),
        }
    }

    fn within(
        name: &[String],
        resource: impl FnOnce() -> Result<Resource, Problem>,
    ) -> Result<Self, Problem> {
        let name = repository(&name.join("/"))?;
        Ok(Self::In(name, resource()?))
    }
}

impl Place<'_> {
    fn methods(&self) -> &'static str {
        match self {
            Self::Token => "GET, POST",
            Self::Base | Self::Catalog | Self::Usage | Self::Tags(_) | Self::Referrers(..) => {
                "GET, HEAD"
            }
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Self::Blob(..) => "GET, HEAD, DELETE",
            Self::Uploads(_) => "POST",
            Self::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
        }
    }
}

/// The decoded parts of the path behind `/v2/`. A part that hides a slash is
/// refused by the grammar of whatever it stands for.
fn segments(path: &str) -> Result<Vec<String>, Problem> {
    let not_found = Problem::nowhere;
    let rest = match path.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Vec::new()),
        Some(rest) => rest.strip_prefix('/').ok_or_else(not_found)?,
        None => return Err(not_found()),
    };
    rest.split('/')
        .map(|part| match percent_decode_str(part).decode_utf8() {
            Ok(text) if !text.contains('/') => Ok(text.into_owned()),
            _ => Err(Problem::bad_request(
                ErrorCode::NameInvalid,
                "the path is no valid name",
            )),
        })
        .collect()
}

fn place(segments: &[String]) -> Result<Place<'_>, Problem> {
    let texts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let name = |rest: usize| {
        segments
            .get(..segments.len().saturating_sub(rest))
            .unwrap_or_default()
    };
    match texts.as_slice() {
        [] => Ok(Place::Base),
        ["_catalog"] => Ok(Place::Catalog),
        ["_wharf", "usage"] => Ok(Place::Usage),
        [_, .., "tags", "list"] => Ok(Place::Tags(name(2))),
        [_, .., "blobs", "uploads", ""] => Ok(Place::Uploads(name(3))),
        [_, .., "blobs", "uploads"] => Ok(Place::Uploads(name(2))),
        [_, .., "blobs", "uploads", id] => Ok(Place::Upload(name(3), id)),
        [_, .., "manifests", reference] => Ok(Place::Manifest(name(2), reference)),
        [_, .., "blobs", digest] => Ok(Place::Blob(name(2), digest)),
        [_, .., "referrers", digest] => Ok(Place::Referrers(name(2), digest)),
        _ => Err(Problem::not_found(
            ErrorCode::NameUnknown,
            "there is nothing at this path: expected manifests, blobs, tags or referrers of a repository",
        )),
    }
}

fn repository(text: &str) -> Result<RepositoryName, Problem> {
    text.parse().map_err(|error: crate::oci::InvalidName| {
        Problem::bad_request(ErrorCode::NameInvalid, error.to_string())
    })
}

fn digest(text: &str) -> Result<Digest, Problem> {
    Digest::from_str(text)
        .map_err(|error| Problem::bad_request(ErrorCode::DigestInvalid, error.to_string()))
}

fn session(id: &str, query: &Query) -> Result<Session, Problem> {
    let id = id.parse().map_err(|error: crate::oci::InvalidUploadId| {
        Problem::not_found(ErrorCode::BlobUploadUnknown, error.to_string())
    })?;
    let store = query.get("store").and_then(|text| text.parse().ok());
    Ok(Session { id, store })
}

/// A reference to something that should exist: what is no valid tag does not.
fn wanted(text: &str) -> Result<Reference, Problem> {
    use crate::oci::InvalidReference as Invalid;
    text.parse().map_err(|error| match error {
        Invalid::Tag(error) => Problem::not_found(ErrorCode::ManifestUnknown, error.to_string()),
        Invalid::Digest(error) => Problem::bad_request(ErrorCode::DigestInvalid, error.to_string()),
    })
}

fn put_manifest(reference: &str, query: &Query, most: usize) -> Result<Resource, Problem> {
    use crate::oci::InvalidReference as Invalid;
    let invalid_tag = |error: crate::oci::InvalidTag| {
        Problem::bad_request(ErrorCode::ManifestInvalid, error.to_string())
    };
    let reference = reference.parse().map_err(|error| match error {
        Invalid::Tag(error) => invalid_tag(error),
        Invalid::Digest(error) => Problem::bad_request(ErrorCode::DigestInvalid, error.to_string()),
    })?;
    let mut tags: Vec<Tag> = query
        .all("tag")
        .map(|text| text.parse().map_err(invalid_tag))
        .collect::<Result<_, _>>()?;
    if tags.len() > most {
        return Err(Problem::too_many_tags(most));
    }
    tags.sort_unstable();
    tags.dedup();
    Ok(Resource::PutManifest { reference, tags })
}

fn start(query: &Query) -> Result<Start, Problem> {
    if let Some(mount) = query.unambiguous("mount")? {
        let from = query.unambiguous("from")?.filter(|name| !name.is_empty());
        let from = from.map(repository).transpose()?;
        return Ok(Start::Mount {
            digest: digest(mount)?,
            from,
        });
    }
    if let Some(whole) = query.unambiguous("digest")? {
        return Ok(Start::Whole(digest(whole)?));
    }
    let algorithm = query
        .unambiguous("digest-algorithm")?
        .map(str::parse)
        .transpose();
    algorithm
        .map(Start::Session)
        .map_err(|error: crate::oci::InvalidDigest| {
            Problem::bad_request(ErrorCode::DigestInvalid, error.to_string())
        })
}
