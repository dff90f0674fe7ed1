"""What the tests of the fronts put into their children."""

import asyncio
import contextlib
import threading
import time


class Box:
    def __init__(self):
        self.items = {}
        self.calls = 0

    def add(self, a, b=0):
        self.calls += 1
        return a + b

    def append(self, where, item):
        where.append(item)
        return where

    def fail(self, text):
        raise ValueError(text)

    def call(self, function, *args):
        return function(*args)

    def nested(self, function, depth):
        return function(depth)

    def sleep(self, seconds):
        time.sleep(seconds)
        return seconds

    def forever(self):
        while True:
            time.sleep(0.01)

    def stop(self):
        raise StopIteration("over")

    def me(self):
        return self

    def ident(self):
        return threading.get_ident()

    def give(self, value):
        return value


def make():
    return Box()


async def later(value, turns=3):
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def fails_later(text):
    await asyncio.sleep(0)
    raise KeyError(text)


async def count(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i


def plain_count(n):
    yield from range(n)


@contextlib.contextmanager
def opened(log):
    log.append("in")
    try:
        yield "inside"
    finally:
        log.append("out")


class AsyncManager:
    def __init__(self):
        self.log = []

    async def __aenter__(self):
        await asyncio.sleep(0)
        self.log.append("in")
        return self

    async def __aexit__(self, kind, error, traceback):
        await asyncio.sleep(0)
        self.log.append("out" if kind is None else str(error))
        return kind is ValueError


def die():
    import os

    os._exit(3)
