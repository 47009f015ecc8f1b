//! Logins that are guessed wait, and those that are not don't: back-off by
//! address and by user, from outside (docs/logins.md). Addresses are those that
//! a trusted proxy tells of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Registry, eventually};
use crate::wire::{Answer, PATIENCE, Request};

const PASSWORD: &str = "gordon";

/// Everything on loopback is a proxy that is believed.
fn behind_a_proxy(per_address: u32, per_user: u32) -> Registry {
    Registry::with()
        .user("moby", PASSWORD)
        .user("bob", PASSWORD)
        .env("REGISTRY_HTTP_TRUSTEDPROXIES", "[127.0.0.1]")
        .section(&format!(
            "limits:\n  loginsperaddress: {per_address}\n  loginsperuser: {per_user}\n"
        ))
        .start()
}

fn login(server: &Registry, from: &str, user: &str, password: &str) -> Answer {
    let pair = STANDARD.encode(format!("{user}:{password}"));
    Request::new(server.host(), "GET", "/v2/")
        .header("Authorization", format!("Basic {pair}"))
        .header("X-Forwarded-For", from)
        .send()
}

/// Guesses from there until they have to wait; how many it took.
fn guess(server: &Registry, from: &str, user: &str) -> usize {
    for count in 0..200 {
        let answer = login(server, from, user, &format!("guess {count}"));
        match answer.status {
            401 => {}
            _ => {
                let answer = answer.refused(429, "TOOMANYREQUESTS");
                let wait: u64 = answer.must("retry-after").parse().unwrap();
                assert!((1..=60).contains(&wait), "{answer}");
                return count;
            }
        }
    }
    panic!("200 guesses from {from}");
}

#[test]
fn an_address_that_guesses_waits_and_nobody_else() {
    let server = behind_a_proxy(5, 0);
    login(&server, "192.0.2.1", "moby", PASSWORD).expect(200);
    let count = guess(&server, "192.0.2.66", "moby");
    // A slow machine gives one back every 12 seconds.
    assert!((5..=8).contains(&count), "{count}");

    // From there, the right password and a user that doesn't exist wait alike.
    let right = login(&server, "192.0.2.66", "bob", PASSWORD);
    let unknown = login(&server, "192.0.2.66", "nobody", PASSWORD);
    let [right, unknown] =
        [right, unknown].map(|answer| shape(answer.refused(429, "TOOMANYREQUESTS")));
    assert_eq!(right, unknown);
    // A neighbour of the same IPv4 network is another one.
    login(&server, "192.0.2.67", "bob", PASSWORD).expect(200);
    login(&server, "192.0.2.1", "moby", PASSWORD).expect(200);
    let log = server.log();
    assert!(
        log.contains("too many wrong passwords from this address") && log.contains("192.0.2.66"),
        "{log}"
    );
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    let server = behind_a_proxy(5, 0);
    guess(&server, "2001:db8::1", "moby");
    login(&server, "2001:db8::ffff:1", "moby", "x").refused(429, "TOOMANYREQUESTS");
    login(&server, "2001:db8:0:1::1", "moby", "x").refused(401, "UNAUTHORIZED");
}

#[test]
fn whoever_was_right_there_is_not_locked_out_by_who_guesses_beside_them() {
    let server = behind_a_proxy(5, 0);
    login(&server, "192.0.2.1", "moby", PASSWORD).expect(200);
    guess(&server, "192.0.2.1", "moby");
    for _ in 0..20 {
        login(&server, "192.0.2.1", "moby", PASSWORD).expect(200);
        // One more guess goes through every twelve seconds.
        let guessed = login(&server, "192.0.2.1", "moby", "guess").status;
        assert!(matches!(guessed, 401 | 429), "{guessed}");
    }
}

#[test]
fn a_user_whom_many_addresses_guess_gets_in_from_anywhere() {
    let server = behind_a_proxy(0, 10);
    login(&server, "192.0.2.1", "moby", PASSWORD).expect(200);
    let mut waited = false;
    for number in 0..60 {
        let answer = login(&server, &format!("198.51.100.{number}"), "moby", "guess");
        waited = answer.status == 429;
    }
    assert!(waited, "60 guesses for one user went through");
    login(&server, "192.0.2.1", "moby", PASSWORD).expect(200);
    // A build that runs on another machine each time.
    login(&server, "203.0.113.9", "moby", PASSWORD).expect(200);
    login(&server, "198.51.100.7", "moby", PASSWORD).expect(200);
    // Others don't notice.
    login(&server, "203.0.113.9", "bob", PASSWORD).expect(200);
    login(&server, "203.0.113.9", "bob", "wrong").refused(401, "UNAUTHORIZED");
    // A user who doesn't exist is slowed by the same rule.
    let count = (0..40)
        .take_while(|number| {
            let from = format!("203.0.113.{number}");
            login(&server, &from, "nobody", "guess").status == 401
        })
        .count();
    assert!((10..=20).contains(&count), "{count}");
}

#[test]
fn what_a_file_change_forgets_is_no_reason_to_wait() {
    let server = behind_a_proxy(5, 5);
    login(&server, "192.0.2.1", "moby", PASSWORD).expect(200);
    guess(&server, "192.0.2.1", "moby");
    guess(&server, "192.0.2.2", "moby");
    let file = server.dir().join("htpasswd");
    let lines = std::fs::read_to_string(&file).unwrap();
    let hash = bcrypt::hash(PASSWORD, 5).unwrap();
    std::fs::write(&file, format!("{lines}carol:{hash}\n")).unwrap();
    eventually("the new user", PATIENCE, || {
        (login(&server, "192.0.2.9", "carol", PASSWORD).status == 200).then_some(())
    });
    login(&server, "192.0.2.1", "moby", PASSWORD).expect(200);
}

/// What all answers of one kind have in common.
fn shape(answer: Answer) -> (u16, Vec<(String, String)>, String) {
    let id = |name: &str| ["x-request-id", "date"].contains(&name);
    let headers = answer.headers.into_iter();
    let headers = headers.filter(|(name, _)| !id(name)).collect();
    // One second may have passed between two.
    let digits = |text: String| text.replace(|c: char| c.is_ascii_digit(), "N");
    let headers: Vec<(String, String)> = headers;
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name, digits(value)));
    let body = digits(String::from_utf8(answer.body).unwrap());
    (answer.status, headers.collect(), body)
}
