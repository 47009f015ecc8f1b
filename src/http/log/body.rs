//! Bodies that count what passes through them and change nothing: data is
//! handed on without a copy, size hint, end of stream and trailers as they are.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::record::Record;

/// A request's body.
pub(super) struct Received {
    body: Body,
    bytes: Arc<AtomicU64>,
}

impl Received {
    pub(super) fn new(body: Body, bytes: Arc<AtomicU64>) -> Self {
        Self { body, bytes }
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body. Its end, or its being dropped before, ends the record.
pub(super) struct Sent {
    body: Body,
    record: Record,
}

impl Sent {
    pub(super) fn new(body: Body, record: Record) -> Self {
        Self { body, record }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => match frame.data_ref() {
                Some(data) => self.record.sent(data.len()),
                // Trailers are the last frame.
                None => self.record.ended(),
            },
            Poll::Ready(Some(Err(error))) => self.record.broken(error.to_string()),
            Poll::Ready(None) => self.record.ended(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        // Whoever asks that need not poll for the end.
        if self.body.is_end_stream() {
            self.record.ended();
        }
    }
}
