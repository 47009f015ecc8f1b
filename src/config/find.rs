//! Which file is meant.

use std::path::{Path, PathBuf};

/// Where the images of registry:3 and registry:2 keep their file.
const STANDARD: [&str; 2] = [
    "/etc/distribution/config.yml",
    "/etc/docker/registry/config.yml",
];

/// The file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// The path that was asked for, if another one is taken for it. Tell the
    /// operator.
    pub instead_of: Option<PathBuf>,
}

/// The configuration file: the argument of `serve`, else the value of
/// `REGISTRY_CONFIGURATION_PATH`, else none.
///
/// If it is one of the two standard paths and isn't there while the other one
/// is, the other one is taken: images say `serve /etc/distribution/config.yml`,
/// and people mount at the path of registry:2.
pub fn find(argument: Option<&Path>, variable: Option<&str>) -> Option<Found> {
    choose(argument, variable, Path::exists)
}

fn choose(
    argument: Option<&Path>,
    variable: Option<&str>,
    exists: impl Fn(&Path) -> bool,
) -> Option<Found> {
    let variable = variable.filter(|path| !path.is_empty()).map(Path::new);
    let asked = argument.or(variable)?;
    let standard = STANDARD.iter().any(|path| Path::new(path) == asked);
    let other = STANDARD
        .iter()
        .map(Path::new)
        .find(|path| standard && *path != asked && !exists(asked) && exists(path));
    Some(match other {
        Some(other) => Found {
            path: other.to_owned(),
            instead_of: Some(asked.to_owned()),
        },
        None => Found {
            path: asked.to_owned(),
            instead_of: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(argument: Option<&str>, variable: Option<&str>, there: &[&str]) -> Option<String> {
        let found = choose(argument.map(Path::new), variable, |path| {
            there.iter().any(|known| Path::new(known) == path)
        })?;
        Some(match found.instead_of {
            Some(asked) => format!("{} for {}", found.path.display(), asked.display()),
            None => found.path.display().to_string(),
        })
    }

    #[test]
    fn the_argument_comes_before_the_variable() {
        assert_eq!(chosen(None, None, &[]), None);
        assert_eq!(chosen(None, Some(""), &[]), None);
        assert_eq!(chosen(None, Some("b.yml"), &[]).as_deref(), Some("b.yml"));
        assert_eq!(
            chosen(Some("a.yml"), Some("b.yml"), &[]).as_deref(),
            Some("a.yml")
        );
    }

    #[test]
    fn a_file_at_the_other_standard_path_is_found() {
        let [three, two] = STANDARD;
        assert_eq!(
            chosen(Some(three), None, &[three, two]).as_deref(),
            Some(three)
        );
        assert_eq!(
            chosen(Some(three), None, &[two]),
            Some(format!("{two} for {three}"))
        );
        assert_eq!(
            chosen(Some(two), None, &[three]),
            Some(format!("{three} for {two}"))
        );
        assert_eq!(chosen(Some(two), None, &[]).as_deref(), Some(two));
        assert_eq!(
            chosen(Some("x.yml"), None, &[two]).as_deref(),
            Some("x.yml")
        );
    }
}
