"""What the child's code logs arrives in the parent's loggers, as if it were logged here."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest
import saranwrap

from tests.conftest import settled

pytestmark = pytest.mark.usefixtures("every_start")


def log(level, text, *args, name="there", **options):
    logging.getLogger(name).log(level, text, *args, **options)


def log_an_exception(name="there"):
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger(name).exception("it failed")


def is_enabled(name, level):
    return logging.getLogger(name).isEnabledFor(level)


def set_level(name, level):
    logging.getLogger(name).setLevel(level)


def log_in_thread(count, name="there"):
    threading.Thread(target=lambda: [logging.getLogger(name).error("number %d", n) for n in range(count)]).start()


def log_at_exit(text):
    import atexit

    atexit.register(logging.getLogger("there").error, text)


def configure(**options):
    logging.basicConfig(**options)
    return len(logging.root.handlers)


def handle_here(name):
    stream = io.StringIO()
    logger = logging.getLogger(name)
    logger.addHandler(logging.StreamHandler(stream))
    logger.propagate = False
    return stream


class Opaque:
    def __repr__(self):
        return "<opaque>"

    def __reduce__(self):
        raise TypeError("not to be pickled")


@pytest.fixture
def p():
    return saranwrap.wrap(log)


def records(caplog):
    return [(record.name, record.levelname, record.getMessage()) for record in caplog.records]


def test_a_record_arrives_in_the_logger_of_its_name(p, caplog):
    p(logging.WARNING, "%s is %d", "it", 7)
    assert records(caplog) == [("there", "WARNING", "it is 7")]
    [record] = caplog.records
    assert record.funcName == "log"
    assert record.pathname == __file__
    assert record.lineno == log.__code__.co_firstlineno + 1
    assert record.process == saranwrap.getpid(p)
    assert record.threadName == "MainThread"


def test_it_has_arrived_when_the_call_returns_and_in_order(p, caplog):
    for number in range(5):
        logging.getLogger("here").warning("before %d", number)
        p(logging.WARNING, "there %d", number)
    texts = [record.getMessage() for record in caplog.records]
    assert texts == [f"{side} {number}" for number in range(5) for side in ("before", "there")]


def test_what_is_attached_comes_as_plain_data_or_as_its_repr(p, caplog):
    extra = {"user": "ann", "sizes": [1, {"a": None}], "thing": Opaque()}
    p(logging.ERROR, "thing %s %r", Opaque(), (1, Opaque()), extra=extra)
    [record] = caplog.records
    assert record.getMessage() == "thing <opaque> (1, <opaque>)"
    assert (record.user, record.sizes, record.thing) == ("ann", [1, {"a": None}], "<opaque>")


def test_an_exception_comes_as_its_text(caplog):
    saranwrap.wrap(log_an_exception)()
    assert "Traceback (most recent call last):" in caplog.text
    assert "KeyError: 'gone'" in caplog.text
    assert 'raise KeyError("gone")' in caplog.text


def test_handlers_see_it_on_the_thread_that_waits_for_the_call(p):
    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            seen.append((threading.current_thread(), record.getMessage()))

    logger = logging.getLogger("there.below")
    handler = Handler()
    logger.addHandler(handler)
    try:
        p(logging.ERROR, "seen", name="there.below.deeper")
    finally:
        logger.removeHandler(handler)
    assert seen == [(threading.current_thread(), "seen")]


def test_without_handlers_it_is_printed_as_it_is_here():
    script = textwrap.dedent(
        """
        import logging, saranwrap
        logging.getLogger("x").info("here")
        logging.getLogger("x").warning("here")
        p = saranwrap.wrap(logging)
        p.getLogger("x").info("there")
        p.getLogger("x").warning("there")
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "here\nthere\n")


@pytest.mark.parametrize("when", ["before", "after"])
def test_basic_config_of_the_parent_holds_for_the_child(when):
    configure = "logging.basicConfig(format='%(levelname)s:%(name)s:%(message)s', level=logging.INFO)"
    script = textwrap.dedent(
        f"""
        import logging, saranwrap
        {configure if when == "before" else ""}
        p = saranwrap.wrap_module("logging")
        p.getLogger("x").warning("first")
        {configure if when == "after" else ""}
        p.basicConfig(format="not this: %(message)s", level=10)
        p.getLogger("x").info("seen")
        p.getLogger("x").debug("not seen")
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    first = "WARNING:x:first\n" if when == "before" else "first\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", first + "INFO:x:seen\n")


def test_levels_are_those_of_the_parent_and_follow_them(caplog):
    p = saranwrap.wrap(is_enabled)
    quiet = logging.getLogger("there.quiet")
    try:
        with caplog.at_level(logging.DEBUG):
            assert p("there", logging.DEBUG)
            quiet.setLevel(logging.ERROR)
            assert not p("there.quiet.below", logging.WARNING)
            assert p("there.quiet.below", logging.ERROR)
            quiet.setLevel(logging.NOTSET)
            assert p("there.quiet.below", logging.WARNING)
            logging.disable(logging.ERROR)
            assert not p("there", logging.ERROR)
            logging.disable(logging.NOTSET)
            assert p("there", logging.ERROR)
    finally:
        logging.disable(logging.NOTSET)
        quiet.setLevel(logging.NOTSET)
    assert p("there", logging.WARNING)
    assert not p("there", logging.DEBUG)


def test_what_the_parent_does_not_want_is_not_sent(p):
    p(logging.DEBUG, "warm up")
    p.__class__
    before = saranwrap.status(p)["requests"]
    sent = saranwrap.status(p)["bytes_out"]
    p(logging.DEBUG, "x" * 10)
    empty = saranwrap.status(p)["bytes_out"] - sent
    p(logging.DEBUG, "%s", "x" * 100_000)
    assert saranwrap.status(p)["bytes_out"] - sent < 3 * empty + 1000
    assert saranwrap.status(p)["requests"] > before


def test_a_level_that_the_child_s_code_sets_stays(caplog):
    with saranwrap.Child() as child:
        enabled = child.wrap(is_enabled)
        child.wrap(set_level)("chatty", logging.DEBUG)
        assert enabled("chatty", logging.DEBUG)
        with caplog.at_level(logging.ERROR):
            assert enabled("chatty", logging.DEBUG)
            assert not enabled("other", logging.WARNING)


def test_handlers_that_the_child_s_code_sets_up_take_the_records(caplog):
    with saranwrap.Child() as child:
        stream = child.wrap(handle_here)("own")
        child.wrap(log)(logging.ERROR, "taken", name="own.below")
        assert stream.getvalue() == "taken\n"
    assert records(caplog) == []


def test_filters_of_the_parent_see_the_record(p, caplog):
    seen = []

    def sieve(record):
        seen.append(record.getMessage())
        return "secret" not in record.getMessage()

    logger = logging.getLogger("there")
    logger.addFilter(sieve)
    try:
        p(logging.ERROR, "a secret")
        p(logging.ERROR, "no matter")
    finally:
        logger.removeFilter(sieve)
    assert seen == ["a secret", "no matter"]
    assert records(caplog) == [("there", "ERROR", "no matter")]


def test_records_of_a_thread_of_the_child_arrive_though_nobody_asks_the_child_anything(caplog):
    p = saranwrap.wrap(log_in_thread)
    p(2000)
    assert settled(lambda: len(caplog.records) == 2000, 20)
    assert [record.getMessage() for record in caplog.records] == [f"number {n}" for n in range(2000)]
    assert caplog.records[0].threadName != "MainThread"


def test_records_of_the_child_s_end_arrive(caplog):
    p = saranwrap.wrap(log_at_exit)
    p("the last")
    saranwrap.close(p)
    assert records(caplog) == [("there", "ERROR", "the last")]


def test_records_of_a_fork_of_the_child_arrive(caplog):
    with saranwrap.Child() as child:
        context = child.wrap_module("multiprocessing").get_context("fork")
        process = context.Process(target=saranwrap.val(log), args=(logging.ERROR, "from a fork"))
        process.start()
        process.join()
        assert settled(lambda: records(caplog) == [("there", "ERROR", "from a fork")])


def test_a_child_that_does_not_log_does_not_load_logging():
    p = saranwrap.wrap(sys)
    assert "logging" not in p.modules
    assert "saranwrap._logs" not in p.modules


def test_a_parent_that_does_not_log_does_not_load_logging():
    script = "import saranwrap, sys; p = saranwrap.wrap(sys); p.maxsize; print('logging' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_warnings_that_are_captured_in_the_parent_are_logged_there(caplog):
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            saranwrap.wrap(warnings).warn("careful")
    finally:
        logging.captureWarnings(False)
    [record] = caplog.records
    assert record.name == "py.warnings"
    assert "careful" in record.getMessage()


def test_an_error_in_a_handler_of_the_parent_is_shown_and_the_child_goes_on(p):
    class Broken(logging.Handler):
        def emit(self, record):
            try:
                raise KeyError("broken")
            except KeyError:
                self.handleError(record)

    handler = Broken()
    logging.getLogger("there").addHandler(handler)
    try:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            p(logging.ERROR, "on its way")
    finally:
        logging.getLogger("there").removeHandler(handler)
    assert "KeyError: 'broken'" in err.getvalue()
    assert "on its way" in err.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        None,
        7,
        {},
        {"name": "x", "levelno": "high", "message": "m"},
        {"name": 3, "levelno": 40, "message": "m"},
        {"name": "x", "levelno": 40, "message": 5},
        {"name": "x", "levelno": 10**30, "message": "m", "extra": 4},
        {
            "name": "a." * 50_000,
            "levelno": 40,
            "message": "%s%d%999999999d",
            "extra": '{"getMessage": 1, "name": 2, "": []}',
        },
        {"name": "x", "levelno": 40, "message": "m", "extra": "[1"},
        {"name": "x", "levelno": 40, "message": "m", "extra": "[" * 100_000},
        {"name": "x", "levelno": 40, "message": "m", "extra": "3"},
        [1, 2],
        [([], 2)],
        {"name": "x", "levelno": 40, "message": "m", "pathname": 3, "lineno": "x", "created": None, "process": [1]},
    ],
)
def test_a_record_that_lies_does_no_harm(fields, caplog):
    from saranwrap import _logs

    before = set(logging.root.manager.loggerDict)
    _logs.receive(fields)
    _logs.receive_note(b"\xff{")
    _logs.receive_note(b"[" * 100_000)
    assert set(logging.root.manager.loggerDict) == before
    for record in caplog.records:
        assert isinstance(record.getMessage(), str)
        logging.Formatter("%(asctime)s %(name)s %(message)s").format(record)
