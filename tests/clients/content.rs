//! What the clients push: OCI image layouts, one image, index or artifact in
//! each, made here byte for byte so that digests are known beforehand.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The type of the artifact that [`artifact`] makes.
pub const ARTIFACT_TYPE: &str = "application/vnd.example.sbom";

/// The tag of the one thing in a layout.
pub const TAG: &str = "v1";

/// A directory in the OCI image layout.
pub struct Layout {
    /// Where it is.
    pub dir: PathBuf,
    /// The digest of what [`TAG`] names.
    pub digest: String,
}

/// How an image's layer is compressed.
#[derive(Clone, Copy)]
pub enum Compression {
    /// Not at all.
    None,
    /// As a zstd frame.
    Zstd,
}

/// An image for one platform, with one layer of this many bytes before
/// compression.
pub fn image(dir: &Path, compression: Compression, bytes: u64) -> Layout {
    let mut maker = Maker::new(dir);
    let manifest = maker.image("amd64", compression, bytes);
    maker.finish(manifest)
}

/// An image whose layer is a tar of this many bytes and a little, not
/// compressible. It is made once for each target directory, since making it
/// takes longer than pushing it.
pub fn large_image(bytes: u64) -> Layout {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("large-{bytes}"));
    let done = dir.join("digest");
    if let Ok(digest) = fs::read_to_string(&done) {
        return Layout { dir, digest };
    }
    let mut maker = Maker::new(&dir);
    let manifest = maker.image("amd64", Compression::None, bytes);
    let layout = maker.finish(manifest);
    fs::write(done, &layout.digest).expect("the digest written");
    layout
}

/// An index of two platforms.
pub fn index(dir: &Path) -> Layout {
    let mut maker = Maker::new(dir);
    let manifests = ["amd64", "arm64"].map(|architecture| {
        let mut manifest = maker.image(architecture, Compression::None, 100_000);
        manifest["platform"] = json!({ "architecture": architecture, "os": "linux" });
        manifest
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    let index = maker.blob(INDEX, index.to_string().as_bytes());
    maker.finish(index)
}

/// An artifact that refers to the image in `subject`.
pub fn artifact(dir: &Path, subject: &Layout) -> Layout {
    let maker = Maker::new(dir);
    let empty = maker.blob("application/vnd.oci.empty.v1+json", b"{}");
    let layer = maker.blob("text/plain", b"the contents of the box");
    let of = fs::read(blob_path(&subject.dir, &subject.digest)).expect("the subject");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": empty,
        "layers": [layer],
        "subject": { "mediaType": MANIFEST, "digest": subject.digest, "size": of.len() },
    });
    // The subject stands beside it: some clients walk from one to the other.
    copy_blobs(&subject.dir, dir);
    let manifest = maker.blob(MANIFEST, manifest.to_string().as_bytes());
    maker.finish(manifest)
}

/// The digest of what the layout in `dir` names first.
pub fn digest_in(dir: &Path) -> String {
    let index = fs::read(dir.join("index.json")).expect("index.json");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str();
    digest.expect("a digest").to_owned()
}

/// The files of the layers that the layout's manifests name, in their order.
pub fn layer_files(layout: &Layout) -> Vec<PathBuf> {
    let manifest = fs::read(blob_path(&layout.dir, &layout.digest)).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let mut files = Vec::new();
    for child in manifest["manifests"].as_array().into_iter().flatten() {
        let digest = child["digest"].as_str().expect("a digest").to_owned();
        let dir = layout.dir.clone();
        files.extend(layer_files(&Layout { dir, digest }));
    }
    for layer in manifest["layers"].as_array().into_iter().flatten() {
        let digest = layer["digest"].as_str().expect("a digest");
        files.push(blob_path(&layout.dir, digest));
    }
    files
}

/// Writes the layout in `dir` as one tar file.
pub fn tar_of(layout: &Layout, file: &Path) {
    crate::support::run("tar")
        .arg("-C")
        .arg(&layout.dir)
        .arg("-cf")
        .arg(file)
        .args(["oci-layout", "index.json", "blobs"])
        .ok();
}

/// `sha256:` and the digest of these bytes.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Maker {
    dir: PathBuf,
    seed: u64,
}

impl Maker {
    fn new(dir: &Path) -> Maker {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir.join("blobs/sha256")).expect("the layout's directory");
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("oci-layout");
        Maker {
            dir: dir.to_owned(),
            seed: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Stores bytes and describes them.
    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        fs::write(blob_path(&self.dir, &digest), bytes).expect("a blob written");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    fn image(&mut self, architecture: &str, compression: Compression, bytes: u64) -> Value {
        let (layer, diff_id) = match compression {
            Compression::None => {
                let layer = self.tar_layer(bytes);
                let diff_id = layer["digest"].clone();
                (layer, diff_id)
            }
            Compression::Zstd => {
                let mut tar = Vec::new();
                self.write_tar(&mut tar, bytes).expect("a tar in memory");
                let frame = zstd_frame(&tar);
                let layer = self.blob(&format!("{LAYER}+zstd"), &frame);
                (layer, json!(sha256(&tar)))
            }
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Cmd": ["/file"] },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
        });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// A layer written to its file while it is hashed, whatever its size.
    fn tar_layer(&mut self, bytes: u64) -> Value {
        let unnamed = self.dir.join("layer");
        let file = File::create(&unnamed).expect("the layer's file");
        let mut hashed = Hashed {
            inner: BufWriter::with_capacity(1 << 20, file),
            state: Sha256::new(),
            size: 0,
        };
        self.write_tar(&mut hashed, bytes)
            .expect("the layer written");
        hashed.flush().expect("the layer written");
        let digest = format!("sha256:{}", hex(&hashed.state.finalize()));
        fs::rename(unnamed, blob_path(&self.dir, &digest)).expect("the layer named");
        json!({ "mediaType": LAYER, "digest": digest, "size": hashed.size })
    }

    /// A tar with one file of pseudo-random bytes.
    fn write_tar(&mut self, out: &mut impl Write, bytes: u64) -> std::io::Result<()> {
        let mut header = [0u8; 512];
        let mut field = |at: usize, text: &str| {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        field(0, "file");
        field(100, "0000644\0");
        field(108, "0000000\0");
        field(116, "0000000\0");
        field(124, &format!("{bytes:011o}\0"));
        field(136, "00000000000\0");
        field(148, "        ");
        field(156, "0");
        field(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.write_all(&header)?;
        // One random block, again and again: longer than what deflate looks back
        // at, so it doesn't compress, and much quicker than fresh bytes.
        let mut block = vec![0u8; 1 << 18];
        for word in block.chunks_exact_mut(8) {
            word.copy_from_slice(&self.random().to_le_bytes());
        }
        let mut left = bytes;
        while left > 0 {
            let take = left.min(block.len() as u64);
            out.write_all(&block[..usize::try_from(take).unwrap()])?;
            left -= take;
        }
        let padding = usize::try_from(bytes.wrapping_neg() % 512).unwrap();
        out.write_all(&[0u8; 512][..padding])?;
        out.write_all(&[0u8; 1024])
    }

    /// Xorshift: quick, and the same in every run.
    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn finish(self, mut descriptor: Value) -> Layout {
        let digest = descriptor["digest"].as_str().expect("a digest").to_owned();
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": TAG });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor] });
        fs::write(self.dir.join("index.json"), index.to_string()).expect("index.json");
        Layout {
            dir: self.dir,
            digest,
        }
    }
}

/// A zstd frame of raw blocks (RFC 8878, 3.1.1): valid, without a compressor.
fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = 0xfd2f_b528_u32.to_le_bytes().to_vec();
    // Single segment, the content's size in four bytes, no checksum.
    frame.push(0b1010_0000);
    frame.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    let blocks = bytes.chunks(1 << 17);
    let last = blocks.len() - 1;
    for (number, block) in blocks.enumerate() {
        let header = (u32::try_from(block.len()).unwrap() << 3) | u32::from(number == last);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

fn blob_path(dir: &Path, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").expect("a SHA-256 digest");
    dir.join("blobs/sha256").join(hex)
}

fn copy_blobs(from: &Path, to: &Path) {
    for entry in fs::read_dir(from.join("blobs/sha256")).expect("the blobs") {
        let entry = entry.expect("a blob");
        let target = to.join("blobs/sha256").join(entry.file_name());
        fs::copy(entry.path(), target).expect("a blob copied");
    }
}

struct Hashed {
    inner: BufWriter<File>,
    state: Sha256,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.inner.write_all(bytes)?;
        self.state.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
