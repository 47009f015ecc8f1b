//! Hashing behind everything else: a thread for each verification, which steps
//! back where the machine has other things to do.
//!
//! A thread can't take its step back again without rights that we don't have,
//! so none of the runtime's, which move blobs afterwards, is used. Starting one
//! takes a thousandth of what a hash does.

use std::io;
use std::thread;

use rustix::process::setpriority_process;
use tokio::sync::oneshot;

use crate::auth::backoff::Lane;

/// How far the hash of a stranger's password steps back: to a tenth of what a
/// thread that moves blobs gets, where both want a processor.
const NICE: i32 = 10;

/// Runs `work` on a thread of its own. The receiver fails if it panics.
pub(super) fn run<T: Send + 'static>(
    lane: Lane,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name("wharf-login".to_owned())
        .spawn(move || {
            if lane == Lane::Stranger {
                // Linux knows priorities of threads only: this one's. Without
                // it a login is just less polite.
                let _ = setpriority_process(None, NICE);
            }
            // Nobody may be waiting any more.
            let _ = done.send(work());
        })?;
    Ok(result)
}
