//! `log`, `health`, `notifications` and `reporting`: what the outside sees.

use super::Kind::{Bool, Duration, Integer, List, Map, Path, Section, Text, Word};
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

pub(super) const HEALTH: Key = key(
    "health",
    Section(&[
        key(
            "storagedriver",
            Section(&[
                key("enabled", Bool)
                    .default("false")
                    .remark("Check that the storage works."),
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
