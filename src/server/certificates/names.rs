//! The names that a certificate is valid for.

use std::net::IpAddr;

use gethostname::gethostname;

/// The longest DNS name, in bytes.
const MAX_LENGTH: usize = 253;

/// The string is neither a DNS name nor an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be a certificate's name: give a host name such as registry.example.org or an IP address, without port or scheme"
)]
pub struct InvalidName(pub String);

/// What this machine is called by itself: `localhost`, `127.0.0.1`, `::1` and
/// the host name, then `more`; each once.
pub fn default_names(more: &[String]) -> Vec<String> {
    let host = gethostname().to_string_lossy().to_ascii_lowercase();
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let host = canonical(&host).ok();
    let mut names = Vec::new();
    for name in own.into_iter().chain(host).chain(more.iter().cloned()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// All names in one spelling, each once.
pub(super) fn parse(names: &[String]) -> Result<Vec<String>, InvalidName> {
    let mut parsed = Vec::new();
    for name in names {
        let name = canonical(name)?;
        if !parsed.contains(&name) {
            parsed.push(name);
        }
    }
    match parsed.is_empty() {
        true => Err(InvalidName(String::new())),
        false => Ok(parsed),
    }
}

fn canonical(name: &str) -> Result<String, InvalidName> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let lower = name.trim_end_matches('.').to_ascii_lowercase();
    let labels = lower.strip_prefix("*.").unwrap_or(&lower);
    if lower.len() <= MAX_LENGTH && labels.split('.').all(is_label) {
        Ok(lower)
    } else {
        Err(InvalidName(name.to_owned()))
    }
}

/// Underscores are no host names, but people have them in compose files.
fn is_label(label: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len())
        && label.bytes().all(known)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_get_one_spelling() {
        let names = [
            "Reg.Test.",
            "reg.test",
            "[::1]",
            "0:0::1",
            "10.0.0.7",
            "*.example.org",
        ];
        let parsed = parse(&names.map(str::to_owned)).unwrap();
        assert_eq!(parsed, ["reg.test", "::1", "10.0.0.7", "*.example.org"]);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        for name in [
            "",
            ".",
            "a..b",
            "reg.test:5000",
            "https://reg.test",
            "a b",
            "-a",
            "a-",
            "ä",
            "*",
            "a.*",
            &long,
        ] {
            let refused = parse(&[name.to_owned()]);
            assert_eq!(refused, Err(InvalidName(name.to_owned())), "{name:?}");
        }
        assert!(parse(&[]).is_err());
    }

    #[test]
    fn defaults_come_first_and_once() {
        let more = ["reg.test", "localhost"].map(str::to_owned);
        let names = default_names(&more);
        assert_eq!(names.get(..3).unwrap(), ["localhost", "127.0.0.1", "::1"]);
        assert_eq!(names.last().unwrap(), "reg.test");
        assert!(parse(&names).is_ok());
    }

    proptest! {
        #[test]
        fn one_spelling_is_stable(name in "\\PC{0,30}") {
            if let Ok(once) = canonical(&name) {
                prop_assert_eq!(canonical(&once), Ok(once.clone()));
            }
        }
    }
}
