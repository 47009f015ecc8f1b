//! Which stored content was read whole and matched its digest, and which did
//! not: wrong bytes are never handed out as a complete answer.
//!
//! Content is hashed as it passes on its way out, once a day for each version
//! of it; its last bytes are held back until they were found right. What was
//! found damaged counts as missing from then on, so that clients push it again,
//! which mends it.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use std::{io, mem};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use quick_cache::sync::Cache;

use crate::oci::{Digest, Digester};
use crate::storage::{ByteStream, Object, Version};

/// How many digests are remembered, each in about 200 bytes; of others the next
/// reader hashes again.
const REMEMBERED: usize = 32 * 1024;

/// How long content that was found right is not hashed again: media decay.
const TRUSTED: Duration = Duration::from_secs(24 * 3600);

/// Is told the digest of content that was found damaged, once for each version.
pub type Alarm = Arc<dyn Fn(&Digest) + Send + Sync>;

/// What this process knows about the content of its store. Clones share it.
#[derive(Clone)]
pub(super) struct Integrity(Arc<Known>);

struct Known {
    sound: Cache<Digest, (Version, Instant)>,
    damaged: Cache<Digest, Version>,
    alarm: OnceLock<Alarm>,
}

/// What is known of one version of some content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was hashed and matched.
    Sound,
    /// It was hashed and did not match.
    Damaged,
    /// Nobody looked.
    Unknown,
}

impl Default for Integrity {
    fn default() -> Self {
        Self(Arc::new(Known {
            sound: Cache::new(REMEMBERED),
            damaged: Cache::new(REMEMBERED),
            alarm: OnceLock::new(),
        }))
    }
}

impl Integrity {
    /// Who is told of damage from now on; only the first one is.
    pub(super) fn on_damage(&self, alarm: Alarm) {
        let _ = self.0.alarm.set(alarm);
    }

    /// What is known of the content that was found for a digest.
    pub(super) fn verdict(&self, digest: &Digest, version: Version) -> Verdict {
        if self.0.damaged.get(digest) == Some(version) {
            return Verdict::Damaged;
        }
        match self.0.sound.get(digest) {
            Some((known, at)) if known == version && at.elapsed() < TRUSTED => Verdict::Sound,
            _ => Verdict::Unknown,
        }
    }

    /// This version was hashed and matches.
    pub(super) fn passed(&self, digest: &Digest, version: Version) {
        let entry = (version, Instant::now());
        self.0.sound.insert(digest.clone(), entry);
    }

    /// This version was hashed and does not match. Returns whether that is news.
    pub(super) fn failed(&self, digest: &Digest, version: Version) -> bool {
        if self.0.damaged.get(digest) == Some(version) {
            return false;
        }
        self.0.sound.remove(digest);
        self.0.damaged.insert(digest.clone(), version);
        if let Some(alarm) = self.0.alarm.get() {
            alarm(digest);
        }
        true
    }

    /// Hashes opened content to its end.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) async fn examine(&self, digest: &Digest, object: &Object) -> io::Result<Verdict> {
        let mut stream = object.content.read(0..object.meta.size);
        let mut digester = digest.algorithm().digester();
        while let Some(bytes) = stream.next().await {
            digester.update(&bytes?);
        }
        Ok(self.conclude(digest, object.meta.version, digester))
    }

    /// All of opened content, which breaks off before its end if it is damaged.
    pub(super) fn checked(&self, digest: &Digest, object: &Object) -> ByteStream {
        Box::pin(Checked {
            content: object.content.read(0..object.meta.size),
            left: object.meta.size,
            digester: digest.algorithm().digester(),
            digest: digest.clone(),
            version: object.meta.version,
            integrity: self.clone(),
        })
    }

    fn conclude(&self, digest: &Digest, version: Version, digester: Digester) -> Verdict {
        if digester.finish() == *digest {
            self.passed(digest, version);
            Verdict::Sound
        } else {
            if self.failed(digest, version) {
                tracing::error!(%digest, "this stored content is damaged and is taken for missing; pushing it again mends it");
            }
            Verdict::Damaged
        }
    }
}

/// Content that is hashed as it passes.
struct Checked {
    content: ByteStream,
    /// Bytes that have not passed yet.
    left: u64,
    digester: Digester,
    digest: Digest,
    version: Version,
    integrity: Integrity,
}

impl Stream for Checked {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.content.poll_next_unpin(context));
        let Some(Ok(bytes)) = &next else {
            return Poll::Ready(next);
        };
        self.digester.update(bytes);
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if self.left > 0 {
            return Poll::Ready(next);
        }
        let fresh = self.digest.algorithm().digester();
        let digester = mem::replace(&mut self.digester, fresh);
        match self
            .integrity
            .conclude(&self.digest, self.version, digester)
        {
            Verdict::Damaged => Poll::Ready(Some(Err(damaged()))),
            Verdict::Sound | Verdict::Unknown => Poll::Ready(next),
        }
    }
}

fn damaged() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the stored content does not match its digest",
    )
}
