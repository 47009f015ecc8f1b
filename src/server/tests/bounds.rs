//! Clients that are slow, silent, greedy or ambiguous.

use super::*;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: r\r\n\r\n";
const CLOSING: &str = "GET / HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";

fn short() -> Duration {
    Duration::from_millis(300)
}

async fn plain(limits: Limits) -> Running {
    start(settings(), limits).await
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let limits = Limits {
        head: short(),
        ..Limits::default()
    };
    let running = plain(limits).await;
    assert_eq!(running.exchange(b"").await, "");
    assert_eq!(running.exchange(b"GET / HTTP/1.1\r\nHost:").await, "");
    let answer = running.exchange(CLOSING.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_lives_longer_than_a_head_and_then_ends() {
    let limits = Limits {
        head: Duration::from_millis(100),
        idle: Duration::from_millis(600),
        ..Limits::default()
    };
    let running = plain(limits).await;
    let mut client = running.connect().await;
    let mut begun = std::time::Instant::now();
    for _ in 0..2 {
        client.write_all(REQUEST.as_bytes()).await.unwrap();
        read_until(&mut client, "tls=false").await;
        begun = std::time::Instant::now();
        // Longer than a head may take: idle is something else.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(read_all(&mut client).await, "");
    assert!(begun.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn a_body_that_stalls_is_an_error_for_the_handler() {
    let limits = Limits {
        body_stall: short(),
        ..Limits::default()
    };
    let running = plain(limits).await;
    let request = "PUT /upload HTTP/1.1\r\nHost: r\r\nContent-Length: 10\r\n\r\nfive.";
    let answer = running.exchange(request.as_bytes()).await;
    assert!(
        answer.contains("error: the client sent nothing"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_cut() {
    let limits = Limits {
        answer_stall: short(),
        head: short(),
        ..Limits::default()
    };
    let running = plain(limits).await;
    let mut client = running.connect().await;
    let request = REQUEST.replace("/ ", "/large ");
    client.write_all(request.as_bytes()).await.unwrap();
    client.readable().await.unwrap();
    running.shutdown.interrupt();
    // The drain waits for the endless answer; the stall ends it.
    assert_eq!(running.server.await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn an_address_has_a_bounded_number_of_connections() {
    let limits = Limits {
        per_address: 1,
        ..Limits::default()
    };
    let running = plain(limits).await;
    let mut first = running.connect().await;
    first.write_all(REQUEST.as_bytes()).await.unwrap();
    read_until(&mut first, "tls=false").await;
    assert_eq!(running.exchange(b"").await, "");
    first.write_all(CLOSING.as_bytes()).await.unwrap();
    assert!(read_all(&mut first).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_their_turn() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let running = plain(limits).await;
    let mut first = running.connect().await;
    first.write_all(REQUEST.as_bytes()).await.unwrap();
    read_until(&mut first, "tls=false").await;
    let mut second = running.connect().await;
    second.write_all(CLOSING.as_bytes()).await.unwrap();
    drop(first);
    assert!(read_all(&mut second).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn two_lengths_get_one_refusal_and_nothing_more() {
    let running = plain(Limits::default()).await;
    let smuggled = format!(
        "PUT /upload HTTP/1.1\r\nHost: r\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{REQUEST}"
    );
    for request in [smuggled.clone(), format!("{REQUEST}{smuggled}")] {
        let answer = running.exchange(request.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 400 ").count(), 1, "{answer}");
        assert!(answer.contains("length twice"), "{answer}");
        let refusals_end = answer.rsplit("HTTP/1.1 ").next().unwrap();
        assert!(refusals_end.starts_with("400"), "{answer}");
    }
}

#[tokio::test]
async fn heads_are_bounded_and_have_one_host() {
    let running = plain(Limits::default()).await;
    let large = format!(
        "GET / HTTP/1.1\r\nHost: r\r\nCookie: {}\r\n\r\n",
        "a".repeat(65 * 1024)
    );
    let answer = running.exchange(large.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(answer.contains(r#""code":"UNSUPPORTED""#), "{answer}");

    let many = format!(
        "GET / HTTP/1.1\r\nHost: r\r\n{}\r\n",
        "a: b\r\n".repeat(100)
    );
    let answer = running.exchange(many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    for hosts in ["", "Host: a\r\nHost: b\r\n"] {
        let request = format!("GET / HTTP/1.1\r\n{hosts}\r\n");
        let answer = running.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}

#[tokio::test]
async fn uploads_with_either_length_arrive() {
    let running = plain(Limits::default()).await;
    let mut client = running.connect().await;
    for request in [
        "PUT /upload HTTP/1.1\r\nHost: r\r\nContent-Length: 5\r\n\r\nhello",
        "PUT /upload HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "PUT /upload HTTP/1.1\r\nHost: r\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "5 bytes").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[tokio::test]
async fn a_unix_socket_is_served_and_goes_away() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("wharf.sock");
    let settings = Settings {
        listen: Listen::Unix(path.clone()),
        ..settings()
    };
    let running = start(settings, Limits::default()).await;
    assert_eq!(running.url, format!("unix://{}", path.display()));
    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    client.write_all(CLOSING.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("HTTP/1.1 None tls=false"), "{answer}");
    running.shutdown.interrupt();
    running.server.await.unwrap();
    assert!(!path.exists());
}
