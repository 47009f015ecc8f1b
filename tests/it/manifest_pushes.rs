//! Pushing manifests (distribution-spec, "Pushing manifests").

use serde_json::json;

use crate::content::{self, ABSENT, EMPTY_JSON, IMAGE, INDEX, bytes, sha256, sha512};
use crate::repo::Repo;

// spec: 53, 54, 55
#[test]
fn a_push_says_where_the_manifest_can_be_pulled() {
    let repo = Repo::fresh();
    let mut document = content::image(&[]);
    // Fields that nobody knows, numbers and escapes that encoders write anew.
    document["org.example.custom"] = json!({"a": [1, 2.50, {"b": null}]});
    repo.push(EMPTY_JSON);
    let text = String::from_utf8(bytes(&document)).unwrap();
    let manifest = text
        .replace("2.5", "2.500e0")
        .replace("custom", "cust\\u006fm");
    let digest = sha256(manifest.as_bytes());
    for reference in ["latest", &digest] {
        let put = repo.put(reference, IMAGE, manifest.as_bytes()).expect(201);
        assert_eq!(put.must("docker-content-digest"), digest);
        let pulled = repo.at("GET", put.must("location")).send().expect(200);
        assert_eq!(pulled.body, manifest.as_bytes());
    }
}

// spec: 56
#[test]
fn a_manifest_that_does_not_have_the_digest_in_the_path_is_refused() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    let longer = [manifest.as_slice(), b"  "].concat();
    for digest in [sha256(&manifest), sha512(&manifest)] {
        repo.put(&digest, IMAGE, &longer)
            .refused(400, "DIGEST_INVALID");
        repo.get(&format!("manifests/{digest}")).expect(404);
    }
    repo.get(&format!("manifests/{}", sha256(&longer)))
        .expect(404);
}

// spec: 57
#[test]
fn parameters_of_the_content_type_are_ignored() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    for content_type in [
        "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
        "application/vnd.oci.image.manifest.v1+json;a=b;c=\"d\"",
    ] {
        repo.put("latest", content_type, &manifest).expect(201);
        let get = repo.get("manifests/latest").expect(200);
        assert_eq!(get.must("content-type"), IMAGE);
    }
}

// spec: 58, 63
#[test]
fn a_subject_that_is_not_there_is_no_reason_to_refuse() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    let subject = json!({"mediaType": IMAGE, "digest": ABSENT, "size": 7});
    let mut image = content::image(&[]);
    image["subject"] = subject.clone();
    let mut index = content::index(&[]);
    index["subject"] = subject;
    for (media_type, document) in [(IMAGE, image), (INDEX, index)] {
        let manifest = bytes(&document);
        for reference in ["latest", &sha256(&manifest), &sha512(&manifest)] {
            let put = repo.put(reference, media_type, &manifest).expect(201);
            assert_eq!(put.must("oci-subject"), ABSENT);
        }
    }
    let plain = repo.put("plain", IMAGE, &repo.image("x")).expect(201);
    assert_eq!(plain.header("oci-subject"), None);
}

// spec: 59
#[test]
fn a_manifest_whose_parts_are_missing_is_refused_and_they_are_named() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    let layers: [&[u8]; 2] = [b"never pushed", b"nor this"];
    let image = bytes(&content::image(&layers));
    let answer = repo
        .put("latest", IMAGE, &image)
        .refused(400, "MANIFEST_BLOB_UNKNOWN");
    let named: Vec<String> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["detail"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(named, layers.map(sha256));

    let index = bytes(&content::index(&[(IMAGE, &image)]));
    repo.put("latest", INDEX, &index)
        .refused(400, "MANIFEST_BLOB_UNKNOWN");
    repo.get("manifests/latest").expect(404);
}

#[test]
fn the_parts_of_another_repository_do_not_count() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    repo.put("latest", IMAGE, &manifest).expect(201);
    let other = repo.beside("other");
    other
        .put("latest", IMAGE, &manifest)
        .refused(400, "MANIFEST_BLOB_UNKNOWN");
    let index = bytes(&content::index(&[(IMAGE, &manifest)]));
    other
        .put("all", INDEX, &index)
        .refused(400, "MANIFEST_BLOB_UNKNOWN");
    repo.put("all", INDEX, &index).expect(201);
}

#[test]
fn a_manifest_that_is_wrong_about_a_size_is_refused() {
    let repo = Repo::fresh();
    repo.image("one");
    let mut document = content::image(&[b"one"]);
    document["layers"][0]["size"] = json!(4);
    repo.put("latest", IMAGE, &bytes(&document))
        .refused(400, "MANIFEST_INVALID");
}

#[test]
fn what_clients_would_read_differently_is_refused_and_the_field_is_named() {
    let repo = Repo::fresh();
    let good = String::from_utf8(repo.image("one")).unwrap();
    repo.put("good", IMAGE, good.as_bytes()).expect(201);
    let open = good.trim_end().strip_suffix('}').unwrap();
    for (manifest, field) in [
        (format!(r#"{open},"manifests":[]}}"#), "manifests"),
        (format!(r#"{open},"layers":[]}}"#), "layers"),
        (format!(r#"{open},"Layers":[]}}"#), "Layers"),
        (format!("{open},\"layer\u{17f}\":[]}}"), "layers"),
        (
            good.replacen(r#""size""#, r#""Size": 7, "size""#, 1),
            "config.Size",
        ),
        (
            good.replacen(r#""size""#, r#""data": "AAAA", "size""#, 1),
            "config.data",
        ),
        (
            format!(r#"{open},"annotations":{{"a":"1","a":"2"}}}}"#),
            "annotations.a",
        ),
    ] {
        assert_ne!(manifest, good);
        let answer = repo
            .put("bad", IMAGE, manifest.as_bytes())
            .refused(400, "MANIFEST_INVALID");
        let message = answer.json()["errors"][0]["message"].to_string();
        assert!(message.contains(&format!("`{field}")), "{field}: {answer}");
    }
    repo.get("manifests/bad").expect(404);
}

#[test]
fn what_need_not_be_there_must_have_its_size_if_it_is() {
    let repo = Repo::fresh();
    repo.image("one");
    let mut document = content::image(&[b"one"]);
    document["layers"][0]["mediaType"] =
        json!("application/vnd.oci.image.layer.nondistributable.v1.tar");
    document["layers"][0]["urls"] = json!(["https://a.example/layer"]);
    document["layers"][0]["size"] = json!(4);
    let answer = repo
        .put("bad", IMAGE, &bytes(&document))
        .refused(400, "MANIFEST_INVALID");
    assert!(answer.to_string().contains("`layers[0].size`"), "{answer}");
    // A subject may be anything, there or not: the specification asks for no more.
    let mut document = content::image(&[]);
    let digest = repo.tag("one", "one");
    document["subject"] = json!({"mediaType": IMAGE, "digest": digest, "size": 1});
    repo.put("good", IMAGE, &bytes(&document)).expect(201);
}

// spec: 64, 65
#[test]
fn a_push_by_digest_may_name_many_tags() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    for digest in [sha256(&manifest), sha512(&manifest)] {
        let tags: Vec<String> = (0..12).map(|n| format!("{}-{n}", &digest[..6])).collect();
        let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let reference = format!("{digest}?{}", query.join("&"));
        let put = repo.put(&reference, IMAGE, &manifest).expect(201);
        let mut accepted: Vec<&str> = put
            .all("oci-tag")
            .iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        accepted.sort_by_key(|tag| tags.iter().position(|one| one == tag));
        assert_eq!(accepted, tags);
        for tag in &tags {
            let head = repo.head(&format!("manifests/{tag}")).expect(200);
            assert_eq!(head.must("docker-content-digest"), digest);
        }
    }
}

// spec: 65
#[test]
fn one_bad_tag_refuses_them_all() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    let reference = format!("{}?tag=good&tag=not%20good", sha256(&manifest));
    repo.put(&reference, IMAGE, &manifest)
        .refused(400, "MANIFEST_INVALID");
    repo.get("manifests/good").expect(404);
}

// spec: 66
#[test]
fn more_tags_than_are_taken_are_414_and_none_is_set() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    let query: Vec<String> = (0..101).map(|n| format!("tag=t{n}")).collect();
    let reference = format!("{}?{}", sha256(&manifest), query.join("&"));
    repo.put(&reference, IMAGE, &manifest)
        .refused(414, "UNSUPPORTED");
    repo.get("manifests/t0").expect(404);
}

// spec: 67
#[test]
fn an_image_without_layers_and_an_empty_index_are_accepted() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    for (media_type, document) in [(IMAGE, content::image(&[])), (INDEX, content::index(&[]))] {
        let manifest = bytes(&document);
        repo.put("empty", media_type, &manifest).expect(201);
        let get = repo.get("manifests/empty").expect(200);
        assert_eq!(get.body, manifest);
        assert_eq!(get.must("content-type"), media_type);
    }
}

#[test]
fn a_tag_moves_to_what_was_pushed_last_and_the_old_manifest_stays() {
    let repo = Repo::fresh();
    let first = repo.tag("latest", "one");
    let second = repo.tag("latest", "two");
    assert_ne!(first, second);
    let head = repo.head("manifests/latest").expect(200);
    assert_eq!(head.must("docker-content-digest"), second);
    repo.get(&format!("manifests/{first}")).expect(200);
    assert_eq!(repo.tags(), ["latest"]);
}
