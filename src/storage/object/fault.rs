//! What a store's errors mean to us, and to whoever runs the registry.

use std::error::Error as _;
use std::io;

use object_store::Error;

use crate::storage::StorageError;

/// A failure of an operation on `what`. Not finding something is no failure:
/// [`absent`] comes first.
pub(super) fn failed(verb: &str, what: &str, error: Error) -> StorageError {
    let text = chain(&error);
    let cause = io::Error::other(format!("cannot {verb} {what}: {text}"));
    if FULL.iter().any(|sign| text.contains(sign)) {
        StorageError::Full(cause)
    } else {
        StorageError::Unavailable(cause)
    }
}

/// `None` for what isn't there. A missing bucket is a failure, not an absence.
pub(super) fn absent<T>(
    verb: &str,
    what: &str,
    result: Result<T, Error>,
) -> Result<Option<T>, StorageError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ Error::NotFound { .. }) if !chain(&error).contains("NoSuchBucket") => Ok(None),
        Err(error) => Err(failed(verb, what, error)),
    }
}

/// Signs of a store that has no room.
const FULL: [&str; 5] = [
    "507 Insufficient Storage",
    "InsufficientStorage",
    "QuotaExceeded",
    "StorageFull",
    "no space left",
];

/// What every cause says, without saying anything twice.
pub(super) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What to do about an error at the start, by the codes of S3's protocol and
/// what they mean for the configuration under `storage.DRIVER`.
pub(super) fn advice(driver: &str, text: &str) -> String {
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let section = format!("storage.{driver}");
    if has(&["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"]) {
        format!("the bucket does not exist: make it, or correct {section}.bucket")
    } else if has(&["InvalidAccessKeyId"]) {
        format!("the store does not know this key: correct {section}.accesskey")
    } else if has(&["SignatureDoesNotMatch"]) {
        format!("the secret does not belong to the key: correct {section}.secretkey")
    } else if has(&["RequestTimeTooSkewed"]) {
        "this machine's clock is wrong: set it".to_owned()
    } else if has(&[
        "AuthorizationHeaderMalformed",
        "PermanentRedirect",
        "redirect without LOCATION",
        "IllegalLocationConstraint",
    ]) {
        format!("the bucket is in another region: correct {section}.region")
    } else if has(&["AccessDenied", "403 Forbidden", "AuthorizationFailure"]) {
        format!(
            "the store refuses this key: allow it to list the bucket and to get, put and delete \
             objects, or correct {section}.accesskey and secretkey"
        )
    } else if has(&["401 Unauthorized", "AuthenticationFailed"]) {
        format!("the store does not accept these credentials: correct those of {section}")
    } else if has(&["certificate", "UnknownIssuer"]) {
        format!(
            "the store's certificate is not trusted: add its authority to this machine's, or set \
             {section}.skipverify for a test"
        )
    } else if has(&["InvalidMessage", "invalid HTTP version", "corrupt message"]) {
        format!(
            "the endpoint speaks HTTP where HTTPS is expected, or the other way round: correct {section}.secure or the scheme of regionendpoint"
        )
    } else if has(&[
        "dns error",
        "failed to lookup",
        "Connection refused",
        "connect",
        "timed out",
    ]) {
        format!(
            "the store cannot be reached: correct {section}.regionendpoint, or see whether it runs"
        )
    } else {
        format!("see what the store says, and the keys of {section}")
    }
}
