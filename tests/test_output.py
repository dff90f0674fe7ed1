"""What the child prints and warns of, and how it exits: as if its code ran here."""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import io
import logging
import os
import subprocess
import sys
import textwrap
import threading
import traceback
import warnings
from pathlib import Path

import pytest
import saranwrap

pytestmark = pytest.mark.usefixtures("every_start")


def speak(*texts, **options):
    print(*texts, **options)


def complain(text):
    print(text, file=sys.stderr)


def warn(text="careful", category=UserWarning, level=1):
    warnings.warn(text, category, level)
    return "went on"


def warn_about_the_caller():
    warnings.warn("you did that", DeprecationWarning, stacklevel=2)


def catch_the_warning():
    try:
        warnings.warn("caught there", stacklevel=1)
    except UserWarning as warning:
        return f"it was an error: {warning}"
    return "it was shown"


def leave(code=None):
    sys.exit(code)


def leave_and_catch(code):
    try:
        sys.exit(code)
    except SystemExit as left:
        return left.code


def call(function, *args):
    return function(*args)


def log(text):
    logging.getLogger("there").error(text)


class Local(Warning):
    """Exists here, and in the child once it has loaded this module."""


# --- output -----------------------------------------------------------------------------------------------------------


def test_print_reaches_a_stream_that_was_put_in_place_of_stdout():
    p = saranwrap.wrap(speak)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        p("one", 2, sep="-", end="!\n")
        p("ä\u20ac\U0001f40d\udc80")
        p()
    assert out.getvalue() == "one-2!\nä\u20ac\U0001f40d\udc80\n\n"


def test_print_to_stderr_reaches_a_stream_that_was_put_in_its_place():
    p = saranwrap.wrap(complain)
    with contextlib.redirect_stderr(io.StringIO()) as err:
        p("oh")
    assert err.getvalue() == "oh\n"


def test_print_reaches_stdout_as_it_is(capsys):
    saranwrap.wrap(speak)("from the child")
    assert capsys.readouterr().out == "from the child\n"


def test_print_can_be_given_a_file_of_the_parent():
    out = io.StringIO()
    saranwrap.wrap(builtins).print("to", "you", file=out)
    assert out.getvalue() == "to you\n"


def test_output_of_both_sides_comes_in_order(capfd):
    p = saranwrap.wrap(speak)
    for number in range(3):
        print("here", number)
        p("there", number)
    lines = capfd.readouterr().out.splitlines()
    assert lines == [f"{side} {number}" for number in range(3) for side in ("here", "there")]


def test_output_between_a_callback_s_comes_in_order():
    p = saranwrap.wrap(call)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print("before")
        p(p, speak, "in the child's child call")
        p(lambda: print("in the callback"))
        print("after")
    assert out.getvalue() == "before\nin the child's child call\nin the callback\nafter\n"


def test_large_output_comes_whole():
    p = saranwrap.wrap(speak)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        p("x" * 3_000_000)
    assert len(out.getvalue()) == 3_000_001


def test_output_of_c_code_reaches_the_descriptors(capfd):
    with saranwrap.Child() as child:
        library = child.wrap(ctypes).CDLL(None)
        library.puts(b"from puts")
        library.fflush(None)
        child.wrap(os).write(2, b"to descriptor 2\n")
    out, err = capfd.readouterr()
    assert "from puts\n" in out
    assert err == "to descriptor 2\n"


def test_output_of_a_process_that_the_child_starts_reaches_the_descriptors(capfd):
    saranwrap.wrap(subprocess).run(["echo", "from echo"], check=True)
    assert capfd.readouterr().out == "from echo\n"


def test_writing_rubbish_to_the_standard_descriptors_does_not_touch_the_link(capfd):
    with saranwrap.Child() as child:
        p = child.wrap(os)
        for fd in (1, 2):
            p.write(fd, bytes(range(256)) * 10)
        assert p.getpid() == child.pid
    capfd.readouterr()


def test_closing_the_standard_descriptors_does_not_touch_the_link():
    with saranwrap.Child() as child:
        p = child.wrap(os)
        for fd in (0, 1, 2):
            p.close(fd)
        assert p.getpid() == child.pid


def test_replacing_stdout_in_the_child_stays_in_the_child(capfd):
    with saranwrap.Child() as child:
        there = child.wrap(io).StringIO()
        child.wrap(sys).stdout = there
        child.wrap(speak)("kept")
        assert there.getvalue() == "kept\n"
    assert capfd.readouterr().out == ""


def test_redirecting_in_the_child_works_as_here():
    with saranwrap.Child() as child:
        there = child.wrap(io).StringIO()
        with child.wrap(contextlib).redirect_stdout(there):
            child.wrap(speak)("caught")
        assert there.getvalue() == "caught\n"


def test_a_stream_of_the_parent_that_raises_raises_in_the_child_s_code():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    p = saranwrap.wrap(speak)
    with contextlib.redirect_stdout(Full()):
        with pytest.raises(OSError, match="No space left"):
            p("too much")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        p("enough")
    assert out.getvalue() == "enough\n"


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_parent_without_stdout_is_as_silent_as_it_is_here(stream, monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed if stream else None)
    p = saranwrap.wrap(speak)
    if stream:
        with pytest.raises(ValueError, match="closed file"):
            p("nobody hears")
    else:
        p("nobody hears")


def test_print_with_flush_flushes_the_parent_s_stream():
    flushed = []

    class Stream(io.StringIO):
        def flush(self):
            flushed.append(self.getvalue())

    with contextlib.redirect_stdout(Stream()):
        saranwrap.wrap(speak)("now", flush=True)
    assert flushed == ["now\n"]


def test_output_of_threads_is_not_lost():
    p = saranwrap.wrap(speak)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        threads = [threading.Thread(target=p, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(out.getvalue()) == sorted("01234567" + "\n" * 8)


def test_print_of_a_thread_of_the_child_reaches_the_descriptor(capfd):
    thread = saranwrap.wrap(threading).Thread(target=saranwrap.val(speak), args=("from a thread",))
    thread.start()
    thread.join()
    assert capfd.readouterr().out == "from a thread\n"


def test_print_at_the_end_of_the_child_reaches_the_descriptor(capfd):
    with saranwrap.Child() as child:
        child.wrap_module("atexit").register(saranwrap.val(speak), "the last")
    assert capfd.readouterr().out == "the last\n"


def test_stdout_of_the_child_looks_like_a_stream():
    p = saranwrap.wrap(sys)
    assert p.stdout.writable()
    assert p.stdout.encoding.lower() == "utf-8"
    assert p.stdout.fileno() == 1
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert p.stdout.write("five\n") == 5
        p.stdout.writelines(["a", "b\n"])
        p.stdout.flush()
    assert out.getvalue() == "five\nab\n"
    with pytest.raises(TypeError, match="str"):
        p.stdout.write(b"bytes")


def test_bytes_written_below_stdout_reach_the_descriptor(capfdbinary):
    p = saranwrap.wrap(sys)
    p.stdout.buffer.write(b"\xff\x00raw")
    p.stdout.buffer.flush()
    assert capfdbinary.readouterr().out == b"\xff\x00raw"


def test_logging_in_the_child_reaches_stderr(monkeypatch):
    p = saranwrap.wrap(log)
    # Nobody has set up anything: not pytest either.
    monkeypatch.setattr(logging.root, "handlers", [])
    with contextlib.redirect_stderr(io.StringIO()) as err:
        p("logged there")
    assert err.getvalue() == "logged there\n"


def test_help_in_the_child_prints_here():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        saranwrap.wrap(builtins).help(len)
    assert "Return the number of items" in out.getvalue()


def test_input_in_the_child_reads_the_parent_s_stdin_and_shows_its_prompt():
    script = (
        "import saranwrap, builtins; p = saranwrap.wrap(builtins); print(p.input('name? ') + '!'); print(input() + '?')"
    )
    done = subprocess.run([sys.executable, "-c", script], input="ann\n", capture_output=True, text=True, timeout=50)
    assert done.stdout.startswith("name? ann!\n"), done


# --- warnings ---------------------------------------------------------------------------------------------------------


def test_a_warning_of_the_child_is_one_of_the_parent():
    p = saranwrap.wrap(warn)
    with pytest.warns(UserWarning, match="careful") as caught:
        assert p() == "went on"
    assert [(os.path.basename(w.filename), type(w.message)) for w in caught] == [("test_output.py", UserWarning)]
    assert caught[0].lineno == warn.__code__.co_firstlineno + 1


@pytest.mark.parametrize("category", [DeprecationWarning, RuntimeWarning, ResourceWarning, Local])
def test_a_warning_keeps_its_category(category):
    p = saranwrap.wrap(warn)
    with pytest.warns(category, match="mine"):
        p("mine", category)


def test_a_filter_that_makes_an_error_raises_in_the_child_s_code():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert saranwrap.wrap(catch_the_warning)() == "it was an error: caught there"
        with pytest.raises(UserWarning, match="careful") as caught:
            saranwrap.wrap(warn)()
    last = [frame for frame in traceback.extract_tb(caught.value.__traceback__) if frame.name == "warn"]
    assert last[-1].line == "warnings.warn(text, category, level)"


def test_a_filter_that_ignores_ignores():
    p = saranwrap.wrap(warn)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        p()
    assert caught == []


def test_a_filter_by_module_sees_the_child_s_module():
    p = saranwrap.wrap(warn)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module=__name__.replace(".", r"\."))
        p()
    assert len(caught) == 1


def test_a_filter_that_shows_once_shows_once():
    p = saranwrap.wrap(warn)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            p("shown once")
    assert len(caught) == 1


def test_a_warning_about_the_caller_names_the_caller_here():
    p = saranwrap.wrap(warn_about_the_caller)
    with pytest.warns(DeprecationWarning, match="you did that") as caught:
        p()
    assert os.path.basename(caught[0].filename) == "test_output.py"
    assert Path(__file__).read_text().splitlines()[caught[0].lineno - 1].strip() == "p()"


@pytest.mark.parametrize(
    ("level", "line"), [(2, 'p("deep", UserWarning, level)'), (3, "inner()"), (4, "outer()")], ids=["2", "3", "4"]
)
def test_a_stack_level_may_reach_into_the_parent(level, line):
    p = saranwrap.wrap(warn)

    def inner():
        p("deep", UserWarning, level)

    def outer():
        inner()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outer()
    assert caught[0].filename == __file__
    assert Path(__file__).read_text().splitlines()[caught[0].lineno - 1].strip() == line


def test_a_stack_level_beyond_every_frame_is_what_it_is_here():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn("deep", UserWarning, 10_000)
        saranwrap.wrap(warn)("deep", UserWarning, 10_000)
    assert caught[0].filename == caught[1].filename
    assert caught[0].lineno == caught[1].lineno


def test_a_warning_of_a_thread_is_shown_by_the_filters_that_the_child_was_started_with(capfd):
    with saranwrap.Child() as child:
        start = child.wrap(threading).Thread
        for category in (DeprecationWarning, RuntimeWarning):
            thread = start(target=saranwrap.val(warn), args=("from a thread", saranwrap.val(category)))
            thread.start()
            thread.join()
    err = capfd.readouterr().err
    assert err.count("from a thread") == 1
    assert "RuntimeWarning: from a thread" in err


def test_warnings_can_be_ignored_by_the_child_s_own_code():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with saranwrap.Child() as child:
            with child.wrap(warnings).catch_warnings():
                child.wrap(warnings).simplefilter("ignore")
                child.wrap(warn)("hidden")
            child.wrap(warn)("shown")
    assert [str(w.message) for w in caught] == ["shown"]


def test_a_warning_that_is_shown_once_is_shown_once_for_all_children():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("once")
        for _ in range(3):
            saranwrap.wrap(warn)("once and for all")
    assert len(caught) == 1


def test_a_warning_that_is_an_object_comes_as_it_is():
    with pytest.warns(Local) as caught:
        saranwrap.wrap(warn)(Local("made here", 5), Local)
    assert caught[0].message.args == ("made here", 5)


def test_warnings_can_be_caught_in_the_child():
    with saranwrap.Child() as child:
        with child.wrap(warnings).catch_warnings(record=True) as caught:
            child.wrap(warn)("seen there")
        assert [str(w.message) for w in caught] == ["seen there"]


def test_a_warning_of_c_code_comes_too():
    # It is a DeprecationWarning of CPython 3.11 and a SyntaxWarning of later ones.
    with pytest.warns((DeprecationWarning, SyntaxWarning), match="invalid escape|is not a valid"):
        saranwrap.wrap(builtins).compile(r"'\d'", "there", "eval")


# --- exits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [None, 0, 3, "a text"])
def test_sys_exit_in_the_child_is_system_exit_here(code):
    p = saranwrap.wrap(leave)
    with pytest.raises(SystemExit) as caught:
        p(code)
    assert caught.value.code == code
    with pytest.raises(SystemExit):
        p()


def test_sys_exit_in_the_child_can_be_caught_there():
    assert saranwrap.wrap(leave_and_catch)(7) == 7


def test_sys_exit_in_a_callback_goes_through_the_child():
    with pytest.raises(SystemExit) as caught:
        saranwrap.wrap(call)(sys.exit, 4)
    assert caught.value.code == 4
    with pytest.raises(SystemExit) as caught:
        saranwrap.wrap(call)(leave, 5)
    assert caught.value.code == 5


def test_an_uncaught_exit_of_the_child_ends_the_parent_with_its_code():
    script = "import saranwrap, sys; saranwrap.wrap(sys).exit(9)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (9, "", "")


def test_an_uncaught_exception_of_the_child_is_printed_by_the_parent(tmp_path):
    (tmp_path / "fails_there.py").write_text("def fail():\n    return 1 / 0\n")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import fails_there, saranwrap
            p = saranwrap.wrap(fails_there)
            p.fail()
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.index("p.fail()") < done.stderr.index("return 1 / 0") < done.stderr.index("ZeroDivisionError: ")
    assert "_classes" not in done.stderr
