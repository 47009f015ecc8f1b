//! Bad input as `bad-inputs.json` and `own-bad-inputs.json` write it down: one
//! entry, and the bytes that it puts on the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::content::{self, IMAGE, bytes, sha256};
use crate::repo::{Repo, with_query};
use crate::wire::Request;

/// Of content that is announced as longer, only this much is made: nobody who
/// keeps to the limit reads that far.
const PADDING: usize = 64 << 20;

/// One request that a registry has to live with.
pub struct Entry {
    entry: Value,
}

/// What the entries of one set-up meet: a repository with content in it.
pub struct Stage {
    pub repo: Repo,
    blob: String,
    manifest: Vec<u8>,
}

/// All entries of a group.
pub fn entries(group: &str) -> Vec<Entry> {
    let read = |text| -> Vec<Value> { serde_json::from_str(text).unwrap() };
    let listed = read(include_str!("bad-inputs.json"));
    let own = read(include_str!("own-bad-inputs.json"));
    let entries: Vec<Entry> = listed
        .into_iter()
        .chain(own)
        .filter(|entry| entry["group"] == group)
        .map(|entry| Entry { entry })
        .collect();
    assert!(!entries.is_empty(), "no group {group}");
    entries
}

impl Stage {
    /// A repository with a blob of 1,024 bytes and an image tagged `latest`,
    /// and another one without that blob.
    pub fn on(server: &crate::support::Registry, name: &str) -> Stage {
        Stage::at(server.host(), name)
    }

    /// The same on whatever registry listens there.
    pub fn at(host: &str, name: &str) -> Stage {
        let repo = Repo::at_host(host, name);
        let blob = repo.push(&content::noise(1, 1024));
        let manifest = repo.image("the layer of the stage");
        repo.put("latest", IMAGE, &manifest).expect(201);
        Repo::at_host(host, "other/repo").tag("latest", "another layer");
        Stage {
            repo,
            blob,
            manifest,
        }
    }
}

impl Stage {
    /// The same content, served by another server.
    pub fn moved(self, server: &crate::support::Registry) -> Stage {
        self.at_host(server.host())
    }

    /// The same, asked of another registry.
    pub fn at_host(self, host: &str) -> Stage {
        Stage {
            repo: Repo::at_host(host, self.repo.name()),
            ..self
        }
    }
}

impl Entry {
    pub fn id(&self) -> &str {
        self.entry["id"].as_str().unwrap()
    }

    pub fn why(&self) -> &str {
        self.entry["why"].as_str().unwrap()
    }

    pub fn is_head(&self) -> bool {
        self.entry["method"] == "HEAD"
    }

    pub fn statuses(&self) -> Vec<u64> {
        let list = self.entry["expect_status"].as_array().unwrap();
        list.iter().filter_map(Value::as_u64).collect()
    }

    pub fn codes(&self) -> Vec<&str> {
        let list = self.entry["expect_code"].as_array();
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    pub fn may_close(&self) -> bool {
        self.entry["allow_close"] == true
    }

    pub fn most_answers(&self) -> usize {
        let most = self.entry["max_responses"].as_u64();
        most.map_or(usize::MAX, |most| usize::try_from(most).unwrap())
    }

    /// Headers that the answer must have.
    pub fn required(&self) -> Vec<&str> {
        let list = self.entry["expect_header_present"].as_array();
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// Whether it needs a registry that takes bearer tokens.
    pub fn uses_tokens(&self) -> bool {
        let authorization = self.entry["headers"]["Authorization"].as_str();
        authorization.is_some_and(|value| value.starts_with("Bearer"))
    }

    /// Words that a header of the answer must not have.
    pub fn forbidden(&self) -> Option<(&str, Vec<&str>)> {
        let header = self.entry["expect_not"]["header"].as_str()?;
        let words = self.entry["expect_not"]["contains"].as_array()?;
        Some((header, words.iter().filter_map(Value::as_str).collect()))
    }

    /// The bytes to send, after what the entry needs was made.
    pub fn bytes(&self, stage: &Stage) -> Vec<u8> {
        if let Some(raw) = self.entry["raw_b64"].as_str() {
            return STANDARD.decode(raw).unwrap();
        }
        if let Some(parts) = self.entry["raw"].as_array() {
            return parts.iter().map(text).collect::<String>().into_bytes();
        }
        let setup = self.entry["setup"].as_str().unwrap_or_default();
        let digest = if setup.contains("manifest") {
            sha256(&stage.manifest)
        } else {
            stage.blob.clone()
        };
        let mut path = self.entry["path"].as_str().unwrap().to_owned();
        if setup.starts_with("upload") || setup.contains("; upload") {
            let location = upload(&stage.repo, setup);
            let id = location.rsplit('/').next().unwrap();
            let id = id.split('?').next().unwrap().to_owned();
            path = match path.strip_prefix("{upload}?") {
                Some(query) => with_query(&location, query),
                None => path.replace("{upload}", &location),
            };
            path = path.replace("{uuid}", &id);
            path = path.replace("{UUID}", &id.to_uppercase());
        }
        path = path.replace("{repo}", stage.repo.name());
        path = path.replace("{digest}", &digest);

        let method = self.entry["method"].as_str().unwrap();
        let mut request = Request::new(stage.repo.host(), method, &path);
        for (name, value) in self.headers() {
            request = request.header(&name, value);
        }
        let announced = self.entry["body_gen"]["bytes"].as_u64();
        match self.body(stage) {
            Some((body, false)) if announced.is_some_and(|size| size > body.len() as u64) => {
                request
                    .header("Content-Length", announced.unwrap_or_default())
                    .body(body)
                    .bytes()
            }
            None => request.bytes(),
            Some((body, true)) => request.chunked(body).bytes(),
            Some((body, false)) => request.body(body).bytes(),
        }
    }

    /// `raw_headers` stand for all headers: they may have one twice.
    fn headers(&self) -> Vec<(String, String)> {
        if let Some(raw) = self.entry["raw_headers"].as_array() {
            let pair = |pair: &Value| (text(&pair[0]), text(&pair[1]));
            return raw.iter().map(pair).collect();
        }
        let headers = self.entry["headers"].as_object();
        let pair = |(name, value): (&String, &Value)| (name.clone(), text(value));
        headers.into_iter().flatten().map(pair).collect()
    }

    /// The content, and whether it is sent in chunks.
    fn body(&self, stage: &Stage) -> Option<(Vec<u8>, bool)> {
        if let Some(body) = self.entry["body_b64"].as_str() {
            return Some((STANDARD.decode(body).unwrap(), false));
        }
        let generated = &self.entry["body_gen"];
        if generated.is_object() {
            let chunked = generated["chunked"] == true;
            return Some((generate(generated, stage), chunked));
        }
        match self.entry["body"].as_str()? {
            "{manifest}" => Some((stage.manifest.clone(), false)),
            body => Some((body.as_bytes().to_vec(), false)),
        }
    }
}

/// An upload in the state that an entry needs.
fn upload(repo: &Repo, setup: &str) -> String {
    // registry:2 may give a whole URL.
    let own = format!("http://{}", repo.host());
    let location = match setup.contains("started by alice") {
        true => started_by_alice(repo),
        false => repo.start(),
    };
    let location = location.strip_prefix(&own).unwrap_or(&location).to_owned();
    if setup.contains("holding bytes 0-9") {
        let patched = repo.at("PATCH", &location).body("0123456789").send();
        patched.expect(202);
    }
    if setup.contains("cancelled") {
        repo.at("DELETE", &location).send().expect(204);
    }
    location
}

/// An upload of a user whom the registry knows.
fn started_by_alice(repo: &Repo) -> String {
    let login = STANDARD.encode("alice:alice-secret");
    let begun = repo
        .ask("POST", "blobs/uploads/")
        .header("Authorization", format!("Basic {login}"))
        .body("")
        .send();
    begun.expect(202).must("location").to_owned()
}

/// A header's value: text, or one that is too long to write down.
fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => repeated(value),
    }
}

fn repeated(value: &Value) -> String {
    let count = usize::try_from(value["count"].as_u64().unwrap()).unwrap();
    value["repeat"].as_str().unwrap().repeat(count)
}

fn generate(generated: &Value, stage: &Stage) -> Vec<u8> {
    let number = |name: &str| usize::try_from(generated[name].as_u64().unwrap()).unwrap();
    match generated["kind"].as_str().unwrap() {
        "concat" => {
            let parts = generated["parts"].as_array().unwrap();
            parts.iter().map(text).collect::<String>().into_bytes()
        }
        "manifest-padded" => {
            let mut manifest = bytes(&content::image(&[]));
            manifest.resize(number("bytes").min(PADDING), b' ');
            manifest
        }
        "manifest-distinct-layers" => {
            let mut document = content::image(&[]);
            let layer = |n: usize| {
                let digest = format!("sha256:{n:064x}");
                json!({"mediaType": content::LAYER, "digest": digest, "size": 2})
            };
            document["layers"] = (0..number("count")).map(layer).collect();
            bytes(&document)
        }
        "nested-index" => nested(&stage.repo, number("depth")),
        other => panic!("no way to make {other}"),
    }
}

/// Pushes an image and indexes upon it, and returns the outermost, which is
/// not pushed.
fn nested(repo: &Repo, depth: usize) -> Vec<u8> {
    let mut inner = bytes(&content::index(&[]));
    for _ in 1..depth {
        repo.put(&sha256(&inner), content::INDEX, &inner)
            .expect(201);
        inner = bytes(&content::index(&[(content::INDEX, &inner)]));
    }
    inner
}
