//! `auth`: registry:2's ways to log in, one at most, and wharf's own beside it.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::super::section::Section;
use super::super::values::{boolean, text};
use super::limits;
use crate::auth::outside::{self, Realm, Signing};
use crate::auth::workloads::claims::{Mapping, Pattern};
use crate::auth::workloads::{self, KeySource};
use crate::auth::{self, htpasswd, tokens};

/// What registry:2 knows, of which one can be chosen.
const TYPES: [&str; 4] = ["htpasswd", "token", "silly", "none"];

/// registry:3's `autoredirectpath`.
const REDIRECT: &str = "/auth/token";

/// `auth` but for [`own_tokens`].
pub(super) fn logins(root: &Section<'_>) -> auth::Settings {
    let section = root.section("auth");
    // Read in any case: a mistake is one without users, too.
    let bounds = root.section("limits");
    let (queue, backoff) = (limits::login_queue(&bounds), limits::backoff(&bounds));
    let named = section.names().filter(|name| TYPES.contains(name));
    let chosen: Vec<&str> = named.collect();
    if chosen.len() > 1 {
        section.problem(format!("several types ({}); leave one", chosen.join(", ")));
    }
    auth::Settings {
        htpasswd: chosen
            .contains(&"htpasswd")
            .then(|| htpasswd(&section.section("htpasswd"), queue, backoff)),
        outside: chosen
            .contains(&"token")
            .then(|| outside(&section.section("token"))),
        oidc: oidc(&section),
        ..auth::Settings::default()
    }
}

/// `auth.token`.
fn outside(section: &Section<'_>) -> outside::Settings {
    let redirect = section.read("autoredirect", boolean).unwrap_or_default();
    let path = section.read("autoredirectpath", local_path);
    let realm = match redirect {
        true => Realm::Path(path.unwrap_or_else(|| REDIRECT.to_owned())),
        false => {
            if section.has("autoredirectpath") {
                section.note_of(
                    "autoredirectpath",
                    "has no effect without `autoredirect: true`",
                );
            }
            Realm::At(section.require("realm", realm).unwrap_or_default())
        }
    };
    let algorithms = section.list("signingalgorithms", signing);
    let settings = outside::Settings {
        realm,
        service: section.require("service", quotable).unwrap_or_default(),
        issuer: section.require("issuer", text).unwrap_or_default(),
        rootcertbundle: section.read("rootcertbundle", text).map(PathBuf::from),
        jwks: section.read("jwks", text).map(PathBuf::from),
        algorithms: match section.has("signingalgorithms") {
            true => algorithms,
            false => Signing::all(),
        },
    };
    if settings.rootcertbundle.is_none() && settings.jwks.is_none() {
        section.problem("needs keys to verify tokens with: add `rootcertbundle` or `jwks`");
    }
    settings
}

/// `auth.oidc`.
fn oidc(auth: &Section<'_>) -> Vec<workloads::Settings> {
    let mut issuers: Vec<workloads::Settings> = Vec::new();
    for section in auth.sections("oidc") {
        let issuer = issuer(&section);
        let mut others = issuers.iter();
        if others.any(|other| other.name == issuer.name || other.issuer == issuer.issuer) {
            section.problem("another entry has the same `name` or `issuer`: each stands once");
        }
        issuers.push(issuer);
    }
    issuers
}

fn issuer(section: &Section<'_>) -> workloads::Settings {
    let keys = match section.read("jwks", text) {
        Some(path) => {
            if section.has("rootcas") {
                section.note_of("rootcas", "has no effect beside `jwks`: nothing is fetched");
            }
            KeySource::File(PathBuf::from(path))
        }
        None => KeySource::Discovery {
            root_cas: section.read("rootcas", text).map(PathBuf::from),
        },
    };
    let address = section.require("issuer", |text| match &keys {
        KeySource::File(_) => Ok(text.to_owned()),
        KeySource::Discovery { .. } => workloads::checked_issuer(text),
    });
    let entries = section.sections("workloads");
    if entries.is_empty() {
        section.problem("needs `workloads`: without one that matches, no token counts");
    }
    workloads::Settings {
        name: section.require("name", service).unwrap_or_default(),
        issuer: address.unwrap_or_default(),
        audience: section.require("audience", text).unwrap_or_default(),
        keys,
        workloads: entries.iter().map(mapping).collect(),
    }
}

/// An entry without claims would stand for whoever has an account there.
fn mapping(entry: &Section<'_>) -> Mapping {
    let section = entry.section("claims");
    let claims: Vec<(String, Pattern)> = section
        .names()
        .filter_map(|name| {
            let pattern = section.require(name, |text| {
                text.parse::<Pattern>().map_err(|error| error.to_string())
            });
            Some((name.to_owned(), pattern?))
        })
        .collect();
    if section.names().next().is_none() {
        entry.problem("needs `claims` that a token must have, such as `repository: acme/*`");
    }
    Mapping {
        claims,
        groups: entry.list("groups", group),
    }
}

fn group(text: &str) -> Result<String, String> {
    match text.is_empty() || text.starts_with("group:") {
        true => Err(format!(
            "`{text}` is no name of a group; write it as it stands behind `group:`"
        )),
        false => Ok(text.to_owned()),
    }
}

fn signing(text: &str) -> Result<Signing, String> {
    Signing::named(text).ok_or_else(|| {
        let names: Vec<String> = Signing::all().into_iter().map(Signing::name).collect();
        format!("`{text}` is not accepted; these are: {}", names.join(", "))
    })
}

/// What can stand between the quotes of a header.
fn quotable(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` cannot stand in a header: write ASCII")),
    }
}

/// A path of this host.
fn local_path(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['"', '\\']);
    match plain && text.starts_with('/') && !text.starts_with("//") {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "`{text}` is no path: write one such as `{REDIRECT}`"
        )),
    }
}

fn htpasswd(
    section: &Section<'_>,
    queue: usize,
    backoff: auth::backoff::Limits,
) -> htpasswd::Settings {
    let realm = section.require("realm", text);
    let path = section.require("path", text);
    htpasswd::Settings {
        realm: realm.unwrap_or_default(),
        path: PathBuf::from(path.unwrap_or_default()),
        queue,
        backoff,
    }
}

/// `auth.tokens`, beside the ways to log in. `welcome` is whether rules let
/// anybody in who has not logged in.
pub(super) fn own_tokens(
    root: &Section<'_>,
    welcome: bool,
    others: &auth::Settings,
) -> Option<tokens::Settings> {
    let auth = root.section("auth");
    let section = auth.section("tokens");
    let asked = section.read("enabled", boolean);
    let defaults = tokens::Settings::default();
    let settings = tokens::Settings {
        lifetime: lifetime(&section).unwrap_or(defaults.lifetime),
        realm: section.read("realm", realm),
        service: section.read("service", service).unwrap_or(defaults.service),
    };
    if others.is_open() {
        if asked == Some(true) {
            auth.problem_of(
                "tokens",
                "needs a way to log in beside it: add `auth.htpasswd`",
            );
        } else if auth.names().any(|name| name == "tokens") && asked.is_none() {
            auth.problem_of(
                "tokens",
                "is no way to log in by itself: add `auth.htpasswd`",
            );
        }
        return None;
    }
    if !asked.unwrap_or(welcome) {
        if asked.is_none() && section.names().next().is_some() {
            auth.note_of("tokens", "has no effect without `enabled: true`");
        }
        return None;
    }
    if auth.mentions("token") {
        auth.problem_of(
            "tokens",
            "a client can be sent to one token service only: leave `auth.token` or `auth.tokens`",
        );
    }
    let http = root.section("http");
    let known = settings.realm.is_some() || http.has("host") || http.mentions("tls");
    if asked.is_some() && !known && !http.has("trustedproxies") {
        auth.note_of(
            "tokens",
            "clients are sent to `http://HOST/token` for a token: if a proxy in front takes HTTPS, say so in `http.host`",
        );
    }
    Some(settings)
}

fn lifetime(section: &Section<'_>) -> Option<Duration> {
    let lifetime = section.duration("lifetime")?;
    if tokens::LIFETIMES.contains(&lifetime) {
        return Some(lifetime);
    }
    section.problem_of(
        "lifetime",
        "is out of bounds; write something from `1m` to `1h`",
    );
    None
}

/// An absolute URL that can stand in a challenge.
fn realm(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['"', '\\']);
    let absolute = text.starts_with("https://") || text.starts_with("http://");
    match text.parse::<Uri>() {
        Ok(uri) if plain && absolute && uri.authority().is_some() => Ok(text.to_owned()),
        _ => Err(format!(
            "`{text}` is no URL; write `https://HOST/token`, as clients reach it"
        )),
    }
}

/// A name that can stand in a challenge and in a query as it is.
fn service(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    if !text.is_empty() && text.len() <= 255 && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is no name of letters, digits and `-._~:/`"
        ))
    }
}
