"""Proxies for event loops: `sec = await t.gmtime(0).tm_sec`. What is awaited is gathered first, and travels as one request."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Unpack

from saranwrap import _api
from saranwrap._children import DeadCallback
from saranwrap._fronts import (
    AWAIT,
    CALL,
    DELATTR,
    DELITEM,
    GETATTR,
    GETITEM,
    SETATTR,
    SETITEM,
    SPECIAL,
    Step,
    is_remote,
    limit_of,
    words,
)
from saranwrap._native import Session
from saranwrap._settings import Settings
from saranwrap._whereabouts import locate
from saranwrap.errors import NotTransparent

__all__ = [
    "Remote",
    "close",
    "delattr",
    "delitem",
    "proxy",
    "remote",
    "setattr",
    "setitem",
    "wrap",
    "wrap_module",
    "wrapped",
]


class Remote:
    """Something in a child, for use in an event loop: what is done with it is written down, and sent when that is awaited.

    Attributes, items and calls give another `Remote`. `await` sends all of them as one request and gives what they come to: a
    value, or a `Remote` of an object that stays there. What can be awaited there is awaited there. `async for` and `async with`
    work with what is asynchronous in the child, and with plain iterators and context managers as well.
    """

    __slots__ = ("__weakref__", "_saran_entered", "_saran_root", "_saran_steps")

    _saran_root: _Root
    _saran_steps: tuple[Step, ...]
    _saran_entered: Any

    def __init__(self) -> None:
        raise TypeError("saranwrap.aio.remote makes a Remote of a proxy, and saranwrap.aio.wrap of an object")

    def __getattr__(self, name: str) -> Remote:
        return _with(self, (GETATTR, name))

    def __getitem__(self, item: Any) -> Remote:
        return _with(self, (GETITEM, _given(item)))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Remote:
        """Written down like everything else."""
        given = tuple(_given(arg) for arg in args)
        return _with(self, (CALL, given, {name: _given(arg) for name, arg in kwargs.items()} or None))

    def __await__(self) -> Generator[Any, Any, Any]:
        return _get(self).__await__()

    def __setattr__(self, name: str, value: Any) -> None:
        raise NotTransparent(
            f"an attribute cannot be set without waiting: await saranwrap.aio.setattr(p, {name!r}, value)"
        )

    def __delattr__(self, name: str) -> None:
        raise NotTransparent(
            f"an attribute cannot be deleted without waiting: await saranwrap.aio.delattr(p, {name!r})"
        )

    def __setitem__(self, item: Any, value: Any) -> None:
        raise NotTransparent("an item cannot be set without waiting: await saranwrap.aio.setitem(p, item, value)")

    def __delitem__(self, item: Any) -> None:
        raise NotTransparent("an item cannot be deleted without waiting: await saranwrap.aio.delitem(p, item)")

    def __bool__(self) -> bool:
        raise NotTransparent("whether it is true is not known without waiting: await it, or its __bool__")

    def __iter__(self) -> Any:
        raise NotTransparent("it cannot be iterated without waiting: use `async for`")

    def __enter__(self) -> Any:
        raise NotTransparent("it cannot be entered without waiting: use `async with`")

    def __exit__(self, *_: object) -> None:
        raise NotTransparent("it cannot be entered without waiting: use `async with`")

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Remote)
            and not self._saran_steps
            and not other._saran_steps
            and self._saran_root.proxy is other._saran_root.proxy
        )

    def __hash__(self) -> int:
        return id(self._saran_root.proxy)

    def __repr__(self) -> str:
        return f"<saranwrap.aio.Remote {words(self._saran_steps) if self._saran_steps else 'object'} in pid {self._saran_root.session.pid}>"

    def __aiter__(self) -> AsyncIterator[Any]:
        return _iterate(self)

    async def __anext__(self) -> Any:
        return await _next(_root_of(await _fetch(self)))

    async def __aenter__(self) -> Any:
        root = _root_of(await _fetch(self))
        if hasattr(_class_of(root), "__aenter__"):
            entered = await _ask(root, ((AWAIT, "__aenter__", ()),))
        else:
            entered = await _ask(root, ((SPECIAL, "__enter__", ()),))
        if self._saran_entered is None:
            object.__setattr__(self, "_saran_entered", [])
        self._saran_entered.append(root)
        return _told(entered)

    async def __aexit__(self, *raised: object) -> Any:
        root = self._saran_entered.pop()
        step = (AWAIT, "__aexit__", raised) if hasattr(_class_of(root), "__aexit__") else (SPECIAL, "__exit__", raised)
        return await _ask(root, (step,))


class _Root:
    """Where a path begins."""

    __slots__ = ("flow", "loop", "proxy", "session", "target")

    def __init__(self, proxy: Any) -> None:
        self.session, self.target = locate(proxy)
        self.proxy = proxy
        self.loop: Any = None
        self.flow: Any = None


def _make(root: _Root, steps: tuple[Step, ...]) -> Remote:
    made = object.__new__(Remote)
    object.__setattr__(made, "_saran_root", root)
    object.__setattr__(made, "_saran_steps", steps)
    object.__setattr__(made, "_saran_entered", None)
    return made


def _with(path: Remote, step: Step) -> Remote:
    return _make(path._saran_root, (*path._saran_steps, step))


def _given(arg: Any) -> Any:
    """An argument as it goes to the child: a remote object is itself there."""
    if type(arg) is not Remote:
        return arg
    if arg._saran_steps:
        raise NotTransparent(f"{arg!r} is no value yet: await it before it is given to anything")
    return arg._saran_root.proxy


def _told(value: Any) -> Any:
    return _make(_Root(value), ()) if is_remote(value) else value


def _root_of(value: Any) -> _Root:
    return _Root(value)


def _class_of(root: _Root) -> type:
    return type(root.proxy)


def _ask(root: _Root, steps: tuple[Step, ...]) -> Awaitable[Any]:
    """Ask from within the loop that is running now."""
    loop = _running()
    if loop is None or root.loop is not loop:
        root.flow, root.loop = _flow_of(root.session, loop), loop
    asking: Awaitable[Any] = root.flow.ask(root.target, steps, limit_of(root.session))
    return asking


def _running() -> Any:
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


def _flow_of(session: Session, loop: Any) -> Any:
    if loop is not None:
        from saranwrap import _asyncio

        return _asyncio.flow_of(session, loop)
    if "trio" in sys.modules:
        from saranwrap import _trio

        return _trio.flow_of(session)
    raise RuntimeError("this can be awaited in asyncio or trio, and neither is running in this thread")


async def _fetch(path: Remote) -> Any:
    """What a path comes to, as plain code would get it."""
    if not path._saran_steps:
        return path._saran_root.proxy
    return await _ask(path._saran_root, path._saran_steps)


async def _get(path: Remote) -> Any:
    value = await _fetch(path)
    if not is_remote(value):
        return value
    if hasattr(type(value), "__await__"):
        value = await _ask(_Root(value), ((AWAIT,),))
    return _told(value)


async def _iterate(path: Remote) -> AsyncIterator[Any]:
    value = await _fetch(path)
    if not is_remote(value):
        for item in value:
            yield item
        return
    root = _Root(value)
    name = "__aiter__" if hasattr(type(value), "__aiter__") else "__iter__"
    iterator = _Root(await _ask(root, ((SPECIAL, name, ()),)))
    while True:
        try:
            item = await _next(iterator)
        except StopAsyncIteration:
            return
        yield item


async def _next(iterator: _Root) -> Any:
    if hasattr(_class_of(iterator), "__anext__"):
        return _told(await _ask(iterator, ((AWAIT, "__anext__", ()),)))
    # A coroutine must not raise StopIteration.
    try:
        item = await iterator_step(iterator)
    except _Ended:
        raise StopAsyncIteration from None
    return _told(item)


class _Ended(Exception):
    """An iterator of the child has no more."""


async def iterator_step(iterator: _Root) -> Any:
    """The next item of a plain iterator."""
    asked = _ask(iterator, ((SPECIAL, "__next__", ()),))
    try:
        return await asked
    except RuntimeError as error:
        if isinstance(error.__cause__, StopIteration):
            raise _Ended from None
        raise


def remote(p: Any) -> Any:
    """A proxy, for use in an event loop.

    Raises:
        TypeError: `p` is no proxy.
    """
    return p if isinstance(p, Remote) else _make(_Root(p), ())


def proxy(r: Any) -> Any:
    """The plain proxy of a `Remote`, whose operations wait, and so keep the loop from anything else meanwhile.

    Raises:
        NotTransparent: it is not known yet, since it has not been awaited.
    """
    return _given(r)


async def setattr(r: Any, name: str, value: Any) -> None:  # noqa: A001  it is the awaited form of that
    """`r.name = value`, awaited. `r` may be a path of attributes, items and calls."""
    await _do(r, (SETATTR, name, _given(value)))


async def delattr(r: Any, name: str) -> None:  # noqa: A001
    """`del r.name`, awaited."""
    await _do(r, (DELATTR, name))


async def setitem(r: Any, item: Any, value: Any) -> None:
    """`r[item] = value`, awaited."""
    await _do(r, (SETITEM, _given(item), _given(value)))


async def delitem(r: Any, item: Any) -> None:
    """`del r[item]`, awaited."""
    await _do(r, (DELITEM, _given(item)))


async def _do(path: Any, step: Step) -> None:
    path = remote(path)
    await _ask(path._saran_root, (*path._saran_steps, step))


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Do what blocks in a thread, and wait for it, whatever becomes of the task: there is something to be closed at its end."""
    if _running() is not None:
        import asyncio

        return await asyncio.shield(asyncio.to_thread(work))
    import trio

    return await trio.to_thread.run_sync(work)


async def wrap(obj: Any, dead_callback: DeadCallback | None = None, **settings: Unpack[Settings]) -> Any:
    """`saranwrap.wrap` for an event loop, with its arguments: other tasks run while the process starts.

    Returns:
        a `Remote`.
    """
    return remote(await _in_thread(lambda: _api.wrap(obj, dead_callback, **settings)))


async def wrap_module(fqname: str, dead_callback: DeadCallback | None = None, **settings: Unpack[Settings]) -> Any:
    """`saranwrap.wrap_module` for an event loop, with its arguments. Returns a `Remote`."""
    return remote(await _in_thread(lambda: _api.wrap_module(fqname, dead_callback, **settings)))


async def close(r: Any) -> None:
    """End the process behind a `Remote`, and wait until it has ended."""
    session = remote(r)._saran_root.session
    # First, so that whoever awaits something of it is told.
    session.close()
    await _in_thread(lambda: _api.close(r._saran_root.proxy if isinstance(r, Remote) else r))


class wrapped:  # noqa: N801  it is used as a function
    """`saranwrap.wrapped` for an event loop: `async with saranwrap.aio.wrapped(time) as t:`. The process is closed at its end.

    Args:
        obj, dead_callback, settings: those of `saranwrap.wrap`.
    """

    def __init__(self, obj: Any, dead_callback: DeadCallback | None = None, **settings: Unpack[Settings]) -> None:
        self._wrap = lambda: _api.wrap(obj, dead_callback, **settings)
        self._remote: Any = None

    async def __aenter__(self) -> Any:
        self._remote = remote(await _in_thread(self._wrap))
        return self._remote

    async def __aexit__(self, *_: object) -> None:
        await close(self._remote)
