"""The portable child: one file of Python, given to whatever interpreter there is, does what the native child does."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import saranwrap

from tests.conftest import settled
from tests.other_pythons import WANTED, version_or_skip

if os.environ.get("SARANWRAP_TRANSPORT") == "stream":
    pytest.skip(
        "the portable child has no other transport, and was tested without being told so", allow_module_level=True
    )

#: What the children load.
PLACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "portable")
AGENT = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "crates", "saranwrap", "src", "agent.py"
)


@pytest.fixture(params=WANTED)
def version(request):
    version_or_skip(request.param)
    return request.param


def program(version):
    return version_or_skip(version).path


@pytest.fixture
def start(version):
    """Starts a child of this interpreter, and closes it after the test."""
    started = []

    def start(**options):
        child = saranwrap.Child(**{"python": program(version), "path": [PLACE], "child": "agent", **options})
        started.append(child)
        return child

    yield start
    for child in started:
        child.close()


@pytest.fixture
def child(start):
    return start()


@pytest.fixture
def things(child):
    return child.wrap_module("things")


def is_old(version):
    return version.endswith("2.7")


# ---- start ----


def test_the_source_is_valid_everywhere(version):
    script = "import sys; compile(open(sys.argv[1]).read(), 'agent.py', 'exec')"
    subprocess.run([program(version), "-c", script, AGENT], check=True, timeout=60)


def test_the_session_of_the_seed(child):
    s_time = child.wrap_module("time")
    timeobj = s_time.gmtime(0)
    assert repr(timeobj).startswith("saran:time.struct_time(tm_year=1970, tm_mon=1, tm_mday=1")
    assert (timeobj.tm_sec, timeobj[0], timeobj.tm_year) == (0, 1970, 1970)


def test_status_says_who_answers(child, version):
    said = child.status()
    assert said["child"] == "agent"
    assert said["implementation"] == ("pypy" if "pypy" in version else "cpython")
    assert said["python"].startswith(version.removeprefix("pypy"))
    assert said["pid"] == child.pid


def test_an_interpreter_of_its_own_keeps_its_own_path(child):
    path = list(child.wrap_module("sys").path)
    assert any(place.endswith("portable") for place in path)
    assert os.path.dirname(os.__file__) not in path or sys.version_info[:2] == tuple(
        child.wrap_module("sys").version_info[:2]
    )


def test_auto_is_the_native_child_where_that_can_be_loaded(version):
    with saranwrap.Child(python=program(version), path=[PLACE]) as child:
        native = not version.startswith("pypy") and tuple(map(int, version.split("."))) >= (3, 11)
        assert child.status()["child"] == ("native" if native else "agent")
        assert child.wrap_module("things").identity(b"\x00\xff" * 100_000) == b"\x00\xff" * 100_000
        if not native:
            with pytest.raises(saranwrap.Refused, match="native child"):
                saranwrap.Child(python=program(version), child="native")


def test_a_portable_child_is_started_cold(start):
    with pytest.raises(saranwrap.Refused, match="cannot start a warm child"):
        start(start="warm")
    with pytest.raises(ValueError, match='"auto", "native" or "agent"'):
        saranwrap.Child(child="other")


def test_one_that_dies_before_it_has_read_is_told_of(tmp_path):
    program = tmp_path / "python"
    # It answers what it is, and does no more.
    program.write_text(
        f'#!/bin/sh\n[ "$4" = "${{4#*def boot}}" ] && [ "$2" = "-S" ] && exec {sys.executable} "$@"\necho gone >&2; exit 3\n'
    )
    program.chmod(0o755)
    with pytest.raises(saranwrap.ChildDied, match="gone") as caught:
        saranwrap.Child(python=program, child="agent")
    assert caught.value.returncode == 3


# ---- operations ----


def test_attributes_items_and_operators(things):
    counter = things.Counter(2)
    assert (counter.count, counter.up(), len(counter), counter[1], counter + 4) == (2, 3, 3, 10, 7)
    counter.count = 5
    assert (counter.count, counter.twice(), bool(counter)) == (5, 13, True)
    assert list(things.Counter(3)) == [0, 10, 20]
    del counter.count
    with pytest.raises(AttributeError):
        counter.count
    with pytest.raises(IndexError):
        things.Counter(1)[5]
    assert things.Counter(1) == things.Counter(1)
    assert things.Counter(1) != things.Counter(2)
    with pytest.raises(TypeError):
        hash(counter)


def test_calls_with_every_kind_of_argument(things):
    counter = things.Counter()
    assert counter(1, "a", x=2, y=3) == ((1, "a"), ["x", "y"]) or counter(1, "a", x=2, y=3)[1] == ["x", "y"]
    assert things.call(max, 3, 4) == 4
    assert things.call(lambda *args, **kwargs: (args, kwargs["k"]), 1, k="v") == ((1,), "v")


def test_classes_are_classes(things):
    assert isinstance(things.Counter(), things.Counter)
    assert issubclass(things.Detailed, things.Error)
    assert things.Counter.start == 1
    things.Counter.start = 2
    assert things.Counter().start == 2
    assert "up" in dir(things.Counter())


def test_a_context_manager(things):
    with things.Counter(1) as counter:
        assert counter.count == 1
    assert counter.count == -1


def test_a_generator(things):
    gives = things.gives(3)
    assert list(gives) == [0, 1, 2]
    assert list(saranwrap.prefetch(things.gives(10), 4)) == list(range(10))


def test_lists_are_read_in_order(things):
    assert list(things.identity(things.change([5] * 5000))) == [5] * 5000 + [5000]


VALUES = [
    None, True, False, 0, -1, 23, 24, 255, 256, 65536, 2**31, 2**32, 2**63, 2**64, -(2**64), -(2**64) - 1, 10**40, 0.5, -2.5e300, 1.5j,
    "", "text", "gr\xfc\xdfe \u4e16", "x" * 100_000, b"\xff\x00", b"\xff" * 100_000, ..., NotImplemented, (), (1, (2, "a")),
    frozenset({1, 2}), slice(1, None, 2), range(0, 10, 3), dt.date(2001, 2, 3), dt.timedelta(1, 2, 3),
    dt.datetime(2001, 2, 3, 4, 5, 6, 7), dt.datetime(2001, 2, 3, tzinfo=dt.timezone.utc),
    decimal.Decimal("1.10"), fractions.Fraction(1, 3), uuid.UUID(int=7), int, str, dict, ValueError,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_a_value_comes_back(value, whole):
    assert whole.identity(value) == value
    assert type(whole.identity(value)) is type(value)


# On each side of what fits into one, two, four and eight bytes; floats of all kinds; and what is no such number among them.
ROWS = [
    *([edge, -edge - 1] * 20 for bits in (7, 15, 31, 63) for edge in ((1 << bits) - 1, 1 << bits)),
    [0.0, -0.0, 0.5, -2.5e300, 5e-324, float("inf"), float("nan")] * 10,
    [*range(40), True],
    [*range(40), None],
    [*range(40), 0.5],
    [0.5] * 40 + [7],
    list(range(20_000)),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]!r} to {row[-1]!r}")
def test_many_numbers_come_back(row, whole):
    there = whole.call(tuple, [row])
    assert repr(there) == repr((row,))
    back = whole.call(lambda given: given[::-1], tuple(row))
    assert [repr(item) for item in back] == [repr(item) for item in row[::-1]]
    whole.call(list.reverse, row)
    assert [repr(item) for item in row] == [repr(item) for item in back]


@pytest.fixture(scope="module", params=WANTED)
def whole(request):
    """One child for many values."""
    child = saranwrap.Child(python=program(request.param), path=[PLACE], child="agent")
    yield child.wrap_module("things")
    child.close()


def test_values_are_made_there_too(child):
    dates = child.wrap_module("datetime")
    assert dates.date(2001, 2, 3) == dt.date(2001, 2, 3)
    assert type(child.wrap_module("decimal").Decimal("1.5") * 2) is decimal.Decimal


# ---- identity, loans ----


def test_what_comes_back_is_itself(things):
    mine, long = object(), "long" * 100
    assert things.identity(mine) is mine
    assert things.identity(long) is long
    there = things.Counter()
    assert things.identity(there) is there
    assert things.identity((mine, there))[0] is mine


def test_a_list_is_changed_in_place(things):
    inner = []
    items = [inner, inner]
    assert things.change(items) is items
    assert items == [[], [], 2]
    assert items[0] is items[1] is inner
    things.call(lambda given: given.append("here"), items)
    assert items[-1] == "here"


def test_cycles_stay_cycles(things):
    items = []
    items.append(items)
    assert things.identity(items) is items
    assert things.change(items)[0] is items
    assert len(items) == 2


def test_every_mutable_kind_is_lent(child):
    operator = child.wrap_module("operator")
    for given, item, value, after in (
        ({"a": 1}, "b", 2, {"a": 1, "b": 2}),
        ([1, 2], 0, 3, [3, 2]),
        (bytearray(b"ab"), 0, 99, bytearray(b"cb")),
    ):
        operator.setitem(given, item, value)
        assert given == after
    mine = {1}
    operator.ior(mine, {2})
    assert mine == {1, 2}


def test_what_the_child_keeps_is_its_own(things, version):
    if "pypy" in version:
        pytest.skip("nothing counts references there, so a list that is kept comes back as the caller's own")
    mine = [1]
    assert things.keep(mine) >= 1
    theirs = things.held()[-1]
    theirs.append(2)
    assert (mine, list(theirs)) == ([1], [1, 2])


# ---- callbacks ----


def test_the_child_uses_objects_of_the_parent(child):
    class Mine:
        factor = 3

        def __len__(self):
            return 4

        def __getitem__(self, item):
            return item * self.factor

        def __eq__(self, other):
            return other == 7

        __hash__ = None

        def __add__(self, other):
            return other + 1

        def __call__(self, x, *, y=0):
            return x + y

    operator, builtins = (
        child.wrap_module("operator"),
        child.wrap_module("__builtin__" if child.status()["python"] < "3" else "builtins"),
    )
    mine = Mine()
    assert builtins.len(mine) == 4
    assert operator.getitem(mine, 2) == 6
    assert operator.add(mine, 1) == 2
    assert operator.eq(mine, 7) is True
    assert operator.ne(mine, 7) is False
    assert builtins.getattr(mine, "factor") == 3
    builtins.setattr(mine, "factor", 5)
    assert mine.factor == 5
    assert builtins.callable(mine)
    assert not builtins.callable(object())
    assert builtins.isinstance(mine, Mine)
    assert builtins.sorted(Mine() for _ in range(0)) == []
    with pytest.raises(TypeError):
        builtins.hash(mine)


def test_calls_nest(things):
    def down(n):
        return n if n == 0 else things.call(down, n - 1) + 1

    assert down(20) == 20


def test_a_generator_of_the_parent_is_read_there(child):
    builtins = child.wrap_module("__builtin__" if child.status()["python"] < "3" else "builtins")
    assert builtins.sum(x * x for x in range(5)) == 30
    assert builtins.sorted({"b": 1, "a": 2}) == ["a", "b"]


def test_threads_of_the_child_call_back(things):
    assert things.from_a_thread(lambda x: x and "called") == "called"
    assert things.from_many_threads(lambda n: things.identity(n) * 2, 8) == [2 * n for n in range(8)]


def test_threads_of_the_parent_do_not_mix(things):
    results = {}

    def work(n):
        results[n] = [things.call(lambda x: x + n, i) for i in range(20)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [i + n for i in range(20)] for n in range(4)}


def test_a_class_derived_here(things):
    class Mine(things.Base):
        def name(self):
            return "mine"

    mine = Mine()
    assert mine.greet() == "hello, mine"
    assert things.identity(mine) is mine
    assert super(Mine, mine).name() == "base"


def test_a_named_tuple_is_a_tuple(things):
    point = things.Point(1, 2)
    assert isinstance(point, tuple)
    assert (point.x, point.y, point[1], point + (3,)) == (1, 2, 2, (1, 2, 3))


# ---- exceptions ----


def test_an_exception_is_the_class_that_it_is(things):
    with pytest.raises(things.Error, match="no luck") as caught:
        things.fails("no luck")
    assert type(caught.value).__name__ == "Error"
    with pytest.raises(things.Detailed) as caught:
        things.Counter().fails
    assert (caught.value.code, str(caught.value)) == (7, "7: no")
    with pytest.raises(ZeroDivisionError):
        things.call(things.Counter.start.__class__.__mro__ and (lambda: 1 // 0))


def test_the_traceback_has_the_frames_of_the_child(things):
    with pytest.raises(things.Error) as caught:
        things.fails("x")
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (os.path.basename(last.filename), last.name) == ("things.py", "fails")
    assert not [frame for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == "<saranwrap>"]


def test_an_exception_of_the_parent_comes_back_as_itself(things):
    raised = ValueError("mine")

    def callback():
        raise raised

    with pytest.raises(ValueError, match="mine") as caught:
        things.deep(3, callback)
    assert caught.value is raised


def test_system_exit_is_an_exception(child, things):
    with pytest.raises(SystemExit):
        child.wrap_module("sys").exit(3)
    assert things.identity(1) == 1


# ---- release ----


def test_objects_are_given_back(child, things):
    before = child.status()["object_count"]
    many = [things.Counter() for _ in range(50)]
    assert child.status()["object_count"] >= before + 50
    del many
    gc.collect()
    things.identity(1)
    assert settled(lambda: child.status()["object_count"] <= before + 2)


def test_callbacks_are_given_back(things):
    class Mine:
        pass

    import weakref

    mine = Mine()
    assert things.type_name(mine)
    reference = weakref.ref(mine)
    del mine

    def is_gone():
        child_gc = things.call(lambda: None)
        return child_gc is None and gc.collect() >= 0 and reference() is None

    assert settled(is_gone)


# ---- life ----


def test_death_is_told_with_its_code(things, child):
    with pytest.raises(saranwrap.ChildDied) as caught:
        things.ends(7)
    assert (caught.value.returncode, caught.value.pid) == (7, child.pid)


def test_a_crash_is_told_with_its_signal(things, version):
    with pytest.raises(saranwrap.ChildDied) as caught:
        things.crashes()
    assert caught.value.signal == signal.SIGSEGV
    if not is_old(version) and "pypy" not in version:
        assert "Segmentation fault" in caught.value.last_words


def test_kill(things, child):
    child.kill()
    with pytest.raises(saranwrap.ChildDied):
        things.identity(1)


def test_the_link_can_be_closed(things, child):
    child.close()
    with pytest.raises(saranwrap.LinkClosed):
        things.identity(1)


def test_a_call_that_takes_too_long_is_interrupted(things):
    with pytest.raises(saranwrap.CallTimeout) as caught, saranwrap.timeout(0.3):
        things.loops()
    assert caught.value.stopped == "interrupted"
    with pytest.raises(saranwrap.CallTimeout) as caught, saranwrap.timeout(0.3):
        things.sleeps(600)
    assert caught.value.stopped == "interrupted"
    assert things.identity(1) == 1


def test_ctrl_c_interrupts_the_call(things):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        things.sleeps(600)
    timer.join()
    assert things.identity(1) == 1


def test_a_callback_that_is_given_up(things):
    def slow():
        time.sleep(0.8)
        return 1

    with pytest.raises(saranwrap.CallTimeout), saranwrap.timeout(0.2):
        things.call(slow)
    assert things.identity(1) == 1


def test_no_orphan_when_the_parent_is_killed(version):
    script = f"""
import sys, time
sys.path[:0] = {sys.path!r}
import saranwrap
child = saranwrap.Child(python={program(version)!r}, child="agent")
print(child.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    assert settled(lambda: not os.path.exists(f"/proc/{pid}"), 5)


def test_processes_of_the_child_end_with_it(child, things):
    pid = things.starts_a_process()
    assert os.path.exists(f"/proc/{pid}")
    child.close()
    assert settled(lambda: not os.path.exists(f"/proc/{pid}"), 5)


def test_a_fork_of_the_child_has_no_part_in_the_link(things):
    assert things.forks() == 0
    assert things.identity(1) == 1


# ---- several calls at once ----


def at_once(count, work):
    """`work(0)` to `work(count - 1)`, each on a thread of its own."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_calls_of_several_threads_overlap(start):
    things = start(concurrency=4).wrap_module("things")
    with saranwrap.timeout(60):
        for _ in range(5):
            meeting = things.Meeting(4)
            # The main thread is one of them.
            assert sorted(at_once(4, lambda _, meeting=meeting: meeting.come())) == [False, False, False, True]


def test_the_calls_of_a_chain_stay_on_their_thread(start):
    things = start(concurrency=3).wrap_module("things")

    def work(_):
        before, between, after = things.nested(things.thread)
        return before == between == after

    with saranwrap.timeout(60):
        assert at_once(6, lambda n: all(work(n) for _ in range(20))) == [True] * 6


def test_calls_on_all_threads_are_interrupted_and_nothing_reaches_the_next_ones(start, version):
    if "pypy" in version:
        pytest.skip("nothing raises an exception in another thread there")
    things = start(concurrency=3).wrap_module("things")

    def work(number):
        for round_ in range(4):
            with pytest.raises(saranwrap.CallTimeout) as caught:
                saranwrap.timeout(0.05).call(things.loops)
            # One that comes while all are busy has not begun by then.
            assert caught.value.stopped in {"interrupted", "cancelled"}
            if [things.identity((number, round_, n)) for n in range(20)] != [(number, round_, n) for n in range(20)]:
                return False
        return True

    assert at_once(3, work) == [True] * 3


def test_a_fork_on_any_thread_has_no_part_in_the_link(start):
    things = start(concurrency=3).wrap_module("things")
    with saranwrap.timeout(60):
        assert at_once(3, lambda _: things.forks()) == [0, 0, 0]
        assert things.identity(1) == 1


@pytest.fixture
def coroutines(start, version):
    """A module of coroutine functions, in a child with an event loop."""
    if is_old(version):
        with pytest.raises(
            saranwrap.Refused, match=r'concurrency="asyncio" in (Python|PyPy) 2\.7\S* \(.*it has no asyncio'
        ):
            start(concurrency="asyncio")
        pytest.skip("there is no asyncio in Python 2")
    return start(concurrency="asyncio").wrap_module("coroutines")


def test_tasks_overlap_and_everything_else_is_served_meanwhile(coroutines):
    meeting = coroutines.Meeting(4)
    with saranwrap.timeout(60), ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(saranwrap.run, meeting.come()) for _ in range(3)]
        while meeting.missing > 1:
            assert len(coroutines.done) == 0
        assert saranwrap.run(meeting.come()) == 0
        assert [each.result() for each in waiting] == [0, 0, 0]


def test_what_a_task_asks_is_served_by_whoever_waits_for_it(coroutines):
    here = threading.get_ident()
    with saranwrap.timeout(60):
        assert saranwrap.run(coroutines.calls_twice(threading.get_ident)) == (here, here)
        numbers = coroutines.numbers(2)
        assert [saranwrap.run(numbers.__anext__()) for _ in range(2)] == [0, 1]
        with pytest.raises(StopAsyncIteration):
            saranwrap.run(numbers.__anext__())
        with pytest.raises(SystemExit):
            saranwrap.run(coroutines.exits())
        assert saranwrap.run(coroutines.calls_twice(threading.get_ident)) == (here, here)


def test_a_task_is_cancelled_and_a_step_of_one_is_interrupted(coroutines):
    with pytest.raises(saranwrap.CallTimeout):
        saranwrap.timeout(0.2).call(saranwrap.run, coroutines.sleeps())
    assert list(coroutines.done) == ["cancelled"]
    with pytest.raises(saranwrap.CallTimeout) as caught:
        saranwrap.timeout(0.2).call(saranwrap.run, coroutines.spins())
    assert caught.value.stopped == "interrupted"
    assert list(coroutines.done) == ["cancelled"]


def test_large_answers_go_while_the_loop_does_other_things(coroutines):
    data = bytes(3_000_000)
    with saranwrap.timeout(60):
        assert at_once(3, lambda _: saranwrap.run(coroutines.asyncio.sleep(0, data)) == data) == [True] * 3


# ---- output, warnings, records ----


def test_what_is_printed_goes_to_the_parent_s_stdout(things, capsys):
    things.says("hello")
    assert capsys.readouterr().out == "hello\n"


def test_output_can_be_captured(start):
    child = start(stdout="capture", stderr="capture")
    child.wrap_module("things").says("kept")
    assert saranwrap.output(child.wrap_module("things")).stdout == "kept\n"


def test_a_warning_is_shown_by_the_parent_s_filters(things):
    with pytest.warns(DeprecationWarning, match="careful"):
        things.warns()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning):
            things.warns()


def test_records_are_handled_here(things, caplog):
    things.logs("that")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("things", "about that")]


# ---- copies, pipelines, more ----


def test_plain_data_is_fetched(things, child):
    remote = things.identity(things.change([1, (2, [3])]))
    assert saranwrap.local(remote) == [1, (2, [3]), 2]
    there = child.wrap({"a": [1, {2}], "b": bytearray(b"x")})
    assert saranwrap.local(there) == {"a": [1, {2}], "b": bytearray(b"x")}
    with pytest.raises(saranwrap.NotTransparent, match="by value"):
        saranwrap.local(child.wrap([1]).__class__ and things.Counter())


def test_a_pipeline(things):
    with saranwrap.pipeline(things) as q:
        counter = q.Counter(3)
        up = counter.up(2)
        total = counter + up
        failed = q.fails("in a step")
        after = q.identity(5)
    assert saranwrap.result(up) == 5
    assert saranwrap.result(total) == 10
    assert saranwrap.result(after) == 5
    with pytest.raises(things.Error, match="in a step"):
        saranwrap.result(failed)


# ---- text and bytes in Python 2 ----


def test_texts_and_bytes(things, version):
    ascii_, unicode_, bytes_, plain = things.texts()
    assert (ascii_, unicode_, bytes_, plain) == ("ascii", "gr\xfc\xdfe", b"\xff\xfe", "ascii")
    kinds = [things.type_name(x) for x in ("a", "\xe4", b"a", b"\xff", 1, 2**70)]
    if is_old(version):
        assert kinds == ["str", "unicode", "str", "str", "int", "long"]
        # What is bytes and a text at once in Python 2 is a text here, unless it is the argument itself.
        assert things.joined(b"a", b"b") == "ab"
        assert things.identity(given := b"bytes" * 20) is given
    else:
        assert kinds == ["str", "str", "bytes", "bytes", "int", "int"]


def test_old_style_classes(things):
    old = things.Old("ann")
    assert (old.greet(), old.name, old.kind, len(old)) == ("I am ann", "ann", "old", 3)
    assert re.search("Old", repr(old))
    assert isinstance(old, things.Old)
    old.name = "eve"
    assert old.greet() == "I am eve"
