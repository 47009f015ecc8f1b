//! `limits`, whose defaults and bounds stand in the schema.

use super::super::schema::{Key, ROOT};
use super::super::section::Section;
use super::super::values::{duration, floor, number, size};
use crate::auth::backoff;
use crate::{http, oci, registry, server};

/// The registry's part.
pub(super) fn registry(limits: &Section<'_>) -> registry::Limits {
    let defaults = registry::Limits::default();
    let manifest = defaults.manifest;
    registry::Limits {
        manifest: oci::Bounds {
            size: read(limits, "manifestsize", size, manifest.size),
            depth: read(limits, "manifestdepth", number, manifest.depth),
            descriptors: read(limits, "descriptors", number, manifest.descriptors),
        },
        tags: read(limits, "taglist", number, defaults.tags),
        referrers: read(limits, "referrers", number, defaults.referrers),
        mount_search: read(limits, "mountsearch", number, defaults.mount_search),
        upload_wait: read(limits, "uploadwait", duration, defaults.upload_wait),
        uploads_per_user: read(limits, "uploadsperuser", number, defaults.uploads_per_user),
        free_space: limits
            .read("freespace", floor)
            .unwrap_or(defaults.free_space),
    }
}

/// The wire's part.
pub(super) fn wire(limits: &Section<'_>) -> http::Limits {
    let defaults = http::Limits::default();
    http::Limits {
        tags: read(limits, "tagsperrequest", number, defaults.tags),
        query_parameters: read(limits, "queryparameters", number, defaults.query_parameters),
        ranges: read(limits, "ranges", number, defaults.ranges),
    }
}

/// The part of logins: how many wait.
pub(super) fn login_queue(limits: &Section<'_>) -> usize {
    let default = crate::auth::htpasswd::Settings::QUEUE;
    read(limits, "loginqueue", number, default)
}

/// The part of logins: how many may be wrong.
pub(super) fn backoff(limits: &Section<'_>) -> backoff::Limits {
    let defaults = backoff::Limits::default();
    let small = |name, default: u32| {
        let number = read(limits, name, number, default as usize);
        u32::try_from(number).unwrap_or(default)
    };
    backoff::Limits {
        per_address: small("loginsperaddress", defaults.per_address),
        per_user: small("loginsperuser", defaults.per_user),
    }
}

/// The part of connections.
pub(super) fn server(limits: &Section<'_>) -> server::Limits {
    let defaults = server::Limits::default();
    let time = |name, default| read(limits, name, duration, default);
    let count = |name, default| read(limits, name, number, default);
    let small = |name, default: u32| {
        let number = read(limits, name, number, default as usize);
        u32::try_from(number).unwrap_or(default)
    };
    server::Limits {
        connections: count("connections", defaults.connections),
        per_address: count("connectionsperaddress", defaults.per_address),
        handshake: time("handshaketimeout", defaults.handshake),
        head: time("headertimeout", defaults.head),
        idle: time("idletimeout", defaults.idle),
        body_stall: time("bodytimeout", defaults.body_stall),
        body_grace: time("bodygrace", defaults.body_grace),
        body_rate: read(limits, "bodyrate", size, defaults.body_rate as usize) as u64,
        answer_stall: time("answertimeout", defaults.answer_stall),
        head_bytes: read(limits, "headersize", size, defaults.head_bytes),
        head_fields: count("headers", defaults.head_fields),
        streams: small("streams", defaults.streams),
        resets_per_minute: small("resets", defaults.resets_per_minute),
        certificate_poll: defaults.certificate_poll,
    }
}

/// A value within the bounds that the schema has for it.
fn read<T: PartialOrd>(
    limits: &Section<'_>,
    name: &'static str,
    parse: fn(&str) -> Result<T, String>,
    default: T,
) -> T {
    let value = limits.read(name, |text| {
        let value = parse(text)?;
        let Some((least, most)) = key(name).and_then(|key| key.range) else {
            return Ok(value);
        };
        if value < parse(least)? || value > parse(most)? {
            return Err(format!(
                "`{text}` is out of bounds; write something from `{least}` to `{most}`"
            ));
        }
        Ok(value)
    });
    value.unwrap_or(default)
}

fn key(name: &str) -> Option<&'static Key> {
    ROOT.key("limits")?.kind.key(name)
}
