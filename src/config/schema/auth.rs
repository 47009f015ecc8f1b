//! `auth`: registry:2's ways to log in, and what wharf has beside them.

use super::Kind::{Bool, Choice, Duration, List, Path, Section, Strict, Text};
use super::{Key, key};

pub(super) const AUTH: Key = key(
    "auth",
    Choice(&[
        HTPASSWD,
        TOKEN,
        key("silly", Section(&[key("realm", Text), key("service", Text)]))
            .refused("it lets everybody in who sends any login at all; use `htpasswd`"),
        key("none", Section(&[])).remark("Everybody may do everything, as without `auth`."),
        TOKENS,
    ]),
)
.remark("At most one of registry:2's types (`htpasswd`, `token`, `silly`, `none`); without one, everybody may do everything. wharf's own keys stand beside it.");

const HTPASSWD: Key = key(
    "htpasswd",
    Section(&[
        key("realm", Text).remark("Required. What a client is told that it logs in to."),
        key("path", Path).remark("Required. The file of users; reread when it changes, made with a random password when it isn't there."),
    ]),
);

const TOKEN: Key = key(
    "token",
    Section(&[
        key("realm", Text),
        key("service", Text),
        key("issuer", Text),
        key("rootcertbundle", Path),
        key("jwks", Path),
        key("autoredirect", Bool),
        key("autoredirectpath", Text),
        key("signingalgorithms", List(&Text)),
    ]),
)
.refused("wharf doesn't check tokens, and without that everybody could push; use `htpasswd`");

const TOKENS: Key = key(
    "tokens",
    Strict(&[
        key("enabled", Bool)
            .default("false")
            .remark("Whether wharf gives out tokens of its own. Where `access` names `anonymous` it does unless this says `false`: docker only pulls without a login where tokens are."),
        key("lifetime", Duration)
            .default("5m")
            .within("1m", "1h")
            .remark("How long a token can be used."),
        key("realm", Text)
            .remark("The URL of `/token` as clients reach it. Default: `http.host`, or else the host that the client has asked, with `/token`."),
        key("service", Text)
            .default("wharf")
            .remark("What tokens are for: the same on all replicas."),
    ]),
)
.remark("wharf's own: short-lived tokens for who has logged in ([tokens.md](tokens.md)).");
