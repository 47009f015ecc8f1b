//! What a certificate says about itself, for the log.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Seconds in a day.
const DAY: i64 = 86_400;

/// The certificate that the server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Leaf {
    /// DNS names and addresses that it is valid for.
    pub(in crate::server) names: Vec<String>,
    /// Its last second, as seconds since 1970.
    pub(in crate::server) not_after: i64,
    /// SHA-256 of the last certificate of the chain, the one that clients who
    /// don't trust it yet would have to trust.
    pub(in crate::server) fingerprint: String,
}

/// How close the end of a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expiry {
    /// More than three weeks.
    Far,
    /// At most 21 days.
    Weeks,
    /// At most 7 days.
    Days,
    /// At most one day.
    Tomorrow,
    /// It has passed.
    Past,
}

impl Leaf {
    /// Reads the first certificate of a chain, or `None` if it is no X.509.
    pub(in crate::server) fn read(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
        let names = match certificate.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(name).collect(),
            _ => Vec::new(),
        };
        Some(Self {
            names,
            not_after: certificate.validity().not_after.timestamp(),
            fingerprint: colons(&Sha256::digest(chain.last()?)),
        })
    }

    /// How close the end is at `now`, in seconds since 1970.
    pub(super) fn expiry(&self, now: i64) -> Expiry {
        match self.not_after - now {
            left if left < 0 => Expiry::Past,
            left if left <= DAY => Expiry::Tomorrow,
            left if left <= 7 * DAY => Expiry::Days,
            left if left <= 21 * DAY => Expiry::Weeks,
            _ => Expiry::Far,
        }
    }

    /// Whole days until the end.
    pub(in crate::server) fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).max(0) / DAY
    }
}

/// Bytes as clients print fingerprints: `AB:CD:…`.
pub(in crate::server) fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            if let Ok(four) = <[u8; 4]>::try_from(*octets) {
                Some(IpAddr::from(four).to_string())
            } else {
                let sixteen = <[u8; 16]>::try_from(*octets).ok()?;
                Some(IpAddr::from(sixteen).to_string())
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_has_steps() {
        let leaf = Leaf {
            names: Vec::new(),
            not_after: 100 * DAY,
            fingerprint: String::new(),
        };
        assert_eq!(leaf.expiry(0), Expiry::Far);
        assert_eq!(leaf.expiry(79 * DAY), Expiry::Weeks);
        assert_eq!(leaf.expiry(93 * DAY), Expiry::Days);
        assert_eq!(leaf.expiry(99 * DAY), Expiry::Tomorrow);
        assert_eq!(leaf.expiry(100 * DAY), Expiry::Tomorrow);
        assert_eq!(leaf.expiry(100 * DAY + 1), Expiry::Past);
        assert_eq!(leaf.days_left(93 * DAY), 7);
        assert_eq!(leaf.days_left(200 * DAY), 0);
    }

    #[test]
    fn reads_names_of_both_kinds() {
        let names = ["reg.test", "10.0.0.7", "::1"].map(str::to_owned);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(names.to_vec())
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let leaf = Leaf::read(&[certificate.der().clone()]).unwrap();
        assert_eq!(leaf.names, names);
        assert_eq!(leaf.fingerprint.len(), 32 * 3 - 1);
        assert_eq!(Leaf::read(&[CertificateDer::from(vec![1, 2, 3])]), None);
        assert_eq!(Leaf::read(&[]), None);
    }
}
