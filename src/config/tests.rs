//! Whole files: what people have, and what they get wrong.

use std::path::Path;
use std::time::Duration;

use super::report::Problems;
use super::schema::{Kind, ROOT, Verdict};
use super::{Config, Loaded};
use crate::registry::{IndexChildren, Platform};
use crate::server::Listen;
use crate::server::tls::{ClientAuth, Version};
use crate::{auth, observe};

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

/// What is told of the minimal file with `text` below it.
fn told_with(text: &str) -> String {
    told(&format!("{MINIMAL}{text}"), &[])
}

#[test]
fn registry_2_s_default_file_means_the_same() {
    let loaded = load(REGISTRY_2, &[]).unwrap();
    let notes: Vec<String> = loaded.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "config.yml:6:3: storage.cache: not supported, ignored because wharf reads descriptors from the volume, whose pages the system keeps in memory"
        ]
    );
    let config = loaded.config;
    assert_eq!(config.storage.root, Path::new("/var/lib/registry"));
    assert_eq!(config.storage.max_threads, 100);
    assert!(!config.registry.delete);
    assert!(!config.registry.read_only);
    assert!(config.registry.purging.enabled);
    assert_eq!(config.registry.purging.age, Duration::from_secs(604_800));
    assert_eq!(config.auth, auth::Settings::Open);
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
    let auth::Settings::Htpasswd(htpasswd) = config.auth else {
        panic!("open");
    };
    assert_eq!(htpasswd.realm, "Registry Realm");
    assert_eq!(htpasswd.path, Path::new("/auth/htpasswd"));
    assert_eq!(config.server.listen, Listen::Tcp("0.0.0.0:443".to_owned()));
    let tls = config.server.tls.unwrap();
    assert_eq!(tls.certificate, Path::new("/certs/domain.crt"));
    assert_eq!(tls.key, Path::new("/certs/domain.key"));
    assert_eq!(tls.minimum, Version::Tls12);
    assert!(config.registry.delete);
    assert_eq!(config.storage.root, Path::new("/somewhere"));
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
  filesystem: {rootdirectory: /data, maxthreads: 10}
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
    assert_eq!(config.storage.max_threads, 25);
    assert!(config.registry.delete && config.registry.read_only);
    assert!(config.registry.purging.dry_run && !config.registry.purging.enabled);
    assert_eq!(config.registry.purging.age, Duration::from_secs(86_400));
    assert_eq!(config.registry.purging.interval, Duration::from_secs(5_400));
    assert_eq!(config.auth, auth::Settings::Open);
    assert_eq!(config.http.prefix, "/my/registry");
    assert_eq!(
        config.http.external_url.as_deref(),
        Some("https://registry.example.org:5443")
    );
    assert_eq!(config.http.headers.len(), 3);
    assert_eq!(config.server.drain, Duration::from_secs(60));
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
    assert_eq!(with("auth:\n").auth, auth::Settings::Open);
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
    assert!(matches!(config.auth, auth::Settings::Htpasswd(h) if h.realm == "0123"));
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
    assert_eq!(config.storage.root, Path::new("/data"));
    assert!(
        !config.registry.delete,
        "registry:2 replaces the whole section"
    );
}

#[test]
fn what_others_set_for_a_service_named_registry_is_left_alone() {
    assert_eq!(
        told(
            MINIMAL,
            &[
                ("REGISTRY_PORT", "tcp://10.0.0.1:5000"),
                ("REGISTRY_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
                ("REGISTRY_PORT_5000_TCP_ADDR", "10.0.0.1"),
                ("REGISTRY_SERVICE_HOST", "10.0.0.1"),
                ("REGISTRY_SERVICE_PORT_HTTP", "5000"),
                ("REGISTRY_NAME", "/app/registry"),
                ("REGISTRY_ENV_OTEL", "none"),
            ]
        ),
        ""
    );
}

#[test]
fn what_variables_get_wrong_is_told_by_their_names() {
    let variables = [
        ("REGISTRY_AUTH_HTPASWD_REALM", "x"),
        ("REGISTRY_CATALOG", ""),
        ("REGISTRY_AUTH_HTPASSWD_FOO", "x"),
        ("REGISTRY_HEALTH_TCPCHECKERS_1_ADDR", "a:1"),
        ("REGISTRY_HEALTH_FILECHECKERS_X_FILE", "a"),
        ("REGISTRY_HTP_ADDR", ":1"),
        ("REGISTRY_HTTP_ADDR", "1"),
        ("REGISTRY_HTTP_ADDR_PORT", "1"),
        ("REGISTRY_HTTP_DRAINTIMEOUT", "60"),
        ("REGISTRY_LOG_LEVEL", ""),
        ("REGISTRY_LOG_FIELDS", "[a]"),
        ("REGISTRY_PROXY_PASSWORD", "@s3cret"),
        ("REGISTRY_REDIS_ADDR", "redis:6379"),
        ("REGISTRY_REDIS_TLS_CERTIFICATE_FILE", "/x"),
        ("REGISTRY_STORAGE_FILESYSTEM", "/data"),
    ];
    let told = told(
        "version: 0.1\nstorage: {filesystem: {}}\nlog: {level: debug}\ncatalog: {maxentries: 5}\n",
        &variables,
    );
    assert!(!told.contains("s3cret"));
    assert_eq!(
        told,
        "note REGISTRY_AUTH_HTPASSWD_FOO: unknown variable, ignored\n\
            note REGISTRY_HTP_ADDR: unknown variable, ignored; did you mean `REGISTRY_HTTP_ADDR`?\n\
            note REGISTRY_HTTP_ADDR_PORT: unknown variable, ignored\n\
            note REGISTRY_HTTP_DRAINTIMEOUT: http.draintimeout: `60` without a unit counts nanoseconds; did you mean `60s`?\n\
            note REGISTRY_LOG_LEVEL: is empty, and so unsets what config.yml:3:14 sets\n\
            note REGISTRY_REDIS_ADDR: redis: not supported, ignored because wharf needs no cache beside the volume\n\
            note REGISTRY_REDIS_TLS_CERTIFICATE_FILE: unknown variable, ignored; only secrets can stand in files of their own\n\
            REGISTRY_AUTH_HTPASWD_REALM: unknown variable; did you mean `REGISTRY_AUTH_HTPASSWD_REALM`?\n\
            REGISTRY_CATALOG: is empty, and so would unset the whole section at config.yml:4:10; give it a value or remove the variable\n\
            REGISTRY_HEALTH_FILECHECKERS_X_FILE: `X` is no index of a list; write a number from 0 to 0\n\
            REGISTRY_HEALTH_TCPCHECKERS_1_ADDR: the list has 0 items; the next one is 0, not 1\n\
            REGISTRY_HTTP_ADDR: http.addr: `1` is not `host:port`; write `:1` for every address\n\
            REGISTRY_LOG_FIELDS: log.fields: must be a section, with `key: value` lines below it\n\
            REGISTRY_PROXY_PASSWORD: its value is not YAML: unexpected character: `@'; put it in single quotes inside of the value\n\
            REGISTRY_STORAGE_FILESYSTEM: storage.filesystem: must be a section, with `key: value` lines below it"
    );
}

#[test]
fn what_files_get_wrong_is_told_with_its_place() {
    assert_eq!(
        told("", &[]),
        "config.yml: storage: no driver; write `filesystem` with its `rootdirectory` below it\n\
            config.yml: version: missing; begin the file with `version: 0.1`"
    );
    assert_eq!(
        told("- a\n", &[]),
        "config.yml: a configuration: must be a section, with `key: value` lines below it\n\
            config.yml: storage: no driver; write `filesystem` with its `rootdirectory` below it\n\
            config.yml: version: missing; begin the file with `version: 0.1`"
    );
    assert_eq!(
        told("version: 0.2\nstorage: filesystem\n", &[]),
        "config.yml:1:10: version: `0.2` is not supported; write `version: 0.1`"
    );
    assert_eq!(
        told(
            "version: 0.1\nhttp: {addr: ':1'}\nstorage: {delete: {enabled: true}}\n",
            &[]
        ),
        "config.yml:3:1: storage: no driver; write `filesystem` with its `rootdirectory` below it"
    );
    assert_eq!(
        told_with(
            "htttp: {addr: ':1'}\n\
             http:\n  adr: ':1'\n  rootdirectory: /x\n  draintimeout: 30 sec\n\
             log: 5\n\
             health: {file: [{interval: 10s}, x], tcp: {addr: 'a:1'}, storagedriver: {interval: 10}, http: x}\n\
             catalog: {maxentries: -1}\n\
             validation: {manifests: {urls: {allow: ['(']}, indexes: {platforms: some}}}\n"
        ),
        "note config.yml:3:1: unknown key `htttp`; did you mean `http`?\n\
            note config.yml:5:3: unknown key `adr` in `http`; did you mean `addr`?\n\
            note config.yml:6:3: unknown key `rootdirectory` in `http`; did you mean `storage.filesystem.rootdirectory`?\n\
            note config.yml:9:84: health.storagedriver.interval: `10` without a unit counts nanoseconds; did you mean `10s`?\n\
            note config.yml:9:89: health.http: not supported, ignored because wharf makes no requests of its own; check the other service with what watches it\n\
            config.yml:7:17: http.draintimeout: `30 sec` is no duration; write a number with a unit, such as `10s`, `5m` or `1h30m`\n\
            config.yml:8:6: log: must be a section, with `key: value` lines below it\n\
            config.yml:9:17: health.file[0]: needs `file`\n\
            config.yml:9:34: health.file[1]: must be a section, with `key: value` lines below it\n\
            config.yml:9:43: health.tcp: must be a list\n\
            config.yml:9:84: health.storagedriver.interval: is too short; write at least `100ms`\n\
            config.yml:10:23: catalog.maxentries: `-1` is no number from 0 on\n\
            config.yml:11:41: validation.manifests.urls.allow: `(` is no regular expression: found open group without closing ')'\n\
            config.yml:11:69: validation.manifests.indexes.platforms: `some` is none of `all`, `none`, `list`"
    );
    assert_eq!(
        told(
            "version: 0.1\nstorage:\n  filesystem: {}\n  s3: {bucket: b}\n  filesytem: {}\nauth:\n  htpasswd: {realm: r}\n  token: {}\n",
            &[]
        ),
        "config.yml:2:1: storage: several drivers (filesystem, s3, filesytem); leave one\n\
            config.yml:4:3: storage.s3: not supported: wharf keeps images in files only; use `filesystem`, with the bucket's content copied into `rootdirectory`\n\
            config.yml:5:3: unknown key `filesytem` in `storage`; did you mean `filesystem`?\n\
            config.yml:6:1: auth: several types (htpasswd, token); leave one\n\
            config.yml:7:3: auth.htpasswd: needs `path`\n\
            config.yml:8:3: auth.token: not supported: wharf doesn't check tokens, and without that everybody could push; use `htpasswd`"
    );
    assert_eq!(
        told(
            "version: 0.1\nstorage: filesystem\nstorage: filesystem\n",
            &[]
        ),
        "config.yml:3:1: not YAML: duplicate mapping key: storage"
    );
}

#[test]
fn what_is_not_supported_is_named() {
    assert_eq!(
        told_with(
            "redis: {addr: 'r:1'}\n\
             notifications: {endpoints: []}\n\
             reporting: {bugsnag: {apikey: k}}\n\
             compatibility: {schema1: {enabled: true}}\n\
             middleware: {storage: [{name: cloudfront}], repository: [{name: x}], registry: []}\n\
             policy: {repository: {classes: [image]}}\n\
             proxy: {remoteurl: 'https://registry-1.docker.io', username: u}\n\
             http: {secret: s, tls: {letsencrypt: {cachefile: /c, email: '', hosts: []}}}\n\
             log: {hooks: [{type: mail}], reportcaller: true}\n\
             health: {http: [{uri: 'http://x'}]}\n\
             validation: {enabled: true}\n"
        ),
        "note config.yml:3:1: redis: not supported, ignored because wharf needs no cache beside the volume\n\
            note config.yml:5:1: reporting: not supported, ignored because wharf reports to nobody; registry:3 doesn't either\n\
            note config.yml:6:1: compatibility: not supported, ignored because docker's schema 1 is refused, as in registry:3; push such images again with a current docker\n\
            note config.yml:7:14: middleware.storage: not supported, ignored because it only changes from where blobs are pulled, and wharf serves them itself\n\
            note config.yml:9:52: proxy.username: not supported, ignored because it belongs to `proxy.remoteurl`\n\
            note config.yml:10:8: http.secret: not supported, ignored because wharf keeps the state of uploads in the store, where every replica sees it\n\
            note config.yml:11:7: log.hooks: not supported, ignored because wharf doesn't send mail; let what collects the log do it\n\
            note config.yml:11:30: log.reportcaller: not supported, ignored because wharf's lines don't name places in its source\n\
            note config.yml:12:10: health.http: not supported, ignored because wharf makes no requests of its own; check the other service with what watches it\n\
            note config.yml:13:14: validation.enabled: not supported, ignored because validation is on unless `validation.disabled` says otherwise\n\
            config.yml:7:45: middleware.repository: not supported: wharf has no such middleware, and it may be what keeps somebody out; remove it\n\
            config.yml:8:23: policy.repository.classes: not supported: wharf accepts every kind of content, also those that `classes` leaves out; remove it\n\
            config.yml:9:9: proxy.remoteurl: not supported: wharf is no pull-through cache, and what was a read-only cache would become a registry that takes pushes; remove `proxy`\n\
            config.yml:10:25: http.tls.letsencrypt: not supported: wharf doesn't fetch certificates from Let's Encrypt, and without one it would speak plain HTTP; set `certificate` and `key`, which are reread when another program renews them"
    );
    assert_eq!(
        told("version: 0.1\nstorage: inmemory\nauth: silly\n", &[]),
        "config.yml:2:10: storage.inmemory: not supported: everything would be lost when the registry stops; use `filesystem`\n\
            config.yml:3:7: auth.silly: not supported: it lets everybody in who sends any login at all; use `htpasswd`"
    );
}

#[test]
fn what_templates_leave_empty_is_no_key() {
    assert_eq!(
        told_with(
            "proxy: {remoteurl: '', password:}\nredis:\nnotifications: {endpoints: []}\n\
             http: {secret: '', tls: {certificate:, letsencrypt: {cachefile:, email: ''}}}\n\
             middleware: {registry: [], repository:}\nlog:\n"
        ),
        ""
    );
}

#[test]
fn tls_is_never_less_than_was_asked_for() {
    for (tls, reason) in [
        (
            "{certificate: c}",
            "config.yml:3:8: http.tls: `certificate` needs `key`, too",
        ),
        (
            "{key: k}",
            "config.yml:3:8: http.tls: `key` needs `certificate`, too",
        ),
        (
            "{clientcas: [a]}",
            "config.yml:3:8: http.tls: `clientcas` needs `certificate` and `key`: without them connections are plain and nobody is checked",
        ),
        (
            "{clientauth: require-and-verify-client-cert}",
            "config.yml:3:8: http.tls: `clientauth` needs `certificate` and `key`: without them connections are plain and nobody is checked",
        ),
        (
            "{minimumtls: tls1.3}",
            "note config.yml:3:26: http.tls.minimumtls: has no effect without `certificate` and `key`: connections are plain",
        ),
        (
            "{certificate: c, key: k, minimumtls: tls1.0}",
            "config.yml:3:50: http.tls.minimumtls: `tls1.0` is broken; write `tls1.2`",
        ),
        (
            "{certificate: c, key: k, clientauth: verify-client-cert-if-given}",
            "config.yml:3:8: http.tls: `clientauth` needs `clientcas`: the authorities to verify with",
        ),
        (
            "{certificate: c, key: k, clientcas: [a], clientauth: require-any-client-cert}",
            "config.yml:3:66: http.tls.clientauth: `require-any-client-cert` verifies nothing; write `verify-client-cert-if-given` or `require-and-verify-client-cert`",
        ),
        (
            "{certificate: c, key: k, ciphersuites: [TLS_RSA_WITH_AES_128_CBC_SHA]}",
            "note config.yml:3:52: http.tls.ciphersuites: left out `TLS_RSA_WITH_AES_128_CBC_SHA`: without forward secrecy or authenticated encryption\n\
            note config.yml:3:52: http.tls.ciphersuites: none is left for tls 1.2, so that only tls 1.3 is spoken",
        ),
        (
            "{certificate: c, key: k, ciphersuites: [AES]}",
            "config.yml:3:53: http.tls.ciphersuites: `AES` is no cipher suite; known are TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        assert_eq!(
            told_with(&format!("http: {{tls: {tls}}}\n")),
            reason,
            "{tls}"
        );
    }
}

#[test]
fn http_settings_say_what_to_write() {
    for (http, reason) in [
        (
            "{addr: 5000}",
            "config.yml:3:14: http.addr: `5000` is not `host:port`; write `:5000` for every address",
        ),
        (
            "{net: unix}",
            "config.yml:3:1: http: `net: unix` needs the path of a socket as `addr`",
        ),
        (
            "{net: udp}",
            "config.yml:3:13: http.net: `udp` is none of `tcp`, `unix`",
        ),
        (
            "{prefix: registry}",
            "config.yml:3:16: http.prefix: `registry` must begin with a slash; write `/registry/`",
        ),
        (
            "{prefix: '/a b'}",
            "config.yml:3:16: http.prefix: `/a b` is no path of letters, digits and `-._~`",
        ),
        (
            "{host: 'registry.example.org:5000'}",
            "config.yml:3:14: http.host: `registry.example.org:5000` is no URL; write `https://registry.example.org:5000`",
        ),
        (
            "{host: 'https://registry.example.org/sub'}",
            "config.yml:3:14: http.host: `https://registry.example.org/sub` holds more than a host; write `https://registry.example.org`, and a path as `http.prefix`",
        ),
        (
            "{host: 'https://u:p@registry.example.org'}",
            "config.yml:3:14: http.host: holds a user name; write `https://host[:port]`",
        ),
        (
            "{headers: {'a b': [c], d: [\"\\n\"]}}",
            "config.yml:3:25: http.headers.a b: is no name of a header\n\
            config.yml:3:34: http.headers.d: ` ` is no value of a header",
        ),
        (
            "{debug: {prometheus: {enabled: true, path: metrics}}}",
            "note config.yml:3:38: http.debug.prometheus.enabled: has no effect without `http.debug.addr`\n\
            config.yml:3:50: http.debug.prometheus.path: `metrics` is no path; write `/metrics`",
        ),
        (
            "{relativeurls: 1}",
            "config.yml:3:22: http.relativeurls: `1` is neither `true` nor `false`",
        ),
    ] {
        assert_eq!(told_with(&format!("http: {http}\n")), reason, "{http}");
    }
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
fn the_default_file_has_nothing_to_be_told() {
    let text = include_str!("../../config/registry.yml");
    assert_eq!(told(text, &[]), "");
    let ours = format!("{:?}", config(text, &[]));
    assert_eq!(ours, format!("{:?}", config(REGISTRY_2, &[])));
}

#[test]
fn the_example_shows_every_honoured_key_with_its_default() {
    let text = include_str!("../../config/example.yml");
    assert_eq!(told(text, &[]), "");
    let ours = format!("{:?}", config(text, &[]));
    assert_eq!(ours, format!("{:?}", config(MINIMAL, &[])));

    let full = uncommented(text);
    assert_eq!(
        told(&full, &[])
            .lines()
            .map(|line| line.split_once(": ").unwrap().1)
            .collect::<Vec<_>>(),
        ["validation.manifests.indexes.platformlist: has no effect without `platforms: list`"],
        "{full}"
    );
    let root = super::yaml::parse(&"example".into(), &full).unwrap();
    let mut missing = Vec::new();
    honoured(&ROOT, "", &mut |path, default| match written(&root, path) {
        _ if path == "auth.none" => {}
        None => missing.push(path.to_owned()),
        Some(value) if default.is_empty() || value == default => {}
        Some(value) => missing.push(format!("{path} is {value}, not {default}")),
    });
    assert_eq!(missing, [""; 0]);
}

/// Every honoured key is read as what the schema says: a value that can't be
/// is a problem there.
#[test]
fn every_honoured_key_is_read() {
    honoured(&ROOT, "", &mut |path, _| {
        let mut kind = &ROOT;
        let mut text = String::new();
        let mut closing = String::new();
        for part in path.split('.') {
            let name = part.trim_end_matches("[]");
            kind = &kind.key(name).unwrap().kind;
            text.push_str(&format!("{{{name}: "));
            closing.insert(0, '}');
            if part.ends_with("[]") {
                let Kind::List(inner) = kind else {
                    panic!("{path}")
                };
                kind = inner;
                text.push('[');
                closing.insert(0, ']');
            }
        }
        if matches!(kind, Kind::Section(_) | Kind::Choice(_)) {
            return;
        }
        let bad = match kind {
            Kind::Map(Kind::List(_)) | Kind::Map(_) => "{a: {b: {c: d}}}",
            _ => "{zzz: {zzz: zzz}}",
        };
        let told = told(&format!("{text}{bad}{closing}"), &[]);
        let path = path.replace("[]", "[0]");
        assert!(
            told.lines()
                .any(|line| !line.starts_with("note") && line.contains(&format!(": {path}"))),
            "{path} is not read: {told}"
        );
    });
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
    assert!(matches!(config.auth, auth::Settings::Htpasswd(h) if h.realm == "wharf"));
}

#[test]
fn a_missing_file_is_a_problem() {
    let problems = Config::read(Path::new("/nowhere/config.yml"), std::iter::empty()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "/nowhere/config.yml: cannot read the configuration: No such file or directory (os error 2)"
    );
}

/// Calls `visit` with the path and the default of each honoured key that takes
/// a value.
fn honoured(kind: &Kind, above: &str, visit: &mut impl FnMut(&str, &str)) {
    for key in kind
        .keys()
        .iter()
        .filter(|key| key.verdict == Verdict::Honoured)
    {
        let path = format!("{above}{}", key.name);
        match key.kind {
            Kind::List(inner) if !inner.keys().is_empty() => {
                honoured(inner, &format!("{path}[]."), visit)
            }
            kind if !kind.keys().is_empty() => honoured(&kind, &format!("{path}."), visit),
            _ => visit(&path, key.default),
        }
    }
}

/// The value at a path as it is written; of lists, the first item's.
fn written(root: &super::tree::Node, path: &str) -> Option<String> {
    let mut node = root;
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        node = &node.entries().iter().find(|entry| entry.key == name)?.node;
        if part.ends_with("[]") {
            let super::tree::Value::List(items) = &node.value else {
                return None;
            };
            node = items.first()?;
        }
    }
    match &node.value {
        super::tree::Value::Scalar(text) => Some(text.clone()),
        _ => Some(String::new()),
    }
}

/// The example with every setting in it.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        match line.trim_start().strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => {
                format!("{}{rest}\n", &line[..indent])
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}
