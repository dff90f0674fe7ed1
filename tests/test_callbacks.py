"""The child calls what it was given, and what is raised on either side goes through both."""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import html.parser
import io
import itertools
import json
import operator
import os
import pathlib
import queue
import subprocess
import sys
import threading
import traceback
import weakref

import pytest
import saranwrap
from saranwrap._native import identity

from tests import callees


def here():
    return os.getpid()


class Mine:
    """Lives here."""

    def __init__(self, value=0):
        self.value = value

    def pid(self, *args):
        return os.getpid(), args

    @classmethod
    def cls_pid(cls):
        return cls.__name__, os.getpid()

    @staticmethod
    def static_pid():
        return os.getpid()

    def __call__(self, *args, **kwargs):
        return os.getpid(), args, kwargs

    def __enter__(self):
        self.value = "entered"
        return self

    def __exit__(self, kind, error, tb):
        self.value = kind
        return kind is KeyError


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_a_function():
    remote = saranwrap.wrap(callees)
    assert remote.call(here) == os.getpid()


def test_a_lambda_with_all_kinds_of_arguments():
    remote = saranwrap.wrap(callees)
    assert remote.call(lambda a, /, b, *c, d, **e: (a, b, c, d, e), 1, 2, 3, d=4, x=5) == (1, 2, (3,), 4, {"x": 5})


def test_a_closure_that_changes_what_it_closes_over():
    remote = saranwrap.wrap(callees)
    total = 0

    def add(n):
        nonlocal total
        total += n

    remote.each(add, [1, 2, 3])
    assert total == 6


def test_a_bound_method():
    remote = saranwrap.wrap(callees)
    assert remote.call(Mine().pid, 1) == (os.getpid(), (1,))


def test_class_and_static_methods():
    remote = saranwrap.wrap(callees)
    assert remote.call(Mine.cls_pid) == ("Mine", os.getpid())
    assert remote.call(Mine.static_pid) == os.getpid()


def test_a_class_is_called_here():
    remote = saranwrap.wrap(callees)
    made = remote.call(Mine, 5)
    assert type(made) is Mine
    assert made.value == 5


def test_a_callable_instance():
    remote = saranwrap.wrap(callees)
    assert remote.call(Mine(), 1, a=2) == (os.getpid(), (1,), {"a": 2})


def test_a_partial_and_a_method_of_a_built_in():
    remote = saranwrap.wrap(callees)
    seen = []
    remote.each(seen.append, [1, [2]])
    assert seen == [1, [2]]
    assert remote.call(functools.partial(here)) == os.getpid()
    assert remote.call(functools.lru_cache(here)) == os.getpid()
    assert remote.each(",".join, [["a", "b"]]) == ["a,b"]


def test_a_generator():
    remote = saranwrap.wrap(callees)

    def count():
        got = yield 1
        while got is not None:
            got = yield got * 2
        return "done"

    assert remote.drain(n * n for n in range(4)) == [0, 1, 4, 9]
    generator = count()
    assert remote.send(generator, None, 5, 6) == [1, 10, 12]
    assert next(generator, "ended") == "ended"


def test_an_exception_thrown_into_a_generator():
    remote = saranwrap.wrap(callees)

    def catching():
        try:
            yield 1
        except KeyError as error:
            yield error

    generator = catching()
    next(generator)
    error = KeyError("thrown")
    assert remote.throw(generator, error) is error


def test_an_iterator_that_fails_half_way():
    remote = saranwrap.wrap(callees)

    def failing():
        yield 1
        raise LookupError("half way")

    with pytest.raises(LookupError, match="half way"):
        remote.drain(failing())


def test_an_infinite_iterator_is_read_as_far_as_it_is_needed():
    child = saranwrap.Child()
    numbers = iter(range(10**9))
    assert list(child.wrap_module("itertools").islice(numbers, 3)) == [0, 1, 2]
    assert next(numbers) == 3


def test_a_file_object():
    child = saranwrap.Child()
    file = io.StringIO()
    child.wrap(json).dump({"a": [1]}, file)
    assert file.getvalue() == '{"a": [1]}'
    assert child.wrap(json).load(io.StringIO("[5]")) == [5]
    assert child.wrap_module("csv").reader(io.StringIO("a,b\n")).__next__() == ["a", "b"]


def test_a_real_file(tmp_path):
    child = saranwrap.Child()
    with open(tmp_path / "file", "w+") as file:
        child.wrap(json).dump([1], file)
        file.seek(0)
        assert child.wrap(json).load(file) == [1]


def test_a_binary_file_is_filled():
    child = saranwrap.Child()
    file = io.BytesIO()
    with child.wrap_module("zipfile").ZipFile(file, "w") as archive:
        archive.writestr("name", "content")
    file.seek(0)
    assert child.wrap_module("zipfile").ZipFile(file).read("name") == b"content"


def test_a_context_manager():
    remote = saranwrap.wrap(callees)
    mine = Mine()
    assert remote.inside(mine, lambda entered: entered is mine) is True
    assert mine.value is None


def test_a_context_manager_sees_the_exception_and_may_swallow_it():
    remote = saranwrap.wrap(callees)
    mine = Mine()
    assert remote.inside(mine, lambda entered: {}["missing"]) is None
    assert mine.value is KeyError
    with pytest.raises(ZeroDivisionError):
        remote.inside(mine, lambda entered: 1 / 0)
    assert mine.value is ZeroDivisionError


def test_a_context_manager_made_of_a_generator():
    remote = saranwrap.wrap(callees)
    events = []

    @contextlib.contextmanager
    def manager():
        events.append("in")
        try:
            yield 5
        finally:
            events.append("out")

    assert remote.inside(manager(), lambda x: events.append("body") or x) == 5
    assert events == ["in", "body", "out"]


def test_a_lock_of_the_parent():
    remote = saranwrap.wrap(callees)
    lock = threading.Lock()
    assert remote.inside(lock, lambda entered: lock.locked()) is True
    assert not lock.locked()


def test_a_lock_that_belongs_to_its_thread():
    remote = saranwrap.wrap(callees)
    lock = threading.RLock()
    with lock:
        assert remote.inside(lock, lambda entered: "entered again") == "entered again"


def test_a_queue_of_the_parent():
    child = saranwrap.Child()
    mine = queue.Queue()
    child.wrap(operator).methodcaller("put", [1, 2])(mine)
    got = mine.get_nowait()
    assert got == [1, 2]


def test_a_callback_that_the_child_keeps():
    remote = saranwrap.wrap(callees)
    remote.keep(lambda: "kept")
    assert remote.kept()() == "kept"
    remote.forget()


def test_a_callback_comes_back_as_itself():
    remote = saranwrap.wrap(callees)
    mine = lambda: 1  # noqa: E731  it is a lambda that is under test
    remote.keep(mine)
    assert remote.kept() is mine
    remote.forget()


def test_a_callback_dies_when_the_child_forgets_it():
    remote = saranwrap.wrap(callees)

    def mine():
        return 1

    gone = weakref.ref(mine)
    remote.keep(mine)
    del mine
    gc.collect()
    assert gone() is not None
    remote.forget()
    remote.pid()
    gc.collect()
    assert gone() is None


def test_a_callback_is_given_proxies_and_real_objects():
    child = saranwrap.Child()
    seen = []
    made = child.wrap(collections).deque([1])
    child.wrap(callees).call(lambda *args: seen.extend(args), made, [5], "text", made.append)
    assert seen[0] is made
    assert seen[1] == [5]
    assert seen[2] == "text"
    seen[3](2)
    assert list(made) == [1, 2]


def test_a_callback_s_result_is_as_good_as_an_argument():
    remote = saranwrap.wrap(callees)
    mine = Mine()
    assert remote.call(lambda: mine) is mine
    assert remote.call(lambda: (mine, [mine]))[0] is mine


def test_a_callback_may_use_the_child():
    remote = saranwrap.wrap(callees)
    assert remote.call(lambda: remote.call(lambda: remote.divide(6, 3))) == 2


@pytest.mark.parametrize("depth", [1, 2, 30])
def test_callbacks_nest(depth):
    remote = saranwrap.wrap(callees)
    turns = []

    def down(bounce, left):
        turns.append(left)
        return "bottom" if left == 0 else bounce(down, left - 1)

    assert remote.bounce(down, depth) == "bottom"
    assert turns == list(range(depth, -1, -1))


def test_an_exception_goes_up_through_thirty_turns():
    remote = saranwrap.wrap(callees)
    raised = KeyError("bottom")

    def down(bounce, left):
        if left == 0:
            raise raised
        return bounce(down, left - 1)

    with pytest.raises(KeyError) as caught:
        remote.bounce(down, 30)
    assert caught.value is raised
    assert remote.divide(4, 2) == 2


def test_endless_recursion_through_both_sides_ends_in_an_error():
    """In a process of its own: whatever its stack allows."""
    import subprocess

    script = (
        "import saranwrap; from tests import callees\n"
        "p = saranwrap.wrap(callees)\n"
        "def down(bounce, n): return bounce(down, n + 1)\n"
        "try: p.bounce(down, 0)\n"
        "except (RecursionError, saranwrap.SaranwrapError) as error: print(type(error).__name__)\n"
        "print(p.divide(4, 2))\n"
    )
    root = str(pathlib.Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=55, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "2.0", done


def test_a_callback_runs_on_the_thread_that_waits():
    remote = saranwrap.wrap(callees)
    assert remote.call(threading.get_ident) == threading.get_ident()
    found = []
    thread = threading.Thread(target=lambda: found.append(remote.call(threading.get_ident)))
    thread.start()
    thread.join()
    assert found == [thread.ident]


def test_a_callback_sees_context_and_thread_locals_of_its_caller():
    remote = saranwrap.wrap(callees)
    import contextvars

    var = contextvars.ContextVar("var")
    local = threading.local()
    local.value = 5
    var.set("set")
    assert remote.call(lambda: (var.get(), local.value)) == ("set", 5)


def test_a_thread_of_the_child_calls_back():
    remote = saranwrap.wrap(callees)
    assert remote.in_a_thread(lambda x: (x, os.getpid()), 3) == ("returned", (3, os.getpid()))


def test_a_thread_of_the_child_is_given_what_the_callback_raises():
    remote = saranwrap.wrap(callees)
    raised = KeyError("mine")
    kind, error = remote.in_a_thread(functools.partial(callees.raise_, raised))
    assert kind == "raised"
    assert error is raised


# --- exceptions through both ------------------------------------------------------------------------------------------


def test_what_a_callback_raises_is_caught_there():
    remote = saranwrap.wrap(callees)
    assert remote.catch(lambda: [][5]) == ("IndexError", "list index out of range", ("list index out of range",))


def test_what_a_callback_raises_comes_back_as_itself():
    remote = saranwrap.wrap(callees)

    class Local(Exception):
        pass

    raised = Local("only here")

    def callback():
        raise raised

    for act in remote.call, remote.reraise, remote.catch_class:
        args = (Exception,) if act is remote.catch_class else ()
        if args:
            assert act(*args, callback) is raised
        else:
            with pytest.raises(Local) as caught:
                act(callback)
            assert caught.value is raised


def test_the_child_catches_by_the_parent_s_own_class():
    remote = saranwrap.wrap(callees)

    class Local(Exception):
        pass

    def callback():
        raise Local(5)

    assert remote.catch_class(Local, callback).args == (5,)
    assert remote.catch_class(ValueError, lambda: int("x")).args == ("invalid literal for int() with base 10: 'x'",)
    with pytest.raises(Local):
        remote.catch_class(ValueError, callback)


def test_the_child_retries_what_fails():
    remote = saranwrap.wrap(callees)
    attempts = []

    def flaky():
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError(len(attempts))
        return "worked"

    assert remote.retry(flaky, 5) == "worked"
    assert len(attempts) == 3
    assert remote.retry(lambda: int("x"), 2) == "gave up"


def test_an_exception_of_the_child_goes_through_a_callback_with_its_identity():
    remote = saranwrap.wrap(callees)
    caught_here = []

    def callback():
        try:
            remote.divide(1, 0)
        except ZeroDivisionError as error:
            caught_here.append(error)
            raise

    with pytest.raises(ZeroDivisionError) as caught:
        remote.call(callback)
    assert caught.value is caught_here[0]


def test_an_exception_that_the_child_keeps_is_the_same_when_it_comes_again():
    remote = saranwrap.wrap(callees)
    mine = KeyError("mine")
    remote.keep(mine)
    with pytest.raises(KeyError) as caught:
        remote.raise_kept()
    assert caught.value is mine
    assert remote.kept() is mine
    remote.forget()


def test_notes_of_the_child_are_added_to_mine():
    remote = saranwrap.wrap(callees)
    raised = ValueError("mine")
    raised.add_note("before")
    with pytest.raises(ValueError) as caught:
        remote.swallow_and_note(functools.partial(callees.raise_, raised), "from there")
    assert caught.value is raised
    assert raised.__notes__ == ["before", "from there"]


def test_attributes_that_a_callback_s_exception_has_are_seen_there():
    remote = saranwrap.wrap(callees)

    class Local(Exception):
        def __init__(self):
            super().__init__("a")
            self.extra = [1]

    def callback():
        raise Local

    error = remote.catch_class(Exception, callback)
    assert type(error) is Local
    assert error.extra == [1]


def test_raise_from():
    remote = saranwrap.wrap(callees)
    mine, other = KeyError("mine"), ValueError("other")
    with pytest.raises(ValueError) as caught:
        remote.replace(functools.partial(callees.raise_, mine), other)
    assert caught.value is other
    assert other.__cause__ is mine
    assert other.__suppress_context__


def test_raise_within():
    remote = saranwrap.wrap(callees)
    mine, other = KeyError("mine"), ValueError("other")
    with pytest.raises(ValueError) as caught:
        remote.within(functools.partial(callees.raise_, mine), other)
    assert caught.value is other
    assert other.__context__ is mine


def test_everything_about_an_exception_comes_along():
    remote = saranwrap.wrap(callees)
    with pytest.raises(callees.CalleeError) as caught:
        remote.raise_with_everything()
    error = caught.value
    assert (str(error), error.args, error.what, error.code) == ("third (3)", ("third (3)",), "third", 3)
    assert error.extra == [1, {"a": 2}]
    assert error.__notes__ == ["a note", "another"]
    cause = error.__cause__
    assert (type(cause), cause.errno, cause.filename) == (FileNotFoundError, 2, "file")
    assert type(cause.__context__) is KeyError and cause.__context__.args == ("first",)
    assert error.__suppress_context__ and not cause.__suppress_context__


def test_the_context_here_and_the_context_there_are_joined():
    remote = saranwrap.wrap(callees)
    try:
        raise LookupError("here")
    except LookupError as here_:
        with pytest.raises(ZeroDivisionError) as caught:
            remote.divide(1, 0)
        context = here_
    assert caught.value.__context__ is context


def test_an_exception_group():
    remote = saranwrap.wrap(callees)
    with pytest.raises(ExceptionGroup) as caught:
        remote.raise_group()
    matched, rest = caught.value.split(callees.CalleeError)
    assert matched.exceptions[0].exceptions[0].code == 2
    assert [type(e) for e in rest.exceptions] == [ValueError, ExceptionGroup]
    seen = []
    try:
        remote.raise_group()
    except* callees.CalleeError as group:
        seen.append(group.exceptions[0].exceptions[0].what)
    except* (ValueError, KeyError) as group:
        seen.append(len(group.exceptions))
    assert seen == ["two", 2]


def test_a_group_of_mine_goes_through_with_its_members():
    remote = saranwrap.wrap(callees)
    members = [ValueError(1), KeyError(2)]
    raised = ExceptionGroup("mine", members)
    with pytest.raises(ExceptionGroup) as caught:
        remote.reraise(functools.partial(callees.raise_, raised))
    assert caught.value is raised
    assert list(raised.exceptions) == members and raised.exceptions[0] is members[0]


def test_a_class_of_the_child_is_caught_by_the_name_it_has_there(tmp_path, monkeypatch):
    (tmp_path / "only_there.py").write_text("class Odd(LookupError): pass\ndef fail(): raise Odd('x', 1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    p = saranwrap.wrap_module("only_there")
    with pytest.raises(p.Odd) as caught:
        p.fail()
    assert isinstance(caught.value, LookupError)
    assert caught.value.args == ("x", 1)
    assert type(caught.value).__name__ == "Odd"
    with pytest.raises(p.Odd, match="mine"):
        raise p.Odd("mine")


def test_every_exception_is_survived():
    remote = saranwrap.wrap(callees)
    for name in callees.raise_kind(None):
        try:
            remote.raise_kind(name)
        except BaseException as error:
            raised = error
        assert isinstance(raised, BaseException), name
        # It can be shown, whatever it is, unless it would not let itself be shown at home either.
        with contextlib.suppress(RuntimeError):
            traceback.format_exception(raised)
        assert remote.divide(6, 3) == 2, name
        del raised


@pytest.mark.parametrize("name", callees.raise_kind(None))
def test_an_exception_of_any_kind_is_what_it_is_here(name):
    remote = saranwrap.wrap(callees)
    expected = raised = None
    try:
        callees.raise_kind(name)
    except BaseException as error:
        expected = error
    try:
        remote.raise_kind(name)
    except BaseException as error:
        raised = error
    assert type(raised).__name__ == type(expected).__name__
    if name != "local":
        assert type(raised) is type(expected)
    if name not in {"bad args property", "strange", "group", "base group"}:
        assert raised.args == expected.args
    # The texts of those are made of the `repr` of proxies; and one has no text.
    if name not in {"strange", "key", "bad args property", "bad text"}:
        assert str(raised) == str(expected)
    assert remote.divide(6, 3) == 2


# A plain `StopIteration` ends an iteration: it is taken for a value, of which nobody asks which one it is.
@pytest.mark.parametrize("name", [name for name in callees.raise_kind(None) if name != "stop"])
def test_an_exception_of_any_kind_goes_through_the_child_as_itself(name):
    """Raised here in a callback; the child sees it pass, and handles it."""
    remote = saranwrap.wrap(callees)
    raised = None

    def callback():
        nonlocal raised
        try:
            callees.raise_kind(name)
        except BaseException as error:
            raised = error
            raise

    caught = None
    try:
        remote.reraise(callback)
    except BaseException as error:
        caught = error
    assert caught is raised
    assert remote.divide(6, 3) == 2


def test_an_exception_that_is_not_raised_can_be_given_and_looked_at():
    remote = saranwrap.wrap(callees)
    for error in ValueError("v"), KeyError(), callees.CalleeError("w", 1), ExceptionGroup("g", [ValueError()]):
        assert remote.call(lambda e, same=error: e is same, error) is True
        assert remote.call(str, error) == str(error)


# --- tracebacks -------------------------------------------------------------------------------------------------------


def lines(error):
    return [(frame.name, frame.line) for frame in traceback.extract_tb(error.__traceback__)]


def test_the_traceback_goes_on_in_the_child():
    remote = saranwrap.wrap(callees)
    with pytest.raises(ZeroDivisionError) as caught:
        remote.divide(1, 0)
    found = lines(caught.value)
    assert found[-1] == ("divide", "return a / b")
    names = [name for name, _ in found]
    assert names.index("test_the_traceback_goes_on_in_the_child") < names.index("divide")
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename == callees.__file__
    assert last.lineno == callees.divide.__code__.co_firstlineno + 1


def test_the_printed_traceback_has_the_carets_of_the_child():
    remote = saranwrap.wrap(callees)
    with pytest.raises(ZeroDivisionError) as caught:
        remote.divide(1, 0)
    text = "".join(traceback.format_exception(caught.value))
    assert "    return a / b\n           ~~^~~\n" in text
    assert text.endswith("ZeroDivisionError: division by zero\n")


def test_the_traceback_shows_both_sides_in_turn():
    remote = saranwrap.wrap(callees)

    def callback():
        return remote.divide(1, 0)

    with pytest.raises(ZeroDivisionError) as caught:
        remote.deep(3, callback)
    names = [name for name, _ in lines(caught.value)]
    order = ["test_the_traceback_shows_both_sides_in_turn", "deep", "deep", "deep", "deep", "callback", "divide"]
    assert [name for name in names if name in order] == order


def test_the_traceback_shows_nothing_of_ours_in_the_child():
    remote = saranwrap.wrap(callees)
    with pytest.raises(ZeroDivisionError) as caught:
        remote.divide(1, 0)
    names = [name for name, _ in lines(caught.value)]
    after = names[names.index("test_the_traceback_shows_nothing_of_ours_in_the_child") + 1 :]
    package = os.path.dirname(saranwrap.__file__)
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert after[-1] == "divide"
    assert files.count(callees.__file__) == 1
    assert len([file for file in files if file.startswith(package)]) <= 2


def test_the_causes_of_an_exception_are_printed_with_their_lines():
    remote = saranwrap.wrap(callees)
    with pytest.raises(callees.CalleeError) as caught:
        remote.raise_with_everything()
    text = "".join(traceback.format_exception(caught.value))
    parts = [
        'raise KeyError("first")', "KeyError: 'first'", "During handling", 'raise OSError(2, "second", "file")',
        "FileNotFoundError: [Errno 2] second: 'file'", "direct cause", "raise third from error",
        "CalleeError: third (3)", "\na note\n", "\nanother\n",
    ]  # fmt: skip
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_a_group_is_printed_as_a_group():
    remote = saranwrap.wrap(callees)
    with pytest.raises(ExceptionGroup) as caught:
        remote.raise_group()
    text = "".join(traceback.format_exception(caught.value))
    assert "| ExceptionGroup: several (2 sub-exceptions)" in text
    assert "| tests.callees.CalleeError: two (2)" in text


def test_the_child_prints_the_parent_s_frames():
    child = saranwrap.Child()

    def failing():
        return {}["missing"]

    try:
        failing()
    except KeyError as error:
        text = "".join(child.wrap(traceback).format_exception(error))
    assert 'return {}["missing"]' in text
    assert "KeyError: 'missing'" in text


def test_the_same_exception_raised_again_has_the_traceback_of_its_last_way():
    remote = saranwrap.wrap(callees)
    mine = KeyError("mine")
    for _ in range(3):
        with pytest.raises(KeyError):
            remote.call(functools.partial(callees.raise_, mine))
    names = [name for name, _ in lines(mine)]
    assert names.count("raise_") <= 3
    assert names[-1] == "raise_"


def test_an_exception_of_the_child_does_not_keep_the_callers_alive():
    class Big:
        pass

    def work():
        big = Big()
        p = saranwrap.wrap(callees)
        with contextlib.suppress(ZeroDivisionError):
            p.divide(1, 0)
        return weakref.ref(big), saranwrap.getpid(p)

    gone, _ = work()
    gc.collect()
    assert gone() is None


def test_exceptions_do_not_pile_up():
    child = saranwrap.Child()
    p = child.wrap(callees)
    for number in range(300):
        with contextlib.suppress(ZeroDivisionError):
            p.divide(number, 0)
        with contextlib.suppress(KeyError):
            p.call(functools.partial(callees.raise_, KeyError(number)))
    gc.collect()
    # Exceptions with tracebacks are cycles: how many wait for the child's collector depends on when it last ran.
    child.wrap_module("gc").collect()
    assert child.status()["object_count"] < 10
    assert child._session.counts()[0] < 10


# --- deriving ---------------------------------------------------------------------------------------------------------


def test_deriving_from_a_parser():
    child = saranwrap.Child()
    p = child.wrap(html.parser)

    class Links(p.HTMLParser):
        def __init__(self):
            super().__init__()
            self.found = []

        def handle_starttag(self, tag, attrs):
            self.found.append((tag, dict(attrs).get("href")))

        def handle_data(self, data):
            self.found.append((os.getpid(), data))

    links = Links()
    links.feed('<p>one <a href="x">two</a>')
    links.close()
    me = os.getpid()
    assert links.found == [("p", None), (me, "one "), ("a", "x"), (me, "two")]
    assert isinstance(links, p.HTMLParser)
    assert links.getpos() == (1, 26)


def test_deriving_from_an_encoder():
    child = saranwrap.Child()
    p = child.wrap(json)

    class Encoder(p.JSONEncoder):
        def default(self, o):
            return sorted(o) if isinstance(o, set) else super().default(o)

    assert p.dumps({"a": {3, 1}}, cls=Encoder) == '{"a": [1, 3]}'
    assert Encoder(indent=1).encode([1]) == "[\n 1\n]"
    with pytest.raises(TypeError, match="not JSON serializable"):
        p.dumps(1j, cls=Encoder)


def test_deriving_from_a_thread():
    child = saranwrap.Child()
    p = child.wrap(threading)
    done = []

    class Worker(p.Thread):
        def run(self):
            done.append(os.getpid())

    worker = Worker(name="mine")
    assert worker.name == "mine"
    worker.start()
    worker.join()
    assert done == [os.getpid()]
    assert not worker.is_alive()


def test_deriving_from_a_user_dict():
    child = saranwrap.Child()
    p = child.wrap(collections)

    class Upper(p.UserDict):
        def __setitem__(self, key, value):
            super().__setitem__(key.upper(), value)

        def __missing__(self, key):
            return key * 2

    d = Upper(a=1)
    d.update(b=2)
    d["c"] = 3
    assert dict(d) == {"A": 1, "B": 2, "C": 3}
    assert d["zz"] == "zzzz"
    assert "A" in d and len(d) == 3


def test_what_is_overridden_here_is_found_there():
    remote = saranwrap.wrap(callees)

    class Derived(remote.Base):
        def step(self, n):
            return n * 10, os.getpid()

        def size(self):
            return super().size() + 1

    derived = Derived()
    assert derived.run() == [(n * 10, os.getpid()) for n in range(3)]
    assert len(derived) == 6
    assert remote.call(len, derived) == 6
    assert remote.call(remote.Base.run, derived) == derived.run()


def test_what_an_overridden_method_raises_goes_through_the_child():
    remote = saranwrap.wrap(callees)
    raised = KeyError("from step")

    class Derived(remote.Base):
        def step(self, n):
            raise raised

    with pytest.raises(KeyError) as caught:
        Derived().run()
    assert caught.value is raised
    assert "run" in [name for name, _ in lines(raised)]


def test_deriving_in_two_steps():
    remote = saranwrap.wrap(callees)

    class First(remote.Base):
        def step(self, n):
            return "first"

    class Second(First):
        def step(self, n):
            return super().step(n) + " second"

    assert Second().run() == ["first second"] * 3
    assert issubclass(Second, remote.Base) and isinstance(Second(), First)


def test_an_instance_of_a_derived_class_is_the_same_on_its_way():
    remote = saranwrap.wrap(callees)

    class Derived(remote.Base):
        pass

    derived = Derived()
    derived.mine = [1]
    remote.keep(derived)
    assert remote.kept() is derived
    assert derived.mine == [1]
    assert remote.call(lambda d: d is derived, derived)
    remote.forget()


def test_an_instance_of_a_derived_class_does_not_keep_the_child():
    p = saranwrap.wrap(callees)
    pid = saranwrap.getpid(p)

    class Derived(p.Base):
        def step(self, n):
            return n

    assert Derived().run() == [0, 1, 2]
    del p, Derived
    gc.collect()
    assert pid  # The janitor sees whether the child has ended.


# --- arguments that are changed ---------------------------------------------------------------------------------------


def test_a_callback_changes_what_the_child_lent_it():
    remote = saranwrap.wrap(callees)

    def change(items):
        items.append("mine")
        return len(items)

    mine = [1]
    assert remote.call(change, mine) == 2
    assert mine == [1, "mine"]


def test_both_sides_change_the_same_list_in_turn():
    child = saranwrap.Child()
    p = child.wrap(callees)
    extend = child.wrap(operator).iadd
    mine = [0]

    def down(bounce, left):
        extend(mine, [("there", left)])
        mine.append(("here", left))
        return bounce(down, left - 1) if left else list(mine)

    seen = p.bounce(down, 2)
    assert mine == [0, ("there", 2), ("here", 2), ("there", 1), ("here", 1), ("there", 0), ("here", 0)]
    assert seen == mine


def test_what_was_changed_before_the_exception_is_put_back():
    child = saranwrap.Child()
    p = child.wrap(callees)
    mine = {"a": 1}

    def fail(d):
        d["b"] = 2
        raise KeyError

    with pytest.raises(KeyError):
        p.call(fail, mine)
    assert mine == {"a": 1, "b": 2}
    heap = [3, "x"]
    with pytest.raises(TypeError):
        child.wrap_module("heapq").heappush(heap, 1)
        child.wrap_module("heapq").heapify(heap)


def test_every_kind_of_container_is_put_back():
    child = saranwrap.Child()
    p = child.wrap(operator)
    items, table, group, data = [1, 2, 3], {"a": 1}, {1, 2}, bytearray(b"abc")
    p.delitem(items, 0)
    p.setitem(table, "b", items)
    p.ior(group, {5})
    p.setitem(data, slice(0, 1), b"zz")
    assert items == [2, 3]
    assert table == {"a": 1, "b": [2, 3]} and table["b"] is items
    assert group == {1, 2, 5}
    assert data == bytearray(b"zzbc")


def test_aliases_and_cycles_are_kept():
    child = saranwrap.Child()
    p = child.wrap(operator)
    inner = []
    outer = [inner, inner]
    outer.append(outer)
    p.setitem(outer, 0, inner)
    assert outer[0] is outer[1] is inner and outer[2] is outer
    p.iadd(inner, [1])
    assert outer[0] == [1]


def test_a_dict_keeps_its_order_and_its_keys():
    child = saranwrap.Child()

    class Key:
        pass

    key = Key()
    mine = {"b": 1, key: 2, "a": 3}
    child.wrap(operator).setitem(mine, "c", 4)
    assert list(mine) == ["b", key, "a", "c"]
    assert child.wrap(operator).getitem(mine, key) == 2


def test_shuffling_and_sorting_keep_the_items():
    child = saranwrap.Child()
    mine = [object() for _ in range(20)]
    before = list(mine)
    child.wrap_module("random").shuffle(mine)
    assert sorted(map(id, mine)) == sorted(map(id, before))
    numbers = [3, 1, 2]
    child.wrap(operator).methodcaller("sort", key=lambda n: -n)(numbers)
    assert numbers == [3, 2, 1]


def test_readinto_fills_a_bytearray():
    child = saranwrap.Child()
    mine = bytearray(5)
    assert child.wrap(io).BytesIO(b"abc").readinto(mine) == 3
    assert mine == bytearray(b"abc\0\0")


def test_a_list_as_the_result_of_a_callback_is_lent():
    remote = saranwrap.wrap(callees)
    mine = [1]

    def give():
        return mine

    assert remote.call(give) is mine


def test_a_list_that_is_changed_by_another_thread_meanwhile_is_not_lost():
    remote = saranwrap.wrap(callees)
    mine = [1]

    def callback(items):
        thread = threading.Thread(target=mine.append, args=("meanwhile",))
        thread.start()
        thread.join()

    remote.call(callback, mine)
    assert mine == [1, "meanwhile"]


def test_an_iterator_that_enters_its_own_reader_again_and_ends():
    """The reader, which is C code, lets go of the iterator while that is being asked."""
    remote = saranwrap.wrap(itertools)

    class Reentering:
        count = 0

        def __iter__(self):
            return self

        def __next__(self):
            if self.count >= 2:
                raise StopIteration
            self.count += 1
            return next(pairs, None) if self.count == 1 else [self.count]

    pairs = remote.pairwise(Reentering())
    assert list(pairs) == []
    assert list(remote.repeat(1, 2)) == [1, 1]


LETTING_GO = """
import io, sys, saranwrap
from tests import callees

remote = saranwrap.wrap(callees)
holders = []


def answer(name):
    if name == "seekable" and holders:
        holders.pop().detach()
    return False if name == "closed" else list


def clear(name):
    holders.clear()


text = io.TextIOWrapper(remote.Asking(answer))
holders = [text]
print(text.seekable())

holders = [remote.Asking(clear)]
print(repr(holders))

if sys.version_info >= (3, 12):
    holders = [remote.Asking(clear)]
    try:
        b"".join(holders)
    except RuntimeError:
        pass
"""


def test_an_object_lives_as_long_as_it_is_asked_for_something():
    """C code that alone holds a proxy asks it for something, and lets go of it meanwhile. What is freed is overwritten here."""
    environment = os.environ | {"PYTHONMALLOC": "debug", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", LETTING_GO], capture_output=True, text=True, env=environment, timeout=50
    )
    assert (done.stdout, done.returncode) == ("[]\n[saran:asked]\n", 0), done.stderr


AT_THE_END = """
import io, sys, saranwrap
from tests import callees

# The interpreter asks it whether it is closed when there are no modules any more.
sys.stdin = io.TextIOWrapper(saranwrap.wrap(callees).Asking(lambda name: False if name == "closed" else list))
sys.stdin.me = sys.stdin
"""


def test_an_object_that_is_asked_for_something_when_the_interpreter_ends():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END], capture_output=True, text=True, env=environment, timeout=50
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_call_that_cannot_be_sent_lends_nothing():
    remote, mine, unsendable = saranwrap.wrap(callees), [1], saranwrap.val(threading.Lock())

    def callback():
        with pytest.raises(TypeError, match="pickle"):
            remote.call(print, mine, unsendable)
        mine.append(2)
        assert remote.pid() != os.getpid()
        remote.call(list.append, mine, 3)
        return tuple(mine)

    assert remote.call(callback) == (1, 2, 3)
    assert mine == [1, 2, 3]


def test_an_answer_that_cannot_be_sent_lends_nothing():
    remote, mine, unsendable = saranwrap.wrap(callees), [1], saranwrap.val(threading.Lock())

    def callback():
        return mine, unsendable

    def twice():
        with pytest.raises(TypeError, match="pickle"):
            remote.call(callback)
        mine.append(2)
        remote.call(list.append, mine, 3)

    remote.call(twice)
    assert mine == [1, 2, 3]


def test_changes_of_which_one_cannot_be_sent_are_all_told_later():
    remote, one, other, unsendable = saranwrap.wrap(callees), [1], [1], saranwrap.val(threading.Lock())

    def callback():
        one.append(2)
        other.append(unsendable)
        with pytest.raises(TypeError, match="pickle"):
            remote.pid()
        other[1] = 3

    assert remote.call_and_show(callback, one, other) == ((1, 2), (1, 3))
    assert (one, other) == ([1, 2], [1, 3])


def test_what_a_call_that_cannot_be_sent_gave_out_is_given_back():
    remote, unsendable = saranwrap.wrap(callees), saranwrap.val(threading.Lock())

    def callback():
        before = remote_session.counts()[0], remote_session.blocks()[0]
        with pytest.raises(TypeError, match="pickle"):
            remote.call(print, object(), [object()], bytes(1 << 20), unsendable)
        return (remote_session.counts()[0], remote_session.blocks()[0]) == before

    remote_session = identity(remote)[0]
    assert remote.call(callback)
    with pytest.raises(TypeError, match="pickle"):
        remote.call(print, object(), bytes(1 << 20), unsendable)
    assert callback()
