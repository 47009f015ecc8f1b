//! One repository on a running server, and what tests do with it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::content::{self, EMPTY_JSON, IMAGE};
use crate::support::Registry;
use crate::wire::{Answer, Request};

/// A repository that no other test uses.
pub struct Repo {
    host: String,
    name: String,
    /// Keeps the shared server running while a test needs it.
    _server: Option<Arc<Registry>>,
}

impl Repo {
    /// A new repository on the server that tests share: plain HTTP, open,
    /// deletes enabled.
    pub fn fresh() -> Repo {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = shared();
        Repo {
            host: server.host().to_owned(),
            name: format!("fresh/r{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            _server: Some(server),
        }
    }

    /// A repository on a server that the test has for itself.
    pub fn on(server: &Registry, name: &str) -> Repo {
        Repo::at_host(server.host(), name)
    }

    /// A repository on whatever registry listens there.
    pub fn at_host(host: &str, name: &str) -> Repo {
        Repo {
            host: host.to_owned(),
            name: name.to_owned(),
            _server: None,
        }
    }

    /// Another repository on the same server, below this one.
    pub fn beside(&self, name: &str) -> Repo {
        Repo {
            host: self.host.clone(),
            name: format!("{}-{name}", self.name),
            _server: self._server.clone(),
        }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// `/v2/<name>/<rest>`.
    pub fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.name)
    }

    /// A request within the repository.
    pub fn ask(&self, method: &str, rest: &str) -> Request {
        Request::new(&self.host, method, &self.path(rest))
    }

    /// A request to a path of the server, or to a `Location` or `Link` that it
    /// gave, relative or absolute.
    pub fn at(&self, method: &str, location: &str) -> Request {
        let own = format!("http://{}", self.host);
        let path = location.strip_prefix(&own).unwrap_or(location);
        assert!(path.starts_with('/'), "{location} leads elsewhere");
        Request::new(&self.host, method, path)
    }

    pub fn get(&self, rest: &str) -> Answer {
        self.ask("GET", rest).send()
    }

    pub fn head(&self, rest: &str) -> Answer {
        self.ask("HEAD", rest).send()
    }

    pub fn delete(&self, rest: &str) -> Answer {
        self.ask("DELETE", rest).send()
    }

    /// Starts an upload and returns its `Location`.
    pub fn start(&self) -> String {
        let answer = self.ask("POST", "blobs/uploads/").body("").send();
        answer.expect(202).must("location").to_owned()
    }

    /// Pushes a blob and returns its SHA-256 digest.
    pub fn push(&self, content: &[u8]) -> String {
        let digest = content::sha256(content);
        self.push_as(&digest, content).expect(201);
        digest
    }

    /// Pushes a blob under a digest that the test chose.
    pub fn push_as(&self, digest: &str, content: &[u8]) -> Answer {
        let location = with_query(&self.start(), &format!("digest={digest}"));
        self.at("PUT", &location).body(content).send()
    }

    /// Pushes a manifest.
    pub fn put(&self, reference: &str, media_type: &str, manifest: &[u8]) -> Answer {
        self.ask("PUT", &format!("manifests/{reference}"))
            .header("Content-Type", media_type)
            .body(manifest)
            .send()
    }

    /// Pushes the blobs of an image whose one layer is `seed`, and returns its
    /// manifest, which is not pushed.
    pub fn image(&self, seed: &str) -> Vec<u8> {
        self.push(EMPTY_JSON);
        self.push(seed.as_bytes());
        content::bytes(&content::image(&[seed.as_bytes()]))
    }

    /// Pushes a whole image under a tag or by its digest, and returns its
    /// digest.
    pub fn tag(&self, tag: &str, seed: &str) -> String {
        let manifest = self.image(seed);
        self.put(tag, IMAGE, &manifest).expect(201);
        content::sha256(&manifest)
    }

    /// The tags that `tags/list` has.
    pub fn tags(&self) -> Vec<String> {
        strings(&self.get("tags/list").expect(200), "tags")
    }

    /// How many bytes an upload has, by its status.
    pub fn received(&self, location: &str) -> usize {
        let status = self.at("GET", location).send().expect(204);
        match status.must("range").strip_prefix("0-") {
            Some("0") => 0,
            Some(last) => last.parse::<usize>().expect("the last byte") + 1,
            None => panic!("no range from 0 in {status}"),
        }
    }
}

/// `location` with one more query parameter.
pub fn with_query(location: &str, query: &str) -> String {
    let joint = if location.contains('?') { '&' } else { '?' };
    format!("{location}{joint}{query}")
}

/// A list of strings in an answer.
pub fn strings(answer: &Answer, name: &str) -> Vec<String> {
    let json = answer.json();
    let list = json[name].as_array();
    let list = list.unwrap_or_else(|| panic!("no list of {name} in {answer}"));
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    list.iter().map(text).collect()
}

/// The address in `Link: <…>; rel="next"`, if there is one (RFC 8288).
pub fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    assert_eq!(parameters.trim_start_matches([';', ' ']), "rel=\"next\"");
    Some(target.to_owned())
}

/// The server that tests share; it ends with the last test that uses it.
pub fn shared() -> Arc<Registry> {
    static SHARED: Mutex<Weak<Registry>> = Mutex::new(Weak::new());
    let mut shared = SHARED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Registry::start());
        *shared = Arc::downgrade(&server);
        server
    })
}
