//! Words for names that the schema doesn't know: the nearest one that it does.

use super::schema::{Kind, ROOT, Verdict};

/// ``; did you mean `name`?`` or nothing. Looks among the keys of `section`
/// first, then for the same name elsewhere.
pub(super) fn key(name: &str, section: &Kind) -> String {
    let siblings = section.keys().iter().map(|key| key.name.to_owned());
    nearest(name, siblings)
        .or_else(|| elsewhere(name))
        .map_or_else(String::new, did_you_mean)
}

/// ``; did you mean `REGISTRY_…`?`` or nothing.
pub(super) fn variable(name: &str) -> String {
    let mut names = Vec::new();
    variables(&ROOT, "REGISTRY", &mut names);
    let upper = name.to_ascii_uppercase();
    nearest(&upper, names.into_iter()).map_or_else(String::new, did_you_mean)
}

fn did_you_mean(name: String) -> String {
    format!("; did you mean `{name}`?")
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    // One slip in a short word, two in an ordinary one.
    let bound = match name.chars().count() {
        0..=2 => return None,
        // No name is so long, and comparing takes the product of both lengths.
        101.. => return None,
        3..=4 => 1,
        5..=12 => 2,
        _ => 3,
    };
    let lower = name.to_lowercase();
    known
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The path of an honoured key of this very name.
fn elsewhere(name: &str) -> Option<String> {
    fn find(kind: &Kind, path: &str, name: &str) -> Option<String> {
        kind.keys()
            .iter()
            .filter(|key| key.verdict == Verdict::Honoured)
            .find_map(|key| {
                let path = format!("{path}{}", key.name);
                if key.name.eq_ignore_ascii_case(name) {
                    Some(path)
                } else {
                    find(&key.kind, &format!("{path}."), name)
                }
            })
    }
    find(&ROOT, "", name)
}

/// The variable of every key, with 0 as the index of lists.
fn variables(kind: &Kind, path: &str, names: &mut Vec<String>) {
    match kind {
        Kind::List(inner) => variables(inner, &format!("{path}_0"), names),
        Kind::Map(inner) => variables(inner, path, names),
        _ => {
            for key in kind.keys() {
                let part = key.variable.unwrap_or(key.name).to_ascii_uppercase();
                let path = format!("{path}_{part}");
                if key.secret {
                    names.push(format!("{path}_FILE"));
                }
                variables(&key.kind, &path, names);
                names.push(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key() {
        assert_eq!(key("htttp", &ROOT), "; did you mean `http`?");
        assert_eq!(key("Storage", &ROOT), "; did you mean `storage`?");
        assert_eq!(key("auht", &ROOT), "; did you mean `auth`?");
        assert_eq!(
            key("rootdirectory", &ROOT),
            "; did you mean `storage.filesystem.rootdirectory`?"
        );
        assert_eq!(key("letsencript", &ROOT), "");
        assert_eq!(key("x", &ROOT), "");
    }

    #[test]
    fn a_slip_finds_its_variable() {
        assert_eq!(
            variable("REGISTRY_HTTP_TLS_CERTFICATE"),
            "; did you mean `REGISTRY_HTTP_TLS_CERTIFICATE`?"
        );
        assert_eq!(
            variable("REGISTRY_HTP_SECRET_FILE"),
            "; did you mean `REGISTRY_HTTP_SECRET_FILE`?"
        );
        assert_eq!(
            variable("REGISTRY_HEALTH_FILECHECKER_0_FILE"),
            "; did you mean `REGISTRY_HEALTH_FILECHECKERS_0_FILE`?"
        );
        assert_eq!(variable("REGISTRY_SOMETHING_ELSE_ALTOGETHER"), "");
    }
}
