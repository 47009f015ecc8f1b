//! `log` and `health`.

use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use super::super::section::Section;
use super::super::values::{address, boolean, number, text, word};
use crate::observe::{health, log};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
/// A check that runs more often keeps a processor busy; `interval: 10`, which
/// counts nanoseconds, does.
const MINIMUM_INTERVAL: Duration = Duration::from_millis(100);
/// registry:2 waits for ever.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const LEVELS: [(&str, Level); 4] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
];

const FORMATS: [(&str, log::Format); 3] = [
    ("text", log::Format::Text),
    ("json", log::Format::Json),
    ("logstash", log::Format::Logstash),
];

/// `log` and the old `loglevel`.
pub(super) fn log(root: &Section<'_>) -> log::Settings {
    let log = root.section("log");
    let legacy = root.read("loglevel", |text| word(&LEVELS, text));
    let level = log.read("level", |text| word(&LEVELS, text));
    let fields = log.section("fields");
    log::Settings {
        level: level.or(legacy).unwrap_or(Level::INFO),
        format: log
            .read("formatter", |text| word(&FORMATS, text))
            .unwrap_or(log::Format::Text),
        fields: fields
            .names()
            .filter_map(|name| Some((name.to_owned(), fields.read(name, text)?)))
            .collect(),
        requests: !log
            .section("accesslog")
            .read("disabled", boolean)
            .unwrap_or(false),
    }
}

/// `health`.
pub(super) fn health(section: &Section<'_>) -> health::Settings {
    let storage = section.section("storagedriver");
    let enabled = storage.read("enabled", boolean).unwrap_or(false);
    let storage = periodic(&storage);
    health::Settings {
        storage: enabled.then_some(storage),
        files: section
            .sections("file")
            .iter()
            .filter_map(|check| {
                let path = check.require("file", text);
                let periodic = periodic(check);
                Some((PathBuf::from(path?), periodic))
            })
            .collect(),
        tcp: section.sections("tcp").iter().filter_map(tcp).collect(),
    }
}

fn tcp(check: &Section<'_>) -> Option<health::TcpCheck> {
    let addr = check.require("addr", address);
    let timeout = check
        .duration("timeout")
        .filter(|timeout| !timeout.is_zero());
    let periodic = periodic(check);
    Some(health::TcpCheck {
        addr: addr?,
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        periodic,
    })
}

/// `interval` and, where there is one, `threshold`.
fn periodic(check: &Section<'_>) -> health::Periodic {
    let interval = check
        .duration("interval")
        .filter(|interval| !interval.is_zero())
        .unwrap_or(DEFAULT_INTERVAL);
    if interval < MINIMUM_INTERVAL {
        check.problem_of("interval", "is too short; write at least `100ms`");
    }
    let threshold = check.read("threshold", |text| {
        let threshold = number(text)?;
        u32::try_from(threshold).map_err(|_| format!("`{text}` is too large"))
    });
    health::Periodic {
        interval,
        threshold: threshold.unwrap_or(0),
    }
}
