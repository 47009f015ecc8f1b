//! The router in memory: sequences of requests, most of them sensible, against a
//! model of what a registry must then hold. Never a 5xx, never a panic, never
//! other bytes, nothing acknowledged lost, nothing deleted come back.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use wharf::oci::{Algorithm, Digest, Manifest};

use super::site::{Answer, Site};

const REPOSITORIES: [&str; 2] = ["a", "a/b"];
const TAGS: [&str; 4] = ["latest", "v1", "_", "V1"];
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The most requests of one sequence.
const MOST: usize = 40;

/// What a repository must hold.
#[derive(Default)]
struct Model {
    blobs: BTreeSet<Digest>,
    manifests: BTreeMap<Digest, Vec<u8>>,
    tags: BTreeMap<&'static str, Digest>,
    /// Sessions by their location, with what was sent to them.
    uploads: Vec<(String, Vec<u8>)>,
}

/// A registry and what we know of it.
struct Play<'a> {
    site: Site,
    models: [Model; 2],
    input: Unstructured<'a>,
    /// Whether something was deleted that others may need.
    deleted: bool,
}

/// A sequence of requests, encoded as `arbitrary` reads it.
pub fn run(data: &[u8]) {
    let mut play = Play {
        site: Site::empty(),
        models: Default::default(),
        input: Unstructured::new(data),
        deleted: false,
    };
    for _ in 0..MOST {
        // An input that has run out ends the sequence.
        if play.input.is_empty() || play.step().is_err() {
            break;
        }
    }
    play.check();
    play.check_by_wharf();
}

/// The blobs that are pushed: few, so that repositories share them.
fn content(n: usize) -> Vec<u8> {
    match n {
        0 => b"{}".to_vec(),
        n => vec![b'0' + n as u8; n * n * 50],
    }
}

impl Play<'_> {
    fn step(&mut self) -> Result<()> {
        let repository = self.input.choose_index(2)?;
        match self.input.choose_index(16)? {
            0 | 1 => self.push_blob(repository),
            2 => self.begin(repository),
            3 | 4 => self.append(repository),
            5 => self.finish(repository),
            6 => self.cancel(repository),
            7 => self.mount(repository),
            8 | 9 => self.push_image(repository),
            10 => self.push_index(repository),
            11 => self.delete_manifest(repository),
            12 => self.delete_tag(repository),
            13 => self.delete_blob(repository),
            14 => self.push_odd_manifest(repository),
            _ => self.odd_request(),
        }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Answer {
        let answer = self.site.ask(method, path.as_bytes(), headers, body);
        answer.expect("a request that can be sent")
    }

    fn algorithm(&mut self) -> Result<Algorithm> {
        Ok(*self
            .input
            .choose(&[Algorithm::Sha256, Algorithm::Sha256, Algorithm::Sha512])?)
    }

    /// A digest of one of the contents.
    fn digest(&mut self) -> Result<Digest> {
        let algorithm = self.algorithm()?;
        Ok(algorithm.digest(&content(self.input.choose_index(6)?)))
    }

    /// One request with all of it; its digest may be another's.
    fn push_blob(&mut self, repository: usize) -> Result<()> {
        let bytes = content(self.input.choose_index(6)?);
        let digest = match self.input.ratio(1, 8)? {
            true => self.digest()?,
            false => self.algorithm()?.digest(&bytes),
        };
        let path = format!(
            "/v2/{}/blobs/uploads/?digest={digest}",
            REPOSITORIES[repository]
        );
        let answer = self.ask("POST", &path, &[], &bytes);
        if digest.algorithm().digest(&bytes) == digest {
            assert_eq!(answer.status, 201, "{answer:?}");
            self.models[repository].hold(digest, &bytes);
        } else {
            assert_eq!(answer.status, 400, "{answer:?}");
        }
        Ok(())
    }

    fn begin(&mut self, repository: usize) -> Result<()> {
        let query = ["", "?digest-algorithm=sha512"][self.input.choose_index(2)?];
        let path = format!("/v2/{}/blobs/uploads/{query}", REPOSITORIES[repository]);
        let answer = self.ask("POST", &path, &[], b"");
        assert_eq!(answer.status, 202);
        let location = answer.header("location").to_owned();
        self.models[repository].uploads.push((location, Vec::new()));
        Ok(())
    }

    fn upload(&mut self, repository: usize) -> Result<usize> {
        self.input
            .choose_index(self.models[repository].uploads.len())
    }

    /// A chunk: with a right range, a wrong one, or none.
    fn append(&mut self, repository: usize) -> Result<()> {
        let upload = self.upload(repository)?;
        let whole = content(self.input.choose_index(6)?);
        let (location, sent) = self.models[repository].uploads[upload].clone();
        // Mostly what is still missing of a content that may become whole.
        let chunk = match whole.strip_prefix(&sent[..]) {
            Some(rest) => rest[..self.input.int_in_range(0..=rest.len())?].to_vec(),
            None => whole,
        };
        let right = format!(
            "{}-{}",
            sent.len(),
            (sent.len() + chunk.len()).saturating_sub(1)
        );
        let (range, good) = match self.input.choose_index(4)? {
            0 => (Some(self.input.arbitrary::<&[u8]>()?.to_vec()), None),
            1 => (None, Some(true)),
            // No range has no bytes.
            _ => (Some(right.into_bytes()), Some(!chunk.is_empty())),
        };
        let headers: Vec<(&str, &[u8])> = range
            .iter()
            .map(|range| ("Content-Range", &range[..]))
            .collect();
        let Some(answer) = self
            .site
            .ask("PATCH", location.as_bytes(), &headers, &chunk)
        else {
            return Ok(());
        };
        match (answer.status.as_u16(), good) {
            (202, Some(true) | None) => {
                self.models[repository].uploads[upload].1.extend(chunk);
            }
            (400 | 416, Some(false) | None) => {
                // How much of a refused chunk was kept is told.
                let status = self.ask("GET", &location, &[], b"");
                let end = status.header("range").split('-').nth(1).unwrap_or_default();
                let end: usize = end.parse().unwrap();
                let all = [sent, chunk].concat();
                let uploads = &mut self.models[repository].uploads;
                match end {
                    // One byte or none: nobody can tell.
                    0 => drop(uploads.swap_remove(upload)),
                    _ => uploads[upload].1 = all[..=end].to_vec(),
                }
            }
            _ => panic!("{range:?} with {} bytes: {answer:?}", chunk.len()),
        }
        Ok(())
    }

    fn finish(&mut self, repository: usize) -> Result<()> {
        let upload = self.upload(repository)?;
        let (location, mut sent) = self.models[repository].uploads.swap_remove(upload);
        let last = match self.input.ratio(1, 2)? {
            true => content(self.input.choose_index(6)?),
            false => Vec::new(),
        };
        sent.extend(&last);
        let digest = match self.input.ratio(1, 4)? {
            true => self.digest()?,
            false => self.algorithm()?.digest(&sent),
        };
        let path = format!("{location}{}digest={digest}", joint(&location));
        let answer = self.ask("PUT", &path, &[], &last);
        if digest.algorithm().digest(&sent) == digest {
            assert_eq!(answer.status, 201, "{answer:?}");
            self.models[repository].hold(digest, &sent);
        } else {
            assert_eq!(answer.status, 400, "{answer:?}");
        }
        Ok(())
    }

    fn cancel(&mut self, repository: usize) -> Result<()> {
        let upload = self.upload(repository)?;
        let (location, _) = self.models[repository].uploads.swap_remove(upload);
        assert_eq!(self.ask("DELETE", &location, &[], b"").status, 204);
        assert_eq!(self.ask("GET", &location, &[], b"").status, 404);
        Ok(())
    }

    fn mount(&mut self, repository: usize) -> Result<()> {
        let digest = self.digest()?;
        let from = match self.input.choose_index(3)? {
            2 => String::new(),
            other => format!("&from={}", REPOSITORIES[other]),
        };
        let path = format!(
            "/v2/{}/blobs/uploads/?mount={digest}{from}",
            REPOSITORIES[repository]
        );
        let answer = self.ask("POST", &path, &[], b"");
        match answer.status.as_u16() {
            201 => {
                let holds = |model: &Model| model.blobs.contains(&digest);
                assert!(
                    self.models.iter().any(holds),
                    "mounted out of nothing: {digest}"
                );
                let is_it = |bytes: &Vec<u8>| digest.algorithm().digest(bytes) == digest;
                let bytes = (0..6).map(content).find(is_it).expect("a content");
                self.models[repository].hold(digest, &bytes);
            }
            202 => {
                let location = answer.header("location").to_owned();
                self.models[repository].uploads.push((location, Vec::new()));
            }
            _ => panic!("{answer:?}"),
        }
        Ok(())
    }

    fn push_image(&mut self, repository: usize) -> Result<()> {
        let mut layers = Vec::new();
        let mut complete = true;
        for _ in 0..=self.input.int_in_range(0..=3)? {
            let bytes = content(self.input.choose_index(6)?);
            let digest = self.algorithm()?.digest(&bytes);
            complete &= self.models[repository].blobs.contains(&digest);
            let size = bytes.len() + usize::from(self.input.ratio(1, 16)?);
            complete &= size == bytes.len();
            layers.push(descriptor("a/b", &digest, size));
        }
        let config = layers.pop().unwrap_or_default();
        let subject = match self.input.ratio(1, 3)? {
            true => {
                let subject = self.known_manifest(repository)?;
                format!(r#","subject":{}"#, descriptor(IMAGE, &subject, 1))
            }
            false => String::new(),
        };
        let document = format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{config},"layers":[{}]{subject}}}"#,
            layers.join(",")
        );
        self.push_manifest(repository, IMAGE, document.into_bytes(), Some(complete))
    }

    fn push_index(&mut self, repository: usize) -> Result<()> {
        let mut children = Vec::new();
        let mut complete = true;
        for _ in 0..self.input.int_in_range(0..=3)? {
            let digest = self.known_manifest(repository)?;
            let bytes = self.models[repository].manifests.get(&digest);
            complete &= bytes.is_some();
            children.push(descriptor(IMAGE, &digest, bytes.map_or(1, Vec::len)));
        }
        let document = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
            children.join(",")
        );
        self.push_manifest(repository, INDEX, document.into_bytes(), Some(complete))
    }

    /// Bytes that may be anything; what is accepted counts.
    fn push_odd_manifest(&mut self, repository: usize) -> Result<()> {
        let media_type = *self.input.choose(&[IMAGE, INDEX, "text/html", ""])?;
        let bytes = self.input.arbitrary::<&[u8]>()?.to_vec();
        self.push_manifest(repository, media_type, bytes, None)
    }

    fn push_manifest(
        &mut self,
        repository: usize,
        media_type: &str,
        bytes: Vec<u8>,
        accepted: Option<bool>,
    ) -> Result<()> {
        let tag = TAGS[self.input.choose_index(TAGS.len())?];
        let algorithm = self.algorithm()?;
        let by_digest = self.input.ratio(1, 3)?;
        let digest = match by_digest {
            true => algorithm.digest(&bytes),
            false => Algorithm::Sha256.digest(&bytes),
        };
        let reference = match by_digest {
            true => format!("{digest}?tag={tag}"),
            false => tag.to_owned(),
        };
        let path = format!("/v2/{}/manifests/{reference}", REPOSITORIES[repository]);
        let headers = [("Content-Type", media_type.as_bytes())];
        let headers = if media_type.is_empty() {
            &[][..]
        } else {
            &headers[..]
        };
        let answer = self.ask("PUT", &path, headers, &bytes);
        match answer.status.as_u16() {
            201 => {
                assert_ne!(accepted, Some(false), "{}", String::from_utf8_lossy(&bytes));
                let model = &mut self.models[repository];
                model.manifests.insert(digest.clone(), bytes);
                model.tags.insert(tag, digest);
            }
            400 => assert_ne!(accepted, Some(true), "{answer:?}"),
            _ => panic!("{answer:?}"),
        }
        Ok(())
    }

    /// The digest of a manifest of either repository, or of nothing.
    fn known_manifest(&mut self, repository: usize) -> Result<Digest> {
        let other = usize::from(self.input.ratio(1, 8)?);
        let manifests = &self.models[repository ^ other].manifests;
        if manifests.is_empty() {
            return Ok(Algorithm::Sha256.digest(b"nothing"));
        }
        let n = self.input.choose_index(manifests.len())?;
        Ok(manifests.keys().nth(n).cloned().expect("one of them"))
    }

    fn delete_manifest(&mut self, repository: usize) -> Result<()> {
        let digest = self.known_manifest(repository)?;
        let path = format!("/v2/{}/manifests/{digest}", REPOSITORIES[repository]);
        let answer = self.ask("DELETE", &path, &[], b"");
        let model = &mut self.models[repository];
        let held = model.manifests.remove(&digest);
        self.deleted |= held.is_some();
        match held {
            Some(_) => assert_eq!(answer.status, 202, "{answer:?}"),
            None => assert_eq!(answer.status, 404, "{answer:?}"),
        }
        model.tags.retain(|_, tagged| *tagged != digest);
        Ok(())
    }

    fn delete_tag(&mut self, repository: usize) -> Result<()> {
        let tag = TAGS[self.input.choose_index(TAGS.len())?];
        let path = format!("/v2/{}/manifests/{tag}", REPOSITORIES[repository]);
        let answer = self.ask("DELETE", &path, &[], b"");
        let known = self.models[repository].tags.remove(tag).is_some();
        assert_eq!(answer.status, if known { 202 } else { 404 }, "{answer:?}");
        Ok(())
    }

    fn delete_blob(&mut self, repository: usize) -> Result<()> {
        let digest = self.digest()?;
        let path = format!("/v2/{}/blobs/{digest}", REPOSITORIES[repository]);
        let answer = self.ask("DELETE", &path, &[], b"");
        let held = self.models[repository].blobs.remove(&digest);
        self.deleted |= held;
        assert_eq!(answer.status, if held { 202 } else { 404 }, "{answer:?}");
        Ok(())
    }

    /// Anything at all, outside of what the model knows.
    fn odd_request(&mut self) -> Result<()> {
        let method = *self.input.choose(&[
            "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "X",
        ])?;
        let name = *self.input.choose(&[
            "Range",
            "Content-Range",
            "If-None-Match",
            "Accept",
            "Content-Length",
            "Authorization",
            "Host",
        ])?;
        let value = self.input.arbitrary::<&[u8]>()?;
        let path = [b"/v2/odd/", self.input.arbitrary::<&[u8]>()?].concat();
        let body = self.input.arbitrary::<&[u8]>()?;
        self.site.ask(method, &path, &[(name, value)], body);
        Ok(())
    }

    /// Everything that was acknowledged is there, and nothing else.
    fn check(&self) {
        for (name, model) in REPOSITORIES.iter().zip(&self.models) {
            for n in 0..6 {
                for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                    let digest = algorithm.digest(&content(n));
                    let answer = self.ask("GET", &format!("/v2/{name}/blobs/{digest}"), &[], b"");
                    if model.blobs.contains(&digest) {
                        assert_eq!(answer.status, 200, "{digest}");
                        assert_eq!(answer.body, content(n));
                    } else {
                        assert_eq!(answer.status, 404, "{digest}");
                    }
                }
            }
            for (digest, bytes) in &model.manifests {
                let answer = self.ask("GET", &format!("/v2/{name}/manifests/{digest}"), &[], b"");
                assert_eq!(
                    (answer.status.as_u16(), &answer.body[..]),
                    (200, &bytes[..])
                );
                self.check_referrers(name, model, digest);
            }
            for tag in TAGS {
                let answer = self.ask("HEAD", &format!("/v2/{name}/manifests/{tag}"), &[], b"");
                let found = answer.header("docker-content-digest");
                match model.tags.get(tag) {
                    Some(digest) => assert_eq!(found, digest.to_string()),
                    None => assert_eq!(answer.status, 404),
                }
            }
            for (location, sent) in &model.uploads {
                let answer = self.ask("GET", location, &[], b"");
                let range = format!("0-{}", sent.len().saturating_sub(1));
                assert_eq!(
                    (answer.status.as_u16(), answer.header("range")),
                    (204, &range[..])
                );
            }
            let answer = self.ask("GET", &format!("/v2/{name}/tags/list"), &[], b"");
            if answer.status == 200 {
                let listed: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                let tags: Vec<&str> = model.tags.keys().copied().collect();
                assert_eq!(listed["tags"], serde_json::json!(tags));
            } else {
                assert!(model.tags.is_empty(), "{answer:?}");
            }
        }
    }

    /// And `wharf check` agrees: what it may find are manifests whose blobs were
    /// deleted behind their back.
    fn check_by_wharf(&self) {
        let findings = self.site.findings();
        assert!(self.deleted || findings.is_empty(), "{findings:#?}");
    }

    fn check_referrers(&self, name: &str, model: &Model, subject: &Digest) {
        let answer = self.ask("GET", &format!("/v2/{name}/referrers/{subject}"), &[], b"");
        let index: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let listed: BTreeSet<&str> = index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["digest"].as_str().unwrap())
            .collect();
        let expected: BTreeSet<String> = model
            .manifests
            .iter()
            .filter(|(_, bytes)| {
                Manifest::stored(bytes).is_ok_and(|one| one.subject.as_ref() == Some(subject))
            })
            .map(|(digest, _)| digest.to_string())
            .collect();
        assert_eq!(listed, expected.iter().map(String::as_str).collect());
    }
}

impl Model {
    /// A blob is there by the digest that it was pushed with, and always by its
    /// canonical one.
    fn hold(&mut self, digest: Digest, bytes: &[u8]) {
        self.blobs.insert(Algorithm::Sha256.digest(bytes));
        self.blobs.insert(digest);
    }
}

fn descriptor(media_type: &str, digest: &Digest, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

fn joint(location: &str) -> char {
    if location.contains('?') { '&' } else { '?' }
}
