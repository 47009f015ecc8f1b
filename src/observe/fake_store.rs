//! A store for this room's tests: everything is absent, and a probe does what
//! the test wants.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::storage::{
    Aside, ByteStream, Child, Created, Hold, Key, Meta, Object, Prefix, Reading, Space, Stage,
    StorageError, Store, Upload,
};

#[derive(Default)]
pub(super) struct FakeStore {
    /// Probes fail while this is true.
    pub(super) broken: Arc<AtomicBool>,
    /// Probes never end.
    pub(super) hangs: bool,
    /// How often it was probed.
    pub(super) probes: Arc<AtomicUsize>,
}

#[async_trait]
impl Store for FakeStore {
    async fn head(&self, _: &Key) -> Result<Option<Meta>, StorageError> {
        Ok(None)
    }

    async fn get(&self, _: &Key) -> Result<Option<Bytes>, StorageError> {
        Ok(None)
    }

    async fn open(&self, _: &Key, _: Reading) -> Result<Option<Object>, StorageError> {
        Ok(None)
    }

    async fn put(&self, _: &Key, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn create(&self, _: &Key, _: Bytes) -> Result<Created, StorageError> {
        Ok(Created::New)
    }

    async fn delete(&self, _: &Key) -> Result<(), StorageError> {
        Ok(())
    }

    async fn set_aside(&self, _: &Key, _: &Key, _: &Meta) -> Result<Aside, StorageError> {
        Ok(Aside::Changed)
    }

    async fn post(&self, _: &Key, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn withdraw(&self, _: &Key) -> Result<(), StorageError> {
        Ok(())
    }

    async fn settle(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn hold(&self, _: &Key) -> Result<Hold, StorageError> {
        Ok(Hold::Unknown)
    }

    async fn tidy(&self, _: &Prefix) -> Result<(), StorageError> {
        Ok(())
    }

    async fn delete_all(&self, _: &Prefix) -> Result<(), StorageError> {
        Ok(())
    }

    async fn children(
        &self,
        _: &Prefix,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<Child>, StorageError> {
        Ok(Vec::new())
    }

    async fn exists(&self, _: &Prefix) -> Result<bool, StorageError> {
        Ok(false)
    }

    async fn begin(&self, _: &Stage, _: &str) -> Result<(), StorageError> {
        Ok(())
    }

    async fn staged(&self, _: &Stage) -> Result<Option<u64>, StorageError> {
        Ok(None)
    }

    async fn resume(&self, _: &Stage) -> Result<Option<Box<dyn Upload>>, StorageError> {
        Ok(Some(Box::new(FakeUpload)))
    }

    async fn discard(&self, _: &Stage) -> Result<(), StorageError> {
        Ok(())
    }

    async fn address(&self, _: &Key) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.probes.fetch_add(1, Ordering::SeqCst);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if self.broken.load(Ordering::SeqCst) {
            let cause = io::Error::other("broken for a test");
            return Err(StorageError::Unavailable(cause));
        }
        Ok(())
    }

    async fn space(&self) -> Result<Option<Space>, StorageError> {
        Ok(None)
    }
}

/// An upload that takes everything and has nothing.
struct FakeUpload;

#[async_trait]
impl Upload for FakeUpload {
    fn size(&self) -> u64 {
        0
    }

    fn note(&self) -> Option<&Bytes> {
        None
    }

    async fn append(&mut self, _: ByteStream) -> Result<(), StorageError> {
        Ok(())
    }

    async fn keep(&mut self, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn reread(&self, _: u64) -> Result<ByteStream, StorageError> {
        Err(StorageError::UnknownStage)
    }

    async fn publish(self: Box<Self>, _: &Key) -> Result<(), StorageError> {
        Err(StorageError::UnknownStage)
    }
}
