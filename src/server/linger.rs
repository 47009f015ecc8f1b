//! The last moment of a connection when the process is about to end, or when
//! the client was refused while it was still sending.
//!
//! What was handed to the kernel is not with the client yet: megabytes may wait
//! in the socket for a slow one, and in a container the network goes with the
//! process. So the other end's closing is waited for, which comes behind the
//! last byte that it has read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::shutdown::Shutdown;

/// How long a client that has everything may take to close.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one that was refused may go on sending.
const REFUSED: Duration = Duration::from_secs(2);

/// Waits for the other end, if the process is about to end.
#[derive(Debug)]
pub(super) struct Linger {
    shutdown: Shutdown,
    refused: bool,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Linger {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self {
            shutdown,
            refused: false,
            patience: None,
        }
    }

    /// What the client still sends is read for a moment: unread bytes would turn
    /// the close into a reset, and the answer would be lost.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }

    /// Ready when the other end has closed `stream`, to which everything was
    /// written, or when there is no need or no time to wait for that.
    pub(super) fn poll_closed(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let patience = match (self.shutdown.is_draining(), self.refused) {
            (true, _) => PATIENCE,
            (false, true) => REFUSED,
            (false, false) => return Poll::Ready(Ok(())),
        };
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        if patience.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut ignored = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut ignored);
            // A reset is an end, too.
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
