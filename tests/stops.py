"""What the tests of deadlines and of concurrency have done in a child: it blocks, works on, catches, calls back and awaits."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import threading
import time

import saranwrap

from tests.portable.coroutines import Meeting as Meeting


def sleeps():
    time.sleep(1000)


def sleeps_for(seconds):
    time.sleep(seconds)


def receives():
    one, other = socket.socketpair()
    with one, other:
        one.recv(1)


def selects():
    one, other = socket.socketpair()
    with one, other:
        select.select([one], [], [])


def acquires():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def waits_for_a_process():
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            process.wait()
        finally:
            process.kill()


def waits_for_an_event():
    threading.Event().wait()


def loops():
    while True:
        pass


BLOCKING = [sleeps, receives, selects, acquires, waits_for_a_process, waits_for_an_event, loops]

# Those that have nothing to close, so that they may be interrupted at any moment.
CARELESS = [sleeps, acquires, waits_for_an_event, loops]

done: list[object] = []


def note(what):
    done.append(what)
    return what


def told():
    return list(done)


def cleans_up(how):
    try:
        time.sleep(1000)
    finally:
        done.append(how())


def stubborn():
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            continue


def gives_in():
    try:
        time.sleep(1000)
    except BaseException as error:
        return note(type(error).__name__)


def notices():
    try:
        time.sleep(1000)
    except BaseException:
        return note(saranwrap.cancelled())


def watches():
    while not saranwrap.cancelled():
        pass
    return note("cancelled")


def cannot_be_interrupted():
    # One step of C that takes minutes and looks at no signal.
    return sum(range(10**12))


def waits_at(gate, began):
    began()
    with open(gate, encoding="ascii") as file:
        return file.read()


def calls(function, *args):
    return function(*args)


def left():
    return saranwrap.timeout.left()


def asks_a_child_of_its_own(step):
    with saranwrap.Child() as child:
        remote = child.wrap_module("tests.stops")
        try:
            remote.sleeps()
        except saranwrap.CallTimeout as error:
            step(error.stopped, remote.note("the grandchild is well"))
            raise


def thread():
    return threading.get_ident()


def is_main():
    return threading.current_thread() is threading.main_thread()


def names(seconds, function, timeout):
    return seconds, function, timeout


barriers: dict[int, threading.Barrier] = {}


def barrier(count):
    barriers[count] = threading.Barrier(count)


def meets(count):
    barriers[count].wait(30)
    return threading.get_ident()


def meets_on_main(count):
    """Whether it is the main thread's call, told once all of them are running: each on a thread of its own."""
    barriers[count].wait(30)
    return is_main()


def forks():
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return pid


def nested(function):
    before = threading.get_ident()
    return before, function(), threading.get_ident()


async def sleeps_as_task():
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        done.append("cancelled")
        raise


async def blocks_the_loop():
    sleeps()


async def calls_from_task(function):
    first = function()
    await asyncio.sleep(0)
    return first, function()


async def fails():
    await asyncio.sleep(0)
    raise LookupError("as told")


async def exits():
    raise SystemExit(3)


async def left_in_task():
    await asyncio.sleep(0)
    return saranwrap.timeout.left()


async def numbers(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def awaits_what_a_callback_awaits(function):
    return function()


def loops_beside_the_main_thread():
    """True at once on the main thread; never on another one."""
    while threading.current_thread() is not threading.main_thread():
        pass
    return True


def leaves_a_thread_that(calls):
    """A thread that is never joined and waits for the parent again and again."""

    def work():
        while True:
            calls()

    threading.Thread(target=work, daemon=True).start()
