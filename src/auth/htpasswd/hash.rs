//! Password hashes of a users file: bcrypt and argon2id, and the names of those
//! that are not accepted.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use bcrypt::{HashParts, Version};

use crate::auth::password::Password;

/// bcrypt reads no more bytes of a password than these.
pub const BCRYPT_MAX_PASSWORD: usize = 72;

/// The highest bcrypt cost that is accepted: what Apache's `htpasswd` can
/// write (some 8 s). One step more doubles it; 31 takes days.
const MAX_BCRYPT_COST: u32 = 17;

/// The most memory that one argon2 verification may take, in KiB (256 MiB).
const MAX_ARGON2_MEMORY: u32 = 256 * 1024;

/// The most memory times passes of one argon2 verification, in KiB: some 3 s.
const MAX_ARGON2_WORK: u64 = 4 * 1024 * 1024;

/// An accepted password hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    text: String,
    cost: Cost,
}

/// The kind of a hash and what verifying it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cost {
    /// bcrypt with 2^n rounds.
    Bcrypt(u32),
    /// argon2id.
    Argon2id {
        /// KiB.
        memory: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
}

/// The kind of a new hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewHash {
    /// argon2id, 19 MiB, two passes: the library's default.
    Argon2id,
    /// bcrypt with this cost, which registry:2 reads as well.
    Bcrypt(u32),
}

/// Why the text behind a user's colon can never match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A kind that is too weak, or unknown. Says the kind, never the text:
    /// it may be a password.
    #[error("{0} is not accepted")]
    Kind(&'static str),
    /// An accepted kind with something missing or too much.
    #[error("{0} hash is damaged")]
    Damaged(&'static str),
    /// Verifying it would block a processor, or take too much memory.
    #[error("{0} costs too much to verify")]
    TooExpensive(String),
}

/// Why no hash could be made.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The password is longer than what bcrypt reads.
    #[error(
        "the password is {0} bytes long; bcrypt reads only {BCRYPT_MAX_PASSWORD} of them: take a shorter one"
    )]
    TooLong(usize),
    /// The cost is out of bounds.
    #[error("the cost {0} is not between 4 and {MAX_BCRYPT_COST}")]
    Cost(u32),
    /// The library failed, which means the system gave no random bytes.
    #[error("hashing failed: {0}")]
    Failed(String),
}

impl Hash {
    /// Reads what stands behind a user's colon.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let cost = match text {
            _ if ["$2a$", "$2b$", "$2y$"]
                .iter()
                .any(|prefix| text.starts_with(prefix)) =>
            {
                bcrypt_cost(text)?
            }
            _ if text.starts_with("$argon2id$") => argon2_cost(text)?,
            _ => return Err(Refused::Kind(foreign_kind(text))),
        };
        Ok(Self {
            text: text.to_owned(),
            cost,
        })
    }

    /// Hashes a password. Takes some 20 to 60 ms, and twice as long for each
    /// step of bcrypt's cost above 10.
    pub fn make(kind: NewHash, password: &Password) -> Result<Self, HashError> {
        let password = password.reveal().as_bytes();
        let text = match kind {
            NewHash::Argon2id => Argon2::default()
                .hash_password(password)
                .map_err(|error| HashError::Failed(error.to_string()))?
                .to_string(),
            NewHash::Bcrypt(cost) => {
                if !(4..=MAX_BCRYPT_COST).contains(&cost) {
                    return Err(HashError::Cost(cost));
                }
                if password.len() > BCRYPT_MAX_PASSWORD {
                    return Err(HashError::TooLong(password.len()));
                }
                bcrypt::hash_with_result(password, cost)
                    .map_err(|error| HashError::Failed(error.to_string()))?
                    .format_for_version(Version::TwoY)
            }
        };
        Self::parse(&text).map_err(|refused| HashError::Failed(refused.to_string()))
    }

    /// A hash that no password is known for, at a given cost: what an unknown
    /// user is verified against, so that it takes as long as a wrong password.
    pub fn unmatchable(cost: Cost) -> Self {
        let text = match cost {
            Cost::Bcrypt(rounds) => format!("$2y${rounds:02}${}", ".".repeat(53)),
            Cost::Argon2id {
                memory,
                passes,
                lanes,
            } => format!(
                "$argon2id$v=19$m={memory},t={passes},p={lanes}${}${}",
                "A".repeat(22),
                "A".repeat(43)
            ),
        };
        Self { text, cost }
    }

    /// Whether this is the hash of `password`. Compares in constant time, and
    /// takes as long for a password of another length.
    pub fn verify(&self, password: &Password) -> bool {
        let password = password.reveal().as_bytes();
        match self.cost {
            Cost::Bcrypt(_) => {
                // A longer password would match by its first 72 bytes. It is
                // hashed all the same: an answer without a hash would tell that
                // the user exists.
                let (read, fits) = match password.get(..BCRYPT_MAX_PASSWORD) {
                    Some(read) => (read, password.len() == BCRYPT_MAX_PASSWORD),
                    None => (password, true),
                };
                bcrypt::verify(read, &self.text).unwrap_or(false) && fits
            }
            Cost::Argon2id { .. } => PasswordHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
        }
    }

    /// Its kind and what verifying it costs.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// The text as it stands in a users file.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hash({})", self.cost)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bcrypt(cost) => write!(formatter, "bcrypt, cost {cost}"),
            Self::Argon2id {
                memory,
                passes,
                lanes,
            } => write!(formatter, "argon2id, m={memory},t={passes},p={lanes}"),
        }
    }
}

impl Cost {
    /// What [`NewHash::Argon2id`] makes.
    pub const DEFAULT: Self = Self::Argon2id {
        memory: Params::DEFAULT_M_COST,
        passes: Params::DEFAULT_T_COST,
        lanes: Params::DEFAULT_P_COST,
    };
}

fn bcrypt_cost(text: &str) -> Result<Cost, Refused> {
    let parts: HashParts = text.parse().map_err(|_| Refused::Damaged("bcrypt"))?;
    match parts.get_cost() {
        cost @ 4..=MAX_BCRYPT_COST => Ok(Cost::Bcrypt(cost)),
        cost @ 18..=31 => Err(Refused::TooExpensive(Cost::Bcrypt(cost).to_string())),
        _ => Err(Refused::Damaged("bcrypt")),
    }
}

fn argon2_cost(text: &str) -> Result<Cost, Refused> {
    let damaged = || Refused::Damaged("argon2id");
    let hash = PasswordHash::new(text).map_err(|_| damaged())?;
    // Without its version a hash means 16, which the verifier takes for 19; with
    // another the verifier would refuse without hashing.
    if !matches!(hash.version, Some(16 | 19)) || hash.salt.is_none() || hash.hash.is_none() {
        return Err(damaged());
    }
    let params = Params::try_from(&hash).map_err(|_| damaged())?;
    let cost = Cost::Argon2id {
        memory: params.m_cost(),
        passes: params.t_cost(),
        lanes: params.p_cost(),
    };
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > MAX_ARGON2_MEMORY || work > MAX_ARGON2_WORK {
        return Err(Refused::TooExpensive(cost.to_string()));
    }
    Ok(cost)
}

/// What kind a text is that is no accepted hash.
fn foreign_kind(text: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 13] = [
        ("$apr1$", "apr1 hash"),
        ("$1$", "md5-crypt hash"),
        ("$2x$", "bcrypt 2x hash"),
        ("$2$", "bcrypt 2 hash"),
        ("$5$", "sha256-crypt hash"),
        ("$6$", "sha512-crypt hash"),
        ("$7$", "scrypt hash"),
        ("$y$", "yescrypt hash"),
        ("$gy$", "yescrypt hash"),
        ("$argon2i$", "argon2i hash"),
        ("$argon2d$", "argon2d hash"),
        ("{SHA}", "sha hash"),
        ("{SSHA}", "ssha hash"),
    ];
    PREFIXES
        .iter()
        .find(|(prefix, _)| text.starts_with(prefix))
        .map_or("plain text, crypt or an unknown hash", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).unwrap()
    }

    fn refused(text: &str) -> String {
        Hash::parse(text).unwrap_err().to_string()
    }

    /// `gordon` through Apache's `htpasswd -Bbn -C 4`.
    const APACHE: &str = "$2y$04$knGItLJl1vrpsdewkeI3i.hEmAo9ZeRaFNoZEHBb/GpS.xhHRXV8S";

    #[test]
    fn apaches_bcrypt_matches_under_all_its_names() {
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let hash = Hash::parse(&APACHE.replace("$2y$", prefix)).unwrap();
            assert!(hash.verify(&password("gordon")));
            assert!(!hash.verify(&password("gordo")));
            assert!(!hash.verify(&password("gordons")));
            assert_eq!(hash.cost(), Cost::Bcrypt(4));
        }
        let hash = "$2y$04$hCU11xgDKzj8rZKsNvhyEuyJ4eir/NNnaTkdPzapZ3KlQVYjDwtPa";
        assert!(Hash::parse(hash).unwrap().verify(&password("gördon")));
    }

    #[test]
    fn bcrypt_reads_72_bytes_and_a_longer_password_never_matches() {
        // Apache cuts the 80 bytes that this was made of.
        let cut = "$2y$04$WO5KpaoFDYjnX/7.EhBdPed/rLORVidq8d9VcOroS3f9JcR7d7vau";
        let cut = Hash::parse(cut).unwrap();
        assert!(!cut.verify(&password(&"a".repeat(80))));
        assert!(!cut.verify(&password(&"a".repeat(73))));
        let exact = "$2y$04$weThpQPSe8KQdBTyO6TsO.VBgDPAmVk7G9Aak4f5dDC7VDXp09OX6";
        let exact = Hash::parse(exact).unwrap();
        assert!(exact.verify(&password(&"a".repeat(72))));
        assert!(!exact.verify(&password(&"a".repeat(73))));
        assert!(!exact.verify(&password(&"a".repeat(71))));
    }

    #[test]
    fn new_hashes_match_and_carry_their_kind() {
        for kind in [NewHash::Argon2id, NewHash::Bcrypt(4)] {
            let hash = Hash::make(kind, &password("gordon")).unwrap();
            assert!(hash.verify(&password("gordon")));
            assert!(!hash.verify(&password("Gordon")));
        }
        let bcrypt = Hash::make(NewHash::Bcrypt(5), &password("x")).unwrap();
        assert!(bcrypt.as_str().starts_with("$2y$05$"));
        let argon2 = Hash::make(NewHash::Argon2id, &password("x")).unwrap();
        assert!(
            argon2
                .as_str()
                .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
        );
        assert_eq!(argon2.cost(), Cost::DEFAULT);
    }

    #[test]
    fn new_bcrypt_hashes_are_bounded() {
        for cost in [0, 3, 18, 31] {
            assert!(matches!(
                Hash::make(NewHash::Bcrypt(cost), &password("x")),
                Err(HashError::Cost(_))
            ));
        }
        assert!(matches!(
            Hash::make(NewHash::Bcrypt(4), &password(&"a".repeat(73))),
            Err(HashError::TooLong(73))
        ));
    }

    #[test]
    fn other_kinds_are_named() {
        for (text, kind) in [
            ("$apr1$.I5CiQVV$BMFBSmRHRnVdsouAonuIs1", "apr1"),
            ("{SHA}CUBR/UMNimWxLWBLBm+1hYrKb+0=", "sha"),
            ("$1$x$y", "md5-crypt"),
            ("$5$5dLPWrGedH/iNJsI$.QxB.H1CMfXD53", "sha256-crypt"),
            ("$6$2NWheUrJtpOicm42$mdAks/tf7MFmmme95p4", "sha512-crypt"),
            ("$2x$04$knGItLJl1vrpsdewkeI3i.", "bcrypt 2x"),
            ("$argon2i$v=19$m=8,t=1,p=1$AAAA$AAAA", "argon2i"),
        ] {
            assert_eq!(refused(text), format!("{kind} hash is not accepted"));
        }
        for text in ["", "gordon", "G12HtHeCl8rt.", "ünïcödé"] {
            assert_eq!(
                refused(text),
                "plain text, crypt or an unknown hash is not accepted"
            );
        }
    }

    #[test]
    fn damaged_hashes_are_refused() {
        for text in [
            "$2y$",
            "$2y$05$",
            "$2b$03$knGItLJl1vrpsdewkeI3i.hEmAo9ZeRaFNoZEHBb/GpS.xhHRXV8S",
            "$2b$99$knGItLJl1vrpsdewkeI3i.hEmAo9ZeRaFNoZEHBb/GpS.xhHRXV8S",
            "$2y$05$knGItLJl1vrpsdewkeI3i.hEmAo9ZeRaFNoZEHBb/GpS.xhHRXV8Sx",
            "$2y$05$knGItLJl1vrpsdewkeI3i.hEmAo9ZeRaFNoZEHBb/GpS.xhHRXVé",
        ] {
            assert_eq!(refused(text), "bcrypt hash is damaged", "{text}");
        }
        for text in [
            "$argon2id$",
            "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=0,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=5$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$é",
        ] {
            assert_eq!(refused(text), "argon2id hash is damaged", "{text}");
        }
    }

    #[test]
    fn hashes_that_would_pin_a_processor_are_refused() {
        let dear = [
            APACHE.replace("$04$", "$18$"),
            APACHE.replace("$04$", "$31$"),
            Hash::unmatchable(Cost::Argon2id {
                memory: 4_194_304,
                passes: 1,
                lanes: 1,
            })
            .text,
            Hash::unmatchable(Cost::Argon2id {
                memory: 262_144,
                passes: 17,
                lanes: 1,
            })
            .text,
        ];
        for text in dear {
            assert!(refused(&text).ends_with("costs too much to verify"));
        }
    }

    #[test]
    fn an_unmatchable_hash_is_well_formed() {
        let costs = [
            Cost::Bcrypt(4),
            Cost::Bcrypt(10),
            Cost::DEFAULT,
            Cost::Argon2id {
                memory: 64,
                passes: 3,
                lanes: 4,
            },
        ];
        for cost in costs {
            let hash = Hash::unmatchable(cost);
            assert_eq!(Hash::parse(&hash.text).unwrap(), hash);
            assert!(!hash.verify(&password("gordon")));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(\\$2y\\$|\\$argon2id\\$v=19\\$m=8,t=1,p=1\\$|)[ -~é$]{0,60}") {
            let _ = Hash::parse(&text);
        }
    }
}
