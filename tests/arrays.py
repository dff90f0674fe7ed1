"""What runs in the child for the tests of large data."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np

KEPT: list = []


def looks(array):
    """All that one can see of an array."""
    return type(array).__name__, array.dtype.str, array.shape, array.flags.writeable, array.tobytes()


def double(array):
    array *= 2


def first(array):
    return array


def same(one, other):
    return one is other


def put(array, place, value):
    array[place] = value


def keep(array):
    KEPT.append(array)


def kept():
    return KEPT[-1]


def forget():
    KEPT.clear()


def total(array):
    return float(np.asarray(array).sum())


def make(count):
    return np.arange(count, dtype=float)


def type_of(thing):
    return type(thing).__name__


def write_and_tell(array, tell):
    array[0] = 7
    tell()
    return float(array[1])


def write_and_raise(array):
    array[0] = 7
    raise ValueError("no")


def read_buffer(thing):
    view = memoryview(thing)
    return view.format, view.shape, bytes(view)


def fill(thing, byte):
    for place in range(len(thing)):
        thing[place] = byte


def forget_in_a_thread():
    thread = threading.Thread(target=forget)
    thread.start()
    thread.join()


def sum_in_a_fork(array):
    """What a process that is forked from this one reads, once this one has let go of the array."""
    read, write = os.pipe()
    go, gone = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gone)
        os.read(go, 1)
        os.write(write, str(float(array.sum())).encode())
        os._exit(0)
    KEPT.append((pid, read, gone, go, write))


def sum_of_the_fork():
    pid, read, gone, go, write = KEPT.pop()
    for fd in (gone, go, write):
        os.close(fd)
    told = os.read(read, 100)
    os.close(read)
    os.waitpid(pid, 0)
    return float(told)


def killed(array):
    os.kill(os.getpid(), signal.SIGKILL)
