"""What users call. A proxy has no public methods of its own, so all administration is by these functions."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, Unpack, overload

from saranwrap import _children, _output, _settings, _zygote
from saranwrap._ahead import Prefetch
from saranwrap._children import Child, DeadCallback
from saranwrap._members import Proxy
from saranwrap._native import OPS, Ref, Val
from saranwrap._output import Output
from saranwrap._settings import Settings
from saranwrap._whereabouts import locate, session_of

T = TypeVar("T")


class Several:
    """The base of what stands for several children, and is closed like a proxy."""

    __slots__ = ()

    def __saran_close__(self) -> None:
        raise NotImplementedError


@overload
def wrap(obj: str, dead_callback: DeadCallback | None = None, **settings: Unpack[Settings]) -> Any: ...
@overload
def wrap(obj: T, dead_callback: DeadCallback | None = None, **settings: Unpack[Settings]) -> T: ...
def wrap(
    obj: Any,
    dead_callback: DeadCallback | None = None,
    **settings: Unpack[Settings],
) -> Any:
    """Put `obj` into a process of its own and return a proxy that behaves as `obj` does (from the seed).

    A module is imported there under its name; a class, a function or any other object is pickled into it. What is defined
    in `__main__`, in a REPL or a notebook goes by value, for which the optional extra `saranwrap[cloudpickle]` is needed.

    Args:
        obj: the module or object. With settings that say which interpreter the child runs in, a text is the name of a module.
        dead_callback: see `Child`.
        settings: by_value, trust, env, cwd, spin, start, timeout, grace, concurrency, restart, heartbeat, stdout, stderr, python, venv,
            requirements, progress, path, child: see `Settings`.

    Raises:
        Refused: the process could not be started, or `obj` cannot be sent there.
        ChildDied: the process ended at once.
        ImportError: the module cannot be imported there.
    """
    child = Child(dead_callback, **settings)
    return child.wrap(obj)


def wrap_module(
    fqname: str,
    dead_callback: DeadCallback | None = None,
    **settings: Unpack[Settings],
) -> Any:
    """Import the module `fqname` in a process of its own, and not in this one, and return its proxy (from the seed).

    Args:
        fqname: the module's fully qualified name, such as "xml.etree.ElementTree".
        dead_callback: see `Child`.
        settings: by_value, trust, env, cwd, spin, start, timeout, grace, concurrency, restart, heartbeat, stdout, stderr, python, venv,
            requirements, progress, path, child: see `Settings`.

    Raises:
        ImportError: the module cannot be imported there.
        Refused, ChildDied: as for `wrap`.
    """
    child = Child(dead_callback, **settings)
    return child.wrap_module(fqname)


@contextlib.contextmanager
def wrapped(
    obj: T,
    dead_callback: DeadCallback | None = None,
    **settings: Unpack[Settings],
) -> Iterator[T]:
    """`wrap` for a `with` block: the process is closed at its end. Arguments and errors are those of `wrap`.

    Args:
        obj, dead_callback: see `wrap`.
        settings: by_value, trust, env, cwd, spin, start, timeout, grace, concurrency, restart, heartbeat, stdout, stderr, python, venv,
            requirements, progress, path, child: see `Settings`.
    """
    child = Child(dead_callback, **settings)
    with child:
        yield child.wrap(obj)


def preload(*modules: str | types.ModuleType) -> None:
    """Import these modules once, in a process from which later children are forked: they have them without importing.

    Returns when they are imported there, which takes as long as it takes. A module is best preloaded when it is slow to import,
    starts no threads and opens nothing; docs/guide.md tells what else to think of. The idea is from forkservers, such as that
    of `multiprocessing`.

    Args:
        modules: the modules, or their fully qualified names. They are added to those of earlier calls.

    Raises:
        TypeError: one of them is neither.
        Refused: one of them cannot be imported, or has started threads, so that the process cannot be forked. Nothing has
            changed then.
    """
    names = [module.__name__ if isinstance(module, types.ModuleType) else module for module in modules]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"preload wants modules or their names, not a {type(name).__name__!r} object")
    _zygote.preload(names, _settings.setting(_settings.complete()))


def status(p: object) -> dict[str, Any]:
    """How the process behind a proxy is (from the seed).

    Returns:
        a dict with `object_count` (objects given out to this process), `next_id` (the id the next one will get), `pid`,
        `uptime` (seconds), `requests` (calls served), `bytes_in`, `bytes_out` (over the link) and `memory` (resident set, in
        bytes); and, beyond the seed, `start` ("cold" or "warm") with `why_cold` (a text, empty for a warm one), and of large
        data `blocks_out` and `block_bytes_out` (what it lent to this process) and `blocks_in` (what it uses of this process).

    Raises:
        TypeError: `p` is no proxy.
        ChildDied, LinkClosed: the process has ended.
    """
    return _children.status(locate(p)[0])


def output(p: object) -> Output:
    """What the process behind a proxy has written, as far as it was wrapped with `stdout="capture"` or `stderr="capture"`.

    All that it wrote before its last answer is there; also when it has ended. The last MiB of each stream is kept.

    Returns:
        a named tuple: `stdout` and `stderr`, each a text, or None where it is not captured; and `lost`, how many bytes were
        written before what is kept. Bytes that are no UTF-8 stand in the texts as surrogates (PEP 383), so that
        `text.encode("utf-8", "surrogateescape")` has them.

    Raises:
        TypeError: `p` is no proxy.
        ValueError: neither stream is captured.
    """
    return _output.captured(session_of(p))


def getpid(p: object) -> int:
    """The id of the process behind a proxy (from the seed). Needs no round trip and works when it has ended.

    Raises:
        TypeError: `p` is no proxy.
    """
    return session_of(p).pid


def proxied_type(p: object) -> Any:
    """The type of the object behind a proxy (from the seed): a local class where there is one, else the proxy of the remote one.

    Raises:
        TypeError: `p` is no proxy.
    """
    session, target = locate(p)
    return session.request(OPS["getattr"], target, ("__class__",))


def local(p: T) -> T:
    """The object behind a proxy, by value: a copy that lives here. What is no proxy is returned as it is.

    Plain data (numbers, strings, lists, dicts, sets, bytearrays and the like, to any depth) always comes. Any other object
    comes only from a child that was wrapped with `trust=True`, because that needs pickle.

    Raises:
        NotTransparent: there is something inside that is no plain data, and the child is not trusted.
        ChildDied, LinkClosed: the process has ended.
    """
    if not isinstance(p, Proxy):
        return p
    session, target = locate(p)
    return session.request(OPS["copy"], target, (session.trust, True))  # type: ignore[no-any-return]


def prefetch(p: Iterable[T], n: int) -> Iterator[T]:
    """An iterator over `p` that fetches up to `n` items at a time, whatever it does for them.

    Lists, dicts, sets, ranges and the like are read in batches anyway. A generator, a file or `map` is not, since whoever
    iterates could see what it does for each item; this says that it may do that early. What it raises comes behind the items
    before it. An iterator that is not used up has moved on by what was fetched. What is not remote is iterated as it is.

    Args:
        n: how many items, at least 1. At most 4096 come at a time, or about 64 KiB.

    Raises:
        TypeError: `p` cannot be iterated.
        ValueError: `n` is less than 1.
    """
    if n < 1:
        raise ValueError(f"cannot fetch {n} items at a time")
    iterator = iter(p)
    return Prefetch(iterator, n) if isinstance(iterator, Proxy) else iterator


def val(x: T) -> T:
    """Give this one argument by value (pickled), whatever the default for it is: `p.f(saranwrap.val(x))`."""
    return Val(x)  # type: ignore[return-value]


def ref(x: T) -> T:
    """Give this one argument by reference, whatever the default for it is: `p.f(saranwrap.ref([1, 2]))` shares the list."""
    return Ref(x)  # type: ignore[return-value]


def close(p: object) -> None:
    """End the process behind a proxy, and wait until it has ended. Every later use of its proxies raises `LinkClosed`.

    A process that does not end by itself within 5 seconds is killed. Closing twice is allowed. All processes of a pool end.

    Raises:
        TypeError: `p` is no proxy, and no pool.
    """
    if issubclass(type(p), Several):
        p.__saran_close__()  # type: ignore[attr-defined]  # a proxy's own class is looked at, not what it says it is
    else:
        _children.close(session_of(p))


def kill(p: object) -> None:
    """Kill the process behind a proxy (SIGKILL). Every later use of its proxies raises `ChildDied`.

    Raises:
        TypeError: `p` is no proxy.
    """
    _children.kill(session_of(p))


# In a portable child, whose code has loaded this: its conversation with the parent.
served: list[Any] = []


def cancelled() -> bool:
    """Whether nobody waits any more for the call that this code serves: its deadline has passed, or it was cancelled.

    For code in a child that works on for long without a chance to be interrupted, or that wants to end in order: it has
    the child's `grace` for that. True also for a callback whose child does not wait for it any more.
    """
    serving = getattr(sys.modules.get("saranwrap._child"), "serving", ())
    return any(link.cancelled() for link in (*serving, *served, *list(_children.sessions)) if link.serving)


def run(awaitable: Any) -> Any:
    """Run a remote awaitable to its end in its child, and return its result: what `asyncio.run` does for one that is here.

    A child that serves with `concurrency="asyncio"` runs it as a task, among others; any other with an event loop that it keeps for
    that, while nothing else is served there.

    Raises:
        TypeError: `awaitable` is no proxy, or what it stands for cannot be awaited.
        Deadlock: the loop that would run it waits for this very thread.
    """
    session, target = locate(awaitable)
    return session.request(OPS["await"], target, ())
