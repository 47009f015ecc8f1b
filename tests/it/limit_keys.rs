//! Every key of `limits` as a client meets it (docs/limits.md): what is beyond
//! the bound gets its answer, what is within is served.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::content::{self, EMPTY_JSON, IMAGE, INDEX, LAYER, bytes, noise, sha256};
use crate::repo::{Repo, next, strings, with_query};
use crate::support::{Registry, eventually};
use crate::wire::{Answer, PATIENCE, Request, connect};

/// What a busy machine may add to a time limit.
const ALLOWANCE: Duration = Duration::from_secs(8);

/// A server with these keys.
fn limited(keys: &[(&str, &str)]) -> Registry {
    let lines: String = keys
        .iter()
        .map(|(key, value)| format!("  {key}: {value}\n"))
        .collect();
    Registry::with()
        .section(&format!("limits:\n{lines}"))
        .start()
}

#[test]
fn manifests_have_a_size_a_depth_and_a_number_of_parts() {
    let server = limited(&[
        ("manifestsize", "64KiB"),
        ("manifestdepth", "8"),
        ("descriptors", "100"),
    ]);
    let repo = Repo::on(&server, "small");
    repo.push(EMPTY_JSON);
    let with = |name: &str, value: serde_json::Value| {
        let mut document = content::image(&[]);
        document[name] = value;
        bytes(&document)
    };
    let layers = |count| -> serde_json::Value {
        let layer =
            serde_json::json!({"mediaType": LAYER, "digest": sha256(EMPTY_JSON), "size": 2});
        vec![layer; count].into()
    };
    repo.put("fits", IMAGE, &with("layers", layers(100)))
        .expect(201);
    repo.put("parts", IMAGE, &with("layers", layers(101)))
        .refused(400, "MANIFEST_INVALID");
    let nested = |depth: usize| -> serde_json::Value {
        (0..depth).fold(1.into(), |inner, _| vec![inner].into())
    };
    repo.put("flat", IMAGE, &with("x", nested(7))).expect(201);
    repo.put("deep", IMAGE, &with("x", nested(8)))
        .refused(400, "MANIFEST_INVALID");
    let padding = |size: usize| "a".repeat(size).into();
    repo.put("large", IMAGE, &with("x", padding(60_000)))
        .expect(201);
    repo.put("larger", IMAGE, &with("x", padding(66_000)))
        .refused(413, "SIZE_INVALID");
}

#[test]
fn narrower_bounds_keep_what_is_there() {
    let volume = tempfile::TempDir::new().unwrap();
    let server = Registry::with().data(volume.path()).start();
    let repo = Repo::on(&server, "kept");
    repo.push(EMPTY_JSON);
    let layer = serde_json::json!({"mediaType": LAYER, "digest": sha256(EMPTY_JSON), "size": 2});
    let mut document = content::image(&[]);
    document["layers"] = vec![layer; 500].into();
    let manifest = bytes(&document);
    repo.put("latest", IMAGE, &manifest).expect(201);
    drop(server);
    let server = Registry::with()
        .data(volume.path())
        .env("REGISTRY_LIMITS_DESCRIPTORS", "100")
        .start();
    let repo = Repo::on(&server, "kept");
    assert!(repo.get("manifests/latest").expect(200).body == manifest);
    repo.put("again", IMAGE, &manifest)
        .refused(400, "MANIFEST_INVALID");
}

#[test]
fn requests_have_so_many_tags_parameters_and_ranges() {
    let server = limited(&[
        ("tagsperrequest", "2"),
        ("queryparameters", "100"),
        ("ranges", "2"),
    ]);
    let repo = Repo::on(&server, "asked");
    let manifest = repo.image("asked");
    let digest = sha256(&manifest);
    let put = |tags: &str| repo.put(&format!("{digest}?{tags}"), IMAGE, &manifest);
    put("tag=a&tag=b").expect(201);
    put("tag=a&tag=b&tag=c").refused(414, "UNSUPPORTED");
    assert_eq!(repo.tags(), ["a", "b"]);
    let list = |count: usize| repo.get(&format!("tags/list?{}", vec!["x=1"; count].join("&")));
    list(100).expect(200);
    list(101).refused(400, "UNSUPPORTED");
    let blob = repo.push(&noise(1, 100));
    let get = |ranges: &str| {
        let get = repo.ask("GET", &format!("blobs/{blob}"));
        get.header("Range", format!("bytes={ranges}")).send().status
    };
    assert_eq!(get("0-0,2-2"), 206);
    assert_eq!(get("0-0,2-2,4-4"), 200);
}

#[test]
fn lists_have_so_many_entries() {
    let server = limited(&[("taglist", "100"), ("referrers", "10")]);
    let repo = Repo::on(&server, "lists");
    let manifest = repo.image("lists");
    let digest = sha256(&manifest);
    for hundred in 0..2 {
        let tags: Vec<String> = (0..75)
            .map(|n| format!("tag=t{}", hundred * 75 + n))
            .collect();
        repo.put(&format!("{digest}?{}", tags.join("&")), IMAGE, &manifest)
            .expect(201);
    }
    let first = repo.get("tags/list").expect(200);
    assert_eq!(strings(&first, "tags").len(), 100);
    let rest = repo.at("GET", &next(&first).expect("a Link")).send();
    assert_eq!(strings(&rest, "tags").len(), 50);
    for n in 0..15 {
        let mut document = content::index(&[]);
        document["subject"] =
            serde_json::json!({"mediaType": IMAGE, "digest": digest, "size": manifest.len()});
        document["annotations"] = serde_json::json!({"n": n.to_string()});
        let referrer = bytes(&document);
        repo.put(&sha256(&referrer), INDEX, &referrer).expect(201);
    }
    let first = repo.get(&format!("referrers/{digest}")).expect(200);
    assert_eq!(first.json()["manifests"].as_array().unwrap().len(), 10);
    let rest = repo.at("GET", &next(&first).expect("a Link")).send();
    assert_eq!(rest.json()["manifests"].as_array().unwrap().len(), 5);
}

#[test]
fn a_mount_from_anywhere_asks_so_many_repositories() {
    for (most, status) in [("0", 202), ("10", 201)] {
        let server = limited(&[("mountsearch", most)]);
        let source = Repo::on(&server, "source");
        source.tag("latest", "searched for");
        let blob = sha256(b"searched for");
        let mount =
            Repo::on(&server, "target").ask("POST", &format!("blobs/uploads/?mount={blob}"));
        mount.body("").send().expect(status);
    }
}

#[test]
fn a_user_has_so_many_uploads_open() {
    let server = Registry::with()
        .user("ann", "gordon")
        .user("bob", "gordon")
        .section("limits:\n  uploadsperuser: 3\n")
        .start();
    let repo = Repo::on(&server, "uploads");
    let login = |user: &str| {
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:gordon"));
        format!("Basic {pair}")
    };
    let as_user =
        |user: &str, request: Request| request.header("Authorization", login(user)).send();
    let start = |user: &str| as_user(user, repo.ask("POST", "blobs/uploads/").body(""));
    let open: Vec<String> = (0..3)
        .map(|_| start("ann").expect(202).must("location").to_owned())
        .collect();
    let refused = start("ann").refused(429, "TOOMANYREQUESTS");
    assert!(refused.must("retry-after").parse::<u32>().unwrap() > 0);
    assert!(
        refused.to_string().contains("limits.uploadsperuser"),
        "{refused}"
    );
    let whole = format!("blobs/uploads/?digest={}", sha256(b"x"));
    as_user("ann", repo.ask("POST", &whole).body("x")).refused(429, "TOOMANYREQUESTS");
    start("bob").expect(202);

    // One that is finished, cancelled or failed makes room for one.
    let finish = |location: &str, digest: String| {
        let closing = with_query(location, &format!("digest={digest}"));
        as_user("ann", repo.at("PUT", &closing).body("x"))
    };
    finish(&open[0], sha256(b"x")).expect(201);
    start("ann").expect(202);
    start("ann").refused(429, "TOOMANYREQUESTS");
    finish(&open[1], sha256(b"y")).refused(400, "DIGEST_INVALID");
    start("ann").expect(202);
    start("ann").refused(429, "TOOMANYREQUESTS");
    as_user("ann", repo.at("DELETE", &open[2])).expect(204);
    for _ in 0..5 {
        as_user("ann", repo.ask("POST", &whole).body("x")).expect(201);
    }
    start("ann").expect(202);
    start("ann").refused(429, "TOOMANYREQUESTS");
}

#[test]
fn an_address_without_a_login_has_so_many_uploads_open_until_a_reload_says_otherwise() {
    let server = limited(&[("uploadsperuser", "2")]);
    let repo = Repo::on(&server, "anonymous");
    let start = || repo.ask("POST", "blobs/uploads/").body("").send();
    let first = start().expect(202).must("location").to_owned();
    start().expect(202);
    start().refused(429, "TOOMANYREQUESTS");
    // One that goes on is not refused.
    repo.at("PATCH", &first).body("more").send().expect(202);
    let file = server.dir().join("config.yml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        yaml.replace("uploadsperuser: 2", "uploadsperuser: 0\n  idletimeout: 5s"),
    )
    .unwrap();
    server.signal(Signal::HUP);
    eventually("an upload after the reload", PATIENCE, || {
        (start().status == 202).then_some(())
    });
    // Connections keep the bounds that they began with, and that is said.
    assert!(
        server.log().contains("that takes a restart"),
        "{}",
        server.log()
    );
}

#[test]
fn a_second_writer_waits_no_longer_than_it_is_told() {
    let server = limited(&[("uploadwait", "0s")]);
    let repo = Repo::on(&server, "writers");
    let location = repo.start();
    let patch = repo
        .at("PATCH", &location)
        .header("Content-Length", 10)
        .body("01234");
    let begin = || {
        let mut first = connect(repo.host(), PATIENCE);
        first.write_all(&patch.clone().bytes()).unwrap();
        first
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        first
    };
    let mut first = begin();
    let begun = Instant::now();
    eventually("a refusal", PATIENCE, || {
        // The other may have been there before it: then it was refused itself.
        if first.peek(&mut [0]).is_ok() {
            first = begin();
        }
        // Before the first writer is there, this one is just another chunk.
        let second = repo.at("PATCH", &location).body("").send();
        (second.status == 429).then(|| second.refused(429, "TOOMANYREQUESTS"))
    });
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[test]
fn heads_have_a_size_and_a_number_of_fields() {
    let server = limited(&[("headersize", "8KiB"), ("headers", "40")]);
    let ask = |size: usize, fields: usize| {
        let mut request =
            Request::new(server.host(), "GET", "/v2/").header("X-Large", "a".repeat(size));
        for n in 0..fields {
            request = request.header(&format!("X-{n}"), "v");
        }
        request.send()
    };
    ask(7_000, 30).expect(200);
    ask(8_200, 0).refused(431, "UNSUPPORTED");
    ask(10, 40).refused(431, "UNSUPPORTED");
    let path = format!("/v2/{}/tags/list", "a".repeat(7_000));
    Request::new(server.host(), "GET", &path)
        .send()
        .refused(414, "NAME_INVALID");
}

#[test]
fn what_is_no_http_has_the_errors_form_and_a_line() {
    let server = Registry::start();
    for (bytes, status, code) in [
        (&b"GET /v2/secret?token=hidden HTTP/9.9\r\n\r\n"[..], 400, "UNSUPPORTED"),
        (b"HELO example.org\r\n\r\n", 400, "UNSUPPORTED"),
        (b"GET /v2/ HTTP/1.1\r\nHost: r\r\nBad Name: x\r\n\r\n", 400, "UNSUPPORTED"),
        (
            b"PUT /v2/a/manifests/b HTTP/1.1\r\nHost: r\r\nContent-Length: 18446744073709551615\r\n\r\n",
            413,
            "SIZE_INVALID",
        ),
    ] {
        let mut socket = connect(server.host(), PATIENCE);
        socket.write_all(bytes).unwrap();
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).unwrap();
        let (answer, rest) = Answer::parse(&heard, false).unwrap();
        assert_eq!(rest, 0);
        let answer = answer.refused(status, code);
        let id = answer.must("x-request-id").to_owned();
        assert_eq!(answer.must("connection"), "close");
        assert_eq!(answer.must("docker-distribution-api-version"), "registry/2.0");
        eventually("its line", PATIENCE, || server.log().contains(&id).then_some(()));
    }
    let log = server.log();
    assert!(log.contains("it began with"), "{log}");
    assert!(!log.contains("hidden"), "{log}");
}

#[test]
fn connections_of_one_address_are_bounded() {
    let server = limited(&[("connectionsperaddress", "3")]);
    let open: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut socket = connect(server.host(), PATIENCE);
            let request =
                Request::new(server.host(), "GET", "/v2/").header("Connection", "keep-alive");
            socket.write_all(&request.bytes()).unwrap();
            socket.read_exact(&mut [0; 12]).unwrap();
            socket
        })
        .collect();
    let mut further = connect(server.host(), PATIENCE);
    let mut heard = Vec::new();
    let _ = further.read_to_end(&mut heard);
    assert!(heard.is_empty(), "{heard:?}");
    drop(open);
    eventually("a place", PATIENCE, || {
        let mut socket = connect(server.host(), PATIENCE);
        socket
            .write_all(&Request::new(server.host(), "GET", "/v2/").bytes())
            .ok()?;
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).ok()?;
        heard.starts_with(b"HTTP/1.1 200").then_some(())
    });
}

#[test]
fn times_are_what_was_said() {
    let server = limited(&[
        ("headertimeout", "2s"),
        ("idletimeout", "3s"),
        ("bodytimeout", "2s"),
    ]);
    let repo = Repo::on(&server, "slow");

    // One byte of a head, and then nothing for ten seconds.
    let (heard, took) = after(&server, b"G");
    assert!(heard.is_empty(), "{heard}");
    assert!(within(took, 2), "head: {took:?}");

    let keep = Request::new(server.host(), "GET", "/v2/").header("Connection", "keep-alive");
    let (heard, took) = after(&server, &keep.bytes());
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    assert!(within(took, 3), "idle: {took:?}");

    // Two bytes of a body, and then nothing for ten seconds.
    let location = repo.start();
    let patch = repo
        .at("PATCH", &location)
        .header("Content-Length", 10)
        .body("01");
    let (heard, took) = after(&server, &patch.bytes());
    assert!(heard.starts_with("HTTP/1.1 408 "), "{heard}");
    assert!(heard.contains("BLOB_UPLOAD_INVALID"), "{heard}");
    assert!(within(took, 2), "body: {took:?}");
    // What came is kept.
    assert_eq!(repo.received(&location), 2);
}

#[test]
fn a_body_that_trickles_is_too_slow_after_its_grace() {
    let server = limited(&[("bodygrace", "1s"), ("bodyrate", "10KiB")]);
    let repo = Repo::on(&server, "trickle");
    let location = repo.start();
    let patch = repo
        .at("PATCH", &location)
        .header("Content-Length", 1000)
        .body("0");
    let mut socket = connect(server.host(), Duration::from_millis(200));
    socket.write_all(&patch.bytes()).unwrap();
    let begun = Instant::now();
    let mut heard = Vec::new();
    while begun.elapsed() < Duration::from_secs(1) + ALLOWANCE {
        let gone = socket.write_all(b"0").is_err();
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => heard.extend(&buffer[..count]),
            Err(_) if gone => break,
            Err(_) => {}
        }
    }
    assert!(
        heard.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&heard)
    );
    assert!(begun.elapsed() < Duration::from_secs(1) + ALLOWANCE);
}

#[test]
fn an_answer_that_nobody_takes_ends() {
    let server = Registry::with()
        .section("limits:\n  answertimeout: 2s\n")
        // Its open files are looked at below.
        .env("WHARF_CORE_DUMPS", "1")
        .start();
    let repo = Repo::on(&server, "taken");
    let digest = repo.push(&noise(1, 64 << 20));
    let mut socket = connect(server.host(), PATIENCE);
    socket
        .write_all(&repo.ask("GET", &format!("blobs/{digest}")).bytes())
        .unwrap();
    socket.read_exact(&mut [0; 100_000]).unwrap();
    let open = || {
        let sockets = std::fs::read_dir(format!("/proc/{}/fd", server.pid().unwrap())).unwrap();
        let blob = |entry: std::fs::DirEntry| {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            target.starts_with(server.data()).then_some(())
        };
        sockets.flatten().filter_map(blob).count()
    };
    // It has the blob open until it gives up.
    eventually(
        "the end of the answer",
        Duration::from_secs(2) + ALLOWANCE,
        || (open() == 0).then_some(()),
    );
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    assert!(rest.len() < 64 << 20, "the whole blob");
}

#[test]
fn a_handshake_has_its_time() {
    let server = Registry::with()
        .tls()
        .section("limits:\n  handshaketimeout: 2s\n")
        .start();
    let (heard, took) = after(&server, &[0x16, 3, 1, 2, 0, 1]);
    assert!(heard.is_empty(), "{heard}");
    assert!(within(took, 2), "{took:?}");
}

/// What is heard until the server ends the connection, and how long that took.
fn after(server: &Registry, bytes: &[u8]) -> (String, Duration) {
    let begun = Instant::now();
    let mut socket = connect(server.host(), PATIENCE);
    socket.write_all(bytes).unwrap();
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard);
    (
        String::from_utf8_lossy(&heard).into_owned(),
        begun.elapsed(),
    )
}

/// Whether it took about so many seconds.
fn within(took: Duration, seconds: u64) -> bool {
    let least = Duration::from_millis(seconds * 1000 - 500);
    (least..Duration::from_secs(seconds) + ALLOWANCE).contains(&took)
}
