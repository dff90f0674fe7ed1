"""Iteration in batches: how few round trips it takes, what it leaves behind, and iterators that say that they may be read early."""

from __future__ import annotations

import datetime as dt
import gc
import itertools
import os
import signal
import threading
import urllib.parse
from collections import deque
from decimal import Decimal

import pytest
import saranwrap

from tests import callees

MANY = 100_000


@pytest.fixture
def child():
    with saranwrap.Child() as child:
        yield child


def trips(child, work):
    """How many round trips `work` takes, and what it returns."""
    before = child.status()["requests"]
    result = work()
    return child.status()["requests"] - before - 1, result


CONTAINERS = {
    "list": list(range(MANY)),
    "dict": dict.fromkeys(range(MANY)),
    "set": set(range(MANY)),
    "frozenset": frozenset(range(MANY)),
    "deque": deque(range(MANY)),
    "tuple": tuple(range(MANY)),
    "range": range(MANY),
    "bytes": bytes(MANY),
    "bytearray": bytearray(MANY),
    "text": "x" * MANY,
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_many_items_take_few_trips(child, kind):
    p = child.wrap(CONTAINERS[kind])
    count, items = trips(child, lambda: [item for item in p])
    assert items == list(CONTAINERS[kind])
    assert count < 40


@pytest.mark.parametrize(
    "use", [list, tuple, sorted, sum, max, lambda p: list(zip(p, p, strict=False)), lambda p: list(enumerate(p))]
)
def test_whoever_iterates_takes_few_trips(child, use):
    p = child.wrap(list(range(MANY)))
    count, result = trips(child, lambda: use(p))
    assert result == use(range(MANY))
    assert count < 80


def test_both_ways_through_a_dict_and_its_views_take_few_trips(child):
    p = child.wrap(dict.fromkeys(range(MANY), "value"))
    ways = [reversed, lambda p: p.keys(), lambda p: p.values(), lambda p: p.items(), lambda p: reversed(p.items())]
    for way in ways:
        count, items = trips(child, lambda way=way: list(way(p)))
        assert items == list(way(dict.fromkeys(range(MANY), "value")))
        assert count < 80
    assert trips(child, lambda: dict(p.items()))[0] < 80


def test_many_objects_take_few_trips_and_are_given_back(child):
    p = child.wrap([[n] for n in range(20_000)])
    before = child.status()["object_count"]
    count, seen = trips(child, lambda: sum(1 for _ in p))
    assert seen == 20_000
    assert count < 40
    assert child.status()["object_count"] == before


@pytest.mark.parametrize(
    "make",
    [
        lambda n: dt.date.fromordinal(n + 1),
        lambda n: Decimal(n),
        lambda n: signal.Signals(n % 15 + 1),
        lambda n: (n, ("x", n)),
        lambda n: 1 << n % 100,
        lambda n: urllib.parse.SplitResult("http", "host", str(n), "", ""),
    ],
    ids=["dates", "decimals", "enum", "tuples", "large numbers", "named tuples"],
)
def test_many_values_of_other_kinds_take_few_trips(child, make):
    mine = [make(n) for n in range(2000)]
    p = child.wrap(mine)
    count, items = trips(child, lambda: list(p))
    assert items == mine
    assert count < 40


def test_a_batch_is_no_larger_than_it_may_be(child):
    p = child.wrap(["x" * 100_000] * 100)
    before = child.status()["bytes_out"]
    next(iter(p))
    assert child.status()["bytes_out"] - before < 300_000


def test_objects_that_were_never_taken_are_given_back(child):
    p = child.wrap([[n] for n in range(1000)])
    before = child.status()["object_count"]
    iterator = iter(p)
    first = list(itertools.islice(iterator, 60))
    del iterator, first
    assert child.status()["object_count"] == before


def test_few_items_take_few_trips(child):
    p = child.wrap([1, 2, 3])
    list(p)  # what a list and its iterator are is told once
    assert trips(child, lambda: [item for item in p]) == (2, [1, 2, 3])

    def unpack():
        a, b, c = p
        return a + b + c

    assert trips(child, unpack) == (2, 6)


def test_a_loop_that_uses_the_child_takes_no_more_trips_than_one_at_a_time(child):
    p, other = child.wrap(list(range(100))), child.wrap([])

    def loop():
        for item in p:
            other.append(item)

    loop()
    other.clear()
    count, _ = trips(child, loop)
    # One for the iterator, one for each item and for the end; `append` is two.
    assert count <= 1 + 101 + 200
    assert other == list(range(100))


def test_a_loop_that_uses_the_child_now_and_then_reads_in_batches_in_between(child):
    for container in (list(range(10_000)), dict.fromkeys(range(10_000)), set(range(10_000)), deque(range(10_000))):
        p = child.wrap(container)

        def loop(p=p):
            for item in p:
                if item % 100 == 0:
                    len(p)

        assert trips(child, loop)[0] < 2000, type(container)


def test_a_loop_that_uses_the_child_for_some_values_goes_on_in_batches(child):
    """Where a value stands cannot be told from it; but as long as all that was fetched was taken, nothing is lost."""
    p = child.wrap(dict.fromkeys(range(5000), 1))
    values = iter(p.values())

    def loop():
        assert len(list(itertools.islice(values, 8))) == 8
        len(p)
        assert sum(1 for _ in values) == 4992

    assert trips(child, loop)[0] < 40


def test_an_iterator_of_another_thread_s_making_goes_one_at_a_time(child):
    """Another thread of the child could change the list at any time, and nobody here would hear of it."""
    held = child.wrap_module("threading").Event()
    thread = child.wrap_module("threading").Thread(target=held.wait)
    p = child.wrap(list(range(50)))
    thread.start()
    assert trips(child, lambda: list(p))[0] > 50
    held.set()
    thread.join()
    assert trips(child, lambda: list(p))[0] < 10


def test_an_iterator_that_the_child_keeps_too_goes_one_at_a_time(child):
    p = child.wrap(list(range(50)))
    iterator = iter(p)
    taken = child.wrap_module("itertools").islice(iterator, 3)
    assert trips(child, lambda: list(iterator))[0] > 50
    del taken


def test_threads_get_each_item_once(child):
    for make in (list, set, dict.fromkeys, deque):
        iterator = iter(child.wrap(make(range(20_000))))
        seen, lock = [], threading.Lock()

        def work(iterator=iterator, seen=seen, lock=lock):
            mine = list(iterator)
            with lock:
                seen.extend(mine)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(seen) == list(range(20_000))


def test_a_loop_through_a_list_of_the_parent(child):
    """The child reads ahead as well."""
    s_callees = child.wrap(callees)
    mine = saranwrap.ref(list(range(1000)))
    assert s_callees.drain(mine) == list(range(1000))
    grown = list(range(20))

    def grow(item):
        if len(grown) < 60:
            grown.append(item)
        return item

    assert s_callees.each(grow, saranwrap.ref(grown)) == grown
    assert len(grown) == 60


def test_the_child_s_loop_ends_when_the_dict_of_the_parent_changes(child):
    s_callees = child.wrap(callees)
    d = dict.fromkeys(range(30))

    def change(item):
        if item == 12:
            d["new"] = 1
        return item

    with pytest.raises(RuntimeError, match="changed size"):
        s_callees.each(change, saranwrap.ref(d))


def test_what_a_callback_takes_is_taken_when_the_child_goes_on(child):
    s_callees = child.wrap(callees)
    iterator = iter(child.wrap(list(range(30))))
    taken = []

    def take(it, depth):
        taken.extend(itertools.islice(iterator, 10))
        return next(it)

    assert s_callees.inside(child.wrap_module("contextlib").nullcontext(iterator), take, 0) == 10
    assert taken == list(range(10))
    assert list(iterator) == list(range(11, 30))


# --- what does something for each item --------------------------------------------------------------------------------


def test_a_generator_goes_one_at_a_time(child):
    seen = []
    mapped = child.wrap_module("itertools").starmap(seen.append, ((n,) for n in range(100)))
    for n, _ in enumerate(mapped, 1):
        assert len(seen) == n


def test_prefetch_takes_several_at_a_time(child):
    seen = []
    mapped = child.wrap_module("itertools").starmap(seen.append, [(n,) for n in range(100)])
    fetched = saranwrap.prefetch(mapped, 10)
    assert next(fetched) is None
    assert len(seen) == 10
    count, rest = trips(child, lambda: list(fetched))
    assert (count, len(rest), len(seen)) == (10, 99, 100)
    assert list(fetched) == []


def test_what_a_prefetched_iterator_raises_comes_behind_the_items_before_it(child):
    fetched = saranwrap.prefetch(child.wrap_module("itertools").starmap(int, [("1",), ("2",), ("x",), ("4",)]), 10)
    assert next(fetched) == 1
    assert next(fetched) == 2
    with pytest.raises(ValueError, match="'x'"):
        next(fetched)
    assert list(fetched) == [4]


def test_a_prefetched_generator_has_its_return_value(child):
    def generator():
        yield from "ab"
        return "the end"

    fetched = saranwrap.prefetch(child.wrap_module("tests.same.flow").delegating(generator()), 10)
    assert list(fetched) == ["a", "b", ("result", "the end")]
    counter = saranwrap.prefetch(child.wrap_module("tests.same.flow").counter(2), 10)
    assert [next(counter), next(counter)] == [0, 1]
    with pytest.raises(StopIteration) as end:
        next(counter)
    assert end.value.value == "done"


def test_prefetch_of_what_is_not_remote_or_cannot_be():
    assert list(saranwrap.prefetch([1, 2], 5)) == [1, 2]
    with pytest.raises(ValueError, match="0 items"):
        saranwrap.prefetch([1], 0)
    with pytest.raises(TypeError):
        saranwrap.prefetch(5, 1)


# --- the end of the child ---------------------------------------------------------------------------------------------


def test_items_that_have_come_outlive_the_child(child):
    iterator = iter(child.wrap(list(range(100))))
    assert next(iterator) == 0
    os.kill(child.pid, signal.SIGKILL)
    child._session.wait()
    assert list(itertools.islice(iterator, 7)) == list(range(1, 8))
    with pytest.raises(saranwrap.ChildDied):
        next(iterator)


@pytest.mark.parametrize(("end", "error"), [("close", saranwrap.LinkClosed), ("kill", saranwrap.ChildDied)])
def test_nothing_more_comes_of_a_child_that_was_ended(child, end, error):
    iterator = iter(child.wrap(list(range(100))))
    assert next(iterator) == 0
    getattr(child, end)()
    for _ in range(2):
        with pytest.raises(error):
            next(iterator)


def test_an_iterator_in_a_cycle_is_collected(child):
    p = child.wrap([[n] for n in range(100)])
    before = child.status()["object_count"]
    iterator = iter(p)
    cycle = [iterator, next(iterator)]
    cycle.append(cycle)
    del iterator, cycle
    gc.collect()
    assert child.status()["object_count"] == before
