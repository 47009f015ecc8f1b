//! Scalars into types, by the rules of registry:2's language: Go's durations
//! and YAML 1.1's booleans. Errors say what is accepted.

use std::time::Duration;

use crate::storage::Floor;

/// A boolean as Go's YAML reads it.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Ok(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Ok(false)
        }
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}

/// A whole number that is not negative.
pub(super) fn number(text: &str) -> Result<usize, String> {
    text.replace('_', "")
        .parse()
        .map_err(|_| format!("`{text}` is no number from 0 on"))
}

/// A number of bytes, perhaps with a unit.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let refused = || {
        format!(
            "`{text}` is no size; write a number of bytes, or one with a unit, such as `256MiB`"
        )
    };
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit: usize = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        "TiB" => 1024 * 1024 * 1024 * 1024,
        _ => return Err(refused()),
    };
    let number = number(digits.trim_end()).map_err(|_| refused())?;
    number.checked_mul(unit).ok_or_else(refused)
}

/// What must be left on a volume.
pub(super) fn floor(text: &str) -> Result<Floor, String> {
    let refused = || {
        format!(
            "`{text}` is neither a size nor a part of the volume; write `auto`, `256MiB`, `5%`, or `0` for no floor"
        )
    };
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Floor::Auto);
    }
    match text.strip_suffix('%') {
        None => size(text)
            .map(|bytes| Floor::Bytes(bytes as u64))
            .map_err(|_| refused()),
        Some(percent) => match percent.trim_end().parse() {
            Ok(percent @ 0..=90) => Ok(Floor::Percent(percent)),
            Ok(_) => Err(format!("`{text}` would leave no room; write at most `90%`")),
            Err(_) => Err(refused()),
        },
    }
}

/// Any string.
#[allow(clippy::unnecessary_wraps)] // one of the parsers that a section takes
pub(super) fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// A Go duration that is not negative; a number alone counts nanoseconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let refused = || {
        format!(
            "`{text}` is no duration; write a number with a unit, such as `10s`, `5m` or `1h30m`"
        )
    };
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if let Ok(nanoseconds) = unsigned.parse() {
        return Ok(Duration::from_nanos(nanoseconds));
    }
    let mut rest = unsigned;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (part, after) = duration_part(rest).ok_or_else(refused)?;
        total = total.checked_add(part).ok_or_else(refused)?;
        rest = after;
    }
    // Go counts nanoseconds in 63 bits: some 292 years.
    let within = i64::try_from(total.as_nanos()).is_ok();
    (!unsigned.is_empty() && within)
        .then_some(total)
        .ok_or_else(refused)
}

/// A Go duration with a unit, above zero.
pub(super) fn period(text: &str) -> Result<Duration, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "`{text}` has no unit; write `{text}s` or `{text}h`"
        ));
    }
    match duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        period => Ok(period),
    }
}

/// An age or a span of wharf's own rules: whole days, or a Go duration with a
/// unit. Zero is one.
///
/// # Errors
/// What is accepted instead, for people.
pub fn age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 24 * 3600;
    let refused =
        || format!("`{text}` is no time; write a number with a unit, such as `12h` or `30d`");
    if let Some(days) = text.strip_suffix('d') {
        let whole = days.bytes().all(|byte| byte.is_ascii_digit());
        let days: u64 = days.parse().ok().filter(|_| whole).ok_or_else(refused)?;
        // As many as Go's durations hold.
        return (days < 106_752)
            .then(|| Duration::from_secs(days * DAY))
            .ok_or_else(refused);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "`{text}` has no unit; write `{text}h` or `{text}d`"
        ));
    }
    duration(text).map_err(|_| refused())
}

/// An age above zero.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    match age(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        span => Ok(span),
    }
}

/// An age, or nothing where `never` is one of the words for it.
pub(super) fn age_or(never: &[&str], text: &str) -> Result<Option<Duration>, String> {
    if never.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Ok(None);
    }
    age(text).map(Some).map_err(|reason| match never.first() {
        Some(word) => format!("{reason}, or `{word}`"),
        None => reason,
    })
}

/// A part of the time, in percent, with or without the sign.
pub(super) fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    match number.parse() {
        Ok(percent @ 1..=100) => Ok(percent),
        _ => Err(format!(
            "`{text}` is no part of the time; write a number from 1 to 100, in percent"
        )),
    }
}

/// `host:port` or `:port`.
pub(super) fn address(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("`{text}` is not `host:port`; write `:{text}` for every address")
        } else {
            format!("`{text}` is not `host:port`; write `{text}:5000`")
        }
    })?;
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err(format!(
            "`{text}` is not `host:port`; write an IPv6 address in brackets, such as `[::1]:5000`"
        ));
    }
    if host.contains(['/', '@', ' ']) {
        return Err(format!(
            "`{text}` is not `host:port`; leave out everything else"
        ));
    }
    port.parse::<u16>()
        .map_err(|_| format!("`{port}` is no port; write a number from 0 to 65535"))?;
    Ok(text.to_owned())
}

/// One of these words, in any case.
pub(super) fn word<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T, String> {
    let found = words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        format!("`{text}` is none of {}", words.join(", "))
    })
}

/// A number with a fraction, if it likes, and a unit; and what follows.
fn duration_part(text: &str) -> Option<(Duration, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, rest) = text.split_at(end);
    let end = rest
        .find(|character: char| character.is_ascii_digit() || character == '.')
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit: u128 = match unit {
        "ns" => 1,
        // Both of Unicode's micro signs, as in Go.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut nanoseconds = whole.checked_mul(unit)?;
    // No unit has more than 13 decimal places of nanoseconds.
    let fraction = fraction.get(..13).unwrap_or(fraction);
    if !fraction.is_empty() {
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = fraction
            .parse::<u128>()
            .ok()?
            .checked_mul(unit)?
            .checked_div(scale)?;
        nanoseconds = nanoseconds.checked_add(part)?;
    }
    Some((Duration::from_nanos(u64::try_from(nanoseconds).ok()?), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_go_s() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("10", 10),
            ("5s", 5_000_000_000),
            ("30s", 30_000_000_000),
            ("168h", 604_800_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+5s", 5_000_000_000),
            ("10.5s4m", 250_500_000_000),
            ("3m22.5s", 202_500_000_000),
            ("12us", 12_000),
            ("12µs", 12_000),
            ("12μs", 12_000),
            ("11ns", 11),
            ("13ms", 13_000_000),
            ("39h9m14.425s", 140_954_425_000_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_nanos(nanoseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "+",
            "s",
            ".s",
            ".",
            "-5s",
            "5 s",
            "5sec",
            "1d",
            "1.2.3s",
            "3000000h",
            "10s ",
            "s5",
            "99999999999999999999h",
            "１s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_period_has_a_unit_and_a_length() {
        assert_eq!(period("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(
            period("168").unwrap_err(),
            "`168` has no unit; write `168s` or `168h`"
        );
        assert_eq!(period("0s").unwrap_err(), "must be longer than nothing");
    }

    #[test]
    fn an_age_may_be_in_days() {
        for (text, seconds) in [
            ("30d", 2_592_000),
            ("0d", 0),
            ("0s", 0),
            ("12h", 43_200),
            ("1h30m", 5_400),
        ] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "d",
            "1.5d",
            "+1d",
            "-1d",
            "1d12h",
            "30 days",
            "999999999d",
        ] {
            assert_eq!(
                age(text).unwrap_err(),
                format!("`{text}` is no time; write a number with a unit, such as `12h` or `30d`")
            );
        }
        assert_eq!(
            age("30").unwrap_err(),
            "`30` has no unit; write `30h` or `30d`"
        );
        assert_eq!(span("0d").unwrap_err(), "must be longer than nothing");
        assert_eq!(age_or(&["off", "false"], "Off"), Ok(None));
        assert_eq!(
            age_or(&["never"], "30").unwrap_err(),
            "`30` has no unit; write `30h` or `30d`, or `never`"
        );
    }

    #[test]
    fn percents_are_from_1_to_100() {
        assert_eq!(percent("50"), Ok(50));
        assert_eq!(percent("100%"), Ok(100));
        for text in ["0", "101", "", "%", "half", "-1", "50.5"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units_that_mean_one_thing() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("4 MiB", 4 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "4MB", "4mib", "-1", "1.5GiB", "99999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_floor_is_a_size_or_a_part() {
        assert_eq!(floor("auto"), Ok(Floor::Auto));
        assert_eq!(floor("1GiB"), Ok(Floor::Bytes(1 << 30)));
        assert_eq!(floor("5%"), Ok(Floor::Percent(5)));
        assert_eq!(floor("0"), Ok(Floor::Bytes(0)));
        assert_eq!(
            floor("100%").unwrap_err(),
            "`100%` would leave no room; write at most `90%`"
        );
        assert!(floor("some").unwrap_err().contains("write `auto`"));
    }

    #[test]
    fn booleans_are_yaml_1_1_s() {
        assert_eq!(boolean("yes"), Ok(true));
        assert_eq!(boolean("Off"), Ok(false));
        assert_eq!(
            boolean("1").unwrap_err(),
            "`1` is neither `true` nor `false`"
        );
        assert!(boolean("oN").is_err());
    }

    #[test]
    fn addresses_have_a_port() {
        for good in [
            ":5000",
            "localhost:5000",
            "0.0.0.0:0",
            "[::1]:5000",
            "r.example.org:443",
        ] {
            assert_eq!(address(good).as_deref(), Ok(good));
        }
        for (bad, reason) in [
            (
                "5000",
                "`5000` is not `host:port`; write `:5000` for every address",
            ),
            (
                "localhost",
                "`localhost` is not `host:port`; write `localhost:5000`",
            ),
            (
                "::1:5000",
                "`::1:5000` is not `host:port`; write an IPv6 address in brackets, such as `[::1]:5000`",
            ),
            (
                "http://localhost:5000",
                "`http://localhost:5000` is not `host:port`; write an IPv6 address in brackets, such as `[::1]:5000`",
            ),
            (
                "a/b:5",
                "`a/b:5` is not `host:port`; leave out everything else",
            ),
            (
                ":70000",
                "`70000` is no port; write a number from 0 to 65535",
            ),
            (":", "`` is no port; write a number from 0 to 65535"),
        ] {
            assert_eq!(address(bad).unwrap_err(), reason);
        }
    }

    proptest! {
        #[test]
        fn every_duration_comes_back(hours in 0_u64..9999, minutes in 0_u64..60, milliseconds in 0_u64..60_000) {
            let text = format!("{hours}h{minutes}m{}.{:03}s", milliseconds / 1000, milliseconds % 1000);
            let expected = Duration::from_millis((hours * 60 + minutes) * 60_000 + milliseconds);
            prop_assert_eq!(duration(&text), Ok(expected));
        }

        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = duration(&text);
            let _ = period(&text);
            let _ = age(&text);
            let _ = percent(&text);
            let _ = address(&text);
            let _ = number(&text);
        }
    }
}
