//! Looks at a machine with a fresh process, and says which promise is broken.
//!
//! I1 and I5: what was acknowledged is there, what was deleted is not. I2: a tag
//! names what can be pulled. I3: no blob's file has other bytes. I4: a manifest
//! that is served has its parts. I7: what crashes leave is bounded. I11: the
//! referrers of a manifest are those whose subject it is.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;

use super::ledger::{Ledger, Object, Value};
use super::pool::Pool;
use super::started;
use crate::oci::{Algorithm, Digest, Reference};
use crate::registry::{Error, Reading, Repository};
use crate::storage::files::simulated::Machine;

/// Temporary files that may lie about: those of a few writes.
const LEFTOVERS: usize = 64;

/// What must be there of what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// All of it.
    Everything,
    /// Not the blobs that no manifest needs, since garbage is collected at once.
    WhatIsNeeded,
}

/// What is there.
pub(super) type Found = BTreeMap<Object, Value>;

/// Everything that is there on a machine, as far as the ledger allows it at
/// `moment`.
pub(super) async fn check(
    pool: &Pool,
    machine: &Machine,
    ledger: &Ledger,
    moment: u64,
    keeps: Keeps,
) -> Result<Found, String> {
    check_files(machine)?;
    let registry = started(machine, None);
    let mut found = Found::new();
    for (number, name) in pool.repositories.iter().enumerate() {
        let looking = Looking {
            pool,
            repository: registry.repository(name),
            number,
        };
        looking.look(&mut found).await?;
    }
    for (object, value) in &found {
        let possible = ledger.possible(*object, moment);
        let collected = matches!(object, Object::Blob(..)) && keeps == Keeps::WhatIsNeeded;
        if collected && value.is_none() {
            continue;
        }
        if !possible.contains(value) {
            return Err(format!(
                "I1/I5: {object:?} is {value:?}, not of {possible:?}"
            ));
        }
    }
    Ok(found)
}

fn check_files(machine: &Machine) -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut temporary = 0;
    machine.files(|path, content| {
        if path.ends_with(".tmp") {
            temporary += 1;
        }
        let blob = path
            .strip_prefix("/docker/registry/v2/blobs/sha256/")
            .and_then(|rest| rest.strip_suffix("/data"));
        let Some(blob) = blob else { return };
        if !blob.ends_with(Algorithm::Sha256.digest(content).hex()) {
            wrong.push(format!("I3: {path} has other bytes ({})", content.len()));
        }
    });
    if temporary > LEFTOVERS {
        wrong.push(format!("I7: {temporary} temporary files"));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

struct Looking<'a> {
    pool: &'a Pool,
    repository: Repository,
    number: usize,
}

impl Looking<'_> {
    async fn look(&self, found: &mut Found) -> Result<(), String> {
        let failed = |error: Error| format!("a read failed: {error}");
        for (blob, content) in self.pool.blobs.iter().enumerate() {
            let read = self.read_blob(&content.digest).await.map_err(failed)?;
            if read.as_ref().is_some_and(|read| *read != content.bytes) {
                return Err(format!("I1: blob {blob} has other bytes"));
            }
            let object = Object::Blob(self.number, blob);
            found.insert(object, read.map(|_| blob));
        }
        for number in 0..self.pool.manifests.len() {
            let digest = self.pool.manifests[number].content.digest.clone();
            let served = self.served(Reference::Digest(digest)).await?;
            found.insert(Object::Manifest(self.number, number), served);
        }
        for (number, manifest) in self.pool.manifests.iter().enumerate() {
            if found.get(&Object::Manifest(self.number, number)) != Some(&Some(number)) {
                continue;
            }
            let blobs = manifest.blobs.iter();
            let blobs = blobs.map(|blob| Object::Blob(self.number, *blob));
            let children = manifest.children.iter();
            let children = children.map(|child| Object::Manifest(self.number, *child));
            for part in blobs.chain(children) {
                if found.get(&part).is_none_or(Option::is_none) {
                    return Err(format!("I4: manifest {number} is served without {part:?}"));
                }
            }
        }
        for (number, tag) in self.pool.tags.iter().enumerate() {
            let served = self.served(Reference::Tag(tag.clone())).await?;
            found.insert(Object::Tag(self.number, number), served);
        }
        self.check_lists(found).await
    }

    /// Which manifest is served under a reference.
    async fn served(&self, reference: Reference) -> Result<Value, String> {
        let manifest = match self.repository.manifest(&reference).await {
            Err(Error::ManifestUnknown(_)) => {
                // I2: what a tag's record says can be pulled.
                if let Reference::Tag(tag) = &reference
                    && let Ok(Some(digest)) = self.repository.tagged(tag).await
                {
                    return Err(format!("I2: {reference} names {digest}, which is missing"));
                }
                return Ok(None);
            }
            served => served.map_err(|error| format!("{reference}: {error}"))?,
        };
        let mut pool = self.pool.manifests.iter();
        match pool.position(|image| image.content.digest == manifest.digest) {
            Some(number) if self.pool.manifests[number].content.bytes == manifest.content => {
                Ok(Some(number))
            }
            _ => Err(format!("I1: {reference} has other bytes")),
        }
    }

    async fn read_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let blob = match self.repository.blob(digest, Reading::Whole).await {
            Err(Error::BlobUnknown(_)) => return Ok(None),
            blob => blob?,
        };
        let parts: Vec<_> = blob
            .read(0..blob.size())
            .try_collect()
            .await
            .map_err(|error| Error::Storage(crate::storage::StorageError::Unavailable(error)))?;
        Ok(Some(parts.concat()))
    }

    async fn check_lists(&self, found: &Found) -> Result<(), String> {
        let listed = match self.repository.tags(None, None).await {
            Err(Error::NameUnknown(_)) => Vec::new(),
            page => page.map_err(|error| error.to_string())?.items,
        };
        for (number, tag) in self.pool.tags.iter().enumerate() {
            let there = found[&Object::Tag(self.number, number)].is_some();
            if there && !listed.iter().any(|name| *name == tag.to_string()) {
                return Err(format!("I1: {tag} can be pulled, but is not listed"));
            }
        }
        let is_subject = |number| {
            let mut pool = self.pool.manifests.iter();
            pool.any(|image| image.subject == Some(number))
        };
        for (number, subject) in self.pool.manifests.iter().enumerate() {
            if !is_subject(number) {
                continue;
            }
            let mut expected: Vec<&Digest> = Vec::new();
            for (referrer, image) in self.pool.manifests.iter().enumerate() {
                let served = found[&Object::Manifest(self.number, referrer)].is_some();
                if served && image.subject == Some(number) {
                    expected.push(&image.content.digest);
                }
            }
            expected.sort_unstable();
            let subject = &subject.content.digest;
            let referrers = self.repository.referrers(subject, None, None, None).await;
            let referrers = referrers.map_err(|error| error.to_string())?.descriptors;
            let listed: Vec<_> = referrers.iter().map(|entry| &entry.digest).collect();
            if listed != expected {
                return Err(format!(
                    "I11: referrers of {number}: {listed:?}, not {expected:?}"
                ));
            }
        }
        Ok(())
    }
}
