//! Documents that are refused, and the field that the message names.

use super::*;
use crate::oci::{Bounds, Manifest};

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// The content with that digest is `{}`.
fn descriptor_with(more: &str) -> String {
    format!(r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":2{more}}}"#)
}

fn image(layers: &str, more: &str) -> String {
    let config = descriptor_with("");
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]{more}}}"#)
}

fn index(child: &str) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{child}]}}"#)
}

fn refusal(document: &str) -> String {
    match Manifest::parse(document.as_bytes(), None, &Bounds::default()) {
        Ok(_) => panic!("accepted: {document}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_wrong_in_a_descriptor_is_named_by_its_place() {
    let good = descriptor_with("");
    let layer = |from: &str, to: &str| image(&format!("{good},{}", good.replace(from, to)), "");
    let with = |more: &str| image(&format!("{good},{}", descriptor_with(more)), "");
    for (document, expected) in [
        (layer(DIGEST, "sha256:zz"), "`layers[1].digest`"),
        (layer(DIGEST, "../../etc"), "`layers[1].digest`"),
        (
            layer("\"digest\"", "\"d\""),
            "`layers[1].digest` is missing",
        ),
        (layer("\"size\"", "\"s\""), "`layers[1].size` is missing"),
        (layer(":2", ":null"), "`layers[1].size` is missing"),
        (layer(":2", ":-2"), "`layers[1].size` is negative"),
        (
            layer(":2", ":2.0"),
            "`layers[1].size` must be a whole number",
        ),
        (
            layer(":2", ":2e0"),
            "`layers[1].size` must be a whole number",
        ),
        (
            layer(":2", ":\"2\""),
            "`layers[1].size` must be a whole number",
        ),
        (
            layer(":2", ":9223372036854775808"),
            "`layers[1].size` must be",
        ),
        (
            layer("\"a/b\"", "7"),
            "`layers[1].mediaType` must be a string",
        ),
        (with(r#","urls":"x""#), "`layers[1].urls` must be a list"),
        (
            with(r#","urls":["x",1]"#),
            "`layers[1].urls[1]` must be a string",
        ),
        (
            with(r#","artifactType":[]"#),
            "`layers[1].artifactType` must be",
        ),
        (
            with(r#","annotations":[]"#),
            "`layers[1].annotations` must be an object",
        ),
        (
            with(r#","annotations":{"a.b":1}"#),
            "`layers[1].annotations.a.b` must be a string",
        ),
        (
            with(r#","annotations":{"a":null}"#),
            "`layers[1].annotations.a` must be",
        ),
        (
            with(r#","platform":["amd64","linux"]"#),
            "`layers[1].platform` must be an object",
        ),
        (
            with(r#","data":[123,125]"#),
            "`layers[1].data` must be a string",
        ),
        (with(r#","data":"e30""#), "`layers[1].data` is not base64"),
        (
            with(r#","data":"e30K""#),
            "`layers[1].data` has 3 bytes, but the size is 2",
        ),
        (
            with(r#","data":"W10=""#),
            "`layers[1].data` is not the content",
        ),
        (image("null", ""), "`layers[0]` must be an object"),
        (image("[]", ""), "`layers[0]` must be an object"),
        (index("\"x\""), "`manifests[0]` must be an object"),
        (
            index(&descriptor_with(r#","platform":{"os":1}"#)),
            "`manifests[0].platform.os` must be a string",
        ),
        (
            index(&descriptor_with(r#","platform":{"os.features":[{}]}"#)),
            "`manifests[0].platform.os.features[0]` must be a string",
        ),
        (
            image("", r#","subject":"x""#),
            "`subject` must be an object",
        ),
        (
            image("", r#","annotations":{"a":{}}"#),
            "`annotations.a` must be a string",
        ),
        (
            image("", r#","artifactType":{}"#),
            "`artifactType` must be a string",
        ),
        (
            r#"{"schemaVersion":2.0,"manifests":[]}"#.to_owned(),
            "`schemaVersion` must be",
        ),
        (
            r#"{"schemaVersion":2,"manifests":{}}"#.to_owned(),
            "`manifests` must be a list",
        ),
        (
            r#"{"schemaVersion":3,"manifests":[]}"#.to_owned(),
            "`schemaVersion` is 3",
        ),
        (
            r#"{"schemaVersion":2,"config":null}"#.to_owned(),
            "`config` is missing",
        ),
    ] {
        let message = refusal(&document);
        assert!(message.contains(expected), "{document}: {message}");
    }
}

/// Go's encoding/json takes each of these for the field of the other spelling.
#[test]
fn what_another_parser_takes_for_a_field_is_refused() {
    for (document, expected) in [
        (
            image("", r#","LAYERS":[]"#),
            "`LAYERS` must be spelled `layers`",
        ),
        (
            image("", ",\"layer\u{17f}\":[]"),
            "must be spelled `layers`",
        ),
        (
            image("", r#","layer\u017f":[]"#),
            "must be spelled `layers`",
        ),
        (image("", r#","fSLayers":[]"#), "must be spelled `fsLayers`"),
        (image("", r#","Subject":{}"#), "must be spelled `subject`"),
        (
            image(&descriptor_with(",\"\u{17f}ize\":3"), ""),
            "must be spelled `layers[0].size`",
        ),
        (
            image(&descriptor_with(r#","Data":"""#), ""),
            "`layers[0].Data` must be spelled `layers[0].data`",
        ),
        (
            index(&descriptor_with(r#","platform":{"OS":"linux"}"#)),
            "`manifests[0].platform.OS` must be spelled",
        ),
    ] {
        let message = refusal(&document);
        assert!(message.contains(expected), "{document}: {message}");
    }
    // No field has a K, but Go folds it too.
    assert!(folds_to("\u{212a}ey\u{17f}", "keys"));
    assert!(!folds_to("ss", "\u{df}"));
}

#[test]
fn what_parsers_read_differently_is_refused_wherever_it_stands() {
    let twice = r#","x":1,"x":2"#;
    for (document, expected) in [
        (image("", twice), "`x` is there twice"),
        (image("", r#","x":1,"\u0078":2"#), "`x` is there twice"),
        (
            image(&descriptor_with(twice), ""),
            "`layers[0].x` is there twice",
        ),
        (
            image(&descriptor_with(r#","size":3"#), ""),
            "`layers[0].size` is there twice",
        ),
        (
            image("", r#","annotations":{"a":"1","a":"2"}"#),
            "`annotations.a` is there twice",
        ),
        (
            index(&descriptor_with(r#","platform":{"os":"a","os":"b"}"#)),
            "`manifests[0].platform.os` is there twice",
        ),
        (
            image("", r#","of.nobody":[0,{"deep":{"b":1,"b":1}}]"#),
            "`of.nobody[1].deep.b` is there twice",
        ),
        (image("", r#","x":"\ud800""#), "hex escape"),
        (image("", r#","\udc00":1"#), "hex escape"),
        (image("", r#","x":1e400"#), "number out of range"),
        (format!("\u{feff}{}", image("", "")), "byte order mark"),
        (format!("{}{{}}", image("", "")), "trailing"),
    ] {
        let message = refusal(&document);
        assert!(message.contains(expected), "{document}: {message}");
    }
}

#[test]
fn what_clients_write_is_accepted() {
    for document in [
        image(&descriptor_with(r#","data":"e30=""#), ""),
        image(
            &descriptor_with(r#","urls":null,"annotations":null,"platform":null"#),
            "",
        ),
        image(
            &descriptor_with(r#","urls":[],"annotations":{"A":"1","a":"2"}"#),
            "",
        ),
        image(
            "",
            r#","layersOf":[],"org.example":{"Size":"x"},"manifests":null"#,
        ),
        index(&descriptor_with(
            r#","platform":{"os":"windows","architecture":"amd64","os.version":"10","os.features":["a"],"variant":"v8"}"#,
        )),
        // Media types are nobody's business, nor are fields of tomorrow.
        image(
            &descriptor_with(r#","x":[1.5,-0,1e3,true,null]"#).replace("a/b", "*&^%"),
            "",
        ),
    ] {
        let parsed = Manifest::parse(document.as_bytes(), None, &Bounds::default());
        assert!(parsed.is_ok(), "{document}: {parsed:?}");
    }
}

/// What registry:2 has stored stays readable.
#[test]
fn what_is_stored_is_read_more_kindly() {
    let document = image(&descriptor_with(r#","annotations":{"a":1,"a":2}"#), "");
    assert!(Manifest::parse(document.as_bytes(), None, &Bounds::default()).is_err());
    assert_eq!(
        Manifest::stored(document.as_bytes()).unwrap().parts.len(),
        2
    );
}
