"""`concurrent.futures.ProcessPoolExecutor` with one process, whose functions find the object in a global."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench.contestants.base import Contestant
from bench.subject import MAPPED, MAPPING, Root, Thing

_METHODS = {"warm": "fork", "cold": "spawn"}
_root = Root()
_kept: dict[int, Thing] = {}


def number() -> int:
    """The attribute that is timed."""
    return _root.number


def block() -> Any:
    """The block, by value."""
    return _root.block


def call(method: str, *arguments: Any) -> Any:
    """Call a method of the object."""
    return getattr(_root, method)(*arguments)


def make() -> int:
    """A new object, kept here under a number."""
    thing = _root.make()
    _kept[id(thing)] = thing
    return id(thing)


def drop(name: int) -> None:
    """Let one go."""
    del _kept[name]


class Executor(Contestant):
    """`submit(function).result()`."""

    acts = {
        "getattr": "submit(number).result()",
        "call": "submit(call, 'noop', 7).result()",
        "threads": "submit(call, 'noop', 7).result()",
        "make": "submit(drop, submit(make).result()).result()",
        "dict": "submit(call, 'touch', d).result()",
        "out": "submit(block).result()",
        "in": "submit(call, 'take', a).result()",
        "futures": "for _ in workers.map(abs, numbers): pass",
    }
    ways = ("warm", "cold")

    def start(self, way: str) -> None:
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context(_METHODS[way]))
        self.names |= {
            "submit": self.pool.submit,
            "number": number,
            "block": block,
            "call": call,
            "make": make,
            "drop": drop,
        }

    def prepare(self, act: str) -> None:
        if act == "futures":
            self.names |= {"workers": ProcessPoolExecutor(MAPPING), "numbers": range(MAPPED)}

    def stop(self) -> None:
        if "workers" in self.names:
            self.names["workers"].shutdown()
        self.pool.shutdown()

    def ask(self, method: str, *arguments: object) -> object:
        return self.pool.submit(call, method, *arguments).result()

    def pids(self) -> list[int]:
        return list(self.pool._processes)
