"""A child that died is replaced: what was wrapped goes on, what it had given out does not, and a storm of deaths ends."""

from __future__ import annotations

import collections
import ctypes
import gc
import math
import os
import pickle
import signal
import sys
import textwrap
import threading
import weakref

import pytest
import saranwrap
from saranwrap import Restart

from tests.conftest import settled

pytestmark = pytest.mark.usefixtures("every_start")

Point = collections.namedtuple("Point", "x y")


def die(p, code=3):
    """End the child behind a proxy of `os`, from inside."""
    with pytest.raises(saranwrap.ChildDied) as caught:
        p._exit(code)
    return caught.value


# ---- what goes on ----


def test_what_was_wrapped_goes_on_in_a_new_child():
    p = saranwrap.wrap(os, restart=Restart())
    first = p.getpid()
    died = die(p)
    assert (died.pid, died.returncode, died.restart_in) == (first, 3, 0.0)
    assert p.getpid() == saranwrap.getpid(p) != first
    assert saranwrap.status(p)["restarts"] == 1


def test_the_proxy_and_its_class_stay_the_same():
    p = saranwrap.wrap(os, restart=Restart())
    kind, number, text, proxies = type(p), hash(p), repr(p), {p: "found"}
    die(p)
    assert repr(p) == text
    assert type(p) is kind and hash(p) == number and proxies[p] == "found"
    assert isinstance(p, kind) and isinstance(p, saranwrap.Proxy) and isinstance(p, type(os))
    assert saranwrap.proxied_type(p) is type(os)


def test_every_way_to_use_what_was_wrapped_restarts():
    child = saranwrap.Child(restart=Restart(max=99, backoff=0))
    numbers, system = child.wrap([1, 2]), child.wrap(os)
    uses = [
        lambda: len(numbers) == 2,
        lambda: numbers[0] == 1,
        lambda: numbers == [1, 2],
        lambda: [*numbers] == [1, 2],
        lambda: repr(numbers) == "saran:[1, 2]",
        lambda: "append" in dir(numbers),
        lambda: numbers.append(3) is None and len(numbers) == 3,
        lambda: saranwrap.local(numbers) == [1, 2],
        lambda: saranwrap.status(numbers)["pid"] > 0,
        lambda: saranwrap.ping(numbers) > 0,
        lambda: saranwrap.proxied_type(numbers) is list,
        lambda: child.wrap_module("math").sqrt(4) == 2,
        lambda: child.status()["pid"] == child.pid,
        lambda: system.sep == os.sep,
        lambda: setattr(system, "marked", 1) is None and system.marked == 1,
    ]
    for use in uses:
        pid = child.pid
        die(system)
        assert use()
        assert child.pid != pid
        assert numbers[0] == 1
    child.close()


def test_a_pipeline_goes_through_what_was_wrapped():
    p = saranwrap.wrap(os, restart=Restart())
    die(p)
    with saranwrap.pipeline(p) as q:
        length = q.sep.__len__()
    assert saranwrap.result(length) == 1


def test_objects_start_anew_as_they_were_wrapped():
    with saranwrap.Child(restart=Restart()) as child:
        numbers, system = child.wrap([1]), child.wrap(os)
        numbers.append(2)
        assert numbers == [1, 2]
        die(system)
        assert numbers == [1]


def test_a_death_between_two_uses_is_noticed_before_the_next():
    told = threading.Event()
    p = saranwrap.wrap(os, lambda _: told.set(), restart=Restart())
    pid = p.getpid()
    os.kill(pid, signal.SIGKILL)
    assert told.wait(10)
    assert p.getpid() != pid


def test_the_same_object_of_the_new_child_is_the_same_proxy():
    with saranwrap.Child(restart=Restart()) as child:
        system = child.wrap(os)
        die(system)
        assert system.sep == os.sep
        assert child.wrap_module("importlib").import_module("os") is system
        assert child.wrap(os) is system


def test_a_wrapped_class_goes_on_and_its_instances_are_of_it():
    remote = saranwrap.wrap(collections.Counter, restart=Restart())
    first = remote("aab")
    saranwrap.kill(remote)
    second = remote("b")
    assert second["b"] == 1 and type(second) is remote and isinstance(second, remote)
    assert isinstance(first, remote)
    with pytest.raises(saranwrap.StaleProxy):
        first["a"]


def test_a_class_that_comes_again_is_the_class_that_it_was():
    p = saranwrap.wrap(textwrap, restart=Restart())
    wrapper = p.TextWrapper
    saranwrap.kill(p)
    assert p.TextWrapper is wrapper
    assert isinstance(p.TextWrapper(), wrapper)
    assert wrapper(width=4).wrap("one two") == ["one", "two"]


def test_an_exception_of_the_new_child_is_caught_by_the_class_of_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "fails_there.py").write_text("class Failure(Exception): pass\ndef fail(): raise Failure('so')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    p = saranwrap.wrap_module("fails_there", restart=Restart())
    failure = p.Failure
    saranwrap.kill(p)
    with pytest.raises(failure, match="so"):
        p.fail()


def test_a_stand_in_with_a_value_goes_on():
    p = saranwrap.wrap(Point(1, 2), restart=Restart())
    kind = type(p)
    saranwrap.kill(p)
    assert p._replace(x=5) == (5, 2)
    assert type(p) is kind and p == (1, 2)


def test_new_code_on_the_disk_is_what_the_new_child_runs(tmp_path, monkeypatch):
    module = tmp_path / "changes.py"
    module.write_text("class Thing:\n    def __len__(self): return 1\ndef make(): return Thing()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    p = saranwrap.wrap_module("changes", restart=Restart())
    old = type(p.make())
    assert len(p.make()) == 1
    saranwrap.kill(p)
    module.write_text(
        "class Thing:\n    def __len__(self): return 2\n    def __contains__(self, x): return True\ndef make(): return Thing()\n# longer\n"
    )
    assert len(p.make()) == 2 and 7 in p.make()
    assert type(p.make()) is old


def test_the_settings_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("MARK", "here")
    p = saranwrap.wrap(
        os, cwd=tmp_path, env={**os.environ, "MARK": "there"}, trust=True, spin=0, by_value=(Point,), restart=Restart()
    )
    die(p)
    assert (p.getcwd(), p.environ["MARK"]) == (str(tmp_path), "there")
    assert saranwrap.local(p.stat_result(range(10))) == os.stat_result(range(10))


# ---- what does not ----


def test_other_objects_are_stale_and_say_what_was_asked_and_who_died_of_what():
    p = saranwrap.wrap(collections, restart=Restart())
    first = p.deque([1])
    pid = saranwrap.getpid(p)
    saranwrap.kill(p)
    for use in (lambda: first[0], lambda: first.append(1), lambda: first.maxlen, lambda: [*first], lambda: len(first)):
        with pytest.raises(saranwrap.StaleProxy, match=rf"collections\.deque object.*pid {pid}.*SIGKILL") as caught:
            use()
        assert caught.value.pid == pid
        assert caught.value.death.signal == signal.SIGKILL
        assert not isinstance(caught.value, saranwrap.ChildDied)
    assert p.deque([1])[0] == 1
    with pytest.raises(saranwrap.StaleProxy):
        first[0]
    assert repr(pickle.loads(pickle.dumps(caught.value))) == repr(caught.value)


def test_a_stale_object_cannot_be_given_to_the_new_child_unnoticed():
    p = saranwrap.wrap(collections, restart=Restart())
    first = p.deque([1])
    saranwrap.kill(p)
    with pytest.raises(saranwrap.StaleProxy):
        p.deque(first)


def test_the_call_that_was_under_way_is_not_made_again(tmp_path):
    log = tmp_path / "log"
    p = saranwrap.wrap(Worker(log), restart=Restart())
    with pytest.raises(saranwrap.ChildDied):
        p.work_and_die()
    assert log.read_text() == "worked\n"
    assert p.count() == 1


def test_it_is_made_again_where_the_user_said_so(tmp_path):
    log = tmp_path / "log"
    p = saranwrap.wrap(Worker(log), restart=Restart(max=99, retry=2, backoff=0))
    # Not within the assertion: there pytest fetches the method and calls it later, which are two acts.
    made = p.die_until(3)
    assert made == 3
    assert p.count() == 3
    with pytest.raises(saranwrap.ChildDied) as caught:
        p.die_until(99)
    assert not isinstance(caught.value, saranwrap.TooManyRestarts)


class Worker:
    def __init__(self, log):
        self.log = log

    def _worked(self):
        with open(self.log, "a", encoding="ascii") as file:
            file.write("worked\n")

    def work_and_die(self):
        self._worked()
        os._exit(1)

    def die_until(self, count):
        self._worked()
        if self.count() < count:
            os._exit(1)
        return count

    def count(self):
        return len(self.log.read_text().splitlines())


def test_a_closed_child_stays_closed():
    p = saranwrap.wrap(os, restart=Restart())
    die(p)
    assert p.sep == os.sep
    saranwrap.close(p)
    with pytest.raises(saranwrap.LinkClosed):
        p.getpid()
    with saranwrap.wrapped(os, restart=Restart()) as q:
        die(q)
        assert q.sep == os.sep
    with pytest.raises(saranwrap.LinkClosed):
        q.getpid()


def test_a_child_that_died_and_is_closed_stays_dead():
    p = saranwrap.wrap(os, restart=Restart())
    died = die(p)
    saranwrap.close(p)
    with pytest.raises((saranwrap.ChildDied, saranwrap.LinkClosed)):
        p.getpid()
    assert died.restart_in == 0.0


def test_without_restart_nothing_has_changed():
    p = saranwrap.wrap(os)
    died = die(p)
    assert died.restart_in is None
    with pytest.raises(saranwrap.ChildDied):
        p.getpid()


def test_an_iterator_does_not_begin_anew():
    with saranwrap.Child(restart=Restart()) as child:
        numbers, system = child.wrap(iter([1, 2, 3])), child.wrap(os)
        assert next(numbers) == 1
        die(system)
        assert system.sep == os.sep
        with pytest.raises(saranwrap.StaleProxy):
            while True:
                next(numbers)


# ---- storms ----


def test_a_storm_ends_with_an_error_that_keeps_the_last_death():
    p = saranwrap.wrap(os, restart=Restart(max=2, within=math.inf, backoff=0))
    for code in (1, 2, 3):
        died = die(p, code)
    assert died.restart_in == math.inf
    for _ in range(2):
        with pytest.raises(saranwrap.TooManyRestarts, match="2 times within") as caught:
            p.getpid()
        assert caught.value.returncode == 3
        assert isinstance(caught.value.__cause__, saranwrap.ChildDied)
        assert isinstance(caught.value, saranwrap.ChildDied)


def test_a_storm_through_a_class():
    remote = saranwrap.wrap(collections.Counter, restart=Restart(max=0))
    saranwrap.kill(remote)
    with pytest.raises(saranwrap.TooManyRestarts):
        remote("aab")
    assert isinstance(remote, saranwrap.Proxy)


def test_a_child_that_dies_when_it_starts_ends_in_the_same_error(tmp_path, monkeypatch):
    module = tmp_path / "dies.py"
    module.write_text("import os\nfrom os import _exit\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    p = saranwrap.wrap_module("dies", restart=Restart(max=3, within=math.inf, backoff=0.001))
    module.write_text("import os\nos._exit(9)\n")
    die(p)
    with pytest.raises(saranwrap.TooManyRestarts) as caught:
        p.sep  # noqa: B018
    assert caught.value.returncode == 9


def test_a_recipe_that_fails_says_why_and_may_work_later(tmp_path, monkeypatch):
    module = tmp_path / "vanishes.py"
    module.write_text("import os\nfrom os import _exit\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    p = saranwrap.wrap_module("vanishes", restart=Restart())
    module.rename(tmp_path / "elsewhere")
    die(p)
    with pytest.raises(ModuleNotFoundError):
        p.os  # noqa: B018
    (tmp_path / "elsewhere").rename(module)
    assert p.os.sep == os.sep


def test_the_wait_before_a_restart_can_be_interrupted():
    p = saranwrap.wrap(os, restart=Restart(max=9, backoff=1e6, longest=1e6))
    die(p)
    died = die(p)
    assert died.restart_in > 1e5
    main = threading.main_thread().ident
    timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        p.getpid()
    timer.join()


def test_a_close_ends_the_wait_before_a_restart():
    p = saranwrap.wrap(os, restart=Restart(max=9, backoff=1e6, longest=1e6))
    die(p)
    die(p)
    seen = []

    def use():
        try:
            p.getpid()
        except saranwrap.SaranwrapError as error:
            seen.append(type(error))

    thread = threading.Thread(target=use)
    thread.start()
    saranwrap.close(p)
    thread.join(10)
    assert not thread.is_alive()
    assert seen[0] in {saranwrap.LinkClosed, saranwrap.ChildDied}


@pytest.mark.parametrize(
    "wrong", [{"max": -1}, {"within": -1}, {"backoff": math.nan}, {"max_calls": 0}, {"max_memory": 0}, {"recycle": "x"}]
)
def test_what_cannot_be_meant_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Restart(**wrong)


# ---- who is told, who waits ----


def test_the_callback_is_called_at_every_death_and_told_of_the_restart():
    deaths, told = [], threading.Semaphore(0)

    def callback(death):
        deaths.append(death)
        told.release()

    p = saranwrap.wrap(ctypes, callback, restart=Restart(max=2, within=math.inf, backoff=0))
    pids = []
    for _ in range(3):
        pids.append(saranwrap.getpid(p))
        with pytest.raises(saranwrap.ChildDied):
            p.string_at(0)
        assert told.acquire(timeout=10)
        if len(pids) < 3:
            assert p.sizeof(p.c_int) == ctypes.sizeof(ctypes.c_int)
    assert [death.pid for death in deaths] == pids
    assert [death.signal for death in deaths] == [signal.SIGSEGV] * 3
    assert [death.restart_in for death in deaths] == [0.0, 0.0, math.inf]
    assert all("Segmentation fault" in death.last_words for death in deaths)


def test_the_callback_comes_though_the_child_is_replaced_at_once():
    deaths = []
    p = saranwrap.wrap(os, deaths.append, restart=Restart(max=20, backoff=0))
    for _ in range(10):
        die(p)
        assert p.sep == os.sep
    assert settled(lambda: len(deaths) == 10), deaths


def test_many_threads_restart_once():
    p = saranwrap.wrap(os, restart=Restart(max=1))
    pid = p.getpid()
    begun, seen = threading.Barrier(9), collections.Counter()

    def use():
        pids = {p.getpid()}
        begun.wait()
        while len(pids) < 2:
            try:
                pids.add(p.getpid())
            except saranwrap.ChildDied:
                seen["died"] += 1
        seen["done"] += 1

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait()
    os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join(60)
    assert seen["done"] == 8
    assert seen["died"] <= 8
    assert saranwrap.status(p)["restarts"] == 1


def test_a_callback_may_use_what_was_wrapped_while_its_call_dies():
    p = saranwrap.wrap(Calls(), restart=Restart())
    pids = []

    def callback():
        os.kill(saranwrap.getpid(p), signal.SIGKILL)
        assert settled(lambda: saranwrap.state(p) == "dead")
        pids.append(p.pid())

    with pytest.raises(saranwrap.ChildDied):
        p.call(callback)
    assert pids == [p.pid()]


class Calls:
    def call(self, function, *args):
        return function(*args)

    def pid(self):
        return os.getpid()


def test_after_a_fork_the_new_process_restarts_nothing():
    p = saranwrap.wrap(os, restart=Restart())
    died = die(p)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            p.getpid()
        except saranwrap.ForkedProxy:
            os.write(writing, b"forked")
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        assert file.read() == b"forked"
    os.waitpid(pid, 0)
    assert p.getpid() != died.pid


# ---- nothing is left ----


def test_old_sessions_go_with_their_objects():
    child = saranwrap.Child(restart=Restart(max=99, backoff=0))
    system = child.wrap(os)
    sessions = weakref.WeakSet()
    for _ in range(5):
        sessions.add(child._session)
        stale = system.environ
        die(system)
        assert system.sep == os.sep
    assert len(sessions) >= 1
    del stale
    gc.collect()
    assert settled(lambda: len(sessions) == 0)
    child.close()


def test_the_child_ends_with_the_last_proxy():
    p = saranwrap.wrap(os, restart=Restart())
    die(p)
    pid = p.getpid()
    del p
    gc.collect()
    assert settled(lambda: not os.path.exists(f"/proc/{pid}"))


def test_objects_that_nobody_holds_are_not_made_again():
    with saranwrap.Child(restart=Restart()) as child:
        system = child.wrap(os)
        for number in range(50):
            child.wrap([number])
        gc.collect()
        child.wrap([])
        assert len(child._supervisor._objects) <= 2
        before = saranwrap.status(system)["object_count"]
        die(system)
        assert saranwrap.status(system)["object_count"] <= before + 1


# ---- recycling ----


def test_a_child_is_recycled_after_so_many_calls():
    deaths = []
    p = saranwrap.wrap(os, deaths.append, restart=Restart(max=0, max_calls=50))
    pids = [p.getpid() for _ in range(200)]
    assert 3 <= len(set(pids)) <= 9
    assert pids == sorted(pids, key=pids.index)
    assert deaths == []
    assert saranwrap.status(p)["restarts"] == len(set(pids)) - 1


def test_a_child_is_recycled_when_it_has_grown():
    p = saranwrap.wrap(Hoarder(), restart=Restart(max_memory=120 << 20))
    pid = p.pid()
    p.hoard(200 << 20)
    assert settled(lambda: p.pid() != pid)
    assert saranwrap.status(p)["memory"] < 120 << 20


class Hoarder:
    def hoard(self, size):
        self.hoarded = b"x" * size

    def pid(self):
        return os.getpid()


def test_it_is_not_while_an_object_is_held():
    p = saranwrap.wrap(collections, restart=Restart(max_calls=10))
    held = p.deque([1])
    pid = saranwrap.getpid(p)
    for _ in range(50):
        assert held[0] == 1
        assert len(p.deque()) == 0
    assert saranwrap.getpid(p) == pid
    del held
    gc.collect()
    assert settled(lambda: p.__name__ == "collections" and saranwrap.getpid(p) != pid)


def test_with_always_it_is_and_the_object_is_stale():
    p = saranwrap.wrap(collections, restart=Restart(max_calls=10, recycle="always"))
    held = p.deque([1])
    pid = saranwrap.getpid(p)
    assert settled(lambda: p.__name__ == "collections" and saranwrap.getpid(p) != pid)
    with pytest.raises(saranwrap.StaleProxy, match=f"pid {pid}.*recycled") as caught:
        held[0]
    assert caught.value.death is None


def test_it_is_not_while_a_call_is_under_way():
    p = saranwrap.wrap(Calls(), restart=Restart(max_calls=3, recycle="always"))
    inside, go_on, seen = threading.Event(), threading.Event(), []

    def callback():
        inside.set()
        return go_on.wait(30)

    thread = threading.Thread(target=lambda: seen.append(p.call(callback)))
    thread.start()
    assert inside.wait(10)
    assert p.call(lambda: [p.pid() for _ in range(20)].count(p.pid())) == 20
    go_on.set()
    thread.join()
    assert seen == [True]


def test_many_threads_go_on_while_the_child_is_recycled():
    p = saranwrap.wrap(os, restart=Restart(max_calls=20))
    pids, wrong = set(), []

    def use():
        try:
            for _ in range(300):
                pids.add(p.getpid())
        except BaseException as error:  # noqa: BLE001  the test says which
            wrong.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert pids


def test_a_recycled_child_ends_in_order(tmp_path):
    log = tmp_path / "log"
    with saranwrap.Child(restart=Restart(max_calls=5)) as child:
        child.wrap(Farewell(log)).arrange()
        system = child.wrap(os)
        pid = child.pid
        gc.collect()
        assert settled(lambda: system.getpid() != pid)
        assert log.read_text() == "bye\n"


class Farewell:
    def __init__(self, log):
        self.log = log

    def arrange(self):
        import atexit

        atexit.register(lambda: self.log.write_text("bye\n"))
