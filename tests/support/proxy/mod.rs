//! A proxy between the registry and its store that loses, delays and forges: it
//! reads HTTP/1.1 request by request, notes each one, and does to it what the
//! test ordered. One thread for each connection; it ends with the test.

mod wire;

use super::Bucket;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use wire::Seen;
use wire::{Head, Meter};

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What happens to a request instead of being passed on and answered.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is read to its end and answered with these bytes; the store never
    /// sees it.
    Answer(String),
    /// The store does it, and the connection ends before its answer.
    LoseAnswer,
    /// The connection ends before the store sees it.
    Cut,
}

type Choice = Box<dyn Fn(&Seen) -> bool + Send>;

struct Shared {
    upstream: String,
    orders: Mutex<Orders>,
    seen: Mutex<Vec<Seen>>,
    open: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Orders {
    refuse: bool,
    delay: Duration,
    bytes_per_second: Option<u64>,
    cut_after: Option<u64>,
    without: Vec<String>,
    faults: Vec<(usize, Choice, Fault)>,
}

impl Bucket {
    /// The same content by way of another address.
    pub fn through(&self, proxy: &Proxy) -> Bucket {
        Bucket {
            endpoint: proxy.url(),
            ..self.clone()
        }
    }
}

impl Proxy {
    /// Begins to pass on to `upstream`, `HOST:PORT`.
    pub fn to(upstream: &str) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.2", 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            orders: Mutex::default(),
            seen: Mutex::default(),
            open: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accepting.accept(&listener));
        Proxy { address, shared }
    }

    /// `http://HOST:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection and takes none, until [`Proxy::heal`].
    pub fn refuse(&self) {
        self.orders().refuse = true;
        self.shared.close_all();
    }

    /// Lets each request wait this long.
    pub fn delay(&self, time: Duration) {
        self.orders().delay = time;
    }

    /// Passes so many bytes a second on each connection, each way.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.orders().bytes_per_second = Some(bytes_per_second);
    }

    /// Ends each connection when so many bytes of content passed on it.
    pub fn cut_after(&self, bytes: u64) {
        self.orders().cut_after = Some(bytes);
    }

    /// Takes a header out of every request, as a store does that doesn't know
    /// it.
    pub fn without_header(&self, name: &str) {
        self.orders().without.push(name.to_ascii_lowercase());
    }

    /// Does this to the next `count` requests that `choice` takes.
    pub fn fault(
        &self,
        count: usize,
        choice: impl Fn(&Seen) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.orders().faults.push((count, Box::new(choice), fault));
    }

    /// How many of the ordered faults have not happened yet.
    pub fn faults_left(&self) -> usize {
        self.orders().faults.iter().map(|(count, ..)| count).sum()
    }

    /// Passes everything on again.
    pub fn heal(&self) {
        *self.orders() = Orders::default();
    }

    /// The requests so far, in the order of their heads.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        lock(&self.shared.orders)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.close_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Fault {
    /// An S3 error with this status line's end (`503 Slow Down`) and code.
    pub fn s3(status: &str, code: &str) -> Fault {
        Fault::Answer(answer(
            status,
            &format!("<Error><Code>{code}</Code><Message>ordered by the test</Message></Error>"),
        ))
    }

    /// 200, with an error in the body: what CompleteMultipartUpload and
    /// CopyObject may do.
    pub fn error_in_200() -> Fault {
        Fault::s3("200 OK", "InternalError")
    }
}

fn answer(status: &str, body: &str) -> String {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Shared {
    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            if lock(&self.orders).refuse {
                continue;
            }
            if let Ok(handle) = client.try_clone() {
                lock(&self.open).push(handle);
            }
            let shared = Arc::clone(self);
            std::thread::spawn(move || {
                let _ = shared.serve(&client);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    }

    /// The requests of one connection, until one of them ends it.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut from_client = BufReader::with_capacity(256 * 1024, client.try_clone()?);
        let mut meter = Meter::default();
        while let Some(request) = Head::read(&mut from_client)? {
            let seen = Seen::of(&request);
            lock(&self.seen).push(seen.clone());
            let (fault, request) = self.take(&seen, request, &mut meter);
            std::thread::sleep(meter.delay);
            match fault {
                Some(Fault::Cut) => return Ok(()),
                Some(Fault::Answer(answer)) => {
                    request.pass_body(&mut from_client, &mut io::sink(), &mut meter)?;
                    io::Write::write_all(&mut &*client, answer.as_bytes())?;
                }
                other => {
                    let lost = other.is_some();
                    let go_on =
                        self.pass_on(&request, &mut from_client, client, lost, &mut meter)?;
                    if !go_on {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// What was ordered for a request.
    fn take(&self, seen: &Seen, mut head: Head, meter: &mut Meter) -> (Option<Fault>, Head) {
        let mut orders = lock(&self.orders);
        meter.delay = orders.delay;
        meter.bytes_per_second = orders.bytes_per_second;
        meter.cut_after = orders.cut_after;
        for name in &orders.without {
            head.remove(name);
        }
        let due = orders
            .faults
            .iter_mut()
            .find(|(count, choice, _)| *count > 0 && choice(seen));
        let fault = due.map(|(count, _, fault)| {
            *count -= 1;
            fault.clone()
        });
        (fault, head)
    }

    /// Whether another request may follow on this connection. Each one has a
    /// connection of its own to the store, so that none is stale.
    fn pass_on(
        &self,
        request: &Head,
        from_client: &mut BufReader<TcpStream>,
        client: &TcpStream,
        lost: bool,
        meter: &mut Meter,
    ) -> io::Result<bool> {
        let store = TcpStream::connect(&self.upstream)?;
        store.set_nodelay(true)?;
        let mut to_store = &store;
        // A store may answer before it has read everything.
        let sent = request
            .write(&mut to_store)
            .and_then(|()| request.pass_body(from_client, &mut to_store, meter));
        let mut from_store = BufReader::with_capacity(256 * 1024, store.try_clone()?);
        let mut to_client = client;
        loop {
            let Some(answer) = Head::read(&mut from_store)? else {
                return Ok(false);
            };
            if lost {
                answer.pass_answer(request, &mut from_store, &mut io::sink(), meter)?;
                return Ok(false);
            }
            answer.write(&mut to_client)?;
            if answer.is_interim() {
                continue;
            }
            let framed = answer.pass_answer(request, &mut from_store, &mut to_client, meter)?;
            return Ok(framed && sent.is_ok());
        }
    }

    fn close_all(&self) {
        for socket in lock(&self.open).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
