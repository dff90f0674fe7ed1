"""Saranwrap itself."""

from __future__ import annotations

import functools
import operator
import time
from typing import ClassVar, Literal

import saranwrap

from bench import subject
from bench.contestants import in_rust
from bench.contestants.base import AS_LOCAL, Contestant, in_a_loop
from bench.subject import MAPPED, MAPPING

ACTS = (
    AS_LOCAL
    | in_rust.OURS
    | {
        "batches": "for _ in local(p.items): pass",
        "out": "asarray(block)",
        "in": "p.take(a)",
        "table-out": "table(p.table)",
        "table-in": "p.take_table(t)",
        "map": "for _ in map(workers.abs, numbers): pass",
        "futures": "for _ in workers.map(abs, numbers): pass",
        "tasks": "run(all_tasks())",
        "greenlets": "joinall([spawn(p.noop, 7) for _ in range(tasks)])",
        "pipeline": "with pipeline(p) as q:\n    r = q.a.b.c\nresult(r)",
    }
)


class Ours(Contestant):
    """A `Child` with a `Root`."""

    acts = ACTS
    ways = ("warm", "cold")
    which: ClassVar[Literal["native", "agent"]] = "native"

    def start(self, way: str) -> None:
        if way == "warm":
            _have_loaded()
        self.child = saranwrap.Child(start=way, child=self.which)
        self.names["p"] = self.child.wrap(subject).Root()
        for name in ("local", "pipeline", "result"):
            self.names[name] = getattr(saranwrap, name)

    def prepare(self, act: str) -> None:
        if act == "map":
            workers = saranwrap.pool(operator, MAPPING)
            self.names |= {"map": saranwrap.map, "workers": workers, "numbers": range(MAPPED)}
        elif act == "futures":
            self.names |= {"workers": saranwrap.Executor(MAPPING), "numbers": range(MAPPED)}
        elif act == "tasks":
            remote = saranwrap.aio.remote(self.names["p"])

            async def one() -> None:
                await remote.noop(7)

            self.names |= in_a_loop(one)
        elif act == "greenlets":
            import gevent

            gevent.get_hub()
            self.names |= {"spawn": gevent.spawn, "joinall": gevent.joinall, "tasks": subject.TASKS}
            # It is found out when a call sleeps; a program that imports gevent first need not wait for that.
            saranwrap.Child().close()

    def stop(self) -> None:
        if "workers" in self.names:
            self.names.pop("workers").__exit__(None, None, None)
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
        self.child = saranwrap.Child(start=way, child=self.which)
        self.names["p"] = self.child.wrap(time)
        self.names["p"].time()


class Portable(Ours):
    """The same with the portable child, which is one file of Python, and is always started cold."""

    # Pools and Rust programs use native children, and columns do not cross.
    acts = {
        name: act
        for name, act in ACTS.items()
        if name not in in_rust.OURS and not name.startswith("table-") and name not in {"map", "futures"}
    }
    ways = ("cold",)
    which = "agent"


@functools.cache
def _have_loaded() -> None:
    """What a warm child starts from has loaded its code, as the processes that others fork have."""
    saranwrap.preload(subject)
