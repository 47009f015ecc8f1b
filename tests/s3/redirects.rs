//! Pulls that are sent to the store: 307 with an address that works for a
//! while, for those who ask for a blob; who asks for its head or for several
//! ranges is answered here. No log has the address.

use reqwest::blocking::{Client, Response};
use reqwest::redirect::Policy;

use crate::content::noise;
use crate::repo::Repo;
use crate::support::{Registry, S3Engine, SECRET_KEY};

#[test]
fn a_pull_is_sent_to_the_store_with_an_address_that_works() {
    if !S3Engine::needs().met() {
        return;
    }
    let registry = Registry::with().redirects(true).start();
    let content = noise(1, 700_000);
    let digest = Repo::on(&registry, "sent").push(&content);
    let answer = ask(&registry, "GET", &format!("sent/blobs/{digest}"), None);
    assert_eq!(answer.status(), 307);
    let address = answer.headers()["location"].to_str().unwrap().to_owned();
    let store = format!("http://{}/", S3Engine::shared().host());
    assert!(address.starts_with(&store), "{address}");
    assert!(!address.contains(SECRET_KEY), "{address}");

    let from_store = client().get(&address).send().unwrap();
    assert_eq!(from_store.status(), 200);
    assert!(from_store.bytes().unwrap() == content);
    let part = client().get(&address).header("range", "bytes=5-9").send();
    assert!(part.unwrap().bytes().unwrap() == content[5..10]);
    // It is for this blob alone.
    let other = address.replacen("/data", "/date", 1);
    assert_eq!(client().get(other).send().unwrap().status(), 403);
    let put = client().put(&address).body("x").send().unwrap();
    assert_eq!(put.status(), 403);
    // The length of its life is registry:2's 20 minutes.
    assert!(address.contains("X-Amz-Expires=1200"), "{address}");
}

#[test]
fn heads_several_ranges_and_manifests_are_answered_here() {
    if !S3Engine::needs().met() {
        return;
    }
    let registry = Registry::with().redirects(true).start();
    let repo = Repo::on(&registry, "here");
    let content = noise(2, 100_000);
    let digest = repo.push(&content);
    let path = format!("here/blobs/{digest}");
    let head = ask(&registry, "HEAD", &path, None);
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], "100000");
    let several = ask(&registry, "GET", &path, Some("bytes=0-3,99996-99999"));
    assert_eq!(several.status(), 206);
    let kind = several.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("multipart/byteranges"), "{kind}");
    let body = several.bytes().unwrap();
    for part in [&content[..4], &content[99_996..]] {
        assert!(body.windows(4).any(|window| window == part));
    }
    let manifest = repo.tag("latest", "one");
    repo.get("manifests/latest").expect(200);
    repo.get(&format!("manifests/{manifest}")).expect(200);
    // What isn't there, or elsewhere, leads nowhere.
    let absent = format!("here/blobs/sha256:{}", "b".repeat(64));
    assert_eq!(ask(&registry, "GET", &absent, None).status(), 404);
    let elsewhere = Repo::on(&registry, "elsewhere");
    elsewhere.push(b"another");
    elsewhere.get(&format!("blobs/{digest}")).expect(404);
}

#[test]
fn no_log_has_an_address_that_opens_the_store() {
    if !S3Engine::needs().met() {
        return;
    }
    for formatter in ["text", "json", "logstash"] {
        let registry = Registry::with()
            .redirects(true)
            .env("REGISTRY_LOG_FORMATTER", formatter)
            .env("REGISTRY_LOG_LEVEL", "debug")
            .env("REGISTRY_HTTP_DEBUG_ADDR", "\"127.0.0.1:0\"")
            .start();
        let digest = Repo::on(&registry, "silent").push(b"content");
        let path = format!("silent/blobs/{digest}");
        for _ in 0..3 {
            assert_eq!(ask(&registry, "GET", &path, None).status(), 307);
        }
        crate::support::eventually("the pulls in the log", crate::wire::PATIENCE, || {
            (registry.log().matches("307").count() >= 3).then_some(())
        });
        let log = registry.log();
        for secret in ["X-Amz-", "Signature", "AKREG", SECRET_KEY] {
            assert!(!log.contains(secret), "{secret} with {formatter}: {log}");
        }
    }
}

#[test]
fn with_redirects_off_the_content_comes_from_here() {
    if !S3Engine::needs().met() {
        return;
    }
    let registry = Registry::with().redirects(false).start();
    let content = noise(3, 3_000_000);
    let digest = Repo::on(&registry, "streamed").push(&content);
    let path = format!("streamed/blobs/{digest}");
    let answer = ask(&registry, "GET", &path, None);
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().unwrap() == content);
}

fn ask(registry: &Registry, method: &str, path: &str, range: Option<&str>) -> Response {
    let url = format!("{}/v2/{path}", registry.url());
    let request = client().request(method.parse().unwrap(), url);
    let request = match range {
        Some(range) => request.header("range", range),
        None => request,
    };
    request.send().expect("an answer")
}

fn client() -> Client {
    let client = Client::builder().no_proxy().redirect(Policy::none());
    client.build().expect("an HTTP client")
}
