//! Who may do what: wharf's own section `access`.

use super::Kind::{List, Map, Path, Strict, Text};
use super::{Key, key};

pub(super) const ACCESS: Key = key(
    "access",
    Strict(&[
        key("groups", Map(&List(&Text)))
            .remark("Groups of users, by name: `dev: [alice, bob]`."),
        key("groupfile", Path)
            .remark("A file with more groups, and more users of these, in Apache's form: `dev: alice bob`. Reread when it changes; the last good one counts while it is broken."),
        key(
            "rules",
            List(&Strict(&[
                key("repositories", List(&Text)).remark("Required. Patterns: `*` stands for any run of characters within a component, `**` as a component for any number of them, `{user}` as a component for the name of the user who asks."),
                key("subjects", List(&Text)).remark("Required. Users, `group:NAME`, `authenticated` (who has logged in) and `anonymous` (who has not). A user with such a name is `user:NAME`."),
                key("actions", List(&Text)).remark("Required. `pull`, `push`, `create` (a push that moves no tag) and `delete`. `[]`: nothing."),
            ])),
        )
        .remark("Required. The first rule that matches both decides; what no rule allows is not allowed."),
    ]),
)
.remark("wharf's own section: who may do what ([access.md](access.md)). Without it, everybody who has logged in may do everything.");
