//! Whatever stands in a key that holds a secret, no message and no `Debug`
//! repeats it (CVE-2025-48374 of zot: a client's secret in the log).

use std::path::Path;

use super::super::Config;
use super::super::schema::{Key, Kind, ROOT};
use super::MINIMAL;

const CANARY: &str = "canary-c0ffee";

#[test]
fn no_secret_is_repeated_right_or_wrong() {
    let mut seen = 0;
    secrets(&ROOT, "", "", &mut |opening, closing| {
        seen += 1;
        // A plain one, one with what YAML minds, and what is no value at all.
        for value in [
            CANARY.to_owned(),
            format!("\"{CANARY}\\n: {{\""),
            format!("[{CANARY}, {CANARY}]"),
            format!("{{{CANARY}: {CANARY}}}"),
        ] {
            for base in [MINIMAL, "version: 0.1\n"] {
                let text = format!("{base}{opening}{value}{closing}\n");
                let said = match Config::load(Path::new("c.yml"), &text, std::iter::empty()) {
                    Ok(loaded) => {
                        let notes = loaded.notes.iter().map(ToString::to_string);
                        format!("{:?} {}", loaded.config, notes.collect::<String>())
                    }
                    Err(problems) => format!("{problems} {problems:?}"),
                };
                assert!(!said.contains(CANARY), "{text}\n{said}");
            }
        }
    });
    assert!(seen >= 10, "only {seen} keys hold secrets");
}

/// Calls `visit` with what stands before and behind the value of each key that
/// holds a secret.
fn secrets(kind: &Kind, opening: &str, closing: &str, visit: &mut impl FnMut(&str, &str)) {
    for Key {
        name, kind, secret, ..
    } in kind.keys()
    {
        // The outermost stands as a block, so that it can follow another.
        let (before, behind) = match opening {
            "" => (format!("{name}: "), String::new()),
            _ => (format!("{opening}{{{name}: "), format!("}}{closing}")),
        };
        if *secret {
            visit(&before, &behind);
        }
        match kind {
            Kind::List(inner) => {
                secrets(inner, &format!("{before}["), &format!("]{behind}"), visit);
            }
            Kind::Map(inner) => {
                let (before, behind) = (format!("{before}{{x: "), format!("}}{behind}"));
                secrets(inner, &before, &behind, visit);
            }
            kind => secrets(kind, &before, &behind, visit),
        }
    }
}
