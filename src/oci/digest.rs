//! Digests: the content addresses of blobs and manifests.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// The hash algorithms of image-spec's "Registered algorithms" that wharf
/// stores under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the canonical algorithm.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// A digest `<algorithm>:<hex>` (image-spec, "Digests"). The hex part always
/// has the length of its algorithm and is lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// Why a string is no digest that wharf can store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDigest {
    /// There is no `:`, or what stands before it is no algorithm.
    #[error("`{0}` is no digest: expected `sha256:` or `sha512:` and the hash in lower-case hex")]
    Grammar(String),
    /// The algorithm is not supported.
    #[error("the digest algorithm `{0}` is not supported: use `sha256` or `sha512`")]
    Algorithm(String),
    /// The hash has the wrong length or characters.
    #[error("`{text}` is no {algorithm} digest: expected {} lower-case hex digits", .algorithm.hex_length())]
    Hex {
        /// The algorithm that was named.
        algorithm: Algorithm,
        /// The whole string.
        text: String,
    },
}

impl Algorithm {
    /// The name before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The number of hex digits of a hash.
    pub fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        let mut digester = self.digester();
        digester.update(bytes);
        digester.finish()
    }

    /// Takes the digest of bytes that come one after another.
    pub fn digester(self) -> Digester {
        match self {
            Self::Sha256 => Digester::Sha256(sha2::Sha256::new()),
            Self::Sha512 => Digester::Sha512(sha2::Sha512::new()),
        }
    }
}

/// One digest on its way; see [`Algorithm::digester`].
pub enum Digester {
    /// By SHA-256.
    Sha256(sha2::Sha256),
    /// By SHA-512.
    Sha512(sha2::Sha512),
}

impl Digester {
    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of everything so far.
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hash) => Digest::from_hash(Algorithm::Sha256, &hash.finalize()),
            Self::Sha512(hash) => Digest::from_hash(Algorithm::Sha512, &hash.finalize()),
        }
    }
}

impl FromStr for Algorithm {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            other => Err(InvalidDigest::Algorithm(shortened(other))),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Digest {
    /// A digest from the raw output of a hash function.
    pub fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        use std::fmt::Write as _;
        let mut hex = String::with_capacity(hash.len() * 2);
        for byte in hash {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self { algorithm, hex }
    }

    /// The algorithm before the colon.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The lower-case hex digits after the colon.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let (algorithm, hex) = text
            .split_once(':')
            .ok_or_else(|| InvalidDigest::Grammar(shortened(text)))?;
        let component = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if !algorithm.split(['+', '.', '_', '-']).all(component) {
            return Err(InvalidDigest::Grammar(shortened(text)));
        }
        let algorithm: Algorithm = algorithm.parse()?;
        let valid = hex.len() == algorithm.hex_length()
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self {
                algorithm,
                hex: hex.to_owned(),
            })
        } else {
            Err(InvalidDigest::Hex {
                algorithm,
                text: shortened(text),
            })
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm, self.hex)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Error messages repeat at most this much of what was sent.
fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hashes_like_the_standard_says() {
        assert_eq!(Algorithm::Sha256.digest(b"").to_string(), EMPTY);
        assert!(
            Algorithm::Sha512
                .digest(b"abc")
                .hex()
                .starts_with("ddaf35a193617abacc417349ae204131")
        );
    }

    #[test]
    fn refuses_what_is_no_digest() {
        for text in [
            "",
            ":",
            "sha256",
            "sha256:",
            "sha256:abc",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "SHA256:00",
            &EMPTY.to_uppercase(),
            &format!("{EMPTY}0"),
            &format!("{EMPTY} "),
            &EMPTY.replace("e3", "g3"),
            "sha256:../../../../etc/passwd",
            "../x:00",
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn wire_form_round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let digest = algorithm.digest(&bytes);
                prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
            }
        }
    }
}
