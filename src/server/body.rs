//! The bodies of requests and answers, watched for clients that stop.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body as AxumBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::Limits;
use super::activity::Running;

/// A request's body that ends with an [`io::Error`] of the kind
/// [`io::ErrorKind::TimedOut`] when the client pauses for too long or sends too
/// slowly. Only the time that somebody waits for the client is counted.
pub(super) struct Received<B> {
    inner: B,
    stall: Duration,
    grace: Duration,
    rate: u64,
    /// Bytes so far.
    bytes: u64,
    /// How long was waited for them.
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Received<B> {
    pub(super) fn new(inner: B, limits: &Limits) -> Self {
        Self {
            inner,
            stall: limits.body_stall,
            grace: limits.body_grace,
            rate: limits.body_rate,
            bytes: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            timer: None,
        }
    }

    /// Bytes came after some waiting: whether they came fast enough.
    fn arrived(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes += bytes as u64;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        let asked = self.waited.as_secs().saturating_mul(self.rate);
        if self.waited > self.grace && self.bytes < asked {
            return Err(timed_out(format!(
                "the client sends too slowly: {} bytes in {} s",
                self.bytes,
                self.waited.as_secs()
            )));
        }
        Ok(())
    }

    /// Nothing came: pending, or an error once that lasts too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let end = since + self.stall;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        loop {
            // The timer is moved only when it fires: most waits are short, and
            // setting it anew for each would cost more than they do.
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= end {
                let stalled = format!("the client sent nothing for {} s", self.stall.as_secs());
                return Poll::Ready(Err(timed_out(stalled)));
            }
            timer.as_mut().reset(end);
        }
    }
}

impl<B> Body for Received<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Pending => match ready!(this.wait(context)) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Some(Err(error.into()))),
            },
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                // Empty frames are no progress.
                if bytes > 0
                    && let Err(error) = this.arrived(bytes)
                {
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn timed_out(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// An answer's body, which tells the connection whether the client takes it.
pub(super) struct Answer {
    inner: AxumBody,
    running: Running,
}

impl Answer {
    pub(super) fn new(inner: AxumBody, running: Running) -> Self {
        Self { inner, running }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.running.taken();
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.is_some() {
            self.running.handed_over();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc;

    type Frames = mpsc::Sender<Result<Frame<Bytes>, io::Error>>;

    fn received(
        limits: &Limits,
    ) -> (
        Frames,
        Received<impl Body<Data = Bytes, Error = io::Error> + Unpin + use<>>,
    ) {
        let (sender, mut receiver) = mpsc::channel(1);
        let frames = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        (sender, Received::new(StreamBody::new(frames), limits))
    }

    fn kind(error: &BoxError) -> io::ErrorKind {
        error.downcast_ref::<io::Error>().unwrap().kind()
    }

    #[tokio::test]
    async fn a_body_that_stalls_ends_with_a_time_out() {
        let limits = Limits {
            body_stall: Duration::from_millis(20),
            ..Limits::default()
        };
        let (sender, mut body) = received(&limits);
        sender
            .send(Ok(Frame::data(Bytes::from("one"))))
            .await
            .unwrap();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "one");
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(kind(&error), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn empty_frames_are_no_progress() {
        let limits = Limits {
            body_stall: Duration::from_millis(50),
            ..Limits::default()
        };
        let (sender, mut body) = received(&limits);
        let empty = tokio::spawn(async move {
            while sender.send(Ok(Frame::data(Bytes::new()))).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let error = loop {
            match body.frame().await.unwrap() {
                Ok(frame) => assert!(frame.into_data().unwrap().is_empty()),
                Err(error) => break error,
            }
        };
        assert_eq!(kind(&error), io::ErrorKind::TimedOut);
        drop(body);
        empty.await.unwrap();
    }

    #[tokio::test]
    async fn a_trickle_ends_with_a_time_out() {
        let mut body = received(&Limits::default()).1;
        body.waited = Duration::from_secs(100);
        body.bytes = 100 * 1024;
        assert!(body.arrived(0).is_ok());
        body.waited = Duration::from_secs(101);
        let error = body.arrived(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn bodies_without_waiting_are_passed_on() {
        let mut body = received(&Limits::default()).1;
        body.waited = Duration::from_secs(29);
        assert!(body.arrived(1).is_ok(), "within the grace");
    }
}
