//! The list of bad inputs against wharf and against registry:2 (Debian's
//! docker-registry), judged by the same rules, for the figures in
//! docs/reliability.md:
//! `cargo test --test it compared -- --ignored --nocapture`. With
//! `WHARF_BAD_INPUTS_AT=127.0.0.1:5000` it plays against an open registry that
//! runs there already instead: it pushes to it.
//!
//! Only what goes over a plain socket is played: `slow`, `h2` and `tls` need
//! drivers and a TLS listener of ours.

use std::time::Instant;

use tempfile::TempDir;

use crate::bad_entries::{Entry, Stage, entries};
use crate::bad_inputs::{LIMIT, answers, judge, listen};
use crate::support::{Needs, Program, Registry, say};

/// The groups that any open registry can be asked.
const OPEN: [&str; 13] = [
    "names",
    "tags",
    "digests",
    "uuids",
    "ranges",
    "headers",
    "methods",
    "manifests",
    "indexes",
    "json",
    "query",
    "framing",
    "valid",
];

/// What came of a list.
#[derive(Default)]
struct Figures {
    played: usize,
    expected: usize,
    errors: Vec<String>,
    hangs: Vec<String>,
    others: Vec<String>,
}

#[test]
#[ignore = "gives figures instead of a verdict; takes some minutes"]
fn bad_inputs_compared() {
    if let Ok(host) = std::env::var("WHARF_BAD_INPUTS_AT") {
        return all(&host, None).tell(&host);
    }
    for program in [Program::Wharf, Program::Distribution] {
        if program == Program::Distribution
            && !Needs::of("docker-registry")
                .program("docker-registry", "apt-get install docker-registry")
                .met()
        {
            continue;
        }
        let volume = TempDir::new().unwrap();
        let with = || Registry::with().program(program).data(volume.path());
        let open = with().start();
        let users = ["alice", "bob", "carol"];
        let closed = users
            .into_iter()
            .fold(with(), |setup, user| {
                setup.user(user, &format!("{user}-secret"))
            })
            .start();
        let figures = all(open.host(), Some(closed.host()));
        figures.tell(&format!("{program:?}"));
    }
}

/// Plays the open groups, and the logins where there is a registry with users.
fn all(open: &str, closed: Option<&str>) -> Figures {
    let mut figures = Figures::default();
    let stage = Stage::at(open, "bad/inputs");
    for group in OPEN {
        figures.play(&stage, entries(group));
    }
    if let Some(host) = closed {
        let logins = entries("auth").into_iter().filter(is_about_who).collect();
        figures.play(&stage.at_host(host), logins);
    }
    figures
}

/// Entries that need neither tokens, nor content, nor rights that differ.
fn is_about_who(entry: &Entry) -> bool {
    let id = entry.id();
    let rights = [
        "auth-readonly-",
        "auth-noaccess-",
        "auth-upload-other",
        "auth-mount",
        "auth-link",
    ];
    !entry.uses_tokens() && !rights.iter().any(|prefix| id.starts_with(prefix))
}

impl Figures {
    fn play(&mut self, stage: &Stage, entries: Vec<Entry>) {
        for entry in entries {
            let bytes = entry.bytes(stage);
            let begun = Instant::now();
            let heard = listen(stage.repo.host(), bytes);
            let slow = begun.elapsed() > LIMIT;
            let status = answers(&entry, &heard).first().map(|answer| answer.status);
            let wrong = judge(&entry, &heard);
            let line = format!("{} ({}): {}", entry.id(), entry.why(), wrong.join("; "));
            let line: String = line.replace('\n', " ").chars().take(300).collect();
            self.played += 1;
            match status {
                Some(500..) => self.errors.push(line),
                _ if slow => self.hangs.push(line),
                _ if wrong.is_empty() => self.expected += 1,
                _ => self.others.push(line),
            }
        }
    }

    fn tell(&self, who: &str) {
        for (what, lines) in [
            ("5xx", &self.errors),
            ("no end within 5 s", &self.hangs),
            ("not as expected", &self.others),
        ] {
            for line in lines {
                say(&format!("{who}: {what}: {line}"));
            }
        }
        say(&format!(
            "{who}: {} played, {} as expected, {} answered with a 5xx, {} longer than 5 s, {} otherwise",
            self.played,
            self.expected,
            self.errors.len(),
            self.hangs.len(),
            self.others.len()
        ));
    }
}
