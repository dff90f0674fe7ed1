//! Children that lie to a Rust program: whatever they send, it comes to an error, and neither to a panic nor to a wait.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use saranwrap::arena::{Owner, Place, Room};
use saranwrap::child::Carrier;
use saranwrap::message::{self, Header, Hello};
use saranwrap::wire::{Reader, Writer, tag};
use saranwrap::{
    Adopted, Applied, Arena, Buffer, Fault, Host, Kind, Link, Object, Outcome, Program, Result, Session, Value,
    adopt_link,
};

/// How many numbers a block of the liar's has.
const MANY: usize = 10_000;

/// Answers with what it is told to: the bytes that are the argument of the call.  So the parent says how it is to be lied to.
struct Liar<'a> {
    link: &'a Link,
    /// It asks its parent for this before it answers, once.
    asks: Cell<Option<Vec<u8>>>,
    arena: &'a Arc<Arena>,
    /// A block that it has lent, and still writes to.
    lent: RefCell<Option<Room>>,
    /// From some time on it answers all that it is asked with this.
    always: RefCell<Option<Vec<u8>>>,
}

impl Host for Liar<'_> {
    fn apply(&self, body: &[u8], out: &mut Writer) -> Result<Applied> {
        if let Some(bytes) = &*self.always.borrow() {
            return Ok(answer(bytes, out));
        }
        let mut reader = Reader::new(body);
        reader.array("request")?;
        if reader.u64("op")? == 14 {
            // Something to ask more of.
            return Ok(answer(&mine(1, 2), out));
        }
        reader.u64("target")?;
        match reader.text("name")? {
            "answer" => Ok(answer(told(&mut reader)?, out)),
            "raise" => {
                out.raw(told(&mut reader)?);
                Ok(Outcome::Raised.into())
            }
            "ask" => {
                self.asks.set(Some(told(&mut reader)?.to_vec()));
                if let Some(request) = self.asks.take() {
                    let (outcome, body) = self.link.call(self, &request)?;
                    out.bool(outcome == Outcome::Answered && !body.is_empty());
                }
                Ok(Outcome::Answered.into())
            }
            "release" => {
                let id = Reader::new(told(&mut reader)?).u64("id")?;
                self.link.send_releases(&[(id, 1)]);
                out.null();
                Ok(Outcome::Answered.into())
            }
            // A buffer of a block that it keeps for itself: the place is that of the same block, given and taken back before.
            "lend" => {
                let room = self.arena.room(MANY * 8).unwrap();
                let at = room.address();
                let place = room.give();
                self.arena.take_back(place);
                let room = self.arena.room(MANY * 8).unwrap();
                assert_eq!(room.address(), at);
                room.copy_in(0, &[1; MANY * 8]);
                *self.lent.borrow_mut() = Some(room);
                let start = reader.array("arguments").and_then(|_| reader.u64("start"))?;
                let count = MANY as u64 - start.div_ceil(8);
                buffer(out, ("C", "Q", 8), &[count], |out| Place { start, len: count * 8, ..place }.write(out));
                Ok(Outcome::Answered.into())
            }
            "rewrite" => {
                self.lent.borrow().as_ref().unwrap().copy_in(0, &[2; MANY * 8]);
                out.null();
                Ok(Outcome::Answered.into())
            }
            "always" => {
                *self.always.borrow_mut() = Some(told(&mut reader)?.to_vec());
                out.null();
                Ok(Outcome::Answered.into())
            }
            "trickle" => {
                let header = Header { kind: message::Kind::Reply, id: 1, chain: 1, len: message::MAX_BODY };
                let mut socket = File::from(self.link.fd().try_clone_to_owned().unwrap());
                socket.write_all(&header.encode()).unwrap();
                while socket.write_all(&[0x78; 64]).is_ok() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                unreachable!("the parent kills who does not stop");
            }
            other => panic!("the liar was asked for {other}"),
        }
    }

    fn release(&self, _: &[(u64, u64)]) -> Result<()> {
        Ok(())
    }

    fn discard(&self, _: &[u8]) {}

    fn detached(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }

    fn interrupted(&self) -> Result<()> {
        Ok(())
    }

    fn queued_releases(&self) -> Vec<(u64, u64)> {
        Vec::new()
    }
}

fn answer(bytes: &[u8], out: &mut Writer) -> Applied {
    out.raw(bytes);
    Outcome::Answered.into()
}

/// The bytes that are the only argument.
fn told<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8]> {
    reader.array("arguments")?;
    reader.bytes("lie")
}

fn mine(id: u64, class: u64) -> Vec<u8> {
    let mut out = Writer::new();
    out.tag(tag::MINE);
    out.array(2);
    out.u64(id);
    out.u64(class);
    out.into_vec()
}

/// A buffer of this order, format and item size, with these sides.
fn buffer(
    out: &mut Writer,
    (order, format, size): (&str, &str, u64),
    shape: &[u64],
    content: impl FnOnce(&mut Writer),
) {
    out.tag(tag::BUFFER);
    out.array(5);
    out.text(order);
    out.text(format);
    out.u64(size);
    out.array(shape.len());
    shape.iter().for_each(|&side| out.u64(side));
    content(out);
}

/// The main function of a liar.
#[test]
fn child_main() {
    if !saranwrap::program::is_child() {
        return;
    }
    let Adopted { link, arena, .. } = adopt_link().unwrap();
    link.hello(&Hello::ours(Vec::new()), None).unwrap();
    let served = link.serve(&Liar {
        link: &link,
        asks: Cell::new(None),
        arena: &arena,
        lent: RefCell::default(),
        always: RefCell::default(),
    });
    // Its parent has found it out, as a rule.
    std::process::exit(i32::from(served.is_err()));
}

fn liar() -> Session {
    program().spawn().unwrap()
}

fn program() -> Program {
    let arguments = ["child_main", "--exact", "--nocapture", "--quiet"];
    let program = Program::this().unwrap().timeout(Duration::from_secs(20)).grace(Duration::ZERO);
    arguments.into_iter().fold(program, Program::arg)
}

/// What comes of such a lie, told by a new liar.
fn lied(how: &str, bytes: &[u8]) -> std::result::Result<Value, Fault> {
    liar().wrap_module("it").unwrap().call_method(how, (bytes,))
}

fn encoded(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    write(&mut out);
    out.into_vec()
}

#[test]
fn answers_that_break_the_protocol_break_the_link() {
    let lies: &[(&str, Vec<u8>)] = &[
        ("nothing", vec![]),
        ("two values", vec![0x01, 0x02]),
        (
            "an unknown tag",
            encoded(|out| {
                out.tag(99);
                out.null();
            }),
        ),
        (
            "a pickle",
            encoded(|out| {
                out.tag(tag::PICKLE);
                out.array(2);
                out.u64(0);
                out.bytes(b"\x80\x05N.");
            }),
        ),
        (
            "an object of ours that there is not",
            encoded(|out| {
                out.tag(tag::THEIRS);
                out.u64(77);
            }),
        ),
        (
            "the root as a value",
            encoded(|out| {
                out.tag(tag::THEIRS);
                out.u64(0);
            }),
        ),
        (
            "a loan that was never made",
            encoded(|out| {
                out.tag(tag::SAME);
                out.u64(1);
            }),
        ),
        (
            "an argument that there was not",
            encoded(|out| {
                out.tag(tag::ARGUMENT);
                out.u64(7);
            }),
        ),
        (
            "a block that nobody has",
            encoded(|out| {
                out.tag(tag::BLOCK);
                out.array(4);
                [0, 5, 0, 1 << 30].into_iter().for_each(|part| out.u64(part));
            }),
        ),
        (
            "a block of ours that is not out",
            encoded(|out| {
                out.tag(tag::BLOCK);
                out.array(4);
                [1, 0, 0, 4096].into_iter().for_each(|part| out.u64(part));
            }),
        ),
        (
            "a promise in no pipeline",
            encoded(|out| {
                out.tag(tag::PROMISE);
                out.u64(0);
            }),
        ),
        ("a change of what was never lent", [&[0xf6, 0x82, 0x81, 0x82, 0x01, 0x80][..], &[0x80]].concat()),
        ("a claim of many items", vec![0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("a run of half a number", vec![0xd8, 77, 0x43, 1, 2, 3]),
        ("a run of a text", vec![0xd8, 79, 0x61, b'x']),
        ("a run that is longer than its message", vec![0xd8, 72, 0x5a, 0xff, 0xff, 0xff, 0xff, 1]),
        ("a run of a kind that is not spoken", vec![0xd8, 64, 0x41, 1]),
        ("a list of half a number", vec![0xd9, 0x53, 0, 0x82, 1, 0xd8, 78, 0x43, 1, 2, 3]),
        ("an odd nest", [vec![0x81; 5000], vec![0xf6]].concat()),
        (
            "an exception of nothing",
            encoded(|out| {
                out.tag(tag::EXCEPTION);
                out.array(0);
            }),
        ),
    ];
    for (what, bytes) in lies {
        let fault = lied("answer", bytes).unwrap_err();
        assert_eq!(fault.kind(), Some(Kind::Garbled), "{what}: {fault}");
    }
}

#[test]
fn buffers_that_make_no_sense_break_the_link() {
    let bytes = |out: &mut Writer| out.bytes(&[0; 16]);
    let block = |owner, number, start, len| move |out: &mut Writer| Place { owner, number, start, len }.write(out);
    let of_block = |place: &dyn Fn(&mut Writer), shape: &[u64]| encoded(|out| buffer(out, ("C", "Q", 8), shape, place));
    let lies = [
        ("of an order that there is not", encoded(|out| buffer(out, ("A", "Q", 8), &[2], bytes))),
        ("with more items than bytes", encoded(|out| buffer(out, ("C", "Q", 8), &[3], bytes))),
        ("with fewer", encoded(|out| buffer(out, ("C", "Q", 8), &[1], bytes))),
        ("with more items than there are numbers", encoded(|out| buffer(out, ("C", "Q", 8), &[1 << 61, 2], bytes))),
        ("with items of no size", encoded(|out| buffer(out, ("F", "Q", 0), &[16], bytes))),
        (
            "with sides that are larger than memory",
            encoded(|out| buffer(out, ("F", "Q", 8), &[u64::MAX, 0], |out| out.bytes(b""))),
        ),
        ("of too many dimensions", encoded(|out| buffer(out, ("C", "B", 1), &[1; 1000], |out| out.bytes(b"x")))),
        ("without bytes", encoded(|out| buffer(out, ("C", "Q", 8), &[2], Writer::null))),
        ("of a block that is not there", of_block(&block(Owner::Sender, 5, 0, 16), &[2])),
        ("of a block that is not ours", of_block(&block(Owner::Receiver, 5, 0, 16), &[2])),
        ("of a block behind its memory", of_block(&block(Owner::Sender, 0, u64::MAX - 7, 16), &[2])),
        (
            "of a block without an end",
            of_block(&block(Owner::Sender, u64::MAX, 0, u64::MAX - 7), &[(u64::MAX - 7) / 8]),
        ),
    ];
    for (what, lie) in &lies {
        let fault = lied("answer", lie).unwrap_err();
        assert_eq!(fault.kind(), Some(Kind::Garbled), "{what}: {fault}");
    }
}

#[test]
fn what_a_child_goes_on_writing_to_is_read_as_it_is_then() {
    // Where numbers may begin, nothing is copied, and elsewhere all is.
    for (start, then) in [(0, 2), (8, 2), (3, 1)] {
        let session = liar();
        let it = session.wrap_module("it").unwrap();
        let lent = it.call_method("lend", (start,)).unwrap().extract::<Buffer<u64>>().unwrap();
        let all = |byte: u8| vec![u64::from_ne_bytes([byte; 8]); lent.item_count()];
        assert_eq!(lent.to_vec(), all(1));
        it.call_method("rewrite", ()).unwrap();
        assert_eq!(lent.to_vec(), all(then));
        assert!(lent.as_slice().unwrap().iter().all(|cell| cell.get() == all(then)[0]));
        session.kill();
        assert_eq!(lent.to_vec(), all(then));
    }
}

#[test]
fn what_is_raised_has_to_be_an_exception() {
    for bytes in [&b"\xf6"[..], b"\x05", b"\x80", &mine(3, 4)] {
        let fault = lied("raise", bytes).unwrap_err();
        assert_eq!(fault.kind(), Some(Kind::Garbled), "{fault}");
    }
}

#[test]
fn requests_that_break_the_protocol_break_the_link() {
    let request = |op: u64, target: u64, rest: &[u8], argc: usize| {
        encoded(|out| {
            out.array(2 + argc);
            out.u64(op);
            out.u64(target);
            out.raw(rest);
        })
    };
    let lies = [
        ("an unknown op", request(200, 0, b"", 0)),
        ("an object of ours that there is not", request(1, 5, b"\x61x", 1)),
        ("a name that is none", request(1, 0, b"\x05", 1)),
        ("no request at all", vec![0xf6]),
        ("a class that there is not", request(13, 1, b"", 0)),
        ("a pipeline without its news", request(21, 0, b"", 0)),
    ];
    for (what, bytes) in lies {
        let fault = lied("ask", &bytes).unwrap_err();
        assert_eq!(fault.kind(), Some(Kind::Garbled), "{what}: {fault}");
    }
}

#[test]
fn what_was_never_given_cannot_be_given_back() {
    let session = liar();
    let it = session.wrap_module("it").unwrap();
    let given_back = it.call_method("release", (encoded(|out| out.u64(5)).as_slice(),));
    // The lie is found when it is read, which may be with the answer or with the next call.
    let fault = given_back.and_then(|_| it.call_method("answer", (b"\xf6".as_slice(),))).unwrap_err();
    assert_eq!(fault.kind(), Some(Kind::Garbled), "{fault}");
}

#[test]
fn a_lie_about_classes_is_found_when_somebody_asks() {
    let session = liar();
    let it = session.wrap_module("it").unwrap();
    let value = it.call_method("answer", (mine(3, 4).as_slice(),)).unwrap();
    assert!(matches!(value, Value::Object(_)));
    // The liar has no answer to `describe` that makes sense: it looks for a name in it, finds none, and leaves.
    assert!(value.is_callable().is_err());
    assert!(!session.is_alive());
}

#[test]
fn rubbish_comes_to_an_error_or_to_a_value() {
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let tags: Vec<u64> = tag::NAMES.iter().map(|(tag, _)| *tag).chain([72, 77, 78, 79, 86]).collect();
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        prop::sample::select(tags).prop_map(|tag| encoded(|out| out.tag(tag))),
        (0..10usize).prop_map(|len| encoded(|out| out.array(len))),
        (0..4u64).prop_map(|number| encoded(|out| out.u64(number))),
        "[a-z]{0,4}".prop_map(|text| encoded(|out| out.text(&text))),
    ];
    let rubbish = prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat());
    let told = |(raised, bytes): (bool, Vec<u8>)| {
        match lied(if raised { "raise" } else { "answer" }, &bytes) {
            // By chance it may have made sense.
            Ok(_) | Err(Fault::Raised(_)) => {}
            // An attribute that is a number is no lie, but cannot be called; nor is data that only an interpreter reads.
            Err(Fault::Mismatch(what)) => {
                prop_assert!(what.ends_with("cannot be called") || what.contains("a Rust program"), "{what}");
            }
            Err(fault) => prop_assert!(matches!(fault.kind(), Some(Kind::Garbled | Kind::Died)), "{fault}"),
        }
        Ok(())
    };
    runner.run(&(any::<bool>(), rubbish), told).unwrap();
}

/// What a user does with an object.
type Act = fn(&Value) -> std::result::Result<(), Fault>;

const ACTS: &[(&str, Act)] = &[
    ("getattr", |it| it.getattr("x").map(drop)),
    ("hasattr", |it| it.hasattr("x").map(drop)),
    ("setattr", |it| it.setattr("x", 1)),
    ("delattr", |it| it.delattr("x")),
    ("call", |it| it.call0().map(drop)),
    ("call_method", |it| it.call_method0("x").map(drop)),
    ("get_item", |it| it.get_item(0).map(drop)),
    ("set_item", |it| it.set_item(0, 1)),
    ("del_item", |it| it.del_item(0)),
    ("contains", |it| it.contains(0).map(drop)),
    ("len", |it| it.len().map(drop)),
    ("is_truthy", |it| it.is_truthy().map(drop)),
    ("try_iter", |it| it.try_iter()?.take(3).try_for_each(|item| item.map(drop))),
    ("prefetch", |it| it.try_iter()?.prefetch(9).take(3).try_for_each(|item| item.map(drop))),
    ("extract", |it| it.extract::<Vec<i64>>().map(drop)),
    ("fetch", |it| it.fetch().map(drop)),
    ("buffer", |it| it.buffer::<u64>().map(drop)),
    ("repr", |it| it.repr().map(drop)),
    ("str", |it| it.str().map(drop)),
    ("hash", |it| it.hash().map(drop)),
    ("equals", |it| it.equals(1).map(drop)),
    ("is_callable", |it| it.is_callable().map(drop)),
    ("dir", |it| it.dir().map(drop)),
    ("add", |it| it.add(1).map(drop)),
    ("lt", |it| it.lt(1).map(drop)),
    ("neg", |it| it.neg().map(drop)),
    ("status", |it| it.proxy()?.session().status().map(drop)),
    ("wrap_module", |it| it.proxy()?.session().wrap_module("x").map(drop)),
    ("pipeline", |it| {
        let q = it.proxy()?.session().pipeline();
        let x = q.of(it)?.getattr("x");
        q.run()?;
        x.get().map(drop)
    }),
    ("later", |it| smol::block_on(it.later()?.getattr("x")).map(drop)),
];

/// Do each of these with an object of a liar that answers everything with these bytes.
fn to_each_act(bytes: &[u8], look: impl Fn(&str, &Session, std::result::Result<(), Fault>)) {
    for (name, act) in ACTS {
        let session = liar();
        let it = session.wrap_module("it").unwrap();
        it.call_method("always", (bytes,)).unwrap();
        look(name, &session, act(&Value::Object(it)));
    }
}

#[test]
fn each_act_finds_out_what_breaks_the_protocol() {
    let lies: &[(&str, &[u8])] = &[
        ("nothing", b""),
        ("a text without an end", b"\x7b\xff\xff\xff\xff\xff\xff\xff\xffx"),
        ("bytes without an end", b"\x5b\x00\x00\x00\xff\xff\xff\xff\xffx"),
        ("items without an end", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x00"),
        ("an object of ours that there is not", b"\xd9\x53\x05\x18\x4d"),
        ("a text that is none", b"\x62\xff\xff"),
    ];
    for (what, lie) in lies {
        to_each_act(lie, |act, session, result| {
            let fault = result.expect_err(act);
            assert_eq!(fault.kind(), Some(Kind::Garbled), "{act}, {what}: {fault}");
            assert!(!session.is_alive(), "{act}, {what}");
        });
    }
}

#[test]
fn each_act_takes_a_value_of_the_wrong_kind_for_one() {
    let right = [0xf6, 0xf5, 0x00, 0x20, 0x80];
    let more = [
        b"\x61x".to_vec(),
        b"\x41x".to_vec(),
        b"\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00".to_vec(),
        b"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00".to_vec(),
        mine(3, 4),
        mine(u64::MAX, u64::MAX),
        b"\xd9\x53\x07\x09".to_vec(),
    ];
    for lie in right.into_iter().map(|byte| vec![byte]).chain(more) {
        to_each_act(&lie, |act, session, result| match result {
            Ok(()) => {}
            // It is a value, but not what such an act comes to; the link is as good as before.
            Err(Fault::Mismatch(what)) => assert!(session.is_alive(), "{act}, {lie:x?}: {what}"),
            Err(fault) => assert_eq!(fault.kind(), Some(Kind::Garbled), "{act}, {lie:x?}: {fault}"),
        });
    }
}

#[test]
fn an_answer_that_never_ends_is_waited_for_as_long_as_was_said() {
    let session = program().carrier(Carrier::Stream).timeout(Duration::from_millis(300)).spawn().unwrap();
    let it = session.wrap_module("it").unwrap();
    let fault = it.call_method0("trickle").unwrap_err();
    assert_eq!(fault.kind(), Some(Kind::TimedOut), "{fault}");
    assert!(!session.is_alive());
}
