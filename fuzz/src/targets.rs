//! What is fuzzed.  The same functions run over the committed corpus as plain tests of the engine.

use std::io::Write;
use std::os::unix::net::UnixStream;

use saranwrap::arena::Place;
use saranwrap::message::{self, HEADER_LEN, Header, Hello};
use saranwrap::op::Step;
use saranwrap::transport::stream::Stream;
use saranwrap::wire::packed::{self, Packing};
use saranwrap::wire::{Item, Reader, Writer, tag};
use saranwrap::{Kind, Link, Request, Side};

/// Any bytes: reading ends, moves forward, and what was read comes back when it is written.
pub fn wire(bytes: &[u8]) {
    walk(bytes);
    let items = items(&bytes[..whole(bytes)]);
    let mut out = Writer::new();
    items.iter().for_each(|item| write(item, &mut out));
    // Heads may have been longer than need be; written again they are the shortest, and mean the same.
    assert!(out.len() <= bytes.len());
    // Compared as text, in which a float that is no number equals itself.
    assert_eq!(format!("{:?}", self::items(out.as_slice())), format!("{items:?}"));
    let _ = Request::read(&mut Reader::new(bytes));
    place(bytes);
    run(bytes);
    if let Ok(Some(step)) = Step::read(&mut Reader::new(bytes)) {
        let mut again = Writer::new();
        step.write(&mut again);
        assert_eq!(
            Step::read(&mut Reader::new(&[again.as_slice(), &vec![0xf6; step.argc]].concat())).ok(),
            Some(Some(step))
        );
    }
}

/// A place in a block comes back as it was written.
fn place(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    if reader.next().ok() == Some(Item::Tag(tag::BLOCK))
        && let Ok(place) = Place::read(&mut reader)
    {
        let mut again = Writer::new();
        place.write(&mut again);
        let mut reader = Reader::new(again.as_slice());
        assert_eq!(reader.next().ok(), Some(Item::Tag(tag::BLOCK)));
        assert_eq!(Place::read(&mut reader).ok(), Some(place));
    }
}

/// The numbers of a run come back bit by bit, though perhaps in a narrower one.
fn run(bytes: &[u8]) {
    let Ok(Some(found)) = Reader::new(bytes).run() else { return };
    let mut again = Writer::new();
    match found.packing() {
        Packing::Float64 => again.floats(&found.numbers().map(packed::float).collect::<Vec<_>>()),
        _ => again.integers(&found.numbers().map(packed::integer).collect::<Vec<_>>()),
    }
    assert!(again.len() <= bytes.len());
    let Ok(Some(second)) = Reader::new(again.as_slice()).run() else {
        panic!("a run is none when it is written again")
    };
    assert!(found.numbers().map(packed::integer).eq(second.numbers().map(packed::integer)));
}

/// Any bytes as the bodies and headers that belong to the link.
pub fn message(bytes: &[u8]) {
    if let Some(head) = bytes.first_chunk::<HEADER_LEN>()
        && let Ok(header) = Header::decode(head)
    {
        assert_eq!(&header.encode(), head);
    }
    if let Ok(releases) = message::decode_releases(bytes) {
        let mut out = Writer::new();
        message::encode_releases(&releases, &mut out);
        assert_eq!(message::decode_releases(out.as_slice()).ok(), Some(releases));
    }
    if let Ok(hello) = Hello::decode(bytes) {
        let again = hello.encode().and_then(|body| Hello::decode(&body));
        assert_eq!(again.ok(), Some(hello));
    }
}

/// Any bytes as what a child sends before it ends: the link breaks, with an error that lays the blame on the child.
pub fn link(bytes: &[u8]) {
    let Ok((ours, mut liar)) = UnixStream::pair() else { return };
    let Ok(stream) = Stream::new(ours.into()) else { return };
    let link = Link::new(Box::new(stream), Side::Parent);
    // More than this does not go without a reader, and nothing is gained by it.
    if liar.write_all(&bytes[..bytes.len().min(100_000)]).is_err() {
        return;
    }
    drop(liar);
    let error = (0..100).find_map(|_| link.pump().err());
    assert!(matches!(error.map(|error| error.kind()), Some(Kind::Garbled | Kind::Died)));
}

/// Read heads, whether or not what they announce is there.
fn walk(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    while !reader.at_end() {
        let before = reader.position();
        if reader.next().is_err() {
            assert_eq!(reader.position(), before);
            return;
        }
        assert!(reader.position() > before);
    }
}

/// How many bytes at the start are whole values with everything in them.
fn whole(bytes: &[u8]) -> usize {
    let mut reader = Reader::new(bytes);
    let mut end = 0;
    while reader.skip().is_ok() {
        end = reader.position();
    }
    end
}

fn items(bytes: &[u8]) -> Vec<Item<'_>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(|| reader.next().ok()).collect()
}

fn write(item: &Item<'_>, out: &mut Writer) {
    match *item {
        Item::Null => out.null(),
        Item::Bool(value) => out.bool(value),
        Item::Uint(value) => out.u64(value),
        Item::Nint(value) => out.bigint(true, &value.to_be_bytes()),
        Item::Float(value) => out.f64(value),
        Item::Bytes(value) => out.bytes(value),
        Item::Text(value) => out.text(value),
        Item::Array(len) => out.array(len),
        Item::Map(len) => out.map(len),
        Item::Tag(tag) => out.tag(tag),
    }
}
