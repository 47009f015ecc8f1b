//! Parts of a blob (RFC 9110, section 14).

use crate::content::noise;
use crate::repo::Repo;
use crate::wire::Answer;

struct Pushed {
    repo: Repo,
    digest: String,
    content: Vec<u8>,
}

impl Pushed {
    fn of(size: usize) -> Pushed {
        let repo = Repo::fresh();
        let content = noise(7, size);
        let digest = repo.push(&content);
        Pushed {
            repo,
            digest,
            content,
        }
    }

    fn range(&self, range: &str) -> Answer {
        self.repo
            .ask("GET", &format!("blobs/{}", self.digest))
            .header("Range", range)
            .send()
    }
}

// spec: 25
#[test]
fn one_range_is_that_part_of_the_blob() {
    let blob = Pushed::of(2048);
    for (range, first, last) in [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, 2047),
        ("bytes=-500", 1548, 2047),
        ("bytes=2000-5000", 2000, 2047),
        ("bytes=-5000", 0, 2047),
        ("bytes=0-0", 0, 0),
        ("bytes=2047-", 2047, 2047),
    ] {
        let answer = blob.range(range).expect(206);
        let part = &blob.content[first..=last];
        assert!(answer.body == part, "{range}");
        assert_eq!(answer.length(), part.len(), "{range}");
        let expected = format!("bytes {first}-{last}/2048");
        assert_eq!(answer.must("content-range"), expected);
        assert_eq!(answer.must("docker-content-digest"), blob.digest);
    }
}

// spec: 25
#[test]
fn a_range_beyond_the_blob_is_416_with_its_size() {
    let blob = Pushed::of(2048);
    for range in [
        "bytes=2048-",
        "bytes=5000-10000",
        "bytes=500-0",
        "bytes=-0",
        "bytes=99999999999999999999999-",
        "bytes=3000-,4000-5000",
    ] {
        let answer = blob.range(range).expect(416);
        assert_eq!(answer.must("content-range"), "bytes */2048", "{range}");
        assert_eq!(answer.length(), answer.body.len());
    }
    let empty = Pushed::of(0);
    let answer = empty.range("bytes=0-").expect(416);
    assert_eq!(answer.must("content-range"), "bytes */0");
}

// spec: 25
#[test]
fn several_ranges_are_the_parts_of_one_answer() {
    let blob = Pushed::of(2048);
    let answer = blob.range("bytes=0-9, 1000-1004,-3").expect(206);
    assert_eq!(answer.header("content-range"), None);
    let boundary = answer
        .must("content-type")
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("multipart/byteranges")
        .to_owned();
    let mut expected = Vec::new();
    for (first, last) in [(0, 9), (1000, 1004), (2045, 2047)] {
        expected.extend(
            format!(
                "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                 Content-Range: bytes {first}-{last}/2048\r\n\r\n"
            )
            .into_bytes(),
        );
        expected.extend(&blob.content[first..=last]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    assert!(answer.body == expected, "{answer}");
    assert_eq!(answer.length(), expected.len());
}

#[test]
fn a_range_that_falls_away_leaves_the_others() {
    let blob = Pushed::of(2048);
    let answer = blob.range("bytes=0-1,9000-").expect(206);
    assert_eq!(answer.must("content-range"), "bytes 0-1/2048");
    assert_eq!(answer.body, &blob.content[..2]);
}

// spec: 25
#[test]
fn a_range_that_is_none_is_ignored() {
    let blob = Pushed::of(2048);
    for range in ["items=0-5", "bytes", "bytes=a-b", "bytes=+1-2", "bytes=1"] {
        let answer = blob.range(range).expect(200);
        assert!(answer.body == blob.content, "{range}");
    }
}

#[test]
fn overlapping_ranges_never_multiply_the_blob() {
    let blob = Pushed::of(2048);
    let many = vec!["0-"; 200].join(",");
    let answer = blob.range(&format!("bytes={many}")).expect(200);
    assert_eq!(answer.length(), 2048);
}

// spec: 7
#[test]
fn if_range_gives_the_whole_blob_when_it_names_another() {
    let blob = Pushed::of(2048);
    let ask = |tag: &str| {
        blob.repo
            .ask("GET", &format!("blobs/{}", blob.digest))
            .header("Range", "bytes=0-9")
            .header("If-Range", tag)
            .send()
    };
    assert_eq!(ask(&format!("\"{}\"", blob.digest)).status, 206);
    for tag in [
        "\"sha256:other\"",
        &format!("W/\"{}\"", blob.digest),
        "Tue, 18 Aug 2026 10:00:00 GMT",
    ] {
        let answer = ask(tag).expect(200);
        assert!(answer.body == blob.content, "{tag}");
    }
}

#[test]
fn a_head_is_about_the_whole_blob() {
    let blob = Pushed::of(2048);
    let answer = blob
        .repo
        .ask("HEAD", &format!("blobs/{}", blob.digest))
        .header("Range", "bytes=0-9")
        .send()
        .expect(200);
    assert_eq!(answer.length(), 2048);
}
