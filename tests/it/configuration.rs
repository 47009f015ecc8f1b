//! registry:2's configuration file and its `REGISTRY_*` environment, as its
//! users have them; what is wrong with them, and where.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::process::{CONFIGURATION, ended_with, wharf};
use crate::repo::Repo;
use crate::support::{Registry, eventually};
use crate::wire::{PATIENCE, Request};

/// registry:2's own `config-example.yml`, with what people add to it.
const REGISTRY_2: &str = "\
version: 0.1
log:
  accesslog:
    disabled: true
  level: debug
  formatter: text
  fields:
    service: registry
    environment: staging
storage:
  filesystem:
    rootdirectory: /nowhere/to/be/written
  delete:
    enabled: true
  cache:
    blobdescriptor: inmemory
  maintenance:
    uploadpurging:
      enabled: true
      age: 168h
      interval: 24h
      dryrun: false
http:
  addr: :5000
  secret: asecretforlocaldevelopment
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
redis:
  addr: localhost:16379
";

#[test]
fn a_file_of_registry_2_serves_as_it_is_with_its_environment_on_top() {
    let volume = TempDir::new().unwrap();
    let server = Registry::with()
        .config(REGISTRY_2)
        .env(
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY",
            volume.path().to_str().unwrap(),
        )
        .env("REGISTRY_HTTP_HEADERS_X-Served-By", "[harbour]")
        .env("REGISTRY_STORAGE_DELETE_ENABLED", "false")
        .start();
    let repo = Repo::on(&server, "as/it/is");
    repo.tag("latest", "one");
    repo.delete("manifests/latest").refused(405, "UNSUPPORTED");
    let base = repo.at("GET", "/v2/").send().expect(200);
    assert_eq!(base.header("x-served-by"), Some("harbour"));
    let repositories = volume.path().join("docker/registry/v2/repositories");
    assert!(repositories.join("as/it/is/_manifests").is_dir());
    let log = server.log();
    for ignored in ["storage.cache", "http.secret", "redis"] {
        let words = format!("{ignored}: not supported, ignored because");
        let line = log.lines().find(|line| line.contains(&words));
        assert!(
            line.is_some_and(|line| line.contains("config.yml:")),
            "{ignored}: {log}"
        );
    }
}

#[test]
fn the_environment_alone_configures_what_the_shipped_file_leaves_open() {
    let volume = TempDir::new().unwrap();
    let users = volume.path().join("htpasswd");
    fs::write(
        &users,
        "moby:$2y$05$iWxaHRWggL45yNXNN/3eVOXOCL5i8JyQsovjVr2hHg5HQCfkzYMCq\n",
    )
    .unwrap();
    let server = Registry::with()
        .config(include_str!("../../config/registry.yml"))
        .env(
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY",
            volume.path().join("data").to_str().unwrap(),
        )
        .env("REGISTRY_AUTH", "htpasswd")
        .env("REGISTRY_AUTH_HTPASSWD_REALM", "Registry Realm")
        .env("REGISTRY_AUTH_HTPASSWD_PATH", users.to_str().unwrap())
        .start();
    let base = Request::new(server.host(), "GET", "/v2/").send();
    let base = base.refused(401, "UNAUTHORIZED");
    assert_eq!(
        base.must("www-authenticate"),
        "Basic realm=\"Registry Realm\""
    );
    let base = Request::new(server.host(), "GET", "/v2/")
        .header("Authorization", "Basic bW9ieTpnb3Jkb24=");
    base.send().expect(200);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_name() {
    let server = Registry::with()
        .section("storag:\n  filesystem:\n    rootdirectory: /srv")
        .env("REGISTRY_LOG_LEVLE", "debug")
        .start();
    let log = server.log();
    let place = "config.yml:11:1: unknown key `storag`; did you mean `storage`?";
    assert!(log.contains(place), "{log}");
    let variable = log.lines().find(|line| line.contains("REGISTRY_LOG_LEVLE"));
    assert!(
        variable.is_some_and(|line| line.contains("`REGISTRY_LOG_LEVEL`")),
        "{log}"
    );
    Request::new(server.host(), "GET", "/v2/")
        .send()
        .expect(200);
}

#[test]
fn a_key_that_cannot_be_honoured_safely_keeps_the_registry_from_starting() {
    let dir = TempDir::new().unwrap();
    let start = "version: 0.1\nstorage: {filesystem: {rootdirectory: data}}\n";
    for (section, named) in [
        (
            "proxy: {remoteurl: https://registry-1.docker.io}\n",
            "proxy.remoteurl",
        ),
        ("auth: {token: {realm: https://a.example}}\n", "auth.token"),
        ("auth: {silly: {realm: r, service: s}}\n", "auth.silly"),
        (
            "http: {tls: {letsencrypt: {email: a@b.example}}}\n",
            "http.tls.letsencrypt",
        ),
        ("http: {tls: {minimumtls: tls1.0}}\n", "http.tls.minimumtls"),
        ("gc: {untagged: soon}\n", "gc.untagged"),
        ("gc: {graze: 1h}\n", "unknown key `graze` in `gc`"),
        ("quotas: [{repositories: a/*, size: 1}]\n", "quotas[0]"),
        ("retention: {rules: [{repositories: a}]}\n", "keeps nothing"),
        (
            "immutable: [{repositories: A, tags: [v*]}]\n",
            "immutable[0].repositories",
        ),
        (
            "immutable: [{repositories: '**', tags: [a]}, {repositories: b, tags: [b]}]\n",
            "`b` can never match: the rule on line 3 has `**`",
        ),
    ] {
        fs::write(dir.path().join("config.yml"), format!("{start}{section}")).unwrap();
        let failed = wharf(dir.path(), ["serve", "config.yml"]).output();
        ended_with(&failed, CONFIGURATION);
        let place = "config.yml:3:";
        assert!(failed.stderr.contains(place), "{named}: {failed}");
        assert!(failed.stderr.contains(named), "{named}: {failed}");
        assert!(!dir.path().join("data").exists(), "nothing was made");
    }
}

#[test]
fn a_storage_driver_that_wharf_has_not_is_refused() {
    let dir = TempDir::new().unwrap();
    for driver in ["s3", "azure", "gcs", "inmemory"] {
        let yaml = format!("version: 0.1\nstorage: {driver}\n");
        fs::write(dir.path().join("config.yml"), yaml).unwrap();
        let failed = wharf(dir.path(), ["serve", "config.yml"]).output();
        ended_with(&failed, CONFIGURATION);
        assert!(failed.stderr.contains(driver), "{failed}");
    }
}

#[test]
fn config_check_says_ok_or_every_problem_and_starts_nothing() {
    let dir = TempDir::new().unwrap();
    let check = |yaml: &str| {
        fs::write(dir.path().join("config.yml"), yaml).unwrap();
        wharf(dir.path(), ["config", "check", "config.yml"]).output()
    };
    let good = check("version: 0.1\nstorage: {filesystem: {rootdirectory: data}}\n");
    ended_with(&good, 0);
    assert_eq!(good.text(), "config.yml: ok\n");

    let noted = check("version: 0.1\nstorage: {filesystem: {rootdirectory: data}}\nhtttp: {}\n");
    ended_with(&noted, 0);
    assert_eq!(
        noted.text(),
        "warning: config.yml:3:1: unknown key `htttp`; did you mean `http`?\nconfig.yml: ok\n"
    );

    let bad = check(
        "version: 0.1\nstorage: {filesystem: {rootdirectory: data}}\nhttp: {addr: 5000}\nlog: {level: loud}\nhtttp: {}\n",
    );
    ended_with(&bad, CONFIGURATION);
    let lines: Vec<&str> = bad.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{bad}");
    assert!(lines[0].starts_with("warning: config.yml:5:1: "), "{bad}");
    assert!(
        lines[1].starts_with("error: config.yml:3:14: http.addr: "),
        "{bad}"
    );
    assert!(
        lines[2].starts_with("error: config.yml:4:14: log.level: "),
        "{bad}"
    );
    assert_eq!(lines[3], "config.yml: 2 problems");
    assert!(!dir.path().join("data").exists(), "nothing was made");
}

#[test]
fn config_check_looks_at_the_environment_and_finds_the_file_by_it() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("own.yml");
    fs::write(&file, "version: 0.1\nstorage: filesystem\n").unwrap();
    let checked = wharf(dir.path(), ["config", "check"])
        .env("REGISTRY_CONFIGURATION_PATH", &file)
        .env("REGISTRY_HTTP_DRAINTIMEOUT", "soon")
        .output();
    ended_with(&checked, CONFIGURATION);
    let line = "error: REGISTRY_HTTP_DRAINTIMEOUT: http.draintimeout: ";
    assert!(checked.stdout.contains(line), "{checked}");
    let missing = wharf(dir.path(), ["config", "check", "none.yml"]).output();
    ended_with(&missing, CONFIGURATION);
    assert!(missing.stdout.contains("none.yml"), "{missing}");
}

#[test]
fn a_missing_htpasswd_file_is_made_and_its_password_told_once() {
    let volume = TempDir::new().unwrap();
    let users = volume.path().join("auth/htpasswd");
    let mut server = Registry::with()
        .data(&volume.path().join("data"))
        .section(&format!(
            "auth: {{htpasswd: {{realm: wharf, path: {}}}}}",
            users.display()
        ))
        .start();
    let password = told(&server.log());
    assert_eq!(server.log().matches(&password).count(), 1, "told once");
    assert_eq!(mode(&users), 0o600);
    let lines = fs::read_to_string(&users).unwrap();
    assert!(lines.starts_with("docker:$2"), "{lines}");
    assert!(!lines.contains(&password), "{lines}");
    assert_eq!(login(&server, &password), 200);
    assert_eq!(login(&server, "not the password"), 401);

    server.restart();
    assert_eq!(server.log().matches(&password).count(), 1, "told once");
    assert_eq!(login(&server, &password), 200);
}

fn told(log: &str) -> String {
    let line = log.lines().find(|line| line.contains("password="));
    let line = line.unwrap_or_else(|| panic!("no password in {log}"));
    assert!(line.contains("user=docker"), "{line}");
    let (_, rest) = line.split_once("password=").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn login(server: &Registry, password: &str) -> u16 {
    let client = server.client();
    let request = client.get(server.url() + "/v2/");
    let request = request.basic_auth("docker", Some(password));
    eventually("an answer", PATIENCE, || {
        let answer = request.try_clone()?.send().ok()?;
        Some(answer.status().as_u16())
    })
}
