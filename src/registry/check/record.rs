//! A finding as JSON, for programs and for a check that goes on later.

use serde::{Deserialize, Serialize};

use super::finding::{Finding, Kind, Place};
use crate::oci::Digest;

/// A finding with its place in fields of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its kind.
    pub kind: Kind,
    /// `blob`, `layer`, `manifest`, `tag`, `referrer`, `upload`, `delete`, `file`
    pub at: String,
    /// The repository that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The blob or manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The subject of a referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// The tag, upload, delete or file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is wrong, in words.
    pub what: String,
    /// What to do about it.
    #[serde(default, rename = "do")]
    pub advice: String,
}

impl From<&Finding> for Record {
    fn from(finding: &Finding) -> Self {
        let (at, digest, subject, name) = match &finding.place {
            Place::Blob(digest) => ("blob", Some(digest), None, None),
            Place::Layer(_, digest) => ("layer", Some(digest), None, None),
            Place::Manifest(_, digest) => ("manifest", Some(digest), None, None),
            Place::Tag(_, tag) => ("tag", None, None, Some(tag.to_string())),
            Place::Referrer {
                subject, digest, ..
            } => ("referrer", Some(digest), Some(subject), None),
            Place::Upload(_, id) => ("upload", None, None, Some(id.to_string())),
            Place::Delete(_, id) => ("delete", None, None, Some(id.clone())),
            Place::File(path) => ("file", None, None, Some(path.clone())),
        };
        Self {
            kind: finding.kind,
            at: at.to_owned(),
            repository: finding.place.repository().map(ToString::to_string),
            digest: digest.cloned(),
            subject: subject.cloned(),
            name,
            what: finding.what.clone(),
            advice: finding.kind.advice().to_owned(),
        }
    }
}

impl Record {
    /// The finding again; `None` if somebody has changed the record.
    pub fn finding(&self) -> Option<Finding> {
        let repository = || self.repository.as_ref()?.parse().ok();
        let digest = || self.digest.clone();
        let place = match self.at.as_str() {
            "blob" => Place::Blob(digest()?),
            "layer" => Place::Layer(repository()?, digest()?),
            "manifest" => Place::Manifest(repository()?, digest()?),
            "tag" => Place::Tag(repository()?, self.name.as_ref()?.parse().ok()?),
            "referrer" => Place::Referrer {
                repository: repository()?,
                subject: self.subject.clone()?,
                digest: digest()?,
            },
            "upload" => Place::Upload(repository()?, self.name.as_ref()?.parse().ok()?),
            "delete" => Place::Delete(repository()?, self.name.clone()?),
            "file" => Place::File(self.name.clone()?),
            _ => return None,
        };
        Some(Finding {
            kind: self.kind,
            place,
            what: self.what.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Algorithm, UploadId};

    #[test]
    fn every_place_comes_back() {
        let (name, digest): (crate::oci::RepositoryName, _) =
            ("a/b".parse().unwrap(), Algorithm::Sha256.digest(b"x"));
        for place in [
            Place::Blob(digest.clone()),
            Place::Layer(name.clone(), digest.clone()),
            Place::Manifest(name.clone(), digest.clone()),
            Place::Tag(name.clone(), "v1".parse().unwrap()),
            Place::Referrer {
                repository: name.clone(),
                subject: digest.clone(),
                digest: Algorithm::Sha512.digest(b"y"),
            },
            Place::Upload(name.clone(), UploadId::random()),
            Place::Delete(name, "x".to_owned()),
            Place::File("a\nb".to_owned()),
        ] {
            let finding = Finding::new(Kind::Unreadable, &place, "w");
            let text = serde_json::to_string(&Record::from(&finding)).unwrap();
            let record: Record = serde_json::from_str(&text).unwrap();
            assert_eq!(record.finding(), Some(finding), "{text}");
        }
    }
}
