//! Certificates that wharf makes itself: a local authority and a server
//! certificate signed by it, kept in a directory across restarts.
//!
//! The server's is an end-entity certificate (basicConstraints `CA:FALSE`,
//! subjectAltName), so that every client accepts it: rustls refuses others with
//! `CaUsedAsEndEntity`, and Go no longer looks at common names.

mod names;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use tracing::{error, info};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

pub use names::{InvalidName, default_names};

use super::Shutdown;
use super::tls::{Leaf, colons};

/// Seconds in a day.
const DAY: u64 = 86_400;

/// How long the authority is valid.
const AUTHORITY_DAYS: u64 = 3_650;

/// How long a server certificate is valid: clients refuse more than 398 days.
const SERVER_DAYS: u64 = 396;

/// With fewer days left, a certificate is made anew.
const RENEW_DAYS: i64 = 30;

/// Clocks of clients may be behind by this much.
const BACKDATED: u64 = DAY / 24;

/// How often a running server looks whether its certificate needs renewing.
const LOOK_AGAIN: Duration = Duration::from_secs(12 * 3_600);

/// A pair of files for `http.tls`, and the authority that clients have to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// `server.crt`: the server's certificate, then the authority's.
    pub certificate: PathBuf,
    /// `server.key`, mode 0600.
    pub key: PathBuf,
    /// `ca.crt`: for the clients.
    pub ca: PathBuf,
    /// SHA-256 of the authority's certificate, as `AB:CD:…`.
    pub fingerprint: String,
    /// What the certificate is valid for.
    pub names: Vec<String>,
    /// Whether the server's certificate was made just now.
    pub renewed: bool,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// Nothing can be a certificate's name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A file or the directory cannot be read or written.
    #[error("cannot {action} {}: {error}: correct its owner and mode, or choose another data directory", path.display())]
    File {
        /// `read`, `write` or `create`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// `ca.crt` and `ca.key` are there but are no pair.
    #[error("the authority in {} cannot be used: {reason}: put the pair ca.crt and ca.key back, or remove both to have a new one made (clients must then trust that)", path.display())]
    Authority {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes sure that `directory` holds an authority and a server certificate for
/// `names` (DNS names or addresses; at least one). What is there is kept; the
/// server's certificate is made anew, by the same authority, if a name is
/// missing or fewer than 30 days are left. Blocks.
///
/// # Errors
/// See [`CertificatesError`].
pub fn ensure(directory: &Path, names: &[String]) -> Result<Issued, CertificatesError> {
    ensure_at(directory, names, now())
}

/// Keeps the certificate from expiring under a running server: calls
/// [`ensure`] twice a day until the background tasks end. The server takes up
/// what is new by itself.
pub async fn keep(directory: PathBuf, names: Vec<String>, shutdown: Shutdown) {
    let end = shutdown.background();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        let (directory, names) = (directory.clone(), names.clone());
        match tokio::task::spawn_blocking(move || ensure(&directory, &names)).await {
            Ok(Ok(issued)) if issued.renewed => {
                info!("renewed the certificate {}", issued.certificate.display());
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => error!("the certificate is not renewed: {error}"),
            Err(error) => error!(%error, "the certificate is not renewed"),
        }
    }
}

fn ensure_at(directory: &Path, names: &[String], now: u64) -> Result<Issued, CertificatesError> {
    let names = names::parse(names)?;
    make_directory(directory)?;
    let authority = Authority::ensure(directory, now)?;
    let mut issued = Issued {
        certificate: directory.join("server.crt"),
        key: directory.join("server.key"),
        ca: directory.join("ca.crt"),
        fingerprint: colons(&Sha256::digest(&authority.certificate)),
        names: names.clone(),
        renewed: false,
    };
    match kept(&issued, &authority, &names, now) {
        Some(there) => issued.names = there,
        None => {
            issue(&issued, &authority, names, now)?;
            issued.renewed = true;
        }
    }
    Ok(issued)
}

/// The names of the certificate that is there, if it still serves.
fn kept(files: &Issued, authority: &Authority, names: &[String], now: u64) -> Option<Vec<String>> {
    let chain = fs::read(&files.certificate).ok()?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .ok()?;
    let [server, issuer] = chain.as_slice() else {
        return None;
    };
    let key = Zeroizing::new(fs::read_to_string(&files.key).ok()?);
    let key = KeyPair::from_pem(&key).ok()?;
    let leaf = Leaf::read(&chain)?;
    let (_, certificate) = X509Certificate::from_der(server).ok()?;
    let serves = *issuer == authority.certificate
        && certificate.public_key().raw == key.subject_public_key_info()
        && leaf.days_left(seconds(now)) >= RENEW_DAYS
        && names.iter().all(|name| leaf.names.contains(name));
    serves.then_some(leaf.names)
}

/// Makes a key and a certificate. The key is written first: between the two
/// files the pair does not match, which a running server survives and the next
/// start repairs.
fn issue(
    files: &Issued,
    authority: &Authority,
    names: Vec<String>,
    now: u64,
) -> Result<(), CertificatesError> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = common_name("wharf");
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    let not_after = (now + SERVER_DAYS * DAY).min(authority.not_after);
    set_validity(&mut parameters, now, not_after);
    let certificate = parameters.signed_by(&key, &authority.issuer)?;
    let chain = format!("{}{}", certificate.pem(), authority.pem);
    write(&files.key, 0o600, &Zeroizing::new(key.serialize_pem()))?;
    write(&files.certificate, 0o644, &chain)
}

/// The local authority, ready to sign.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    /// Seconds since 1970.
    not_after: u64,
}

impl Authority {
    /// The one in the directory, or a new one if there is none or it ends soon.
    fn ensure(directory: &Path, now: u64) -> Result<Self, CertificatesError> {
        let (certificate, key) = (directory.join("ca.crt"), directory.join("ca.key"));
        // The key is written first: without a certificate nobody trusts it yet.
        if let Some(pem) = read(&certificate)? {
            let key = read(&key)?.map(Zeroizing::new);
            let there = Self::read(pem, key.as_deref().map(String::as_str)).map_err(|reason| {
                CertificatesError::Authority {
                    path: directory.to_owned(),
                    reason,
                }
            })?;
            if there.not_after >= now + RENEW_DAYS.unsigned_abs() * DAY {
                return Ok(there);
            }
            error!(
                "the authority {} ends: a new one is made, which clients have to trust anew",
                certificate.display()
            );
        }
        Self::make(&certificate, &key, now)
    }

    fn read(pem: String, key: Option<&str>) -> Result<Self, String> {
        let key = key.ok_or("ca.key is missing")?;
        let key = KeyPair::from_pem(key).map_err(|error| format!("ca.key: {error}"))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("ca.crt: {error}"))?;
        let (_, parsed) =
            X509Certificate::from_der(&certificate).map_err(|error| format!("ca.crt: {error}"))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err("ca.key does not belong to ca.crt".to_owned());
        }
        if !parsed.is_ca() {
            return Err("ca.crt is no authority's certificate".to_owned());
        }
        let not_after = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| format!("ca.crt: {error}"))?;
        Ok(Self {
            issuer,
            certificate,
            pem,
            not_after,
        })
    }

    fn make(certificate: &Path, key: &Path, now: u64) -> Result<Self, CertificatesError> {
        let pair = KeyPair::generate()?;
        let id = Sha256::digest(pair.subject_public_key_info());
        let id: String = id
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let not_after = now + AUTHORITY_DAYS * DAY;

        let mut parameters = CertificateParams::default();
        // Browsers and trust stores list authorities by name.
        parameters.distinguished_name = common_name(&format!("wharf local CA {id}"));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut parameters, now, not_after);
        let made = parameters.self_signed(&pair)?;

        write(key, 0o600, &Zeroizing::new(pair.serialize_pem()))?;
        write(certificate, 0o644, &made.pem())?;
        Ok(Self {
            certificate: made.der().clone(),
            pem: made.pem(),
            issuer: Issuer::new(parameters, pair),
            not_after,
        })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The directory for its owner alone.
fn make_directory(path: &Path) -> Result<(), CertificatesError> {
    let failed = |error| file_error("create", path, error);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<String>, CertificatesError> {
    match fs::read_to_string(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error("read", path, error)),
    }
}

/// Replaces a file at once and durably.
fn write(path: &Path, mode: u32, content: &str) -> Result<(), CertificatesError> {
    let new = path.with_extension("new");
    let replace = || {
        // One of a process that was killed may have another mode.
        let _ = fs::remove_file(&new);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&new)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    replace().map_err(|error| file_error("write", path, error))
}

fn file_error(action: &'static str, path: &Path, error: io::Error) -> CertificatesError {
    CertificatesError::File {
        action,
        path: path.to_owned(),
        error,
    }
}

/// Sets a certificate's validity, in seconds since 1970; it begins a little
/// before `now`.
fn set_validity(parameters: &mut CertificateParams, now: u64, not_after: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + Duration::from_secs(now.saturating_sub(BACKDATED));
    parameters.not_after = epoch + Duration::from_secs(not_after);
}

fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
