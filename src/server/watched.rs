//! A connection's bytes on their way to and from hyper: notes when heads begin
//! and whether anything leaves, looks for ambiguous framing, and replaces what
//! hyper answers by itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::framing::Framing;
use super::linger::Linger;
use super::refused::{self, Refused};
use super::stream::Stream;

/// A stream and the watchers of its connection.
pub(super) struct Watched {
    stream: Stream,
    activity: Arc<Activity>,
    framing: Arc<Framing>,
    refused: Refused,
    linger: Linger,
    /// Whether the client may begin with HTTP/2's preface.
    may_multiplex: bool,
    /// Whether nothing more is written.
    shut: bool,
}

impl Watched {
    pub(super) fn new(
        stream: Stream,
        activity: Arc<Activity>,
        framing: Arc<Framing>,
        refused: Refused,
        linger: Linger,
        may_multiplex: bool,
    ) -> Self {
        Self {
            stream,
            activity,
            framing,
            refused,
            linger,
            may_multiplex,
            shut: false,
        }
    }

    fn received(&self, bytes: &[u8]) {
        if bytes.is_empty() || self.activity.is_multiplexed() {
            return;
        }
        // The preface of HTTP/2 (RFC 9113 section 3.4); no method begins so.
        if self.may_multiplex && bytes.starts_with(b"PRI ") {
            self.activity.multiplex();
            return;
        }
        let expects_head = self.activity.expects_head();
        if expects_head {
            self.activity.head_bytes();
        }
        self.framing.received(bytes, expects_head);
    }

    /// Writes another answer in place of `bytes`, if these are one that hyper
    /// made by itself; `None` if they are not.
    fn poll_instead(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Option<io::Result<usize>>> {
        if !self.refused.is_sending() {
            if !self.activity.is_in_head() {
                return Poll::Ready(None);
            }
            let Some(status) = refused::status(bytes) else {
                return Poll::Ready(None);
            };
            self.refused.begin(status, &self.framing.head());
            self.linger.refuse();
        }
        let written = ready!(self.refused.poll_write(&mut self.stream, context));
        self.activity.wrote();
        Poll::Ready(Some(written.map(|()| bytes.len())))
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
        if let Some(written) = ready!(self.poll_instead(context, bytes)) {
            return Poll::Ready(written);
        }
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
        // Such an answer has no body, so it comes in one piece.
        let mut pieces = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (pieces.next(), pieces.next())
            && let Some(written) = ready!(self.poll_instead(context, only))
        {
            return Poll::Ready(written);
        }
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
