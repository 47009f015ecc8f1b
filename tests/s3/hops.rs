//! Uploads that go from replica to replica, chunk by chunk, while replicas are
//! killed at random: what was acknowledged is never lost, what a status tells
//! is always our own bytes, and every blob has its digest in the end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::blocking::{Body, Client, Response};

use crate::content::sha256;
use crate::random::Random;
use crate::repo::{Repo, with_query};
use crate::support::{Registry, S3Engine, is_long, say};

/// The largest blob and the largest chunk, in bytes.
const BLOB: usize = 40 << 20;
const CHUNK: usize = 12 << 20;

/// How long anything may go on failing.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many uploads run at once.
const WORKERS: usize = 3;

#[test]
fn an_upload_hops_between_replicas_that_are_killed() {
    if !S3Engine::needs().met() {
        return;
    }
    let count = if is_long() { 2000 } else { 200 };
    let seed = Random::seed();
    say(&format!(
        "hops: {count} uploads, WHARF_SEED={seed} repeats their sizes and order"
    ));
    let bucket = S3Engine::shared().bucket();
    let replicas: Vec<Mutex<Registry>> = (0..3)
        .map(|_| Mutex::new(Registry::with().s3(&bucket).start()))
        .collect();
    let hosts = replicas.iter().map(|one| one.lock().unwrap().url());
    let fleet = Arc::new(Fleet {
        urls: hosts.collect(),
        client: Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap(),
        seed,
        next: AtomicUsize::new(0),
        count,
        tally: Tally::default(),
    });

    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let fleet = Arc::clone(&fleet);
            std::thread::spawn(move || fleet.work())
        })
        .collect();
    let mut random = Random::of(seed, u64::MAX);
    let mut kills = 0;
    while !workers.iter().all(std::thread::JoinHandle::is_finished) {
        let victim = &replicas[random.below(replicas.len())];
        let mut victim = victim.lock().unwrap();
        victim.kill();
        std::thread::sleep(Duration::from_millis(random.below(300) as u64));
        victim.restart();
        kills += 1;
        drop(victim);
        std::thread::sleep(Duration::from_millis(100 + random.below(500) as u64));
    }
    let pushed: Vec<Pushed> = workers
        .into_iter()
        .flat_map(|worker| worker.join().expect("every upload came through"))
        .collect();

    assert_eq!(pushed.len(), count);
    for blob in &pushed {
        fleet.verify(blob);
    }
    let resumed = fleet.tally.resumed.load(Ordering::Relaxed);
    say(&format!(
        "hops: {count} uploads in {} chunks, {kills} kills, {resumed} times resumed from the \
         status, {} begun again after an unanswered close",
        fleet.tally.chunks.load(Ordering::Relaxed),
        fleet.tally.again.load(Ordering::Relaxed)
    ));
    assert!(kills > count / 20, "only {kills} kills");
    assert!(resumed > 0, "no kill met an upload");
}

/// The replicas, and what is uploaded to them.
struct Fleet {
    urls: Vec<String>,
    client: Client,
    seed: u64,
    next: AtomicUsize,
    count: usize,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    chunks: AtomicUsize,
    resumed: AtomicUsize,
    again: AtomicUsize,
    failed: AtomicBool,
}

/// A blob that was acknowledged.
struct Pushed {
    number: usize,
    digest: String,
}

/// How a closing request ended.
enum Close {
    Done,
    /// Nobody answered, and there is neither upload nor blob.
    Gone,
    /// The upload is still there, with so many bytes.
    At(usize),
}

impl Fleet {
    fn work(&self) -> Vec<Pushed> {
        let mut pushed = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count || self.tally.failed.load(Ordering::Relaxed) {
                return pushed;
            }
            let failure = Failing(&self.tally.failed);
            pushed.push(self.upload(number));
            std::mem::forget(failure);
        }
    }

    /// The content of an upload, and the numbers that its course follows.
    fn content(&self, number: usize) -> (Vec<u8>, Random) {
        let mut random = Random::of(self.seed, number as u64);
        let size = match number {
            0 => 0,
            1 => 1,
            2 => BLOB,
            _ => random.size(BLOB),
        };
        (random.bytes(size), random)
    }

    fn upload(&self, number: usize) -> Pushed {
        let (content, mut random) = self.content(number);
        let digest = sha256(&content);
        let pushed = Pushed { number, digest };
        'session: loop {
            let mut location = self.begin(&mut random);
            let mut received = 0;
            // A replica's last write may be done after its death: bytes of
            // ours, but of an earlier chunk.
            let mut sent = 0;
            loop {
                let last = received == content.len() || random.below(8) == 0;
                let left = content.len() - received;
                let chunk = if last {
                    &content[received..]
                } else {
                    let most = CHUNK.min(left);
                    &content[received..received + 1 + random.size(most - 1)]
                };
                sent = sent.max(received + chunk.len());
                if last {
                    let closing = with_query(&location, &format!("digest={}", pushed.digest));
                    match self.close(&mut random, &closing, received, chunk, sent) {
                        Close::Done => return pushed,
                        Close::At(now) => received = now,
                        Close::Gone => {
                            self.tally.again.fetch_add(1, Ordering::Relaxed);
                            continue 'session;
                        }
                    }
                } else {
                    (location, received) =
                        self.append(&mut random, location, received, chunk, sent);
                }
            }
        }
    }

    fn begin(&self, random: &mut Random) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = self.ask(random, "POST", "/v2/hops/blobs/uploads/");
            if let Some(answer) = answered(request.body("").send(), deadline) {
                assert_eq!(answer.status(), 202, "POST");
                return location(&answer);
            }
        }
    }

    /// Sends a chunk, and says where the upload is now and how far.
    fn append(
        &self,
        random: &mut Random,
        at: String,
        received: usize,
        chunk: &[u8],
        most: usize,
    ) -> (String, usize) {
        self.tally.chunks.fetch_add(1, Ordering::Relaxed);
        let range = format!("{received}-{}", received + chunk.len() - 1);
        let sent = self
            .ask(random, "PATCH", &at)
            .header("content-range", range)
            .header("content-type", "application/octet-stream")
            .body(Body::from(chunk.to_vec()))
            .send();
        let whole = received + chunk.len();
        if let Some(answer) = answered(sent, Instant::now() + PATIENCE) {
            if answer.status() == 202 {
                assert_eq!(end_of(&answer, 1), whole, "what a PATCH acknowledged");
                // Another replica knows it at once.
                if random.below(4) == 0 {
                    assert_eq!(self.status(random, &at, 1), Some(whole));
                }
                return (location(&answer), whole);
            }
            // A dead replica's last write came in between; or `0-0` was one
            // byte.
            let (status, text) = (answer.status(), answer.text().unwrap_or_default());
            assert_eq!(status, 416, "PATCH of {at} from byte {received}: {text}");
            if received == 0 && self.status(random, &at, 0) == Some(0) {
                return (at, 1);
            }
        }
        self.tally.resumed.fetch_add(1, Ordering::Relaxed);
        let now = self.status(random, &at, received);
        let now = now.unwrap_or_else(|| panic!("{at} is gone after {received} bytes"));
        assert!(
            (received..=most).contains(&now),
            "{at}: {now} bytes, of {received} acknowledged and {most} ever sent"
        );
        (at, now)
    }

    fn close(
        &self,
        random: &mut Random,
        closing: &str,
        received: usize,
        chunk: &[u8],
        most: usize,
    ) -> Close {
        let (at, digest) = closing.split_once("digest=").expect("a digest");
        let at = at.trim_end_matches(['?', '&']);
        let mut request = self.ask(random, "PUT", closing);
        if !chunk.is_empty() {
            let range = format!("{received}-{}", received + chunk.len() - 1);
            request = request.header("content-range", range);
        }
        let sent = request.body(Body::from(chunk.to_vec())).send();
        if let Some(answer) = answered(sent, Instant::now() + PATIENCE) {
            let (status, text) = (answer.status(), answer.text().unwrap_or_default());
            if status == 201 {
                return Close::Done;
            }
            assert_eq!(status, 416, "PUT of {at} after byte {received}: {text}");
        }
        self.tally.resumed.fetch_add(1, Ordering::Relaxed);
        if let Some(now) = self.status(random, at, received) {
            assert!(
                (received..=most).contains(&now),
                "{at}: {now} bytes, of {received} acknowledged and {most} ever sent"
            );
            return Close::At(now);
        }
        let there = self.eventually(random, "HEAD", &format!("/v2/hops/blobs/{digest}"));
        match there.status().as_u16() {
            200 => Close::Done,
            404 => Close::Gone,
            status => panic!("HEAD of {digest}: {status}"),
        }
    }

    /// How many bytes an upload has, which are at least as many as were
    /// acknowledged; `None` if there is none.
    fn status(&self, random: &mut Random, at: &str, acknowledged: usize) -> Option<usize> {
        let answer = self.eventually(random, "GET", at);
        match answer.status().as_u16() {
            204 => Some(end_of(&answer, acknowledged)),
            404 => None,
            status => panic!("GET of {at}: {status}"),
        }
    }

    fn verify(&self, blob: &Pushed) {
        let (content, mut random) = self.content(blob.number);
        let path = format!("/v2/hops/blobs/{}", blob.digest);
        let answer = self.eventually(&mut random, "GET", &path);
        assert_eq!(answer.status(), 200, "{path}");
        let pulled = answer.bytes().expect("the blob");
        assert!(pulled == content, "{path} is another content");
    }

    /// An answer of any replica that is there.
    fn eventually(&self, random: &mut Random, method: &str, path: &str) -> Response {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sent = self.ask(random, method, path).send();
            if let Some(answer) = answered(sent, deadline) {
                return answer;
            }
        }
    }

    fn ask(
        &self,
        random: &mut Random,
        method: &str,
        path: &str,
    ) -> reqwest::blocking::RequestBuilder {
        let url = &self.urls[random.below(self.urls.len())];
        let method = method.parse().expect("a method");
        self.client.request(method, format!("{url}{path}"))
    }
}

/// Tells the other workers when one gave up.
struct Failing<'a>(&'a AtomicBool);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The answer, or `None` where a replica died on it or has to wait for its
/// store.
fn answered(sent: reqwest::Result<Response>, deadline: Instant) -> Option<Response> {
    let sent = sent.ok().filter(|answer| {
        let status = answer.status();
        status != 503 && status != 429
    });
    if sent.is_none() {
        assert!(Instant::now() < deadline, "no replica answers");
        std::thread::sleep(Duration::from_millis(50));
    }
    sent
}

/// The path in `Location`, on whichever replica.
fn location(answer: &Response) -> String {
    let location = answer.headers()["location"].to_str().expect("text");
    assert!(location.starts_with("/v2/"), "{location}");
    location.to_owned()
}

/// The number of bytes in `Range: 0-N`. `0-0` is none or one, as far as anybody
/// acknowledged.
fn end_of(answer: &Response, acknowledged: usize) -> usize {
    let range = answer.headers()["range"].to_str().expect("text");
    match range.strip_prefix("0-") {
        Some("0") => acknowledged.min(1),
        Some(last) => last.parse::<usize>().expect("the last byte") + 1,
        None => panic!("no range from 0: {range}"),
    }
}

/// One replica counts what another has ended only until it would refuse more.
#[test]
fn what_another_replica_has_ended_does_not_count() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let few = "limits: {uploadsperuser: 2}";
    let replicas = [(); 2].map(|()| Registry::with().s3(&bucket).section(few).start());
    let [one, two] = [0, 1].map(|at| Repo::on(&replicas[at], "hops/ended"));
    let begin = || one.ask("POST", "blobs/uploads/").body("").send();
    for number in 0..5 {
        let content = format!("upload {number}");
        let location = begin().expect(202).must("location").to_owned();
        let closing = with_query(&location, &format!("digest={}", sha256(content.as_bytes())));
        two.at("PUT", &closing).body(content).send().expect(201);
    }
    begin().expect(202);
    begin().expect(202);
    begin().refused(429, "TOOMANYREQUESTS");
}
