//! The fuzz targets over their committed corpus, as plain tests.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

#[allow(unreachable_pub)] // The fuzzers take it in, too.
#[path = "../../../fuzz/src/targets.rs"]
mod targets;

fn each(name: &str, target: fn(&[u8])) {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/");
    let mut count = 0;
    for entry in std::fs::read_dir(format!("{corpus}{name}")).unwrap() {
        target(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "the corpus of {name} is empty");
}

#[test]
fn wire() {
    each("wire", targets::wire);
}

#[test]
fn message() {
    each("message", targets::message);
}

#[test]
fn link() {
    each("link", targets::link);
}
