"""What is measured: the rows of the table, and how each comes about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial

from bench import measures
from bench.contestants import in_rust
from bench.contestants.base import Contestant
from bench.measures import Maker, Measure
from bench.scale import Scale
from bench.subject import CALLBACKS, MAPPED, TASKS

ANY = "any"


class Better(Enum):
    """Which way is better."""

    LESS = "less"
    MORE = "more"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        key: its name in the JSON file and for `-k`.
        title: what was done.
        unit: of its figures.
        better: fewer or more of it.
        goal: what Saranwrap is meant to reach on two virtual cores, if that was said; in words where it depends on a floor.
    """

    key: str
    title: str
    unit: str
    better: Better
    goal: float | str | None = None


@dataclass(frozen=True)
class Workload:
    """Something to do, and the rows that come of it.

    Args:
        rows: made from the scale, since some rows are about a number that it sets.
        measure: makes the `Measure`.
        acts: a contestant without all of these cannot take part.
        way: a contestant that cannot be started so cannot take part; `ANY` is for those that start something at all.
        lasting: whether a turn takes so long that half the rounds must do.
        in_rust: whether the parent is a Rust program, which does not know `measure`.
    """

    key: str
    rows: Callable[[Scale], tuple[Row, ...]]
    measure: Callable[[Maker, Scale, tuple[str, ...]], Measure]
    acts: tuple[str, ...]
    way: str | None = None
    lasting: bool = False
    in_rust: bool = False

    def fits(self, contestant: type[Contestant]) -> bool:
        """Whether the contestant can do it."""
        if self.in_rust and not in_rust.PROGRAM.exists():
            return False
        started = self.way is None or self.way in contestant.ways or (self.way == ANY and bool(contestant.ways))
        return started and all(act in contestant.acts for act in self.acts)

    def turns(self, scale: Scale) -> int:
        """How many rounds there are."""
        return max(1, scale.rounds // 2) if self.lasting else scale.rounds

    def make(self, contestant: type[Contestant], scale: Scale) -> Measure:
        """The workload, for one contestant."""
        return self.measure(contestant, scale, tuple(row.key for row in self.rows(scale)))


def _microseconds(seconds: float) -> float:
    return seconds * 1e6


def _callback(seconds: float) -> float:
    return seconds * 1e6 / CALLBACKS


def _task(seconds: float) -> float:
    return seconds * 1e6 / TASKS


def _one(row: Row) -> Callable[[Scale], tuple[Row, ...]]:
    return lambda _: (row,)


def _act(act: str, title: str, goal: float | str | None) -> Workload:
    pers = {"callback": _callback, "tasks": _task, "greenlets": _task}
    measure = partial(measures.Repeated, act=act, per=pers.get(act, _microseconds))
    return Workload(act, _one(Row(act, title, "us", Better.LESS, goal)), measure, (act,))


def _items(act: str, title: str, goal: float | str | None) -> Workload:
    measure = partial(measures.Iterated, act=act)
    return Workload(act, _one(Row(act, title, "items/s", Better.MORE, goal)), measure, (act,), lasting=True)


def _call(row: Row, kind: type[measures.Repeated]) -> Workload:
    return Workload(row.key, _one(row), partial(kind, act="call", per=_microseconds), ("call",))


def _threads() -> Workload:
    row = Row("threads", f"{measures.Threads.COUNT} threads on one child", "calls/s", Better.MORE, 4e5)
    measure = partial(measures.Threads, act="threads", per=lambda seconds: 1 / seconds)
    return Workload("threads", _one(row), measure, ("threads",))


def _mapped(act: str, title: str) -> Workload:
    row = Row(act, f"{MAPPED} tiny tasks mapped over two children{title}", "tasks/s", Better.MORE)
    measure = partial(measures.Repeated, act=act, per=lambda seconds: MAPPED / seconds)
    return Workload(act, _one(row), measure, (act,))


def _block(size: str, act: str, goal: float | str | None) -> Workload:
    def measure(make: Maker, scale: Scale, rows: tuple[str, ...]) -> Measure:
        length = scale.small if size == "1 MB" else scale.large
        return measures.Block(make, scale, rows, act, length)

    key = f"{act}-{size.replace(' ', '').lower()}"
    row = Row(key, f"{size} float64 array {act}", "GB/s", Better.MORE, goal)
    return Workload(key, _one(row), measure, (act,), lasting=size != "1 MB")


def _table(act: str) -> Workload:
    def measure(make: Maker, scale: Scale, rows: tuple[str, ...]) -> Measure:
        return measures.Columns(make, scale, rows, f"table-{act}", scale.large)

    row = Row(f"table-{act}-100mb", f"100 MB table of pyarrow {act}", "GB/s", Better.MORE)
    return Workload(row.key, _one(row), measure, (f"table-{act}",), lasting=True)


def _start(way: str, goal: float | str | None) -> Workload:
    row = Row(f"start-{way}", f"wrap to first answer, {way}", "ms", Better.LESS, goal)
    return Workload(row.key, _one(row), partial(measures.Start, way=way), ("call",), way)


def _crowded(scale: Scale) -> tuple[Row, ...]:
    most = scale.children[-1]
    return (
        Row("children-start", f"{most} children at once: start of each", "ms", Better.LESS, 3),
        Row("children-memory", f"{most} children at once: unshared memory of each", "MB", Better.LESS, 2),
        *(
            Row(f"children-{number}", f"call, {_counted(number, 'child', 'children')} alive", "us", Better.LESS)
            for number in scale.children
        ),
    )


def _live(scale: Scale) -> tuple[Row, ...]:
    return tuple(
        Row(f"live-{number}", f"call, {_counted(number, 'proxy', 'proxies')} alive", "us", Better.LESS)
        for number in scale.live
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _in_rust(key: str, title: str, goal: float) -> Workload:
    measure = partial(measures.Repeated, act=key, per=_microseconds)
    return Workload(key, _one(Row(key, title, "us", Better.LESS, goal)), measure, (key,), in_rust=True)


WORKLOADS = (
    _act("getattr", "getattr of an int", 1.0),
    _act("call", "method call `noop(7)`", 1.2),
    _act("make", "make a remote object and drop it", 3),
    _act("dict", "dict of 20 items in and out, one changed", 6),
    _act("chain", "`a.b.c`", 3),
    _act("pipeline", "`a.b.c` in one message", 1.5),
    _act("callback", "callback from the child", 2),
    _items("iterate", "iterate a remote list of 100k ints", 5e6),
    _items("batches", "the same, fetched in large pieces on request", None),
    _threads(),
    _mapped("map", ""),
    _mapped("futures", ", by futures"),
    _act("tasks", f"a call, {TASKS} at once from an event loop", "a tenth of rpyc's"),
    _act("greenlets", f"a call, {TASKS} at once from greenlets", None),
    _call(Row("busy", "call, another thread of the parent computes", "us", Better.LESS, 100), measures.Busy),
    _call(Row("idle", "first call after 10 ms idle", "us", Better.LESS, 120), measures.Idle),
    _block("1 MB", "out", 5),
    _block("1 MB", "in", 5),
    _block("100 MB", "out", "60 % of memcpy"),
    _block("100 MB", "in", "60 % of memcpy"),
    _table("out"),
    _table("in"),
    _start("warm", 3),
    _start("cold", "raw pipe + 10"),
    Workload("children", _crowded, measures.Many, ("call",), ANY, lasting=True),
    Workload(
        "footprint",
        _one(Row("footprint", "one live proxy, both sides together", "B", Better.LESS, 300)),
        measures.Footprint,
        ("keep",),
    ),
    Workload("live", _live, measures.Growth, ("keep", "call")),
    _in_rust("rust-getattr", "a Rust program: getattr of an int of Python", 1.0),
    _in_rust("rust-call", "a Rust program: call of a method of Python", 1.0),
    _in_rust("rust-rust", "a Rust program: call of a method of a Rust value", 0.5),
)

BY_KEY: Mapping[str, Workload] = {workload.key: workload for workload in WORKLOADS}
