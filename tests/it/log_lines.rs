//! What is seen of requests: exactly one line for each, in every format, with
//! the names that people search for.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::Value;

use crate::content::EMPTY_DIGEST;
use crate::repo::Repo;
use crate::support::{Registry, Setup, eventually};
use crate::wire::{PATIENCE, Request, connect};

/// `moby:gordon`.
const MOBY: &str = "Basic bW9ieTpnb3Jkb24=";

#[test]
fn each_request_is_exactly_one_line_of_text_with_its_fields() {
    let mut server = logging("text").start();
    let ids = requests(&server);
    assert!(server.stop().success());
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| is_access(line)).collect();
    assert_eq!(lines.len(), ids.len(), "{log}");
    for (id, asked) in &ids {
        let field = format!("request_id={id}");
        let mut found = lines.iter().filter(|line| line.contains(&field));
        let line = found.next().unwrap_or_else(|| panic!("no {field}: {log}"));
        assert!(found.next().is_none(), "{field} twice: {log}");
        let (time, _) = line.split_once(' ').unwrap();
        assert!(is_time(time), "{line}");
        assert!(line.contains(" client=127.0.0.1:"), "{line}");
        assert!(line.contains(" ms="), "{line}");
        for (name, value) in &asked.fields {
            let field = format!(" {name}={value}");
            assert!(
                format!("{line} ").contains(&format!("{field} ")),
                "{field}: {line}"
            );
        }
        for absent in &asked.absent {
            assert!(!line.contains(&format!(" {absent}=")), "{absent}: {line}");
        }
    }
}

#[test]
fn each_request_is_exactly_one_json_object() {
    objects("json", ["time", "level", "msg"]);
}

#[test]
fn each_request_is_exactly_one_object_for_logstash() {
    objects("logstash", ["@timestamp", "level", "message"]);
}

fn objects(format: &str, [time, level, message]: [&str; 3]) {
    let mut server = logging(format).start();
    let ids = requests(&server);
    assert!(server.stop().success());
    let log = server.log();
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    for line in log.lines() {
        let object: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{error}: every line is an object: {line}"));
        assert!(is_time(object[time].as_str().unwrap()), "{line}");
        assert!(
            object[level].is_string() && object[message].is_string(),
            "{line}"
        );
        assert_eq!(object["service"], "harbour", "log.fields: {line}");
        assert_eq!(object["@version"] == 1, format == "logstash", "{line}");
        if let Some(id) = object["request_id"].as_str() {
            let earlier = found.insert(id.to_owned(), object.clone());
            assert!(earlier.is_none(), "a second line: {line}");
        }
    }
    assert_eq!(found.len(), ids.len(), "{log}");
    for (id, asked) in &ids {
        let object = &found[id];
        let client = object["client"].as_str().unwrap();
        assert!(client.starts_with("127.0.0.1:"), "{object}");
        assert!(
            object["ms"].as_f64().is_some_and(|ms| ms >= 0.0),
            "{object}"
        );
        for (name, value) in &asked.fields {
            let text = match &object[name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(text, *value, "{name}: {object}");
        }
        for absent in &asked.absent {
            assert!(object.get(absent).is_none(), "{absent}: {object}");
        }
    }
}

#[test]
fn fields_of_the_configuration_are_on_every_line_of_text() {
    let mut server = logging("text").start();
    requests(&server);
    assert!(server.stop().success());
    let log = server.log();
    assert!(log.lines().count() > 5, "{log}");
    for line in log.lines() {
        assert!(line.contains(" service=harbour"), "{line}");
        assert!(line.contains(" zone=\"pier 7\""), "{line}");
    }
}

#[test]
fn with_the_access_log_off_requests_have_no_line() {
    let mut server = Registry::with()
        .env("REGISTRY_LOG_ACCESSLOG_DISABLED", "true")
        .start();
    let repo = Repo::on(&server, "unseen");
    repo.tag("latest", "one");
    repo.get("manifests/none").expect(404);
    assert!(server.stop().success());
    let log = server.log();
    assert!(!log.contains("request_id"), "{log}");
    assert!(!log.contains("unseen"), "{log}");
    assert!(log.contains("listening on"), "{log}");
}

#[test]
fn an_upload_that_breaks_off_is_one_line_that_says_so() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "broken/off");
    let location = repo.start();
    let cut = repo
        .at("PATCH", &location)
        .header("Content-Length", 4_000_000)
        .body(vec![7; 2_000_000]);
    let mut socket = connect(repo.host(), PATIENCE);
    socket.write_all(&cut.bytes()).unwrap();
    eventually("bytes of the upload", PATIENCE, || {
        (repo.received(&location) > 0).then_some(())
    });
    drop(socket);
    eventually("its line", PATIENCE, || {
        server.log().contains("method=PATCH").then_some(())
    });
    assert!(server.stop().success());
    let log = server.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("method=PATCH"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains(" repository=broken/off "), "{}", lines[0]);
    assert!(!lines[0].contains(" status=202 "), "{}", lines[0]);
}

#[test]
fn a_path_or_an_agent_cannot_forge_a_line() {
    let mut server = Registry::start();
    for path in [
        "/v2/%0a2026-01-01T00:00:00Z%20INFO%20forged/tags/list",
        "/%0d%0aforged=1",
    ] {
        let request = Request::new(server.host(), "GET", path);
        request.header("User-Agent", "a\tb \u{85}\u{202e}c").send();
    }
    assert!(server.stop().success());
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("forged")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for line in lines {
        assert!(is_access(line), "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

/// A request that was made, and what its line has and has not.
struct Asked {
    fields: Vec<(&'static str, String)>,
    absent: Vec<&'static str>,
}

fn logging(format: &str) -> Setup {
    Registry::with()
        .env("REGISTRY_LOG_FORMATTER", format)
        .env("REGISTRY_LOG_FIELDS", "{service: harbour, zone: pier 7}")
        .user("moby", "gordon")
}

/// Makes requests of every kind, and returns them by their ids.
fn requests(server: &Registry) -> BTreeMap<String, Asked> {
    let blob = format!("blobs/{EMPTY_DIGEST}");
    let mut ids = BTreeMap::new();
    // Status and bytes are what the answer itself says.
    for (method, path, login, repository, reference) in [
        ("GET", "/v2/", Some(MOBY), None, None),
        ("GET", "/v2/", None, None, None),
        ("GET", "/v2/", Some("Basic bW9ieTp3cm9uZw=="), None, None),
        ("GET", "/", None, None, None),
        ("GET", "/v2/_catalog", Some(MOBY), None, None),
        ("GET", "/v2/a/b/tags/list", Some(MOBY), Some("a/b"), None),
        (
            "GET",
            "/v2/a/b/manifests/latest",
            Some(MOBY),
            Some("a/b"),
            Some("latest"),
        ),
        (
            "HEAD",
            "/v2/a/b/manifests/latest",
            Some(MOBY),
            Some("a/b"),
            Some("latest"),
        ),
        (
            "DELETE",
            "/v2/a/b/manifests/v1.0",
            Some(MOBY),
            Some("a/b"),
            Some("v1.0"),
        ),
        (
            "GET",
            &format!("/v2/a/b/{blob}"),
            Some(MOBY),
            Some("a/b"),
            Some(EMPTY_DIGEST),
        ),
        (
            "POST",
            "/v2/a/b/blobs/uploads/",
            Some(MOBY),
            Some("a/b"),
            None,
        ),
        ("GET", "/somewhere/else", Some(MOBY), None, None),
        ("PUT", "/v2/", Some(MOBY), None, None),
    ] {
        let mut request = Request::new(server.host(), method, path);
        if let Some(login) = login {
            request = request.header("Authorization", login);
        }
        if method == "POST" {
            request = request.body("");
        }
        let answer = request.send();
        let mut fields = vec![
            ("method", method.to_owned()),
            ("status", answer.status.to_string()),
            ("bytes", answer.body.len().to_string()),
        ];
        let mut absent = Vec::new();
        for (name, value) in [
            (
                "user",
                (login == Some(MOBY) && path != "/").then_some("moby"),
            ),
            ("repository", repository),
            ("reference", reference),
        ] {
            match value {
                Some(value) => fields.push((name, value.to_owned())),
                None => absent.push(name),
            }
        }
        let id = answer.must("x-request-id").to_owned();
        let earlier = ids.insert(id, Asked { fields, absent });
        assert!(earlier.is_none(), "an id of its own");
    }
    ids
}

fn is_access(line: &str) -> bool {
    line.contains(" response completed") || line.contains(" response aborted")
}

/// RFC 3339 in UTC, with milliseconds.
fn is_time(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|char| if char.is_ascii_digit() { '0' } else { char })
        .collect();
    shape == "0000-00-00T00:00:00.000Z"
}
