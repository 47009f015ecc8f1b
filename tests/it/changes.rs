//! Changes of users, rules and the configuration file take effect within two
//! seconds, on every replica, and running transfers end with the right to them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::content::{IMAGE, noise, sha256};
use crate::health::{ask, debug};
use crate::repo::with_query;
use crate::support::{Registry, Setup, eventually};
use crate::wire::{Answer, PATIENCE, Request, connect};

/// How long a change may take, and what a busy machine may add.
const SOON: Duration = Duration::from_secs(2);
const ALLOWANCE: Duration = Duration::from_secs(3);

/// Larger than what both ends of a connection keep in their buffers.
const LARGE: usize = 48 << 20;

#[test]
fn a_removed_users_download_breaks_off_and_the_others_goes_on() {
    let site = Site::start();
    let digest = site.push(LARGE);
    let path = format!("/v2/team/app/blobs/{digest}");
    let mut alices = Transfer::download(&site, "alice", &path);
    let mut bobs = Transfer::download(&site, "bob", &path);
    alices.go_on_for(Duration::from_millis(1500));
    bobs.go_on_for(Duration::from_millis(100));

    site.write_users(&[("bob", "bob-secret")]);
    let changed = Instant::now();
    alices.is_cut(changed);
    bobs.go_on_for(Duration::from_millis(1500));
    assert_eq!(bobs.rest(), LARGE, "all of it");
    site.as_user("alice", "GET", &path).send().expect(401);
    let line = site.line("the login does not count any more");
    assert!(line.contains("user=alice"), "{line}");
}

#[test]
fn a_download_ends_with_the_rule_that_allowed_it() {
    let site = Site::start();
    let digest = site.push(LARGE);
    let path = format!("/v2/team/app/blobs/{digest}");
    let mut alices = Transfer::download(&site, "alice", &path);
    let mut bobs = Transfer::download(&site, "bob", &path);
    alices.go_on_for(Duration::from_millis(1500));

    site.write_rules("[bob]");
    let changed = Instant::now();
    alices.is_cut(changed);
    bobs.go_on_for(Duration::from_millis(500));
    assert_eq!(bobs.rest(), LARGE, "all of it");
    // The same configuration says nothing but auth and access anew.
    assert!(!site.server.log().contains("more than auth"));
    site.as_user("alice", "GET", &path).send().expect(403);
}

#[test]
fn an_upload_of_somebody_who_is_removed_is_refused_and_leaves_nothing() {
    let site = Site::start();
    for (case, status) in [("removed", 401), ("password", 401), ("rule", 403)] {
        let start = Request::new(site.server.host(), "POST", "/v2/team/app/blobs/uploads/");
        let start = start
            .header("Authorization", basic("alice"))
            .body("")
            .send();
        let location = start.expect(202).must("location").to_owned();
        let location = location.replace(&site.server.url(), "");
        let content = noise(u64::from(status), 4_000_000);
        let target = with_query(&location, &format!("digest={}", sha256(&content)));
        let head = Request::new(site.server.host(), "PUT", &target)
            .header("Authorization", basic("alice"))
            .header("Content-Length", content.len());
        let mut socket = connect(site.server.host(), PATIENCE);
        socket.write_all(&head.bytes()).unwrap();
        let begun = Instant::now();
        for chunk in content[..1_500_000].chunks(100_000) {
            socket.write_all(chunk).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(begun.elapsed() > Duration::from_secs(1));
        match case {
            "removed" => site.write_users(&[("bob", "bob-secret")]),
            "password" => site.write_users(&[("alice", "another"), ("bob", "bob-secret")]),
            _ => site.write_rules("[bob]"),
        }
        // The client sends nothing more, and hears all the same.
        let changed = Instant::now();
        let mut heard = Vec::new();
        let _ = socket.read_to_end(&mut heard);
        let took = changed.elapsed();
        assert!(took < SOON + ALLOWANCE, "{case}: {} ms", took.as_millis());
        let (answer, _) = Answer::parse(&heard, false).expect("an answer");
        assert_eq!(answer.status, status, "{case}: {answer}");
        site.write_users(&USERS);
        site.write_rules("[alice, bob]");
        let path = format!("/v2/team/app/blobs/{}", sha256(&content));
        eventually("alice lets in again", PATIENCE, || {
            let answer = site.as_user("alice", "HEAD", &path).send();
            (answer.status == 404).then_some(())
        });
    }
}

#[test]
fn a_manifest_that_comes_slowly_is_not_taken_from_somebody_who_may_no_more() {
    let site = Site::start();
    let manifest = site.image();
    let head = Request::new(site.server.host(), "PUT", "/v2/team/app/manifests/slow")
        .header("Authorization", basic("alice"))
        .header("Content-Type", IMAGE)
        .header("Content-Length", manifest.len());
    let mut socket = connect(site.server.host(), PATIENCE);
    socket.write_all(&head.bytes()).unwrap();
    // Its last byte never comes.
    socket.write_all(&manifest[..manifest.len() - 1]).unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    site.write_users(&[("bob", "bob-secret")]);
    eventually("alice refused", SOON + ALLOWANCE, || {
        let answer = site.as_user("alice", "GET", "/v2/").send();
        (answer.status == 401).then_some(())
    });
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard);
    let (answer, _) = Answer::parse(&heard, false).expect("an answer");
    answer.refused(401, "UNAUTHORIZED");
    let path = "/v2/team/app/manifests/slow";
    site.as_user("bob", "GET", path).send().expect(404);
}

#[test]
fn every_replica_takes_up_a_change_of_the_files() {
    let site = Site::start();
    let second = setup(&site.files, &site.volume).start();
    for server in [&site.server, &second] {
        site.at(server, "alice", "GET", "/v2/").send().expect(200);
    }
    site.write_users(&[("bob", "bob-secret")]);
    let changed = Instant::now();
    for server in [&site.server, &second] {
        eventually("alice refused", SOON + ALLOWANCE, || {
            let answer = site.at(server, "alice", "GET", "/v2/").send();
            (answer.status == 401).then_some(())
        });
    }
    assert!(changed.elapsed() < SOON + ALLOWANCE);
    for server in [&site.server, &second] {
        replace(
            &server.dir().join("config.yml"),
            &site.configuration("[carol]"),
        );
    }
    for server in [&site.server, &second] {
        eventually("bob forbidden", SOON + ALLOWANCE, || {
            let path = "/v2/team/app/tags/list";
            let answer = site.at(server, "bob", "GET", path).send();
            (answer.status == 403).then_some(())
        });
    }
}

#[test]
fn a_broken_file_keeps_the_last_good_one_and_is_named() {
    let site = Site::start();
    let debug = debug(&site.server);
    let good = site.configuration("[alice, bob]");
    let named = |file: &str| format!("wharf_file_broken{{file=\"{file}\"}}");
    let gauge = |file: &str, value: &str| {
        let line = format!("{} {value}", named(file));
        eventually(&line, PATIENCE, || {
            let text = String::from_utf8(ask(&debug, "/metrics").expect(200).body).unwrap();
            text.lines().any(|found| found == line).then_some(())
        });
    };
    for file in ["configuration", "users", "groups", "keys"] {
        gauge(file, "0");
    }
    let broken = good.replace("rules:", "rulez:");
    for (file, path, content) in [
        (
            "configuration",
            site.server.dir().join("config.yml"),
            broken.as_str(),
        ),
        (
            "users",
            site.files.path().join("users"),
            "neither user nor hash\n",
        ),
    ] {
        fs::write(path, content).unwrap();
        gauge(file, "1");
        let ready = ask(&debug, "/readyz").expect(200).json();
        let told = ready[file].as_str().unwrap_or_default();
        assert!(told.contains("stays in force"), "{ready}");
        let ready = ask(site.server.host(), "/readyz").expect(200);
        assert_eq!(ready.body, b"{}", "{ready}");
        let path = "/v2/team/app/tags/list";
        site.as_user("alice", "GET", path).send().expect(404);
        site.as_user("carol", "GET", path).send().expect(401);
        match file {
            "users" => site.write_users(&USERS),
            _ => site.write_rules("[alice, bob]"),
        }
        gauge(file, "0");
        assert_eq!(ask(&debug, "/readyz").expect(200).body, b"{}");
    }
    let log = site.server.log();
    let said = log.matches("the configuration stays as it was").count();
    assert_eq!(said, 1, "once for each change: {log}");
    assert!(log.contains("rulez"), "{log}");
}

#[test]
fn what_would_open_the_registry_and_other_sections_wait_for_sighup() {
    let site = Site::start();
    let good = site.configuration("[alice, bob]");
    // A file that lost its end.
    let (short, _) = good.split_once("access:").unwrap();
    fs::write(site.server.dir().join("config.yml"), short).unwrap();
    site.line("that opens the registry, so it waits for SIGHUP");
    let path = "/v2/other/tags/list";
    site.as_user("alice", "GET", path).send().expect(403);
    let anonymous = Request::new(site.server.host(), "GET", path).send();
    anonymous.expect(401);

    let more = good.replace("enabled: true", "enabled: false");
    fs::write(site.server.dir().join("config.yml"), more).unwrap();
    site.line("more than auth and access has changed");
}

/// Two users, and a rule that lets both into `team/**`.
struct Site {
    files: TempDir,
    volume: TempDir,
    server: Registry,
}

const USERS: [(&str, &str); 2] = [("alice", "alice-secret"), ("bob", "bob-secret")];

impl Site {
    fn start() -> Site {
        let (files, volume) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        write_users(files.path(), &USERS);
        let server = setup(&files, &volume).start();
        Site {
            files,
            volume,
            server,
        }
    }

    fn configuration(&self, subjects: &str) -> String {
        configuration(&self.files, &self.volume, subjects)
    }

    fn write_users(&self, users: &[(&str, &str)]) {
        write_users(self.files.path(), users);
    }

    /// Lets `subjects` into `team/**`.
    fn write_rules(&self, subjects: &str) {
        replace(
            &self.server.dir().join("config.yml"),
            &self.configuration(subjects),
        );
    }

    fn at(&self, server: &Registry, user: &str, method: &str, path: &str) -> Request {
        Request::new(server.host(), method, path).header("Authorization", basic(user))
    }

    fn as_user(&self, user: &str, method: &str, path: &str) -> Request {
        self.at(&self.server, user, method, path)
    }

    /// Pushes a blob and returns its digest.
    fn push(&self, size: usize) -> String {
        let content = noise(7, size);
        let digest = sha256(&content);
        let path = format!("/v2/team/app/blobs/uploads/?digest={digest}");
        let push = self.as_user("bob", "POST", &path).body(content);
        push.send().expect(201);
        digest
    }

    /// Pushes the blobs of an image and returns its manifest.
    fn image(&self) -> Vec<u8> {
        for content in [crate::content::EMPTY_JSON, b"layer"] {
            let path = format!("/v2/team/app/blobs/uploads/?digest={}", sha256(content));
            let push = self.as_user("bob", "POST", &path).body(content);
            push.send().expect(201);
        }
        crate::content::bytes(&crate::content::image(&[b"layer"]))
    }

    /// A line of the log, once it is there.
    fn line(&self, words: &str) -> String {
        eventually(words, PATIENCE, || {
            let log = self.server.log();
            let line = log.lines().find(|line| line.contains(words));
            line.map(str::to_owned)
        })
    }
}

fn setup(files: &TempDir, volume: &TempDir) -> Setup {
    Registry::with().config(&configuration(files, volume, "[alice, bob]"))
}

fn configuration(files: &TempDir, volume: &TempDir, subjects: &str) -> String {
    let (volume, users) = (volume.path().display(), files.path().join("users"));
    format!(
        "version: 0.1\n\
         storage: {{filesystem: {{rootdirectory: {volume}}}, delete: {{enabled: true}}}}\n\
         http: {{addr: 127.0.0.1:0, debug: {{addr: 127.0.0.1:0, prometheus: {{enabled: true}}}}}}\n\
         auth: {{htpasswd: {{realm: r, path: {}}}}}\n\
         access:\n  rules:\n  - {{repositories: ['team/**'], subjects: {subjects}, actions: [pull, push]}}\n",
        users.display()
    )
}

fn write_users(dir: &Path, users: &[(&str, &str)]) {
    let lines = users.iter().map(|(name, password)| {
        // The same password has the same hash: who stays is not touched.
        let hash = bcrypt::hash_with_salt(password, 5, [7; 16]).unwrap();
        format!("{name}:{hash}\n")
    });
    replace(&dir.join("users"), &lines.collect::<String>());
}

fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, path).unwrap();
}

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{user}-secret")))
}

/// A download whose client takes its time.
struct Transfer {
    user: &'static str,
    socket: TcpStream,
    received: usize,
}

impl Transfer {
    fn download(site: &Site, user: &'static str, path: &str) -> Transfer {
        let mut socket = connect(site.server.host(), PATIENCE);
        let request = site.as_user(user, "GET", path).bytes();
        socket.write_all(&request).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{user}");
        Transfer {
            user,
            socket,
            received: 0,
        }
    }

    /// Takes some 2 MB/s for a while.
    fn go_on_for(&mut self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            assert!(self.take() > 0, "{} gets no more", self.user);
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn take(&mut self) -> usize {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.socket.read(&mut buffer).unwrap_or_default();
        self.received += count;
        count
    }

    /// Goes on taking until the connection ends, before the end of the content.
    fn is_cut(&mut self, changed: Instant) {
        // What is in the buffers of both ends still comes: that isn't timed.
        while self.take() > 0 {
            let late = changed.elapsed() > SOON + ALLOWANCE;
            if !late {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        assert!(self.received < LARGE, "{} has got it all", self.user);
    }

    /// Takes the rest at once and says how much it was in all.
    fn rest(&mut self) -> usize {
        while self.take() > 0 {}
        self.received
    }
}
