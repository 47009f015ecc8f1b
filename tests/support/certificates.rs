//! A certificate authority that lives as long as one test, and the server
//! certificates that it signs.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

/// The names that every test server's certificate is for. `reg.test` stands
/// for a name that Docker's engine verifies: it never verifies 127.0.0.0/8.
pub const SERVER_NAMES: [&str; 4] = ["localhost", "127.0.0.1", "::1", "reg.test"];

/// A certificate authority, with its certificate in a file `ca.crt`.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Authority {
    /// Makes an authority whose files stand in `dir`, which is made.
    pub fn create(dir: &Path, name: &str) -> Authority {
        std::fs::create_dir_all(dir).expect("the authority's directory");
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA certificate");
        std::fs::write(dir.join("ca.crt"), issuer.pem()).expect("ca.crt written");
        Authority {
            issuer,
            dir: dir.to_owned(),
        }
    }

    /// The directory that holds `ca.crt` and nothing else that a client reads
    /// (`--cert-dir`).
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The authority's certificate as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The file that clients are given.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// Signs an end-entity certificate for `names` and writes `domain.crt` and
    /// `domain.key` to `into`.
    pub fn sign(&self, names: &[&str], into: &Path) -> (PathBuf, PathBuf) {
        self.sign_for(ExtendedKeyUsagePurpose::ServerAuth, names, into)
    }

    /// Signs a certificate that a client shows, into the same two files.
    pub fn sign_client(&self, name: &str, into: &Path) -> (PathBuf, PathBuf) {
        self.sign_for(ExtendedKeyUsagePurpose::ClientAuth, &[name], into)
    }

    fn sign_for(
        &self,
        purpose: ExtendedKeyUsagePurpose,
        names: &[&str],
        into: &Path,
    ) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names for a certificate");
        params.distinguished_name = named("wharf test");
        // Explicitly not a CA: clients that use rustls refuse one as a server.
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::create_dir_all(into).expect("the certificate's directory");
        let (crt, pem) = (into.join("domain.crt"), into.join("domain.key"));
        std::fs::write(&crt, certificate.pem()).expect("domain.crt written");
        std::fs::write(&pem, key.serialize_pem()).expect("domain.key written");
        (crt, pem)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
