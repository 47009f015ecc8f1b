//! `http`: listeners, TLS and what stands in answers.

use super::Kind::{Bool, Duration, List, Map, Path, Section, Text, Word};
use super::{Key, key};

pub(super) const HTTP: Key = key(
    "http",
    Section(&[
        key("addr", Text)
            .default(":5000")
            .remark("`host:port`, `:port` for every address, or the path of a socket with `net: unix`."),
        key("net", Word(&["tcp", "unix"]))
            .default("tcp")
            .remark("What `addr` is."),
        key("prefix", Text)
            .remark("What every path begins with, such as `/registry/`."),
        key("host", Text)
            .remark("`https://host[:port]` before every `Location`; without it they are relative, which is right behind every proxy."),
        key("relativeurls", Bool)
            .default("false")
            .remark("Relative `Location` even with `host`."),
        key("trustedproxies", List(&Text))
            .remark("wharf's own key: addresses and networks (`10.0.0.0/8`) of proxies, or `unix` for whoever comes over a socket, whose `X-Forwarded-For`, `-Proto` and `-Host` and `Forwarded` are believed. Without it nobody's are; registry:2 believes everybody's."),
        key("draintimeout", Duration)
            .default("25s")
            .remark("How long running requests may take after SIGTERM; 0 stops at once. registry:2's default is 0."),
        key("drainpause", Duration)
            .default("0s")
            .remark("wharf's own key: for so long after SIGTERM `/readyz` answers 503 and everything else goes on, so that load balancers notice before the listener closes."),
        key("secret", Text)
            .secret()
            .ignored("wharf keeps the state of uploads in the store, where every replica sees it"),
        key("headers", Map(&List(&Text)))
            .remark("Added to every answer."),
        TLS,
        DEBUG,
        key(
            "http2",
            Section(&[key("disabled", Bool)
                .default("false")
                .remark("Speak HTTP/1.1 alone over TLS.")]),
        ),
        key(
            "h2c",
            Section(&[key("enabled", Bool)
                .default("false")
                .remark("HTTP/2 without TLS, by prior knowledge.")]),
        ),
    ]),
);

const TLS: Key = key(
    "tls",
    Section(&[
        key("certificate", Path).remark("PEM, the server's certificate first; reread when it changes."),
        key("key", Path).remark("PEM; reread when it changes."),
        key("clientcas", List(&Path))
            .remark("PEM files of authorities: clients need a certificate from one of them."),
        key(
            "clientauth",
            Word(&["verify-client-cert-if-given", "require-and-verify-client-cert"]),
        )
        .default("require-and-verify-client-cert")
        .remark("Only with `clientcas`. `request-client-cert` and `require-any-client-cert`, which verify nothing, are refused."),
        key("minimumtls", Word(&["tls1.2", "tls1.3"]))
            .default("tls1.2")
            .remark("`tls1.0` and `tls1.1` are refused."),
        key("ciphersuites", List(&Text))
            .remark("For TLS 1.2, by their IANA names. Those without forward secrecy or authenticated encryption are left out."),
        key(
            "letsencrypt",
            Section(&[
                key("cachefile", Path),
                key("email", Text),
                key("hosts", List(&Text)),
                key("directoryurl", Text),
            ]),
        )
        .refused("wharf doesn't fetch certificates from Let's Encrypt, and without one it would speak plain HTTP; set `certificate` and `key`, which are reread when another program renews them"),
    ]),
)
.remark("Plain HTTP without it.");

const DEBUG: Key = key(
    "debug",
    Section(&[
        key("addr", Text)
            .remark("`host:port` of `/debug/health` and the metrics; plain HTTP without login."),
        key(
            "prometheus",
            Section(&[
                key("enabled", Bool)
                    .default("false")
                    .remark("Serve metrics; only with `addr`."),
                key("path", Text).default("/metrics").remark("Where."),
            ]),
        ),
    ]),
);
