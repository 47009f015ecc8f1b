//! `limits`: what one client may send, hold and ask for. wharf's own section;
//! docs/limits.md says what happens beyond each.

use super::Kind::{Duration, Integer, Section, Size, Text};
use super::{Key, key};

pub(super) const LIMITS: Key = key(
    "limits",
    Section(&[
        key("manifestsize", Size)
            .default("4MiB")
            .within("64KiB", "8MiB")
            .remark("A manifest. Clients count on 4 MB."),
        key("manifestdepth", Integer)
            .default("64")
            .within("8", "100")
            .remark("Levels of JSON in a manifest."),
        key("descriptors", Integer)
            .default("10000")
            .within("100", "50000")
            .remark("Layers of a manifest, or children of an index."),
        key("tagsperrequest", Integer)
            .default("100")
            .within("1", "1000")
            .remark("`?tag=` of one PUT of a manifest."),
        key("taglist", Integer)
            .default("100000")
            .within("100", "1000000")
            .remark("Tags in one answer to a request without `n`; `tags.maxtags` is for those with it."),
        key("referrers", Integer)
            .default("1000")
            .within("10", "10000")
            .remark("Referrers in one answer, which has 3 MiB at most."),
        key("ranges", Integer)
            .default("256")
            .within("1", "1000")
            .remark("Ranges of one GET; whoever wants more gets the whole."),
        key("queryparameters", Integer)
            .default("4096")
            .within("100", "10000")
            .remark("Parameters of a query."),
        key("mountsearch", Integer)
            .default("10000")
            .within("0", "1000000")
            .remark("Repositories that a mount without `from` asks for the blob."),
        key("uploadsperuser", Integer)
            .default("256")
            .within("0", "1000000")
            .remark("Uploads that one user, or one address without a login, has open in one process; 0 is any number."),
        key("uploadwait", Duration)
            .default("5s")
            .within("0s", "1m")
            .remark("How long a request waits for another that writes to its upload."),
        key("freespace", Text)
            .default("auto")
            .remark("What must be left on the volume for new pushes: `auto` (256 MiB or 5 %, whichever is less), a size (`1GiB`), hundredths of the volume (`10%`), or 0 for nothing."),
        key("loginqueue", Integer)
            .default("64")
            .within("1", "10000")
            .remark("Passwords that wait to be checked, beside one per core that is."),
        key("loginsperaddress", Integer)
            .default("60")
            .within("0", "1000000")
            .remark("Wrong passwords from one address at once, and in a minute, before further logins from there wait; 0 is any number."),
        key("loginsperuser", Integer)
            .default("60")
            .within("0", "1000000")
            .remark("Wrong passwords for one user, before logins from addresses that the user didn't come from lately wait; 0 is any number."),
        key("headersize", Size)
            .default("64KiB")
            .within("8KiB", "192KiB")
            .remark("The head of a request."),
        key("headers", Integer)
            .default("100")
            .within("32", "1000")
            .remark("Fields in the head of a request of HTTP/1."),
        key("handshaketimeout", Duration)
            .default("10s")
            .within("1s", "5m")
            .remark("For a TLS handshake."),
        key("headertimeout", Duration)
            .default("15s")
            .within("1s", "5m")
            .remark("For the head of a request."),
        key("idletimeout", Duration)
            .default("75s")
            .within("1s", "1h")
            .remark("How long a connection stays open without a request."),
        key("bodytimeout", Duration)
            .default("60s")
            .within("1s", "1h")
            .remark("How long a request's body may pause."),
        key("bodygrace", Duration)
            .default("30s")
            .within("0s", "1h")
            .remark("How long is waited in all for a request's body before `bodyrate` is asked for."),
        key("bodyrate", Size)
            .default("1KiB")
            .within("0", "1GiB")
            .remark("What must come of a request's body in each second that is waited for it."),
        key("answertimeout", Duration)
            .default("75s")
            .within("1s", "1h")
            .remark("How long a client may take nothing of its answers."),
        key("connections", Integer)
            .default("16384")
            .within("16", "1000000")
            .remark("Open connections, or half as many as files may be open, if that is less."),
        key("connectionsperaddress", Integer)
            .default("4096")
            .within("1", "1000000")
            .remark("Those from one address; an IPv6 /64 is one, and so is a proxy."),
        key("streams", Integer)
            .default("128")
            .within("1", "10000")
            .remark("Requests at once on one connection of HTTP/2."),
        key("resets", Integer)
            .default("1000")
            .within("10", "1000000")
            .remark("Requests of HTTP/2 that a connection may abandon in a minute."),
    ]),
)
.remark("wharf's own section. Sizes are bytes, or have a unit: `KiB`, `MiB`, `GiB`. From `headersize` on, a change takes a restart.");
