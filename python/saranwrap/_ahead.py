"""Iterators that can be read ahead: where one stands is found out here, without moving it. And `prefetch`, for all others."""

from __future__ import annotations

import gc
from _collections_abc import Iterator
from itertools import islice

from saranwrap._native import take

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Any

    _Shadow = Callable[[Any, int], tuple[Any, int] | None]
else:
    from _collections import deque

# How a shadow shows that it stands where the iterator stands: `iterator.rs` asks for it.
_NOT_NEEDED, _ITEM, _KEY = range(3)
# The most that the other side gives at once.
_MOST = 4096


def _by_place(make: Callable[[Any], Any], kind: type) -> _Shadow:
    """Iterators that are an index into something."""

    def shadow(iterator: Any, _: int) -> tuple[Any, int] | None:
        _, (source,), *place = iterator.__reduce__()
        if not isinstance(source, kind):
            return None  # one that has ended has nothing to show
        made = make(source)
        if place and place[0] is not None:
            made.__setstate__(place[0])
        return made, _NOT_NEEDED

    return shadow


def _by_walking(make: Callable[[Any], Any], kind: type | tuple[type, ...], proof: int) -> _Shadow:
    """Iterators that keep their place to themselves, but tell how much is left."""

    def shadow(iterator: Any, farthest: int) -> tuple[Any, int] | None:
        # What C code made is first of all held together with its class, from some version of the interpreter on.
        source = [held for held in gc.get_referents(iterator) if held is not type(iterator)][:1]
        if not source or not isinstance(source[0], kind):
            return None  # one that has ended lets go of its source
        made = make(source[0])
        left = iterator.__length_hint__()
        way = made.__length_hint__() - left
        if not 0 <= way <= farthest:
            return None
        deque(islice(made, way), maxlen=0)
        return (made, proof) if made.__length_hint__() == left else None

    return shadow


def _from_the_start(make: Callable[[Any], Any], kind: type) -> _Shadow:
    """Those that can be told to stand at the start and, as what they give does not tell them apart, nowhere else."""
    walk = _by_walking(make, kind, _NOT_NEEDED)
    return lambda iterator, _: walk(iterator, 0)


def _iter_set(source: Any) -> Iterator[Any]:
    return set.__iter__(source) if isinstance(source, set) else frozenset.__iter__(source)


# No method of a subclass is called: the iterators of the language look past those as well.
_SHADOWS: dict[type, _Shadow] = {
    type(iter([])): _by_place(list.__iter__, list),
    type(reversed([])): _by_place(list.__reversed__, list),
    type(iter(())): _by_place(tuple.__iter__, tuple),
    type(iter("a")): _by_place(str.__iter__, str),
    type(iter("\u1234")): _by_place(str.__iter__, str),
    type(iter(b"")): _by_place(bytes.__iter__, bytes),
    type(iter(bytearray())): _by_place(bytearray.__iter__, bytearray),
    type(iter(range(0))): _by_place(range.__iter__, range),
    type(iter(range(1 << 70))): _by_place(range.__iter__, range),
    type(iter({})): _by_walking(dict.__iter__, dict, _ITEM),
    type(reversed({})): _by_walking(dict.__reversed__, dict, _ITEM),
    type(iter({}.items())): _by_walking(lambda source: iter(dict.items(source)), dict, _KEY),
    type(reversed({}.items())): _by_walking(lambda source: reversed(dict.items(source)), dict, _KEY),
    type(iter({}.values())): _from_the_start(lambda source: iter(dict.values(source)), dict),
    type(iter(set())): _by_walking(_iter_set, (set, frozenset), _ITEM),
    # A deque lets no iterator go on that was made before it changed, so as many items ahead is the same place.
    type(iter(deque())): _by_walking(deque.__iter__, deque, _NOT_NEEDED),
    type(reversed(deque())): _by_walking(deque.__reversed__, deque, _NOT_NEEDED),
}
TYPES = frozenset(_SHADOWS)


def shadow(iterator: Any, farthest: int) -> tuple[Any, int] | None:
    """A second iterator at the same place, and how it has to show that; None if it had to walk more than `farthest` items."""
    return _SHADOWS[type(iterator)](iterator, farthest)


class Prefetch(Iterator["Any"]):
    """Takes several items at a time from a remote iterator, whatever the iterator does for them."""

    __slots__ = ("_count", "_end", "_iterator", "_ready")

    def __init__(self, iterator: Any, count: int) -> None:
        self._iterator = iterator
        self._count = min(count, _MOST)
        self._ready: deque[Any] = deque()
        self._end: BaseException | None = None

    def __next__(self) -> Any:
        try:
            return self._ready.popleft()
        except IndexError:
            return self._more()

    def _more(self) -> Any:
        if self._end is None:
            self._end, items = take(self._iterator, self._count)
            self._ready.extend(items)
            return self._ready.popleft()
        end, self._end = self._end, None
        raise end
