//! Clients that speak the wrong protocol: plain HTTP on a TLS port, TLS on a
//! plain one. Both are answered in plain HTTP, and with nothing that asks for a
//! password.
//!
//! TLS on a plain port gets HTTP instead of an alert on purpose: clients print
//! it as `http: server gave HTTP response to HTTPS client`, which people look
//! up, and containerd falls back to plain HTTP by exactly that.

use std::io;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::service::errors;

/// Bytes of a request or a ClientHello that are read for their names.
const LOOKED_AT: usize = 16 * 1024;

/// How much more is read so that the answer is not lost in a reset.
const DISCARDED: u64 = 1024 * 1024;

/// How long each of the two readings may take: the answer does not depend much
/// on what is read, so whoever is slow gets it, too.
const PATIENCE: Duration = Duration::from_secs(2);

/// The first byte of a TLS record that holds a handshake (RFC 8446 section 5.1).
pub(super) const HANDSHAKE: u8 = 0x16;

/// Answers plain HTTP on a TLS port. `own` stands for the host if the request
/// does not name one. Returns the host in the answer.
pub(super) async fn answer_plain<S>(stream: &mut S, own: &str) -> io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::with_capacity(1024);
    let _ = timeout(PATIENCE, read_head(stream, &mut head)).await;
    let host = host(&head).unwrap_or(own).to_owned();
    let message = format!(
        "this port speaks HTTPS: use https://{host} (if a login was missing: docker login {host})"
    );
    refuse(stream, &message, head.starts_with(b"HEAD ")).await?;
    Ok(host)
}

/// Answers TLS on a plain port. Returns the server name that the client asks
/// for, if it can be read.
pub(super) async fn answer_tls<S>(stream: &mut S) -> io::Result<Option<String>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = timeout(PATIENCE, read_server_name(stream)).await;
    let name = name.ok().and_then(Result::ok).flatten();
    let message = "this port speaks plain HTTP, not HTTPS";
    refuse(stream, message, false).await?;
    Ok(name)
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S, head: &mut Vec<u8>) -> io::Result<()> {
    while head.len() < LOOKED_AT && !has_end(head) {
        if stream.read_buf(head).await? == 0 {
            break;
        }
    }
    Ok(())
}

fn has_end(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n")
}

/// The `Host` of a request's head, if it is one that may be repeated.
fn host(head: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(head).ok().or_else(|| {
        // A body may follow that is no text.
        let end = head.windows(4).position(|end| end == b"\r\n\r\n")?;
        std::str::from_utf8(head.get(..end)?).ok()
    })?;
    let value = text.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then_some(value.trim())
    })?;
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!value.is_empty() && value.len() <= 255 && value.bytes().all(harmless)).then_some(value)
}

async fn read_server_name<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<String>> {
    let mut acceptor = Acceptor::default();
    let mut buffer = Vec::with_capacity(2048);
    let mut seen = 0;
    while seen < LOOKED_AT {
        buffer.clear();
        let read = stream.read_buf(&mut buffer).await?;
        if read == 0 {
            break;
        }
        seen += read;
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    return Ok(accepted.client_hello().server_name().map(str::to_owned));
                }
                Ok(None) => {}
                Err(_) => return Ok(None),
            }
        }
    }
    Ok(None)
}

/// Writes a 400 and closes so that the client gets to see it: what it still
/// sends is read, for unread bytes would turn the close into a reset.
async fn refuse<S>(stream: &mut S, message: &str, head_only: bool) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let body = errors(message);
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\n\
         Content-Type: application/json\r\n\
         Docker-Distribution-Api-Version: registry/2.0\r\n\
         Connection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if !head_only {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await?;
    let mut rest = stream.take(DISCARDED);
    let mut sink = tokio::io::sink();
    // Whether the client is patient too makes no difference any more.
    let _ = timeout(PATIENCE, tokio::io::copy(&mut rest, &mut sink)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(request: &[u8]) -> (String, String) {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        client.write_all(request).await.unwrap();
        let server =
            tokio::spawn(async move { answer_plain(&mut server, "10.0.0.1:5000").await.unwrap() });
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        drop(client);
        (answer, server.await.unwrap())
    }

    #[tokio::test]
    async fn plain_http_is_told_where_to_go() {
        let (answer, _) = answered(b"GET /v2/ HTTP/1.1\r\nHost: reg.test:5000\r\n\r\n").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(head.contains("Content-Type: application/json"), "{head}");
        assert!(
            head.contains("Docker-Distribution-Api-Version: registry/2.0"),
            "{head}"
        );
        assert!(head.contains("Connection: close"), "{head}");
        assert!(!head.to_lowercase().contains("www-authenticate"), "{head}");
        assert_eq!(
            body,
            r#"{"errors":[{"code":"UNSUPPORTED","detail":null,"message":"this port speaks HTTPS: use https://reg.test:5000 (if a login was missing: docker login reg.test:5000)"}]}"#
        );
    }

    #[tokio::test]
    async fn an_answer_to_head_has_no_body() {
        let (answer, _) = answered(b"HEAD /v2/ HTTP/1.1\r\nHost: r\r\n\r\n").await;
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn only_harmless_hosts_are_repeated() {
        for host in ["<script>", "a b", "a\"b", &"a".repeat(256), "", "ä"] {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let (answer, told) = answered(request.as_bytes()).await;
            assert!(answer.contains("https://10.0.0.1:5000 "), "{answer}");
            assert_eq!(told, "10.0.0.1:5000");
        }
        let (_, told) = answered(b"GET / HTTP/1.1\r\nhost:[::1]:5000\r\n\r\n\xff\xfe").await;
        assert_eq!(told, "[::1]:5000");
    }

    #[tokio::test]
    async fn garbage_in_a_hello_is_answered() {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        client
            .write_all(&[HANDSHAKE, 3, 1, 0, 4, 9, 0, 0, 0])
            .await
            .unwrap();
        let server = tokio::spawn(async move { answer_tls(&mut server).await.unwrap() });
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        drop(client);
        assert_eq!(server.await.unwrap(), None);
    }
}
