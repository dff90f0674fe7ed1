"""`multiprocessing.managers`: a manager with one object, reached by a proxy with its own methods."""

from __future__ import annotations

import multiprocessing
from multiprocessing.managers import BaseManager, BaseProxy, IteratorProxy, MakeProxyType

from bench.contestants.base import Contestant
from bench.subject import MAPPED, MAPPING, Root

_METHODS = {"warm": "fork", "cold": "spawn"}


class Held(Root):
    """`Root`, with a method for what a manager can only give by its type."""

    def iterate(self) -> object:
        """An iterator of the items, which stays in the child."""
        return iter(self.items)


_Base = MakeProxyType(
    "_Base",
    ("noop", "make", "touch", "fill", "iterate", "lay_out", "take"),
)


class HeldProxy(_Base):
    """Attributes as `multiprocessing.managers.NamespaceProxy` reads them."""

    _exposed_ = (*_Base._exposed_, "__getattribute__")
    _method_to_typeid_ = {"make": "Thing", "iterate": "Iterator"}

    @property
    def number(self) -> int:
        """The attribute that is timed."""
        return self._callmethod("__getattribute__", ("number",))

    @property
    def block(self) -> object:
        """The block, by value."""
        return self._callmethod("__getattribute__", ("block",))


class ThingProxy(BaseProxy):
    """An object without methods of its own."""


class Holder(BaseManager):
    """What the child runs."""


Holder.register("Root", Held, HeldProxy)
# Without a callable: what the method returned is the object.
Holder.register("Thing", proxytype=ThingProxy, create_method=False)
Holder.register("Iterator", proxytype=IteratorProxy, create_method=False)


class Managed(Contestant):
    """Each thread gets a connection of its own, which the library sees to."""

    acts = {
        "getattr": "p.number",
        "call": "p.noop(7)",
        "threads": "p.noop(7)",
        "make": "p.make()",
        "keep": "kept.append(p.make())",
        "dict": "p.touch(d)",
        "iterate": "for _ in p.iterate(): pass",
        "out": "p.block",
        "in": "p.take(a)",
        "map": "for _ in workers.imap(abs, numbers): pass",
    }
    ways = ("warm", "cold")
    most_live = 1_000

    def start(self, way: str) -> None:
        self.holder = Holder(ctx=multiprocessing.get_context(_METHODS[way]))
        self.holder.start()
        self.names["p"] = self.holder.Root()

    def prepare(self, act: str) -> None:
        if act == "map":
            # No manager's, but its neighbour in the same package.
            self.names |= {"workers": multiprocessing.Pool(MAPPING), "numbers": range(MAPPED)}

    def stop(self) -> None:
        if "workers" in self.names:
            self.names["workers"].terminate()
        self.names.clear()
        self.holder.shutdown()

    def ask(self, method: str, *arguments: object) -> object:
        return getattr(self.names["p"], method)(*arguments)

    def pids(self) -> list[int]:
        return [self.holder._process.pid]
