"""`@saranwrap.isolated`: every call of a function in a child."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
import traceback

import pytest
import saranwrap

from tests import pooled

pytestmark = pytest.mark.usefixtures("every_start")


@pytest.fixture(autouse=True)
def no_children_left():
    """The functions of the module would keep their children for the next call."""
    yield
    for function in (pooled.Point.where, pooled.Point.nowhere, *vars(pooled).values()):
        if hasattr(function, "__saran_isolated__"):
            isolation = inspect.getclosurevars(function).nonlocals["isolation"]
            while isolation.idle:
                isolation.idle.pop().close()


def test_a_call_runs_in_a_child_which_is_kept():
    first = pooled.isolated_pid()
    assert first != os.getpid()
    assert pooled.isolated_pid() == first


def test_arguments_and_results_are_copies():
    mine = [1, {"a": (2, 3)}]
    (theirs,), named = pooled.plain(mine, key={4})
    assert theirs == mine
    assert theirs is not mine
    assert type(theirs) is list
    assert named == {"key": {4}}


def test_a_method_takes_a_copy_of_its_object():
    point = pooled.Point(3)
    pid, x = point.where()
    assert pid != os.getpid()
    assert x == 3
    assert pooled.Point.nowhere() != os.getpid()


def test_a_function_that_calls_itself_stays_in_its_child():
    number, pids = pooled.isolated_fib(8)
    assert number == 21
    assert len(pids) == 1


def test_one_that_is_too_slow_is_killed():
    before = pooled.slow(0)
    with pytest.raises(saranwrap.CallTimeout, match=r"slow .* 0\.3 s") as caught:
        pooled.slow(60)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert pooled.slow(0) != before


def test_memory_beyond_the_limit_is_a_memory_error():
    length, pid = pooled.allocate(1000)
    assert length == 1000
    with pytest.raises(MemoryError):
        pooled.allocate(10**9)
    assert pooled.allocate(1000)[1] != pid


def test_a_limit_below_what_an_interpreter_needs_is_refused():
    @saranwrap.isolated(memory=1000)
    def anything():
        return 1

    pytest.importorskip("cloudpickle")
    with pytest.raises(ValueError, match="before it runs anything"):
        anything()


def test_a_crash_is_the_call_s_and_the_next_one_works():
    with pytest.raises(saranwrap.ChildDied, match="SIGABRT"):
        pooled.crash()
    with pytest.raises(saranwrap.ChildDied, match="SIGABRT"):
        pooled.crash()


def test_a_child_for_each_call():
    assert pooled.fresh() != pooled.fresh()


def test_results_that_are_no_plain_data_need_trust():
    with pytest.raises(saranwrap.NotTransparent, match="trust=True"):
        pooled.untrusted_point(3)
    point = pooled.trusted_point(3)
    assert type(point) is pooled.Point
    assert point.x == 3
    with pytest.raises(saranwrap.NotTransparent):
        pooled.numbers()


def test_what_it_raises_has_its_cause_and_traceback():
    with pytest.raises(ValueError, match="no such thing") as caught:
        pooled.raises()
    text = "".join(traceback.format_exception(caught.value))
    assert "KeyError: 'key'" in text
    assert "in raise_caused" in text


def test_threads_have_a_child_each(tmp_path):
    pytest.importorskip("cloudpickle")

    @saranwrap.isolated
    def together(name):
        return pooled.meet(tmp_path, name, "abc")

    pids = []
    threads = [threading.Thread(target=lambda name=name: pids.append(together(name))) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pids)) == 3


def test_it_looks_like_the_function():
    assert pooled.slow.__name__ == "slow"
    assert pooled.slow.__doc__ == "Documented."
    assert str(inspect.signature(pooled.slow)) == "(seconds)"


def generator():
    yield 1


async def coroutine():
    pass


async def asynchronous_generator():
    yield 1


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (generator, "return a list"),
        (coroutine, "asynchronous"),
        (asynchronous_generator, "asynchronous"),
        (pooled.Point, "saranwrap.wrap"),
        (staticmethod(pooled.double), "above"),
        (3, "not a function"),
    ],
)
def test_what_cannot_be_isolated_is_told_at_once(thing, words):
    with pytest.raises(TypeError, match=words):
        saranwrap.isolated(thing)


@pytest.mark.parametrize("name", ["timeout", "memory", "max_tasks_per_child"])
def test_limits_are_above_zero(name):
    with pytest.raises(ValueError, match=name):
        saranwrap.isolated(**{name: 0})


def test_functions_of_main_and_their_recursion(tmp_path):
    pytest.importorskip("cloudpickle")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, saranwrap\n"
        "print('once')\n"
        "offset = 1\n"
        "@saranwrap.isolated(timeout=30)\n"
        "def fact(n): return offset if n == 0 else n * fact(n - 1)\n"
        "print(fact(5))\n"
        "offset = 2\n"
        "print(fact(5))\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == ("once\n120\n240\n", "")
