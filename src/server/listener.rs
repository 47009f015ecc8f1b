//! The listening socket: TCP, or a unix socket that no dead process holds.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, UnixListener, lookup_host};

use super::stream::Socket;
use super::{Listen, ServerError};

/// Connections that the kernel keeps until they are accepted (it may keep fewer).
const BACKLOG: u32 = 4_096;

/// A bound socket; a unix socket's file goes away with it.
#[derive(Debug)]
pub(super) enum Listener {
    /// `host:port`
    Tcp(TcpListener, SocketAddr),
    /// A path.
    Unix(UnixListener, SocketFile),
}

/// The file of a unix socket.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Listener {
    /// Binds what the settings say.
    pub(super) async fn bind(listen: &Listen) -> Result<Self, ServerError> {
        match listen {
            Listen::Tcp(address) => bind_tcp(address).await,
            Listen::Unix(path) => bind_unix(path),
        }
    }

    /// The bound address; `None` for a unix socket.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, local) => Some(*local),
            Self::Unix(..) => None,
        }
    }

    /// The path of a unix socket.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(..) => None,
            Self::Unix(_, file) => Some(&file.0),
        }
    }

    /// The next connection, with its other end if that has an address. IPv4
    /// addresses look like IPv4 even on a socket for both families.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, from) = listener.accept().await?;
                // Answers are small or streamed: waiting to fill packets costs
                // 40 ms each (Nagle against delayed acknowledgements).
                stream.set_nodelay(true)?;
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                Ok((Socket::Tcp(stream), Some(from)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn bind_tcp(address: &str) -> Result<Listener, ServerError> {
    let invalid = |reason: String| ServerError::Address {
        address: address.to_owned(),
        reason,
    };
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| invalid("it has no port".to_owned()))?;
    let port: u16 = port
        .parse()
        .map_err(|_| invalid(format!("`{port}` is no port")))?;
    let candidates: Vec<SocketAddr> = if host.is_empty() {
        // One socket for both families where there is IPv6 at all.
        vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ]
    } else {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        lookup_host((host, port))
            .await
            .map_err(|error| invalid(format!("`{host}` is not known: {error}")))?
            .collect()
    };
    let mut failure = invalid(format!("`{host}` has no address"));
    for candidate in candidates {
        match listen_tcp(candidate) {
            Ok(listener) => {
                let local = listener.local_addr().unwrap_or(candidate);
                return Ok(Listener::Tcp(listener, local));
            }
            Err(error) => {
                let taken = error.kind() == io::ErrorKind::AddrInUse;
                failure = refused(address, candidate, error);
                if taken {
                    // Half of the addresses would be somebody else's.
                    break;
                }
            }
        }
    }
    Err(failure)
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for connections of its predecessor to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn refused(address: &str, candidate: SocketAddr, error: io::Error) -> ServerError {
    let host = match candidate.ip() {
        ip if ip.is_unspecified() => "every address".to_owned(),
        ip => ip.to_string(),
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => ServerError::Taken {
            port: candidate.port(),
            host,
        },
        io::ErrorKind::PermissionDenied => ServerError::Forbidden {
            port: candidate.port(),
        },
        io::ErrorKind::AddrNotAvailable => ServerError::Address {
            address: address.to_owned(),
            reason: format!("{host} is no address of this machine"),
        },
        _ => ServerError::Address {
            address: address.to_owned(),
            reason: error.to_string(),
        },
    }
}

fn bind_unix(path: &Path) -> Result<Listener, ServerError> {
    let failed = |reason: String| ServerError::UnixSocket {
        path: path.to_owned(),
        reason,
    };
    if let Ok(there) = fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(failed("something that is no socket is there".to_owned()));
        }
        if StdUnixStream::connect(path).is_ok() {
            return Err(failed("another server listens on it".to_owned()));
        }
        fs::remove_file(path)
            .map_err(|error| failed(format!("the one left over cannot be removed: {error}")))?;
    }
    let listener = UnixListener::bind(path).map_err(|error| failed(error.to_string()))?;
    Ok(Listener::Unix(listener, SocketFile(path.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(listen: Listen) -> String {
        Listener::bind(&listen).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_taken_port_is_told() {
        let first = Listener::bind(&Listen::Tcp("127.0.0.1:0".to_owned()))
            .await
            .unwrap();
        let address = first.local().unwrap();
        let message = refusal(Listen::Tcp(address.to_string())).await;
        assert_eq!(
            message,
            format!(
                "port {} on 127.0.0.1 is taken: stop the other server or choose another port with --addr or http.addr",
                address.port()
            )
        );
    }

    #[tokio::test]
    async fn addresses_that_are_none_are_told() {
        for (address, part) in [
            ("127.0.0.1", "it has no port"),
            ("127.0.0.1:http", "`http` is no port"),
            ("127.0.0.1:70000", "`70000` is no port"),
            ("192.0.2.1:0", "192.0.2.1 is no address of this machine"),
        ] {
            let message = refusal(Listen::Tcp(address.to_owned())).await;
            assert!(message.contains(part), "{message}");
        }
    }

    #[tokio::test]
    async fn an_empty_host_is_every_address() {
        let listener = Listener::bind(&Listen::Tcp(":0".to_owned())).await.unwrap();
        let local = listener.local().unwrap();
        assert!(local.ip().is_unspecified());
        let (_client, accepted) = tokio::join!(
            tokio::net::TcpStream::connect(("127.0.0.1", local.port())),
            listener.accept()
        );
        let (_, from) = accepted.unwrap();
        assert!(from.unwrap().is_ipv4());
    }

    #[tokio::test]
    async fn a_dead_unix_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("wharf.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left over");

        let listener = Listener::bind(&Listen::Unix(path.clone())).await.unwrap();
        let message = refusal(Listen::Unix(path.clone())).await;
        assert!(
            message.contains("another server listens on it"),
            "{message}"
        );
        drop(listener);
        assert!(!path.exists());

        fs::write(&path, "precious").unwrap();
        let message = refusal(Listen::Unix(path.clone())).await;
        assert!(message.contains("no socket is there"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
