//! What the storage keeps of a robot: the hash of its secret, its rights and
//! its times, as JSON.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::name::RobotName;
use super::secret::Secret;
use crate::auth::caller::{Caller, Grant, Identity, Proof, Stamp};
use crate::oci::{Actions, Digest};

/// A robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Robot {
    /// All that it may do.
    pub grants: Vec<Grant>,
    /// When it was made.
    pub made: Timestamp,
    /// From when on its secret no longer counts.
    pub expires: Option<Timestamp>,
    hash: Digest,
    stamp: Stamp,
}

/// As it is written. A field that this version does not know may take rights
/// away, so that such a record is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    secret: String,
    allow: Vec<Allow>,
    made: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    repositories: String,
    actions: String,
}

impl Robot {
    /// A robot with this secret, made now; `life` is how long it counts.
    pub fn new(
        secret: &Secret,
        grants: Vec<Grant>,
        now: SystemTime,
        life: Option<Duration>,
    ) -> Option<Self> {
        let at = |time: SystemTime| {
            let time = Timestamp::try_from(time).ok()?;
            Timestamp::from_second(time.as_second()).ok()
        };
        let expires = match life {
            Some(life) => Some(at(now.checked_add(life)?)?),
            None => None,
        };
        let robot = Self {
            grants,
            made: at(now)?,
            expires,
            hash: secret.hash(),
            stamp: Stamp([0; 16]),
        };
        Self::read(&robot.write()?)
    }

    /// The record, for the storage.
    pub(super) fn write(&self) -> Option<Bytes> {
        let allow = self.grants.iter().map(|grant| Allow {
            repositories: grant.repositories.to_string(),
            actions: grant.actions.to_string(),
        });
        let written = Written {
            secret: self.hash.to_string(),
            allow: allow.collect(),
            made: self.made.to_string(),
            expires: self.expires.map(|time| time.to_string()),
        };
        serde_json::to_vec(&written).ok().map(Bytes::from)
    }

    /// The robot in a record; `None` if it cannot be read.
    pub(super) fn read(record: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(record).ok()?;
        let grant = |allow: &Allow| {
            let words = allow.actions.split(',').map(str::parse);
            Some(Grant {
                repositories: allow.repositories.parse().ok()?,
                actions: words.collect::<Result<Actions, _>>().ok()?,
            })
        };
        let expires = match written.expires {
            Some(time) => Some(time.parse().ok()?),
            None => None,
        };
        Some(Self {
            grants: written.allow.iter().map(grant).collect::<Option<_>>()?,
            made: written.made.parse().ok()?,
            expires,
            hash: written.secret.parse().ok()?,
            stamp: Stamp(*Sha256::digest(record).first_chunk()?),
        })
    }

    /// Whether its secret no longer counts.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        let over = |expires: Timestamp| SystemTime::from(expires) <= now;
        self.expires.is_some_and(over)
    }

    /// Tells this record from every other of the same name.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Who it is in a request.
    pub(super) fn caller(&self, name: &RobotName) -> Caller {
        let identity = Identity::Robot(name.to_string());
        Caller {
            grants: Some(self.grants.clone()),
            ..Caller::known(identity, Proof::Robot(self.stamp))
        }
    }
}

/// Whether this is the secret of that robot. Takes the same time whether there
/// is a robot, and wherever the secret is wrong.
pub(super) fn fits(secret: &Secret, robot: Option<&Robot>) -> bool {
    let sent = secret.hash();
    let kept = robot.map_or(&sent, |robot| &robot.hash);
    let same = sent.hex().as_bytes().ct_eq(kept.hex().as_bytes());
    bool::from(same) && robot.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn robot(life: Option<Duration>) -> (Secret, Robot) {
        let secret = Secret::random().unwrap();
        let grants = vec![Grant {
            repositories: "team/**".parse().unwrap(),
            actions: ["pull", "push"]
                .map(|word| word.parse().unwrap())
                .into_iter()
                .collect(),
        }];
        let robot = Robot::new(&secret, grants, SystemTime::UNIX_EPOCH, life).unwrap();
        (secret, robot)
    }

    #[test]
    fn is_read_back_as_it_was_written() {
        for life in [None, Some(Duration::from_secs(60))] {
            let (secret, robot) = robot(life);
            let record = robot.write().unwrap();
            assert_eq!(Robot::read(&record), Some(robot));
            let record = String::from_utf8(record.to_vec()).unwrap();
            assert!(!record.contains(&secret.reveal()[6..]));
        }
    }

    #[test]
    fn a_record_that_says_more_is_refused() {
        let (_, robot) = robot(None);
        let record = String::from_utf8(robot.write().unwrap().to_vec()).unwrap();
        for (old, new) in [
            ("{\"secret\"", "{\"only\":\"10.0.0.0/8\",\"secret\""),
            ("pull,push", "pull,admin"),
            ("team/**", "**/**"),
            ("sha256:", ""),
        ] {
            assert_eq!(
                Robot::read(record.replace(old, new).as_bytes()),
                None,
                "{new}"
            );
        }
    }

    #[test]
    fn counts_until_it_expires() {
        let (_, robot) = robot(Some(Duration::from_secs(60)));
        let after = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!robot.is_expired(after(59)));
        assert!(robot.is_expired(after(60)));
    }

    #[test]
    fn only_its_own_secret_fits() {
        let (secret, robot) = robot(None);
        assert!(fits(&secret, Some(&robot)));
        assert!(!fits(&secret, None));
        assert!(!fits(&Secret::random().unwrap(), Some(&robot)));
    }
}
