//! A connection's bytes on their way to and from hyper: notes when heads begin
//! and whether anything leaves, and looks for ambiguous framing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::framing::Framing;
use super::linger::Linger;
use super::stream::Stream;

/// A stream and the watchers of its connection.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    activity: Arc<Activity>,
    framing: Arc<Framing>,
    linger: Linger,
    /// Whether nothing more is written.
    shut: bool,
}

impl Watched {
    pub(super) fn new(
        stream: Stream,
        activity: Arc<Activity>,
        framing: Arc<Framing>,
        linger: Linger,
    ) -> Self {
        Self {
            stream,
            activity,
            framing,
            linger,
            shut: false,
        }
    }

    fn received(&self, bytes: &[u8]) {
        if bytes.is_empty() || self.activity.is_multiplexed() {
            return;
        }
        // The preface of HTTP/2 (RFC 9113 section 3.4); no method begins so.
        if bytes.starts_with(b"PRI ") {
            self.activity.multiplex();
            return;
        }
        let expects_head = self.activity.expects_head();
        if expects_head {
            self.activity.head_bytes();
        }
        self.framing.received(bytes, expects_head);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.received(buffer.filled().get(before..).unwrap_or_default());
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        if result.is_ready() {
            self.activity.wrote();
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if result.is_ready() {
            self.activity.wrote();
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.shut = true;
        }
        this.linger.poll_closed(&mut this.stream, context)
    }
}
