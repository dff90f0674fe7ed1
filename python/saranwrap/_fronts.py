"""What every way of waiting has in common: where calls go, what a call is made of, and one flow of calls for each loop and session."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from saranwrap._deadlines import current
from saranwrap._native import OPS, Call, ProxyBase, Session, Stop
from saranwrap._remote import RemoteType
from saranwrap._serving import Steps
from saranwrap.errors import CallTimeout, SaranwrapError

F = TypeVar("F")

# So many calls of one flow are on their way at most; the others wait here, which costs less, until some of those are answered.
MOST_CALLS = 1000

GETATTR, SETATTR, DELATTR, GETITEM, SETITEM, DELITEM, CALL, SPECIAL, AWAIT = (
    OPS[name] for name in "getattr setattr delattr getitem setitem delitem call special await".split()
)

# One step: its op and the arguments of that.
Step = tuple[Any, ...]

# The seconds that are left, and of how many.
Limit = tuple[float, float]


def is_remote(value: object) -> bool:
    """Whether to go on with it means to go over the link: a proxy, or a remote class."""
    kind = type(value)
    return issubclass(kind, (ProxyBase, RemoteType))


def limit_of(session: Session) -> Limit | None:
    """How long a call may take that begins now: the earliest end of the blocks around it and of what its child has for each call."""
    around, own = current(), session.timeout
    if own is None:
        return around
    return around if around is not None and around[0] <= own else (own, own)


def unsent(limit: Limit, steps: tuple[Step, ...]) -> CallTimeout:
    """For a call whose time was over before it went."""
    act = words(steps)
    story = f"{act} took longer than {limit[1]:g} s: the time was over before it was sent"
    return CallTimeout(story, limit[1], "unsent", act)


def late(stop: Stop | None, limit: Limit, steps: tuple[Step, ...]) -> BaseException:
    """For a call that has been stopped."""
    if stop is not None:
        return stop.late(limit[1], words(steps))
    act = words(steps)
    return CallTimeout(f"{act} took longer than {limit[1]:g} s", limit[1], "cancelled", act)


def words(steps: tuple[Step, ...]) -> str:
    """A path as it was written down, near enough."""
    names: dict[int, Callable[[Step], str]] = {
        GETATTR: lambda step: f".{step[1]}",
        SETATTR: lambda step: f".{step[1]} = ...",
        DELATTR: lambda step: f" (del) .{step[1]}",
        GETITEM: lambda step: f"[{step[1]!r}]",
        SETITEM: lambda step: f"[{step[1]!r}] = ...",
        DELITEM: lambda step: f" (del) [{step[1]!r}]",
        CALL: lambda _: "(...)",
        SPECIAL: lambda step: f".{step[1]}(...)",
        AWAIT: lambda step: f" (await) {step[1]}(...)" if len(step) > 1 else " (await)",
    }
    return "".join(names[step[0]](step) for step in steps) or "it"


async def see_through(push: Callable[[], float | None], sleep: Callable[[float], Awaitable[object]]) -> None:
    """Do what makes a call end, until it has."""
    while (pause := push()) is not None:
        await sleep(pause)


async def answer(call: Call, coroutine: Any) -> None:
    """Run a coroutine that a call of the child came to, and answer the call."""
    try:
        value = await Steps(call, call.number, coroutine)  # type: ignore[arg-type]  # it steps as a server does
    except BaseException as error:  # noqa: BLE001  it belongs to whoever asked
        with contextlib.suppress(SaranwrapError):
            call.answer_raised(error)
    else:
        with contextlib.suppress(SaranwrapError):
            call.answer(value)


class Flows(Generic[F]):
    """The flows of a loop, by session. Each lasts as long as its session."""

    def __init__(self) -> None:
        self._flows: weakref.WeakKeyDictionary[Session, F] = weakref.WeakKeyDictionary()

    def find(self, session: Session) -> F | None:
        return self._flows.get(session)

    def put(self, session: Session, flow: F) -> None:
        self._flows[session] = flow

    def all(self) -> list[F]:
        return list(self._flows.values())
