//! Query strings, decoded once.

use percent_encoding::percent_decode_str;

use super::error::Problem;
use crate::oci::ErrorCode;

/// The parameters of a request, in their order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query of at most `most` parameters. What is not UTF-8 after decoding is refused; a `%` that
    /// encodes nothing stays as it is.
    pub(super) fn parse(text: &str, most: usize) -> Result<Self, Problem> {
        let decode = |part: &str| {
            let part = part.replace('+', " ");
            percent_decode_str(&part)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| Problem::bad_request(ErrorCode::Unsupported, "the query is not UTF-8"))
        };
        let parts = text.split('&').filter(|part| !part.is_empty());
        if parts.clone().count() > most {
            return Err(Problem::bad_request(
                ErrorCode::Unsupported,
                format!("the query has more than {most} parameters"),
            ));
        }
        parts
            .map(|part| {
                let (key, value) = part.split_once('=').unwrap_or((part, ""));
                Ok((decode(key)?, decode(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &'static str) -> Option<&str> {
        self.all(name).next()
    }

    /// The value of a parameter that must not be given twice with two meanings.
    pub(super) fn unambiguous(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        if values.any(|other| Some(other) != first) {
            return Err(Problem::bad_request(
                ErrorCode::DigestInvalid,
                format!("the parameter `{name}` is given twice with different values"),
            ));
        }
        Ok(first)
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// `n` of a listing: how many entries at most. Any size is clamped later,
    /// so a number that fits no integer is just very large.
    pub(super) fn n(&self) -> Result<Option<usize>, Problem> {
        match self.get("n") {
            None | Some("") => Ok(None),
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Some(text.parse().unwrap_or(usize::MAX)))
            }
            Some(_) => Err(Problem::bad_request(
                ErrorCode::Unsupported,
                "the parameter `n` must be a number of entries, 0 or more",
            )),
        }
    }

    /// `last` of a listing: entries after it are wanted.
    pub(super) fn last(&self) -> Option<&str> {
        self.get("last").filter(|text| !text.is_empty())
    }
}
