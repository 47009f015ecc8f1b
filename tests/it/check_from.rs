//! `wharf check --repair --from`: what is damaged or missing is fetched from a
//! second registry.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::check::{FOUND_PROBLEMS, blob, checked, clean, flip, of_repository};
use crate::content::{self, IMAGE, INDEX};
use crate::process::{ended_with, wharf};
use crate::repo::Repo;
use crate::support::{Finished, Needs, Program, Registry};

/// An image and an index of it, under the same names on every server.
fn push(server: &Registry, auth: Option<&str>) -> String {
    let repo = Repo::on(server, "team/app");
    let layer = b"the layer of both".as_slice();
    let image = content::bytes(&content::image(&[layer]));
    let index = content::bytes(&content::index(&[(IMAGE, &image)]));
    let ask = |method: &str, path: &str, kind: &str, body: &[u8]| {
        let mut request = server
            .client()
            .request(method.parse().unwrap(), server.url() + &repo.path(path))
            .header("content-type", kind)
            .body(body.to_vec());
        if let Some(auth) = auth {
            request = request.basic_auth("ada", Some(auth));
        }
        request.send().unwrap()
    };
    for bytes in [layer, content::EMPTY_JSON] {
        let begun = ask("POST", "blobs/uploads/", "", b"");
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        let path = location.split_once("/v2/team/app/").unwrap().1.to_owned();
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}digest={}", content::sha256(bytes));
        let put = ask("PUT", &path, "application/octet-stream", bytes);
        assert_eq!(put.status(), 201);
    }
    assert_eq!(ask("PUT", "manifests/v1", IMAGE, &image).status(), 201);
    assert_eq!(ask("PUT", "manifests/all", INDEX, &index).status(), 201);
    content::sha256(&image)
}

/// Damages the layer, loses the image's manifest and its link.
fn damage(server: &Registry, image: &str) {
    flip(&blob(server, &content::sha256(b"the layer of both")));
    fs::remove_file(blob(server, image)).unwrap();
    let repo = Repo::on(server, "team/app");
    let revision = format!("_manifests/revisions/{}/link", image.replace(':', "/"));
    fs::remove_file(of_repository(server, &repo, &revision)).unwrap();
    let (code, json) = checked(server, &[]);
    assert_eq!(code, FOUND_PROBLEMS);
    assert!(json["findings"].as_array().unwrap().len() >= 3, "{json:#}");
}

fn healed(server: &Registry) {
    clean(server);
    let repo = Repo::on(server, "team/app");
    repo.get("manifests/v1").expect(200);
    repo.get("manifests/all").expect(200);
    let layer = content::sha256(b"the layer of both");
    let layer = repo.get(&format!("blobs/{layer}")).expect(200).body;
    assert_eq!(layer, b"the layer of both");
}

fn heal(server: &Registry, flags: &[&str], password: &str) -> Finished {
    let args = ["check", "config.yml", "--repair", "--json"]
        .iter()
        .chain(flags);
    wharf(server.dir(), args.copied())
        .env("WHARF_FROM_PASSWORD", password)
        .limit(Duration::from_secs(60))
        .output()
}

#[test]
fn a_second_wharf_with_users_heals() {
    let server = Registry::start();
    let second = Registry::with().tls().user("ada", "correct horse").start();
    let image = push(&server, None);
    assert_eq!(push(&second, Some("correct horse")), image);
    damage(&server, &image);
    let ca = server.dir().join("ca.pem");
    fs::write(&ca, second.authority().pem()).unwrap();
    let url = second.url();
    let flags = [
        "--from",
        &url,
        "--from-ca",
        ca.to_str().unwrap(),
        "--user",
        "ada",
    ];

    let refused = heal(&server, &flags, "wrong");
    ended_with(&refused, FOUND_PROBLEMS);
    assert!(refused.stdout.contains("look at the user"), "{refused}");
    assert!(!refused.to_string().contains("wrong\""), "{refused}");
    let finished = heal(&server, &flags, "correct horse");
    ended_with(&finished, 0);
    let json: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(json["findings"], json!([]), "{json:#}");
    healed(&server);
}

#[test]
fn a_docker_registry_heals() {
    let needs = Needs::of("docker-registry");
    if !needs
        .program("docker-registry", "apt install docker-registry")
        .met()
    {
        return;
    }
    let server = Registry::start();
    let second = Registry::with().program(Program::Distribution).start();
    let image = push(&server, None);
    assert_eq!(push(&second, None), image);
    damage(&server, &image);
    let finished = heal(&server, &["--from", &second.url()], "");
    ended_with(&finished, 0);
    healed(&server);
}

#[test]
fn what_the_other_registry_has_not_got_stays_a_finding() {
    let server = Registry::start();
    let second = Registry::start();
    let image = push(&server, None);
    damage(&server, &image);
    let finished = heal(&server, &["--from", &second.url()], "");
    ended_with(&finished, FOUND_PROBLEMS);
    assert!(finished.stdout.contains("hasn't got it"), "{finished}");
    // And one that has it damaged too is found out.
    push(&second, None);
    flip(&blob(&second, &content::sha256(b"the layer of both")));
    let finished = heal(&server, &["--from", &second.url()], "");
    ended_with(&finished, FOUND_PROBLEMS);
    assert!(
        finished.stdout.contains("could not be fetched"),
        "{finished}"
    );
}
