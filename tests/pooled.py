"""What the tests of executors, pools and isolated functions run in children."""

from __future__ import annotations

import os
import signal
import time

import saranwrap

STATE = []
ANSWER = 42


class Point:
    """Has no `==` and no `hash`, so only a pickle brings it over."""

    def __init__(self, x):
        self.x = x

    def moved(self, by):
        self.x += by
        return self.x

    @saranwrap.isolated
    def where(self):
        return os.getpid(), self.x

    @staticmethod
    @saranwrap.isolated
    def nowhere():
        return os.getpid()


class Odd(Exception):
    """Is pickled well, and cannot be unpickled."""

    def __init__(self, a, b):
        super().__init__(a)
        self.b = b


def double(x):
    if x is None:
        raise ValueError("there is nothing to double")
    return 2 * x


def give_point(x):
    return Point(x)


def raise_odd():
    raise Odd(1, 2)


def raise_caused():
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("no such thing") from error


def remember(x):
    STATE.append(x)


def remembered():
    return list(STATE)


def fail():
    raise RuntimeError("the initializer fails")


def die(sign=signal.SIGKILL):
    os.kill(os.getpid(), sign)


def die_if(x):
    if x == 3:
        die()
    return x


def pid():
    return os.getpid()


def meet(directory, name, others):
    """Wait until all the others are here too: only processes that run at the same time can."""
    open(os.path.join(directory, name), "w").close()
    while not all(os.path.exists(os.path.join(directory, other)) for other in others):
        time.sleep(0.001)
    return os.getpid()


def make_counter():
    return Counter()


class Counter:
    limit = 10

    def __init__(self):
        self.count = 0
        self.pid = os.getpid()

    def up(self, by=1):
        self.count += by
        return self.pid, self.count

    def __getitem__(self, key):
        return key, self.pid


@saranwrap.isolated
def isolated_pid():
    return os.getpid()


@saranwrap.isolated
def isolated_fib(n):
    return (n, {os.getpid()}) if n < 2 else (isolated_fib(n - 1)[0] + isolated_fib(n - 2)[0], {os.getpid()})


@saranwrap.isolated(timeout=0.3)
def slow(seconds):
    """Documented."""
    time.sleep(seconds)
    return os.getpid()


@saranwrap.isolated(memory=300_000_000)
def allocate(size):
    return len(bytearray(size)), os.getpid()


@saranwrap.isolated
def crash():
    os.abort()


@saranwrap.isolated(max_tasks_per_child=1)
def fresh():
    return os.getpid()


@saranwrap.isolated
def untrusted_point(x):
    return Point(x)


@saranwrap.isolated(trust=True)
def trusted_point(x):
    return Point(x)


@saranwrap.isolated
def plain(*args, **kwargs):
    return args, kwargs


@saranwrap.isolated
def raises():
    raise_caused()


@saranwrap.isolated
def numbers():
    return (n for n in range(3))
