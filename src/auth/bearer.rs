//! HTTP's Bearer scheme (RFC 6750): a token out of `Authorization`.

use http::HeaderValue;

use super::Unidentified;

/// The token of `Bearer <token>`, the scheme's name in any case; `None` if the
/// header is missing or of another scheme.
pub(super) fn token(header: Option<&HeaderValue>) -> Result<Option<&str>, Unidentified> {
    let Some(header) = header else {
        return Ok(None);
    };
    let text = header.as_bytes();
    let (scheme, rest) = text.split_at(text.len().min(b"bearer".len()));
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let rest = std::str::from_utf8(rest).map_err(|_| Unidentified::Wrong)?;
    match rest.strip_prefix(' ').map(|token| token.trim_matches(' ')) {
        Some(token) if !token.is_empty() => Ok(Some(token)),
        _ => Err(Unidentified::Wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_stands_behind_the_scheme() {
        let read = |text: &'static str| {
            let header = HeaderValue::from_static(text);
            token(Some(&header)).map(|token| token.map(str::to_owned))
        };
        assert_eq!(read("Bearer a.b.c"), Ok(Some("a.b.c".to_owned())));
        assert_eq!(read("bEARER  a.b.c"), Ok(Some("a.b.c".to_owned())));
        assert_eq!(read("Basic YTpi"), Ok(None));
        assert_eq!(token(None), Ok(None));
        for wrong in ["Bearer", "Bearer ", "Bearera.b.c", "bearer   "] {
            assert_eq!(read(wrong), Err(Unidentified::Wrong), "{wrong}");
        }
    }
}
