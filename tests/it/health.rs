//! What load balancers and monitoring ask: the debug listener's health and
//! metrics, and the gate on the main port.

use std::fs;

use tempfile::TempDir;

use crate::content::EMPTY_DIGEST;
use crate::repo::Repo;
use crate::support::{Registry, eventually};
use crate::wire::{Answer, PATIENCE, Request};

#[test]
fn health_and_metrics_are_on_the_debug_address_alone() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_DEBUG_ADDR", "\"127.0.0.1:0\"")
        .env("REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED", "true")
        .user("moby", "gordon")
        .start();
    let debug = debug(&server);
    let health = ask(&debug, "/debug/health").expect(200);
    assert_eq!(health.json(), serde_json::json!({}));
    let metrics = ask(&debug, "/metrics").expect(200);
    let kind = metrics.must("content-type");
    assert!(kind.contains("text"), "{kind}");
    ask(&debug, "/v2/").expect(404);
    for path in ["/metrics", "/debug/health"] {
        let answer = ask(server.host(), path);
        assert!((400..500).contains(&answer.status), "{path}: {answer}");
    }
}

#[test]
fn metrics_have_registry_2s_names_and_no_label_of_a_repository() {
    let server = Registry::with()
        .env("REGISTRY_HTTP_DEBUG_ADDR", "\"127.0.0.1:0\"")
        .env("REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED", "true")
        .env("REGISTRY_HTTP_DEBUG_PROMETHEUS_PATH", "/prometheus")
        .start();
    let repo = Repo::on(&server, "very/private-name");
    let digest = repo.tag("secret-tag", "one");
    repo.at("GET", "/v2/").send().expect(200);
    repo.get("manifests/secret-tag").expect(200);
    repo.get("manifests/none").expect(404);
    repo.get(&format!("blobs/{EMPTY_DIGEST}")).expect(200);
    repo.get("tags/list").expect(200);
    repo.get(&format!("referrers/{digest}")).expect(200);
    repo.at("GET", "/v2/_catalog").send().expect(200);
    let location = repo.start();
    repo.at("PATCH", &location).body("x").send().expect(202);

    let debug = debug(&server);
    ask(&debug, "/metrics").expect(404);
    let text = eventually("the last request counted", PATIENCE, || {
        let text = String::from_utf8(ask(&debug, "/prometheus").expect(200).body).unwrap();
        let patched = text.lines().find(|line| {
            line.starts_with("registry_http_requests_total{") && line.contains("\"patch\"")
        });
        patched.is_some().then_some(text)
    });
    for handler in [
        "base",
        "manifest",
        "catalog",
        "tags",
        "blob",
        "blob_upload",
        "blob_upload_chunk",
        "referrers",
    ] {
        for (name, labels) in [
            ("registry_http_requests_total", &["code=", "method="][..]),
            (
                "registry_http_request_duration_seconds_bucket",
                &["le=", "method="],
            ),
            ("registry_http_request_size_bytes_count", &[]),
            ("registry_http_response_size_bytes_count", &[]),
            ("registry_http_in_flight_requests", &[]),
        ] {
            let label = format!("handler=\"{handler}\"");
            let found = text.lines().any(|line| {
                line.starts_with(&format!("{name}{{"))
                    && line.contains(&label)
                    && labels.iter().all(|label| line.contains(label))
            });
            assert!(found, "no {name} of {handler}: {text}");
        }
    }
    let missing =
        "registry_http_requests_total{handler=\"manifest\",code=\"404\",method=\"get\"} 1";
    assert!(text.contains(missing), "{text}");
    for name in [
        "registry_storage_action_seconds_bucket{",
        "driver=\"filesystem\"",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "wharf_build_info{",
    ] {
        assert!(text.contains(name), "no {name}: {text}");
    }
    for private in ["private-name", "secret-tag", EMPTY_DIGEST, &digest] {
        assert!(!text.contains(private), "{private}: {text}");
    }
}

#[test]
fn while_the_file_of_a_check_exists_every_request_is_503() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("maintenance");
    let server = Registry::with()
        .section(&format!(
            "health: {{file: [{{file: {}, interval: 100ms}}]}}",
            file.display()
        ))
        .env("REGISTRY_HTTP_DEBUG_ADDR", "\"127.0.0.1:0\"")
        .start();
    let repo = Repo::on(&server, "gated");
    repo.tag("latest", "one");
    let debug = debug(&server);

    fs::write(&file, "").unwrap();
    eventually("the gate closed", PATIENCE, || {
        (repo.get("tags/list").status == 503).then_some(())
    });
    for path in ["/", "/v2/", "/v2/_catalog", "/v2/gated/manifests/latest"] {
        let answer = repo.at("GET", path).send();
        let answer = answer.refused(503, "UNAVAILABLE");
        assert!(answer.to_string().contains("/debug/health"), "{answer}");
    }
    let health = ask(&debug, "/debug/health").expect(503).json();
    let checks = health.as_object().unwrap();
    assert_eq!(checks.len(), 1, "{health}");
    assert!(health[file.to_str().unwrap()].is_string(), "{health}");

    fs::remove_file(&file).unwrap();
    eventually("the gate open", PATIENCE, || {
        (repo.get("tags/list").status == 200).then_some(())
    });
    repo.at("GET", "/").send().expect(200);
    ask(&debug, "/debug/health").expect(200);
}

#[test]
fn wharf_healthcheck_knows_a_server_from_none() {
    let server = Registry::start();
    let here = tempfile::TempDir::new().unwrap();
    let url = server.url();
    let check = || crate::process::wharf(here.path(), ["healthcheck", "--url", &url]);
    check().ok();
    drop(server);
    crate::process::ended_with(&check().output(), 1);
}

/// Where the debug listener is, by the log.
pub fn debug(server: &Registry) -> String {
    eventually("the debug listener's line", PATIENCE, || {
        let log = server.log();
        let (_, rest) = log.split_once("health and metrics on http://")?;
        Some(rest.split_once('\n')?.0.to_owned())
    })
}

pub fn ask(host: &str, path: &str) -> Answer {
    Request::new(host, "GET", path).send()
}
