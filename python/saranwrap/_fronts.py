"""What every way of waiting has in common: where calls go, what a call is made of, and one flow of calls for each loop and session."""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

from saranwrap._native import OPS, ProxyBase, Session
from saranwrap._remote import RemoteType

F = TypeVar("F")

# So many calls of one flow are on their way at most; the others wait here, which costs less, until some of those are answered.
MOST_CALLS = 1000

GETATTR, SETATTR, DELATTR, GETITEM, SETITEM, DELITEM, CALL, SPECIAL, AWAIT = (
    OPS[name] for name in "getattr setattr delattr getitem setitem delitem call special await".split()
)

# One step: its op and the arguments of that.
Step = tuple[Any, ...]


def is_remote(value: object) -> bool:
    """Whether to go on with it means to go over the link: a proxy, or a remote class."""
    kind = type(value)
    return issubclass(kind, (ProxyBase, RemoteType))


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
