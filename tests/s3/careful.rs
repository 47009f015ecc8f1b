//! A client for times when the store fails: it takes a refusal or a broken
//! connection for an answer, but only a clean one, and never wrong content.

use std::time::Duration;

use reqwest::blocking::{Client, Response};
use serde_json::Value;

use crate::content::{self, EMPTY_JSON, IMAGE, sha256};
use crate::repo::with_query;
use crate::support::Registry;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The registry said that it is done.
    Done,
    /// The registry said that it can't now, and when to come back.
    Unavailable,
    /// No whole answer came.
    Broken,
}

/// One repository, seen through such a client.
pub struct Careful {
    client: Client,
    url: String,
}

impl Careful {
    /// The repository `name` of a server.
    pub fn on(server: &Registry, name: &str) -> Careful {
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(100))
            .build()
            .expect("an HTTP client");
        Careful {
            client,
            url: format!("{}/v2/{name}/", server.url()),
        }
    }

    /// Pushes an image with one layer under a tag.
    pub fn push(&self, tag: &str, layer: &[u8]) -> Outcome {
        for blob in [EMPTY_JSON, layer] {
            let outcome = self.push_blob(blob);
            if outcome != Outcome::Done {
                return outcome;
            }
        }
        let put = self.client.put(format!("{}manifests/{tag}", self.url));
        let put = put.header("content-type", IMAGE).body(manifest(layer));
        self.judge(put.send(), 201).0
    }

    /// Pushes a blob, in one chunk and a closing request.
    pub fn push_blob(&self, blob: &[u8]) -> Outcome {
        let begun = self
            .client
            .post(format!("{}blobs/uploads/", self.url))
            .body("");
        let (outcome, answer) = self.judge(begun.send(), 202);
        let Some(answer) = answer else { return outcome };
        let patch = self.client.patch(self.location(&answer));
        let (outcome, answer) = self.judge(patch.body(blob.to_vec()).send(), 202);
        let Some(answer) = answer else { return outcome };
        let closing = with_query(&self.location(&answer), &format!("digest={}", sha256(blob)));
        self.judge(self.client.put(closing).body("").send(), 201).0
    }

    /// Pulls a tag and its layer. What comes is right.
    pub fn pull(&self, tag: &str, layer: &[u8]) -> Outcome {
        let get = self.client.get(format!("{}manifests/{tag}", self.url));
        let (outcome, answer) = self.judge(get.send(), 200);
        let Some(answer) = answer else { return outcome };
        match answer.bytes() {
            Ok(bytes) => assert!(bytes == manifest(layer), "{tag} is another manifest"),
            Err(_) => return Outcome::Broken,
        }
        let get = self
            .client
            .get(format!("{}blobs/{}", self.url, sha256(layer)));
        let (outcome, answer) = self.judge(get.send(), 200);
        let Some(answer) = answer else { return outcome };
        match answer.bytes() {
            Ok(bytes) => assert!(bytes == layer, "the layer of {tag} is another content"),
            Err(_) => return Outcome::Broken,
        }
        Outcome::Done
    }

    /// The tags, and that each can be pulled with everything in it: nothing is
    /// there by half.
    pub fn sound(&self) -> Vec<String> {
        let list = self.get("tags/list");
        if list.status() == 404 {
            return Vec::new();
        }
        let list: Value = serde_json::from_str(&list.text().unwrap()).unwrap();
        let tags = list["tags"].as_array().cloned().unwrap_or_default();
        let tags: Vec<String> = tags
            .iter()
            .map(|tag| tag.as_str().unwrap().to_owned())
            .collect();
        for tag in &tags {
            let answer = self.get(&format!("manifests/{tag}"));
            assert_eq!(answer.status(), 200, "{tag}");
            let digest = answer.headers()["docker-content-digest"].clone();
            let bytes = answer.bytes().unwrap();
            assert_eq!(digest, sha256(&bytes).as_str());
            let manifest: Value = serde_json::from_slice(&bytes).unwrap();
            let layers = manifest["layers"].as_array().unwrap().iter();
            for part in layers.chain([&manifest["config"]]) {
                let digest = part["digest"].as_str().unwrap();
                let answer = self.get(&format!("blobs/{digest}"));
                assert_eq!(answer.status(), 200, "{digest} of {tag}");
                assert_eq!(sha256(&answer.bytes().unwrap()), digest, "of {tag}");
            }
        }
        tags
    }

    fn get(&self, rest: &str) -> Response {
        let answer = self.client.get(format!("{}{rest}", self.url)).send();
        answer.expect("an answer")
    }

    fn location(&self, answer: &Response) -> String {
        let location = answer.headers()["location"].to_str().expect("text");
        let base = reqwest::Url::parse(&self.url).expect("a URL");
        base.join(location).expect("a URL").into()
    }

    /// An answer with this status is handed back; another must be a clean
    /// refusal.
    fn judge(&self, sent: reqwest::Result<Response>, expected: u16) -> (Outcome, Option<Response>) {
        match sent {
            Err(_) => (Outcome::Broken, None),
            Ok(answer) if answer.status() == expected => (Outcome::Done, Some(answer)),
            Ok(answer) => {
                assert_clean(answer);
                (Outcome::Unavailable, None)
            }
        }
    }
}

/// A 503 with the specification's body, a reason for people, and when to come
/// back.
pub fn assert_clean(answer: Response) {
    let url = answer.url().clone();
    let status = answer.status();
    let headers = answer.headers().clone();
    let body = answer.text().unwrap_or_default();
    assert_eq!(status, 503, "{url}: {body}");
    let seconds = headers.get("retry-after").expect("Retry-After");
    let seconds: u32 = seconds.to_str().unwrap().parse().expect("seconds");
    assert!((1..=120).contains(&seconds), "{seconds}");
    assert_eq!(headers["content-type"], "application/json", "{url}: {body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let error = &body["errors"][0];
    assert!(error["code"].is_string(), "{body}");
    assert!(!error["message"].as_str().unwrap_or_default().is_empty());
    // What the store is and where is no client's business.
    let text = body.to_string();
    for private in ["127.0.0.2", "AKREG", "/registry/"] {
        assert!(!text.contains(private), "{text}");
    }
}

fn manifest(layer: &[u8]) -> Vec<u8> {
    content::bytes(&content::image(&[layer]))
}
