//! A client of a soak: asks one of the servers, knows which answers its request
//! may have, and asks again where a server was killed.

use std::time::{Duration, Instant};

use reqwest::blocking::Body;

use crate::content::sha256;
use crate::random::Random;
use crate::repo::with_query;
use crate::stock::{Goods, Stock};
use crate::tally::Tally;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Until a request is sent again that was not answered.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a kill may be felt: a delete that died with its server keeps pushes
/// to its repository waiting for a minute.
const FELT: Duration = Duration::from_secs(75);

/// How often a manifest may be refused before all its blobs are there.
const TRIES: usize = 8;

/// A whole answer.
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    location: Option<String>,
}

impl Reply {
    fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = json["errors"][0]["code"].as_str();
        code.unwrap_or_default().to_owned()
    }
}

/// The soak ends while something is still unanswered: nobody knows what came of
/// it.
#[derive(Debug)]
pub struct Unknown;

/// One of those who work at once.
pub struct Client<'a> {
    http: reqwest::blocking::Client,
    servers: &'a [String],
    pub tally: &'a Tally,
    pub stock: &'a Stock,
    pub random: Random,
}

impl<'a> Client<'a> {
    pub fn new(servers: &'a [String], tally: &'a Tally, stock: &'a Stock, random: Random) -> Self {
        let http = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("an HTTP client");
        Client {
            http,
            servers,
            tally,
            stock,
            random,
        }
    }

    fn send(&self, method: &str, url: &str, media: &str, body: Body) -> Option<Reply> {
        let request = self.http.request(method.parse().expect("a method"), url);
        let request = request
            .header("content-type", media)
            .header("accept", "*/*");
        let answer = request.body(body).send().ok()?;
        let location = answer.headers().get("location");
        let location = location.and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let status = answer.status().as_u16();
        let body = answer.bytes().ok()?.to_vec();
        Some(Reply {
            status,
            body,
            location,
        })
    }

    /// Asks until there is an answer; another one than `expected` is a failure,
    /// unless a server was killed meanwhile.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        media: &str,
        body: &[u8],
        expected: &[u16],
    ) -> Result<Reply, Unknown> {
        loop {
            match self.ask_once(method, path, media, body, expected) {
                Some(reply) => return Ok(reply),
                None if self.tally.is_over() => return Err(Unknown),
                None => std::thread::sleep(PAUSE),
            }
        }
    }

    /// The same, once.
    fn ask_once(
        &mut self,
        method: &str,
        path: &str,
        media: &str,
        body: &[u8],
        expected: &[u16],
    ) -> Option<Reply> {
        let server = &self.servers[self.random.below(self.servers.len())];
        let before = self.tally.faults();
        let begun = Instant::now();
        let reply = self.send(
            method,
            &format!("http://{server}{path}"),
            media,
            body.to_vec().into(),
        );
        let quiet = before.0 == before.1 && before == self.tally.faults();
        let took = begun.elapsed();
        match reply {
            None if quiet => {
                self.tally
                    .fail(format!("{method} {path}: no answer in {took:?}"));
                None
            }
            None => {
                self.tally.count("unanswered beside a kill");
                None
            }
            Some(reply) if expected.contains(&reply.status) => Some(reply),
            Some(reply) if reply.status >= 500 && (!quiet || self.feels_a_kill(&reply)) => {
                self.tally.count("5xx beside a kill");
                None
            }
            Some(reply) => {
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                let status = reply.status;
                let what = format!("{method} {path} at {server}: {status} after {took:?}: {text}");
                self.tally.fail(what);
                Some(reply)
            }
        }
    }

    /// Whether it was told to wait for a delete that died.
    fn feels_a_kill(&self, reply: &Reply) -> bool {
        let recent = self.tally.killed().is_some_and(|at| at.elapsed() < FELT);
        reply.status == 503 && recent
    }

    /// Pushes a blob in one of the ways that clients have.
    fn upload(&mut self, repo: &str, blob: usize) -> Result<(), Unknown> {
        let stock = self.stock;
        let blob = &stock.blobs[blob];
        let media = "application/octet-stream";
        let start = format!("/v2/{repo}/blobs/uploads/");
        let digest = &blob.digest;
        self.tally.count("blobs");
        if self.random.below(2) == 0 {
            let path = with_query(&start, &format!("digest={digest}"));
            self.ask("POST", &path, media, &blob.bytes, &[201])?;
            return Ok(());
        }
        loop {
            // A session may end with a kill; then all of it is sent again.
            let begun = self.ask("POST", &start, media, &[], &[202])?;
            let Some(location) = begun.location else {
                continue;
            };
            let path = with_query(path_of(&location), &format!("digest={digest}"));
            let before = self.tally.faults();
            let closed = self.ask_once("PUT", &path, media, &blob.bytes, &[201, 404, 416]);
            let quiet = before.0 == before.1 && before == self.tally.faults();
            match closed {
                Some(reply) if reply.status == 201 => return Ok(()),
                Some(reply) if quiet => {
                    self.tally.fail(format!("PUT {path}: {}", reply.status));
                    return Err(Unknown);
                }
                _ if self.tally.is_over() => return Err(Unknown),
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Pushes an image, index or referrer with everything that it needs, as
    /// clients do that ask first, and send what they are told is missing.
    pub fn push(&mut self, repo: &str, goods: usize, tag: Option<&str>) -> Result<(), Unknown> {
        let stock = self.stock;
        let wanted: &Goods = &stock.goods[goods];
        for child in &wanted.children {
            self.push(repo, *child, None)?;
        }
        for tried in 0.. {
            for blob in &wanted.blobs {
                let path = format!("/v2/{repo}/blobs/{}", stock.blobs[*blob].digest);
                let there = tried == 0
                    && self.random.below(8) > 0
                    && self.ask("HEAD", &path, "*/*", &[], &[200, 404])?.status == 200;
                if !there {
                    self.upload(repo, *blob)?;
                }
            }
            let path = format!("/v2/{repo}/manifests/{}", tag.unwrap_or(&wanted.digest));
            let reply = self.ask("PUT", &path, wanted.media, &wanted.bytes, &[201, 400])?;
            if reply.status == 201 {
                self.tally.count("pushes");
                return Ok(());
            }
            if reply.status != 400 {
                return Err(Unknown);
            }
            if reply.code() != "MANIFEST_BLOB_UNKNOWN" {
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                self.tally.fail(format!("PUT {path}: 400 {text}"));
                return Err(Unknown);
            }
            self.tally.count("pushed again");
            if tried == TRIES {
                self.tally
                    .fail(format!("PUT {path}: refused {TRIES} times"));
                return Err(Unknown);
            }
            for child in &wanted.children {
                self.push(repo, *child, None)?;
            }
        }
        Ok(())
    }

    /// Takes a layer of an image over from another repository, if it can.
    pub fn mount(&mut self, repo: &str, from: &str, goods: usize) -> Result<(), Unknown> {
        let stock = self.stock;
        let Some(blob) = stock.goods[goods].blobs.first() else {
            return Ok(());
        };
        let digest = &stock.blobs[*blob].digest;
        let path = format!("/v2/{repo}/blobs/uploads/?mount={digest}&from={from}");
        let reply = self.ask("POST", &path, "*/*", &[], &[201, 202])?;
        if reply.status == 201 {
            self.tally.count("mounts");
        } else if let Some(location) = &reply.location {
            self.ask("DELETE", path_of(location), "*/*", &[], &[204, 404])?;
        }
        Ok(())
    }

    /// Deletes a manifest or a tag.
    pub fn delete(&mut self, repo: &str, reference: &str) -> Result<(), Unknown> {
        let path = format!("/v2/{repo}/manifests/{reference}");
        self.ask("DELETE", &path, "*/*", &[], &[202, 404])?;
        self.tally.count("deletes");
        Ok(())
    }

    /// Pulls something whole, under its tag or its digest; says what is wrong.
    pub fn pull(
        &mut self,
        repo: &str,
        goods: usize,
        reference: &str,
    ) -> Result<Option<String>, Unknown> {
        let stock = self.stock;
        let wanted = &stock.goods[goods];
        let path = format!("/v2/{repo}/manifests/{reference}");
        let reply = self.ask("GET", &path, "*/*", &[], &[200, 404])?;
        if reply.status != 200 || sha256(&reply.body) != wanted.digest {
            let found = sha256(&reply.body);
            return Ok(Some(format!(
                "{path}: {} {found}, not {}",
                reply.status, wanted.digest
            )));
        }
        for child in &wanted.children {
            let digest = stock.goods[*child].digest.clone();
            if let Some(wrong) = self.pull(repo, *child, &digest)? {
                return Ok(Some(wrong));
            }
        }
        for blob in &wanted.blobs {
            let digest = &stock.blobs[*blob].digest;
            let path = format!("/v2/{repo}/blobs/{digest}");
            let reply = self.ask("GET", &path, "*/*", &[], &[200, 404])?;
            if reply.status != 200 || sha256(&reply.body) != *digest {
                return Ok(Some(format!("{path}: {} of {reference}", reply.status)));
            }
        }
        self.tally.count("pulls");
        Ok(None)
    }

    /// A list of strings in an answer.
    pub fn list(&mut self, path: &str, items: &str, name: &str) -> Result<Vec<String>, Unknown> {
        let reply = self.ask("GET", path, "*/*", &[], &[200, 404])?;
        let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let list = json[items].as_array().cloned().unwrap_or_default();
        let text = |one: &serde_json::Value| match one {
            serde_json::Value::String(text) => text.clone(),
            other => other[name].as_str().unwrap_or_default().to_owned(),
        };
        let mut list: Vec<String> = list.iter().map(text).collect();
        list.sort();
        Ok(list)
    }
}

/// The path of a `Location`, so that any server may be asked.
fn path_of(location: &str) -> &str {
    let after = location.strip_prefix("http://");
    after.map_or(location, |rest| {
        &rest[rest.find('/').unwrap_or(rest.len())..]
    })
}
