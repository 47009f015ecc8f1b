//! The files of config/ against the schema, and the schema against what is
//! read.

use super::super::schema::{Kind, ROOT, Verdict};
use super::super::tree::{Node, Value};
use super::super::yaml;
use super::{MINIMAL, REGISTRY_2, config, told};

#[test]
fn the_default_file_has_nothing_to_be_told() {
    let text = include_str!("../../../config/registry.yml");
    assert_eq!(told(text, &[]), "");
    let ours = format!("{:?}", config(text, &[]));
    assert_eq!(ours, format!("{:?}", config(REGISTRY_2, &[])));
}

#[test]
fn the_example_shows_every_honoured_key_with_its_default() {
    let text = include_str!("../../../config/example.yml");
    assert_eq!(told(text, &[]), "");
    let ours = format!("{:?}", config(text, &[]));
    assert_eq!(ours, format!("{:?}", config(MINIMAL, &[])));

    let full = uncommented(text);
    assert_eq!(
        told(&full, &[])
            .lines()
            .map(|line| line.split_once(": ").unwrap().1)
            .collect::<Vec<_>>(),
        [
            "auth.token.autoredirectpath: has no effect without `autoredirect: true`",
            "auth.oidc[0].rootcas: has no effect beside `jwks`: nothing is fetched",
            "validation.manifests.indexes.platformlist: has no effect without `platforms: list`",
            "storage: several drivers (filesystem, s3, gcs, azure); leave one",
            "auth: several types (htpasswd, token); leave one",
        ],
        "{full}"
    );
    let root = yaml::parse(&"example".into(), &full).unwrap();
    let mut missing = Vec::new();
    honoured(&ROOT, "", &mut |path, default| match written(&root, path) {
        _ if path == "auth.none" || path.starts_with("storage.s3aws.") => {}
        None => missing.push(path.to_owned()),
        Some(value) if default.is_empty() || value == default => {}
        Some(value) => missing.push(format!("{path} is {value}, not {default}")),
    });
    assert_eq!(missing, [""; 0]);
}

/// Every honoured key is read as what the schema says: a value that can't be
/// is a problem there.
#[test]
fn every_honoured_key_is_read() {
    honoured(&ROOT, "", &mut |path, _| {
        let mut kind = &ROOT;
        let mut text = String::new();
        let mut closing = String::new();
        for part in path.split('.') {
            let name = part.trim_end_matches("[]");
            kind = &kind.key(name).unwrap().kind;
            text.push_str(&format!("{{{name}: "));
            closing.insert(0, '}');
            if part.ends_with("[]") {
                let Kind::List(inner) = kind else {
                    panic!("{path}")
                };
                kind = inner;
                text.push('[');
                closing.insert(0, ']');
            }
        }
        if matches!(kind, Kind::Section(_) | Kind::Choice(_) | Kind::Strict(_)) {
            return;
        }
        let bad = match kind {
            Kind::Map(Kind::List(_)) | Kind::Map(_) => "{a: {b: {c: d}}}",
            _ => "{zzz: {zzz: zzz}}",
        };
        let told = told(&format!("{text}{bad}{closing}"), &[]);
        let path = path.replace("[]", "[0]");
        assert!(
            told.lines()
                .any(|line| !line.starts_with("note") && line.contains(&format!(": {path}"))),
            "{path} is not read: {told}"
        );
    });
}

/// Calls `visit` with the path and the default of each honoured key that takes
/// a value.
fn honoured(kind: &Kind, above: &str, visit: &mut impl FnMut(&str, &str)) {
    for key in kind
        .keys()
        .iter()
        .filter(|key| key.verdict == Verdict::Honoured)
    {
        let path = format!("{above}{}", key.name);
        match key.kind {
            Kind::List(inner) if !inner.keys().is_empty() => {
                honoured(inner, &format!("{path}[]."), visit)
            }
            kind if !kind.keys().is_empty() => honoured(&kind, &format!("{path}."), visit),
            _ => visit(&path, key.default),
        }
    }
}

/// The value at a path as it is written; of lists, the first item's.
fn written(root: &Node, path: &str) -> Option<String> {
    let mut node = root;
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        node = &node.entries().iter().find(|entry| entry.key == name)?.node;
        if part.ends_with("[]") {
            let Value::List(items) = &node.value else {
                return None;
            };
            node = items.first()?;
        }
    }
    match &node.value {
        Value::Scalar(text) => Some(text.clone()),
        _ => Some(String::new()),
    }
}

/// The example with every setting in it.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        match line.trim_start().strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => {
                format!("{}{rest}\n", &line[..indent])
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}
