//! What is accepted, and what stands beside a registry: caches, upstreams,
//! middleware.

use super::Kind::{Any, Bool, Duration, Integer, List, Path, Section, Text, Word};
use super::{Key, Kind, key};

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
            .ignored("it only changes from where blobs are pulled, and that is wharf or its store"),
    ]),
);

const MIDDLEWARES: Kind = List(&Section(&[
    key("name", Text),
    key("disabled", Bool),
    key("options", Any),
]));

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
.ignored("wharf needs no cache beside the storage");

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
                            .remark("Regular expressions: the URLs of foreign layers must match one. Without it all are accepted (registry:2 refuses all)."),
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
