"""Whether a child answers, what it does while it does not, and how one that hangs is found."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import saranwrap

from tests.conftest import settled


class Acts:
    """What a child may be busy with."""

    def tell(self, function):
        function()

    def spin(self, function):
        function()
        while True:
            pass

    def sleep(self, function, seconds=600):
        function()
        time.sleep(seconds)

    def hang(self, function=None):
        """A deadlock of one."""
        if function:
            function()
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    def spin_for(self, seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return "done"

    def pid(self):
        return os.getpid()


class During:
    """A call under way in a thread, as the body of a `with` block; the child is killed at the end."""

    def __init__(self, p, act, *args):
        self.p, self.died = p, None
        self.begun = threading.Event()

        def run():
            try:
                act(self.begun.set, *args)
            except saranwrap.ChildDied as died:
                self.died = died

        self.thread = threading.Thread(target=run)

    def __enter__(self):
        self.thread.start()
        assert self.begun.wait(10)
        # The callback has been answered when nothing of it is under way any more.
        assert settled(lambda: saranwrap.state(self.p) != "calling")
        return self

    def __exit__(self, *_):
        saranwrap.kill(self.p)
        self.thread.join(10)
        assert not self.thread.is_alive()


# ---- ping ----


@pytest.mark.usefixtures("every_start")
def test_a_ping_takes_some_time():
    p = saranwrap.wrap(os)
    assert 0 < saranwrap.ping(p) < 60
    assert 0 < saranwrap.ping(p, timeout=30) < 60
    assert 0 < saranwrap.ping(p.environ) < 60
    assert 0 < saranwrap.ping(saranwrap.wrap(dict)) < 60
    with saranwrap.Child() as child:
        assert 0 < saranwrap.ping(child) < 60


def test_a_ping_of_a_child_in_a_long_call_says_what_it_does():
    p = saranwrap.wrap(Acts())
    with During(p, p.sleep):
        with pytest.raises(saranwrap.CallTimeout, match="within 0.01 s: it waits") as caught:
            saranwrap.ping(p, timeout=0.01)
        assert isinstance(caught.value, TimeoutError)
    p = saranwrap.wrap(Acts())
    with During(p, p.spin), pytest.raises(saranwrap.CallTimeout, match="it is busy"):
        saranwrap.ping(p, timeout=0.01)


def test_a_ping_that_was_too_late_leaves_the_link_usable():
    p = saranwrap.wrap(Acts())
    begun, seen = threading.Event(), []
    thread = threading.Thread(target=lambda: seen.append(p.sleep(begun.set, 0.3)))
    thread.start()
    assert begun.wait(10)
    with pytest.raises(saranwrap.CallTimeout):
        saranwrap.ping(p, timeout=0)
    thread.join()
    assert seen == [None]
    assert p.pid() == saranwrap.getpid(p)
    assert saranwrap.ping(p, timeout=30) > 0


def test_a_ping_inside_of_a_callback_is_answered_by_who_waits_for_it():
    p = saranwrap.wrap(Acts())
    seen = []
    p.tell(lambda: seen.append(saranwrap.ping(p, timeout=30)))
    assert seen[0] > 0


def test_a_ping_of_what_has_ended():
    p = saranwrap.wrap(os)
    saranwrap.kill(p)
    with pytest.raises(saranwrap.ChildDied):
        saranwrap.ping(p)
    q = saranwrap.wrap(os)
    saranwrap.close(q)
    with pytest.raises(saranwrap.LinkClosed):
        saranwrap.ping(q)


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf")])
def test_a_timeout_that_is_none_is_refused(timeout):
    with saranwrap.wrapped(os) as p, pytest.raises(ValueError, match="timeout"):
        saranwrap.ping(p, timeout=timeout)


@pytest.mark.parametrize("act", [saranwrap.ping, saranwrap.state])
def test_what_is_no_proxy_is_refused(act):
    with pytest.raises(TypeError, match="expected a proxy, not a 'int' object"):
        act(3)


# ---- state ----


@pytest.mark.usefixtures("every_start")
def test_the_states_of_a_child():
    p = saranwrap.wrap(Acts())
    assert saranwrap.state(p) == "idle"
    seen = []
    p.tell(lambda: seen.append(saranwrap.state(p)))
    assert seen == ["calling"]
    with During(p, p.spin):
        assert settled(lambda: saranwrap.state(p) == "busy")
        os.kill(saranwrap.getpid(p), signal.SIGSTOP)
        assert settled(lambda: saranwrap.state(p) == "stopped")
    assert saranwrap.state(p) == "dead"
    q = saranwrap.wrap(Acts())
    with During(q, q.sleep):
        assert settled(lambda: saranwrap.state(q) == "waiting")
    r = saranwrap.wrap(os)
    saranwrap.close(r)
    assert saranwrap.state(r) == "closed"


def test_to_look_does_not_restart():
    p = saranwrap.wrap(os, restart=saranwrap.Restart())
    pid = saranwrap.getpid(p)
    saranwrap.kill(p)
    assert (saranwrap.state(p), saranwrap.getpid(p)) == ("dead", pid)
    assert saranwrap.ping(p) > 0
    assert saranwrap.getpid(p) != pid


# ---- heartbeat ----


@pytest.mark.usefixtures("every_start")
def test_a_child_that_hangs_is_killed_and_says_where_it_hung(capfd):
    deaths = []
    p = saranwrap.wrap(Acts(), deaths.append, heartbeat=0.2)
    with pytest.raises(saranwrap.ChildDied, match=r"it hung: no thread of it ran for 0\.2 s in a call") as caught:
        p.hang()
    assert "in hang" in caught.value.last_words
    assert settled(lambda: [death.pid for death in deaths] == [saranwrap.getpid(p)])
    capfd.readouterr()


def test_one_that_is_stopped_hangs(capfd):
    p = saranwrap.wrap(Acts(), heartbeat=0.2)
    os.kill(saranwrap.getpid(p), signal.SIGSTOP)
    with pytest.raises(saranwrap.ChildDied, match="it hung"):
        p.pid()
    capfd.readouterr()


def test_one_that_is_busy_does_not_hang():
    p = saranwrap.wrap(Acts(), heartbeat=0.1)
    assert p.spin_for(0.6) == "done"


def test_nor_does_one_that_is_idle_or_waits_for_a_callback():
    p = saranwrap.wrap(Acts(), heartbeat=0.05)
    never = threading.Event()
    assert not never.wait(0.3)
    p.tell(lambda: never.wait(0.3))
    assert p.pid() == saranwrap.getpid(p)


def test_one_that_hung_is_replaced(capfd):
    p = saranwrap.wrap(Acts(), heartbeat=0.2, restart=saranwrap.Restart())
    pid = p.pid()
    with pytest.raises(saranwrap.ChildDied, match="it hung"):
        p.hang()
    assert p.pid() != pid
    with pytest.raises(saranwrap.ChildDied, match="it hung"):
        p.hang()
    capfd.readouterr()


def test_the_watch_does_not_keep_the_child():
    p = saranwrap.wrap(os, heartbeat=600)
    pid = saranwrap.getpid(p)
    del p
    assert settled(lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.parametrize("heartbeat", [0, -1, float("nan")])
def test_a_heartbeat_that_is_none_is_refused(heartbeat):
    with pytest.raises(ValueError, match="heartbeat"):
        saranwrap.wrap(os, heartbeat=heartbeat)
