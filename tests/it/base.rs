//! What is true of the whole API: its endpoints exist, every answer says which
//! API it is, and where the specification is silent, RFC 9110 speaks.

use crate::content::{ABSENT, EMPTY_DIGEST, EMPTY_JSON, IMAGE};
use crate::repo::Repo;
use crate::support::Registry;
use crate::wire::{Answer, PATIENCE, Request, exchange};

/// Every endpoint below `/v2/<name>/`, with the methods it has.
const ENDPOINTS: [(&str, &str); 7] = [
    ("manifests/latest", "GET, HEAD, PUT, DELETE"),
    (
        "blobs/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "GET, HEAD, DELETE",
    ),
    ("blobs/uploads/", "POST"),
    (
        "blobs/uploads/00000000-0000-4000-8000-000000000000",
        "GET, HEAD, PATCH, PUT, DELETE",
    ),
    ("tags/list", "GET, HEAD"),
    (
        "referrers/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "GET, HEAD",
    ),
    (
        "manifests/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "GET, HEAD, PUT, DELETE",
    ),
];

// spec: 9
#[test]
fn the_api_says_that_it_is_there() {
    let repo = Repo::fresh();
    for path in ["/v2/", "/v2"] {
        let answer = repo.at("GET", path).send().expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.body, b"{}");
        let head = repo.at("HEAD", path).send().expect(200);
        assert_eq!(head.length(), 2);
    }
}

// spec: 1, 2, 3
#[test]
fn every_endpoint_of_every_category_exists() {
    let repo = Repo::fresh();
    repo.tag("latest", "one");
    for (rest, methods) in ENDPOINTS {
        let options = repo.ask("OPTIONS", rest).send();
        assert!(matches!(options.status, 200 | 204), "{rest}: {options}");
        assert_eq!(options.must("allow"), methods, "{rest}");
    }
    for rest in ["manifests/latest", &format!("blobs/{EMPTY_DIGEST}")] {
        repo.get(rest).expect(200);
        repo.head(rest).expect(200);
    }
}

// spec: 7
#[test]
fn a_method_that_is_not_there_is_405_with_those_that_are() {
    let repo = Repo::fresh();
    for (rest, methods) in ENDPOINTS {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "FOO", "TRACE"] {
            if methods.split(", ").any(|one| one == method) {
                continue;
            }
            let answer = repo.ask(method, rest).send().refused(405, "UNSUPPORTED");
            assert_eq!(answer.must("allow"), methods, "{method} {rest}");
        }
    }
    for path in ["/v2/", "/v2/_catalog"] {
        let answer = repo.at("DELETE", path).send().refused(405, "UNSUPPORTED");
        assert_eq!(answer.must("allow"), "GET, HEAD");
    }
}

// spec: 7
#[test]
fn head_is_get_without_the_body() {
    let repo = Repo::fresh();
    let digest = repo.tag("latest", "one");
    for rest in [
        "manifests/latest".to_owned(),
        format!("manifests/{digest}"),
        "manifests/none".to_owned(),
        format!("blobs/{EMPTY_DIGEST}"),
        format!("blobs/{ABSENT}"),
        "tags/list".to_owned(),
        format!("referrers/{digest}"),
    ] {
        let (get, head) = (repo.get(&rest), repo.head(&rest));
        assert_eq!(get.status, head.status, "{rest}");
        let mut seen = (get.headers.clone(), head.headers);
        for headers in [&mut seen.0, &mut seen.1] {
            // What differs between any two answers.
            headers.retain(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"));
            headers.sort();
        }
        assert_eq!(seen.0, seen.1, "{rest}");
        assert_eq!(get.length(), get.body.len(), "{rest}");
        assert!(head.body.is_empty(), "{rest}");
    }
}

#[test]
fn every_answer_names_the_api_errors_too() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    let asked = [
        repo.at("GET", "/v2/"),
        repo.at("GET", "/v2/nothing/here"),
        repo.at("GET", "/nowhere"),
        repo.at("GET", "/v2/_catalog"),
        repo.ask("GET", &format!("blobs/{EMPTY_DIGEST}")),
        repo.ask("GET", &format!("blobs/{ABSENT}")),
        repo.ask("GET", &format!("blobs/{EMPTY_DIGEST}"))
            .header("Range", "bytes=9-"),
        repo.ask("POST", "blobs/uploads/").body(""),
        repo.ask("PATCH", "tags/list"),
        repo.ask("OPTIONS", "tags/list"),
        repo.ask("PUT", "manifests/x").header("Content-Type", IMAGE),
    ];
    for request in asked {
        let answer = request.send();
        let version = answer.must("docker-distribution-api-version");
        assert_eq!(version, "registry/2.0", "{answer}");
    }
}

// spec: 8
#[test]
fn no_path_is_tidied_by_a_redirect() {
    let repo = Repo::fresh();
    repo.tag("latest", "one");
    let name = repo.name();
    for path in [
        format!("/v2/{name}/tags/list/"),
        format!("/v2/{name}//tags/list"),
        format!("/v2/x/../{name}/tags/list"),
        format!("/v2/./{name}/tags/list"),
        format!("//v2/{name}/tags/list"),
        format!("/v2/{name}/manifests/latest/"),
        format!("/V2/{name}/tags/list"),
        format!("/v2/{}/tags/list", name.replace('/', "%2f")),
    ] {
        let answer = repo.at("GET", &path).send();
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer}");
        assert_eq!(answer.header("location"), None, "{path}");
    }
}

// spec: 5
#[test]
fn a_reference_is_a_tag_or_a_digest_and_nothing_else() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    for reference in [
        "sha256:baddigeststring",
        "sha256:",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "latest:one",
        &format!("latest@{ABSENT}"),
    ] {
        repo.put(reference, IMAGE, &manifest)
            .refused(400, "DIGEST_INVALID");
        let get = repo.get(&format!("manifests/{reference}"));
        assert!(matches!(get.status, 400 | 404), "{reference}: {get}");
    }
    assert!(repo.tags().is_empty(), "nothing was pushed");
}

#[test]
fn the_root_answers_those_who_probe_it() {
    let repo = Repo::fresh();
    let answer = repo.at("GET", "/").send().expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert!(answer.body.is_empty());
}

#[test]
fn an_old_probe_with_http_1_0_is_answered() {
    let repo = Repo::fresh();
    let probe = b"GET /v2/ HTTP/1.0\r\n\r\n".to_vec();
    let heard = exchange(repo.host(), probe, PATIENCE);
    let (answer, _) = Answer::parse(&heard, false).expect("an answer");
    assert_eq!(answer.expect(200).body, b"{}");
}

#[test]
fn one_connection_carries_many_requests() {
    let repo = Repo::fresh();
    let ask = |path: &str, connection: &str| {
        let request = repo.at("GET", path).header("Connection", connection);
        request.bytes()
    };
    let all = [
        ask("/v2/", "keep-alive"),
        ask("/v2/none/tags/list", "keep-alive"),
        ask("/v2/UPPER/tags/list", "keep-alive"),
        ask("/v2/", "close"),
    ];
    let heard = exchange(repo.host(), all.concat(), PATIENCE);
    let (mut rest, mut statuses) = (heard.as_slice(), Vec::new());
    while let Some((answer, left)) = Answer::parse(rest, false) {
        statuses.push(answer.status);
        rest = &rest[rest.len() - left..];
    }
    assert_eq!(statuses, [200, 404, 400, 200]);
}

#[test]
fn an_absolute_target_is_served_and_its_host_goes_nowhere() {
    let repo = Repo::fresh();
    let target = format!("http://elsewhere.example{}", repo.path("blobs/uploads/"));
    let answer = Request::new(repo.host(), "POST", &target).body("").send();
    let answer = answer.expect(202);
    assert!(answer.must("location").starts_with("/v2/"), "{answer}");
}

/// Scripts look for them without regard to RFC 9110.
#[test]
fn header_names_are_written_as_registry_2_writes_them() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    repo.tag("latest", "one");
    let request = Request::new(repo.host(), "HEAD", &repo.path("manifests/latest"));
    let answer = exchange(repo.host(), request.bytes(), PATIENCE);
    let answer = String::from_utf8(answer).unwrap();
    for name in [
        "Content-Type",
        "Content-Length",
        "Docker-Content-Digest",
        "Docker-Distribution-Api-Version",
        "Etag",
    ] {
        assert!(answer.contains(&format!("\r\n{name}: ")), "{answer}");
    }
}

#[test]
fn everything_lies_under_the_prefix_and_nothing_beside_it() {
    let server = Registry::with().env("REGISTRY_HTTP_PREFIX", "/x/").start();
    let ask = |path: &str| Request::new(server.host(), "GET", path).send();
    ask("/x/v2/").expect(200);
    ask("/x/").expect(200);
    ask("/").expect(200);
    for outside in ["/v2/", "/xv2/", "/y/x/v2/"] {
        ask(outside).refused(404, "NAME_UNKNOWN");
    }
    let started = Request::new(server.host(), "POST", "/x/v2/app/blobs/uploads/").send();
    assert!(
        started
            .expect(202)
            .must("location")
            .starts_with("/x/v2/app/blobs/uploads/")
    );
}
