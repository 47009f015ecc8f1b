//! HTTP's Basic scheme (RFC 7617): credentials out of `Authorization`, and the
//! challenge that asks for them.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderValue;
use zeroize::Zeroizing;

use super::Unidentified;
use super::password::Password;
use super::user_name::UserName;

/// Padded or not: some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A user name and a password that somebody sent.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) user: UserName,
    pub(super) password: Password,
}

/// A user name and a password as they were sent: what they are is not yet told.
pub(super) struct Sent {
    text: Zeroizing<String>,
    colon: usize,
}

/// Reads `Basic <base64 of user:password>`; the scheme's name in any case.
///
/// No header, and credentials with neither user nor password (the conformance
/// suite's answer to a challenge when it has none), are
/// [`Unidentified::Missing`]; whatever cannot be credentials is
/// [`Unidentified::Wrong`].
pub(super) fn sent(header: Option<&HeaderValue>) -> Result<Sent, Unidentified> {
    let header = header.ok_or(Unidentified::Missing)?.as_bytes();
    let end = header
        .iter()
        .position(|byte| *byte == b' ')
        .ok_or(Unidentified::Wrong)?;
    let (scheme, rest) = header.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(Unidentified::Wrong);
    }
    let decoded = BASE64
        .decode(rest.trim_ascii())
        .map_err(|_| Unidentified::Wrong)?;
    let text = String::from_utf8(decoded)
        .map(Zeroizing::new)
        .map_err(|_| Unidentified::Wrong)?;
    let colon = text.find(':').ok_or(Unidentified::Wrong)?;
    if *text == ":" {
        return Err(Unidentified::Missing);
    }
    Ok(Sent { text, colon })
}

impl Sent {
    /// What was sent as the password, of any length.
    pub(super) fn password(&self) -> &str {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }

    /// A user's name and password, if they can be such.
    pub(super) fn credentials(&self) -> Result<Credentials, Unidentified> {
        let user = self.text.get(..self.colon).unwrap_or_default();
        let password = Zeroizing::new(self.password().to_owned());
        Ok(Credentials {
            user: user.parse().map_err(|_| Unidentified::Wrong)?,
            password: Password::new(password).map_err(|_| Unidentified::Wrong)?,
        })
    }
}

/// What stands for the user in it, right or not.
pub(super) fn claimed_user(header: &HeaderValue) -> Option<String> {
    let (scheme, rest) = header.as_bytes().split_at_checked(6)?;
    let basic = scheme.eq_ignore_ascii_case(b"basic ");
    let decoded = BASE64.decode(rest.trim_ascii()).ok().map(Zeroizing::new);
    let decoded = decoded.filter(|_| basic)?;
    let user = decoded.split(|byte| *byte == b':').next()?;
    // Without a colon it may be a password.
    let named = user.len() < decoded.len();
    named.then(|| String::from_utf8_lossy(user).into_owned())
}

/// `Basic realm="…"`, or `None` if the realm cannot stand in a header.
pub(super) fn challenge(realm: &str) -> Option<HeaderValue> {
    let escaped = realm.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_bytes(format!("Basic realm=\"{escaped}\"").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn credentials(header: Option<&HeaderValue>) -> Result<Credentials, Unidentified> {
        sent(header)?.credentials()
    }

    fn parse(header: &str) -> Result<(String, String), Unidentified> {
        let header = HeaderValue::from_str(header).unwrap();
        credentials(Some(&header))
            .map(|found| (found.user.to_string(), found.password.reveal().to_owned()))
    }

    #[test]
    fn reads_what_docker_sends() {
        let found = Ok(("moby".to_owned(), "gordon".to_owned()));
        assert_eq!(parse("Basic bW9ieTpnb3Jkb24="), found);
        assert_eq!(parse("bAsIc  bW9ieTpnb3Jkb24"), found);
    }

    #[test]
    fn only_the_first_colon_parts_user_and_password() {
        let header = format!("Basic {}", STANDARD.encode("moby:gor:don"));
        assert_eq!(parse(&header), Ok(("moby".into(), "gor:don".into())));
    }

    #[test]
    fn nothing_sent_is_missing() {
        assert_eq!(credentials(None).unwrap_err(), Unidentified::Missing);
        assert_eq!(parse("Basic Og=="), Err(Unidentified::Missing));
    }

    #[test]
    fn everything_else_is_wrong() {
        for header in [
            "",
            "Basic",
            "Basic ",
            "Basic !!!!",
            "Basic YWxpY2U=",                 // no colon
            "Basic //46/w==",                 // no UTF-8
            "Basic YWxpY2U6",                 // no password
            "Basic OmFsaWNl",                 // no user
            "Basic YWxpY2UKYm9iOnNlY3JldA==", // line break in the user
            "Basic I2FsaWNlOng=",             // a comment as a user
            "Bearer bW9ieTpnb3Jkb24=",
            "Negotiate YII=",
        ] {
            assert_eq!(parse(header), Err(Unidentified::Wrong), "{header:?}");
        }
        let long = format!(
            "Basic {}",
            STANDARD.encode(format!("a:{}", "x".repeat(1025)))
        );
        assert_eq!(parse(&long), Err(Unidentified::Wrong));
    }

    #[test]
    fn a_realm_is_quoted() {
        let value = |realm| challenge(realm).map(|value| value.as_bytes().to_vec());
        assert_eq!(
            value("Registry Realm"),
            Some(b"Basic realm=\"Registry Realm\"".to_vec())
        );
        assert_eq!(
            value(r#"a "b" \c"#),
            Some(br#"Basic realm="a \"b\" \\c""#.to_vec())
        );
        assert_eq!(value("a\r\nb"), None);
    }

    proptest! {
        #[test]
        fn what_is_sent_is_read(user in "[^:#\\s\\p{Cc}]{1,20}", password in "[^\\p{Cc}]{1,40}") {
            let header = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            prop_assert_eq!(parse(&header), Ok((user, password)));
        }

        #[test]
        fn arbitrary_headers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(header) = HeaderValue::from_bytes(&bytes) {
                let _ = credentials(Some(&header));
            }
        }
    }
}
