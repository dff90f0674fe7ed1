"""When objects are released, and when children end."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest
import saranwrap

from tests.conftest import settled

pytestmark = pytest.mark.usefixtures("every_start")


def exists(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        # The latter when it has gone since the file was opened.
        return False


def test_the_seed_s_session():
    s_time = saranwrap.wrap(time)
    timeobj = s_time.gmtime(0)
    assert repr(timeobj) == f"saran:{time.gmtime(0)!r}"
    assert str(timeobj) == str(time.gmtime(0))
    assert timeobj.tm_sec == 0


def test_the_object_lives_in_another_process():
    s_os = saranwrap.wrap(os)
    assert s_os.getpid() == saranwrap.getpid(s_os) != os.getpid()


def test_the_child_ends_when_its_last_proxy_is_gone():
    p = saranwrap.wrap(time)
    pid = saranwrap.getpid(p)
    del p
    gc.collect()
    assert settled(lambda: not exists(pid))


def test_the_child_lives_as_long_as_any_object_of_it():
    p = saranwrap.wrap(time)
    pid = saranwrap.getpid(p)
    moment = p.gmtime(0)
    del p
    gc.collect()
    assert moment.tm_year == 1970
    assert exists(pid)


def test_close_ends_the_child_before_it_returns():
    p = saranwrap.wrap(time)
    pid = saranwrap.getpid(p)
    saranwrap.close(p)
    assert not exists(pid)
    for _ in range(2):
        with pytest.raises(saranwrap.LinkClosed):
            p.time()
    saranwrap.close(p)


def test_wrapped_closes_at_the_end_of_the_block():
    with saranwrap.wrapped(time) as p:
        pid = saranwrap.getpid(p)
        assert p.gmtime(0).tm_year == 1970
    assert not exists(pid)


def test_a_child_holds_several_objects():
    with saranwrap.Child() as child:
        s_os, s_list = child.wrap(os), child.wrap([1, 2])
        assert s_os.getpid() == child.pid == saranwrap.getpid(s_list)
        assert s_list == [1, 2]


def test_objects_are_released_without_a_round_trip():
    with saranwrap.Child() as child:
        make = child.wrap_module("builtins").object
        before = child.status()["object_count"]
        for _ in range(100):
            make()
        gc.collect()
        status = child.status()
        assert status["object_count"] <= before + 1


def test_a_hundred_thousand_objects_leave_nothing():
    with saranwrap.Child() as child:
        make = child.wrap_module("collections").deque
        make()
        gc.collect()
        before = child.status()
        for _ in range(100_000):
            make()
        gc.collect()
        after = child.status()
        assert after["object_count"] == before["object_count"]
        assert after["memory"] - before["memory"] < 8 << 20
        assert child._session.counts()[1] < 100


@pytest.fixture
def shelf():
    """A list in the child, of objects that it keeps."""
    with saranwrap.Child() as child:
        yield child.wrap_module("builtins").eval("[type('Thing', (), {'number': n})() for n in range(20)]")


def test_a_proxy_that_dies_is_not_found_by_what_its_end_brings_about(shelf):
    """Its object is asked for by a callback that runs while it dies, and by a finalizer that runs while it is collected."""
    found = []
    thing = shelf[3]
    watch = weakref.ref(thing, lambda _: found.append(shelf[3]))
    del thing
    assert watch() is None
    assert found[0].number == 3
    assert found.pop() is shelf[3]

    class Last:
        def __init__(self):
            self.thing, self.itself = shelf[5], self

        def __del__(self):
            found.append(shelf[5])

    Last()
    gc.collect()
    assert found[0].number == 5
    assert found[0] is shelf[5]
    # What was saved in this way dies like any other.
    found.clear()
    gc.collect()
    assert shelf[5].number == 5


def test_each_object_has_one_proxy_while_threads_take_and_drop_them(shelf):
    wrong = []

    def take_and_drop(seed):
        chance = random.Random(seed)
        for _ in range(300):
            place = chance.randrange(20)
            one, other = shelf[place], shelf[place]
            if one is not other or one.number != place:
                wrong.append(place)
            if chance.random() < 0.2:
                # It goes when the collector finds it, in any thread.
                cycle = [one]
                cycle.append(cycle)
            if chance.random() < 0.05:
                gc.collect()

    threads = [threading.Thread(target=take_and_drop, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_callbacks_given_to_the_child_are_released_too():
    with saranwrap.Child() as child:
        s_map = child.wrap_module("builtins").map
        for _ in range(50):
            assert list(s_map(lambda x: x + 1, [1, 2])) == [2, 3]
        child.status()
        gc.collect()
        child.status()
        assert child._session.counts()[0] <= 2


def test_status_has_what_the_seed_had():
    p = saranwrap.wrap(time)
    status = saranwrap.status(p)
    assert status["object_count"] >= 1
    assert status["next_id"] > 0
    assert status["pid"] == saranwrap.getpid(p)
    assert status["uptime"] >= 0
    assert status["requests"] >= 1
    assert status["bytes_in"] > 0 and status["bytes_out"] > 0
    assert status["memory"] > 1 << 20


def test_the_child_ends_when_the_parent_exits():
    script = "import saranwrap, time; p = saranwrap.wrap(time); print(saranwrap.getpid(p), flush=True)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    pid = int(done.stdout)
    assert settled(lambda: not exists(pid), 1.0)


@pytest.mark.parametrize("busy", ["None", "p.sleep(60)", "saranwrap.wrap(spin)()"], ids=["idle", "asleep", "looping"])
def test_no_orphan_when_the_parent_is_killed(busy, tmp_path):
    module = tmp_path / "spinner.py"
    module.write_text("def spin():\n    while True: pass\n")
    script = textwrap.dedent(
        f"""
        import os, sys, time, threading
        sys.path.insert(0, {str(tmp_path)!r})
        import saranwrap
        from spinner import spin
        p = saranwrap.wrap(time)
        print(saranwrap.getpid(p), flush=True)
        threading.Thread(target=lambda: {busy}, daemon=True).start()
        sys.stdin.read()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert settled(lambda: not exists(pid), 1.0)


def test_exit_is_silent_with_proxies_in_globals_and_cycles():
    script = textwrap.dedent(
        """
        import saranwrap, time, os
        p = saranwrap.wrap(time)
        q = p.gmtime(0)
        class Holder: pass
        h = Holder(); h.me = h; h.p = saranwrap.wrap(os)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == ("", "")


def test_output_of_the_child_is_the_parent_s(capfd):
    with saranwrap.Child() as child:
        child.wrap_module("builtins").print("from the child")
        child.wrap_module("os").write(1, b"from C\n")
        child.wrap_module("os").write(2, b"to stderr\n")
    out, err = capfd.readouterr()
    assert out == "from the child\nfrom C\n"
    assert err == "to stderr\n"


def test_reading_stdin_in_the_child_does_not_touch_the_link():
    script = "import saranwrap, builtins; p = saranwrap.wrap(builtins); print(p.input(), p.abs(-1))"
    done = subprocess.run([sys.executable, "-c", script], input="a line\n", capture_output=True, text=True, check=True)
    assert done.stdout == "a line 1\n"


def test_sys_exit_in_the_child_is_system_exit_here():
    p = saranwrap.wrap(sys)
    with pytest.raises(SystemExit) as caught:
        p.exit(3)
    assert caught.value.code == 3
    assert p.maxsize == sys.maxsize


@pytest.mark.parametrize("spin", ["auto", 0, 5, 0.5, 1e6])
def test_whoever_waits_may_be_told_how_long_to_look(spin):
    with saranwrap.wrapped(time, spin=spin) as remote:
        assert [remote.gmtime(0).tm_year for _ in range(50)] == [1970] * 50


@pytest.mark.parametrize("spin", ["never", -1, 1e7, None, float("nan"), float("inf")])
def test_a_time_to_look_that_is_none_is_refused_before_anything_starts(spin):
    with pytest.raises(ValueError, match="spin must be"):
        saranwrap.wrap(time, spin=spin)


def test_an_unknown_transport_is_refused(monkeypatch):
    monkeypatch.setenv("SARANWRAP_TRANSPORT", "pigeon")
    with pytest.raises(ValueError, match="no transport"):
        saranwrap.wrap(time)
