//! `auth`: registry:2's ways to log in, one at most, and wharf's own beside it.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::super::section::Section;
use super::super::values::{boolean, text};
use super::limits;
use crate::auth::{self, htpasswd, tokens};

/// What registry:2 knows, of which one can be chosen.
const TYPES: [&str; 4] = ["htpasswd", "token", "silly", "none"];

/// `auth` but for [`own_tokens`].
pub(super) fn logins(root: &Section<'_>) -> auth::Settings {
    let section = root.section("auth");
    let named = section.names().filter(|name| TYPES.contains(name));
    let chosen: Vec<&str> = named.collect();
    if chosen.len() > 1 {
        section.problem(format!("several types ({}); leave one", chosen.join(", ")));
    }
    auth::Settings {
        htpasswd: chosen
            .contains(&"htpasswd")
            .then(|| htpasswd(&section.section("htpasswd"), root)),
        ..auth::Settings::default()
    }
}

fn htpasswd(section: &Section<'_>, root: &Section<'_>) -> htpasswd::Settings {
    let realm = section.require("realm", text);
    let path = section.require("path", text);
    htpasswd::Settings {
        realm: realm.unwrap_or_default(),
        path: PathBuf::from(path.unwrap_or_default()),
        queue: limits::login_queue(&root.section("limits")),
        backoff: limits::backoff(&root.section("limits")),
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
    if !known && !http.has("trustedproxies") {
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
