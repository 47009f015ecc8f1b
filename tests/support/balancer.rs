//! HAProxy before several registries: each request goes to the next one, over
//! HTTP/1.1 and HTTP/2, with TLS where the test has it. No stickiness.

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
        let config = dir.join("haproxy.cfg");
        fs::write(&config, configuration(&address, pem, servers)).expect("haproxy.cfg written");
        let log = File::create(dir.join("haproxy.log")).expect("the balancer's log");
        let child = Command::new(find("haproxy").expect("haproxy"))
            .args(["-db", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the balancer started");
        let mut balancer = Balancer { address, child };
        balancer.wait(&dir.join("haproxy.log"));
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

/// The server's name in `X-Replica` shows which of them answered. Only requests
/// that no server saw are sent again.
fn configuration(address: &str, pem: Option<&Path>, servers: &[String]) -> String {
    let tls = pem.map_or(String::new(), |pem| {
        format!(" ssl crt {} alpn h2,http/1.1", pem.display())
    });
    let mut text = format!(
        "global\n  maxconn 4000\n  tune.bufsize 65536\n\
         defaults\n  mode http\n  option forwardfor\n  option redispatch 1\n  retries 3\n  \
         retry-on conn-failure\n  timeout connect 2s\n  timeout client 300s\n  \
         timeout server 300s\n  timeout http-keep-alive 30s\n\
         frontend front\n  bind {address}{tls}\n  \
         http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}\n  \
         http-response set-header X-Replica %[srv_name]\n  default_backend replicas\n\
         backend replicas\n  balance roundrobin\n  option httpchk GET /readyz\n  \
         http-check expect status 200\n  default-server check inter 500ms fall 2 rise 1\n"
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
