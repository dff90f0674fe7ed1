"""Pyro5 over a unix socket. Run as a program, it is the child."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import Pyro5.api

from bench.contestants.base import Contestant
from bench.contestants.served import Served, say_ready
from bench.subject import Branch, Leaf, Root, Thing

# What the subclasses below inherit must be exposed where it is defined.
Pyro5.api.expose(Root)


@Pyro5.api.expose
class ExposedThing(Thing):
    """An object that stays where it is."""

    __slots__ = ("__weakref__", "_pyroDaemon", "_pyroId")

    def ping(self) -> None:
        """Pyro5 gives no proxy of an object without methods."""


@Pyro5.api.expose
class ExposedLeaf(Leaf):
    """Pyro5 reads no attributes but properties."""

    @property
    def c(self) -> int:
        """The number at the end of the chain."""
        return 7


@Pyro5.api.expose
class ExposedBranch(Branch):
    """As the leaf."""

    def __init__(self) -> None:
        self._b = ExposedLeaf()

    @property
    def b(self) -> ExposedLeaf:
        """By reference, since it is registered."""
        return self._b


@Pyro5.api.expose
class ExposedRoot(Root):
    """`Root`; what is to go by reference is registered with the daemon before it is returned."""

    def __init__(self, daemon: Pyro5.api.Daemon) -> None:
        self._daemon = daemon
        self._a = ExposedBranch()
        daemon.register(self._a)
        daemon.register(self._a.b)
        self.items = []

    @property
    def number(self) -> int:
        """The attribute that is timed."""
        return 7

    @property
    def a(self) -> ExposedBranch:
        """By reference, since it is registered."""
        return self._a

    def make(self) -> ExposedThing:
        """A new object, which the daemon keeps until it is told to drop it."""
        thing = ExposedThing()
        self._daemon.register(thing)
        return thing

    def drop(self, name: str) -> None:
        """Let one go."""
        self._daemon.unregister(name)

    def iterate(self) -> Iterator[int]:
        """What Pyro5 calls item streaming: the iterator stays here, and each item is asked for."""
        return iter(self.items)

    def call_back(self, function: Any, times: int) -> None:
        """As in `Root`; what came is a proxy."""
        for _ in range(times):
            function.call(7)


@Pyro5.api.expose
class Callback:
    """A function of the parent, which its own daemon serves."""

    def __init__(self, function: Callable[[int], int]) -> None:
        self._function = function

    def call(self, x: int) -> int:
        """Call it."""
        return self._function(x)


class Pyro(Contestant):
    """The serializer is the default one, serpent; for blocks it is marshal, since serpent writes bytes as base64."""

    acts = {
        "getattr": "p.number",
        "call": "p.noop(7)",
        "threads": "p.noop(7)",
        "make": "p.drop(p.make()._pyroUri.object)",
        "keep": "kept.append(p.make())",
        "dict": "p.touch(d)",
        "chain": "p.a.b.c",
        "callback": "p.call_back(g, times)",
        "iterate": "for _ in p.iterate(): pass",
        "out": "frombuffer(m.give_bytes())",
        "in": "m.take_bytes(a.tobytes())",
    }
    most_live = 10_000

    def start(self, way: str) -> None:  # noqa: ARG002
        self.served = Served(__name__)
        self.names |= {"p": self.proxy(), "m": self.proxy()}
        self.names["m"]._pyroSerializer = "marshal"
        self.daemon: Pyro5.api.Daemon | None = None

    def proxy(self) -> Pyro5.api.Proxy:
        """A proxy of the thread that asks for it."""
        return Pyro5.api.Proxy(f"PYRO:root@./u:{self.served.path}")

    def prepare(self, act: str) -> None:
        if act != "callback":
            return
        # Callbacks are served in a thread of their own, as Pyro5 has it.
        self.daemon = Pyro5.api.Daemon(unixsocket=self.served.path + "-back")
        callback = Callback(self.names["f"])
        self.daemon.register(callback)
        self.names["g"] = callback
        threading.Thread(target=self.daemon.requestLoop, daemon=True).start()

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.shutdown()
        self.names.clear()
        self.served.stop()

    def ask(self, method: str, *arguments: object) -> object:
        return getattr(self.names["p"], method)(*arguments)

    def for_thread(self) -> dict[str, Any]:
        return {"p": self.proxy()}

    def pids(self) -> list[int]:
        return [self.served.process.pid]


def main() -> None:
    """The child."""
    daemon = Pyro5.api.Daemon(unixsocket=sys.argv[1])
    daemon.register(ExposedRoot(daemon), "root")
    say_ready()
    daemon.requestLoop()
    os._exit(0)


if __name__ == "__main__":
    main()
