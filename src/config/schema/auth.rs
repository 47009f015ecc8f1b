//! `auth`: registry:2's ways to log in, and what wharf has beside them.

use super::Kind::{Bool, Choice, Duration, List, Map, Path, Section, Strict, Text};
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
        OIDC,
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
        key("realm", Text).remark("Required, unless `autoredirect` is on. The URL of the service that hands out tokens, as clients reach it."),
        key("service", Text).remark("Required. What tokens must be for (`aud`)."),
        key("issuer", Text).remark("Required. Who must have made them (`iss`)."),
        key("rootcertbundle", Path).remark("PEM certificates: of keys that sign, or of authorities for the certificates that tokens bring (`x5c`). This or `jwks` is required; both are reread when they change."),
        key("jwks", Path).remark("A JWK set of keys that sign."),
        key("autoredirect", Bool)
            .default("false")
            .remark("Whether clients are sent to the host by which they reached wharf instead of `realm`."),
        key("autoredirectpath", Text)
            .default("/auth/token")
            .remark("The path of the service there."),
        key("signingalgorithms", List(&Text))
            .remark("Default: all of these. What tokens may be signed by: `EdDSA`, `ES256`, `ES384`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`. Shared secrets (`HS256` and so on) are refused."),
    ]),
)
.remark("Tokens of an outside service; what they say may be done is all that may be done.");

const OIDC: Key = key(
    "oidc",
    List(&Strict(&[
        key("name", Text).remark("Required. What the issuer is called in logs and identities."),
        key("issuer", Text).remark("Required. Its URL, exactly as its tokens have it (`iss`); its keys are found through `/.well-known/openid-configuration` below it, by https unless it is on this machine."),
        key("audience", Text).remark("Required. What tokens must be for (`aud`): something that only this registry is called."),
        key("rootcas", Path).remark("PEM certificates of authorities to trust besides the usual ones when the keys are fetched."),
        key("jwks", Path).remark("A file with the keys (a JWK set), reread when it changes: nothing is fetched."),
        key(
            "workloads",
            List(&Strict(&[
                key("claims", Map(&Text)).remark("Required. Claims and what they must be: `*` stands for any run of characters but `/`, `**` for any run. All must match; `a/b` is `b` within `a`."),
                key("groups", List(&Text)).remark("The groups that such a workload is in, for `access`."),
            ])),
        )
        .remark("Required. Who may come in; the first that matches counts."),
    ])),
)
.remark("wharf's own: CI jobs and pods log in with an ID token of their provider as the password ([oidc.md](oidc.md)).");

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
