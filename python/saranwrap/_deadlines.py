"""How long calls may take: blocks with a deadline, and what a call is told of its caller's."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar

from saranwrap._native import close_block, open_block

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, Self, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


class _Limit:
    """A deadline, what the user said, and the block around this one."""

    __slots__ = ("at", "outer", "seconds")

    def __init__(self, at: float, seconds: float, outer: _Limit | None) -> None:
        self.at = at
        self.seconds = seconds
        self.outer = outer


# A context variable, so that it is each thread's and each task's own, and goes along with what a task starts.
_limit: ContextVar[_Limit | None] = ContextVar("saranwrap.timeout", default=None)


def enter(seconds: float | None) -> None:
    """Open a block. The earliest deadline of all blocks around a call is the one that counts."""
    outer = _limit.get()
    at = math.inf if seconds is None else time.monotonic() + seconds
    if outer is not None and outer.at <= at:
        inner = _Limit(outer.at, outer.seconds, outer)
    else:
        inner = _Limit(at, at if seconds is None else seconds, outer)
    _limit.set(inner)
    open_block()


def leave() -> None:
    """Close the innermost block."""
    inner = _limit.get()
    _limit.set(inner and inner.outer)
    close_block()


def current() -> tuple[float, float] | None:
    """The seconds that are left, and of how many; None without a deadline."""
    limit = _limit.get()
    return None if limit is None or limit.at == math.inf else (max(limit.at - time.monotonic(), 0.0), limit.seconds)


# So much later, in seconds, may a deadline that came with a call be over here than where it came from.
_ON_ITS_WAY = 0.25


def lift() -> bool:
    """If the deadline has passed, lift it: what cleans up has the grace that the parent gives. Whether it had passed."""
    limit = _limit.get()
    # The parent's clock began earlier, by the time that the request was on its way.
    now = time.monotonic() + _ON_ITS_WAY
    if limit is None or limit.at > now:
        return False
    while limit is not None and limit.at <= now:
        limit.at = math.inf
        limit = limit.outer
    return True


class timeout:  # noqa: N801  it reads as `asyncio.timeout` does
    """A deadline for all calls in a block, or for one: `with saranwrap.timeout(2.0):`, or `timeout(2.0).call(p.method, x)`.

    Each call that goes to a child from inside the block has to be over when `seconds` have passed since the block began. One
    that is not is stopped in the child, and raises `CallTimeout`, which says what it took: the call is cancelled, then
    interrupted, and a child that goes on with it for longer than its `grace` is killed. Of blocks inside each other the earliest
    deadline counts. A deadline goes along with a call: what the child calls for it, here or in children of its own, is bound by
    it as well. It is a context's own, as a task's and a thread's; a new thread has none.

    The idea is from `asyncio.timeout` and from the deadlines of gRPC, which go along with calls.

    Args:
        seconds: how long, from the beginning of the block or of the call; None changes nothing.

    Raises:
        ValueError: `seconds` is negative or no number.
    """

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None and not (isinstance(seconds, int | float) and seconds >= 0):  # type: ignore[redundant-expr]
            raise ValueError(f"a timeout is a number of seconds from 0, or None, not {seconds!r}")
        self._seconds = seconds

    def __enter__(self) -> Self:
        enter(self._seconds)
        return self

    def __exit__(self, *_: object) -> None:
        leave()

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(*args, **kwargs)` in a block of its own: no name of an argument is taken."""
        with self:
            return function(*args, **kwargs)

    @staticmethod
    def left() -> float | None:
        """The seconds that the code which asks has left; None without a deadline. In a child: those of its caller."""
        now = current()
        return None if now is None else now[0]

    def __repr__(self) -> str:
        return f"saranwrap.timeout({self._seconds!r})"
