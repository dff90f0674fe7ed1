"""Copies and pickles of proxies. Nothing that a child sent is unpickled here unless the child is trusted."""

from __future__ import annotations

import weakref

from saranwrap._members import locate
from saranwrap._native import OPS, Session
from saranwrap._remote import bound
from saranwrap.errors import NotTransparent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

IMPORT, REDUCE, COPY = OPS["import"], OPS["reduce"], OPS["copy"]


def reduce(proxy: Any, name: str) -> Callable[..., Any]:
    """The attributes of a proxy that the copy and pickle modules ask for."""
    if name == "__copy__":
        return lambda: copied(proxy, deep=False)
    if name == "__deepcopy__":
        return lambda _memo=None: copied(proxy, deep=True)
    return lambda protocol=2: _reduce(proxy, protocol)


def copied(proxy: Any, *, deep: bool) -> Any:
    """Plain data by value; other objects by value from a child that is trusted, else a copy made in the child."""
    session, target, _ = locate(proxy)
    if not deep and _plain(proxy):
        return session.request(COPY, target, (session.trust, False))
    if _plain(proxy) or session.trust:
        try:
            return session.request(COPY, target, (session.trust, True))
        except NotTransparent:
            pass  # plain outside, but not all the way down: the copy is made in the child
    module = _imported(session, "copy")
    return module.deepcopy(proxy) if deep else module.copy(proxy)


def _plain(proxy: Any) -> bool:
    return type(proxy).__module__ == "builtins" and type(proxy).__name__ in {"list", "dict", "set", "bytearray"}


def _imported(session: Session, name: str) -> Any:
    return session.request(IMPORT, 0, (name,))


def _reduce(proxy: Any, protocol: Any) -> Any:
    """Pickling, here: by the parts that the object itself names, so that it is unpickled in the child, and never here."""
    from saranwrap import _pickles

    session, target, _ = locate(proxy)
    if _pickles.current() is session:
        return came_home, (target,)
    if _plain(proxy):
        return _reduce_plain(copied(proxy, deep=False))
    kind, function, args, *more = session.request(REDUCE, target, (int(protocol),))
    if kind == "name":
        return named_there, (_token(session), function, args)
    if kind == "call":
        return (function, args, *more)
    if kind == "rebuild":
        return (rebuilt, (_token(session), function, *args), *more)
    return (_REBUILD[kind], (function, *args), *more)


def _reduce_plain(value: Any) -> tuple[Any, ...]:
    """A built-in container; its items come as items do, so a cycle of proxies ends."""
    if isinstance(value, list):
        return list, (), None, iter(value)
    if isinstance(value, dict):
        return dict, (), None, None, iter(value.items())
    return type(value), (bytes(value) if isinstance(value, bytearray) else list(value),)


def new(cls: type, *args: Any) -> Any:
    """`copyreg.__newobj__`, for a remote class."""
    return cls.__new__(cls, *args)


def new_ex(cls: type, args: Any, kwargs: Any) -> Any:
    """`copyreg.__newobj_ex__`, for a remote class."""
    return cls.__new__(cls, *args, **kwargs)


def rebuilt(token: int, cls: type, base: Any, state: Any) -> Any:
    """What `copyreg._reconstructor` of the child makes of this."""
    return named_there(token, "copyreg", "_reconstructor")(cls, base, state)


_REBUILD = {"new": new, "new_ex": new_ex}

_sessions: weakref.WeakValueDictionary[int, Session] = weakref.WeakValueDictionary()


def _token(session: Session) -> int:
    _sessions[id(session)] = session
    return id(session)


def _by_token(token: int) -> Session:
    session = _sessions.get(token)
    if session is None:
        raise NotTransparent(
            "cannot unpickle a proxy here: the child that holds its object is not reachable; pickle saranwrap.local(p) instead"
        )
    return session


def named_there(token: int, module: str, qualname: str) -> Any:
    """What the child has under this name."""
    found = _imported(_by_token(token), module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def came_home(target: int) -> Any:
    """In the child: the object itself, where a pickle from the parent holds its proxy."""
    from saranwrap import _pickles

    session = _pickles.current()
    if session is None:
        raise NotTransparent("cannot unpickle here what was pickled on its way to a child")
    return session.exported(target)


def reduce_class(cls: type) -> Any:
    from saranwrap import _pickles

    session, number = bound(cls)
    if _pickles.current() is session:
        return came_home, (number,)
    return _class_of, (_token(session), number)


def _class_of(token: int, number: int) -> type:
    cls: type = _by_token(token).mirror(number)
    return cls
