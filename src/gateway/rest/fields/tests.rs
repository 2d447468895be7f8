use super::*;
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
struct One<'a> {
    #[serde(borrow)]
    it: Field<'a>,
}

fn field(json: &str) -> Field<'static> {
    let body = format!("{{\"it\":{json}}}");
    match read::<One<'_>>(body.as_bytes()).unwrap().it {
        Field::Text(text) => Field::Text(Cow::Owned(text.into_owned())),
        Field::Absent => Field::Absent,
        Field::Number(number) => Field::Number(number),
        Field::Bool(value) => Field::Bool(value),
        Field::Other => Field::Other,
    }
}

fn words<T: fmt::Debug>(result: Result<T, Failure>) -> String {
    let failure = result.unwrap_err();
    assert_eq!(failure.status(), 400);
    failure.message().to_owned()
}

#[test]
fn booleans_come_as_such_and_as_text() {
    for (json, value) in [
        ("true", true),
        ("false", false),
        ("\"true\"", true),
        ("\"FALSE\"", false),
        ("\"\"", true),
        ("null", true),
    ] {
        assert_eq!(field(json).boolean("it", true).unwrap(), value, "{json}");
    }
    for json in ["1", "\"yes\"", "[true]", "{}", "0.5"] {
        let words = words(field(json).boolean("hasAudio", true));
        assert_eq!(words, "hasAudio: expected true or false", "{json}");
    }
}

#[test]
fn ports_come_as_numbers_and_as_text() {
    for (json, port) in [
        ("5060", Some(5060)),
        ("\"5060\"", Some(5060)),
        ("\"05060\"", Some(5060)),
        ("5060.0", Some(5060)),
        ("5.06e3", Some(5060)),
        ("65535", Some(65535)),
        ("null", None),
        ("\"\"", None),
    ] {
        assert_eq!(field(json).port("it").unwrap(), port, "{json}");
    }
    for json in [
        "0",
        "65536",
        "-1",
        "5060.5",
        "1e300",
        "\"5060.0\"",
        "\"+5060\"",
        "\"0x10\"",
        "true",
        "1e5",
        "[1]",
    ] {
        let words = words(field(json).port("sipPort"));
        assert_eq!(words, "sipPort: expected a port from 1 to 65535", "{json}");
    }
    let many = format!("\"{}\"", "9".repeat(10_000));
    words(field(&many).port("sipPort"));
}

#[test]
fn texts_are_bounded_and_hold_no_control_character() {
    assert_eq!(field("\"a\\u00e9\"").text("it", 3).unwrap().unwrap(), "aé");
    assert_eq!(field("1002").text("it", 9).unwrap().unwrap(), "1002");
    assert_eq!(field("1002.0").text("it", 9).unwrap().unwrap(), "1002");
    assert_eq!(field("-0.0").text("it", 9).unwrap().unwrap(), "0");
    for number in ["1e19", "-9.2e18", "-9223372036854775808"] {
        assert!(field(number).text("it", 20).unwrap().is_some(), "{number}");
    }
    assert_eq!(field("\"\"").text("it", 9).unwrap(), None);
    assert_eq!(
        words(field("\"abcd\"").text("callee", 3)),
        "callee: expected at most 3 bytes"
    );
    for json in ["\"a\\r\\nb\"", "\"\\u0000\"", "\"\\u0085\""] {
        let words = words(field(json).text("callee", 9));
        assert_eq!(words, "callee: expected text without control characters");
    }
    for json in [
        "true",
        "[]",
        "{\"a\":1}",
        "1.5",
        "18446744073709551616",
        "-9223372036854775809",
    ] {
        assert_eq!(
            words(field(json).text("callee", 9)),
            "callee: expected text"
        );
    }
    words(field("null").required("callee", 9));
}

#[test]
fn bodies_are_objects_and_unknown_keys_are_passed_over() {
    let body = br#"{"x":{"it":[1,{"it":2}]},"it":"a","y":null}"#;
    let one: One<'_> = read(body).unwrap();
    assert_eq!(one.it, Field::Text("a".into()));
    for body in [
        "",
        "[]",
        "[\"a\"]",
        "\"it\"",
        "null",
        "1",
        "{",
        "{}{}",
        "{\"it\":}",
        "\u{feff}{}",
    ] {
        words(read::<One<'_>>(body.as_bytes()).map(|_| ()));
    }
    words(read::<One<'_>>(b"{\"it\":\"\xff\"}").map(|_| ()));
    words(read::<One<'_>>(br#"{"it":1,"it":2}"#).map(|_| ()));
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outer<'a> {
    #[serde(borrow)]
    of: Nested<One<'a>>,
}

#[test]
fn objects_within_a_body_are_read_alike() {
    let of = |json: &str| {
        let body = format!("{{\"of\":{json}}}");
        let outer: Outer<'_> = read(body.as_bytes()).unwrap();
        outer
            .of
            .object("of")
            .map(|one| one.it == Field::Text("a".into()))
    };
    assert!(of("{\"it\":\"a\",\"other\":[{}]}").unwrap());
    for json in ["{}", "null", "\"\""] {
        assert!(!of(json).unwrap(), "{json}");
    }
    for json in ["1", "-1", "0.5", "true", "\"a\"", "[1]"] {
        assert_eq!(words(of(json)), "of: expected an object", "{json}");
    }
}

#[test]
fn deep_bodies_are_refused() {
    let deep = format!("{{\"x\":{}", "[".repeat(16_000));
    words(read::<One<'_>>(deep.as_bytes()).map(|_| ()));
}

#[test]
fn what_a_body_holds_is_not_repeated_in_the_refusal() {
    let words = words(read::<One<'_>>(br#"{"it":"hunter2","it":"hunter2"}"#).map(|_| ()));
    assert!(!words.contains("hunter2"), "{words}");
}
