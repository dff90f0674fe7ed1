"""What users call. A proxy has no public methods of its own, so all administration is by these functions."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import subprocess
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar

from saranwrap import _home, _output, _pulse, _restart, _values, _zygote
from saranwrap._ahead import Prefetch
from saranwrap._deadlines import current
from saranwrap._members import Proxy
from saranwrap._native import OPS, Ref, Session, Val, begin_to_end, use_hubs
from saranwrap._output import Output, Sink
from saranwrap._restart import Restart
from saranwrap._whereabouts import locate, session_of
from saranwrap._zygote import Start
from saranwrap.errors import CallTimeout, ChildDied, Refused, SaranwrapError

T = TypeVar("T")
DeadCallback = Callable[[ChildDied], object]
Spin = float | Literal["auto"]
Concurrency = Literal["serial", "asyncio"] | int

# A child that is asked to close ends by itself within this many seconds, or is killed.
_CLOSING = 5.0
# At exit, other threads get this many seconds to come to where they can sleep.
_LAST_TURNS = 0.02

# A child serves on no more threads than this.
_MOST_THREADS = 1024

# Where one of these is loaded, a call may have to wait in a way of its own.
_modules_of_greenlets = frozenset({"gevent._hub_local", "eventlet.hubs"})

_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


class Child:
    """A process that can hold several objects: `child.wrap(a); child.wrap(b)`.

    It lives as long as it, or any proxy of an object in it, is held; or until `close` or the end of its `with` block.

    Args:
        dead_callback: called once, with the `ChildDied` that says why, when the process ends without having been closed.
            It runs in a thread of its own as soon as that happens. With `restart`, it is called for each process that dies.
        by_value: classes whose instances go into the child by value (pickled), whatever the default for them is.
        trust: whether `local`, `copy.copy` and `copy.deepcopy` may unpickle what the child sends. Leave it False for code
            that you do not trust: unpickling runs code.
        env: the child's environment; None means a copy of this process's.
        cwd: the directory the child starts in; None means this process's.
        spin: how long, in microseconds, either process may look for what it waits for before it sleeps. Looking is what makes a
            call take one microsecond rather than forty, and costs a processor meanwhile. "auto" looks for up to 50 (a child that
            has just answered: 200) where that turns out to be worth it, and never on a machine with one processor; 0 never looks.
        restart: how another process takes the place of one that died: see `Restart`. None leaves it dead.
        heartbeat: kill the process when it hangs: when a call is under way and none of its threads has run for this many seconds.
            A call that only waits, as `time.sleep` does, looks like that too: make it longer than any such wait. An endless loop
            runs, and is not found. See docs/supervision.md.
        start: "cold" starts an interpreter. "warm" forks one that waits for that, a *zygote*, and makes it first if there is
            none. "auto" does so from the second child of a kind on, and where that fails starts cold.
        timeout: how long each call may take, in seconds; None means for ever. See `saranwrap.timeout`, by which it can be shortened.
        grace: how long, in seconds, a call that took too long may go on after it was cancelled and interrupted, before the process is
            killed.
        concurrency: how many calls are served at once. "serial": one, on the main thread. A number of threads: calls of
            different threads of this process run at once, on up to so many threads of that one. "asyncio": its main thread
            runs an event loop; what is awaited (`saranwrap.run`) is a task of it, everything else is done between tasks.
        stdout, stderr: where what the child writes goes, be it by `print`, from C or by a process that the child starts. None or
            "inherit": where this process's goes. "capture": the last MiB of it is kept, for `output`. A function: it is called
            with each line as a text, with its end, in a thread of its own. A `logging.Logger`, or a level of logging: each line
            becomes a record (of the logger "saranwrap.stdout" or "saranwrap.stderr" where only a level is given). See docs/output.md.

    Raises:
        ValueError: `spin` is neither "auto" nor a number of microseconds from 0 to a million; `start` is none of the three;
            `timeout` or `grace` is negative; `concurrency` is none of these; `heartbeat` is not above 0; `stdout` or `stderr` is a
            text that means nothing.
        TypeError: `stdout` or `stderr` is nothing that can be told anything.
        Refused: the process could not be started, or it speaks another version of the protocol.
        ChildDied: it ended before it could greet.
    """

    def __init__(
        self,
        dead_callback: DeadCallback | None = None,
        *,
        by_value: Sequence[type] = (),
        trust: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        spin: Spin = "auto",
        start: Start = "auto",
        timeout: float | None = None,
        grace: float = 1.0,
        concurrency: Concurrency = "serial",
        restart: Restart | None = None,
        heartbeat: float | None = None,
        stdout: Sink = None,
        stderr: Sink = None,
    ) -> None:
        _check_spin(spin)
        _check_limits(timeout, grace, concurrency)
        _check_start(env, cwd)
        if heartbeat is not None and not heartbeat > 0:
            raise ValueError(f"heartbeat must be seconds above 0 or None, not {heartbeat!r}")
        routes = _output.routes(stdout, stderr)
        setting = _setting(env, cwd, spin, tuple(by_value), trust)._replace(concurrency=concurrency, says=routes.says)

        def begin() -> Session:
            session = _zygote.start(start, setting)
            session.set_limits(timeout, grace)
            if routes.told:
                _output.listen(session, routes.told)
            _home.begin(session)
            if spin != "auto":
                session.set_spin(spin)
            _sessions.add(session)
            if heartbeat is not None:
                _pulse.watch(session, heartbeat)
            if not _modules_of_greenlets.isdisjoint(sys.modules):
                use_hubs()
            return session

        self._supervisor = None if restart is None else _restart.Supervisor(restart, begin, dead_callback)
        self._single = begin() if self._supervisor is None else None
        if self._single is not None and dead_callback is not None:
            _restart.watch(self._single, dead_callback)

    def wrap(self, obj: T) -> T:
        """Put `obj` into this process and return its proxy. See `saranwrap.wrap`."""
        if isinstance(obj, types.ModuleType):
            return self.wrap_module(obj.__name__)  # type: ignore[no-any-return]
        return self._make("adopt", _recipe(obj))  # type: ignore[no-any-return]

    def wrap_module(self, fqname: str) -> Any:
        """Import the module `fqname` in this process and return its proxy. See `saranwrap.wrap_module`."""
        return self._make("import", fqname)

    def _make(self, op: str, argument: object) -> Any:
        if self._supervisor is not None:
            return self._supervisor.wrap(OPS[op], argument)
        return self._session.request(OPS[op], 0, (argument,))

    @property
    def _session(self) -> Session:
        if self._supervisor is not None:
            return self._supervisor.session
        assert self._single is not None  # one of the two was made
        return self._single

    def _ready(self) -> Session:
        """The session to ask; that of another process, if this one is to be replaced."""
        return self._session if self._supervisor is None else self._supervisor.current()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._session.pid

    def status(self) -> dict[str, Any]:
        """See `saranwrap.status`."""
        return _status(self._ready())

    def close(self) -> None:
        """See `saranwrap.close`."""
        _close(self._session)

    def kill(self) -> None:
        """See `saranwrap.kill`."""
        _kill(self._session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<saranwrap.Child pid={self.pid}{'' if self._session.alive else ' ended'}>"


class Several:
    """The base of what stands for several children, and is closed like a proxy."""

    __slots__ = ()

    def __saran_close__(self) -> None:
        raise NotImplementedError


def _check_spin(spin: object) -> None:
    if spin != "auto" and not (isinstance(spin, int | float) and 0 <= spin <= 1e6):
        raise ValueError(f'spin must be "auto" or microseconds from 0 to a million, not {spin!r}')


def _check_limits(timeout: object, grace: object, concurrency: object) -> None:
    for name, seconds in (("timeout", 0 if timeout is None else timeout), ("grace", grace)):
        if not (isinstance(seconds, int | float) and seconds >= 0):
            raise ValueError(f"{name} must be a number of seconds from 0, not {seconds!r}")
    threads = isinstance(concurrency, int) and not isinstance(concurrency, bool) and 1 <= concurrency <= _MOST_THREADS
    if not threads and concurrency not in {"serial", "asyncio"}:
        wanted = f'"serial", "asyncio" or a number of threads from 1 to {_MOST_THREADS}'
        raise ValueError(f"concurrency must be {wanted}, not {concurrency!r}")


def _setting(
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
    spin: Spin,
    by_value: tuple[type, ...],
    trust: bool,
) -> _zygote.Setting:
    return _zygote.Setting(
        program=sys.executable,
        flags=tuple(subprocess._args_from_interpreter_flags()),  # type: ignore[attr-defined]
        env=None if env is None else [(str(name), str(value)) for name, value in env.items()],
        cwd=None if cwd is None else os.fspath(cwd),
        # Absolute, since a relative one means another place in a child that starts elsewhere.
        path=[os.path.abspath(p) for p in sys.path if isinstance(p, str)],  # type: ignore[redundant-expr]  # anything can be put there
        argv=[a for a in sys.argv if isinstance(a, str)] or [""],  # type: ignore[redundant-expr]  # anything can be put there
        spin=None if spin == "auto" else float(spin),
        by_value=by_value,
        trust=trust,
        transport=os.environ.get("SARANWRAP_TRANSPORT", "ring"),
    )


def _check_start(env: Mapping[str, str] | None, cwd: str | os.PathLike[str] | None) -> None:
    """Say what is wrong with how a child is to be started, where the kernel's own words would not."""
    if not sys.executable:
        raise Refused(
            "cannot start a child: this interpreter is embedded and names no program of its own (sys.executable)"
        )
    if cwd is not None and not os.path.isdir(cwd):
        why = "is not a directory" if os.path.exists(cwd) else "does not exist"
        raise Refused(f"cannot start a child in {os.fspath(cwd)!r}: that {why}")
    for name, value in (env or {}).items():
        if not name or "=" in name or "\0" in f"{name}{value}":
            raise Refused(f"cannot start a child with the environment variable {name!r}: it has no such name or value")


def wrap(
    obj: T,
    dead_callback: DeadCallback | None = None,
    *,
    by_value: Sequence[type] = (),
    trust: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    spin: Spin = "auto",
    start: Start = "auto",
    timeout: float | None = None,
    grace: float = 1.0,
    concurrency: Concurrency = "serial",
    restart: Restart | None = None,
    heartbeat: float | None = None,
    stdout: Sink = None,
    stderr: Sink = None,
) -> T:
    """Put `obj` into a process of its own and return a proxy that behaves as `obj` does (from the seed).

    A module is imported there under its name; a class, a function or any other object is pickled into it. What is defined
    in `__main__`, in a REPL or a notebook goes by value, for which the optional extra `saranwrap[cloudpickle]` is needed.

    Args:
        obj: the module or object.
        dead_callback, by_value, trust, env, cwd, spin, start, timeout, grace, concurrency, restart, heartbeat, stdout,
            stderr: see `Child`.

    Raises:
        Refused: the process could not be started, or `obj` cannot be sent there.
        ChildDied: the process ended at once.
        ImportError: the module cannot be imported there.
    """
    child = Child(
        dead_callback,
        by_value=by_value,
        trust=trust,
        env=env,
        cwd=cwd,
        spin=spin,
        start=start,
        timeout=timeout,
        grace=grace,
        concurrency=concurrency,
        restart=restart,
        heartbeat=heartbeat,
        stdout=stdout,
        stderr=stderr,
    )
    return child.wrap(obj)


def wrap_module(
    fqname: str,
    dead_callback: DeadCallback | None = None,
    *,
    by_value: Sequence[type] = (),
    trust: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    spin: Spin = "auto",
    start: Start = "auto",
    timeout: float | None = None,
    grace: float = 1.0,
    concurrency: Concurrency = "serial",
    restart: Restart | None = None,
    heartbeat: float | None = None,
    stdout: Sink = None,
    stderr: Sink = None,
) -> Any:
    """Import the module `fqname` in a process of its own, and not in this one, and return its proxy (from the seed).

    Args:
        fqname: the module's fully qualified name, such as "xml.etree.ElementTree".
        dead_callback, by_value, trust, env, cwd, spin, start, timeout, grace, concurrency, restart, heartbeat, stdout,
            stderr: see `Child`.

    Raises:
        ImportError: the module cannot be imported there.
        Refused, ChildDied: as for `wrap`.
    """
    child = Child(
        dead_callback,
        by_value=by_value,
        trust=trust,
        env=env,
        cwd=cwd,
        spin=spin,
        start=start,
        timeout=timeout,
        grace=grace,
        concurrency=concurrency,
        restart=restart,
        heartbeat=heartbeat,
        stdout=stdout,
        stderr=stderr,
    )
    return child.wrap_module(fqname)


@contextlib.contextmanager
def wrapped(
    obj: T,
    dead_callback: DeadCallback | None = None,
    *,
    by_value: Sequence[type] = (),
    trust: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    spin: Spin = "auto",
    start: Start = "auto",
    timeout: float | None = None,
    grace: float = 1.0,
    concurrency: Concurrency = "serial",
    restart: Restart | None = None,
    heartbeat: float | None = None,
    stdout: Sink = None,
    stderr: Sink = None,
) -> Iterator[T]:
    """`wrap` for a `with` block: the process is closed at its end. Arguments and errors are those of `wrap`."""
    child = Child(
        dead_callback,
        by_value=by_value,
        trust=trust,
        env=env,
        cwd=cwd,
        spin=spin,
        start=start,
        timeout=timeout,
        grace=grace,
        concurrency=concurrency,
        restart=restart,
        heartbeat=heartbeat,
        stdout=stdout,
        stderr=stderr,
    )
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
    _check_start(None, None)
    _zygote.preload(names, _setting(None, None, "auto", (), trust=False))


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
    return _status(locate(p)[0])


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
        _close(session_of(p))


def kill(p: object) -> None:
    """Kill the process behind a proxy (SIGKILL). Every later use of its proxies raises `ChildDied`.

    Raises:
        TypeError: `p` is no proxy.
    """
    _kill(session_of(p))


def _status(session: Session) -> dict[str, Any]:
    how, why = _zygote.told(session)
    known = dict(session.request(OPS["status"], 0, ()))
    supervisor = session.supervisor
    return {**known, "start": how, "why_cold": why, "restarts": 0 if supervisor is None else supervisor.count}


def _close(session: Session) -> None:
    left, seconds = current() or (math.inf, math.inf)
    supervisor = session.supervisor
    if supervisor is not None and supervisor.session is session:
        supervisor.stop()
    session.close()
    if session.wait(min(left, _CLOSING)):
        _output.finish([session], _CLOSING)
        return
    _kill(session)
    if left < _CLOSING:
        story = (
            f"closing a child took longer than {seconds} s: it did not end by itself (pid {session.pid}) and was killed"
        )
        raise CallTimeout(story, seconds, "killed", "closing a child")


def cancelled() -> bool:
    """Whether nobody waits any more for the call that this code serves: its deadline has passed, or it was cancelled.

    For code in a child that works on for long without a chance to be interrupted, or that wants to end in order: it has
    the child's `grace` for that. True also for a callback whose child does not wait for it any more.
    """
    serving = getattr(sys.modules.get("saranwrap._child"), "serving", ())
    return any(session.cancelled() for session in (*serving, *list(_sessions)) if session.serving)


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


def _kill(session: Session) -> None:
    session.kill()
    session.wait(_CLOSING)
    _output.finish([session], _CLOSING)


def _recipe(obj: object) -> bytes:
    """The pickle that makes `obj` in the child."""
    try:
        return _values.pickle(None, obj)[0]
    except Exception as error:  # noqa: BLE001  pickling runs the object's own code, which may raise anything
        reason = error
    try:
        import cloudpickle
    except ImportError:
        hint = "" if isinstance(reason, _values.NeedsValue) else " or cannot be pickled"
        raise Refused(
            f"cannot wrap {_short(obj)}: it is defined where the child cannot import it{hint} ({_words(reason)}); "
            "pip install 'saranwrap[cloudpickle]' to send such code by value"
        ) from reason
    try:
        return cloudpickle.dumps(obj, 5)  # type: ignore[no-any-return]
    except Exception as error:
        raise Refused(f"cannot wrap {_short(obj)}: it cannot be pickled ({_words(error)})") from error


def _words(error: BaseException) -> str:
    """What an exception says, or at least what it is: its own `str` may raise."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  foreign code
        return type(error).__name__


def _short(obj: object) -> str:
    name = getattr(obj, "__qualname__", None)
    return f"{type(obj).__name__} {name!r}" if isinstance(name, str) else f"a {type(obj).__name__!r} object"


def _close_all() -> None:
    """At exit: what children say last is told, and every other thread that uses one sleeps before the interpreter goes.

    Where there are no such threads, the other children live on. What is in a module or in a cycle is destroyed after this, and its
    `__del__` may use a proxy, as it may use a local object. The last links end with this process, and the children by that.
    """
    others = any(thread.is_alive() and not thread.name.startswith("saranwrap-") for thread in _other_threads())
    if others:
        begin_to_end()
        # Long enough for those that are about to ask something to get so far.
        time.sleep(_LAST_TURNS)
    sessions = [session for session in _sessions if others or _output.has_listener(session)]
    for session in sessions:
        with contextlib.suppress(SaranwrapError):
            session.close()
    _output.finish(sessions, _CLOSING)
    _output.settle(_CLOSING)
    _zygote.close_all()


def _other_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread()]


def _forget_all() -> None:
    """After a fork, in the new process: the links stay with the old one."""
    for session in list(_sessions):
        session.forget()
    _output.forget_all()
    _zygote.forget_all()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
