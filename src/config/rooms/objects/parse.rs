//! The values of object stores' keys: names, sizes, addresses.

use http::Uri;

use super::super::super::values::{number, word};
use crate::storage::object::Settings;

/// registry:2's bounds of `chunksize` are those of S3's parts.
pub(super) const GREATEST_CHUNK: usize = 5 * 1024 * 1024 * 1024;

/// registry:2's classes from which content can be read at once, but for
/// `EXPRESS_ONEZONE`; the first two are nothing to be asked for.
const STORAGE_CLASSES: [&str; 8] = [
    "NONE",
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "OUTPOSTS",
    "GLACIER_IR",
];

/// What keys begin with, without slashes at its ends, as registry:2 takes it.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let trimmed = text.trim_matches('/');
    let strange = |part: &str| matches!(part, "" | "." | "..");
    if !trimmed.is_empty() && trimmed.split('/').any(strange) {
        return Err(format!("`{text}` has an empty part, `.` or `..` in it"));
    }
    Ok(trimmed.to_owned())
}

/// A bucket, region, account or domain: one word of a URL.
pub(super) fn name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is no name of letters, digits and `-._` alone"
        ))
    }
}

/// What may stand in a request to the engine.
pub(super) fn header(text: &str) -> Result<String, String> {
    match http::HeaderValue::from_str(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is no value of a header")),
    }
}

/// A number from 1 on.
pub(super) fn above_zero(text: &str) -> Result<usize, String> {
    match number(text)? {
        0 => Err("must be above 0".to_owned()),
        number => Ok(number),
    }
}

/// Bytes of a part of an upload.
pub(super) fn chunk_size(text: &str) -> Result<usize, String> {
    let size = number(text)?;
    if (Settings::LEAST_CHUNK..=GREATEST_CHUNK).contains(&size) {
        Ok(size)
    } else {
        Err(format!(
            "`{text}` is out of bounds; write a number of bytes from {} (5 MiB) to {GREATEST_CHUNK} (5 GiB)",
            Settings::LEAST_CHUNK
        ))
    }
}

/// A class to ask for; `None` is the engine's own choice.
pub(super) fn storage_class(text: &str) -> Result<Option<String>, String> {
    let class = text.to_ascii_uppercase();
    match class.as_str() {
        "EXPRESS_ONEZONE" => Err(
            "`EXPRESS_ONEZONE` is not supported: such buckets list in no order; write another class"
                .to_owned(),
        ),
        "NONE" | "STANDARD" => Ok(None),
        known if STORAGE_CLASSES.contains(&known) => Ok(Some(class)),
        _ => Err(format!(
            "`{text}` is none of {}",
            STORAGE_CLASSES.map(|class| format!("`{class}`")).join(", ")
        )),
    }
}

/// A canned access control list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Acl {
    Private,
    Other,
}

/// One of those that registry:2 knows.
pub(super) fn acl(text: &str) -> Result<Acl, String> {
    let words = [
        ("private", Acl::Private),
        ("public-read", Acl::Other),
        ("public-read-write", Acl::Other),
        ("authenticated-read", Acl::Other),
        ("aws-exec-read", Acl::Other),
        ("bucket-owner-read", Acl::Other),
        ("bucket-owner-full-control", Acl::Other),
    ];
    word(&words, text)
}

/// Which address is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// An S3 engine's: another key may say how it is spoken to.
    Engine,
    /// The one that clients are sent to: a host alone.
    Public,
    /// A service's, possibly below a path.
    Service,
}

/// `[https://]host[:port]` without a slash at the end.
pub(super) fn endpoint(text: &str, address: Address) -> Result<String, String> {
    if text.contains('@') {
        return Err("holds a user name; write `https://host[:port]`".to_owned());
    }
    let trimmed = text.trim_end_matches('/');
    let (prefix, rest) = match trimmed.split_once("://") {
        Some(("https", rest)) => ("https://", rest),
        Some(("http", rest)) => ("http://", rest),
        Some(_) => return Err(format!("`{text}` is neither `https://` nor `http://`")),
        None if address != Address::Engine => {
            return Err(format!("`{text}` has no scheme; write `https://{trimmed}`"));
        }
        None => ("", trimmed),
    };
    let uri: Uri = format!("http://{rest}")
        .parse()
        .map_err(|error| format!("`{text}` is no URL: {error}"))?;
    let bare = uri.query().is_none() && uri.host().is_some_and(|host| !host.is_empty());
    if bare && (uri.path() == "/" || address != Address::Public) {
        Ok(format!("{prefix}{rest}"))
    } else {
        Err(format!(
            "`{text}` holds no host or more than one; write `https://host[:port]`"
        ))
    }
}
