//! The content that is pushed again and again: a few blobs and manifests, two
//! repositories, three tags.

use bytes::Bytes;

use crate::oci::{Algorithm, Digest, RepositoryName, Tag};

/// Blobs that no manifest needs: they may be deleted.
pub(super) const LOOSE: [usize; 2] = [4, 5];

/// A manifest that an index needs: it isn't deleted.
pub(super) const CHILD: usize = 2;

pub(super) struct Pool {
    pub(super) repositories: Vec<RepositoryName>,
    pub(super) tags: Vec<Tag>,
    pub(super) blobs: Vec<Content>,
    pub(super) manifests: Vec<Image>,
}

pub(super) struct Content {
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
}

pub(super) struct Image {
    pub(super) content: Content,
    pub(super) blobs: Vec<usize>,
    pub(super) children: Vec<usize>,
    pub(super) subject: Option<usize>,
}

impl Pool {
    pub(super) fn new() -> Self {
        let blobs = [2, 40, 300, 7, 0, 90].iter().enumerate();
        let blobs = blobs.map(|(number, size)| {
            let byte = b'a' + u8::try_from(number).unwrap();
            Content::of(vec![byte; *size])
        });
        let mut pool = Self {
            repositories: vec!["a".parse().unwrap(), "b/c".parse().unwrap()],
            tags: ["v1", "v2", "latest"]
                .map(|tag| tag.parse().unwrap())
                .into(),
            blobs: blobs.collect(),
            manifests: Vec::new(),
        };
        pool.add(&[0, 1], &[], None);
        pool.add(&[0, 1, 2], &[], None);
        pool.add(&[0, 3], &[], None);
        pool.add(&[], &[CHILD], None);
        pool.add(&[0], &[], Some(0));
        pool.add(&[0], &[], Some(1));
        pool
    }

    fn add(&mut self, blobs: &[usize], children: &[usize], subject: Option<usize>) {
        let descriptor = |kind: &str, content: &Content| {
            let (digest, size) = (&content.digest, content.bytes.len());
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
        };
        let blob = |number: &usize| descriptor("application/x", &self.blobs[*number]);
        let image = |number: &usize| {
            let kind = "application/vnd.oci.image.manifest.v1+json";
            descriptor(kind, &self.manifests[*number].content)
        };
        let subject_field = subject.map(|number| format!(r#","subject":{}"#, image(&number)));
        let number = self.manifests.len();
        let parts = match blobs.split_first() {
            Some((config, layers)) => format!(
                r#""mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]"#,
                blob(config),
                layers.iter().map(blob).collect::<Vec<_>>().join(",")
            ),
            None => format!(
                r#""mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]"#,
                children.iter().map(image).collect::<Vec<_>>().join(",")
            ),
        };
        let text = format!(
            r#"{{"schemaVersion":2,{parts}{},"annotations":{{"number":"{number}"}}}}"#,
            subject_field.unwrap_or_default()
        );
        self.manifests.push(Image {
            content: Content::of(text.into_bytes()),
            blobs: blobs.to_vec(),
            children: children.to_vec(),
            subject,
        });
    }
}

impl Content {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            digest: Algorithm::Sha256.digest(&bytes),
            bytes: bytes.into(),
        }
    }
}
