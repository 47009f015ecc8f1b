//! What is pushed in a soak, again and again and by everybody: a few layers,
//! images of them, indexes of those, referrers about them. With so few of them
//! what one client deletes is what another one is just about to push.

use serde_json::json;

use crate::content::{IMAGE, INDEX, LAYER, bytes, descriptor, index, sha256};
use crate::random::Random;

/// Layers, and images of one to three of them.
const LAYERS: usize = 40;
const IMAGES: usize = 60;
const INDEXES: usize = 8;
const REFERRERS: usize = 12;

/// The largest layer, in bytes.
const LARGEST: usize = 40_000;

/// A blob.
pub struct Blob {
    pub digest: String,
    pub bytes: Vec<u8>,
}

/// A manifest, and what must be pushed before it.
pub struct Goods {
    pub digest: String,
    pub bytes: Vec<u8>,
    pub media: &'static str,
    /// Places in [`Stock::blobs`].
    pub blobs: Vec<usize>,
    /// Places in [`Stock::goods`].
    pub children: Vec<usize>,
    /// Which of the goods a referrer is about.
    pub subject: Option<usize>,
}

/// All of it.
pub struct Stock {
    pub blobs: Vec<Blob>,
    pub goods: Vec<Goods>,
}

impl Stock {
    pub fn new(seed: u64) -> Stock {
        let mut random = Random::of(seed, 1);
        let mut stock = Stock {
            blobs: Vec::new(),
            goods: Vec::new(),
        };
        for _ in 0..LAYERS {
            let size = 16 + random.size(LARGEST);
            stock.blob(random.bytes(size));
        }
        for number in 0..IMAGES {
            let layers = (0..1 + random.below(3)).map(|_| random.below(LAYERS));
            let layers: Vec<usize> = layers.collect();
            stock.image(number, layers, None);
        }
        for _ in 0..INDEXES {
            let first = random.below(IMAGES);
            let second = (first + 1 + random.below(IMAGES - 1)) % IMAGES;
            stock.index(vec![first, second]);
        }
        for number in 0..REFERRERS {
            let subject = random.below(IMAGES);
            let layers = vec![random.below(LAYERS)];
            stock.image(1000 + number, layers, Some(subject));
        }
        stock
    }

    /// Any image.
    pub fn an_image(&self, random: &mut Random) -> usize {
        random.below(IMAGES)
    }

    /// Anything.
    pub fn any(&self, random: &mut Random) -> usize {
        random.below(self.goods.len())
    }

    /// Which of the goods has this digest.
    pub fn find(&self, digest: &str) -> Option<usize> {
        self.goods.iter().position(|goods| goods.digest == digest)
    }

    fn blob(&mut self, bytes: Vec<u8>) -> usize {
        let digest = sha256(&bytes);
        self.blobs.push(Blob { digest, bytes });
        self.blobs.len() - 1
    }

    fn image(&mut self, number: usize, layers: Vec<usize>, subject: Option<usize>) {
        let config = bytes(&json!({"architecture": "amd64", "os": "linux", "number": number}));
        let media = "application/vnd.oci.image.config.v1+json";
        let described = layers.iter();
        let described = described.map(|layer| descriptor(LAYER, &self.blobs[*layer].bytes));
        let mut document = json!({
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": descriptor(media, &config),
            "layers": described.collect::<Vec<_>>(),
        });
        if let Some(subject) = subject {
            document["subject"] = descriptor(IMAGE, &self.goods[subject].bytes);
        }
        let mut blobs = layers;
        blobs.push(self.blob(config));
        blobs.dedup();
        self.goods(bytes(&document), IMAGE, blobs, Vec::new(), subject);
    }

    fn index(&mut self, children: Vec<usize>) {
        let list = children.iter();
        let list: Vec<_> = list
            .map(|child| (IMAGE, &*self.goods[*child].bytes))
            .collect();
        let document = bytes(&index(&list));
        self.goods(document, INDEX, Vec::new(), children, None);
    }

    fn goods(
        &mut self,
        bytes: Vec<u8>,
        media: &'static str,
        blobs: Vec<usize>,
        children: Vec<usize>,
        subject: Option<usize>,
    ) {
        self.goods.push(Goods {
            digest: sha256(&bytes),
            bytes,
            media,
            blobs,
            children,
            subject,
        });
    }
}
