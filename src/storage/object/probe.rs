//! What is tried before a store is trusted with images.

use std::io;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{Error, GetOptions, GetRange, PutMode};

use super::{Check, Objects, Outcome, Report, advice, chain};
use crate::oci::UploadId;
use crate::storage::{Created, Key, Prefix, Reading, StorageError, Store as _};

const CONTENT: &[u8] = b"wharf looks whether this store keeps what it is given";

impl Objects {
    /// Tries out, in a place of its own that is removed afterwards, what the
    /// registry needs. Takes about thirty small requests; ends at the first
    /// check that fails.
    pub async fn examine(&self) -> Report {
        let mut trial = Trial {
            objects: self,
            id: UploadId::random(),
            checks: Vec::new(),
        };
        trial.run().await;
        let _ = self.delete_all(&Prefix::trial(&trial.id)).await;
        Report {
            store: self.name().to_owned(),
            checks: trial.checks,
        }
    }
}

struct Trial<'a> {
    objects: &'a Objects,
    id: UploadId,
    checks: Vec<Check>,
}

/// What a check found wrong: the store's error, or what it did instead.
enum Wrong {
    Error(String),
    Behaviour(&'static str),
}

impl From<StorageError> for Wrong {
    fn from(error: StorageError) -> Self {
        Self::Error(error.to_string())
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Error(chain(&error))
    }
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Error(error.to_string())
    }
}

impl Trial<'_> {
    async fn run(&mut self) {
        let reach = self.reach().await;
        if !self.note("reach the bucket and list it", reach) {
            return;
        }
        let write = self.write_and_read().await;
        if !self.note("write an object and read it back, whole and in part", write) {
            return;
        }
        let list = self.list().await;
        if !self.note("see an object in a listing at once", list) {
            return;
        }
        let assemble = self.assemble().await;
        if !self.note("put a large object together of parts", assemble) {
            return;
        }
        let delete = self.delete().await;
        if !self.note("delete objects, one and many", delete) {
            return;
        }
        let created = self.create().await;
        self.checks.push(Check {
            name: "create an object only if it is absent, replace it only if unchanged",
            outcome: created,
        });
    }

    /// Writes a check down; whether it passed.
    fn note(&mut self, name: &'static str, result: Result<(), Wrong>) -> bool {
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(Wrong::Error(text)) => {
                let advice = advice(self.objects.client.section, &text);
                Outcome::Failed(format!("{advice} ({text})"))
            }
            Err(Wrong::Behaviour(what)) => Outcome::Failed(format!(
                "{what}: this store cannot keep images, use another"
            )),
        };
        let passed = outcome == Outcome::Passed;
        self.checks.push(Check { name, outcome });
        passed
    }

    fn key(&self, path: &str) -> Key {
        Key::trial(&self.id, path)
    }

    async fn reach(&self) -> Result<(), Wrong> {
        let docker = self.objects.path("docker/").to_string();
        self.objects.any(&docker).await?;
        Ok(())
    }

    async fn write_and_read(&self) -> Result<(), Wrong> {
        let (full, empty) = (self.key("a/full"), self.key("a/empty"));
        let content = Bytes::from_static(CONTENT);
        self.objects.put(&full, content.clone()).await?;
        self.objects.put(&empty, Bytes::new()).await?;
        if self.objects.get(&full).await? != Some(content.clone()) {
            return Err(Wrong::Behaviour("an object reads back as something else"));
        }
        if self.objects.head(&empty).await?.map(|meta| meta.size) != Some(0) {
            return Err(Wrong::Behaviour("an empty object is not kept"));
        }
        let range = GetOptions {
            range: Some(GetRange::Bounded(6..11)),
            ..GetOptions::default()
        };
        let part = match self.objects.get_object(&full, range).await? {
            Some(result) => result.bytes().await?,
            None => Bytes::new(),
        };
        if Some(&*part) != CONTENT.get(6..11) {
            return Err(Wrong::Behaviour(
                "a range of an object is not what was asked for",
            ));
        }
        if self.objects.get(&self.key("a/absent")).await?.is_some() {
            return Err(Wrong::Behaviour(
                "an object that was never written is there",
            ));
        }
        Ok(())
    }

    async fn list(&self) -> Result<(), Wrong> {
        let (below, _) = self
            .objects
            .all_below(&Prefix::trial(&self.id), None)
            .await?;
        let children = self
            .objects
            .children(&Prefix::trial(&self.id), None, 9)
            .await?;
        let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
        if below.len() == 2 && names == ["a"] {
            Ok(())
        } else {
            Err(Wrong::Behaviour(
                "an object that was written is missing from a listing",
            ))
        }
    }

    async fn assemble(&self) -> Result<(), Wrong> {
        let from = self.objects.key_path(&self.key("a/full"));
        let key = self.key("a/assembled");
        let to = self.objects.key_path(&key);
        let parts = &self.objects.client.parts;
        let id = parts.create_multipart(&to).await?;
        let part = match &self.objects.client.part_copy {
            Some(part_copy) => part_copy.copy(&from, &to, &id, 0).await?,
            None => {
                let content = Bytes::from_static(CONTENT);
                parts.put_part(&to, &id, 0, content.into()).await?
            }
        };
        parts.complete_multipart(&to, &id, vec![part]).await?;
        let object = self.objects.open(&key, Reading::Parts).await?;
        let Some(object) = object else {
            return Err(Wrong::Behaviour("an object of parts is not there"));
        };
        let content: Vec<Bytes> = object
            .content
            .read(0..object.meta.size)
            .try_collect()
            .await?;
        if content.concat() == CONTENT {
            Ok(())
        } else {
            Err(Wrong::Behaviour(
                "an object of parts is not what its parts were",
            ))
        }
    }

    async fn delete(&self) -> Result<(), Wrong> {
        self.objects.delete(&self.key("a/full")).await?;
        self.objects.delete(&self.key("a/full")).await?;
        self.objects.delete_all(&Prefix::trial(&self.id)).await?;
        if self.objects.get(&self.key("a/empty")).await?.is_some()
            || self.objects.exists(&Prefix::trial(&self.id)).await?
        {
            return Err(Wrong::Behaviour(
                "an object that was deleted is still there",
            ));
        }
        let shows_empty = self.objects.shows_empty(&Prefix::trial(&self.id)).await?;
        self.objects
            .habits
            .lists_empty_prefixes
            .store(shows_empty, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    async fn create(&self) -> Outcome {
        let conditional = self.creates_conditionally().await;
        let holds = matches!(conditional, Ok(true));
        self.objects
            .habits
            .creates_conditionally
            .store(holds, std::sync::atomic::Ordering::Relaxed);
        let why = match conditional {
            Ok(true) => return Outcome::Passed,
            Ok(false) => "it ignores `If-None-Match: *` or `If-Match`".to_owned(),
            Err(Wrong::Error(text)) => text,
            Err(Wrong::Behaviour(what)) => what.to_owned(),
        };
        Outcome::Lacking(format!(
            "{why}. Pushes and pulls work; two requests that write to one upload at the same time \
             may lose what the store was told last, so send an upload's requests one after the \
             other, or use a store that has conditional writes"
        ))
    }

    async fn creates_conditionally(&self) -> Result<bool, Wrong> {
        let key = self.key("b/once");
        let content = Bytes::from_static(b"first");
        if self.objects.create(&key, content.clone()).await? == Created::Exists
            || self
                .objects
                .create(&key, Bytes::from_static(b"second"))
                .await?
                == Created::New
            || self.objects.get(&key).await? != Some(content)
        {
            return Ok(false);
        }
        let stale = self.objects.put_object(
            &key,
            Bytes::from_static(b"third").into(),
            PutMode::Overwrite,
        );
        let stale = stale.await?;
        self.objects
            .put(&key, Bytes::from_static(b"fourth"))
            .await?;
        let replaced = self.objects.put_object(
            &key,
            Bytes::from_static(b"fifth").into(),
            PutMode::Update(stale.into()),
        );
        match replaced.await {
            Ok(_) => Ok(false),
            Err(Error::Precondition { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}
