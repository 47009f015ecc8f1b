//! The program as somebody types it, without the harness's configuration: what
//! it prints, how it ends, and `wharf serve` with nothing but arguments.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::support::{Finished, Run, eventually, run};
use crate::wire::PATIENCE;

/// What the registry ends with when trying again does not help.
pub const CONFIGURATION: i32 = 78;

/// The program under test.
pub fn binary() -> PathBuf {
    std::env::var_os("WHARF_TEST_SERVER")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_wharf").into())
        .into()
}

/// A command that ends by itself, in a directory.
pub fn wharf<'a>(dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Run {
    run(binary()).dir(dir).args(args).limit(PATIENCE)
}

/// Panics unless a command ended with this code.
#[track_caller]
pub fn ended_with(finished: &Finished, code: i32) {
    let ended = finished.status.and_then(|status| status.code());
    assert_eq!(ended, Some(code), "{finished}");
}

/// `wharf serve` with arguments instead of a configuration, in a directory that
/// holds nothing of the test's.
pub struct Serving {
    child: Child,
    output: NamedTempFile,
    host: String,
}

impl Serving {
    /// Starts it on a free port of 127.0.0.1 and waits until it listens.
    pub fn start(dir: &Path, args: &[&str]) -> Serving {
        let output = NamedTempFile::new().unwrap();
        let file: File = output.reopen().unwrap();
        let mut command = Command::new(binary());
        command
            .args(["serve", "--addr", "127.0.0.1:0"])
            .args(args)
            .current_dir(dir)
            .env_remove("REGISTRY_CONFIGURATION_PATH")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let mut serving = Serving {
            child: command.spawn().unwrap(),
            output,
            host: String::new(),
        };
        serving.host = eventually("the listening line", PATIENCE, || {
            let said = serving.said();
            let ended = serving.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended before it listened:\n{said}");
            let (_, rest) = said.split_once("listening on https://")?;
            let (host, _) = rest.split_once('\n')?;
            Some(host.to_owned())
        });
        serving
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        let (_, port) = self.host.rsplit_once(':').unwrap();
        port.parse().unwrap()
    }

    /// Everything that it printed.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap()
    }

    /// What the banner says behind a word at the start of a line.
    pub fn told(&self, word: &str) -> Option<String> {
        let said = self.said();
        let line = said
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(word))?;
        let value = line.split_whitespace().next()?;
        Some(value.to_owned())
    }

    /// Asks it to stop, and waits until it has, in order.
    pub fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = eventually("the end", PATIENCE, || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.said());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what wharf serve said\n{}", self.said());
        }
    }
}
