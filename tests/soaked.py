"""What the children of the soak hold: things to call that answer, raise, block, crash, call back, and leave cycles behind."""

from __future__ import annotations

import asyncio
import gc
import os
import time


class Thing:
    """An object that goes by reference, with a cycle through itself."""

    def __init__(self, number):
        self.number = number
        self.me = self


def echo(x):
    return x


def change(items, more):
    items.append(more)
    return len(items)


def make(number):
    return Thing(number)


def fail(text):
    raise ValueError(text)


def back(function, x):
    return function(x)


def count(n):
    return list(range(n))


def block(size, byte):
    return bytes([byte]) * size


def weigh(data):
    return len(data), data[0], data[-1]


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return seconds


def collect():
    for number in range(100):
        Thing(number)
    return gc.collect() >= 0


def crash():
    os.abort()


async def nap(seconds):
    await asyncio.sleep(seconds)
    return seconds
