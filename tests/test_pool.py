"""`saranwrap.pool` and `saranwrap.map`."""

from __future__ import annotations

import builtins
import gc
import itertools
import math
import os
import signal
import subprocess
import sys
import threading

import pytest
import saranwrap

from tests import pooled

pytestmark = pytest.mark.usefixtures("every_start")


def test_calls_go_to_children():
    with saranwrap.pool(math, 2) as p:
        assert p.gcd(12, 18) == 6
        assert p.pi == math.pi
        with pytest.raises(AttributeError, match="nothing"):
            p.nothing


def test_calls_at_the_same_time_go_to_different_children(tmp_path):
    with saranwrap.pool(pooled, 3) as p:
        pids = list(saranwrap.map(p.meet, itertools.repeat(tmp_path), "abc", itertools.repeat("abc")))
        assert len(set(pids)) == 3
        assert os.getpid() not in pids


def test_a_function_is_called_there():
    with saranwrap.pool(pooled.double, 2) as p:
        assert p(4) == 8
        assert list(saranwrap.map(p, range(5))) == [0, 2, 4, 6, 8]


def test_a_factory_makes_an_object_in_each_child():
    with saranwrap.pool(factory=pooled.make_counter, n=1) as p:
        pid, count = p.up()
        assert (pid == os.getpid(), count) == (False, 1)
        assert p.up(by=5) == (pid, 6)
        assert p.count == 6
        assert p.limit == 10
        assert p.__getitem__("key") == ("key", pid)


def test_each_child_has_a_copy_of_an_object():
    mine = pooled.Point(1)
    with saranwrap.pool(mine, 2) as p:
        assert p.moved(1) == 2
        assert mine.x == 1


def test_map_is_in_order_and_takes_several_iterables():
    with saranwrap.pool(math, 2) as p:
        for chunksize in (1, 3, 100):
            assert list(saranwrap.map(p.pow, range(10), itertools.repeat(2), chunksize=chunksize)) == [
                n * n for n in range(10)
            ]
        assert list(saranwrap.map(p.pow, [], [])) == []


def test_map_out_of_order_has_the_same_results():
    with saranwrap.pool(pooled.double, 2) as p:
        results = list(saranwrap.map(p, range(30), ordered=False, chunksize=4))
        assert sorted(results) == list(range(0, 60, 2))


def test_out_of_order_a_slow_one_holds_up_nobody(tmp_path):
    with saranwrap.pool(pooled, 2) as p:
        results = saranwrap.map(p.meet, [tmp_path] * 2, ["slow", "fast"], [["end"], []], ordered=False)
        fast = next(results)
        (tmp_path / "end").touch()
        assert next(results) != fast


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", [1, 5])
def test_items_are_taken_only_as_far_as_is_asked(ordered, chunksize):
    taken = []

    def endless():
        for n in itertools.count():
            taken.append(threading.get_ident())
            yield n

    with saranwrap.pool(pooled.double, 2) as p:
        results = saranwrap.map(p, endless(), ordered=ordered, chunksize=chunksize, ahead=10)
        assert taken == []
        got = [next(results) for _ in range(20)]
        assert len(got) == 20
        assert len(taken) <= 20 + 10 + chunksize
        assert set(taken) == {threading.get_ident()}


@pytest.mark.parametrize("chunksize", [1, 3])
def test_an_exception_comes_at_its_place(chunksize):
    with saranwrap.pool(pooled.double, 2) as p:
        results = saranwrap.map(p, [1, None, 3, None, 5], chunksize=chunksize)
        assert next(results) == 2
        with pytest.raises(ValueError, match="nothing to double"):
            next(results)
        assert next(results) == 6
        with pytest.raises(ValueError, match="nothing to double"):
            next(results)
        assert list(results) == [10]


def test_what_the_iterable_raises_ends_the_map():
    def broken():
        yield 1
        raise KeyError("broken")

    with saranwrap.pool(pooled.double, 1) as p, pytest.raises(KeyError, match="broken"):
        list(saranwrap.map(p, broken()))


def test_a_dead_child_is_replaced_and_fails_only_its_call():
    with saranwrap.pool(pooled, 2) as p:
        results = saranwrap.map(p.die_if, range(8))
        outcomes = []
        while True:
            try:
                outcomes.append(next(results))
            except StopIteration:
                break
            except saranwrap.ChildDied as died:
                outcomes.append(died.signal)
        assert outcomes == [0, 1, 2, signal.SIGKILL, 4, 5, 6, 7]
        with pytest.raises(saranwrap.ChildDied):
            p.die()
        assert p.double(2) == 4


def test_results_may_be_proxies_of_their_child():
    with saranwrap.pool(builtins, 1) as p:
        words = p.sorted("cab")
        assert isinstance(words, saranwrap.Proxy)
        assert words == ["a", "b", "c"]


def test_progress_is_shown(capsys, monkeypatch):
    tqdm = pytest.importorskip("tqdm").tqdm
    # It would leave a thread that looks after bars that stand still.
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    with saranwrap.pool(pooled.double, 2) as p:
        assert list(saranwrap.map(p, range(5), progress=True)) == [0, 2, 4, 6, 8]
    assert "5/5" in capsys.readouterr().err


def test_without_tqdm_progress_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with saranwrap.pool(pooled.double, 1) as p, pytest.raises(ImportError, match=r"saranwrap\[progress\]"):
        saranwrap.map(p, [], progress=True)


def test_a_closed_pool_says_so():
    p = saranwrap.pool(math, 2)
    assert list(saranwrap.map(p.sqrt, [1, 4])) == [1, 2]
    saranwrap.close(p)
    saranwrap.close(p)
    with pytest.raises(saranwrap.LinkClosed, match="pool"):
        p.sqrt(4)
    with pytest.raises(saranwrap.LinkClosed, match="pool"):
        next(saranwrap.map(p.sqrt, [4]))


def test_closing_wakes_those_who_wait(tmp_path):
    p = saranwrap.pool(pooled, 1)
    seen = []

    def wait():
        try:
            next(saranwrap.map(p.meet, [tmp_path], ["a"], [["never"]]))
        except saranwrap.SaranwrapError as error:
            seen.append(type(error))

    thread = threading.Thread(target=wait)
    thread.start()
    while not (tmp_path / "a").exists():
        threading.Event().wait(0.001)
    saranwrap.close(p)
    thread.join()
    assert seen == [saranwrap.LinkClosed]


def test_a_pool_that_nobody_holds_ends():
    p = saranwrap.pool(pooled.double, 2)
    results = saranwrap.map(p, itertools.count())
    assert next(results) == 0
    threads = list(p.__saran_staff__.threads)
    del p, results
    gc.collect()
    for thread in threads:
        thread.join()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_after_a_fork_it_says_whose_it_is():
    with saranwrap.pool(math, 2) as p:
        assert list(saranwrap.map(p.sqrt, [1, 4])) == [1, 2]
        child = os.fork()
        if child == 0:
            told = 0
            for use in (lambda: p.sqrt(4), lambda: next(saranwrap.map(p.sqrt, [4]))):
                try:
                    use()
                except saranwrap.ForkedProxy:
                    told += 1
            os._exit(told)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        assert p.sqrt(4) == 2


def test_a_pool_has_no_attributes_to_set():
    with saranwrap.pool(math, 1) as p, pytest.raises(AttributeError, match="an object of its own"):
        p.pi = 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (dict(), TypeError),
        (dict(obj=math, factory=dict), TypeError),
        (dict(obj=math, n=0), ValueError),
        (dict(obj=threading.Lock()), saranwrap.Refused),
        (dict(factory=pooled.fail), RuntimeError),
    ],
)
def test_a_wrong_pool_is_told_at_once(arguments, error):
    with pytest.raises(error):
        saranwrap.pool(**arguments)


def test_map_wants_a_pool():
    with pytest.raises(TypeError, match="pool"):
        saranwrap.map(abs, [1])
    with saranwrap.pool(math, 1) as p, pytest.raises(ValueError, match="at least 1"):
        saranwrap.map(p.sqrt, [1], chunksize=0)


def test_the_interpreter_ends_with_a_pool_in_use():
    script = (
        "import itertools, operator, saranwrap\n"
        "p = saranwrap.pool(operator, 2)\n"
        "results = saranwrap.map(p.neg, itertools.count())\n"
        "print(next(results), next(results))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("0 -1\n", "", 0)
