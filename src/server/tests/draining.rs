//! How a server stops.

use super::*;

const REQUEST: &str = "GET /wait HTTP/1.1\r\nHost: r\r\n\r\n";

#[tokio::test]
async fn draining_finishes_what_runs_and_closes_what_idles() {
    let running = start(settings(), Limits::default()).await;
    let (mut idle, mut silent) = (running.connect().await, running.connect().await);
    idle.write_all(b"GET / HTTP/1.1\r\nHost: r\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut idle, "tls=false").await;
    let mut busy = running.connect().await;
    busy.write_all(REQUEST.as_bytes()).await.unwrap();
    running.begun.notified().await;

    running.shutdown.interrupt();
    assert_eq!(read_all(&mut idle).await, "");
    assert_eq!(read_all(&mut silent).await, "");
    assert!(
        TcpStream::connect(running.address).await.is_err(),
        "nothing listens any more"
    );

    running.release.notify_one();
    let answer = read_all(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("waited"), "{answer}");
    drop((idle, busy));
    assert_eq!(running.server.await.unwrap(), Drained { cut: 0 });
}

/// Its network may go with the process, and with it what the client has not
/// taken out of the kernel yet.
#[tokio::test]
async fn the_server_stays_until_a_client_has_everything() {
    let mut running = start(settings(), Limits::default()).await;
    let mut slow = running.connect().await;
    slow.write_all(REQUEST.as_bytes()).await.unwrap();
    running.begun.notified().await;
    running.shutdown.interrupt();
    running.release.notify_one();
    let early = tokio::time::timeout(Duration::from_millis(300), &mut running.server);
    assert!(early.await.is_err(), "the client has not closed yet");
    assert!(read_all(&mut slow).await.ends_with("waited"));
    drop(slow);
    let ended = tokio::time::timeout(Duration::from_secs(5), running.server);
    assert_eq!(ended.await.unwrap().unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut() {
    let settings = Settings {
        drain: Duration::from_millis(50),
        ..settings()
    };
    let running = start(settings, Limits::default()).await;
    let mut busy = running.connect().await;
    busy.write_all(REQUEST.as_bytes()).await.unwrap();
    running.begun.notified().await;
    running.shutdown.interrupt();
    assert_eq!(running.server.await.unwrap(), Drained { cut: 1 });
    assert_eq!(read_all(&mut busy).await, "");
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let running = start(settings(), Limits::default()).await;
    let mut busy = running.connect().await;
    busy.write_all(REQUEST.as_bytes()).await.unwrap();
    running.begun.notified().await;
    running.shutdown.interrupt();
    running.shutdown.interrupt();
    // Well before the 30 s of the drain.
    let drained = tokio::time::timeout(Duration::from_secs(10), running.server);
    assert_eq!(drained.await.unwrap().unwrap(), Drained { cut: 1 });
}

#[tokio::test]
async fn an_http2_request_survives_the_drain() {
    let settings = Settings {
        h2c: true,
        ..settings()
    };
    let running = start(settings, Limits::default()).await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let url = format!("{}/wait", running.url);
    let request = tokio::spawn(async move { client.get(url).send().await?.text().await });
    running.begun.notified().await;
    running.shutdown.interrupt();
    running.release.notify_one();
    assert_eq!(request.await.unwrap().unwrap(), "waited");
    assert_eq!(running.server.await.unwrap(), Drained { cut: 0 });
}
