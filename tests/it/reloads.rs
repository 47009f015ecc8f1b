//! What a running server takes up: the configuration on SIGHUP, certificates by
//! themselves; and how it lives on with files that are broken.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::tls::TlsInfo;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::content::IMAGE;
use crate::repo::Repo;
use crate::support::{Authority, Registry, SERVER_NAMES, eventually};
use crate::wire::PATIENCE;

#[test]
fn deletes_allowed_in_the_file_are_allowed_after_sighup() {
    let volume = TempDir::new().unwrap();
    let server = Registry::with()
        .config(&deletes(volume.path(), false))
        .start();
    let repo = Repo::on(&server, "reread");
    let digest = repo.tag("latest", "one");
    let manifest = format!("manifests/{digest}");
    repo.delete(&manifest).refused(405, "UNSUPPORTED");

    configure(&server, &deletes(volume.path(), true));
    repo.delete(&manifest).refused(405, "UNSUPPORTED");
    reload(&server, "configuration reread");
    repo.delete(&manifest).expect(202);

    let manifest = repo.image("one");
    repo.put("latest", IMAGE, &manifest).expect(201);
    configure(&server, &deletes(volume.path(), false));
    reload(&server, "configuration reread");
    repo.delete("manifests/latest").refused(405, "UNSUPPORTED");
}

#[test]
fn rules_about_tags_hold_from_sighup_on() {
    let volume = TempDir::new().unwrap();
    let free = deletes(volume.path(), true);
    let server = Registry::with().config(&free).start();
    let repo = Repo::on(&server, "ruled");
    repo.tag("v1", "one");
    repo.tag("v1", "two");
    let ruled = format!("{free}immutable: [{{repositories: '**', tags: [v*]}}]\n");
    configure(&server, &ruled);
    reload(&server, "configuration reread");
    let other = repo.image("one");
    repo.put("v1", IMAGE, &other).refused(403, "DENIED");
    repo.delete("manifests/v1").refused(403, "DENIED");
    configure(&server, &free);
    reload(&server, "configuration reread");
    repo.put("v1", IMAGE, &other).expect(201);
}

#[test]
fn a_broken_configuration_changes_nothing_and_is_named() {
    let volume = TempDir::new().unwrap();
    let good = deletes(volume.path(), true);
    let mut server = Registry::with().config(&good).start();
    let repo = Repo::on(&server, "kept");
    for (broken, named) in [
        ("version: 0.1\nstorage: [", "config.yml"),
        (
            &good.replace("enabled: true", "enabled: perhaps"),
            "config.yml:6:14",
        ),
        ("version: 0.1\nstorage: s3\n", "config.yml:2"),
    ] {
        configure(&server, broken);
        let news = reload(&server, "the configuration stays as it was");
        let line = news.lines().find(|line| line.contains("stays as it was"));
        assert!(line.unwrap().contains(named), "{named}: {news}");
        repo.tag("latest", "one");
        repo.delete("manifests/latest").expect(202);
    }
    configure(&server, &good);
    reload(&server, "configuration reread");
    assert!(server.stop().success());
}

#[test]
fn what_takes_a_restart_is_named_and_stays_as_it_runs() {
    let (volume, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Registry::with()
        .config(&deletes(volume.path(), true))
        .start();
    let repo = Repo::on(&server, "kept");
    repo.tag("latest", "one");
    configure(&server, &deletes(other.path(), true));
    let news = reload(&server, "configuration reread");
    assert!(news.contains("storage.filesystem has changed"), "{news}");
    assert!(news.contains("takes a restart"), "{news}");
    assert_eq!(repo.tags(), ["latest"]);
}

#[test]
fn the_log_level_and_the_lines_of_requests_change_on_sighup() {
    let volume = TempDir::new().unwrap();
    let good = deletes(volume.path(), true);
    let server = Registry::with().config(&good).start();
    let repo = Repo::on(&server, "quiet");
    configure(
        &server,
        &format!("{good}log: {{accesslog: {{disabled: true}}}}\n"),
    );
    reload(&server, "configuration reread");
    let id = repo.get("tags/list").expect(404);
    let quiet = id.must("x-request-id").to_owned();
    configure(&server, &good);
    reload(&server, "configuration reread");
    let answer = repo.get("tags/list").expect(404);
    eventually("a line again", PATIENCE, || {
        server
            .log()
            .contains(answer.must("x-request-id"))
            .then_some(())
    });
    assert!(!server.log().contains(&quiet), "{}", server.log());
}

#[test]
fn a_new_certificate_is_served_without_a_restart() {
    let mut server = Registry::with().tls().start();
    let before = certificate(&server, server.authority()).unwrap();
    let certs = server.dir().join("certs");
    server.authority().sign(&SERVER_NAMES, &certs);
    let after = eventually("the new certificate", PATIENCE, || {
        let now = certificate(&server, server.authority());
        now.filter(|now| *now != before)
    });
    // Another authority's, at once on SIGHUP.
    let other = Authority::create(&server.dir().join("other"), "another CA");
    other.sign(&SERVER_NAMES, &certs);
    server.signal(Signal::HUP);
    eventually("the other authority's", Duration::from_secs(4), || {
        certificate(&server, &other)
    });
    assert_eq!(certificate(&server, server.authority()), None);
    assert_ne!(certificate(&server, &other).unwrap(), after);
    assert!(server.stop().success());
}

// bad input: tls-key-swap
#[test]
fn garbage_in_the_certificate_files_leaves_the_old_certificate_in_service() {
    let server = Registry::with().tls().start();
    let before = certificate(&server, server.authority()).unwrap();
    let certs = server.dir().join("certs");
    let key = fs::read(certs.join("domain.key")).unwrap();
    for (crt, pem) in [
        (&b"garbage"[..], &b"garbage"[..]),
        (b"", b""),
        (b"-----BEGIN CERTIFICATE-----\n", &key),
    ] {
        fs::write(certs.join("domain.crt"), crt).unwrap();
        fs::write(certs.join("domain.key"), pem).unwrap();
        reload(&server, "the old ones stay in service");
        let now = certificate(&server, server.authority());
        assert_eq!(now.as_ref(), Some(&before));
    }
    server.authority().sign(&SERVER_NAMES, &certs);
    server.signal(Signal::HUP);
    eventually("a good pair", PATIENCE, || {
        let now = certificate(&server, server.authority());
        now.filter(|now| *now != before)
    });
}

/// A configuration in which only deletes are to be chosen.
fn deletes(volume: &Path, enabled: bool) -> String {
    format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: {enabled}\n",
        volume.display()
    )
}

fn configure(server: &Registry, yaml: &str) {
    fs::write(server.dir().join("config.yml"), yaml).unwrap();
}

/// Sends SIGHUP and waits for `words` in what the log says of it.
fn reload(server: &Registry, words: &str) -> String {
    let said = server.log().len();
    server.signal(Signal::HUP);
    eventually(words, PATIENCE, || {
        let news = server.log().split_off(said);
        let end = news.find(words)?;
        news[end..].contains('\n').then_some(news)
    })
}

/// The certificate that a new connection is shown; `None` if it is not one of
/// the authority's.
fn certificate(server: &Registry, authority: &Authority) -> Option<Vec<u8>> {
    let ca = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let client = reqwest::blocking::Client::builder()
        .no_proxy()
        .tls_certs_only([ca])
        .tls_info(true)
        .build();
    let url = format!("{}/v2/", server.url());
    let answer = client.unwrap().get(url).send().ok()?;
    assert_eq!(answer.status(), 200);
    let info = answer.extensions().get::<TlsInfo>().unwrap();
    Some(info.peer_certificate().unwrap().to_vec())
}
