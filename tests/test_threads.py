"""Many threads on one child, interrupted waits, and forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import saranwrap


def in_threads(count, work):
    errors = []

    def run(number):
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_threads_share_one_child():
    with saranwrap.Child() as child:
        s_math = child.wrap_module("math")

        def work(number):
            for i in range(200):
                assert s_math.hypot(3 * number, 4 * number) == 5.0 * number
                assert s_math.gcd(i * 6, 4) in (0, 2, 4, i * 6)

        in_threads(8, work)


def test_a_callback_is_served_on_the_thread_that_waits_for_it():
    with saranwrap.Child() as child:
        s_map = child.wrap_module("builtins").map

        def work(number):
            me = threading.get_ident()
            for _ in range(50):
                assert list(s_map(lambda x: threading.get_ident(), range(3))) == [me] * 3

        in_threads(6, work)


def test_a_callback_may_wait_for_another_thread_s_call():
    """The child serves that call while it waits for the callback, so the two cannot block each other."""
    with saranwrap.Child() as child:
        builtins = child.wrap_module("builtins")

        def callback(x):
            result = []
            thread = threading.Thread(target=lambda: result.append(builtins.abs(-5)))
            thread.start()
            thread.join()
            return result[0]

        assert list(builtins.map(callback, [1])) == [5]


def test_a_thread_of_the_child_may_call_back():
    with saranwrap.Child() as child:
        s_threading = child.wrap_module("threading")
        seen = []
        thread = s_threading.Thread(target=lambda: seen.append(1))
        thread.start()
        thread.join()
        assert seen == [1]


def test_nested_calls_go_as_deep_as_the_interpreter_lets_them():
    with saranwrap.Child() as child:
        apply = child.wrap(family_apply)

        def down(n):
            return 0 if n == 0 else 1 + apply(down, n - 1)

        assert down(50) == 50


def family_apply(function, argument):
    return function(argument)


def test_the_waiting_thread_lets_others_run():
    with saranwrap.Child() as child:
        s_time = child.wrap_module("time")
        ticks = []
        stop = threading.Event()

        def tick():
            while not stop.is_set():
                ticks.append(1)
                time.sleep(0.001)

        thread = threading.Thread(target=tick)
        thread.start()
        s_time.sleep(0.2)
        stop.set()
        thread.join()
        assert len(ticks) > 10


def test_ctrl_c_ends_a_wait_and_leaves_the_link_usable():
    script = textwrap.dedent(
        """
        import os, signal, threading, time, saranwrap
        p = saranwrap.wrap(time)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        try:
            p.sleep(60)
        except KeyboardInterrupt:
            print("interrupted")
        print(p.gmtime(0).tm_year, time.monotonic() - started < 30)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("interrupted\n1970 True\n", "")


def test_ctrl_c_of_the_terminal_does_not_harm_an_idle_child():
    p = saranwrap.wrap(time)
    os.kill(saranwrap.getpid(p), signal.SIGINT)
    assert p.gmtime(0).tm_year == 1970


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_after_fork_the_proxy_says_so_and_the_parent_s_link_stays_whole():
    p = saranwrap.wrap(time)
    moment = p.gmtime(0)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            moment.tm_sec
        except saranwrap.ForkedProxy as error:
            os.write(write, str(error).encode())
        finally:
            del moment, p
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        assert b"forked" in file.read()
    os.waitpid(pid, 0)
    assert moment.tm_year == 1970
    assert p.gmtime(0).tm_year == 1970


def test_a_forked_process_may_wrap_for_itself():
    p = saranwrap.wrap(time)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            q = saranwrap.wrap(time)
            os.write(write, str(q.gmtime(0).tm_year).encode())
            saranwrap.close(q)
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        assert file.read() == b"1970"
    os.waitpid(pid, 0)
    assert p.gmtime(0).tm_year == 1970
