//! Another program, run with a time limit and its output kept.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Two minutes: what a client's step may take unless it says otherwise.
const LIMIT: Duration = Duration::from_secs(120);

/// A command that is about to run.
pub struct Run {
    command: Command,
    stdin: Option<Vec<u8>>,
    limit: Duration,
}

/// A command that ended.
pub struct Finished {
    /// What was run, for messages.
    pub line: String,
    /// How it ended; `None` when the time limit ended it.
    pub status: Option<ExitStatus>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

/// Begins a command: `run("skopeo").args(["--version"]).ok()`.
pub fn run(program: impl AsRef<OsStr>) -> Run {
    Run {
        command: Command::new(program_path(program.as_ref())),
        stdin: None,
        limit: LIMIT,
    }
}

impl Run {
    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Run {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(mut self, args: I) -> Run {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(name, value);
        self
    }

    /// Runs in this directory.
    pub fn dir(mut self, dir: impl AsRef<std::path::Path>) -> Run {
        self.command.current_dir(dir);
        self
    }

    /// Gives the program this on its standard input; without it, the input is
    /// empty.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Run {
        self.stdin = Some(bytes.into());
        self
    }

    /// The time after which the program and its children are killed.
    pub fn limit(mut self, limit: Duration) -> Run {
        self.limit = limit;
        self
    }

    /// Runs it and hands back however it ended.
    pub fn output(mut self) -> Finished {
        let line = self.line();
        // Files, not pipes: a program that leaves a child behind with its
        // output open can't make us wait for it.
        let mut out = tempfile::tempfile().expect("a temporary file");
        let mut err = tempfile::tempfile().expect("a temporary file");
        let input = match &self.stdin {
            None => Stdio::null(),
            Some(bytes) => {
                let mut file = tempfile::tempfile().expect("a temporary file");
                file.write_all(bytes).expect("the input written");
                file.rewind().expect("the input rewound");
                Stdio::from(file)
            }
        };
        self.command
            .stdin(input)
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(err.try_clone().expect("a second handle"))
            .process_group(0);
        let begun = Instant::now();
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{line}`: {error}"));
        let status = loop {
            if let Some(status) = child.try_wait().expect("the child's state") {
                break Some(status);
            }
            if begun.elapsed() > self.limit {
                kill_group(&child);
                let _ = child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Finished {
            line,
            status,
            stdout: text(&mut out),
            stderr: text(&mut err),
            took: begun.elapsed(),
        }
    }

    /// Runs it, and panics with all its output unless it succeeds.
    pub fn ok(self) -> Finished {
        let done = self.output();
        assert!(done.success(), "{done}");
        done
    }

    /// Runs it, and panics unless it fails and says `words`, whatever their
    /// case.
    pub fn refused(self, words: &str) -> Finished {
        self.refused_with_any(&[words])
    }

    /// Runs it, and panics unless it fails and says one of `choices`, for
    /// clients whose releases word one thing differently.
    pub fn refused_with_any(self, choices: &[&str]) -> Finished {
        let done = self.output();
        let said = done.text().to_lowercase();
        assert!(
            done.status.is_some() && !done.success(),
            "should have been refused: {done}"
        );
        assert!(
            choices
                .iter()
                .any(|words| said.contains(&words.to_lowercase())),
            "should have said one of {choices:?}: {done}"
        );
        done
    }

    fn line(&self) -> String {
        let mut line = self.command.get_program().to_string_lossy().into_owned();
        for arg in self.command.get_args() {
            line.push(' ');
            line.push_str(&arg.to_string_lossy());
        }
        line
    }
}

impl Finished {
    /// Whether it ended by itself, with code 0.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Both outputs, one after the other.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Panics unless one of the outputs holds `words`.
    pub fn says(self, words: &str) -> Finished {
        assert!(
            self.text().contains(words),
            "should have said {words:?}: {self}"
        );
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = match self.status {
            Some(status) => status.to_string(),
            None => "stopped at its time limit".to_owned(),
        };
        write!(
            f,
            "`{}`: {end} after {:.1} s\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.took.as_secs_f64(),
            self.stdout,
            self.stderr
        )
    }
}

/// Programs that `go install` made are found even where its directory is not
/// on the PATH.
fn program_path(program: &OsStr) -> std::path::PathBuf {
    let found = program.to_str().and_then(super::needs::find);
    found.unwrap_or_else(|| program.into())
}

fn kill_group(child: &std::process::Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind();
    let _ = file.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
