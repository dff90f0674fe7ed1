"""Saranwrap itself."""

from __future__ import annotations

import inspect
import time

import saranwrap

from bench import subject
from bench.contestants.base import Contestant

ACTS = {
    "getattr": "p.number",
    "call": "p.noop(7)",
    "threads": "p.noop(7)",
    "make": "p.make()",
    "keep": "kept.append(p.make())",
    "dict": "p.touch(d)",
    "chain": "p.a.b.c",
    "callback": "p.call_back(f, times)",
    "iterate": "for _ in p.items: pass",
    "batches": "for _ in local(p.items): pass",
    "out": "asarray(block)",
    "in": "p.take(a)",
}
if hasattr(saranwrap, "pipeline"):
    ACTS["pipeline"] = "with pipeline(p) as q:\n    r = q.a.b.c\nresult(r)"


CHOOSES = "start" in inspect.signature(saranwrap.Child).parameters
"""Whether this version can fork a child from a warm interpreter."""


class Ours(Contestant):
    """A `Child` with a `Root`."""

    acts = ACTS
    ways = ("warm", "cold") if CHOOSES else ("cold",)

    def start(self, way: str) -> None:
        self.child = _child(way)
        self.names["p"] = self.child.wrap(subject).Root()
        for name in ("local", "pipeline", "result"):
            self.names[name] = getattr(saranwrap, name, None)

    def stop(self) -> None:
        for name in ("p", "block", "kept"):
            self.names.pop(name, None)
        self.child.close()

    def ask(self, method: str, *arguments: object) -> object:
        answer = getattr(self.names["p"], method)(*arguments)
        if method == "lay_out":
            from numpy import asarray

            self.names |= {"block": self.names["p"].block, "asarray": asarray}
        return answer

    def pids(self) -> list[int]:
        return [self.child.pid]

    def first(self, way: str) -> None:
        self.child = _child(way)
        self.names["p"] = self.child.wrap(time)
        self.names["p"].time()


def _child(way: str) -> saranwrap.Child:
    return saranwrap.Child(start=way) if CHOOSES else saranwrap.Child()
