//! What `wharf check` says: each finding as it comes, and what came of it all;
//! for people, and as JSON.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::json;

use super::resume::Resume;
use crate::registry::check::{Checkpoint, Finding, Observer, Record, Report};

/// Tells what is found, while it is found, on standard output.
pub(super) struct Teller {
    json: bool,
    resume: Resume,
    /// Makes way for what is printed.
    bar: ProgressBar,
}

impl Teller {
    pub(super) fn new(json: bool, resume: Resume, bar: ProgressBar) -> Self {
        Self { json, resume, bar }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| {
            // Nobody may be reading any more; the end will tell.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        });
    }
}

impl Observer for Teller {
    fn found(&self, finding: &Finding) {
        if self.json {
            return;
        }
        let (mark, kind) = if finding.kind.is_damage() {
            ("!!", finding.kind)
        } else {
            ("--", finding.kind)
        };
        self.say(&format!(
            "{mark} {kind}: {}: {}\n   {}",
            finding.place,
            finding.what,
            kind.advice()
        ));
    }

    fn mended(&self, deed: &str) {
        if !self.json {
            self.say(&format!("=> {deed}"));
        }
    }

    fn reached(&self, checkpoint: &Checkpoint) {
        // The next one in a few seconds may succeed; the end tells.
        let _ = self.resume.write(checkpoint);
    }
}

/// The last lines for people.
pub(super) fn summary(report: &Report, took: Duration, resumed: bool, repair: bool) -> String {
    let counts = &report.reached.counts;
    let mut text = format!(
        "{} {} in {} blobs, {} manifests and {} tags of {} repositories",
        if report.complete {
            "read"
        } else {
            "so far read"
        },
        size(counts.bytes),
        counts.blobs,
        counts.manifests,
        counts.tags,
        counts.repositories
    );
    // Writing to a String cannot fail.
    let _ = write!(text, " in {}", duration(took));
    if resumed {
        text.push_str(", not counting the runs before");
    }
    text.push('\n');
    let remaining = report.reached.findings.len() as u64;
    let found = counts.findings.max(remaining);
    text.push_str(&match (found, remaining) {
        (0, _) => "all is well".to_owned(),
        (found, 0) if repair => format!("{} found, all mended", problems(found)),
        (found, remaining) if repair && report.complete => {
            format!("{} found, {remaining} remain", problems(found))
        }
        (found, _) => problems(found),
    });
    if counts.notes > 0 {
        let _ = write!(text, "; {} notes", counts.notes);
    }
    if repair && remaining > 0 && report.complete {
        text.push_str("\nwhat remains:");
        for record in &report.reached.findings {
            if let Some(finding) = record.finding() {
                let _ = write!(text, "\n!! {finding}");
            }
        }
    }
    text
}

/// `{version, complete, seconds, counts: {…}, findings: […], notes: […], mended: […]}`
pub(super) fn as_json(report: &Report, took: Duration) -> String {
    let Checkpoint {
        counts,
        findings,
        notes,
        mended,
        ..
    } = &report.reached;
    let advised = |records: &[Record]| -> Vec<Record> {
        records
            .iter()
            .map(|record| Record {
                advice: record.kind.advice().to_owned(),
                ..record.clone()
            })
            .collect()
    };
    json!({
        "version": 1,
        "complete": report.complete,
        "seconds": (took.as_secs_f64() * 1000.0).round() / 1000.0,
        "counts": counts,
        "findings": advised(findings),
        "notes": advised(notes),
        "mended": mended,
    })
    .to_string()
}

fn problems(count: u64) -> String {
    match count {
        1 => "1 problem".to_owned(),
        several => format!("{several} problems"),
    }
}

/// Bytes in a unit that people read.
pub(super) fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 {
        format!("{bytes} {name}")
    } else {
        format!("{value:.1} {name}")
    }
}

/// `1:02:03`, or seconds.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_easily() {
        assert_eq!(size(17), "17 bytes");
        assert_eq!(size(3 << 29), "1.5 GiB");
        assert_eq!(duration(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(duration(Duration::from_secs(3723)), "1:02:03");
    }

    #[test]
    fn the_end_says_what_remains() {
        let mut report = Report {
            complete: true,
            reached: Checkpoint::default(),
        };
        let text = summary(&report, Duration::ZERO, false, false);
        assert!(text.ends_with("\nall is well"), "{text}");
        report.reached.counts.findings = 2;
        let text = summary(&report, Duration::ZERO, false, true);
        assert!(text.ends_with("2 problems found, all mended"), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&as_json(&report, Duration::from_millis(1))).unwrap();
        assert_eq!(json["seconds"], 0.001);
        assert_eq!(json["counts"]["findings"], 2);
        assert_eq!(json["findings"], json!([]));
    }
}
