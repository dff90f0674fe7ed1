"""What a contestant is: a way to start a child, and for each act the statement that is timed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from bench.subject import CALLBACKS, TASKS

# How the object itself is used, and every proxy that is as transparent as to be used the same way.
AS_LOCAL = {
    "getattr": "p.number",
    "call": "p.noop(7)",
    "threads": "p.noop(7)",
    "make": "p.make()",
    "keep": "kept.append(p.make())",
    "dict": "p.touch(d)",
    "chain": "p.a.b.c",
    "callback": "p.call_back(f, times)",
    "iterate": "for _ in p.items: pass",
}


class Contestant:
    """One child with a `Root` in it, and the statements that reach it.

    The acts are the very lines that a user of that library would write. They are compiled by `timeit`, so nothing of
    ours stands between the clock and the library. `acts` has no entry for what the contestant cannot do.
    """

    acts: ClassVar[Mapping[str, str]] = {}
    ways: ClassVar[tuple[str, ...]] = ("cold",)
    """How a child can be started, the usual way first: `warm` from a process that runs, `cold` as a new interpreter.

    Empty where nothing is started that could be compared.
    """
    most_live: ClassVar[int] = 1_000_000
    """How many proxies it can keep alive within the limits of a run."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "d": {f"k{n}": n for n in range(20)},
            "f": _back,
            "times": CALLBACKS,
            "kept": [],
        }

    def start(self, way: str) -> None:
        """Start a child in one of `ways`, and put into `names` what the statements use."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the child."""

    def start_usually(self) -> None:
        """Start in the usual way."""
        self.start(next(iter(self.ways), ""))

    def ask(self, method: str, *arguments: object) -> object:
        """Call a method of the `Root`; for preparations, which are not timed."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """The processes that `start` has started."""
        return []

    def first(self, way: str) -> None:
        """Start, and get the first answer."""
        self.start(way)
        self.act("call")

    def prepare(self, act: str) -> None:
        """Whatever an act needs that must not be timed with it, beyond what `ask` can do."""

    def act(self, name: str) -> None:
        """Do an act once."""
        exec(self.acts[name], self.names)

    def for_thread(self) -> dict[str, Any]:
        """What the statements need anew in each thread; called in that thread."""
        return {}

    def resume(self) -> None:
        """A turn begins."""

    def pause(self) -> None:
        """A turn has ended: the child must use no processor while others have theirs."""


def _back(x: int) -> int:
    return x


def in_a_loop(one: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    """The names for `run(all_tasks())`: as many tasks as belong to the act, each of which does `one` once."""

    async def all_tasks() -> None:
        await asyncio.gather(*(one() for _ in range(TASKS)))

    return {"run": asyncio.new_event_loop().run_until_complete, "all_tasks": all_tasks}
