//! What large and abandoned uploads take: memory that doesn't grow with the
//! blob, and nothing that stays.

use std::io::Read;
use std::time::{Duration, Instant};

use reqwest::blocking::{Body, Client};
use sha2::{Digest as _, Sha256};

use crate::content::{noise, sha256};
use crate::repo::{Repo, with_query};
use crate::support::{Registry, S3Engine, eventually, is_long, say};

/// The most memory that a server may ever have had, in KiB.
const MEMORY: u64 = 256 * 1024;

#[test]
fn a_blob_of_1_gib_streams_through() {
    if S3Engine::needs().met() {
        stream(1 << 30);
    }
}

/// More than one request of S3 can copy.
#[test]
fn a_blob_of_more_than_5_gib_is_pushed_and_pulled() {
    if !S3Engine::needs().met() {
        return;
    }
    if !is_long() {
        say("SKIPPED a blob of more than 5 GiB: it takes minutes and 12 GiB (WHARF_LONG=1)");
        return;
    }
    stream((5 << 30) + 12_345);
}

/// Pushes a blob in one request, closes the upload, and pulls it.
fn stream(size: u64) {
    let registry = Registry::start();
    let repo = Repo::on(&registry, "large");
    let location = repo.start();
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(1200))
        .build()
        .unwrap();
    let digest = digest_of(Endless::of(size));

    let begun = Instant::now();
    let patched = client
        .patch(registry.url() + &location)
        .body(Body::sized(Endless::of(size), size))
        .send()
        .unwrap();
    assert_eq!(patched.status(), 202);
    let received = begun.elapsed();
    let location = patched.headers()["location"].to_str().unwrap();
    let closing = with_query(location, &format!("digest={digest}"));
    let begun = Instant::now();
    let closed = client.put(registry.url() + &closing).body("").send();
    let closed = closed.unwrap();
    assert_eq!(closed.status(), 201, "{}", closed.text().unwrap());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(30), "closed after {took:?}");

    let begun = Instant::now();
    let url = format!("{}/v2/large/blobs/{digest}", registry.url());
    let pulled = client.get(url).send().unwrap();
    assert_eq!(pulled.status(), 200);
    assert_eq!(pulled.content_length(), Some(size));
    assert_eq!(digest_of(pulled), digest);
    let peak = peak(&registry);
    say(&format!(
        "{} MiB: received in {:.1} s, closed in {:.1} s, pulled in {:.1} s; the server's memory was \
         at most {} MiB",
        size >> 20,
        received.as_secs_f64(),
        took.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        peak >> 10
    ));
    assert!(peak < MEMORY, "{peak} KiB");
}

#[test]
fn uploads_of_no_bytes_and_of_one_are_closed_in_every_way() {
    if !S3Engine::needs().met() {
        return;
    }
    let repo = Repo::fresh();
    for content in [&b""[..], b"1"] {
        let digest = sha256(content);
        let query = format!("digest={digest}");
        let location = repo.start();
        let patched = repo.at("PATCH", &location).body(content).send().expect(202);
        let closing = with_query(patched.must("location"), &query);
        repo.at("PUT", &closing).body("").send().expect(201);
        let closing = with_query(&repo.start(), &query);
        repo.at("PUT", &closing).body(content).send().expect(201);
        let single = repo.ask("POST", &format!("blobs/uploads/?{query}"));
        single.body(content).send().expect(201);
        let get = repo.get(&format!("blobs/{digest}")).expect(200);
        assert_eq!(get.body, content);
        repo.delete(&format!("blobs/{digest}")).expect(202);
        repo.get(&format!("blobs/{digest}")).expect(404);
    }
}

#[test]
fn an_abandoned_upload_leaves_nothing_in_the_store() {
    if !S3Engine::needs().met() {
        return;
    }
    // It takes requests that nobody signed, so a test can ask it.
    let engine = S3Engine::without_keys();
    let bucket = engine.bucket();
    let registry = Registry::with()
        .s3(&bucket)
        .env(
            "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING",
            "{enabled: true, age: 10s, interval: 1s, dryrun: false}",
        )
        .start();
    let repo = Repo::on(&registry, "left/behind");
    // Usage counts open uploads, in a record of its own.
    let objects = || {
        let mut objects = bucket.objects();
        objects.retain(|(key, _)| !key.contains("/wharf/usage/"));
        objects
    };
    let before = objects();
    let sizes = [0, 100, 12_000_000, 25_000_000];
    for (seed, size) in sizes.into_iter().enumerate() {
        let content = noise(seed as u64, size);
        let location = repo.start();
        repo.at("PATCH", &location).body(content).send().expect(202);
    }
    let url = format!("{}/{}/?uploads", bucket.endpoint, bucket.name);
    let multipart = || -> usize {
        let client = Client::builder().no_proxy().build().unwrap();
        let text = client.get(&url).send().unwrap().text().unwrap();
        assert!(text.contains("ListMultipartUploadsResult"), "{text}");
        text.matches("<Upload>").count()
    };
    let limit = Instant::now() + Duration::from_secs(50);
    eventually("the uploads' end", Duration::from_secs(60), || {
        let objects = objects();
        let done = objects == before && multipart() == 0;
        assert!(done || Instant::now() < limit, "left: {objects:?}");
        done.then_some(())
    });
}

/// A stream of pseudo-random bytes, one block again and again with its number.
struct Endless {
    block: Vec<u8>,
    at: usize,
    left: u64,
}

impl Endless {
    fn of(size: u64) -> Endless {
        Endless {
            block: noise(77, 1 << 20),
            at: 0,
            left: size,
        }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.block.len() {
            self.at = 0;
            let number = self.left.to_le_bytes();
            self.block[..8].copy_from_slice(&number);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = buffer.len().min(self.block.len() - self.at).min(left);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        self.left -= count as u64;
        Ok(count)
    }
}

fn digest_of(mut stream: impl Read) -> String {
    let mut state = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = stream.read(&mut buffer).expect("bytes");
        if count == 0 {
            break;
        }
        state.update(&buffer[..count]);
    }
    let hex: String = state
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// The most memory that the server had so far, in KiB.
fn peak(registry: &Registry) -> u64 {
    let pid = registry.pid().expect("a running server");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap()
}
