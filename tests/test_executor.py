"""`saranwrap.Executor`: what it promises beyond CPython's own tests."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import traceback
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import pytest
import saranwrap

from tests import pooled

pytestmark = pytest.mark.usefixtures("every_start")


def test_results_are_objects_of_this_process():
    with saranwrap.Executor(1) as executor:
        point = executor.submit(pooled.give_point, 3).result()
        assert type(point) is pooled.Point
        assert point.moved(1) == 4
        words = executor.submit(sorted, ["b", "a"]).result()
        assert type(words) is list


def test_lambdas_and_local_functions_are_sent_by_value():
    pytest.importorskip("cloudpickle")
    factor = 3
    with saranwrap.Executor(1) as executor:
        assert executor.submit(lambda x: factor * x, 5).result() == 15
        assert executor.submit(lambda: lambda: factor).result()() == 3


def test_without_trust_plain_data_comes_and_nothing_else():
    with saranwrap.Executor(1, trust=False) as executor:
        data = executor.submit(dict, a=[1, (2, {3})]).result()
        assert data == {"a": [1, (2, {3})]}
        assert type(data) is dict
        assert type(data["a"]) is list
        with pytest.raises(saranwrap.NotTransparent, match="trust=True"):
            executor.submit(pooled.give_point, 3).result()
        with pytest.raises(ValueError, match="no such thing"):
            executor.submit(pooled.raise_caused).result()
        assert executor.submit(abs, -1).result() == 1


def test_a_death_breaks_the_pool_and_tells_how():
    with saranwrap.Executor(1) as executor:
        first = executor.submit(pooled.die, signal.SIGSEGV)
        second = executor.submit(abs, -1)
        for future in (first, second):
            with pytest.raises(BrokenProcessPool, match="SIGSEGV") as caught:
                future.result()
            assert isinstance(caught.value.__cause__, saranwrap.ChildDied)
            assert caught.value.__cause__.signal == signal.SIGSEGV
        with pytest.raises(BrokenProcessPool, match="SIGSEGV"):
            executor.submit(abs, -1)


def test_a_death_can_be_the_task_s_own():
    with saranwrap.Executor(2, on_death="replace") as executor:
        futures = [executor.submit(pooled.die_if, n) for n in range(6)]
        outcomes = [future.exception() or future.result() for future in futures]
        died = outcomes.pop(3)
        assert outcomes == [0, 1, 2, 4, 5]
        assert isinstance(died, saranwrap.ChildDied)
        assert died.signal == signal.SIGKILL


def test_a_child_that_dies_while_it_has_nothing_to_do_is_replaced():
    with saranwrap.Executor(1) as executor:
        first = executor.submit(os.getpid).result()
        os.kill(first, signal.SIGKILL)
        (runner,) = executor._crew.workers.values()
        assert runner.child._session.wait(10)
        assert executor.submit(os.getpid).result() not in {first, os.getpid()}


def test_an_exception_that_cannot_be_unpickled_arrives_nevertheless():
    with saranwrap.Executor(1) as executor:
        with pytest.raises(pooled.Odd) as caught:
            executor.submit(pooled.raise_odd).result()
        assert (caught.value.args, caught.value.b) == ((1,), 2)
        assert executor.submit(abs, -1).result() == 1


def test_the_cause_has_the_whole_traceback_of_the_child():
    with saranwrap.Executor(1) as executor:
        error = executor.submit(pooled.raise_caused).exception()
    text = "".join(traceback.format_exception(error))
    assert "KeyError: 'key'" in text
    assert "in raise_caused" in text
    assert "_tasks.py" not in text


def test_what_cannot_be_pickled_fails_alone():
    with saranwrap.Executor(1) as executor:
        with pytest.raises(TypeError, match="pickle"):
            executor.submit(abs, threading.Lock()).result()
        with pytest.raises(TypeError, match="pickle"):
            executor.submit(threading.Lock).result()
        assert executor.submit(abs, -1).result() == 1


def test_tasks_run_at_the_same_time(tmp_path):
    with saranwrap.Executor(3) as executor:
        futures = [executor.submit(pooled.meet, tmp_path, name, "abc") for name in "abc"]
        assert len({future.result() for future in as_completed(futures)}) == 3


def test_each_child_is_initialized_once():
    with saranwrap.Executor(1, initializer=pooled.remember, initargs=("ready",)) as executor:
        assert [executor.submit(pooled.remembered).result() for _ in range(2)] == [["ready"]] * 2


def test_an_initializer_that_fails_breaks_the_pool_and_says_why(caplog):
    with saranwrap.Executor(1, initializer=pooled.fail) as executor:
        with pytest.raises(BrokenProcessPool, match="the initializer fails"):
            executor.submit(abs, -1).result()
    assert "Exception in initializer" in caplog.text


def test_children_are_made_as_said(tmp_path):
    with saranwrap.Executor(1, env={"COLOUR": "blue"}, cwd=tmp_path, start="cold") as executor:
        assert executor.submit(os.getcwd).result() == str(tmp_path)
        assert executor.submit(os.getenv, "COLOUR").result() == "blue"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (dict(max_workers=0), ValueError, "greater than 0"),
        (dict(mp_context=get_context("fork")), ValueError, "fork"),
        (dict(initializer=3), TypeError, "callable"),
        (dict(max_tasks_per_child=0), ValueError, ">= 1"),
        (dict(max_tasks_per_child=1.5), TypeError, "integer"),
        (dict(on_death="ignore"), ValueError, "on_death"),
        (dict(cwd="/nowhere"), saranwrap.Refused, "nowhere"),
        (dict(spin=-1), ValueError, "spin"),
    ],
)
def test_a_wrong_argument_is_told_at_once(arguments, error, words):
    with pytest.raises(error, match=words):
        saranwrap.Executor(**arguments)


def test_map_reads_no_more_of_an_endless_iterable_than_its_buffer():
    taken = []

    def numbers():
        while True:
            taken.append(len(taken))
            yield taken[-1]

    with saranwrap.Executor(2) as executor:
        results = executor.map(pooled.double, numbers(), buffersize=4)
        assert [next(results) for _ in range(10)] == list(range(0, 20, 2))
        assert len(taken) <= 14
        with pytest.raises(ValueError, match="buffersize"):
            executor.map(abs, [1], buffersize=0)


def test_workers_can_be_killed_whatever_they_do(tmp_path):
    executor = saranwrap.Executor(1)
    running = executor.submit(pooled.meet, tmp_path, "a", ["never"])
    waiting = executor.submit(abs, -1)
    while not (tmp_path / "a").exists():
        threading.Event().wait(0.001)
    executor.kill_workers()
    assert isinstance(running.exception(), BrokenProcessPool)
    assert waiting.cancelled()
    executor.shutdown()


def test_an_executor_that_nobody_holds_does_its_work_and_ends():
    executor = saranwrap.Executor(2)
    futures = [executor.submit(abs, -n) for n in range(5)]
    workers = list(executor._crew.workers)
    del executor
    gc.collect()
    assert [future.result() for future in futures] == list(range(5))
    for worker in workers:
        worker.join()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_after_a_fork_it_says_whose_it_is():
    with saranwrap.Executor(1) as executor:
        executor.submit(abs, -1).result()
        child = os.fork()
        if child == 0:
            try:
                executor.submit(abs, -1)
            except saranwrap.ForkedProxy:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert executor.submit(abs, -1).result() == 1


def test_code_of_main_is_sent_and_not_run_again(tmp_path):
    pytest.importorskip("cloudpickle")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, saranwrap\n"
        "print('once')\n"
        "class Point:\n"
        "    def __init__(self, x): self.x = x\n"
        "def point(x): return Point(x), os.getpid()\n"
        "with saranwrap.Executor(2) as executor:\n"
        "    made, pid = executor.submit(point, 3).result()\n"
        "    print(type(made) is Point, made.x, pid != os.getpid())\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == ("once\nTrue 3 True\n", "")
