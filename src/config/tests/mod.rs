//! Whole files and environments: what they mean.

mod access;
mod limits;
mod messages;
mod objects;
mod rules;
mod secrets;
mod shipped;

use std::path::Path;
use std::time::Duration;

use super::report::Problems;
use super::{Config, Loaded};
use crate::registry::{IndexChildren, Platform};
use crate::server::Listen;
use crate::server::tls::{ClientAuth, Version};
use crate::{auth, observe, storage};

const MINIMAL: &str = "version: 0.1\nstorage: filesystem\n";

/// registry:2's /etc/docker/registry/config.yml.
const REGISTRY_2: &str = "\
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Path::new("config.yml"), text, variables)
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    load(text, variables).unwrap().config
}

fn files(config: &Config) -> &storage::files::Settings {
    match &config.storage {
        storage::Settings::Files(files) => files,
        storage::Settings::Object(objects) => panic!("{objects:?}"),
    }
}

/// What is told of a configuration, one line each.
fn told(text: &str, variables: &[(&str, &str)]) -> String {
    let lines = |notes: &[super::Note]| -> Vec<String> {
        notes.iter().map(|note| format!("note {note}")).collect()
    };
    match load(text, variables) {
        Ok(loaded) => lines(&loaded.notes).join("\n"),
        Err(problems) => {
            let mut all = lines(&problems.notes);
            all.extend(problems.problems.iter().map(ToString::to_string));
            all.join("\n")
        }
    }
}

#[test]
fn registry_2_s_default_file_means_the_same() {
    let loaded = load(REGISTRY_2, &[]).unwrap();
    let notes: Vec<String> = loaded.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "config.yml:6:3: storage.cache: not supported, ignored because wharf asks the storage itself, so that what is deleted is gone for everybody"
        ]
    );
    let config = loaded.config;
    assert_eq!(files(&config).root, Path::new("/var/lib/registry"));
    assert_eq!(files(&config).max_threads, 100);
    assert_eq!(files(&config).sync, storage::files::SyncMode::Full);
    assert!(!config.registry.delete);
    assert!(!config.registry.read_only);
    assert!(config.registry.purging.enabled);
    assert_eq!(config.registry.purging.age, Duration::from_secs(604_800));
    assert_eq!(config.auth, auth::Settings::default());
    assert_eq!(config.server.listen, Listen::Tcp(":5000".to_owned()));
    assert_eq!(config.server.tls, None);
    assert!(config.server.http2);
    assert!(!config.server.h2c);
    assert_eq!(config.server.drain, Duration::from_secs(25));
    assert_eq!(config.http.headers.len(), 1);
    assert_eq!(config.http.headers[0].0, "x-content-type-options");
    assert_eq!(config.http.headers[0].1, "nosniff");
    assert_eq!(config.http.external_url, None);
    assert_eq!(
        config.log.fields,
        [("service".to_owned(), "registry".to_owned())]
    );
    assert_eq!(config.log.level, tracing::Level::INFO);
    assert!(config.log.requests);
    let check = config.health.storage.unwrap();
    assert_eq!(
        (check.interval, check.threshold),
        (Duration::from_secs(10), 3)
    );
    assert_eq!(config.debug, None);
}

/// The variables of docker's own guide to a registry with TLS and htpasswd.
#[test]
fn the_guide_s_variables_work() {
    let config = config(
        REGISTRY_2,
        &[
            ("REGISTRY_AUTH", "htpasswd"),
            ("REGISTRY_AUTH_HTPASSWD_REALM", "Registry Realm"),
            ("REGISTRY_AUTH_HTPASSWD_PATH", "/auth/htpasswd"),
            ("REGISTRY_HTTP_ADDR", "0.0.0.0:443"),
            ("REGISTRY_HTTP_TLS_CERTIFICATE", "/certs/domain.crt"),
            ("REGISTRY_HTTP_TLS_KEY", "/certs/domain.key"),
            ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
            ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/somewhere"),
            ("PATH", "/bin"),
            ("REGISTRY_CONFIGURATION_PATH", "/x"),
        ],
    );
    let Some(htpasswd) = &config.auth.htpasswd else {
        panic!("open");
    };
    assert_eq!(htpasswd.realm, "Registry Realm");
    assert_eq!(htpasswd.path, Path::new("/auth/htpasswd"));
    assert_eq!(config.server.listen, Listen::Tcp("0.0.0.0:443".to_owned()));
    let tls = config.server.tls.as_ref().unwrap();
    assert_eq!(tls.certificate, Path::new("/certs/domain.crt"));
    assert_eq!(tls.key, Path::new("/certs/domain.key"));
    assert_eq!(tls.minimum, Version::Tls12);
    assert!(config.registry.delete);
    assert_eq!(files(&config).root, Path::new("/somewhere"));
}

#[test]
fn everything_that_is_honoured_arrives() {
    let config = config(
        r"
version: 0.1
log:
  level: debug
  formatter: json
  fields: {service: registry, environment: staging, build: 007}
  accesslog: {disabled: yes}
storage:
  filesystem: {rootdirectory: /data, maxthreads: 10, sync: none}
  delete: {enabled: on}
  maintenance:
    uploadpurging: {enabled: false, age: 24h, interval: 1h30m, dryrun: true}
    readonly: {enabled: true}
auth: {none: {}}
http:
  addr: localhost:5443
  prefix: /my/registry/
  host: https://registry.example.org:5443/
  draintimeout: 60s
  drainpause: 5s
  headers: {X-A: [1, two], X-B: three}
  tls:
    certificate: c.pem
    key: k.pem
    clientcas: [a.pem, b.pem]
    clientauth: verify-client-cert-if-given
    minimumtls: tls1.3
    ciphersuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  debug: {addr: ':5001', prometheus: {enabled: true, path: /m}}
  http2: {disabled: true}
  h2c: {enabled: true}
health:
  storagedriver: {enabled: true}
  file: [{file: /tmp/down, interval: 5s}]
  tcp: [{addr: 'db:5432', timeout: 3s, interval: 20s, threshold: 2}]
catalog: {maxentries: 50}
tags: {maxtags: 60}
validation:
  disabled: true
  manifests:
    urls: {allow: ['^https?://example\.org/'], deny: [evil]}
    indexes: {platforms: List, platformlist: [{architecture: amd64, os: linux}]}
",
        &[],
    );
    assert_eq!(config.log.level, tracing::Level::DEBUG);
    assert_eq!(config.log.format, observe::log::Format::Json);
    assert_eq!(config.log.fields[2], ("build".to_owned(), "007".to_owned()));
    assert!(!config.log.requests);
    assert_eq!(files(&config).max_threads, 25);
    assert_eq!(files(&config).sync, storage::files::SyncMode::None);
    assert!(config.registry.delete && config.registry.read_only);
    assert!(config.registry.purging.dry_run && !config.registry.purging.enabled);
    assert_eq!(config.registry.purging.age, Duration::from_secs(86_400));
    assert_eq!(config.registry.purging.interval, Duration::from_secs(5_400));
    assert_eq!(config.auth, auth::Settings::default());
    assert_eq!(config.http.prefix, "/my/registry");
    assert_eq!(
        config.http.external_url.as_deref(),
        Some("https://registry.example.org:5443")
    );
    assert_eq!(config.http.headers.len(), 3);
    assert_eq!(config.server.drain, Duration::from_secs(60));
    assert_eq!(config.pause, Duration::from_secs(5));
    let tls = config.server.tls.unwrap();
    assert_eq!(tls.client_cas.len(), 2);
    assert_eq!(tls.client_auth, ClientAuth::IfGiven);
    assert_eq!(tls.minimum, Version::Tls13);
    assert_eq!(tls.cipher_suites, ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
    assert!(!config.server.http2 && config.server.h2c);
    let debug = config.debug.unwrap();
    assert_eq!(
        (debug.addr.as_str(), debug.metrics_path.as_deref()),
        (":5001", Some("/m"))
    );
    assert_eq!(config.health.files.len(), 1);
    assert_eq!(config.health.tcp[0].timeout, Duration::from_secs(3));
    assert_eq!(config.health.tcp[0].periodic.threshold, 2);
    assert_eq!(
        (config.registry.catalog_page, config.registry.tags_page),
        (50, 60)
    );
    assert!(config.registry.validation.disabled);
    assert!(config.registry.validation.urls_allow[0].is_match("http://example.org/x"));
    assert_eq!(config.registry.validation.urls_deny.len(), 1);
    assert_eq!(
        config.registry.validation.index_children,
        IndexChildren::Platforms(vec![Platform {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
        }])
    );
}

#[test]
fn small_choices_hold() {
    let with = |text: &str| config(&format!("{MINIMAL}{text}"), &[]);
    assert_eq!(with("loglevel: warn").log.level, tracing::Level::WARN);
    assert_eq!(
        with("loglevel: warn\nlog: {level: error}").log.level,
        tracing::Level::ERROR
    );
    assert_eq!(
        with("http: {net: unix, addr: /run/w.sock}").server.listen,
        Listen::Unix("/run/w.sock".into())
    );
    assert_eq!(
        with("http: {addr: ''}").server.listen,
        Listen::Tcp(":5000".to_owned())
    );
    assert_eq!(with("http: {draintimeout: 0}").server.drain, Duration::ZERO);
    assert_eq!(with("http: {prefix: /}").http.prefix, "");
    assert_eq!(
        with("http: {host: 'https://a', relativeurls: true}")
            .http
            .external_url,
        None
    );
    assert_eq!(with("catalog: {maxentries: 0}").registry.catalog_page, 1000);
    assert_eq!(with("auth:\n").auth, auth::Settings::default());
    assert_eq!(
        with("health: {storagedriver: {enabled: true, interval: 0}}")
            .health
            .storage
            .unwrap()
            .interval,
        Duration::from_secs(10)
    );
    let tls = with("http: {tls: {certificate: c, key: k, clientcas: a.pem}}")
        .server
        .tls
        .unwrap();
    assert_eq!(
        (tls.client_cas.len(), tls.client_auth),
        (1, ClientAuth::Required)
    );
    let tls = with("http: {tls: {certificate: c, key: k, ciphersuites: [TLS_AES_256_GCM_SHA384]}}")
        .server
        .tls
        .unwrap();
    assert_eq!((tls.cipher_suites.len(), tls.minimum), (0, Version::Tls13));
}

#[test]
fn variables_reach_every_kind_of_key() {
    let config = config(
        REGISTRY_2,
        &[
            ("REGISTRY_HEALTH_FILECHECKERS_0_FILE", "/tmp/down"),
            ("REGISTRY_HEALTH_FILECHECKERS_1_FILE", "/tmp/off"),
            ("REGISTRY_HEALTH_TCPCHECKERS", "[{addr: 'a:1'}]"),
            ("REGISTRY_HEALTH_TCPCHECKERS_0_THRESHOLD", "4"),
            (
                "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Methods",
                "'[GET,HEAD]'",
            ),
            (
                "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin",
                "['*', b]",
            ),
            ("REGISTRY_HTTP_HEADERS_X-CONTENT-TYPE-OPTIONS", "[other]"),
            ("REGISTRY_LOG_FIELDS_ENVIRONMENT", "prod"),
            ("REGISTRY_LOG_ACCESSLOG", "{disabled: true}"),
            ("REGISTRY_LOG_LEVEL", "\"error\""),
            ("REGISTRY_HTTP_TLS", "{certificate: c, key: k}"),
            ("REGISTRY_HTTP_TLS_CLIENTCAS_0", "a.pem"),
            ("REGISTRY_AUTH_HTPASSWD_PATH", "/h"),
            ("REGISTRY_AUTH_HTPASSWD_REALM", "0123"),
            ("REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS", "none"),
        ],
    );
    let header = |name: &str| -> Vec<&str> {
        let all = config
            .http
            .headers
            .iter()
            .filter(|(known, _)| known == name);
        all.map(|(_, value)| value.to_str().unwrap()).collect()
    };
    assert_eq!(config.health.files[1].0, Path::new("/tmp/off"));
    assert_eq!(config.health.tcp[0].periodic.threshold, 4);
    assert_eq!(header("access-control-allow-methods"), ["[GET,HEAD]"]);
    assert_eq!(header("access-control-allow-origin"), ["*", "b"]);
    assert_eq!(header("x-content-type-options"), ["other"]);
    assert_eq!(
        config.log.fields[1],
        ("environment".to_owned(), "prod".to_owned())
    );
    assert!(!config.log.requests);
    assert_eq!(config.log.level, tracing::Level::ERROR);
    assert_eq!(config.server.tls.unwrap().client_cas, [Path::new("a.pem")]);
    assert!(matches!(config.auth.htpasswd, Some(h) if h.realm == "0123"));
    assert_eq!(
        config.registry.validation.index_children,
        IndexChildren::None
    );
}

#[test]
fn a_type_alone_takes_the_place_of_the_section() {
    let text = "version: 0.1\nstorage: {s3: {bucket: b}, delete: {enabled: true}}\n";
    let config = config(
        text,
        &[
            ("REGISTRY_STORAGE", "filesystem"),
            ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/data"),
        ],
    );
    assert_eq!(files(&config).root, Path::new("/data"));
    assert!(
        !config.registry.delete,
        "registry:2 replaces the whole section"
    );
}

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "a: *b\r\n").unwrap();
    let path = file.to_str().unwrap();

    let mut root = super::yaml::parse(&"c".into(), "http: {addr: ':1'}").unwrap();
    let report = super::report::Report::default();
    let variables = [("REGISTRY_HTTP_SECRET_FILE".to_owned(), path.to_owned())];
    super::environment::overlay(&mut root, variables.into_iter(), &report);
    assert_eq!(report.into_result().unwrap(), []);
    let secret = &root.entries()[0].node.entries()[1];
    assert_eq!(secret.key, "secret");
    assert_eq!(
        secret.node.value,
        super::tree::Value::Scalar("a: *b".to_owned())
    );

    let told = told(
        MINIMAL,
        &[
            ("REGISTRY_HTTP_SECRET", "x"),
            ("REGISTRY_HTTP_SECRET_FILE", path),
            ("REGISTRY_REDIS_PASSWORD_FILE", "/nowhere/at/all"),
            (
                "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_HEADERS_Authorization",
                "[x]",
            ),
            ("REGISTRY_LOG_HOOKS_0_MAILOPTIONS_SMTP_PASSWORD_FILE", path),
        ],
    );
    assert_eq!(
        told,
        "note REGISTRY_HTTP_SECRET: http.secret: not supported, ignored because wharf keeps the state of uploads in the store, where every replica sees it\n\
            note REGISTRY_LOG_HOOKS_0_MAILOPTIONS_SMTP_PASSWORD_FILE: log.hooks: not supported, ignored because wharf doesn't send mail; let what collects the log do it\n\
            note REGISTRY_NOTIFICATIONS_ENDPOINTS_0_HEADERS_Authorization: notifications: not supported, ignored because wharf doesn't send events\n\
            REGISTRY_HTTP_SECRET_FILE: `REGISTRY_HTTP_SECRET` is set too; unset one of them\n\
            REGISTRY_REDIS_PASSWORD_FILE: cannot read `/nowhere/at/all`: No such file or directory (os error 2); make it readable or unset the variable"
    );
}

#[test]
fn embedded_settings_are_secure() {
    let tls = crate::server::tls::Settings {
        certificate: "c".into(),
        key: "k".into(),
        client_cas: Vec::new(),
        client_auth: ClientAuth::Required,
        minimum: Version::Tls12,
        cipher_suites: Vec::new(),
    };
    let config = Config::embedded(
        "data".into(),
        ":5000".to_owned(),
        tls.clone(),
        "users".into(),
    );
    assert_eq!(config.server.tls, Some(tls));
    assert!(config.registry.delete);
    assert!(matches!(config.auth.htpasswd, Some(h) if h.realm == "wharf"));
}
