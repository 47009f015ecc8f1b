//! Writes lines on a thread of its own, so that a slow reader of standard
//! output stalls no request.
//!
//! Memory is bounded: when the reader is too slow for too long, lines are
//! dropped and counted. A closed standard output is not an error: the registry
//! goes on unheard.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How many bytes may wait for the reader.
const BOUND: usize = 4 * 1024 * 1024;

/// The way to the thread. Dropping it ends the thread once all is written.
pub(super) struct Output(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something waits, or the end has come.
    filled: Condvar,
    /// Nothing waits any more.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    busy: bool,
    lost: u64,
    closed: bool,
}

impl Output {
    /// Starts the thread.
    pub(super) fn start(sink: Box<dyn Write + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || theirs.write(sink))?;
        Ok(Self(shared))
    }

    /// Hands over one line. Returns how many lines were dropped before it since
    /// the last that was not; 0 if this one is dropped too.
    pub(super) fn push(&self, line: &[u8]) -> u64 {
        let mut state = self.0.lock();
        if state.waiting.len().saturating_add(line.len()) > BOUND {
            state.lost += 1;
            return 0;
        }
        state.waiting.extend_from_slice(line);
        self.0.filled.notify_one();
        std::mem::take(&mut state.lost)
    }

    /// Waits until everything is written, at most `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let waits = |state: &mut State| state.busy || !state.waiting.is_empty();
        let state = self.0.lock();
        drop(self.0.written.wait_timeout_while(state, patience, waits));
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Output")
    }
}

impl Shared {
    /// The thread: takes all that waits and writes it at once.
    fn write(&self, mut sink: Box<dyn Write + Send>) {
        let mut taken = Vec::new();
        while self.take(&mut taken) {
            // Nobody is left who could be told.
            let _ = sink.write_all(&taken).and_then(|()| sink.flush());
            taken.clear();
            self.done();
        }
    }

    /// Waits for something to write; false at the end.
    fn take(&self, taken: &mut Vec<u8>) -> bool {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let mut state = self
            .filled
            .wait_while(self.lock(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        state.busy = !state.waiting.is_empty();
        std::mem::swap(taken, &mut state.waiting);
        state.busy
    }

    fn done(&self) {
        let mut state = self.lock();
        state.busy = false;
        if state.waiting.is_empty() {
            self.written.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A sink that writes when it is told to.
    struct Gate {
        open: mpsc::Receiver<()>,
        seen: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.open.recv();
            let _ = self.seen.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_reader_costs_lines_but_neither_time_nor_memory() {
        let (open, gate) = mpsc::channel();
        let (seen, written) = mpsc::channel();
        let output = Output::start(Box::new(Gate { open: gate, seen })).unwrap();
        let line = vec![b'x'; BOUND / 4];
        for _ in 0..20 {
            assert_eq!(output.push(&line), 0);
        }
        assert!(output.0.lock().waiting.len() <= BOUND);
        let lost = output.0.lock().lost;
        assert!((12..=16).contains(&lost), "{lost}");

        drop(open);
        output.flush(Duration::from_secs(10));
        assert_eq!(output.push(b"again\n"), lost);
        assert_eq!(output.push(b"and again\n"), 0);
        output.flush(Duration::from_secs(10));
        drop(output);
        assert!(written.iter().flatten().count() > BOUND);
    }

    #[test]
    fn a_closed_output_is_no_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let output = Output::start(Box::new(Closed)).unwrap();
        output.push(b"one\n");
        output.flush(Duration::from_secs(10));
        assert_eq!(output.push(b"two\n"), 0);
        output.flush(Duration::from_secs(10));
        assert!(output.0.lock().waiting.is_empty());
    }
}
