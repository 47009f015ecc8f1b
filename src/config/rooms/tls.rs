//! `http.tls`. What can't be honoured here must not end in less encryption or
//! less checking than was asked for.

use std::path::PathBuf;

use super::super::section::Section;
use super::super::values::{text, word};
use crate::server::tls::{ClientAuth, Settings, Version};

/// What rustls speaks with TLS 1.2: ephemeral keys, authenticated encryption.
const TLS12_SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// `http.tls`; `None` is plain HTTP.
pub(super) fn tls(tls: &Section<'_>) -> Option<Settings> {
    let certificate = tls.read("certificate", text);
    let key = tls.read("key", text);
    let client_cas = tls.list("clientcas", text);
    let client_auth = tls.read("clientauth", client_auth);
    let minimum = tls.read("minimumtls", minimum);
    let (cipher_suites, least) = cipher_suites(tls);
    match (tls.has("certificate"), tls.has("key")) {
        (true, false) => tls.problem("`certificate` needs `key`, too"),
        (false, true) => tls.problem("`key` needs `certificate`, too"),
        (false, false) => without_certificate(tls),
        (true, true) if client_auth.is_some() && client_cas.is_empty() => {
            tls.problem("`clientauth` needs `clientcas`: the authorities to verify with");
        }
        (true, true) => {}
    }
    Some(Settings {
        certificate: PathBuf::from(certificate?),
        key: PathBuf::from(key?),
        client_cas: client_cas.into_iter().map(PathBuf::from).collect(),
        client_auth: client_auth.unwrap_or(ClientAuth::Required),
        minimum: least.or(minimum).unwrap_or(Version::Tls12),
        cipher_suites,
    })
}

/// registry:2 speaks plain HTTP then, whatever else is set.
fn without_certificate(tls: &Section<'_>) {
    for name in ["clientcas", "clientauth"] {
        if tls.has(name) {
            tls.problem(format!(
                "`{name}` needs `certificate` and `key`: without them connections are plain and nobody is checked"
            ));
        }
    }
    for name in ["minimumtls", "ciphersuites"] {
        if tls.has(name) {
            tls.note_of(
                name,
                "has no effect without `certificate` and `key`: connections are plain",
            );
        }
    }
}

fn client_auth(text: &str) -> Result<ClientAuth, String> {
    if matches!(text, "request-client-cert" | "require-any-client-cert") {
        return Err(format!(
            "`{text}` verifies nothing; write `verify-client-cert-if-given` or `require-and-verify-client-cert`"
        ));
    }
    let words = [
        ("verify-client-cert-if-given", ClientAuth::IfGiven),
        ("require-and-verify-client-cert", ClientAuth::Required),
    ];
    word(&words, text)
}

fn minimum(text: &str) -> Result<Version, String> {
    if matches!(text, "tls1.0" | "tls1.1") {
        return Err(format!("`{text}` is broken; write `tls1.2`"));
    }
    word(
        &[("tls1.2", Version::Tls12), ("tls1.3", Version::Tls13)],
        text,
    )
}

/// The suites for TLS 1.2, and the least version where none of those that are
/// named is for TLS 1.2.
fn cipher_suites(tls: &Section<'_>) -> (Vec<String>, Option<Version>) {
    let named = tls.list("ciphersuites", suite);
    let (kept, left): (Vec<Suite>, Vec<Suite>) = named
        .into_iter()
        .partition(|suite| matches!(suite, Suite::Tls12(_)));
    let kept: Vec<String> = kept.into_iter().map(Suite::into_name).collect();
    let unsafe_names: Vec<String> = left
        .iter()
        .filter(|suite| matches!(suite, Suite::Old(_)))
        .map(|suite| format!("`{}`", suite.name()))
        .collect();
    if !unsafe_names.is_empty() {
        tls.note_of(
            "ciphersuites",
            format!(
                "left out {}: without forward secrecy or authenticated encryption",
                unsafe_names.join(", ")
            ),
        );
    }
    if kept.is_empty() && !left.is_empty() {
        tls.note_of(
            "ciphersuites",
            "none is left for tls 1.2, so that only tls 1.3 is spoken",
        );
        return (kept, Some(Version::Tls13));
    }
    (kept, None)
}

/// A cipher suite by its IANA name.
enum Suite {
    Tls12(String),
    Tls13(String),
    /// Go has it, but nobody should.
    Old(String),
}

impl Suite {
    fn name(&self) -> &str {
        match self {
            Self::Tls12(name) | Self::Tls13(name) | Self::Old(name) => name,
        }
    }

    fn into_name(self) -> String {
        match self {
            Self::Tls12(name) | Self::Tls13(name) | Self::Old(name) => name,
        }
    }
}

fn suite(text: &str) -> Result<Suite, String> {
    let name = text.to_ascii_uppercase();
    // Go's older name for the same suites.
    let name = match name.strip_suffix("_WITH_CHACHA20_POLY1305") {
        Some(_) => format!("{name}_SHA256"),
        None => name,
    };
    if TLS12_SUITES.contains(&name.as_str()) {
        return Ok(Suite::Tls12(name));
    }
    match name.as_str() {
        "TLS_AES_128_GCM_SHA256" | "TLS_AES_256_GCM_SHA384" | "TLS_CHACHA20_POLY1305_SHA256" => {
            Ok(Suite::Tls13(name))
        }
        _ if name.starts_with("TLS_RSA_WITH_")
            || (name.starts_with("TLS_ECDHE_") && name.contains("_CBC_"))
            || (name.starts_with("TLS_ECDHE_") && name.contains("_RC4_")) =>
        {
            Ok(Suite::Old(name))
        }
        _ => Err(format!(
            "`{text}` is no cipher suite; known are {}",
            TLS12_SUITES.join(", ")
        )),
    }
}
