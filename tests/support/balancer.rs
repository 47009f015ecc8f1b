//! HAProxy before several registries: each request goes to the next one, over
//! HTTP/1.1 and HTTP/2, with TLS where the test has it. No stickiness. And
//! before a store that clients are redirected to: those with TLS follow to TLS
//! only (regctl), and to a name rather than an address (crane).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Needs, eventually, find};

/// A running balancer.
pub struct Balancer {
    address: String,
    child: Child,
}

impl Balancer {
    /// What tests with a balancer need.
    pub fn needs() -> Needs {
        Needs::of("haproxy").program("haproxy", "apt install haproxy")
    }

    /// Starts it before `servers` (`HOST:PORT`), its files in `dir`. It listens
    /// on the host of `address`, on a free port where that has 0. `pem` holds a
    /// certificate and its key.
    pub fn start(dir: &Path, address: &str, pem: Option<&Path>, servers: &[String]) -> Balancer {
        let address = with_port(address);
        let binds = bind(&address, pem);
        let text = configuration(&binds, "  option httpchk GET /readyz\n", servers);
        Balancer::launch(dir, "balancer", address, &text)
    }

    /// Starts it before a store (`HOST:PORT`), with TLS, as `localhost:PORT`.
    pub fn before_store(dir: &Path, pem: &Path, store: &str) -> Balancer {
        let address = with_port("127.0.0.1:0");
        let port = address.rsplit(':').next().expect("a port");
        let binds = bind(&address, Some(pem)) + &bind(&format!("[::1]:{port}"), Some(pem));
        let text = configuration(&binds, "", &[store.to_owned()]);
        let address = format!("localhost:{port}");
        Balancer::launch(dir, "store", address, &text)
    }

    fn launch(dir: &Path, name: &str, address: String, text: &str) -> Balancer {
        let config = dir.join(format!("{name}.cfg"));
        fs::write(&config, text).expect("the balancer's configuration written");
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log).expect("the balancer's log");
        let child = Command::new(find("haproxy").expect("haproxy"))
            .args(["-db", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("the balancer started");
        let mut balancer = Balancer { address, child };
        balancer.wait(&log);
        balancer
    }

    /// Where it listens.
    pub fn host(&self) -> &str {
        &self.address
    }

    fn wait(&mut self, log: &PathBuf) {
        eventually("the balancer", Duration::from_secs(10), || {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(log).unwrap_or_default();
                panic!("the balancer ended ({status}):\n{log}");
            }
            std::net::TcpStream::connect(&self.address).ok()
        });
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bind(address: &str, pem: Option<&Path>) -> String {
    let tls = pem.map_or(String::new(), |pem| {
        format!(" ssl crt {} alpn h2,http/1.1", pem.display())
    });
    format!("  bind {address}{tls}\n")
}

/// The server's name in `X-Replica` shows which of them answered. Only requests
/// that no server saw are sent again.
fn configuration(binds: &str, check: &str, servers: &[String]) -> String {
    let checked = if check.is_empty() {
        ""
    } else {
        "  http-check expect status 200\n  default-server check inter 500ms fall 2 rise 1\n"
    };
    let mut text = format!(
        "global\n  maxconn 4000\n  tune.bufsize 65536\n\
         defaults\n  mode http\n  option forwardfor\n  option redispatch 1\n  retries 3\n  \
         retry-on conn-failure\n  timeout connect 2s\n  timeout client 300s\n  \
         timeout server 300s\n  timeout http-keep-alive 30s\n\
         frontend front\n{binds}  \
         http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}\n  \
         http-response set-header X-Replica %[srv_name]\n  default_backend replicas\n\
         backend replicas\n  balance roundrobin\n{check}{checked}"
    );
    for (number, server) in servers.iter().enumerate() {
        text += &format!("  server replica-{number} {server}\n");
    }
    text
}

fn with_port(address: &str) -> String {
    let Some(host) = address.strip_suffix(":0") else {
        return address.to_owned();
    };
    let socket = std::net::TcpListener::bind(address).expect("a free port on loopback");
    format!("{host}:{}", socket.local_addr().expect("an address").port())
}
