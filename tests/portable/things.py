# -*- coding: utf-8 -*-
"""What the tests of the portable child find in it. Every Python from 2.7 on reads this, so it is written for that."""

from __future__ import absolute_import, division, print_function

import collections
import logging
import os
import sys
import threading
import time
import warnings

TEXT = type(u"")
PY2 = sys.version_info[0] == 2


class Error(Exception):
    pass


class Detailed(Error):
    def __init__(self, code, reason):
        Error.__init__(self, "%s: %s" % (code, reason))
        self.code = code


class Counter(object):
    start = 1

    def __init__(self, count=0):
        self.count = count

    def up(self, by=1):
        self.count += by
        return self.count

    def twice(self):
        return self.up() + self.up()

    def __len__(self):
        return self.count

    def __getitem__(self, place):
        if place >= self.count:
            raise IndexError(place)
        return place * 10

    def __add__(self, other):
        return self.count + other

    def __eq__(self, other):
        return isinstance(other, Counter) and self.count == other.count

    __hash__ = None

    def __call__(self, *args, **kwargs):
        return args, sorted(kwargs)

    def __enter__(self):
        return self

    def __exit__(self, *about):
        self.count = -1

    @property
    def fails(self):
        raise Detailed(7, "no")


class Old:
    """In Python 2 the class of an old-style object."""

    kind = "old"

    def __init__(self, name):
        self.name = name

    def __len__(self):
        return len(self.name)

    def greet(self):
        return "I am " + self.name


class Base(object):
    def name(self):
        return "base"

    def greet(self):
        return "hello, " + self.name()


Point = collections.namedtuple("Point", "x y")


def identity(x):
    return x


def joined(a, b):
    return a + b


def type_name(x):
    return type(x).__name__


def call(function, *args, **kwargs):
    return function(*args, **kwargs)


def fails(text):
    raise Error(text)


def deep(depth, function):
    return deep(depth - 1, function) if depth else function()


def change(items):
    items.append(len(items))
    return items


def keep(items, kept=[]):
    kept.append(items)
    return len(kept)


def held():
    return keep.__defaults__[0]


def texts():
    return "ascii", u"gr\xfc\xdfe", b"\xff\xfe", u"ascii"


def gives(n):
    for each in range(n):
        yield each


def from_a_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function(threading.current_thread() is not None)))
    thread.start()
    thread.join()
    return results[0]


def from_many_threads(function, count):
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(function(n))) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results)


def ends(code):
    os._exit(code)


def loops():
    while True:
        pass


def sleeps(seconds):
    time.sleep(seconds)


def says(text):
    print(text)


def warns():
    warnings.warn("careful", DeprecationWarning, 2)


def logs(text):
    logging.getLogger("things").warning("about %s", text)


def crashes():
    import ctypes

    # PyPy looks at what is read, but not at this.
    ctypes.memmove(1, 2, 8)


def starts_a_process(started=[]):
    import subprocess

    started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
    # Its end is not looked at: the module may go before.
    started[0].returncode = 0
    return started[0].pid


def forks():
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    return None


class Meeting(object):
    """Where so many threads meet. What Python 2 has not is a barrier."""

    def __init__(self, count):
        self.missing = count
        self.changed = threading.Condition()

    def come(self):
        """Wait for the others; whether this is the main thread's call."""
        with self.changed:
            self.missing -= 1
            self.changed.notify_all()
            while self.missing:
                self.changed.wait(30)
        return threading.current_thread().name == "MainThread"


def thread():
    return threading.current_thread().ident


def nested(function):
    before = thread()
    return before, function(), thread()
