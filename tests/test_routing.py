"""Where a child's output goes when `stdout=` or `stderr=` says so: kept, told line by line, logged."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import subprocess
import sys
import threading
import time

import pytest
import saranwrap

pytestmark = pytest.mark.usefixtures("every_start")


def speak(*texts, **options):
    print(*texts, **options)


def write(fd, data):
    while data:
        data = data[os.write(fd, data) :]


def mixed():
    print("print", end=" ")
    os.write(1, b"os.write ")
    libc = ctypes.CDLL(None)
    libc.printf(b"printf ")
    libc.fflush(None)
    subprocess.run(["echo", "echo"], check=True)
    sys.stdout.write("write")


def die_speaking(lines):
    for number in range(lines):
        os.write(1, b"line %d\n" % number)
    os.abort()


def register_last_words(text):
    import atexit

    atexit.register(print, text)


def speak_in_thread(text):
    thread = threading.Thread(target=print, args=(text,))
    thread.start()
    thread.join()


class Told:
    """A function to be told lines, and a way to wait for some of them."""

    def __init__(self, wanted=""):
        self.lines = []
        self.wanted = wanted
        self.came = threading.Event()

    def __call__(self, line):
        self.lines.append(line)
        if self.wanted and self.wanted in line:
            self.came.set()

    def wait(self):
        assert self.came.wait(20), self.lines


# --- capture ----------------------------------------------------------------------------------------------------------


def test_what_is_printed_is_kept(capfd):
    p = saranwrap.wrap(speak, stdout="capture")
    p("one", 2)
    assert saranwrap.output(p) == ("one 2\n", None, 0)
    p("three", end="")
    assert saranwrap.output(p).stdout == "one 2\nthree"
    assert capfd.readouterr() == ("", "")


def test_what_is_written_in_any_way_is_kept_in_order():
    p = saranwrap.wrap(mixed, stdout="capture")
    p()
    assert saranwrap.output(p).stdout == "print os.write printf echo\nwrite"


def test_both_streams_are_kept_apart(capfd):
    with saranwrap.Child(stdout="capture", stderr="capture") as child:
        child.wrap(write)(1, b"to stdout")
        child.wrap(write)(2, b"to stderr")
        child.wrap(speak)("printed", file=saranwrap.ref(child.wrap(sys).stderr))
        assert saranwrap.output(child) == ("to stdout", "to stderrprinted\n", 0)
    assert capfd.readouterr() == ("", "")


def test_one_stream_is_kept_and_the_other_goes_where_it_always_goes(capfd):
    with saranwrap.Child(stderr="capture", stdout="inherit") as child:
        child.wrap(write)(1, b"to stdout")
        child.wrap(write)(2, b"to stderr")
        assert saranwrap.output(child) == (None, "to stderr", 0)
    assert capfd.readouterr() == ("to stdout", "")


def test_what_is_kept_has_a_bound_and_says_what_is_lost():
    with saranwrap.Child(stdout="capture") as child:
        child.wrap(write)(1, b"x" * 3_000_000 + b"end")
        out, _, lost = saranwrap.output(child)
    assert len(out) == 1 << 20
    assert out.endswith("xend")
    assert lost == 3_000_003 - (1 << 20)


def test_what_is_kept_can_be_read_when_the_child_has_ended():
    p = saranwrap.wrap(die_speaking, stdout="capture", stderr="capture")
    with pytest.raises(saranwrap.ChildDied) as caught:
        p(1000)
    out, err, _ = saranwrap.output(p)
    assert out.splitlines() == [f"line {number}" for number in range(1000)]
    assert "Fatal Python error: Aborted" in err
    assert "Fatal Python error: Aborted" in caught.value.last_words
    q = saranwrap.wrap(register_last_words, stdout="capture")
    q("the last")
    saranwrap.close(q)
    assert saranwrap.output(q).stdout == "the last\n"


def test_what_a_thread_of_the_child_prints_is_kept():
    p = saranwrap.wrap(speak_in_thread, stdout="capture")
    p("from a thread")
    assert saranwrap.output(p).stdout == "from a thread\n"


def test_bytes_that_are_no_text_can_be_had_back():
    with saranwrap.Child(stdout="capture") as child:
        child.wrap(write)(1, b"\xff\x00\xc3\xa4")
        out = saranwrap.output(child).stdout
    assert out.encode("utf-8", "surrogateescape") == b"\xff\x00\xc3\xa4"


def test_any_text_can_be_printed_whatever_the_locale():
    p = saranwrap.wrap(speak, stdout="capture", env={**os.environ, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"})
    p("ä\u20ac\U0001f40d\udc80")
    assert saranwrap.output(p).stdout == "ä\u20ac\U0001f40d\udc80\n"


def test_output_that_is_not_kept_is_an_error_that_says_how():
    with pytest.raises(ValueError, match='stdout="capture"'):
        saranwrap.output(saranwrap.wrap(time))
    with pytest.raises(TypeError):
        saranwrap.output(time)


# --- functions --------------------------------------------------------------------------------------------------------


def test_a_function_is_told_each_line_with_its_end():
    told = Told()
    with saranwrap.wrapped(speak, stdout=told) as p:
        p("one")
        p("two\nthree")
        p("", end="unfinished")
    assert told.lines == ["one\n", "two\n", "three\n", "unfinished"]


def test_lines_come_while_the_child_lives():
    told = Told("now")
    p = saranwrap.wrap(speak, stdout=told)
    p("now")
    told.wait()
    assert told.lines == ["now\n"]


def test_all_that_was_written_before_a_death_is_told():
    told = Told("line 99999\n")
    p = saranwrap.wrap(die_speaking, stdout=told, stderr=Told())
    with pytest.raises(saranwrap.ChildDied):
        p(100_000)
    told.wait()
    assert told.lines == [f"line {number}\n" for number in range(100_000)]


def test_the_lines_of_both_streams_are_told_by_one_thread():
    threads = set()
    with saranwrap.Child(
        stdout=lambda line: threads.add(threading.current_thread()),
        stderr=lambda line: threads.add(threading.current_thread()),
    ) as child:
        p = child.wrap(write)
        for _ in range(10):
            p(1, b"one\n")
            p(2, b"two\n")
    assert len(threads) == 1
    assert threads.pop().daemon


def test_a_line_ends_at_a_carriage_return_too():
    told = Told("20 %")
    p = saranwrap.wrap(write, stdout=told)
    p(1, b"10 %\r20 %\r30 %")
    told.wait()
    p(1, b"\r\n\n")
    saranwrap.close(p)
    assert told.lines == ["10 %\r", "20 %\r", "30 %\r\n", "\n"]


def test_a_line_without_end_comes_in_parts_that_hold_whole_characters():
    told = Told()
    text = "ä\u20ac" * 100_000
    with saranwrap.wrapped(speak, stdout=told) as p:
        p(text)
    assert "".join(told.lines) == text + "\n"
    assert all(len(line.encode()) <= 65536 for line in told.lines)


@pytest.mark.parametrize("size", range(1, 12))
def test_a_line_is_never_cut_within_a_character_however_it_comes(size):
    from saranwrap._output import _Lines

    text = "a\u20ac\U0001f40d" * 20 + "\n" + "\u20ac" * 30 + "\n\nrest"
    data = text.encode()
    parts = []
    lines = _Lines(parts.append, 16)
    for start in range(0, len(data), size):
        lines.feed(data[start : start + size])
    lines.end()
    assert "".join(part.decode() for part in parts) == text
    assert all(len(part) <= 16 for part in parts)


def test_a_function_that_raises_is_reported_and_told_the_next_line(monkeypatch):
    reported = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    told = []

    def tell(line):
        told.append(line)
        if len(told) == 1:
            raise KeyError("mine")

    with saranwrap.wrapped(speak, stdout=tell) as p:
        p("one")
        p("two")
    assert told == ["one\n", "two\n"]
    assert [about.exc_type for about in reported] == [KeyError]


def test_a_function_that_is_slow_slows_the_child_and_loses_nothing():
    go_on = threading.Event()
    told = Told()

    def tell(line):
        go_on.wait(20)
        told(line)

    with saranwrap.wrapped(write, stdout=tell) as p:
        caller = threading.Thread(target=p, args=(1, b"a line of the flood\n" * 100_000))
        caller.start()
        assert told.lines == []
        go_on.set()
        caller.join()
    assert len(told.lines) == 100_000


def test_a_stream_s_write_is_such_a_function():
    out = io.StringIO()
    with saranwrap.wrapped(speak, stdout=out.write) as p:
        p("one\ntwo")
    assert out.getvalue() == "one\ntwo\n"


def test_a_function_does_not_keep_the_child_alive():
    p = saranwrap.wrap(speak, stdout=Told())
    p("something")
    del p
    # The janitor sees to the rest.


def test_stderr_is_told_and_kept_for_the_obituary(capfd):
    told = Told("Aborted")
    p = saranwrap.wrap(os, stderr=told)
    p.write(2, b"my last words\n")
    with pytest.raises(saranwrap.ChildDied) as caught:
        p.abort()
    told.wait()
    assert "my last words\n" in told.lines
    assert "my last words" in caught.value.last_words
    assert capfd.readouterr().err == ""


# --- logging ----------------------------------------------------------------------------------------------------------


def test_lines_become_records(caplog):
    logger = logging.getLogger("tests.routing")
    with caplog.at_level(logging.DEBUG), saranwrap.Child(stdout=logger, stderr=logger) as child:
        child.wrap(write)(1, b"one 100%\n\n\xff\n")
        child.wrap(write)(2, b"two")
    got = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert sorted(got) == [
        ("tests.routing", "INFO", "\\xff"),
        ("tests.routing", "INFO", "one 100%"),
        ("tests.routing", "WARNING", "two"),
    ]


def test_a_level_is_enough(caplog):
    with caplog.at_level(logging.DEBUG), saranwrap.wrapped(speak, stdout=logging.DEBUG) as p:
        p("one")
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [("saranwrap.stdout", "DEBUG", "one")]


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sink", ["somewhere", ""])
def test_a_text_that_means_nothing_is_refused(sink):
    with pytest.raises(ValueError, match="stdout must be"):
        saranwrap.wrap(time, stdout=sink)


@pytest.mark.parametrize("sink", [True, 1.5, b"capture", object()])
def test_what_cannot_be_told_anything_is_refused(sink):
    with pytest.raises(TypeError, match="stderr must be"):
        saranwrap.wrap(time, stderr=sink)


def test_every_way_to_wrap_takes_them():
    for p in (saranwrap.wrap(os, stdout="capture"), saranwrap.wrap_module("os", stdout="capture")):
        p.write(1, b"said")
        assert saranwrap.output(p).stdout == "said"
    with saranwrap.wrapped(os, stdout="capture") as p:
        p.write(1, b"said")
        assert saranwrap.output(p).stdout == "said"


def test_what_is_told_at_the_parent_s_exit_is_not_lost():
    script = (
        "import saranwrap, atexit, sys, os\n"
        "p = saranwrap.wrap(atexit, stdout=sys.stderr.write)\n"
        "p.register(p.__class__ and __import__('saranwrap').val(print), 'the last of', 'the child')\n"
        "os.write(1, b'')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "the last of the child\n")
