"""Iteration in batches: whatever happens between two items, each item, error and end comes as if it were fetched alone."""

from __future__ import annotations

import collections
import copy
import gc
import itertools
import operator
import random
from typing import Any

import pytest

from tests.same import check
from tests.same.check import cases, same

#: Around the sizes of the first batches: 8, 32, 128.
EDGES = (0, 1, 2, 7, 8, 9, 16, 39, 40, 41, 167, 168, 169, 400)

MAKERS: dict[str, Any] = {
    "list": lambda size: list(range(size)),
    "list of lists": lambda size: [[item] for item in range(size)],
    "list of everything": lambda size: [
        [item, "text", (item, [item]), 1.5, None, {item}][item % 6] for item in range(size)
    ],
    "tuple": lambda size: tuple(range(size)),
    "dict": lambda size: {item: str(item) for item in range(size)},
    "dict of lists": lambda size: {item: [item] for item in range(size)},
    "set": lambda size: set(range(size)),
    "deque": lambda size: collections.deque(range(size)),
    "bytearray": lambda size: bytearray(item % 256 for item in range(size)),
    "bytes": lambda size: bytes(item % 256 for item in range(size)),
    "text": lambda size: "abc\u1234"[: 3 + size % 2] * (size // 3),
    "range": lambda size: range(3, 3 + 2 * size, 2),
    "long range": lambda size: range(1 << 70, (1 << 70) + size),
}
WAYS: dict[str, Any] = {
    "iter": iter,
    "reversed": reversed,
    "items": lambda x: iter(x.items()),
    "values": lambda x: iter(x.values()),
    "keys": lambda x: iter(x.keys()),
    "reversed items": lambda x: reversed(x.items()),
    "reversed values": lambda x: reversed(x.values()),
    "enumerate": enumerate,
    "map": lambda x: map(lambda item: (item,), x),
    "zip with itself": lambda x: zip(x, x, strict=False),
    "chain": lambda x: itertools.chain(x, x),
}
ONLY_DICT = ("items", "values", "keys", "reversed items", "reversed values")
CHANGES: dict[str, list[Any]] = {
    "list": [
        lambda x, n: x.append(n),
        lambda x, n: x.insert(0, n),
        lambda x, n: x.extend(range(n % 50)),
        lambda x, n: x.pop() if x else None,
        lambda x, n: x.pop(0) if x else None,
        lambda x, n: x.__delitem__(slice(n % 20, None)),
        lambda x, n: x.__setitem__(slice(n % 10, n % 10 + 5), [n]),
        lambda x, n: x.clear() if n % 5 == 0 else x.reverse(),
    ],
    "dict": [
        lambda x, n: x.__setitem__(n, n),
        lambda x, n: x.update(dict.fromkeys(list(x), n)),
        lambda x, n: x.pop(next(iter(x))) if x else None,
        lambda x, n: (x.pop(next(iter(x))), x.__setitem__(n + 1000, n)) if x else None,
        lambda x, n: (x.pop(list(x)[-1]), x.__setitem__(n + 2000, n)) if x else None,
        lambda x, n: x.clear() if n % 5 == 0 else None,
    ],
    "set": [
        lambda x, n: x.add(n),
        lambda x, n: x.discard(n % 100),
        lambda x, n: (x.pop(), x.add(n + 1000)) if x else None,
        lambda x, n: x.clear() if n % 5 == 0 else None,
    ],
    "deque": [
        lambda x, n: x.append(n),
        lambda x, n: x.appendleft(n),
        lambda x, n: x.rotate(n),
        lambda x, n: x.pop() if x else None,
        lambda x, n: x.__setitem__(n % len(x), n) if x else None,
    ],
    "bytearray": [
        lambda x, n: x.append(n % 256),
        lambda x, n: x.pop() if x else None,
        lambda x, n: x.__setitem__(slice(0, 3), b"abcde"),
        lambda x, n: x.reverse(),
    ],
}


class Walk:
    """A program of random steps over one container; in both worlds it is the same program."""

    def __init__(self, world: Any, kind: str, way: str, seed: int) -> None:
        self.random = random.Random(f"{kind} {way} {seed}")
        self.world = world
        self.kind = kind.split()[0]
        self.x = world.wrap(MAKERS[kind](self.random.choice(EDGES)))
        self.make = WAYS[way]
        self.iterators: list[Any] = []
        self.log: list[Any] = []

    def run(self, steps: int) -> list[Any]:
        self.try_(self.start)
        for _ in range(steps):
            if not self.iterators:
                break
            step = self.random.choice(self.STEPS)
            self.try_(lambda step=step: step(self))
        self.log.append(("left", str(self.x)))
        for iterator in self.iterators:
            self.try_(lambda iterator=iterator: self.advance(iterator, 1000))
        return self.log

    def try_(self, step: Any) -> None:
        try:
            step()
        except Exception as error:
            self.log.append((type(error).__name__, str(error)))

    def start(self) -> None:
        self.iterators.append(self.make(self.x))

    def any(self) -> Any:
        return self.random.choice(self.iterators)

    def advance(self, iterator: Any, count: int) -> None:
        for item in itertools.islice(iterator, count):
            self.log.append(self.shown(item))
        self.log.append("behind")

    def shown(self, item: Any) -> Any:
        if isinstance(item, tuple):
            return tuple(map(self.shown, item))
        return item if isinstance(item, (int, float, str, bytes, type(None))) else type(item).__name__

    def one(self) -> None:
        self.log.append(self.shown(next(self.any())))

    def some(self) -> None:
        self.advance(self.any(), self.random.choice((1, 2, 6, 7, 8, 9, 31, 32, 33, 100)))

    def change(self) -> None:
        number = self.random.randrange(1, 100)
        change = self.random.choice(CHANGES.get(self.kind, [lambda x, n: len(x)]))
        self.log.append(("changed", repr(self.shown(change(self.x, number)))))

    def look(self) -> None:
        self.log.append(("length", len(self.x)))

    def hint(self) -> None:
        self.log.append(("hint", operator.length_hint(self.any(), -1)))

    def copy(self) -> None:
        if len(self.iterators) < 3:
            self.iterators.append(copy.copy(self.any()))

    def reduce(self) -> None:
        _, args, *state = self.any().__reduce__()
        self.log.append(("reduced", len(args), [part for part in state if isinstance(part, int)]))

    def place(self) -> None:
        self.any().__setstate__(self.random.randrange(20))

    def another(self) -> None:
        if len(self.iterators) < 3:
            self.start()

    def give(self) -> None:
        taken = list(self.world.wrap_module("itertools").islice(self.any(), self.random.choice((1, 3, 8, 20))))
        self.log.append(("given", [self.shown(item) for item in taken]))

    def drop(self) -> None:
        if len(self.iterators) > 1:
            self.iterators.pop(0)

    def unpack(self) -> None:
        a, b = self.any()
        self.log.append(("unpacked", self.shown(a), self.shown(b)))

    STEPS = (
        one,
        one,
        some,
        some,
        some,
        some,
        change,
        change,
        look,
        hint,
        copy,
        reduce,
        place,
        another,
        give,
        drop,
        unpack,
    )


@pytest.mark.parametrize(
    ("kind", "way"), [(kind, way) for kind in MAKERS for way in WAYS if kind.startswith("dict") or way not in ONLY_DICT]
)
def test_whatever_comes_between(kind, way):
    check.THERE.revive()
    for seed in range(12):
        there = Walk(check.THERE, kind, way, seed).run(25)
        assert there == Walk(check.HERE, kind, way, seed).run(25), f"seed {seed}"
    gc.collect()


LONG = list(range(60))

test_changes_at_the_edges = cases(
    *(
        same(
            f"""
            seen = []
            for n, item in enumerate(x):
                seen.append(item)
                if n == {place}: {change}
                if n > 99: break
            seen
            """,
            value,
        )
        for value, changes in (
            (LONG, ("x.append(1)", "x.insert(0, 1)", "x.clear()", "x[:] = x[:5]", "x[n + 1:n + 2] = ['new']")),
            (dict.fromkeys(LONG, 0), ("x[99] = 1", "x.pop(50)", "x[50] = 'new'", "x.pop(0); x[99] = 1", "x.clear()")),
            (set(LONG), ("x.add(99)", "x.discard(50)", "x.discard(0); x.add(99)", "x.clear()")),
            (collections.deque(LONG), ("x.append(1)", "x.rotate()", "x[50] = 'new'", "x.popleft()", "x.clear()")),
            (bytearray(LONG), ("x.append(1)", "x.reverse()", "del x[20:]", "x[50] = 7", "x.clear()")),
        )
        for change in changes
        for place in (0, 1, 7, 8, 9, 39, 40, 41, 58, 59)
    )
)

test_half_way = cases(
    same("it = iter(x); a = [next(it) for _ in range(12)]; b = copy.copy(it); a, list(b), list(it)", LONG),
    same(
        "it = iter(x); a = [next(it) for _ in range(12)]; it.__length_hint__(), operator.length_hint(it), list(it)",
        LONG,
    ),
    same("it = iter(x); a = [next(it) for _ in range(12)]; it.__setstate__(3); next(it), it.__reduce__()[2]", LONG),
    same(
        "it = iter(x); a = [next(it) for _ in range(12)]; b = pickle.loads(pickle.dumps(it)); list(b), list(it)", LONG
    ),
    same("it = iter(x); a = [next(it) for _ in range(12)]; calls.apply(next, it), list(it)", LONG),
    same("it = iter(x); a = [next(it) for _ in range(12)]; list(itertools.islice(it, 5)), next(it)", LONG),
    same(
        "it = iter(x); a = [next(it) for _ in range(12)]; c = itertools.chain(it, it); next(c), next(it), list(c)", LONG
    ),
    same("it = iter(x); list(it); x.append(1); list(it), next(it, 'end')", LONG),
    same("it = iter(x); list(it); x[99] = 1; list(it), next(it, 'end')", dict.fromkeys(LONG)),
    same("it = iter(x); iter(it) is it, list(zip(it, it))", LONG),
    same("a, b = iter(x), iter(x); [(next(a), next(b), next(b)) for _ in range(20)], list(a), list(b)", LONG),
    same("[(a, b) for a in x for b in x]", list(range(12))),
    same("[(a, b) for a in x for b in x.items()]", dict.fromkeys(range(12))),
    same("list(zip(x, x.values(), x.items(), reversed(x)))", dict.fromkeys(LONG)),
    same("type(iter(x)).__name__, type(iter(x.items())).__name__, type(iter(x.values())).__name__", {1: 2}),
    same("isinstance(iter(x), abc.Iterator), hasattr(iter(x), '__next__'), callable(iter(x))", LONG),
    same("it = iter(x); it.__next__(), next(it), type(it).__next__(it), it.__iter__() is it", LONG),
    same("next(iter(x))", []),
    same("next(iter(x), 'nothing')", {}),
    same("a, b, c = x; (a, b, c)", [1, 2, 3]),
    same("a, b, c = x", [1, 2]),
    same("a, b, c = x", LONG),
    same("first, *rest, last = x; (first, rest, last)", LONG),
    same("sum(x), max(x), sorted(x, reverse=True), tuple(x), set(x), list(map(str, x))", LONG),
    same("dict(x), list(x), dict(x.items()), {**x}, [*x.values()]", dict.fromkeys(LONG, "v")),
    same("''.join(x), b''.join(map(str.encode, x))", list("characters")),
    same("list(itertools.islice(x, 20)), list(itertools.takewhile(lambda item: item < 20, x))", LONG),
    same("[item is other for item, other in zip(x, x)]", [[n] for n in range(20)]),
    same("kept = list(x); [item is x[n] for n, item in enumerate(kept)]", [[n] for n in range(20)]),
    same("for item in x: item.append(len(item))", [[n] for n in range(20)]),
    same("for n, item in enumerate(x):\n  if n == 9: raise KeyError(item)", LONG),
    same(
        "[item for item in x]",
        [1 << 70, -1, 1.5, "t\ud800", b"b", None, ..., 2j, (1, (2, ())), frozenset({1}), slice(1)] * 3,
    ),
    same(
        "[str(item) for item in x]",
        [kind for n in range(4) for kind in (ValueError(n), int, len, KeyError("k"), range(3))],
    ),
)


test_ends_of_objects = cases(
    same("where, others = flow.noisy(30)\nseen = []\nfor item in where:\n  seen.append(item)\n  if item > 20: others.pop()\nseen"),
    same("where, others = flow.noisy(30)\nseen = []\nkept = list(others)\ndel others\nfor item in where:\n  seen.append(item)\n  if item > 20: kept.pop()\nseen"),
    same("where, others = flow.noisy(30)\nseen = []\nfor item in where:\n  seen.append(item)\n  if item > 20: others.clear()\nseen"),
)  # fmt: skip
