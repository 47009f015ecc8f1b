//! What the kernel says about this process, read from `/proc` when it is asked
//! for. Where there is no `/proc`, these metrics are absent.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Linux counts time for programs in hundredths of a second on every
/// architecture (`USER_HZ`).
const TICKS: f64 = 100.0;

/// The collector.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let system = fs::read_to_string("/proc/stat").unwrap_or_default();
        let mut write = |name, help, unit: Option<Unit>, metric: &dyn EncodeMetric| {
            let encoder =
                encoder.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?;
            metric.encode(encoder)
        };
        if let Some(bytes) = resident_memory(&status) {
            write(
                "process_resident_memory",
                "Resident memory.",
                Some(Unit::Bytes),
                &ConstGauge::new(bytes),
            )?;
        }
        if let Some(seconds) = cpu(&stat) {
            write(
                "process_cpu",
                "Processor time, of the program and of the kernel for it.",
                Some(Unit::Seconds),
                &ConstCounter::new(seconds),
            )?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the listing itself.
            let open = open.count().saturating_sub(1) as u64;
            write(
                "process_open_fds",
                "Open file descriptors.",
                None,
                &ConstGauge::new(open),
            )?;
        }
        if let Some(seconds) = start_time(&stat, &system) {
            write(
                "process_start_time",
                "When the process was started, in seconds since 1970.",
                Some(Unit::Seconds),
                &ConstGauge::new(seconds),
            )?;
        }
        Ok(())
    }
}

/// `VmRSS` of `/proc/self/status`, in bytes.
fn resident_memory(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Fields 14 and 15 of `/proc/self/stat`, in seconds.
fn cpu(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS)
}

/// Field 22 of `/proc/self/stat`, counted from `btime` of `/proc/stat`.
fn start_time(stat: &str, system: &str) -> Option<f64> {
    let boot = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + stat_field(stat, 22)? / TICKS)
}

/// A field by its number in proc(5). The second is the program's name in
/// parentheses, which may hold anything: what follows begins at the last `)`.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let field = rest.split_whitespace().nth(number.checked_sub(3)?)?;
    field.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (odd) name (1) 2) S 1 42 42 0 -1 4194560 900 0 3 0 1250 250 0 0 20 0 9 0 \
                        360000 300000000 2000 18446744073709551615";

    #[test]
    fn the_fields_are_found_behind_an_odd_name() {
        assert_eq!(cpu(STAT), Some(15.0));
        assert_eq!(
            start_time(STAT, "cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_003_600.0)
        );
        assert_eq!(
            resident_memory("Name:\tx\nVmRSS:\t    8000 kB\n"),
            Some(8_192_000)
        );
    }

    #[test]
    fn nonsense_is_left_out() {
        assert_eq!(cpu(""), None);
        assert_eq!(cpu("42 (x) S 1"), None);
        assert_eq!(start_time(STAT, "btime soon"), None);
        assert_eq!(resident_memory("VmRSS:\tmuch"), None);
    }
}
