//! A plain client: one request, one whole answer or none; and the ways in which
//! clients push, each of them written into the ledger.

use std::fmt;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use reqwest::blocking::Body;

use crate::content::sha256;
use crate::goods::Content;
use crate::ledger::{Effect, Key, Ledger, Outcome, Session};
use crate::repo::with_query;

/// How long an answer may take: a push waits a minute at most for the
/// announcement of a delete whose process died.
const PATIENCE: Duration = Duration::from_secs(90);

/// A whole answer.
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub location: Option<String>,
    pub range: Option<String>,
}

/// Between two chunks on a slow line.
const SLOWLY: Duration = Duration::from_millis(80);

/// How a blob goes up.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// POST, then one PUT with everything.
    Monolithic,
    /// One POST with everything.
    Single,
    /// POST, so many PATCHes, PUT.
    Chunked(usize),
    /// The same, with a pause behind each, as on a slow line.
    Slow(usize),
    /// POST, one PATCH without a length, PUT.
    Streamed,
}

/// One registry's client: cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::blocking::Client,
    url: String,
    ledger: Arc<Ledger>,
}

impl Reply {
    /// 2xx.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The code of an OCI error, if this is one.
    pub fn code(&self) -> Option<String> {
        let json: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(json["errors"][0]["code"].as_str()?.to_owned())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.chars().take(300).collect();
        write!(f, "{} {}", self.status, text.trim_end())
    }
}

impl Client {
    pub fn new(url: &str, ledger: &Arc<Ledger>) -> Client {
        Client::keeping(url, ledger, true)
    }

    /// The same; unless it keeps its connections it has one for each request.
    pub fn keeping(url: &str, ledger: &Arc<Ledger>, keeps: bool) -> Client {
        let http = reqwest::blocking::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(if keeps { usize::MAX } else { 0 })
            .timeout(PATIENCE)
            .build()
            .expect("an HTTP client");
        Client {
            http,
            url: url.to_owned(),
            ledger: Arc::clone(ledger),
        }
    }

    /// The ledger that it writes.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Sends a request; `None` if no whole answer comes.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: impl Into<Body>,
    ) -> Option<Reply> {
        let at = path.strip_prefix(self.url.as_str()).unwrap_or(path);
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{at}", self.url));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.body(body).send().ok()?;
        let header = |name: &str| {
            let value = answer.headers().get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        let (location, range) = (header("location"), header("range"));
        let status = answer.status().as_u16();
        let body = answer.bytes().ok()?.to_vec();
        Some(Reply {
            status,
            body,
            location,
            range,
        })
    }

    /// GET.
    pub fn get(&self, path: &str) -> Option<Reply> {
        let accept = "application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.oci.image.index.v1+json, */*";
        self.ask("GET", path, &[("accept", accept.to_owned())], "")
    }

    /// An operation of the ledger, from its beginning to its outcome.
    pub fn operate(
        &self,
        effects: Vec<Effect>,
        send: impl FnOnce() -> Option<Reply>,
    ) -> Option<Reply> {
        let ticket = self.ledger.begin(effects);
        let reply = send();
        self.ledger.end(
            ticket,
            match &reply {
                None => Outcome::Unanswered,
                Some(reply) if reply.is_good() => Outcome::Acknowledged,
                Some(reply) => Outcome::Refused(reply.status),
            },
        );
        reply
    }

    /// Pushes a blob; the answer that decided, which is 201 if all went well.
    pub fn push_blob(&self, repository: &str, content: &Arc<Content>, way: Way) -> Option<Reply> {
        self.ledger.knows(content);
        let effects = vec![Effect::Put(
            Key::Blob(repository.to_owned(), content.digest.clone()),
            content.digest.clone(),
        )];
        let start = format!("/v2/{repository}/blobs/uploads/");
        if matches!(way, Way::Single) {
            let path = with_query(&start, &format!("digest={}", content.digest));
            let reply = self.operate(effects, || {
                self.ask("POST", &path, &[], content.bytes.clone())
            })?;
            // A registry that doesn't know this way has begun an upload.
            return match (reply.status, reply.location.clone()) {
                (202, Some(location)) => self.close(repository, content, &location, 0),
                _ => Some(reply),
            };
        }
        let begun = self.ask("POST", &start, &[], "")?;
        let Some(mut location) = begun.location.clone().filter(|_| begun.status == 202) else {
            return Some(begun);
        };
        let session = self.ledger.opens(Session {
            location: location.clone(),
            repository: repository.to_owned(),
            content: Arc::clone(content),
            sent: 0,
        });
        let pieces = match way {
            Way::Chunked(pieces) | Way::Slow(pieces) => {
                content.bytes.chunks(content.bytes.len().div_ceil(pieces))
            }
            Way::Streamed => content.bytes.chunks(usize::MAX),
            _ => [].chunks(1),
        };
        let mut sent = 0;
        for piece in pieces {
            self.ledger.sends(session, sent + piece.len());
            let reply = self.patch(&location, piece, sent, way)?;
            let Some(next) = reply.location.clone().filter(|_| reply.status == 202) else {
                self.ledger.closes(session);
                return Some(reply);
            };
            location = next;
            self.ledger.moves(session, &location);
            sent += piece.len();
            if matches!(way, Way::Slow(_)) {
                std::thread::sleep(SLOWLY);
            }
        }
        self.ledger.closes(session);
        self.close(repository, content, &location, sent)
    }

    fn patch(&self, location: &str, piece: &[u8], from: usize, way: Way) -> Option<Reply> {
        let media = ("content-type", "application/octet-stream".to_owned());
        if matches!(way, Way::Streamed) {
            let body = Body::new(Cursor::new(piece.to_vec()));
            return self.ask("PATCH", location, &[media], body);
        }
        let range = format!("{from}-{}", from + piece.len() - 1);
        let headers = [media, ("content-range", range)];
        self.ask("PATCH", location, &headers, piece.to_vec())
    }

    /// Closes an upload that has so many bytes with the rest of its content.
    pub fn close(
        &self,
        repository: &str,
        content: &Arc<Content>,
        location: &str,
        from: usize,
    ) -> Option<Reply> {
        let key = Key::Blob(repository.to_owned(), content.digest.clone());
        let effects = vec![Effect::Put(key, content.digest.clone())];
        let path = with_query(location, &format!("digest={}", content.digest));
        let rest = content.bytes[from..].to_vec();
        let media = ("content-type", "application/octet-stream".to_owned());
        self.operate(effects, || self.ask("PUT", &path, &[media], rest))
    }

    /// Mounts a blob from another repository; false if it has to be uploaded.
    pub fn mount(&self, repository: &str, from: &str, content: &Arc<Content>) -> bool {
        self.ledger.knows(content);
        let key = Key::Blob(repository.to_owned(), content.digest.clone());
        let effects = vec![Effect::Put(key, content.digest.clone())];
        let path = format!(
            "/v2/{repository}/blobs/uploads/?mount={}&from={from}",
            content.digest
        );
        // 202 begins an upload instead, so it is no acknowledgement.
        let ticket = self.ledger.begin(effects);
        let reply = self.ask("POST", &path, &[], "");
        let mounted = reply.as_ref().is_some_and(|reply| reply.status == 201);
        self.ledger.end(
            ticket,
            match reply {
                None => Outcome::Unanswered,
                Some(_) if mounted => Outcome::Acknowledged,
                Some(reply) => Outcome::Refused(reply.status),
            },
        );
        mounted
    }

    /// Pushes a manifest by a tag, or by its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        content: &Arc<Content>,
    ) -> Option<Reply> {
        self.ledger.knows(content);
        let key = Key::Manifest(repository.to_owned(), content.digest.clone());
        let mut effects = vec![Effect::Put(key, content.digest.clone())];
        if let Some(tag) = tag {
            let key = Key::Tag(repository.to_owned(), tag.to_owned());
            effects.push(Effect::Put(key, content.digest.clone()));
        }
        let reference = tag.unwrap_or(&content.digest);
        let path = format!("/v2/{repository}/manifests/{reference}");
        let media = content.media.unwrap_or_default().to_owned();
        let headers = [("content-type", media)];
        self.operate(effects, || {
            self.ask("PUT", &path, &headers, content.bytes.clone())
        })
    }

    /// Pushes an image or an index with everything that it needs; stops at the
    /// first answer that is not a success, and returns the last one.
    pub fn push(
        &self,
        repository: &str,
        tag: Option<&str>,
        content: &Arc<Content>,
        way: &mut dyn FnMut() -> Way,
    ) -> Option<Reply> {
        for child in &content.children {
            let reply = self.push(repository, None, child, way)?;
            if !reply.is_good() {
                return Some(reply);
            }
        }
        for blob in &content.blobs {
            let reply = self.push_blob(repository, blob, way())?;
            if !reply.is_good() {
                return Some(reply);
            }
        }
        self.put_manifest(repository, tag, content)
    }

    /// Deletes what a key names.
    pub fn delete(&self, key: &Key) -> Option<Reply> {
        let mut effects = vec![Effect::Delete(key.clone())];
        if let Key::Manifest(repository, digest) = key {
            effects.push(Effect::Untag(repository.clone(), digest.clone()));
        }
        self.operate(effects, || self.ask("DELETE", &path(key), &[], ""))
    }

    /// Reads what a key names, and writes it into the ledger if it is torn.
    pub fn pull(&self, key: &Key) -> Option<Reply> {
        let reply = self.get(&path(key))?;
        if reply.status == 200 {
            let digest = sha256(&reply.body);
            let right = match key {
                Key::Blob(_, wanted) | Key::Manifest(_, wanted) => *wanted == digest,
                Key::Tag(..) => self.ledger.content(&digest).is_some(),
            };
            if !right {
                self.ledger.tears(format!("{key:?} was served as {digest}"));
            }
        }
        Some(reply)
    }
}

/// Where a key is.
pub fn path(key: &Key) -> String {
    match key {
        Key::Blob(repository, digest) => format!("/v2/{repository}/blobs/{digest}"),
        Key::Manifest(repository, reference) | Key::Tag(repository, reference) => {
            format!("/v2/{repository}/manifests/{reference}")
        }
    }
}
