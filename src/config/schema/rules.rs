//! What is removed by itself and what stays: wharf's own sections `gc`,
//! `retention`, `immutable` and `quotas`.

use super::Kind::{Age, Bool, Integer, List, Size, Strict, Text, Word};
use super::{Key, key};

/// `repositories` of a rule; one pattern may stand without a list.
const REPOSITORIES: Key = key("repositories", List(&Text)).remark("Required. Patterns: `*` stands for any run of characters within a component, `**` as a component for any number of them: `team/**` is everything below `team`, `**` is all.");

pub(super) const GC: Key = key(
    "gc",
    Strict(&[
        key("enabled", Bool)
            .default("false")
            .remark("Whether the server removes by itself what nothing names any more. Without a configuration file it does. No registry:2 may write to the same storage meanwhile."),
        key("interval", Age)
            .default("24h")
            .remark("From the end of one collection to the beginning of the next."),
        key("grace", Age)
            .default("24h")
            .remark("How old content must be before it is removed; `0s` is allowed."),
        key("untagged", Age)
            .default("off")
            .remark("From which age on manifests without a tag are removed, too, unless an index or a subject that stays needs them; or `off`."),
        key("deadafter", Age)
            .default("168h")
            .remark("Only of object stores: a replica's run without a sign of life for so long is taken for dead; or `never`."),
        key("pace", Integer)
            .default("50")
            .remark("How much of the time a collection may work, in percent. From 1 to 100."),
    ]),
)
.remark("wharf's own section: content that nothing names any more is removed.");

pub(super) const RETENTION: Key = key(
    "retention",
    Strict(&[
        key("interval", Age)
            .default("24h")
            .remark("From the end of one application of the rules to the beginning of the next."),
        key(
            "rules",
            List(&Strict(&[
                REPOSITORIES,
                key(
                    "keep",
                    Strict(&[
                        key("newest", Integer)
                            .remark("So many of the newest tags stay."),
                        key("order", Word(&["pushed", "version"]))
                            .default("pushed")
                            .remark("What newest means: the time of the push, or the version that the tag is."),
                        key("pushedwithin", Age)
                            .remark("What was pushed within this time stays."),
                        key("pulledwithin", Age)
                            .remark("What was pulled within this time stays."),
                        key("tags", List(&Text)).remark("Tags that match one of these patterns stay: `*` stands for any run of characters, `?` for one. `\"*\"` keeps all."),
                    ]),
                )
                .remark("Required. A tag stays for any one of these reasons; every other tag goes."),
                key("untagged", Age)
                    .default("off")
                    .remark("From which age on manifests without a tag go, too; or `off`."),
            ])),
        )
        .remark("The first rule that matches a repository decides; where none does, everything stays."),
    ]),
)
.remark("wharf's own section: which tags stay ([retention.md](retention.md)).");

pub(super) const IMMUTABLE: Key = key(
    "immutable",
    List(&Strict(&[
        REPOSITORIES,
        key("tags", List(&Text)).remark("Required. Patterns of the tags that can't be moved or removed: `*` stands for any run of characters, `?` for one. `[]`: every tag may."),
    ])),
)
.remark("wharf's own section ([deletes.md](deletes.md)). The first rule that matches a repository decides.");

pub(super) const QUOTAS: Key = key(
    "quotas",
    List(&Strict(&[
        key("repositories", Text)
            .remark("Required. One repository, all below a name (`team/**`), or all (`**`)."),
        key("size", Size)
            .remark("Required. The most bytes that they hold together."),
    ])),
)
.remark("wharf's own section. The first quota that matches a repository is its own; all repositories that a quota matches share it.");
