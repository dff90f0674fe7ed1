"""The session and the id of whatever stands for something in a child: an object, a class, a stand-in with a value, a `Child`."""

from __future__ import annotations

from typing import Any

from saranwrap import _valued
from saranwrap._native import ProxyBase, Session, identity, whereabouts
from saranwrap._remote import RemoteType, bound, raw_dict


def locate(p: object) -> tuple[Session, int]:
    """Where to ask for what `p` stands for: a child that is to be replaced is replaced first.

    Raises:
        TypeError: `p` stands for nothing remote.
    """
    if issubclass(type(p), RemoteType):
        return bound(p)  # type: ignore[arg-type]
    handle = _handle(p)
    if handle is not None:
        session, target, _ = identity(handle)
        return session, target
    return _of_child(p)._ready(), 0


def session_of(p: object) -> Session:
    """The session of what `p` stands for as it is, though it may have ended.

    Raises:
        TypeError: `p` stands for nothing remote.
    """
    if issubclass(type(p), RemoteType):
        held: Session | None = raw_dict(p).get("_saran_hold_")
        return held or bound(p)[0]  # type: ignore[arg-type]
    handle = _handle(p)
    if handle is not None:
        return whereabouts(handle)
    session: Session = _of_child(p)._session
    return session


def _handle(p: Any) -> ProxyBase | None:
    kind = type(p)
    if issubclass(kind, ProxyBase):
        return p  # type: ignore[no-any-return]
    return _valued.handle_of(p) if isinstance(kind, RemoteType) else None


def _of_child(p: Any) -> Any:
    if not hasattr(type(p), "_ready"):
        raise TypeError(f"expected a proxy, not a {type(p).__name__!r} object")
    return p
