//! `limits`: the schema, what is read, and docs/limits.md say the same.

use super::super::schema::{Kind, ROOT};
use super::{MINIMAL, config, told};

/// The rows of docs/limits.md with a key: the key and its default.
fn page() -> Vec<(String, String)> {
    let page = include_str!("../../../docs/limits.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let code = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
        match cells.as_slice() {
            [_, _, key, default, _, _] => Some((code(key)?, code(default)?)),
            _ => None,
        }
    });
    rows.collect()
}

/// The keys of the section.
fn keys() -> &'static [super::super::schema::Key] {
    ROOT.key("limits").unwrap().kind.keys()
}

#[test]
fn the_page_has_each_key_and_its_default() {
    let mut expected: Vec<(String, String)> = keys()
        .iter()
        .map(|key| (key.name.to_owned(), key.default.to_owned()))
        .collect();
    expected.push(("tags.maxtags".to_owned(), "1000".to_owned()));
    expected.push(("catalog.maxentries".to_owned(), "1000".to_owned()));
    let mut rows = page();
    expected.sort();
    rows.sort();
    assert_eq!(rows, expected);
}

#[test]
fn what_is_no_setting_is_what_the_code_says() {
    let page = include_str!("../../../docs/limits.md");
    for row in [
        format!(
            "| repository name | {} bytes |",
            crate::oci::RepositoryName::MAX_LENGTH
        ),
        format!(
            "| password | 1,024 bytes; {} with bcrypt |",
            crate::auth::htpasswd::hash::BCRYPT_MAX_PASSWORD
        ),
    ] {
        assert!(page.contains(&row), "{row}");
    }
    assert_eq!(crate::auth::password::MAX_LENGTH, 1024);
}

#[test]
fn a_default_that_is_written_down_changes_nothing() {
    let minimal = format!("{:?}", config(MINIMAL, &[]));
    for key in keys() {
        let (name, default) = (key.name, key.default);
        let text = format!("{MINIMAL}limits: {{{name}: {default}}}\n");
        assert_eq!(told(&text, &[]), "", "{name}");
        assert_eq!(format!("{:?}", config(&text, &[])), minimal, "{name}");
    }
}

#[test]
fn each_key_changes_something_within_its_bounds_and_nothing_beyond() {
    // Only a registry with users has logins.
    const USERS: &str =
        "version: 0.1\nstorage: filesystem\nauth: {htpasswd: {realm: r, path: p}}\n";
    let minimal = format!("{:?}", config(USERS, &[]));
    for key in keys() {
        let Some((least, most)) = key.range else {
            assert_eq!(key.name, "freespace");
            continue;
        };
        let name = key.name;
        let with = |value: &str| format!("{USERS}limits: {{{name}: {value}}}\n");
        for value in [least, most] {
            assert_eq!(told(&with(value), &[]), "", "{name}: {value}");
            let changed = format!("{:?}", config(&with(value), &[]));
            assert_ne!(changed, minimal, "{name}: {value}");
        }
        let beyond = match key.kind {
            Kind::Duration => "20000h",
            _ => "9999999999999",
        };
        assert_eq!(
            told(&with(beyond), &[]),
            format!(
                "config.yml:4:{}: limits.{name}: `{beyond}` is out of bounds; write something from `{least}` to `{most}`",
                name.len() + 12
            )
        );
    }
}

#[test]
fn limits_come_from_the_environment_too() {
    let variables = [
        ("REGISTRY_LIMITS_MANIFESTSIZE", "1MiB"),
        ("REGISTRY_LIMITS_FREESPACE", "10%"),
        ("REGISTRY_LIMITS_HEADERTIMEOUT", "3s"),
    ];
    let config = config(MINIMAL, &variables);
    assert_eq!(config.registry.limits.manifest.size, 1 << 20);
    assert_eq!(
        config.registry.limits.free_space,
        crate::storage::Floor::Percent(10)
    );
    assert_eq!(config.limits.head, std::time::Duration::from_secs(3));
}
