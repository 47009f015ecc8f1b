//! What is issued, checked with another crate's eyes.

use super::*;
use tempfile::TempDir;
use x509_parser::extensions::ParsedExtension;

/// Some day in 2026.
const NOW: u64 = 1_795_000_000;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_server_certificate_is_an_end_entity_of_the_authority() {
    let directory = TempDir::new().unwrap();
    let issued = ensure_at(directory.path(), &names(&["localhost", "::1"]), NOW).unwrap();
    assert!(issued.renewed);
    let chain = chain(&issued.certificate);
    let (_, server) = X509Certificate::from_der(&chain[0]).unwrap();
    let (_, authority) = X509Certificate::from_der(&chain[1]).unwrap();

    let constraints = server
        .basic_constraints()
        .unwrap()
        .expect("there explicitly");
    assert!(!constraints.value.ca);
    let usage = server.key_usage().unwrap().unwrap();
    assert!(usage.value.digital_signature() && !usage.value.key_cert_sign());
    let purposes = server.extended_key_usage().unwrap().unwrap();
    assert!(purposes.value.server_auth && !purposes.value.any);
    let days = (server.validity().not_after.timestamp() - server.validity().not_before.timestamp())
        as f64
        / DAY as f64;
    assert!(days <= 397.0, "{days}");
    server
        .verify_signature(Some(authority.public_key()))
        .unwrap();
    assert_eq!(server.issuer(), authority.subject());
    assert_eq!(Leaf::read(&chain).unwrap().names, ["localhost", "::1"]);
    let linked = server.extensions().iter().any(|extension| {
        matches!(
            extension.parsed_extension(),
            ParsedExtension::AuthorityKeyIdentifier(_)
        )
    });
    assert!(linked);

    let constraints = authority.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    let usage = authority.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign());
    authority.verify_signature(None).unwrap();
    assert_eq!(fs::read(&issued.ca).unwrap().len(), {
        let chain = fs::read_to_string(&issued.certificate).unwrap();
        chain.len() - chain.rfind("-----BEGIN").unwrap()
    });
}

#[test]
fn keys_are_for_the_owner_alone() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("certs");
    let issued = ensure_at(&directory, &names(&["localhost"]), NOW).unwrap();
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&issued.key), 0o600);
    assert_eq!(mode(&directory.join("ca.key")), 0o600);
    let mut there: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    there.sort();
    assert_eq!(there, ["ca.crt", "ca.key", "server.crt", "server.key"]);
}

#[test]
fn a_restart_keeps_everything() {
    let directory = TempDir::new().unwrap();
    let first = ensure_at(directory.path(), &names(&["localhost", "reg.test"]), NOW).unwrap();
    let before = fs::read(&first.certificate).unwrap();
    let again = ensure_at(directory.path(), &names(&["localhost"]), NOW + 300 * DAY).unwrap();
    assert!(!again.renewed);
    assert_eq!(again.names, ["localhost", "reg.test"]);
    assert_eq!(fs::read(&first.certificate).unwrap(), before);
}

#[test]
fn a_new_name_and_the_last_month_renew_under_the_same_authority() {
    let directory = TempDir::new().unwrap();
    let ensure = |these: &[&str], now| ensure_at(directory.path(), &names(these), now).unwrap();
    let first = ensure(&["localhost"], NOW);
    let named = ensure(&["localhost", "reg.test"], NOW);
    assert!(named.renewed);
    assert_eq!(named.names, ["localhost", "reg.test"]);
    let late = ensure(&["localhost", "reg.test"], NOW + 367 * DAY);
    assert!(late.renewed);
    assert_eq!(first.fingerprint, late.fingerprint);
}

#[test]
fn a_pair_that_does_not_match_is_repaired() {
    let directory = TempDir::new().unwrap();
    let issued = ensure_at(directory.path(), &names(&["localhost"]), NOW).unwrap();
    let other = KeyPair::generate().unwrap().serialize_pem();
    fs::write(&issued.key, other).unwrap();
    let repaired = ensure_at(directory.path(), &names(&["localhost"]), NOW).unwrap();
    assert!(repaired.renewed);
    fs::remove_file(&issued.certificate).unwrap();
    let repaired = ensure_at(directory.path(), &names(&["localhost"]), NOW).unwrap();
    assert!(repaired.renewed);
}

#[test]
fn an_authority_without_its_key_is_told_and_not_replaced() {
    let directory = TempDir::new().unwrap();
    let issued = ensure_at(directory.path(), &names(&["localhost"]), NOW).unwrap();
    let before = fs::read(&issued.ca).unwrap();
    fs::remove_file(directory.path().join("ca.key")).unwrap();
    let refused = ensure_at(directory.path(), &names(&["localhost"]), NOW).unwrap_err();
    assert!(
        refused.to_string().contains("ca.key is missing"),
        "{refused}"
    );
    assert_eq!(fs::read(&issued.ca).unwrap(), before);
}

#[test]
fn an_authority_that_ends_is_replaced() {
    let directory = TempDir::new().unwrap();
    let first = ensure_at(directory.path(), &names(&["localhost"]), NOW).unwrap();
    let late = NOW + (AUTHORITY_DAYS - 10) * DAY;
    let next = ensure_at(directory.path(), &names(&["localhost"]), late).unwrap();
    assert!(next.renewed);
    assert_ne!(first.fingerprint, next.fingerprint);
}

#[test]
fn an_authority_of_ones_own_signs_too() {
    let directory = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = common_name("Example Corp");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&key).unwrap();
    fs::write(directory.path().join("ca.crt"), authority.pem()).unwrap();
    fs::write(directory.path().join("ca.key"), key.serialize_pem()).unwrap();
    let issued = ensure_at(directory.path(), &names(&["localhost"]), NOW).unwrap();
    let chain = chain(&issued.certificate);
    let (_, server) = X509Certificate::from_der(&chain[0]).unwrap();
    assert_eq!(server.issuer().to_string(), "CN=Example Corp");
}
