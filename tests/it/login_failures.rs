//! A login that fails tells nothing: the same answer for every reason, after
//! the same time whether there is such a user or not (CVE-2025-69413 and its
//! like; threat model T7).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::Registry;
use crate::wire::{Answer, PATIENCE, Request, connect};

/// Logins of each kind that are compared.
const LOGINS: usize = 300;

/// How often the machine may be too busy for a comparison.
const ATTEMPTS: usize = 5;

fn server() -> Registry {
    let seventy_two = "a".repeat(72);
    Registry::with()
        .user("moby", "gordon")
        .user("long", &seventy_two)
        .section("limits:\n  loginsperaddress: 0\n  loginsperuser: 0\n")
        .start()
}

fn basic(user: &str, password: &str) -> String {
    let pair = format!("{user}:{password}");
    format!("Basic {}", STANDARD.encode(pair))
}

#[test]
fn every_failure_has_the_same_answer() {
    let server = server();
    let file = server.dir().join("htpasswd");
    let lines = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{lines}broken:$apr1$x$y\nplain:secret\n")).unwrap();
    let logins = [
        basic("moby", "gordo"),
        basic("nobody", "gordon"),
        basic("MOBY", "gordon"),
        basic("broken", "secret"),
        basic("plain", "secret"),
        // bcrypt reads 72 bytes: a longer password is refused, not cut.
        basic("long", &"a".repeat(73)),
        basic("long", &"a".repeat(1024)),
        basic("moby", &"a".repeat(1025)),
        basic("nobody", &"a".repeat(1025)),
        basic("moby", "gordon\0gordon"),
        basic("", "gordon"),
        basic("moby", ""),
        "Basic".to_owned(),
        "Basic !!!!".to_owned(),
        format!("Basic {}", STANDARD.encode("moby")),
        format!("Basic {}", STANDARD.encode(b"moby:\xff")),
        "Bearer rubbish".to_owned(),
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJtb2J5In0.".to_owned(),
        "Negotiate YII=".to_owned(),
    ];
    for path in ["/v2/", "/v2/a/b/manifests/latest", "/v2/_catalog"] {
        let ask = |login: &str| {
            let request = Request::new(server.host(), "GET", path);
            shape(request.header("Authorization", login).send())
        };
        let first = ask(&logins[0]);
        assert!(first.contains("UNAUTHORIZED"), "{first}");
        for login in &logins {
            assert_eq!(ask(login), first, "{login} at {path}");
        }
    }
    let right = Request::new(server.host(), "GET", "/v2/");
    right
        .header("Authorization", basic("long", &"a".repeat(72)))
        .send()
        .expect(200);
}

/// An answer without what differs between any two.
fn shape(answer: Answer) -> String {
    let answer = answer.refused(401, "UNAUTHORIZED");
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "x-request-id" && name != "date");
    headers.sort();
    format!("{headers:?} {}", String::from_utf8_lossy(&answer.body))
}

#[test]
fn no_time_tells_whether_a_user_exists() {
    let server = server();
    let mut seen = Vec::new();
    for attempt in 0..ATTEMPTS {
        let wrong = |user: &str, n: usize| basic(user, &format!("wrong {attempt} {n}"));
        let known = |n| wrong("moby", n);
        // Each name that is none has a time of its own, were there any.
        let unknown = |n: usize| wrong(["mobi", "molly", "nobody"][n % 3], n);
        let chance = compare(&server, known, unknown);
        if chance > 0.01 {
            // The same comparison sees one that costs no hash at all.
            let malformed = |_| "Basic !!!!".to_owned();
            let known = |n| wrong("moby", n + LOGINS);
            assert!(compare(&server, known, malformed) < 0.01);
            return;
        }
        seen.push(chance);
    }
    panic!("known and unknown users differ: p = {seen:?}");
}

/// The chance that two kinds of logins which take equally long would differ as
/// much as they do.
fn compare(
    server: &Registry,
    one: impl Fn(usize) -> String,
    other: impl Fn(usize) -> String,
) -> f64 {
    let mut socket = connect(server.host(), PATIENCE);
    socket.set_nodelay(true).unwrap();
    let mut times = [Vec::new(), Vec::new()];
    // One after the other, in changing order, so that both meet the same noise.
    for n in 0..LOGINS {
        let pair = [one(n), other(n)];
        for kind in [n % 2, 1 - n % 2] {
            times[kind].push(timed(&mut socket, server.host(), &pair[kind]));
        }
    }
    let [one, other] = times;
    mann_whitney(&one, &other)
}

/// How long a refusal takes on an open connection.
fn timed(socket: &mut TcpStream, host: &str, login: &str) -> Duration {
    let request = Request::new(host, "GET", "/v2/")
        .header("Connection", "keep-alive")
        .header("Authorization", login)
        .bytes();
    let begun = Instant::now();
    socket.write_all(&request).unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = socket.read(&mut buffer).unwrap();
        assert!(count > 0, "the connection ended");
        received.extend(&buffer[..count]);
        if let Some((answer, _)) = Answer::parse(&received, false) {
            answer.expect(401);
            return begun.elapsed();
        }
    }
}

/// The two-sided p of Mann and Whitney's U test, by its normal approximation.
fn mann_whitney(one: &[Duration], other: &[Duration]) -> f64 {
    let (n, m) = (one.len() as f64, other.len() as f64);
    let mut all: Vec<(Duration, bool)> = one.iter().map(|time| (*time, true)).collect();
    all.extend(other.iter().map(|time| (*time, false)));
    all.sort();
    let mut rank_sum = 0.0;
    let mut ties = 0.0;
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let before = all.partition_point(|entry| entry.0 < group[0].0) as f64;
        let size = group.len() as f64;
        let rank = before + (size + 1.0) / 2.0;
        rank_sum += rank * group.iter().filter(|entry| entry.1).count() as f64;
        ties += size.powi(3) - size;
    }
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    let z = (u - n * m / 2.0).abs() / variance.sqrt();
    2.0 * (1.0 - normal(z))
}

/// The normal distribution (Abramowitz and Stegun 26.2.17).
fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let polynomial = t
        * (0.319_381_53
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    1.0 - (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial
}

#[test]
fn the_statistic_is_the_one_in_the_books() {
    let millis = |list: &[u64]| -> Vec<Duration> {
        list.iter().copied().map(Duration::from_millis).collect()
    };
    // scipy.stats.mannwhitneyu(..., use_continuity=False, method="asymptotic")
    let p = mann_whitney(
        &millis(&[1, 2, 3, 4, 5, 6, 7, 8]),
        &millis(&[5, 6, 7, 8, 9, 10, 11, 12]),
    );
    assert!((p - 0.011_473).abs() < 0.000_01, "{p}");
    let p = mann_whitney(&millis(&[1, 3, 5]), &millis(&[2, 3, 4]));
    assert!((p - 1.0).abs() < 1e-6, "{p}");
}
