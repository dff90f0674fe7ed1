"""A child with what is put into it: how it begins, how it is closed or killed, and what becomes of all of them at the end."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable
from typing import Any, Self, TypeVar, Unpack

from saranwrap import _home, _output, _pickles, _pulse, _restart, _settings, _zygote
from saranwrap._deadlines import current
from saranwrap._native import OPS, Session, begin_to_end, use_hubs
from saranwrap._settings import Settings
from saranwrap.errors import CallTimeout, ChildDied, Refused, SaranwrapError

T = TypeVar("T")
DeadCallback = Callable[[ChildDied], object]

# A child that is asked to close ends by itself within this many seconds, or is killed.
_CLOSING = 5.0
# At exit, other threads get this many seconds to come to where they can sleep.
_LAST_TURNS = 0.02

# Where one of these is loaded, a call may have to wait in a way of its own.
_modules_of_greenlets = frozenset({"gevent._hub_local", "eventlet.hubs"})

# The children of this process.
sessions: weakref.WeakSet[Session] = weakref.WeakSet()


class Child:
    """A process that can hold several objects: `child.wrap(a); child.wrap(b)`.

    It lives as long as it, or any proxy of an object in it, is held; or until `close` or the end of its `with` block.

    Args:
        dead_callback: called once, with the `ChildDied` that says why, when the process ends without having been closed.
            It runs in a thread of its own as soon as that happens. With `restart`, it is called for each process that dies.
        settings: by_value, trust, env, cwd, spin, start, timeout, grace, concurrency, restart, heartbeat, stdout, stderr, python, venv,
            requirements, progress, path, child: see `Settings`, also for what is raised.
    """

    def __init__(self, dead_callback: DeadCallback | None = None, **settings: Unpack[Settings]) -> None:
        chosen = _settings.complete(**settings)
        routes = _output.routes(chosen["stdout"], chosen["stderr"])
        setting = _settings.setting(chosen, routes.says)
        restart = chosen["restart"]
        self._settings, self._elsewhere = chosen, setting.elsewhere

        def another() -> Session:
            session = _zygote.start(chosen["start"], setting)
            begin(session, chosen, routes)
            return session

        self._supervisor = None if restart is None else _restart.Supervisor(restart, another, dead_callback)
        self._single = another() if self._supervisor is None else None
        if self._single is not None and dead_callback is not None:
            _restart.watch(self._single, dead_callback)

    def wrap(self, obj: T) -> T:
        """Put `obj` into this process and return its proxy. See `saranwrap.wrap`."""
        op, argument = plan(obj, self._settings, self._session.pickle_protocol)
        return self._make(op, argument)  # type: ignore[no-any-return]

    def wrap_module(self, fqname: str) -> Any:
        """Import the module `fqname` in this process and return its proxy. See `saranwrap.wrap_module`."""
        return self._make("import", fqname)

    def _make(self, op: str, argument: object) -> Any:
        try:
            if self._supervisor is not None:
                return self._supervisor.wrap(OPS[op], argument)
            return self._session.request(OPS[op], 0, (argument,))
        except (ImportError, AttributeError) as error:
            if self._elsewhere:
                error.add_note(f"This was in a child whose interpreter is {self._elsewhere}.")
            raise

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
        return status(self._ready())

    def close(self) -> None:
        """See `saranwrap.close`."""
        close(self._session)

    def kill(self) -> None:
        """See `saranwrap.kill`."""
        kill(self._session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<saranwrap.Child pid={self.pid}{'' if self._session.alive else ' ended'}>"


def begin(session: Session, chosen: Settings, routes: _output.Routes) -> None:
    """Set up this side of a conversation that has begun. All settings are given."""
    session.set_limits(chosen["timeout"], chosen["grace"])
    if routes.told:
        _output.listen(session, routes.told)
    _home.begin(session)
    spin, heartbeat = chosen["spin"], chosen["heartbeat"]
    if spin != "auto":
        session.set_spin(spin)
    sessions.add(session)
    if heartbeat is not None:
        _pulse.watch(session, heartbeat)
    # This way round: the other walks through all modules.
    if not sys.modules.keys().isdisjoint(_modules_of_greenlets):
        use_hubs()


# What a child says of itself when it greets.
_TOLD = ("child", "implementation", "python")


def status(session: Session) -> dict[str, Any]:
    """What `saranwrap.status` tells."""
    how, why = _zygote.told(session)
    known = dict(session.request(OPS["status"], 0, ()))
    supervisor = session.supervisor
    return {
        **known,
        **{name: session.peer.get(name, "") for name in _TOLD},
        "start": how,
        "why_cold": why,
        "restarts": 0 if supervisor is None else supervisor.count,
    }


def close(session: Session) -> None:
    """What `saranwrap.close` does."""
    left, seconds = current() or (math.inf, math.inf)
    supervisor = session.supervisor
    if supervisor is not None and supervisor.session is session:
        supervisor.stop()
    session.close()
    if session.wait(min(left, _CLOSING)):
        _output.finish([session], _CLOSING)
        return
    kill(session)
    if left < _CLOSING:
        story = (
            f"closing a child took longer than {seconds} s: it did not end by itself (pid {session.pid}) and was killed"
        )
        raise CallTimeout(story, seconds, "killed", "closing a child")


def kill(session: Session) -> None:
    """What `saranwrap.kill` does."""
    session.kill()
    session.wait(_CLOSING)
    _output.finish([session], _CLOSING)


def plan(obj: object, settings: Settings, protocol: int = 5) -> tuple[str, object]:
    """The op that puts `obj` into a child with these settings, and its argument. `protocol` is the newest of pickle that it knows."""
    if isinstance(obj, types.ModuleType):
        return "import", obj.__name__
    if isinstance(obj, str) and _settings.says_where(settings):
        return "import", obj
    return "adopt", recipe(obj, protocol)


def recipe(obj: object, protocol: int) -> bytes:
    """The pickle that makes `obj` in the child."""
    try:
        return _pickles.dumps(obj, protocol)
    except Exception as error:
        story = f"cannot wrap {_short(obj)}: it cannot be pickled ({_words(error)})"
        if not (_pickles.has_cloudpickle() or isinstance(error, _pickles.NeedsValue)):
            story += "; where that is for its code, pip install 'saranwrap[cloudpickle]' sends it by value"
        raise Refused(story) from error


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
    spoken = [session for session in sessions if others or _output.has_listener(session)]
    for session in spoken:
        with contextlib.suppress(SaranwrapError):
            session.close()
    _output.finish(spoken, _CLOSING)
    _output.settle(_CLOSING)
    _zygote.close_all()


def _other_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread()]


def _forget_all() -> None:
    """After a fork, in the new process: the links stay with the old one."""
    for session in list(sessions):
        session.forget()
    _output.forget_all()
    _zygote.forget_all()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
