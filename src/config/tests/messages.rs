//! What is told of files and variables that are wrong, word for word.

use std::path::Path;

use super::super::Config;
use super::{MINIMAL, told};

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
            note REGISTRY_REDIS_ADDR: redis: not supported, ignored because wharf needs no cache beside the storage\n\
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
            config.yml:5:3: unknown key `filesytem` in `storage`; did you mean `filesystem`?\n\
            config.yml:6:1: auth: several types (htpasswd, token); leave one\n\
            config.yml:7:3: auth.htpasswd: needs `path`\n\
            config.yml:8:3: auth.token: needs `issuer`\n\
            config.yml:8:3: auth.token: needs `realm`\n\
            config.yml:8:3: auth.token: needs `service`\n\
            config.yml:8:3: auth.token: needs keys to verify tokens with: add `rootcertbundle` or `jwks`"
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
        "note config.yml:3:1: redis: not supported, ignored because wharf needs no cache beside the storage\n\
            note config.yml:5:1: reporting: not supported, ignored because wharf reports to nobody; registry:3 doesn't either\n\
            note config.yml:6:1: compatibility: not supported, ignored because docker's schema 1 is refused, as in registry:3; push such images again with a current docker\n\
            note config.yml:7:14: middleware.storage: not supported, ignored because it only changes from where blobs are pulled, and that is wharf or its store\n\
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
        "config.yml:2:10: storage.inmemory: not supported: everything would be lost when the registry stops; use `filesystem` or `s3`\n\
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
fn a_missing_file_is_a_problem() {
    let problems = Config::read(Path::new("/nowhere/config.yml"), std::iter::empty()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "/nowhere/config.yml: cannot read the configuration: No such file or directory (os error 2)"
    );
}

/// What is told of the minimal file with `text` below it.
fn told_with(text: &str) -> String {
    told(&format!("{MINIMAL}{text}"), &[])
}
