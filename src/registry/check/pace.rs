//! How fast a check reads: a rate in bytes per second, and whoever reads waits
//! for its turn.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes per second, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u64);

/// The string is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rate; write bytes per second with a unit, such as `20MiB`, `500KB` or `1GiB`")]
pub struct InvalidRate(String);

impl Rate {
    /// Bytes per second.
    pub const fn new(bytes: u64) -> Self {
        Self(if bytes == 0 { 1 } else { bytes })
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let refused = || InvalidRate(text.chars().take(100).collect());
        let bare = text.trim().strip_suffix("/s").unwrap_or(text.trim());
        let end = bare
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(bare.len());
        let (number, unit) = bare.split_at(end);
        let number: u64 = number.parse().map_err(|_| refused())?;
        let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(refused()),
        };
        match number.checked_mul(unit) {
            Some(bytes) if bytes > 0 => Ok(Self(bytes)),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
            .into_iter()
            .find(|(unit, _)| self.0.is_multiple_of(*unit))
            .unwrap_or((1, "B"));
        write!(formatter, "{}{name}", self.0 / unit)
    }
}

/// Keeps all readers together to one rate.
pub(super) struct Pace {
    rate: Option<Rate>,
    /// When the next byte may be read.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            next: Mutex::new(None),
        }
    }

    /// Waits until `bytes` that were just read fit the rate.
    pub(super) async fn took(&self, bytes: usize) {
        let Some(Rate(rate)) = self.rate else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let until = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let until = next.map_or(now, |next| next.max(now)) + cost;
            *next = Some(until);
            until
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        for (text, bytes, shown) in [
            ("20MiB", 20 << 20, "20MiB"),
            ("50M", 50 << 20, "50MiB"),
            ("1 GiB/s", 1 << 30, "1GiB"),
            ("500kb", 500_000, "500000B"),
            ("4096", 4096, "4KiB"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate, rate.to_string().as_str()), (Rate(bytes), shown));
        }
        for text in [
            "",
            "0",
            "MiB",
            "1.5MiB",
            "-1",
            "20TiBs",
            "99999999999999999999",
            "99999999999GiB",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn all_readers_keep_to_one_rate() {
        let pace = Pace::new(Some(Rate(20_000)));
        let begun = Instant::now();
        futures_util::future::join_all((0..4).map(|_| pace.took(1000))).await;
        assert!(begun.elapsed() >= Duration::from_millis(200));
        // A tebibyte, at once.
        Pace::new(None).took(1 << 40).await;
    }
}
