//! Bad input gets the specification's status and code, soon, and changes
//! nothing: every entry of `bad-inputs.json` and `own-bad-inputs.json` in the
//! groups that need neither users nor TLS, over a raw socket (`logins`,
//! `slow_clients`, `http2_bounds` and `tls_bounds` have the others).

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bad_entries::{Entry, Stage, entries};
use crate::content::sha256;
use crate::errors::CODES;
use crate::support::Registry;
use crate::wire::{Answer, connect};

/// The time in which every entry must be answered.
pub const LIMIT: Duration = Duration::from_secs(5);

/// What the server's memory may have grown by after a group, in KiB.
pub const MEMORY: u64 = 16 * 1024;

/// How long memory may take to settle.
const SETTLING: Duration = Duration::from_secs(10);

/// How long a connection stays quiet before nothing more is expected of it.
const QUIET: Duration = Duration::from_millis(150);

#[test]
fn names() {
    play("names");
}

#[test]
fn tags() {
    play("tags");
}

#[test]
fn digests() {
    play("digests");
}

#[test]
fn upload_ids() {
    play("uuids");
}

#[test]
fn ranges() {
    play("ranges");
}

#[test]
fn headers() {
    play("headers");
}

#[test]
fn methods() {
    play("methods");
}

#[test]
fn manifests() {
    play("manifests");
}

#[test]
fn indexes() {
    play("indexes");
}

#[test]
fn json() {
    play("json");
}

#[test]
fn queries() {
    play("query");
}

#[test]
fn framing() {
    play("framing");
}

#[test]
fn valid_edges() {
    play("valid");
}

/// Plays a group against a server of its own.
fn play(group: &str) {
    let server = Registry::start();
    let stage = Stage::on(&server, "bad/inputs");
    play_on(server, &stage, entries(group));
}

/// Plays entries against a server, and fails with everything that is wrong at
/// once.
pub fn play_on(mut server: Registry, stage: &Stage, entries: Vec<Entry>) {
    let alive = stage.repo.at("GET", "/v2/").send().status;
    let memory = resident(&server);
    let surroundings = files(server.dir(), Some(server.data()));
    let mut wrong = Vec::new();
    for entry in entries {
        let bytes = entry.bytes(stage);
        let before = tree(&server);
        let begun = Instant::now();
        let heard = listen(stage.repo.host(), bytes);
        let took = begun.elapsed();
        let mut said = judge(&entry, &heard);
        if took > LIMIT {
            said.push(format!("took {} ms", took.as_millis()));
        }
        let accepted = answers(&entry, &heard)
            .first()
            .is_some_and(|answer| answer.status < 300);
        if !accepted && tree(&server) != before {
            said.push("changed what is stored".to_owned());
        }
        if !said.is_empty() {
            let (id, why) = (entry.id(), entry.why());
            wrong.push(format!("{id} ({why}): {}", said.join("; ")));
        }
        let now = stage.repo.at("GET", "/v2/").send();
        assert_eq!(now.status, alive, "after {}", entry.id());
    }
    assert_eq!(files(server.dir(), Some(server.data())), surroundings);
    settled(&server, memory);
    assert!(server.stop().success(), "an orderly end");
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with what was heard.
pub fn judge(entry: &Entry, heard: &[u8]) -> Vec<String> {
    let answers = answers(entry, heard);
    let mut wrong = Vec::new();
    let Some(answer) = answers.first() else {
        if !entry.may_close() {
            wrong.push(format!("no answer: {}", String::from_utf8_lossy(heard)));
        }
        return wrong;
    };
    if answers.len() > entry.most_answers() {
        wrong.push(format!("{} answers to one request", answers.len()));
    }
    let status = u64::from(answer.status);
    if !entry.statuses().contains(&status) {
        wrong.push(format!("status not in {:?}: {answer}", entry.statuses()));
    }
    if answer.status >= 500 {
        wrong.push(format!("a 5xx: {answer}"));
    }
    if let Some((header, words)) = entry.forbidden()
        && let Some(value) = answer.header(header)
        && words.iter().any(|word| value.contains(word))
    {
        wrong.push(format!("{header}: {value}"));
    }
    for header in entry.required() {
        if answer.header(header).is_none() {
            wrong.push(format!("no {header}"));
        }
    }
    let content_type = answer.header("content-type").unwrap_or_default();
    let has_form = content_type.split(';').next() == Some("application/json");
    let is_refusal = (400..500).contains(&answer.status) && !entry.is_head();
    if is_refusal && has_form {
        let form: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let code = form
            .as_ref()
            .and_then(|form| form["errors"][0]["code"].as_str());
        let code = code.unwrap_or_default().to_owned();
        if !CODES.contains(&code.as_str()) {
            wrong.push(format!("{code} is no code of the specification"));
        }
        let codes = entry.codes();
        if !codes.is_empty() && !codes.contains(&code.as_str()) {
            wrong.push(format!("{code} is not in {codes:?}"));
        }
    } else if is_refusal {
        wrong.push(format!("an error without its form: {answer}"));
    }
    wrong
}

/// The answers in what was heard.
pub fn answers(entry: &Entry, mut heard: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some((answer, rest)) = Answer::parse(heard, entry.is_head()) {
        answers.push(answer);
        heard = &heard[heard.len() - rest..];
    }
    answers
}

/// Sends bytes, and reads until the server ends the connection, has answered
/// and is quiet, or the limit is over.
pub fn listen(host: &str, bytes: Vec<u8>) -> Vec<u8> {
    let mut socket = connect(host, LIMIT);
    let mut writer = socket.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let _ = writer.write_all(&bytes);
    });
    socket.set_read_timeout(Some(QUIET)).unwrap();
    let deadline = Instant::now() + LIMIT;
    let mut heard = Vec::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => heard.extend(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if !heard.is_empty() || Instant::now() > deadline {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    let _ = socket.shutdown(Shutdown::Both);
    writing.join().unwrap();
    heard
}

/// The memory that the server holds, in KiB.
pub fn resident(server: &Registry) -> u64 {
    let pid = server.pid().expect("a running server");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap()
}

/// Waits until the server's memory is back within the bound.
///
/// # Panics
/// When it stays above.
pub fn settled(server: &Registry, before: u64) {
    let deadline = Instant::now() + SETTLING;
    loop {
        let grown = resident(server).saturating_sub(before);
        if grown < MEMORY {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{grown} KiB more memory than before"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What is stored: sessions come and go, so only content, links and tags.
fn tree(server: &Registry) -> BTreeMap<PathBuf, Content> {
    let mut files = files(server.data(), None);
    files.retain(|path, _| !path.components().any(|part| part.as_os_str() == "_uploads"));
    // What repositories hold is written down every few seconds, whatever comes.
    let usage = server.data().join("docker/registry/v2/wharf/usage");
    files.retain(|path, _| !path.starts_with(&usage));
    files
}

/// A file's size, and what it says where that is short.
type Content = (u64, Option<String>);

/// Files up to this size are compared by their content.
const SHORT: u64 = 64 * 1024;

/// All files below a directory and what is in them, but for those below `except`
/// and the server's log.
fn files(directory: &Path, except: Option<&Path>) -> BTreeMap<PathBuf, Content> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if except == Some(path.as_path()) || path.ends_with("server.log") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, except));
        } else if let Ok(metadata) = path.metadata() {
            let size = metadata.len();
            let content = (size <= SHORT).then(|| sha256(&fs::read(&path).unwrap_or_default()));
            found.insert(path, (size, content));
        }
    }
    found
}
