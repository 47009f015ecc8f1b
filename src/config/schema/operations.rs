//! Everything but `storage` and `http`.

use super::Kind::{Any, Bool, Choice, Duration, Integer, List, Map, Path, Section, Text, Word};
use super::{Key, Kind, key};

const LEVELS: Kind = Word(&["error", "warn", "info", "debug"]);

pub(super) const LOG: Key = key(
    "log",
    Section(&[
        key("level", LEVELS)
            .default("info")
            .remark("The least level of lines that are written."),
        key("formatter", Word(&["text", "json", "logstash"]))
            .default("text")
            .remark("The form of lines on standard output."),
        key("fields", Map(&Text)).remark("Added to every line."),
        key(
            "accesslog",
            Section(&[key("disabled", Bool)
                .default("false")
                .remark("Leave out the line for each request.")]),
        ),
        key("reportcaller", Bool).ignored("wharf's lines don't name places in its source"),
        key(
            "hooks",
            List(&Section(&[
                key("type", Text),
                key("disabled", Bool),
                key("levels", List(&Text)),
                key(
                    "options",
                    Section(&[
                        key(
                            "smtp",
                            Section(&[
                                key("addr", Text),
                                key("username", Text),
                                key("password", Text).secret(),
                                key("insecure", Bool),
                            ]),
                        ),
                        key("from", Text),
                        key("to", List(&Text)),
                    ]),
                )
                .variable("MAILOPTIONS"),
            ])),
        )
        .ignored("wharf doesn't send mail; let what collects the log do it"),
    ]),
);

pub(super) const LOGLEVEL: Key =
    key("loglevel", LEVELS).remark("The old name of `log.level`, which comes before it.");

pub(super) const AUTH: Key = key(
    "auth",
    Choice(&[
        key(
            "htpasswd",
            Section(&[
                key("realm", Text).remark("Required. What a client is told that it logs in to."),
                key("path", Path).remark("Required. The file of users; reread when it changes, made with a random password when it isn't there."),
            ]),
        ),
        key(
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
        .refused("wharf doesn't check tokens, and without that everybody could push; use `htpasswd`"),
        key("silly", Section(&[key("realm", Text), key("service", Text)]))
            .refused("it lets everybody in who sends any login at all; use `htpasswd`"),
        key("none", Section(&[])).remark("Everybody may do everything, as without `auth`."),
    ]),
)
.remark("At most one type; without one, everybody may do everything.");

pub(super) const MIDDLEWARE: Key = key(
    "middleware",
    Section(&[
        key("registry", MIDDLEWARES).refused(
            "wharf has no such middleware, and it may be what keeps somebody out; remove it",
        ),
        key("repository", MIDDLEWARES).refused(
            "wharf has no such middleware, and it may be what keeps somebody out; remove it",
        ),
        key("storage", MIDDLEWARES)
            .ignored("it only changes from where blobs are pulled, and wharf serves them itself"),
    ]),
);

const MIDDLEWARES: Kind = List(&Section(&[
    key("name", Text),
    key("disabled", Bool),
    key("options", Any),
]));

pub(super) const NOTIFICATIONS: Key = key(
    "notifications",
    Section(&[
        key("events", Section(&[key("includereferences", Bool)])).variable("EVENTCONFIG"),
        key(
            "endpoints",
            List(&Section(&[
                key("name", Text),
                key("disabled", Bool),
                key("url", Text),
                key("headers", Map(&List(&Text))),
                key("timeout", Duration),
                key("threshold", Integer),
                key("backoff", Duration),
                key("ignoredmediatypes", List(&Text)),
                key(
                    "ignore",
                    Section(&[key("mediatypes", List(&Text)), key("actions", List(&Text))]),
                ),
            ])),
        ),
    ]),
)
.ignored("wharf doesn't send events");

pub(super) const REDIS: Key = key(
    "redis",
    Section(&[
        key("addrs", List(&Text)),
        key("addr", Text),
        key("clientname", Text),
        key("db", Integer),
        key("protocol", Integer),
        key("username", Text),
        key("password", Text).secret(),
        key("sentinelusername", Text),
        key("sentinelpassword", Text).secret(),
        key("maxretries", Integer),
        key("minretrybackoff", Duration),
        key("maxretrybackoff", Duration),
        key("dialtimeout", Duration),
        key("readtimeout", Duration),
        key("writetimeout", Duration),
        key("contexttimeoutenabled", Bool),
        key("poolfifo", Bool),
        key("poolsize", Integer),
        key("pooltimeout", Duration),
        key("minidleconns", Integer),
        key("maxidleconns", Integer),
        key("maxactiveconns", Integer),
        key("connmaxidletime", Duration),
        key("connmaxlifetime", Duration),
        key("maxredirects", Integer),
        key("readonly", Bool),
        key("routebylatency", Bool),
        key("routerandomly", Bool),
        key("mastername", Text),
        key("disableidentity", Bool),
        key("identitysuffix", Text),
        key("unstableresp3", Bool),
        key(
            "tls",
            Section(&[
                key("certificate", Path),
                key("key", Path),
                key("rootcas", List(&Path)),
                key("clientcas", List(&Path)),
                key("enabled", Bool),
            ]),
        ),
        key(
            "pool",
            Section(&[
                key("maxidle", Integer),
                key("maxactive", Integer),
                key("idletimeout", Duration),
            ]),
        ),
    ]),
)
.ignored("wharf needs no cache beside the volume");

pub(super) const HEALTH: Key = key(
    "health",
    Section(&[
        key(
            "storagedriver",
            Section(&[
                key("enabled", Bool)
                    .default("false")
                    .remark("Check that the volume can be read."),
                key("interval", Duration)
                    .default("10s")
                    .remark("The time between two checks."),
                key("threshold", Integer)
                    .default("0")
                    .remark("Unhealthy after so many failures in a row; 0 and 1 are the first."),
            ]),
        ),
        key(
            "file",
            List(&Section(&[
                key("file", Path).remark("Required. Unhealthy while it exists."),
                key("interval", Duration).default("10s"),
            ])),
        )
        .variable("FILECHECKERS"),
        key(
            "http",
            List(&Section(&[
                key("uri", Text),
                key("statuscode", Integer),
                key("headers", Map(&List(&Text))),
                key("timeout", Duration),
                key("interval", Duration),
                key("threshold", Integer),
            ])),
        )
        .variable("HTTPCHECKERS")
        .ignored(
            "wharf makes no requests of its own; check the other service with what watches it",
        ),
        key(
            "tcp",
            List(&Section(&[
                key("addr", Text).remark(
                    "Required, `host:port`. Unhealthy while nobody accepts connections there.",
                ),
                key("timeout", Duration).default("5s"),
                key("interval", Duration).default("10s"),
                key("threshold", Integer).default("0"),
            ])),
        )
        .variable("TCPCHECKERS"),
    ]),
)
.remark("While one of these checks fails, every request is answered with 503.");

pub(super) const CATALOG: Key = key(
    "catalog",
    Section(&[key("maxentries", Integer)
        .default("1000")
        .remark("The most repositories in one answer.")]),
);

pub(super) const TAGS: Key = key(
    "tags",
    Section(&[key("maxtags", Integer)
        .default("1000")
        .remark("The most tags in one answer to a request with `n`.")]),
);

pub(super) const PROXY: Key = key(
    "proxy",
    Section(&[
        key("remoteurl", Text)
            .refused("wharf is no pull-through cache, and what was a read-only cache would become a registry that takes pushes; remove `proxy`"),
        key("username", Text).ignored("it belongs to `proxy.remoteurl`"),
        key("password", Text).secret().ignored("it belongs to `proxy.remoteurl`"),
        key("exec", Section(&[key("command", Text), key("lifetime", Duration)]))
            .ignored("it belongs to `proxy.remoteurl`"),
        key("ttl", Duration).ignored("it belongs to `proxy.remoteurl`"),
        key("cachewritetimeout", Duration).ignored("it belongs to `proxy.remoteurl`"),
    ]),
);

pub(super) const VALIDATION: Key = key(
    "validation",
    Section(&[
        key("disabled", Bool)
            .default("false")
            .remark("Accept manifests whose parts are missing."),
        key("enabled", Bool).ignored("validation is on unless `validation.disabled` says otherwise"),
        key(
            "manifests",
            Section(&[
                key(
                    "urls",
                    Section(&[
                        key("allow", List(&Text))
                            .remark("Regular expressions: the URLs of foreign layers must match one. Without `allow` and `deny`, layers with URLs are refused."),
                        key("deny", List(&Text))
                            .remark("Regular expressions: URLs that match one are refused."),
                    ]),
                ),
                key(
                    "indexes",
                    Section(&[
                        key("platforms", Word(&["all", "none", "list"]))
                            .default("all")
                            .remark("Which children of an index must exist."),
                        key(
                            "platformlist",
                            List(&Section(&[
                                key("architecture", Text).remark("`amd64`, `arm64`, …"),
                                key("os", Text).remark("`linux`, `windows`, …"),
                            ])),
                        )
                        .remark("Only with `platforms: list`."),
                    ]),
                ),
            ]),
        ),
    ]),
);

pub(super) const POLICY: Key = key(
    "policy",
    Section(&[key(
        "repository",
        Section(&[key("classes", List(&Text)).refused(
            "wharf accepts every kind of content, also those that `classes` leaves out; remove it",
        )]),
    )]),
);

pub(super) const COMPATIBILITY: Key = key(
    "compatibility",
    Section(&[key(
        "schema1",
        Section(&[
            key("enabled", Bool),
            key("signingkeyfile", Path),
            key("trustkey", Path),
        ]),
    )]),
)
.ignored(
    "docker's schema 1 is refused, as in registry:3; push such images again with a current docker",
);

pub(super) const REPORTING: Key = key(
    "reporting",
    Section(&[
        key(
            "bugsnag",
            Section(&[
                key("apikey", Text).secret(),
                key("releasestage", Text),
                key("endpoint", Text),
            ]),
        ),
        key(
            "newrelic",
            Section(&[
                key("licensekey", Text).secret(),
                key("name", Text),
                key("verbose", Bool),
            ]),
        ),
    ]),
)
.ignored("wharf reports to nobody; registry:3 doesn't either");
