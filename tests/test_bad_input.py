"""A child that lies, and a user who errs: an error that says whose fault it was; nothing hangs, crashes, grows or is run."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import io
import json
import os
import pickle
import re
import shelve  # A child below claims to hold one.
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
from pathlib import Path

import pytest
import saranwrap
from saranwrap._native import OPS, Session

from tests import hostile_child as lie
from tests import hostile_code
from tests.conftest import of_the_native_child
from tests.hostile_child import CHAIN, ID, Tag, answer, cbor, frame, hello, raw, say

GIVEN = 42
# In a run of the portable child all that follows is said by one that claims to be that.
CHILD = os.environ.get("SARANWRAP_CHILD", "native")
FOREVER = ["forever", cbor(GIVEN).hex()]


@pytest.fixture
def liar(tmp_path):
    """Starts a child that does these steps."""

    def start(*steps, trust=False, child=CHILD):
        file = tmp_path / "steps.json"
        file.write_text(json.dumps(steps))
        return Session.spawn(
            sys.executable,
            ["-I", "-S", lie.__file__, str(file)],
            None,
            None,
            ([], [""], None),
            (),
            trust,
            "stream",
            (-1, -1),
            "" if child == "agent" else None,
        )

    return start


@pytest.fixture(autouse=True)
def bounded():
    """What a child only claims is not allocated."""
    Path("/proc/self/clear_refs").write_text("5")
    before = memory()
    yield
    after = memory()
    assert after["VmHWM"] - before["VmRSS"] < 128 << 20
    assert after["VmPeak"] - before["VmPeak"] < 1 << 30


def memory():
    text = Path("/proc/self/status").read_text()
    return {name: int(size) << 10 for name, size in re.findall(r"(Vm\w+):\s+(\d+) kB", text)}


def use(session):
    return session.request(OPS["import"], 0, ("time",))


def test_one_that_claims_to_be_the_portable_child(liar):
    session = liar(
        hello(child="agent", implementation="\x1b[31m", python="0", pickle="99"), *answer(GIVEN), child="agent"
    )
    assert use(session) == GIVEN
    assert session.peer["child"] == "agent"
    assert session.pickle_protocol == 5
    garbled = liar(hello(child="agent"), say(b"\xff" * 100), child="agent")
    with pytest.raises(saranwrap.ProtocolError):
        use(garbled)


@pytest.mark.parametrize(
    "more", [{"pickle": "-1"}, {"pickle": "0"}, {"pickle": "x"}, {"pickle": 2}, {"child": None}, {"x": [1, {}]}]
)
def test_what_a_greeting_says_of_the_child_may_be_anything(liar, more):
    for child in ("native", "agent"):
        session = liar(hello(**more), *answer(GIVEN), child=child)
        assert use(session) == GIVEN
        assert 2 <= session.pickle_protocol <= 5


@pytest.mark.parametrize("end", [["end", 3], ["end", -9]])
def test_one_that_ends_before_it_has_read_what_it_is_given(liar, end):
    with pytest.raises(saranwrap.ChildDied):
        liar(end, child="agent")


def broken(session):
    """The protocol error that using the session gives, now and ever after."""
    with pytest.raises(saranwrap.ProtocolError) as first:
        use(session)
    for _ in range(2):
        with pytest.raises(saranwrap.ProtocolError) as again:
            use(session)
        assert str(again.value) == str(first.value)
    assert not session.alive
    return str(first.value)


def survives(session):
    """A value that cannot be made is an error of that call; the link goes on, or is broken for good. What was raised."""
    with pytest.raises(Exception) as first:
        use(session)
    if session.alive:
        assert use(session) == GIVEN
    else:
        with pytest.raises(saranwrap.ProtocolError) as again:
            use(session)
        assert str(again.value) == str(first.value)
    return first.value


# --- the handshake ----------------------------------------------------------------------------------------------------


def test_an_honest_hand_made_child_is_understood(liar):
    assert use(liar(hello(), *answer(GIVEN))) == GIVEN


GREETINGS = {
    "rubbish": (b"Traceback (most recent call last):\n" * 9, "reserved"),
    "zeros": (bytes(1000), "no kind of frame"),
    "a call first": (frame(lie.CALL, cbor([1, 0, "x"]), 1, 1), "before the Hello"),
    "too long": (frame(lie.HELLO, length=2 << 20), "over the limit"),
    "empty": (frame(lie.HELLO), "Hello"),
    "no map": (frame(lie.HELLO, cbor([1, 2])), "Hello"),
    "no protocol": (frame(lie.HELLO, cbor({"version": "1", "pid": 1})), "protocol"),
    "protocol is a text": (frame(lie.HELLO, cbor({"protocol": "1", "version": "1", "pid": 1})), "protocol"),
    "pid is too large": (frame(lie.HELLO, cbor({"protocol": 1, "version": "1", "pid": 1 << 40})), "pid"),
    "a map of 2**60": (frame(lie.HELLO, b"\xbb\x10" + bytes(7)), "Hello"),
}


@pytest.mark.parametrize("name", GREETINGS)
def test_a_greeting_that_is_none(liar, name):
    greeting, why = GREETINGS[name]
    with pytest.raises(saranwrap.ProtocolError, match=why):
        liar(say(greeting))


def test_a_child_of_another_version_is_refused_and_both_versions_are_named(liar):
    with pytest.raises(saranwrap.Refused, match="protocol") as caught:
        liar(hello(protocol=77))
    assert {"77", "1"} <= set(re.findall(r"[0-9]+", str(caught.value)))


def test_half_a_greeting(liar):
    with pytest.raises((saranwrap.ProtocolError, saranwrap.ChildDied), match="ended"):
        liar(say(frame(lie.HELLO, length=100)), ["end", 0])


def test_a_child_that_says_nothing_and_exits(liar):
    with pytest.raises(saranwrap.ChildDied) as caught:
        liar(["end", 3])
    assert caught.value.returncode == 3
    assert "3" in str(caught.value)


def test_a_child_that_is_killed_before_it_greets(liar):
    with pytest.raises(saranwrap.ChildDied) as caught:
        liar(["end", -signal.SIGKILL])
    assert caught.value.signal == signal.SIGKILL


def test_a_program_that_knows_nothing_of_us():
    with pytest.raises(saranwrap.ChildDied) as caught:
        Session.spawn("/bin/false", [], None, None, ([], [""], None), (), False, "stream", (-1, -1))
    assert caught.value.returncode == 1
    assert caught.value.pid


# --- frames -----------------------------------------------------------------------------------------------------------

FRAMES = {
    "an unknown kind": (frame(8), "8 is no kind of frame"),
    "a length over the limit": (frame(lie.REPLY, number=ID, chain=CHAIN, length=(1 << 30) + 1), "over the limit"),
    "reserved bytes": (b"\0\0\0\0\3\1\0\0" + bytes(16), "reserved"),
    "an unasked answer": (frame(lie.REPLY, cbor(1), 77, CHAIN), "not open"),
    "an unasked exception": (frame(lie.RAISED, cbor(1), lie.OURS | 7, CHAIN), "not open"),
    "two answers": (frame(lie.REPLY, cbor(1), ID, CHAIN) * 2, "second answer|not open"),
    "a second hello": (bytes.fromhex(hello()[1]), "second Hello"),
    "a call under a number of ours": (frame(lie.CALL, cbor([1, 0, "x"]), ID, CHAIN), "ours"),
    "the same call twice": (frame(lie.CALL, cbor([1, 0, "x"]), lie.OURS | 1, CHAIN) * 2, ""),
    "a call that is no request": (frame(lie.CALL, b"", lie.OURS | 1, CHAIN), ""),
    "a call of an unknown op": (frame(lie.CALL, cbor([99, 0]), lie.OURS | 1, CHAIN), "99"),
    "a call with too few arguments": (frame(lie.CALL, cbor([1, 0]), lie.OURS | 1, CHAIN), "getattr"),
    "a call of an unknown object": (frame(lie.CALL, cbor([1, 1234, "x"]), lie.OURS | 1, CHAIN), "1234"),
    "a release of an unknown object": (frame(lie.RELEASE, cbor(1234) + cbor(1)), ""),
    "a release without a count": (frame(lie.RELEASE, cbor(3)), "release"),
    "a bye with a body": (frame(lie.BYE, b"x"), "Bye"),
    "a cancel with a body": (frame(lie.CANCEL, b"x"), "Cancel"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_breaks_the_rules(liar, name):
    data, why = FRAMES[name]
    session = liar(hello(), ["listen", lie.CALL], say(data + frame(lie.REPLY, cbor(GIVEN), ID, CHAIN)), FOREVER)
    # What was answered before the fault was seen is answered.
    with contextlib.suppress(saranwrap.ProtocolError):
        use(session)
    assert re.search(why, broken(session))


def test_a_release_of_the_root_does_nothing(liar):
    release = say(frame(lie.RELEASE, cbor(0) + cbor(9)))
    session = liar(hello(), release, *lie.ask(OPS["call"], 0, ["stdout", "still there\n"], {}))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        use(session)
    assert out.getvalue() == "still there\n"


@pytest.mark.parametrize("length", [10, 1 << 30])
def test_a_child_that_dies_in_the_middle_of_a_reply(liar, length):
    half = frame(lie.REPLY, b"\x43a", ID, CHAIN, length)
    session = liar(hello(), ["listen", lie.CALL], say(half), ["end", -signal.SIGKILL])
    texts = set()
    for _ in range(3):
        with pytest.raises((saranwrap.ProtocolError, saranwrap.ChildDied)) as caught:
            use(session)
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_a_child_that_dies_in_the_middle_of_a_reply_is_said_to_have_died(liar):
    half = frame(lie.REPLY, b"\x43a", ID, CHAIN, 10)
    session = liar(hello(), ["listen", lie.CALL], say(half), ["end", -signal.SIGKILL])
    with pytest.raises(saranwrap.SaranwrapError, match="SIGKILL"):
        use(session)


def test_a_child_that_says_bye_and_stays(liar):
    session = liar(hello(), ["listen", lie.CALL], say(frame(lie.BYE)))
    for _ in range(2):
        with pytest.raises(saranwrap.ChildDied):
            use(session)


def test_every_waiting_thread_is_told_that_the_link_is_garbled(liar):
    listen = ["listen", lie.CALL]
    session = liar(hello(), listen, listen, listen, listen, say(frame(8)))
    told = []

    def wait():
        try:
            use(session)
        except saranwrap.ProtocolError as error:
            told.append(str(error))

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 4
    assert len(set(told)) == 1


# --- values -----------------------------------------------------------------------------------------------------------


class Runs:
    """Leaves a file where it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def nested(open_, depth=10_000):
    return raw(open_ * depth + cbor(None))


GARBLED = {
    "nothing": raw(b""),
    "a stray byte": raw(b"\xff"),
    "an indefinite array": raw(b"\x9f\x01\xff"),
    "more than a value": raw(cbor(1) * 3),
    "a cut value": raw(b"\x19\x01"),
    "a short float": raw(b"\xf9\x3c\x00"),
    "an unknown tag": Tag(4711, 1),
    "an unknown tag of ours": Tag(21270, 1),
    "MARKED outside of a change": Tag(lie.MARKED, 0),
    "PARTWAY where there is no path": Tag(lie.PARTWAY, [1, GIVEN]),
    "invalid UTF-8": raw(b"\x64\xff\xfe\xfd\xfc"),
    "deep arrays": nested(cbor([None])[:1]),
    "deep tags": nested(cbor(Tag(lie.FROZENSET, [None]))[:-1]),
    "deep lists": nested(cbor(Tag(lie.LIST, [1, [None]]))[:-1]),
    "deep exceptions": nested(b"\xd9\x53\x11\x82\x00"),
    "an array of 2**32": raw(b"\x9b" + (1 << 32).to_bytes(8, "big") + b"\xf6" * 100),
    "a list of 2**32": raw(cbor(Tag(lie.LIST, [1, raw(b"\x9b" + (1 << 32).to_bytes(8, "big"))]))),
    "a dict of 2**32": raw(cbor(Tag(lie.DICT, [1, raw(b"\xbb" + (1 << 32).to_bytes(8, "big"))]))),
    "a map of 2**63": raw(b"\xbb" + (1 << 63).to_bytes(8, "big")),
    "bytes of 2**40": raw(b"\x5b" + (1 << 40).to_bytes(8, "big") + b"x"),
    "a text of 2**64 - 1": raw(b"\x7b" + b"\xff" * 8 + b"x"),
    "THEIRS that was never given out": Tag(lie.THEIRS, 99),
    "THEIRS of a stale generation": Tag(lie.THEIRS, (1 << 32) | 1),
    "THEIRS that is a text": Tag(lie.THEIRS, "root"),
    "SAME that was never lent": Tag(lie.SAME, 5),
    "ARGUMENT that the call had not": Tag(lie.ARGUMENT, 9),
    "PROMISE outside of a pipeline": Tag(lie.PROMISE, 0),
    "MINE with a part too few": Tag(lie.MINE, [3]),
    "MINE with a part too many": Tag(lie.MINE, [3, 4, [], 5]),
    "MINE of texts": Tag(lie.MINE, ["a", "b"]),
    "CLASS with a part too many": Tag(lie.CLASS, [4, [], 5]),
    "CLASS of a text": Tag(lie.CLASS, "a"),
    "LIST with a part too many": Tag(lie.LIST, [1, [], 2]),
    "BYTEARRAY of a text": Tag(lie.BYTEARRAY, [1, "text"]),
    "NAMED of numbers": Tag(lie.NAMED, [1, 2]),
    "COMPLEX of texts": Tag(lie.COMPLEX, ["a", "b"]),
    "ELLIPSIS with content": Tag(lie.ELLIPSIS, 5),
    "SLICE with a part too few": Tag(lie.SLICE, [1, 2]),
    "a bignum of a text": Tag(2, "text"),
    "a run of an odd length": Tag(77, b"abc"),
    "a run of floats that are too short": Tag(86, b"1234"),
    "a run of a text": Tag(79, "12345678"),
    "a run of an array": Tag(72, [1]),
    "a run of 2**40 bytes": raw(b"\xd8\x4e\x5b" + (1 << 40).to_bytes(8, "big") + b"x"),
    "a run of a kind that is not spoken": Tag(64, b"ab"),
    "a run of big-endian numbers": Tag(74, b"abcd"),
    "a run in a block": Tag(72, Tag(lie.BLOCK, [0, 0, 0, 64])),
    "LIST of a run of an odd length": Tag(lie.LIST, [1, Tag(78, b"abc")]),
    "LIST of a run in a block": Tag(lie.LIST, [1, Tag(72, Tag(lie.BLOCK, [0, 0, 0, 64]))]),
    "SET of a run": Tag(lie.SET, [1, Tag(72, b"ab")]),
    "EXCEPTION without parts": Tag(lie.EXCEPTION, [0]),
    "a change of what was never lent": raw(cbor(1) + cbor([[[7, [1]]], []])),
    "a change that is none": raw(cbor(1) + cbor([[5], []])),
    "news that are numbers": raw(cbor(1) + cbor([[], [1, 2]])),
    "a trailer that is no pair": raw(cbor(1) + cbor([1])),
    "something after the trailer": raw(cbor(1) + cbor([[], []]) + cbor(1)),
    "PICKLE": Tag(lie.PICKLE, [0, pickle.dumps(1)]),
    "PICKLE in a tuple": [1, [2, Tag(lie.PICKLE, [0, pickle.dumps(1)])]],
}


@pytest.mark.parametrize("name", GARBLED)
def test_an_answer_that_breaks_the_rules(liar, name):
    broken(liar(hello(), *answer(GARBLED[name]), FOREVER))


# A class without methods, as it is described.
PLAIN_CLASS = ["m", "C", "object", [], [], [], "", [], False, [], False, False, "type", [], False]


@pytest.mark.parametrize(
    "said", [[0, GIVEN], [2, GIVEN], [-1, GIVEN], ["1", GIVEN], [1 << 63, GIVEN], [1], 1, [1, Tag(lie.PARTWAY, [1, 1])]]
)
def test_a_child_that_stops_where_a_path_does_not_lead(liar, said):
    first = [*answer(Tag(lie.MINE, [5, 3])), *answer(PLAIN_CLASS), *answer(Tag(lie.MINE, [6, 3])), *answer(GIVEN)]
    session = liar(hello(), *first, *answer(Tag(lie.PARTWAY, said)), FOREVER)
    proxy = use(session)
    ask = lambda: proxy.first.second  # noqa: E731
    assert ask() == GIVEN
    with pytest.raises(saranwrap.ProtocolError):
        ask()
    broken(session)


def test_a_child_that_stops_on_a_path_is_asked_no_more_than_what_is_left(liar):
    first = [*answer(Tag(lie.MINE, [5, 3])), *answer(PLAIN_CLASS), *answer(Tag(lie.MINE, [6, 3])), *answer(GIVEN)]
    session = liar(
        hello(),
        *first,
        *answer(Tag(lie.PARTWAY, [1, "text"])),
        *answer(Tag(lie.PARTWAY, [1, Tag(lie.MINE, [6, 3])])),
        FOREVER,
    )
    proxy = use(session)
    ask = lambda: proxy.first.upper  # noqa: E731
    assert ask() == GIVEN
    assert ask()() == "TEXT"
    assert ask() == GIVEN


LENT = {"list": [1, 2], "dict": {"a": 1, "b": 2}, "set": {1}, "bytearray": bytearray(b"ab")}

# Only an interpreter is lent anything.
INTERPRETER = {"child": "native", "implementation": "cpython", "python": "3.11.7"}

# What was lent, and what is said of it.
MISPLACED = {
    "an item behind the end and one more": ("list", {3: 0}),
    "an item at no number": ("list", {"a": 0}),
    "an old item that was none": ("list", {0: Tag(lie.MARKED, 2)}),
    "an old item far away": ("list", {0: Tag(lie.MARKED, 2**64 - 1)}),
    "an item far away": ("list", {2**64 - 1: 0}),
    "an old item that came with the change": ("list", {2: 0, 3: Tag(lie.MARKED, 2)}),
    "an old item of a content": ("list", [Tag(lie.MARKED, 2)]),
    "another key": ("dict", {0: "c"}),
    "a key without a value": ("dict", {4: "c"}),
    "a value without a key": ("dict", {5: 3}),
    "places of a set": ("set", {0: 2}),
    "places of a bytearray": ("bytearray", {0: 2}),
}


@pytest.mark.parametrize("name", MISPLACED)
def test_a_change_that_names_places_which_are_not_there(liar, name):
    kind, content = MISPLACED[name]
    lent = copy.copy(LENT[kind])
    session = liar(hello(**INTERPRETER), *answer(raw(cbor(1) + cbor([[[1, content]], []]))), FOREVER)
    with pytest.raises(saranwrap.ProtocolError) as error:
        session.request(OPS["import"], 0, (lent,))
    assert "never made" not in str(error.value)
    assert lent == LENT[kind]
    broken(session)


def test_a_change_that_names_a_few_places(liar):
    lent, told = {"a": 1, "b": 2}, {1: Tag(lie.MARKED, 3), 3: 7, 4: "c", 5: Tag(lie.MARKED, 1)}
    session = liar(hello(**INTERPRETER), *answer(raw(cbor(1) + cbor([[[1, told]], []]))))
    assert session.request(OPS["import"], 0, (lent,)) == 1
    assert lent == {"a": 2, "b": 7, "c": 1}


@pytest.mark.parametrize("kind", [lie.REPLY, lie.RAISED], ids=["reply", "raised"])
def test_a_pickle_of_a_child_is_not_run(liar, tmp_path, kind):
    run = tmp_path / "run"
    session = liar(hello(), *answer(Tag(lie.PICKLE, [0, pickle.dumps(Runs(run))]), kind))
    assert "pickle" in broken(session)
    assert not run.exists()


def test_a_pickle_inside_of_an_exception_is_not_run(liar, tmp_path):
    run = tmp_path / "run"
    bad = Tag(lie.PICKLE, [0, pickle.dumps(Runs(run))])
    session = liar(hello(), *answer(exception(args=[bad]), lie.RAISED))
    assert "pickle" in broken(session)
    assert not run.exists()


def test_a_lie_and_then_the_end_is_repeated_as_the_lie(liar):
    lie_and_end = frame(lie.REPLY, b"\xff", ID, CHAIN) + frame(lie.BYE)
    broken(liar(hello(), ["listen", lie.CALL], say(lie_and_end), ["end", 0]))


def test_a_pickle_that_a_trusted_child_sends_is_read(liar):
    assert use(liar(hello(), *answer(Tag(lie.PICKLE, [0, pickle.dumps({1: 2})])), trust=True)) == {1: 2}


def test_a_pickle_that_a_trusted_child_sends_and_that_is_none(liar):
    bad = Tag(lie.PICKLE, [0, b"no pickle"])
    assert isinstance(survives(liar(hello(), *answer(bad), *answer(GIVEN), trust=True)), pickle.UnpicklingError)


def named(module, name):
    return Tag(lie.NAMED, [module, name])


def known(*parts):
    return Tag(lie.KNOWN, parts)


UNMAKEABLE = {
    "NAMED of what is not loaded": named("this", "d"),
    "NAMED of what does not exist": named("builtins", "nonsense"),
    "NAMED of a module": named("os", "path"),
    "NAMED of a value": named("os", "environ"),
    "NAMED with empty parts": named("", ""),
    "NAMED through a class": named("builtins", "object.__class__.__subclasses__"),
    "KNOWN of an unknown kind": known("submarine", 1),
    "KNOWN of nothing": known(),
    "KNOWN of a kind that is a number": known(5),
    "KNOWN of a kind that is a list": known(Tag(lie.LIST, [1, []])),
    "a date with absurd parts": known("date", 99999, 77, -1),
    "a date of texts": known("date", "a", None, 1.5),
    "a date with too many parts": known("date", *range(50)),
    "a time with no parts": known("time"),
    "a datetime with a bad zone": known("datetime", 2000, 1, 1, 0, 0, 0, 0, 5, 0),
    "a time zone of a week": known("timezone", known("timedelta", 7, 0, 0)),
    "a zone file that is a path": known("zoneinfo", "../../../etc/passwd"),
    "a decimal of a tuple": known("decimal", [1, [9, 9], "x"]),
    "a decimal that is no number": known("decimal", "one"),
    "a fraction by nought": known("fraction", 1, 0),
    "an id that is none": known("uuid", "zz"),
    "an address of a million bits": known("ipv4", Tag(2, b"\1" * 125_000)),
    "a network of rubbish": known("ipv6net", "::::/999"),
    "a path of a number": known("path", 5),
    "an enum that is none": known("enum"),
    "a range by nought": Tag(lie.RANGE, [0, 1, 0]),
    "a range of texts": Tag(lie.RANGE, ["a", "b", "c"]),
    "a set of what has no hash": Tag(lie.SET, [1 << 62, [Tag(lie.LIST, [1 << 62 | 1, []])]]),
    "a frozenset of what has no hash": Tag(lie.FROZENSET, [Tag(lie.LIST, [1 << 62 | 1, []])]),
    "bad surrogates": Tag(lie.SURROGATES, b"\xff\xff"),
}


@pytest.mark.parametrize("name", UNMAKEABLE)
def test_a_value_that_cannot_be_made(liar, name):
    error = survives(liar(hello(), *answer(UNMAKEABLE[name]), *answer(GIVEN)))
    assert not isinstance(error, (AssertionError, SystemError, MemoryError))


def test_what_a_child_names_is_not_imported(liar):
    assert "antigravity" not in sys.modules
    survives(liar(hello(), *answer(named("antigravity", "webbrowser")), *answer(GIVEN)))
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("name", ["posix.system", "builtins.exec", "builtins.open", "subprocess.Popen"])
def test_a_child_cannot_put_a_local_function_in_the_place_of_a_remote_one(liar, name):
    """Else `f = p.f; f(p.x)` would run here what the child likes."""
    module, _, function = name.rpartition(".")
    session = liar(hello(), *answer(named(module, function)), *answer(GIVEN))
    given = None
    with contextlib.suppress(saranwrap.SaranwrapError, LookupError):
        given = use(session)
    assert given is not getattr(sys.modules[module], function)


# --- exceptions -------------------------------------------------------------------------------------------------------


def exception(
    cls=None, args=(), state=(), cause=None, context=None, suppress=False, notes=None, traceback=None, number=0
):
    cls = named("builtins", "ValueError") if cls is None else cls
    return Tag(lie.EXCEPTION, [number, cls, args, state, cause, context, suppress, notes, traceback])


def test_an_exception_by_hand(liar):
    told = exception(args=["by hand"], notes=["a note"], traceback=Tag(lie.TRACEBACK, [["a.py", "f", 3, 3, 4, 9]]))
    session = liar(hello(), *answer(told, lie.RAISED), *answer(GIVEN))
    with pytest.raises(ValueError, match="by hand") as caught:
        use(session)
    assert caught.value.__notes__ == ["a note"]
    assert use(session) == GIVEN


FALSE_EXCEPTIONS = {
    "a value": 5,
    "None": None,
    "a text": "ValueError",
    "a class that is no exception": exception(named("builtins", "int"), ["5"]),
    "a function for a class": exception(named("builtins", "len")),
    "a class that does not exist": exception(named("builtins", "NoSuchError")),
    "a number for a class": exception(5),
    "args that are a number": exception(args=5),
    "args that are null": exception(args=None),
    "args that its class does not take": exception(named("builtins", "UnicodeDecodeError"), [1, 2]),
    "too few parts": Tag(lie.EXCEPTION, [0, named("builtins", "ValueError")]),
    "too many parts": Tag(lie.EXCEPTION, [0, named("builtins", "ValueError"), *[None] * 30]),
    "a state of numbers": exception(state=5),
    "a state of single names": exception(state=["a", "b"]),
    "a state that sets what cannot be set": exception(state=[["args", 5], ["__class__", 5], ["__dict__", 5]]),
    "a state with a name that is a number": exception(state=[[5, 5]]),
    "a cause that is no exception": exception(cause=5),
    "a context that is no exception": exception(context="x"),
    "itself as its cause": exception(number=1, cause=exception(number=1)),
    "notes that are a number": exception(notes=5),
    "notes of numbers": exception(notes=[1, 2]),
    "a traceback that is a number": exception(traceback=5),
    "a traceback of numbers": exception(traceback=Tag(lie.TRACEBACK, [1, 2])),
    "a traceback with short frames": exception(traceback=Tag(lie.TRACEBACK, [["a.py"]])),
    "a traceback with absurd positions": exception(
        traceback=Tag(lie.TRACEBACK, [["a\0.py", "f", -5, 1 << 60, -9, 1 << 40], ["", "", 0, 0, 0, 0]])
    ),
    "a traceback of the wrong types": exception(traceback=Tag(lie.TRACEBACK, [[None, 1, "x", "y", "z", ()]])),
    "a group of numbers": exception(named("builtins", "ExceptionGroup"), ["g", [1, 2]]),
    "a group of nothing": exception(named("builtins", "ExceptionGroup"), ["g", []]),
    "a group without parts": exception(named("builtins", "ExceptionGroup"), []),
    "a group that hides an exit": exception(
        named("builtins", "ExceptionGroup"), ["g", [exception(named("builtins", "SystemExit"))]]
    ),
    "one going home that was never ours": Tag(lie.EXCEPTION, [0, Tag(lie.THEIRS, 9), None, False, None, None]),
    "one going home that is no exception": Tag(lie.EXCEPTION, [0, Tag(lie.THEIRS, 0), None, False, None, None]),
}


@pytest.mark.parametrize("name", FALSE_EXCEPTIONS)
def test_an_exception_that_is_none(liar, name):
    error = survives(liar(hello(), *answer(FALSE_EXCEPTIONS[name], lie.RAISED), *answer(GIVEN)))
    assert isinstance(error, Exception)
    assert not isinstance(error, (AssertionError, SystemError, MemoryError))
    # It can be shown, too.
    subprocess.list2cmdline([str(error), repr(error)])


def test_an_exception_whose_causes_go_deep_can_be_printed(liar):
    deep = exception(args=["bottom"])
    for _ in range(200):
        deep = exception(cause=deep)
    session = liar(hello(), *answer(deep, lie.RAISED), *answer(GIVEN))
    with pytest.raises(ValueError) as caught:
        use(session)
    assert "bottom" in "".join(traceback.format_exception(caught.value))


FALSE_OUTCOMES = {
    "no array": 5,
    "nothing": [],
    "an outcome that is a number": [5],
    "an outcome with a part too few": [[0, 0]],
    "an outcome with a part too many": [[0, 0, 1, 2]],
    "a step that was not asked": [[7, 0, 1]],
    "a step of 2**63": [[1 << 63, 0, 1]],
    "an outcome that is none": [[0, 9, 1]],
    "one step twice": [[0, 0, 1], [0, 0, 1], [1, 0, 1]],
    "the wrong order": [[1, 0, 1], [0, 0, 1]],
    "one step too few": [[1, 0, 1]],
    "a step that depends on itself": [[0, 2, 0], [1, 0, 1]],
    "a step that depends on a later one": [[0, 2, 1], [1, 0, 1]],
    "a step that depends on one that did not fail": [[0, 0, 1], [1, 2, 0]],
    "2**32 outcomes": raw(b"\x9b" + (1 << 32).to_bytes(8, "big")),
    "deep values": [[0, 0, nested(cbor([None])[:1])], [1, 0, 1]],
    "something after the end": raw(cbor([[0, 0, 1], [1, 0, 1]]) + cbor([[], []]) + cbor(1)),
    "a promise": [[0, 0, Tag(lie.PROMISE, 0)], [1, 0, 1]],
    "a pickle": [[0, 0, Tag(lie.PICKLE, [0, pickle.dumps(1)])], [1, 0, 1]],
}


@pytest.mark.parametrize("name", FALSE_OUTCOMES)
def test_an_answer_to_a_pipeline_that_breaks_the_rules(liar, name):
    session = liar(hello(), *answer(OBJECT), *answer(description()), *answer(FALSE_OUTCOMES[name]))
    thing = use(session)
    with pytest.raises(saranwrap.ProtocolError) as broken, saranwrap.pipeline(thing) as q:
        first, second = q.first, q.second
    for promise in (first, second):
        with pytest.raises(saranwrap.ProtocolError) as again:
            saranwrap.result(promise)
        assert again.value is broken.value
    assert not session.alive


def test_a_value_of_a_pipeline_that_cannot_be_made_is_an_error_of_its_step(liar):
    outcomes = [[0, 0, known("nonsense")], [1, 1, 5], [2, 0, GIVEN]]
    session = liar(hello(), *answer(OBJECT), *answer(description()), *answer(outcomes))
    thing = use(session)
    with saranwrap.pipeline(thing) as q:
        first, second, third = q.first, q.second, q.third
    with pytest.raises(LookupError):
        saranwrap.result(first)
    with pytest.raises(TypeError):
        saranwrap.result(second)
    assert saranwrap.result(third) == GIVEN


# --- classes ----------------------------------------------------------------------------------------------------------


class Thing:
    """A plain class, to be described."""


PLACES = (
    "module qualname kind bases names nones protocol meta_names checks every concatenates buffer meta_name abcs "
    "read_ahead"
).split()


@functools.cache
def honest_description():
    """How a real child describes a class."""
    with saranwrap.Child() as child:
        thing = child.wrap(Thing())
        for number in range(1, 9):
            with contextlib.suppress(TypeError):
                parts = child._session.request(OPS["describe"], number, ())
                if parts[1] == type(thing).__name__:
                    return parts
    raise AssertionError("the class has no number")


def description(**more):
    parts = list(honest_description())
    for name, part in {"module": "away", "names": ["__init__"], "every": [], "abcs": [], **more}.items():
        parts[PLACES.index(name)] = part
    return parts


OBJECT = Tag(lie.MINE, [5, 9])


def test_a_class_by_hand(liar):
    session = liar(hello(), *answer(OBJECT), *answer(description()), ["forever", cbor("the thing").hex()])
    thing = use(session)
    assert type(thing).__name__ == "Thing"
    assert isinstance(thing, saranwrap.Proxy)
    assert str(thing) == "the thing"


def test_a_class_that_comes_with_its_object(liar):
    session = liar(hello(), *answer(Tag(lie.MINE, [5, 9, description()])), ["forever", cbor("the thing").hex()])
    thing = use(session)
    assert type(thing).__name__ == "Thing"
    assert str(thing) == "the thing"


FALSE_DESCRIPTIONS = {
    "a number": 5,
    "a text": "a description!",
    "nothing": [],
    "too short": [1],
    "too long": [None] * 40,
    "all null": [None] * 13,
    "all numbers": [1] * 13,
    "all texts": ["__init__"] * 13,
    "a module that is a number": dict(module=5),
    "a name that is empty": dict(qualname=""),
    "a name of zeros": dict(qualname="a\0b"),
    "a name that is null": dict(qualname=None),
    "an unknown kind": dict(kind="submarine"),
    "bases that are a number": dict(bases=5),
    "bases that are texts": dict(bases=["a"]),
    "bases that are negative": dict(bases=[-1]),
    "names that are numbers": dict(names=[1, 2, None]),
    "names that are tuples": dict(names=[["__len__"]]),
    "names that are absurd": dict(names=["", "\0", "__dict__", "__slots__", "__class__", "__mro__", "_saran_x"]),
    "names that unmake a class": dict(names=["__new__", "__getattribute__", "__init_subclass__", "mro", "__del__"]),
    "nones that are not names": dict(nones=[5]),
    "the protocol is absurd": dict(protocol=["sequence"]),
    "meta names that are numbers": dict(meta_names=[1]),
    "meta names that unmake a class": dict(meta_names=["__call__", "__getattribute__", "__new__", "mro"]),
    "a metaclass of numbers": dict(meta_name=5),
    "a metaclass of zeros": dict(meta_name="a\0"),
    "an exception without bases": dict(kind="exception"),
    "an exception with numbers for bases": dict(kind="exception", bases=[1, 2]),
    "an exception that derives from int": dict(kind="exception", bases=[named("builtins", "int")]),
    "an exception of two layouts": dict(
        kind="exception", bases=[named("builtins", "OSError"), named("builtins", "SyntaxError")]
    ),
    "an enum that is none here": dict(kind="enum"),
    "a local class of another kind": dict(module="builtins", qualname="int", kind="exception"),
    "a class of the interpreter's": dict(module="builtins", qualname="NoneType", names=["__bool__"]),
    "abstract classes that are none": dict(abcs=[-1, 1 << 60, "a", None]),
    "abstract classes that are a number": dict(abcs=5),
    "a buffer that is none": dict(buffer=True, names=["__buffer__"]),
}


@pytest.mark.parametrize("way", ["asked for", "along with its object"])
@pytest.mark.parametrize("name", FALSE_DESCRIPTIONS)
def test_a_class_that_is_none(liar, name, way):
    """Either there is an error, or a proxy of a class with odd names; asking it something is harmless then."""
    told = FALSE_DESCRIPTIONS[name]
    told = description(**told) if isinstance(told, dict) else told
    if way == "asked for":
        session = liar(hello(), *answer(OBJECT), *answer(told), FOREVER)
    else:
        session = liar(hello(), *answer(Tag(lie.MINE, [5, 9, told])), FOREVER)
    thing = None
    try:
        thing = use(session)
    except Exception as error:
        wrong = error
    if thing is not None:
        assert isinstance(thing, saranwrap.Proxy)
        assert thing.anything == GIVEN
        return
    assert not isinstance(wrong, (AssertionError, SystemError, MemoryError))
    if session.alive:
        assert use(session) == GIVEN
    else:
        broken(session)


def test_a_class_with_thousands_of_names(liar):
    names = [f"name{number}" for number in range(20_000)]
    session = liar(hello(), *answer(OBJECT), *answer(description(names=names, every=names)), FOREVER)
    assert use(session).name1 == GIVEN


def test_a_class_that_is_its_own_base(liar):
    session = liar(hello(), *answer(OBJECT), ["forever", cbor(description(bases=[9])).hex()])
    with pytest.raises((saranwrap.ProtocolError, RecursionError, TypeError)):
        use(session)


def test_a_class_that_has_a_base_and_that_has_a_base(liar):
    steps = [step for number in range(10, 3000) for step in answer(description(bases=[number]))]
    session = liar(hello(), *answer(OBJECT), *steps)
    with pytest.raises((saranwrap.SaranwrapError, RecursionError)):
        use(session)


def test_a_class_of_a_module_that_is_not_loaded_is_not_imported(liar):
    assert "antigravity" not in sys.modules
    session = liar(hello(), *answer(OBJECT), *answer(description(module="antigravity", qualname="Fly")), FOREVER)
    assert type(use(session)).__name__ == "Fly"
    assert "antigravity" not in sys.modules


def test_a_child_that_says_it_holds_a_shelf_cannot_make_the_parent_unpickle(liar, tmp_path):
    """A local class of the name that the child gave must not lend its methods: `Shelf.__getitem__` unpickles."""
    run = tmp_path / "run"
    shelf = description(module=shelve.Shelf.__module__, qualname="Shelf", names=["__init__"])
    # `self.cache["key"]` fails, `self.keyencoding` is a text, `self.dict[...]` is the pickle.
    answers = [*answer({}), *answer("utf-8"), *answer({b"key": pickle.dumps(Runs(run))}), *answer(GIVEN)]
    session = liar(hello(), *answer(OBJECT), *answer(shelf), *answers, *answer(GIVEN))
    thing = use(session)
    with contextlib.suppress(Exception):
        thing["key"]
    assert not run.exists()


@pytest.mark.parametrize("kind", ["call", "new"])
def test_pickling_a_hostile_object_does_not_make_a_pickle_that_runs_here(liar, tmp_path, kind):
    run = tmp_path / "run"
    code = f"open({str(run)!r}, 'w').close()"
    reduced = [kind, named("builtins", "exec"), [code]]
    session = liar(hello(), *answer(OBJECT), *answer(description()), ["forever", cbor(reduced).hex()])
    thing = use(session)
    with contextlib.suppress(Exception):
        pickle.loads(pickle.dumps(thing))
    assert not run.exists()


FALSE_BATCHES = {
    "more than was asked for": [1, False, *range(9)],
    "many more": [1, False, *[0] * 100_000],
    "none, and no end": [1, False],
    "no number": ["1", True],
    "a number below zero": [-1, True],
    "an end that is a number": [1, 1, 2],
    "a number alone": [1],
    "nothing": [],
    "null": None,
    "a text": "a batch",
    "a list": Tag(lie.LIST, [1, [1, False, 2]]),
    "an object": Tag(lie.MINE, [5, 9]),
}


@pytest.mark.parametrize("name", FALSE_BATCHES)
def test_a_batch_that_is_none(liar, name):
    steps = [*answer(OBJECT), *answer(description(read_ahead=True)), *answer(FALSE_BATCHES[name])]
    iterator = use(liar(hello(), *steps, FOREVER))
    for _ in range(2):
        with pytest.raises(saranwrap.ProtocolError, match="batch"):
            next(iterator)


def test_a_batch_of_less_is_taken_as_it_is(liar):
    steps = [*answer(OBJECT), *answer(description(read_ahead=True)), *answer([1, False, 1, 2]), *answer([2, True])]
    assert list(map(str, use(liar(hello(), *steps)))) == ["1", "2"]


@pytest.mark.parametrize("items", [None, 5, [5], [5, 5], [None, 5], [None, []], [None, [1] * 5000]], ids=range(7))
def test_items_that_were_not_taken(liar, items):
    iterator = use(liar(hello(), *answer(OBJECT), *answer(description(read_ahead=True)), *answer(items)))
    with pytest.raises(saranwrap.ProtocolError, match="batch"):
        next(saranwrap.prefetch(iterator, 3))


# --- what a child may ask ---------------------------------------------------------------------------------------------


def refused(session):
    """The child's question was not answered with a value."""
    try:
        kind, body = use(session)
    except saranwrap.ProtocolError:
        return True
    return kind == lie.RAISED


def test_a_child_cannot_make_the_parent_unpickle(liar, tmp_path):
    run = tmp_path / "run"
    session = liar(hello(), *lie.ask(OPS["adopt"], 0, pickle.dumps(Runs(run))))
    assert refused(session)
    assert not run.exists()


def test_a_child_cannot_make_the_parent_unpickle_an_argument(liar, tmp_path):
    run = tmp_path / "run"
    bad = Tag(lie.PICKLE, [0, pickle.dumps(Runs(run))])
    session = liar(hello(), *lie.ask(OPS["call"], 0, ["stdout", bad], {}))
    assert refused(session)
    assert not run.exists()


def test_a_child_cannot_make_the_parent_import(liar):
    assert "antigravity" not in sys.modules
    refused(liar(hello(), *lie.ask(OPS["import"], 0, "antigravity")))
    assert "antigravity" not in sys.modules


def test_a_child_is_not_given_a_module_of_the_parent_that_it_asks_for(liar):
    assert refused(liar(hello(), *lie.ask(OPS["import"], 0, "os")))


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("ahead", [0, 0, 4096]),
        ("ahead", [0, 0, 1 << 60]),
        ("ahead", [0, 0, -1]),
        ("ahead", [0, 1 << 60]),
        ("ahead", ["a", "b", "c"]),
        ("ahead", [0, 0, 1, 2]),
        ("ahead", []),
        ("take", [1]),
        ("take", [-1]),
        ("take", []),
    ],
    ids=str,
)
def test_a_child_cannot_read_what_is_no_iterator(liar, op, args):
    question = say(frame(lie.CALL, cbor([OPS[op], 1, *args]), lie.OURS | 1, CHAIN))
    session = liar(hello(), ["listen", lie.CALL], question, ["listen", None], ["echo", None])
    try:
        kind, _ = session.request(OPS["getattr"], 0, (test_a_child_cannot_read_what_is_no_iterator,))
    except saranwrap.ProtocolError:
        return
    assert kind == lie.RAISED


@pytest.mark.parametrize("op", ["ahead", "take"])
def test_a_child_gets_no_more_items_at_once_than_there_may_be(liar, op):
    """However much it asks for: an endless iterator would fill the memory of the parent."""
    args = [0, 0, 1 << 40] if op == "ahead" else [1 << 40]
    question = say(frame(lie.CALL, cbor([OPS[op], 1, *args]), lie.OURS | 1, CHAIN))
    session = liar(hello(), ["listen", lie.CALL], question, ["listen", None], ["echo", None])
    endless = iter(range(1 << 62)) if op == "ahead" else iter(int, 1)
    kind, body = session.request(OPS["getattr"], 0, (saranwrap.ref(endless),))
    assert kind == lie.RAISED if op == "ahead" else len(body) < 10_000


def test_a_child_cannot_make_a_class_in_the_parent_by_a_function_of_its_choice(liar):
    question = ["name", [], [], [["metaclass", named("builtins", "print")]]]
    assert refused(liar(hello(), *lie.ask(OPS["subclass"], 0, *question)))


@pytest.mark.parametrize("hears", [[], [["deaf", None]]], ids=["dies of the signal", "ignores the signal"])
def test_a_child_that_never_answers_is_ended_when_the_time_is_over(liar, hears):
    session = liar(hello(), *hears, ["listen", lie.CALL])
    session.set_limits(0.5, 0.1)
    with pytest.raises(saranwrap.CallTimeout) as caught:
        use(session)
    assert caught.value.stopped == "killed"
    with pytest.raises(saranwrap.ChildDied):
        use(session)
    session.close()


def test_an_answer_to_a_call_that_was_given_up_is_looked_at_by_nobody(liar):
    late = [["listen", lie.CANCEL], say(frame(lie.REPLY, cbor(5), 1, 1))]
    session = liar(hello(), ["deaf", None], *late, ["forever", cbor(7).hex()])
    session.set_limits(0.5, 5)
    with pytest.raises(saranwrap.CallTimeout) as caught:
        use(session)
    assert caught.value.stopped == "cancelled"
    assert use(session) == 7
    session.close()


@pytest.mark.parametrize("left", [-1, "soon", 2.5, None])
def test_a_time_that_is_none(liar, left):
    assert refused(liar(hello(), *lie.ask_with(OPS["call"], cbor([[], [], left]), ["stdout"], {})))


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("getattr", ["__globals__"]),
        ("getattr", ["__builtins__"]),
        ("getattr", ["__class__"]),
        ("setattr", ["__defaults__", [1]]),
        ("callattr", ["__getattribute__", ["__globals__"], {}]),
        ("special", ["__getattribute__", ["__globals__"]]),
        ("reduce", [2]),
        ("copy", [True, True]),
        ("await", []),
    ],
)
def test_from_the_root_a_child_gets_nowhere(liar, op, args):
    assert refused(liar(hello(), *lie.ask(OPS[op], 0, *args)))


@pytest.mark.parametrize(
    ("op", "args"),
    {
        "globals": ("getattr", ["__globals__"]),
        "builtins": ("getattr", ["__builtins__"]),
        "code": ("getattr", ["__code__"]),
        "set code": ("setattr", ["__code__", None]),
        "closure": ("getattr", ["__closure__"]),
        "a method that gets": ("callattr", ["__getattribute__", ["__globals__"], {}]),
        "a special method that gets": ("special", ["__getattribute__", ["__globals__"]]),
        "a special method of the base": ("super", [named("types", "FunctionType"), "__globals__"]),
        "reduce": ("reduce", [2]),
        "a method that reduces": ("callattr", ["__reduce_ex__", [2], {}]),
        "a copy": ("copy", [True, True]),
        "adopt": ("adopt", [pickle.dumps(1)]),
        "import": ("import", ["os"]),
        "subclass": ("subclass", ["name", [], [], []]),
        "status": ("status", []),
    }.values(),
    ids=str,
)
def test_from_a_callback_a_child_gets_nowhere(liar, op, args):
    def callback():
        """Is given to the child, and not to be seen through."""

    def give(session):
        return session.request(OPS["call"], 0, ((callback,), {}))

    honest = liar(hello(), FOREVER)
    assert give(honest) == GIVEN
    # Every session counts alike.
    number = next(number for number in range(1, 20) if honest.counts()[0] and exported(honest, number) is callback)
    session = liar(hello(), *lie.ask(OPS[op], number, *args))
    try:
        kind, _ = give(session)
    except saranwrap.ProtocolError:
        return
    assert kind == lie.RAISED


def a_callback_of_ours(liar):
    """A function that is given to each child, how, and the number that it has there: every session counts alike."""

    def callback():
        """Is given to the child, and not to be seen through."""

    def give(session):
        return session.request(OPS["call"], 0, ((callback,), {}))

    honest = liar(hello(), FOREVER)
    assert give(honest) == GIVEN
    number = next(number for number in range(1, 20) if honest.counts()[0] and exported(honest, number) is callback)
    return number, give


GETATTR = OPS["getattr"]
FALSE_STEPS = {
    "no news": lambda _n: [],
    "news that are a number": lambda n: [5, [0, True, GETATTR, n, "__name__"]],
    "a step that is a number": lambda _n: [None, 5],
    "a step without a target": lambda _n: [None, [0, True, GETATTR]],
    "a step that names itself": lambda _n: [None, [0, True, GETATTR, Tag(lie.PROMISE, 0), "x"]],
    "a step that names a later one": lambda n: [
        None, [0, True, GETATTR, Tag(lie.PROMISE, 1), "x"], [1, True, GETATTR, n, "__name__"]
    ],
    "an argument that is the step itself": lambda n: [None, [0, True, OPS["call"], n, [Tag(lie.PROMISE, 0)], {}]],
    "a step that was never there": lambda _n: [None, [0, True, GETATTR, Tag(lie.PROMISE, 1 << 63), "x"]],
    "a step that was null": lambda _n: [None, None, [0, True, GETATTR, Tag(lie.PROMISE, 0), "x"]],
    "a result that is named oftener than said": lambda n: [
        None, [1, False, GETATTR, n, "__doc__"], *[[0, True, OPS["call"], n, [Tag(lie.PROMISE, 0)], {}]] * 2
    ],
    "an op that is none": lambda n: [None, [0, True, 99, n, "x"]],
    "an op with too few arguments": lambda n: [None, [0, True, GETATTR, n]],
    "an op with too many arguments": lambda n: [None, [0, True, GETATTR, n, "a", "b"]],
    "a call of an attribute": lambda n: [None, [0, True, OPS["callattr"], n, "x", [], {}]],
    "a pipeline as a step": lambda n: [None, [0, True, OPS["pipeline"], n, None]],
    "a target that is a text": lambda _n: [None, [0, True, GETATTR, "n", "x"]],
    "a target that was never given out": lambda _n: [None, [0, True, GETATTR, 99, "x"]],
    "the root": lambda _n: [None, [0, True, GETATTR, 0, "__globals__"]],
    "uses that are a text": lambda n: [None, ["1", True, GETATTR, n, "x"]],
    "deep arguments": lambda n: [None, [0, True, OPS["call"], n, [nested(cbor([None])[:1])], {}]],
    "import": lambda _n: [None, [0, True, OPS["import"], 0, "antigravity"]],
    "adopt": lambda _n: [None, [0, True, OPS["adopt"], 0, pickle.dumps(1)]],
    "a copy of a result": lambda n: [None, [1, False, GETATTR, n, "__call__"], [0, True, OPS["copy"], Tag(lie.PROMISE, 0), True, True]],
    "reduce of the root": lambda _n: [None, [0, True, OPS["reduce"], 0, 2]],
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE_STEPS)
def test_steps_that_break_the_rules(liar, name):
    number, give = a_callback_of_ours(liar)
    session = liar(hello(), *lie.ask(OPS["pipeline"], 0, *FALSE_STEPS[name](number)))
    with pytest.raises(saranwrap.ProtocolError):
        give(session)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("steps", {
    "globals": [[0, True, GETATTR, None, "__globals__"]],
    "the class": [[1, False, GETATTR, None, "__class__"], [0, True, GETATTR, Tag(lie.PROMISE, 0), "__dict__"]],
    "a type to call": [[1, False, GETATTR, None, "__class__"], [0, True, OPS["call"], Tag(lie.PROMISE, 0), [], {}]],
    "a name that grows": [
        [1, False, GETATTR, None, "__name__"], [0, True, OPS["operate"], Tag(lie.PROMISE, 0), "__mul__", [1 << 40]]
    ],
    "a text that reads": [
        [1, False, GETATTR, None, "__doc__"], [1, False, GETATTR, Tag(lie.PROMISE, 0), "format"],
        [0, True, OPS["call"], Tag(lie.PROMISE, 1), [], {}],
    ],
    "a tuple": [[1, False, GETATTR, None, "__defaults__"], [0, True, OPS["getitem"], Tag(lie.PROMISE, 0), 0]],
    "nothing": [[1, False, GETATTR, None, "__kwdefaults__"], [0, True, GETATTR, Tag(lie.PROMISE, 0), "__class__"]],
    "a special method": [[0, True, OPS["special"], None, "__getattribute__", ["__globals__"]]],
}.values(), ids=str)  # fmt: skip
def test_by_a_pipeline_a_child_gets_no_further(liar, steps):
    number, give = a_callback_of_ours(liar)
    asked = [[number if part is None else part for part in step] for step in steps]
    session = liar(hello(), *lie.ask(OPS["pipeline"], 0, None, *asked))
    kind, body = give(session)
    assert kind == lie.REPLY
    assert b"the child may not" in body
    last_and_a_value = bytes([0x83, len(steps) - 1, 0])
    assert last_and_a_value not in body


def exported(session, number):
    try:
        return session.exported(number)
    except saranwrap.ProtocolError:
        return None


def test_the_root_does_only_what_it_is_for(liar):
    assert refused(liar(hello(), *lie.ask(OPS["call"], 0, ["exec", "1"], {})))
    assert refused(liar(hello(), *lie.ask(OPS["call"], 0, [], {})))
    assert refused(liar(hello(), *lie.ask(OPS["call"], 0, ["warning", 1, 2, 3, 4], {})))
    assert refused(liar(hello(), *lie.ask(OPS["call"], 0, ["stdout", 5], {})))


class Plain:
    """Its instances are given to the child by reference."""

    def method(self):
        """Its function has globals."""


def function():
    """Has globals."""


NO_STEPS = of_the_native_child("it records no steps that its parent is to do")
ESCAPES = {
    "through_the_globals": [function],
    "through_the_builtins": [function],
    "through_a_special_method": [function],
    "through_the_method_that_gets": [function],
    "through_the_method_that_gets_from_an_object": [Plain()],
    "through_the_method_of_an_object": [Plain()],
    "through_a_method_of_its_class": [Plain],
    "through_the_members_of_its_class": [Plain],
    "through_the_base_class": [Plain()],
    "through_the_frame_of_a_generator": [(n for n in [1])],
    "through_the_code_of_a_generator": [(n for n in [1]), function, Plain()],
    "through_the_module_of_a_builtin": [len],
    "by_the_way_to_copy_an_object": [Plain()],
    "through_the_members_of_its_type": [function],
    "through_a_member_of_its_type": [(n for n in [1])],
    "through_the_members_of_the_type_of_all": [object(), function],
    "through_a_class_that_it_derives": [Plain()],
    "through_a_mapping_of_functions": [Plain()],
    "by_a_pipeline_through_the_globals": [function],
    "by_a_pipeline_through_a_method": [Plain()],
    "by_a_pipeline_through_the_class": [Plain()],
    "by_a_pipeline_through_a_type": [Plain()],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=NO_STEPS if name.startswith("by_a_pipeline") else ()) for name in ESCAPES]
)
def test_code_in_the_child_cannot_run_anything_in_the_parent(name, tmp_path):
    run = tmp_path / "run"
    code = f"import os, pathlib; pathlib.Path({str(run)!r}).write_text(str(os.getpid()))"
    with saranwrap.Child() as child:
        with contextlib.suppress(Exception):
            getattr(child.wrap(hostile_code), name)(*map(saranwrap.ref, ESCAPES[name]), code)
    assert not run.exists() or run.read_text() != str(os.getpid())


def test_what_a_trusted_child_was_let_do_is_not_open_to_another(tmp_path):
    run = tmp_path / "run"
    code = f"import os, pathlib; pathlib.Path({str(run)!r}).write_text(str(os.getpid()))"
    with saranwrap.Child(trust=True) as child:
        child.wrap(hostile_code).by_the_way_to_copy_an_object(saranwrap.ref(Plain()), code)
    assert run.read_text() == str(os.getpid())
    run.unlink()
    with saranwrap.Child() as child:
        with contextlib.suppress(Exception):
            child.wrap(hostile_code).by_the_way_to_copy_an_object(saranwrap.ref(Plain()), code)
    assert not run.exists()


SECRET = "in the globals of the parent"


def test_a_text_of_the_child_does_not_read_the_parent():
    answers = saranwrap.wrap(hostile_code).read_through_a_text(saranwrap.ref(Plain()))
    assert not [answer for answer in answers if SECRET in answer]


def test_a_name_that_is_more_than_a_text_is_refused():
    assert "no plain name" in saranwrap.wrap(hostile_code).ask_by_a_derived_name(saranwrap.ref(Plain()))


# --- the user errs ----------------------------------------------------------------------------------------------------


def test_a_module_that_does_not_exist():
    with pytest.raises(ModuleNotFoundError, match="no_such_module") as caught:
        saranwrap.wrap_module("no_such_module")
    assert caught.value.name == "no_such_module"


def test_a_submodule_that_does_not_exist():
    with pytest.raises(ModuleNotFoundError, match="xml.no_such"):
        saranwrap.wrap_module("xml.no_such")


@pytest.mark.parametrize("name", ["", ".", "a b", "os.", "__main__.x"])
def test_a_module_name_that_is_none(name):
    with pytest.raises((ImportError, ValueError, TypeError)):
        saranwrap.wrap_module(name)


@pytest.mark.parametrize("name", [5, None, b"os", os])
def test_a_module_name_that_is_no_text(name):
    with pytest.raises((TypeError, AttributeError)):
        saranwrap.wrap_module(name)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that the child can import."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    return write


def test_a_module_that_raises_when_it_is_imported(module):
    with pytest.raises(ZeroDivisionError) as caught:
        saranwrap.wrap_module(module("raises_at_import", "x = 1\nx / 0\n"))
    assert "raises_at_import.py" in "".join(traceback.format_exception(caught.value))


def test_a_module_that_is_no_python(module):
    with pytest.raises(SyntaxError) as caught:
        saranwrap.wrap_module(module("no_python", "def (:\n"))
    assert caught.value.filename.endswith("no_python.py")
    assert caught.value.lineno == 1


def test_a_module_that_kills_its_process(module):
    name = module("kills", "import os, signal; os.write(2, b'going'); os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(saranwrap.ChildDied, match="SIGKILL") as caught:
        saranwrap.wrap_module(name)
    assert caught.value.signal == signal.SIGKILL
    assert caught.value.last_words == "going"


def test_a_module_that_exits(module):
    with pytest.raises(SystemExit) as caught:
        saranwrap.wrap_module(module("exits", "import sys; sys.exit('no more')"))
    assert caught.value.code == "no more"


def test_a_module_that_leaves_its_process(module):
    with pytest.raises(saranwrap.ChildDied) as caught:
        saranwrap.wrap_module(module("leaves", "import os; os._exit(5)"))
    assert caught.value.returncode == 5


def test_a_directory_that_does_not_exist(tmp_path):
    with pytest.raises(saranwrap.Refused, match="start") as caught:
        saranwrap.wrap(os, cwd=tmp_path / "nowhere")
    assert "nowhere" in str(caught.value)


def test_a_directory_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(saranwrap.Refused, match="file"):
        saranwrap.wrap(os, cwd=tmp_path / "file")


@pytest.mark.parametrize("program", ["/no/such/python", "no-such-python", "/", __file__])
def test_an_interpreter_that_is_none(program):
    with pytest.raises(saranwrap.Refused, match="could not start") as caught:
        Session.spawn(program, ["-c", "pass"], None, None, ([], [""], None), (), False, "stream", (-1, -1))
    assert program in str(caught.value)


@pytest.mark.parametrize("program", ["", "a\0b"])
def test_an_interpreter_that_cannot_be_named(program):
    with pytest.raises((saranwrap.Refused, ValueError)):
        Session.spawn(program, [], None, None, ([], [""], None), (), False, "stream", (-1, -1))


def test_a_missing_interpreter_names_the_act_and_the_program(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(saranwrap.Refused, match="could not start the child.*/no/such/python.*No such file"):
        saranwrap.wrap(os)


@pytest.mark.parametrize("executable", [None, ""])
def test_an_embedded_interpreter_has_no_program_and_says_so(monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(saranwrap.Refused, match=r"sys\.executable"):
        saranwrap.wrap(os)


def test_an_environment_that_breaks_the_interpreter():
    with pytest.raises(saranwrap.ChildDied) as caught:
        saranwrap.wrap(os, env={"PYTHONHOME": "/nowhere"})
    assert "encodings" in caught.value.last_words


@pytest.mark.parametrize("env", [{"A\0B": "x"}, {"A=B": "x"}, {"": "x"}, {"A": "x\0"}], ids=repr)
def test_an_environment_that_is_none(env):
    with pytest.raises((saranwrap.Refused, ValueError)):
        saranwrap.wrap(os, env={**os.environ, **env})


UNPICKLABLE = {
    "a lock": (threading.Lock, "lock"),
    "a generator": (lambda: (n for n in ()), "generator"),
    "an open file": (lambda: open(os.devnull), "TextIOWrapper"),
    "a frame": (sys._getframe, "frame"),
    "a class of a function": (lambda: type("Local", (), {"__module__": "nowhere"}), "Local"),
    "a lambda": (lambda: lambda: 1, "lambda"),
    "a list with a lock": (lambda: [threading.Lock()], "list"),
}


@pytest.mark.parametrize("name", UNPICKLABLE)
def test_an_object_that_cannot_be_pickled_and_no_cloudpickle(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    make, what = UNPICKLABLE[name]
    obj = make()
    with pytest.raises(saranwrap.Refused, match="cannot wrap") as caught:
        saranwrap.wrap(obj)
    assert what in str(caught.value)
    assert "saranwrap[cloudpickle]" in str(caught.value)
    assert caught.value.__cause__ is not None
    if isinstance(obj, io.IOBase):
        obj.close()


@pytest.mark.parametrize("name", ["a lock", "a generator", "a frame", "a list with a lock"])
def test_an_object_that_not_even_cloudpickle_can_send(name):
    pytest.importorskip("cloudpickle")
    make, what = UNPICKLABLE[name]
    with pytest.raises(saranwrap.Refused, match="cannot wrap") as caught:
        saranwrap.wrap(make())
    assert what in str(caught.value)
    assert caught.value.__cause__ is not None


class Grudging:
    """Cannot be pickled, and its error cannot be shown."""

    def __reduce__(self):
        class Unspeakable(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        raise Unspeakable


def test_an_object_whose_refusal_cannot_be_shown():
    with pytest.raises(saranwrap.Refused, match="Grudging"):
        saranwrap.wrap(Grudging())


class Explodes:
    """Can be pickled, and cannot be unpickled."""

    def __reduce__(self):
        return exploding, ()


def exploding():
    raise KeyError("only here")


def test_an_object_that_cannot_be_unpickled_there():
    with pytest.raises(KeyError, match="only here"):
        saranwrap.wrap(Explodes())


def test_a_refused_object_leaves_the_child_whole():
    with saranwrap.Child() as child:
        with pytest.raises(saranwrap.Refused):
            child.wrap(threading.Lock())
        with pytest.raises(KeyError):
            child.wrap(Explodes())
        with pytest.raises(ModuleNotFoundError):
            child.wrap_module("no_such_module")
        assert child.wrap(os).getpid() == child.pid


def test_an_argument_that_val_cannot_send_leaves_the_child_whole():
    p = saranwrap.wrap(json)
    with pytest.raises((saranwrap.Refused, TypeError), match="pickle"):
        p.dumps(saranwrap.val(threading.Lock()))
    assert p.dumps([1]) == "[1]"


def test_what_needs_trust_says_so():
    with pytest.raises(saranwrap.NotTransparent, match="trust"):
        saranwrap.local(saranwrap.wrap(io).StringIO("x"))


# --- closed and dead --------------------------------------------------------------------------------------------------

USES = {
    "getattr": lambda p: p.child,
    "setattr": lambda p: setattr(p, "a", 1),
    "delattr": lambda p: delattr(p, "a"),
    "call": lambda p: p.read(),
    "method": lambda p: p.getvalue(),
    "iter": lambda p: next(iter(p)),
    "repr": repr,
    "str": str,
    "format": lambda p: f"{p}",
    "dir": dir,
    "enter": lambda p: p.__enter__(),
    "status": saranwrap.status,
    "local": saranwrap.local,
    "type": saranwrap.proxied_type,
    "isinstance": lambda p: p.isatty(),
    "pickle": pickle.dumps,
    "copy": lambda p: copy.copy(p),
}


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize(
    ("end", "error"), [(saranwrap.close, saranwrap.LinkClosed), (saranwrap.kill, saranwrap.ChildDied)]
)
def test_an_ended_proxy_says_the_same_each_time(name, end, error):
    p = saranwrap.wrap(io).StringIO("text")
    end(p)
    texts = set()
    for _ in range(3):
        with pytest.raises(error) as caught:
            USES[name](p)
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert re.search("closed|killed by SIGKILL", texts.pop())


def test_a_proxy_as_an_argument_of_an_ended_child_says_so():
    p, q = saranwrap.wrap(io), saranwrap.wrap(io)
    saranwrap.close(q)
    with pytest.raises(saranwrap.LinkClosed):
        q.StringIO(p.StringIO("x").getvalue())
    ended = q
    with pytest.raises(saranwrap.LinkClosed):
        p.StringIO(ended.DEFAULT_BUFFER_SIZE)


def test_classes_of_an_ended_child_say_so():
    p = saranwrap.wrap(io)
    cls = p.StringIO
    saranwrap.close(p)
    for _ in range(2):
        with pytest.raises(saranwrap.LinkClosed):
            cls()
        with pytest.raises(saranwrap.LinkClosed):
            cls.read


def test_wrapping_in_a_closed_child_says_so():
    child = saranwrap.Child()
    child.close()
    for use_ in (lambda: child.wrap(os), lambda: child.wrap_module("os"), child.status):
        with pytest.raises(saranwrap.LinkClosed):
            use_()
    child.close()
    child.kill()


def test_getpid_and_close_and_kill_work_on_what_has_ended():
    p = saranwrap.wrap(os)
    pid = saranwrap.getpid(p)
    saranwrap.kill(p)
    saranwrap.kill(p)
    assert saranwrap.getpid(p) == pid
    saranwrap.close(p)
    with pytest.raises(saranwrap.ChildDied):
        p.getpid()


@pytest.mark.parametrize(
    "function", [saranwrap.status, saranwrap.getpid, saranwrap.close, saranwrap.kill, saranwrap.proxied_type]
)
@pytest.mark.parametrize(
    "thing", [5, None, "text", os, io.StringIO, [], object(), saranwrap, saranwrap.Proxy], ids=repr
)
def test_what_is_no_proxy_is_a_type_error(function, thing):
    with pytest.raises(TypeError, match="proxy"):
        function(thing)


def test_local_of_what_is_no_proxy_is_itself():
    thing = [object()]
    assert saranwrap.local(thing) is thing


def test_errors_can_be_pickled_and_shown():
    p = saranwrap.wrap(os)
    with pytest.raises(saranwrap.ChildDied) as caught:
        p._exit(3)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.pid, again.returncode) == (str(caught.value), saranwrap.getpid(p), 3)
    gc.collect()


# --- the memory for large data ----------------------------------------------------------------------------------------

FILLED = 100_000


def block(number=0, start=0, length=FILLED, owner=0):
    return Tag(lie.BLOCK, [owner, number, start, length])


def lent(content, order="C", layout="B", size=1, shape=(FILLED,)):
    return Tag(lie.BUFFER, [order, layout, size, list(shape), content])


def given_array(content, kind="|u1", shape=(FILLED,), order="C", loan=(1 << 62)):
    return Tag(lie.NDARRAY, [loan, [True, order, kind, list(shape), content]])


@of_the_native_child("it shares no memory with its parent")
def test_a_block_by_hand(liar):
    session = liar(hello(), ["fill", FILLED], *answer([block(), block(start=99_998, length=2)]), FOREVER)
    assert use(session) == (b"7" * FILLED, b"77")
    assert session.blocks() == (0, 0, 0)
    assert use(session) == GIVEN


FALSE_BLOCKS = {
    "more than there is": block(length=FILLED * 2),
    "as much as there could be": block(length=1 << 40),
    "of a length that no memory has": block(length=(1 << 64) - 1),
    "where the memory ends": block(number=1 << 24),
    "far away": block(number=1 << 63),
    "with a start that overflows": block(start=(1 << 64) - 1),
    "with a start behind the end": block(start=1 << 39),
    "where nothing is": block(number=50),
    "that ends where nothing is": block(number=1, length=FILLED),
    "one after another, each where the last one was read": [
        block(start=n, length=FILLED) for n in range(0, 1 << 20, FILLED)
    ],
    "of the parent's, which has none": block(owner=1),
    "of the parent's, far away": block(1 << 60, owner=1),
    "of nobody's": block(owner=2),
    "with too few parts": Tag(lie.BLOCK, [0, 1, 2]),
    "with too many parts": Tag(lie.BLOCK, [0, 0, 0, 1, 1]),
    "that is a number": Tag(lie.BLOCK, 5),
    "with a text for a length": Tag(lie.BLOCK, [0, 0, 0, "a"]),
}


@pytest.mark.parametrize("name", FALSE_BLOCKS)
def test_a_block_that_is_none(liar, name):
    broken(liar(hello(), ["fill", FILLED], *answer(FALSE_BLOCKS[name]), FOREVER))


FALSE_BUFFERS = {
    "of objects": lent(block(length=96), layout="O", size=8, shape=[12]),
    "of objects among others": lent(block(length=96), layout="T{d:a:O:b:}", size=16, shape=[6]),
    "of pointers": lent(block(length=96), layout="&d", size=8, shape=[12]),
    "of functions": lent(block(length=96), layout="X{}", size=8, shape=[12]),
    "with items that are too short for their format": lent(block(length=96), layout="d", shape=[96]),
    "with items that are too long for it": lent(block(length=96), layout="@B", size=8, shape=[12]),
    "with a shape that is too large": lent(block(length=96), shape=[97]),
    "with a shape that overflows": lent(block(length=96), shape=[1 << 63, 2]),
    "with a thousand dimensions": lent(block(length=1), shape=[1] * 1000),
    "with items of no size": lent(block(length=96), size=0, shape=[96]),
    "with a huge side that is empty": lent(b"", shape=[0, 1 << 62, 1 << 62]),
    "in no order": lent(block(length=96), order="A", shape=[96]),
    "of zeros": lent(block(length=96), layout="B\0", shape=[96]),
    "of rubbish": lent(block(length=96), layout="\N{SNOWMAN}", shape=[96]),
    "of a number": lent(5, shape=[96]),
    "with too few parts": Tag(lie.BUFFER, ["C", "B", 1]),
}


@pytest.mark.parametrize("name", FALSE_BUFFERS)
def test_a_buffer_that_is_none(liar, name):
    session = liar(hello(), ["fill", FILLED], *answer(FALSE_BUFFERS[name]), FOREVER)
    try:
        bytes(use(session))
    except saranwrap.ProtocolError:
        broken(session)
    else:
        assert use(session) == GIVEN


def test_a_buffer_of_a_format_that_lies_is_looked_at_without_harm(liar):
    numpy = pytest.importorskip("numpy")
    for layout in (
        "T{d:a:}",
        "<d",
        ">d",
        "2d",
        "(2,3)d",
        "T{T{d:a:}:b:}",
        "Zd",
        "1000000d",
        "T{",
        "(",
        "w",
        "20w",
        "x",
        "",
    ):
        session = liar(hello(), ["fill", FILLED], *answer(lent(block(), layout=layout)), FOREVER)
        with contextlib.suppress(saranwrap.ProtocolError):
            view = memoryview(use(session))
            for look in (numpy.asarray, memoryview.tolist, memoryview.tobytes, lambda view: view[0]):
                with contextlib.suppress(Exception):
                    look(view)


FALSE_ARRAYS = {
    "of objects": given_array(block(length=80), "|O", [10]),
    "of objects by another name": given_array(block(length=80), "object", [10]),
    "of objects in fields": given_array(block(length=80), ["fields", ["a"], ["|O"], [0], [None], 8, False], [10]),
    "of an unknown type": given_array(block(), "<f77"),
    "of a type with commas": given_array(block(length=80), "<f8,|O", [10]),
    "of a type that is a number": given_array(block(), 5),
    "of fields outside": given_array(block(length=80), ["fields", ["a"], ["<f8"], [4], [None], 8, False], [10]),
    "of fields before": given_array(block(length=80), ["fields", ["a"], ["<f8"], [-8], [None], 8, False], [10]),
    "of fields without names": given_array(block(length=80), ["fields", [], ["<f8"], [0], [None], 8, False], [10]),
    "of fields that are no fields": given_array(block(length=80), ["fields", 1, 2], [10]),
    "of an array that is none": given_array(block(length=80), ["array", "<f8", [1 << 40]], [10]),
    "of a shape that is too large": given_array(block(length=80), "<f8", [11]),
    "of a shape that overflows": given_array(block(length=80), "<f8", [1 << 40, 1 << 40]),
    "of a negative shape": given_array(block(length=80), "<f8", [-1]),
    "of a shape of texts": given_array(block(length=80), "<f8", ["a"]),
    "in no order": given_array(block(length=80), "<f8", [10], order="?"),
    "on loan": given_array(block(length=80), "|O", [10], loan=1),
    "with too few parts": Tag(lie.NDARRAY, [1 << 62, [True, "C"]]),
}


@pytest.mark.parametrize("name", FALSE_ARRAYS)
def test_an_array_that_is_none(liar, name):
    pytest.importorskip("numpy")
    session = liar(hello(), ["fill", FILLED], *answer(FALSE_ARRAYS[name]), FOREVER)
    survives(session)
    gc.collect()
    assert session.blocks() == (0, 0, 0)


FALSE_COLUMNS = {
    "of rubbish in a block": Tag(lie.ARROW, [0, ["table", [], block()]]),
    "of rubbish in the body": Tag(lie.ARROW, [0, ["array", [], b"7" * 500]]),
    "of nothing": Tag(lie.ARROW, [0, ["batch", [], b""]]),
    "of no kind": Tag(lie.ARROW, [0, [5, [], b""]]),
    "of an unknown kind": Tag(lie.ARROW, [0, ["object", [], b""]]),
    "with extensions that are none": Tag(lie.ARROW, [0, ["table", 5, b""]]),
    "on loan": Tag(lie.ARROW, [1, ["table", [], b""]]),
    "that are a number": Tag(lie.ARROW, [0, ["table", [], 5]]),
    "with too few parts": Tag(lie.ARROW, [0, ["table"]]),
}


@pytest.fixture(scope="module")
def pyarrow():
    """It reserves addresses for all that it will ever allocate, which is not to be counted as what a child has claimed."""
    library = pytest.importorskip("pyarrow")
    library.allocate_buffer(1 << 20)
    return library


@pytest.mark.parametrize("name", FALSE_COLUMNS)
def test_columns_that_are_none(pyarrow, liar, name):
    session = liar(hello(), ["fill", FILLED], *answer(FALSE_COLUMNS[name]), FOREVER)
    survives(session)
    gc.collect()
    assert session.blocks() == (0, 0, 0)


@of_the_native_child("it shares no memory with its parent")
def test_an_array_by_hand(liar):
    numpy = pytest.importorskip("numpy")
    session = liar(hello(), ["fill", FILLED], *answer(given_array(block(length=8), "<f8", [1])))
    assert use(session) == numpy.frombuffer(b"7" * 8)[0]


@pytest.mark.parametrize("number", [0, 7, 1 << 62])
def test_a_block_that_is_not_out_is_given_back(liar, number):
    release = say(frame(lie.RELEASE, b"".join(cbor(part) for part in ((1 << 63) | number, 1))))
    session = liar(hello(), ["listen", lie.CALL], release, say(frame(lie.REPLY, cbor(GIVEN), ID, CHAIN)), FOREVER)
    with contextlib.suppress(saranwrap.ProtocolError):
        use(session)
    assert ("without any memory" if CHILD == "agent" else "none is out") in broken(session)


def test_an_error_of_coding_that_does_not_fit_together_reads_nothing():
    from saranwrap import _exceptions

    space = {}
    error = UnicodeDecodeError("utf-8", b"x", 0, 1, "no")
    for name, value in (("object", 5), ("start", -(10**12)), ("end", 1 - 10**12)):
        _exceptions._set(error, space, name, value)
    assert (error.object, error.start, error.end, space) == (b"x", 0, 1, {})
    far = _exceptions._new(UnicodeDecodeError, ("utf-8", b"x", -(10**12), 1 - 10**12, "no"))
    assert str(far) == ""
