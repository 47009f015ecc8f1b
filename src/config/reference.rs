//! docs/configuration.md, made from the schema so that it can't lag behind.

use std::fmt::Write as _;

use super::schema::{Key, Kind, ROOT, Verdict};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from src/config/schema by `WHARF_UPDATE_DOCS=1 cargo test --lib config`. -->

`wharf serve CONFIG` reads registry:2's and registry:3's `config.yml`
(`version: 0.1`). Without the argument it reads the file that
`REGISTRY_CONFIGURATION_PATH` names; without that one, too, it starts with its
embedded settings: TLS, one user, data in `./wharf-data`.
`wharf config check CONFIG` tells everything that is wrong in file and
environment, and exits with 0, or with 78 if the registry would not start with
them. It doesn't open the certificates, users, volume and bucket that they name:
`wharf doctor CONFIG --storage` does that with the storage.

`config/registry.yml` is registry:2's default, `config/example.yml` shows every
key that is honoured.

## What happens to a key

- **honoured**: it does what it does in registry:2.
- **ignored**: it has no effect, which is harmless; a line at start says so.
- **refused**: the registry does not start, because without the key it would be
  less safe or would serve something else. Everything below such a key shares
  its fate, and an empty value is the same as no key.

An unknown key is a line at start with its place and the nearest known name, as
registry:2 ignores such keys without a word. Directly below `storage` and
`auth`, and in `access`, `gc`, `retention`, `immutable` and `quotas`, it is an error, and
so is every value that can't be what it says. A key that
stands twice is an error, too.

Booleans are YAML 1.1's: `true`, `yes` and `on`, `false`, `no` and `off`.
Durations are Go's: `300ms`, `10s`, `1h30m`; a number alone counts nanoseconds.
Ages, in wharf's own sections, are durations with a unit or whole days: `12h`,
`30d`.

## Environment

Every key can be set by a variable: `REGISTRY_` and the path in capitals, with
`_` between its parts. Items of lists have their index, from 0; the index after
the last one adds an item. The value is read as YAML, and comes before that of
the file:

    REGISTRY_HTTP_ADDR=:5001
    REGISTRY_HTTP_TLS_CLIENTCAS_0=/etc/wharf/ca.pem
    REGISTRY_HTTP_HEADERS_X-Content-Type-Options='[nosniff]'
    REGISTRY_STORAGE_DELETE_ENABLED=true

`REGISTRY_AUTH=htpasswd` and `REGISTRY_STORAGE=filesystem` alone select a type;
they take the place of the whole section of the file. A variable without a
value unsets its key, with a line at start; one that would unset a whole section
of the file is an error.

As in registry:2, `health.file`, `health.http` and `health.tcp` are
`REGISTRY_HEALTH_FILECHECKERS`, `…_HTTPCHECKERS` and `…_TCPCHECKERS`,
`notifications.events` is `REGISTRY_NOTIFICATIONS_EVENTCONFIG`, and the
`options` of `log.hooks` are `MAILOPTIONS`.

Variables that Kubernetes or docker set for a service named `registry`
(`REGISTRY_PORT_5000_TCP` and its like) are left alone.

## Secrets

For each key that is marked *secret* below, a variable with `_FILE` at its end
names a file with the value, as with docker's and Kubernetes's secrets:
`REGISTRY_STORAGE_S3_SECRETKEY_FILE=/run/secrets/s3`. One line break at the end of the
file does not count. To set both variables is an error.

## Keys
";

/// The whole of docs/configuration.md.
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for key in ROOT.keys() {
        // Writing into a string can't fail.
        let _ = write!(page, "\n### {}\n\n", key.name);
        page.push_str("| key | type | default | | remark |\n|---|---|---|---|---|\n");
        rows(&mut page, key, "", None);
    }
    page
}

fn rows(page: &mut String, key: &Key, above: &str, inherited: Option<Verdict>) {
    let path = format!("{above}{}", key.name);
    let verdict = inherited.unwrap_or(key.verdict);
    let default = match key.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let _ = writeln!(
        page,
        "| `{path}` | {} | {default} | {} | {} |",
        key.kind.describe(),
        word(verdict),
        remark(key, inherited)
    );
    let below = match verdict {
        Verdict::Honoured => None,
        fate => Some(fate),
    };
    let (keys, above) = match key.kind {
        Kind::List(inner) => (inner.keys(), format!("{path}[].")),
        kind => (kind.keys(), format!("{path}.")),
    };
    for key in keys {
        rows(page, key, &above, below);
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Honoured => "honoured",
        Verdict::Ignored(_) => "ignored",
        Verdict::Refused(_) => "refused",
    }
}

fn remark(key: &Key, inherited: Option<Verdict>) -> String {
    let mut remark = match key.verdict {
        Verdict::Ignored(reason) | Verdict::Refused(reason) if inherited.is_none() => {
            format!("Because {reason}.")
        }
        _ => key.remark.to_owned(),
    };
    if let Some((least, most)) = key.range {
        let _ = write!(remark, " From {least} to {most}.");
    }
    if key.secret {
        remark.push_str(if remark.is_empty() {
            "*secret*"
        } else {
            " *secret*"
        });
    }
    remark
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_docs_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        if std::env::var_os("WHARF_UPDATE_DOCS").is_some() {
            std::fs::write(&path, reference()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page == reference(),
            "docs/configuration.md lags behind; run `WHARF_UPDATE_DOCS=1 cargo test --lib config`"
        );
    }
}
