"""The child's fate is its own: how each way of dying is seen, by whoever waits at whatever step."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import threading
import time

import pytest
import saranwrap

pytestmark = pytest.mark.usefixtures("every_start")


def test_a_segfault_says_which_signal_and_where():
    p = saranwrap.wrap(ctypes)
    with pytest.raises(saranwrap.ChildDied) as caught:
        p.string_at(0)
    died = caught.value
    assert died.signal == signal.SIGSEGV
    assert died.returncode == -signal.SIGSEGV
    assert died.pid == saranwrap.getpid(p)
    assert "SIGSEGV" in str(died)
    assert "Fatal Python error: Segmentation fault" in died.last_words
    assert "string_at" in died.last_words


def test_os_exit_says_the_code():
    p = saranwrap.wrap(os)
    with pytest.raises(saranwrap.ChildDied) as caught:
        p._exit(7)
    assert caught.value.returncode == 7
    assert caught.value.signal is None
    assert "7" in str(caught.value)


def test_a_dead_proxy_repeats_the_same_error():
    p = saranwrap.wrap(os)
    texts = set()
    for use in (lambda: p._exit(1), lambda: p.getpid(), lambda: p.sep, lambda: repr(p), lambda: dir(p)):
        with pytest.raises(saranwrap.ChildDied) as caught:
            use()
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_last_words_hold_what_went_to_stderr(capfd):
    p = saranwrap.wrap(os)
    p.write(2, b"my last words\n")
    with pytest.raises(saranwrap.ChildDied) as caught:
        p.abort()
    assert "my last words" in caught.value.last_words
    assert "SIGABRT" in str(caught.value)
    assert "my last words" in capfd.readouterr().err


def test_every_waiter_sees_the_death():
    p = saranwrap.wrap(time)
    seen = []
    started = threading.Barrier(9)

    def wait():
        started.wait()
        try:
            p.sleep(60)
        except saranwrap.ChildDied as died:
            seen.append(died.signal)

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    saranwrap.kill(p)
    for thread in threads:
        thread.join()
    assert seen == [signal.SIGKILL] * 8


def test_dead_callback_runs_once_and_at_once():
    died = []
    called = threading.Event()

    def callback(error):
        died.append(error)
        called.set()

    p = saranwrap.wrap(os, callback)
    os.kill(saranwrap.getpid(p), signal.SIGKILL)
    assert called.wait(10)
    with pytest.raises(saranwrap.ChildDied):
        p.getpid()
    assert [error.signal for error in died] == [signal.SIGKILL]


def test_dead_callback_does_not_run_after_close():
    died = []
    p = saranwrap.wrap(os, died.append)
    saranwrap.close(p)
    gc.collect()
    assert died == []


class Dies:
    """Kills its own process at a chosen step of the walk."""

    step = None

    def __init__(self, step):
        self.step = step

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def __getattr__(self, name):
        if name == self.step:
            self.die()
        raise AttributeError(name)

    def __len__(self):
        self.die()

    def __iter__(self):
        yield 1
        self.die()

    def __repr__(self):
        self.die()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.die()

    def __call__(self, argument=None):
        self.die()

    def calls_back(self, callback):
        callback(self)
        return 1


STEPS = {
    "attribute": lambda p, pid: p.gone,
    "special": lambda p, pid: len(p),
    "iteration": lambda p, pid: list(p),
    "repr": lambda p, pid: repr(p),
    "context": lambda p, pid: p.__enter__().__exit__(None, None, None),
    "call": lambda p, pid: p(),
    "argument": lambda p, pid: p([1, 2, {"a": bytearray(1000)}]),
    "callback": lambda p, pid: p.calls_back(lambda x: os.kill(pid, signal.SIGKILL)),
    "nested": lambda p, pid: p.calls_back(lambda x: x()),
}


@pytest.mark.parametrize("step", STEPS)
def test_death_at_each_step_of_the_walk(step):
    p = saranwrap.wrap(Dies("gone"))
    with pytest.raises(saranwrap.ChildDied) as caught:
        STEPS[step](p, saranwrap.getpid(p))
    assert caught.value.signal == signal.SIGKILL
    with pytest.raises(saranwrap.ChildDied):
        p()


def test_the_parent_goes_on_with_another_child():
    p = saranwrap.wrap(os)
    with pytest.raises(saranwrap.ChildDied):
        p.abort()
    assert saranwrap.wrap(os).getpid() != os.getpid()
