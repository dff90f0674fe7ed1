//! A peer that lies.  Whatever it sends, the link ends in an error that says whose fault it was, says it again, and nothing panics,
//! hangs or allocates what was only claimed.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

mod toy;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use saranwrap::message::{Header, Hello, Kind as Is, MAX_BODY};
use saranwrap::transport::stream::Stream;
use saranwrap::{Kind, Link, Side};
use toy::{Toy, request};

const CHILD: u64 = 1 << 63;

fn link_to_a_liar() -> (Arc<Link>, UnixStream) {
    let (ours, liar) = UnixStream::pair().unwrap();
    (Link::new(Box::new(Stream::new(ours.into()).unwrap()), Side::Parent), liar)
}

fn frame(kind: Is, id: u64, chain: u64, body: &[u8]) -> Vec<u8> {
    let header = Header { kind, id, chain, len: body.len() as u32 };
    [&header.encode()[..], body].concat()
}

/// Say `lies` and end; what does a call come to?
fn outcome(lies: &[u8]) -> saranwrap::Error {
    let (link, mut liar) = link_to_a_liar();
    liar.write_all(lies).unwrap();
    liar.shutdown(Shutdown::Write).unwrap();
    let toy = Toy::new(&link, 1, &Arc::default());
    // Some lies answer a call or two on the way.
    let ask = || link.call(&toy, &request("who", 0));
    let error = (0..50).find_map(|_| ask().err()).unwrap();
    // Broken for good, with the same story.
    assert_eq!(ask().unwrap_err().to_string(), error.to_string());
    assert_eq!(link.error().unwrap().to_string(), error.to_string());
    // The liar is told, too: what it reads comes to an end.
    liar.read_to_end(&mut Vec::new()).unwrap();
    error
}

#[track_caller]
fn garbled(lies: &[u8], why: &str) {
    broken(lies, Kind::Garbled, why);
}

fn broken(lies: &[u8], kind: Kind, why: &str) {
    let error = outcome(lies);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn nothing_at_all() {
    let error = outcome(b"");
    assert_eq!((error.kind(), error.what()), (Kind::Died, "the child ended the conversation"));
}

#[test]
fn no_frames() {
    garbled(b"Traceback (most recent call last):\n", "reserved bytes");
    garbled(&[0; 24], "0 is no kind of frame");
    garbled(&[0xff; 1000], "reserved bytes");
}

#[test]
fn half_a_frame() {
    let whole = frame(Is::Reply, 1, 1, b"\x01");
    for cut in 1..whole.len() {
        broken(&whole[..cut], Kind::Died, "ended inside a frame");
    }
}

#[test]
fn an_unknown_kind() {
    let mut lie = frame(Is::Reply, 1, 1, b"");
    lie[4] = 8;
    garbled(&lie, "8 is no kind of frame");
}

#[test]
fn a_body_over_the_limit() {
    let header = Header { kind: Is::Reply, id: 1, chain: 1, len: MAX_BODY + 1 };
    garbled(&header.encode(), "over the limit");
    let header = Header { kind: Is::Hello, id: 0, chain: 0, len: 1 << 21 };
    garbled(&header.encode(), "over the limit");
}

#[test]
fn a_length_that_is_only_claimed_is_not_allocated() {
    let before = virtual_memory_peak();
    let header = Header { kind: Is::Reply, id: 1, chain: 1, len: MAX_BODY };
    broken(&[&header.encode()[..], &[0; 100_000]].concat(), Kind::Died, "ended inside a frame");
    assert!(virtual_memory_peak() - before < u64::from(MAX_BODY) / 2);
}

#[test]
fn an_answer_to_nothing() {
    garbled(&frame(Is::Reply, 77, 1, b"\x01"), "the call 0x4d, which is not open");
    garbled(&frame(Is::Raised, CHILD | 1, 1, b"\x01"), "which is not open");
}

#[test]
fn two_answers_to_one_call() {
    let answer = frame(Is::Reply, 1, 1, b"\x01");
    garbled(&[&answer[..], &answer].concat(), "a second answer");
}

#[test]
fn two_answers_to_a_call_that_was_cancelled() {
    let (link, mut liar) = link_to_a_liar();
    let shared: Arc<toy::Shared> = Arc::default();
    let toy = Toy::new(&link, 1, &shared);
    assert_eq!(link.ask(&toy, &request("who", 0), Some(Instant::now())).err().unwrap().kind(), Kind::TimedOut);
    let answer = frame(Is::Reply, 1, 1, b"\x01");
    liar.write_all(&answer).unwrap();
    link.flush_releases(&toy).unwrap();
    assert_eq!(*shared.discarded.lock().unwrap(), [[1]]);
    liar.write_all(&answer).unwrap();
    assert!(link.pump().unwrap_err().what().contains("which is not open"));
}

#[test]
fn a_peer_that_never_answers_ends_no_wait_but_by_the_deadline() {
    let (link, _liar) = link_to_a_liar();
    let toy = Toy::new(&link, 1, &Arc::default());
    toy.patience.set(3);
    let soon = Instant::now() + Duration::from_millis(10);
    assert_eq!(link.ask(&toy, &request("who", 0), Some(soon)).err().unwrap().kind(), Kind::TimedOut);
    assert_eq!(toy.patience.get(), 0);
    assert!(link.error().is_none());
}

#[test]
fn more_calls_than_can_be_left_for_later() {
    let (link, mut liar) = link_to_a_liar();
    let toy = Toy::new(&link, 1, &Arc::default());
    let flood = std::thread::spawn(move || {
        let later = |id| frame(Is::Call, CHILD | id, CHILD | id, &request("later", 0));
        (1..).try_for_each(|id| liar.write_all(&later(id)))
    });
    let error = loop {
        if let Err(error) = link.pump().and_then(|()| link.serve_ready(&toy)) {
            break error;
        }
    };
    assert_eq!(error.what(), "the child asks more at once than can be kept");
    assert!(flood.join().unwrap().is_err());
}

#[test]
fn an_answer_that_is_no_value() {
    let (link, mut liar) = link_to_a_liar();
    liar.write_all(&frame(Is::Reply, 1, 1, b"\xff")).unwrap();
    // The link does not look inside; whoever decodes finds it.
    let error = Toy::new(&link, 1, &Arc::default()).number("who", 0).unwrap_err();
    assert_eq!(error.kind(), Kind::Garbled);
}

#[test]
fn calls_that_are_no_requests() {
    garbled(&frame(Is::Call, CHILD | 1, 1, b""), "`request`");
    garbled(&frame(Is::Call, CHILD | 1, 1, b"\x80"), "`command`");
    garbled(&frame(Is::Call, CHILD | 1, 1, &request("blow up", 0)), "unknown command");
}

#[test]
fn a_call_under_a_number_of_ours() {
    garbled(&frame(Is::Call, 1, 1, &request("who", 0)), "is one of ours");
}

#[test]
fn the_same_call_twice() {
    let (link, mut liar) = link_to_a_liar();
    let call = frame(Is::Call, CHILD | 1, CHILD | 1, &request("who", 0));
    liar.write_all(&[&call[..], &call].concat()).unwrap();
    assert!(link.pump().unwrap_err().what().contains("is being served already"));
}

#[test]
fn more_calls_than_can_be_kept() {
    let (link, mut liar) = link_to_a_liar();
    let flood = std::thread::spawn(move || {
        (1..).try_for_each(|id| liar.write_all(&frame(Is::Call, CHILD | id, CHILD | 1, b"\x01")))
    });
    let error = loop {
        if let Err(error) = link.pump() {
            break error;
        }
    };
    assert_eq!((error.kind(), error.what()), (Kind::Garbled, "the child asks more at once than can be kept"));
    assert!(flood.join().unwrap().is_err());
}

#[test]
fn releases_that_are_none() {
    garbled(&frame(Is::Release, 0, 0, b"\x01"), "`release count`");
    garbled(&frame(Is::Release, 0, 0, b"\x20\x01"), "`released id`");
}

#[test]
fn a_hello_in_the_middle() {
    let hello = frame(Is::Hello, 0, 0, &Hello::ours(Vec::new()).encode().unwrap());
    garbled(&[&hello[..], &hello].concat(), "a second Hello");
}

#[test]
fn something_before_the_hello() {
    let (link, mut liar) = link_to_a_liar();
    liar.write_all(&frame(Is::Call, CHILD | 1, 1, &request("who", 0))).unwrap();
    let error = link.hello(&Hello::ours(Vec::new()), None).unwrap_err();
    assert_eq!((error.kind(), error.what()), (Kind::Garbled, "a Call before the Hello"));
}

#[test]
fn a_hello_that_is_none() {
    for body in [&b""[..], b"\xa0", b"\xa1\x01\x02", b"\xa1\x68protocol\x61x", b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        let (link, mut liar) = link_to_a_liar();
        liar.write_all(&frame(Is::Hello, 0, 0, body)).unwrap();
        let error = link.hello(&Hello::ours(Vec::new()), None).unwrap_err();
        assert_eq!(error.kind(), Kind::Garbled, "{body:x?}: {error}");
        assert_eq!(link.error().unwrap().to_string(), error.to_string());
    }
}

#[test]
fn bodies_where_none_belongs() {
    garbled(&frame(Is::Bye, 0, 0, b"\x01"), "a Bye with a body");
    garbled(&frame(Is::Cancel, 1, 0, b"\x01"), "a Cancel with a body");
}

#[test]
fn a_cancel_of_nothing_is_no_fault() {
    let error = outcome(&frame(Is::Cancel, 99, 0, b""));
    assert_eq!(error.kind(), Kind::Died);
}

#[test]
fn a_bye_from_the_child_is_its_end() {
    let error = outcome(&frame(Is::Bye, 0, 0, b""));
    assert_eq!((error.kind(), error.what()), (Kind::Died, "the child closed the link"));
}

#[test]
fn a_peer_that_does_not_listen() {
    let (link, liar) = link_to_a_liar();
    liar.shutdown(Shutdown::Read).unwrap();
    let error = Toy::new(&link, 1, &Arc::default()).number("who", 0).unwrap_err();
    assert_eq!(error.kind(), Kind::Died);
}

#[test]
fn an_answer_sent_before_the_end_is_an_answer() {
    let (link, mut liar) = link_to_a_liar();
    liar.write_all(&frame(Is::Reply, 1, 1, b"\x18\x2a")).unwrap();
    liar.write_all(&frame(Is::Bye, 0, 0, b"")).unwrap();
    let toy = Toy::new(&link, 1, &Arc::default());
    assert_eq!(toy.number("who", 0).unwrap(), 42);
    assert_eq!(toy.number("who", 0).unwrap_err().kind(), Kind::Died);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rubbish_ends_in_an_error(lies in prop::collection::vec(any::<u8>(), 0..200)) {
        let error = outcome(&lies);
        prop_assert!(matches!(error.kind(), Kind::Garbled | Kind::Died));
    }

    #[test]
    fn frames_in_any_order_end_in_an_error(
        frames in prop::collection::vec(
            (1..8u8, 0..4u64, any::<bool>(), 0..4u64, prop::collection::vec(any::<u8>(), 0..20)),
            0..20,
        )
    ) {
        let mut lies = Vec::new();
        for (kind, id, child, chain, body) in frames {
            let mut bytes = frame(Is::Reply, if child { CHILD | id } else { id }, chain, &body);
            bytes[4] = kind;
            lies.extend(bytes);
        }
        let error = outcome(&lies);
        prop_assert!(matches!(error.kind(), Kind::Garbled | Kind::Died));
    }
}

fn virtual_memory_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
