"""`isolated`: a function, each call of which runs in a child."""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from saranwrap import _settings, _tasks
from saranwrap._deadlines import timeout
from saranwrap._runner import Raised, Runner, Unprepared, Unreadable
from saranwrap._settings import Settings, Surroundings
from saranwrap.errors import CallTimeout

P = ParamSpec("P")
R = TypeVar("R")


@overload
def isolated(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def isolated(
    *,
    timeout: float | None = None,
    memory: int | None = None,
    max_tasks_per_child: int | None = None,
    trust: bool = False,
    **surroundings: Unpack[Surroundings],
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def isolated(
    function: Callable[..., Any] | None = None,
    /,
    *,
    timeout: float | None = None,
    memory: int | None = None,
    max_tasks_per_child: int | None = None,
    trust: bool = False,
    **surroundings: Unpack[Surroundings],
) -> Any:
    """Have each call of a function run in a child: `@isolated`, or `@isolated(timeout=5.0, memory=500_000_000)`.

    Arguments and results are copies, and so is the `self` of a method. A child is kept for the next call; calls that several
    threads make at the same time have a child each. One that was too slow or too big, or died, is replaced. A function that
    calls itself does so in its child.

    Args:
        timeout: seconds that a call may take; then its child is killed, and the call raises `CallTimeout`. The start of a child
            is not counted. None means no limit.
        memory: bytes that the child may have of its own (RLIMIT_DATA), the interpreter's some 20 MB included. An allocation
            beyond that fails, for which Python code raises `MemoryError`.
        max_tasks_per_child: after how many calls a child is replaced by a new one; 1 gives each call a child of its own.
        trust: whether results may be unpickled here. Plain data (see `local`) needs no trust.
        surroundings: env, cwd, start, python, venv, requirements, progress, child, path: see `Settings`.

    Raises:
        TypeError: what is decorated is no plain function: a generator or coroutine function, a class, a `staticmethod`.
        ValueError: a limit is not above zero.

    A call raises what the function raises, and `ChildDied` when the child dies; also what keeps the arguments from being
    pickled, and `NotTransparent` for a result that would need trust.
    """
    for name, limit in (("timeout", timeout), ("memory", memory), ("max_tasks_per_child", max_tasks_per_child)):
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} must be greater than 0, not {limit!r}")
    # Whoever limits a call wants it to end: there is no grace.
    settings = _settings.complete_native(trust=trust, grace=0.0, **surroundings)
    limits = timeout, memory, max_tasks_per_child
    if function is None:
        return lambda function: _isolate(function, settings, limits)
    return _isolate(function, settings, limits)


_Limits = tuple[float | None, int | None, int | None]


def _isolate(function: Callable[P, R], settings: Settings, limits: _Limits) -> Callable[P, R]:
    _check(function)
    isolation = _Isolation(function, settings, limits)

    @functools.wraps(function)
    def isolated(*args: P.args, **kwargs: P.kwargs) -> R:
        return isolation.call(args, kwargs)  # type: ignore[no-any-return]

    # What the child calls when it finds this under the function's name.
    isolated.__saran_isolated__ = function  # type: ignore[attr-defined]
    return isolated


def _check(function: Any) -> None:
    name = getattr(function, "__qualname__", repr(function))
    if isinstance(function, staticmethod | classmethod | property):
        raise TypeError(f"isolated: put @{type(function).__name__} above it, not below, for {name}")
    if isinstance(function, type):
        raise TypeError(f"isolated: {name} is a class; saranwrap.wrap({name}) has its objects in a child")
    if not callable(function):
        raise TypeError(f"isolated: {name} is not a function")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"isolated: {name} is asynchronous; decorate a plain function and await it in a thread")
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"isolated: {name} is a generator, whose state would stay in the child; return a list")


class _Isolation:
    """The children of an isolated function. `lock` guards `idle`."""

    def __init__(self, function: Callable[..., Any], settings: Settings, limits: _Limits) -> None:
        self.function, self.settings, self.limits = function, settings, limits
        self.name = function.__module__, function.__qualname__
        self.lock = threading.Lock()
        self.idle: list[Runner] = []
        self.pid = os.getpid()
        # More children than processors are not worth keeping.
        self.most_idle = len(os.sched_getaffinity(0))

    def __reduce__(self) -> tuple[Any, ...]:
        # A function that goes into its child by value takes this along, if it calls itself.
        return type(self), (self.function, self.settings, self.limits)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function in a child."""
        if _tasks.is_at_home(self.name):
            return self.function(*args, **kwargs)
        task = self._pack(args, kwargs)
        runner = self._borrow()
        try:
            runner.ready()
            return self._within(runner, task)
        except (Unprepared, Unreadable, Raised) as told:
            error = _known(told)
            _end_if_spent(runner, error)
            raise error from None
        except BaseException as error:
            _end_if_spent(runner, error)
            raise
        finally:
            self._give_back(runner)

    def _pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        module, qualname = self.name
        if module not in {"__main__", "__mp_main__"} and _tasks.isolated_in(module, qualname) is self.function:
            return _tasks.pack(_tasks.call_named, (module, qualname, args, kwargs), {})
        return _tasks.pack(_tasks.call_at_home, (self.function, self.name, args, kwargs), {})

    def _within(self, runner: Runner, task: bytes) -> Any:
        seconds = self.limits[0]
        try:
            return timeout(seconds).call(runner.run, task)
        except CallTimeout as error:
            if error.stopped == "killed":
                # It may have answered just before, and look alive.
                runner.close()
            if error.seconds != seconds or error.stopped != "killed":
                # Of a block around the call, or before anything went.
                raise
            story = f"{self.name[1]} did not return within {seconds:g} s, so its child was killed"
            raise CallTimeout(story, seconds, "killed", self.name[1]) from error

    def _borrow(self) -> Runner:
        _, memory, most = self.limits
        prepare = None if memory is None else (_tasks.limit_memory, (memory,))
        with self.lock:
            if self.pid != os.getpid():
                # The children stay with the process that this one was forked from.
                self.pid, self.idle = os.getpid(), []
            if self.idle:
                return self.idle.pop()
        return Runner(self.settings, prepare, most)

    def _give_back(self, runner: Runner) -> None:
        runner.rest()
        with self.lock:
            keep = runner.alive and len(self.idle) < self.most_idle
            if keep:
                self.idle.append(runner)
        if not keep:
            runner.close()


def _known(error: BaseException) -> BaseException:
    """The error that the user knows: what lies behind one of ours."""
    if isinstance(error, Unprepared | Unreadable):
        error = error.__cause__ or error
    if isinstance(error, Raised):
        error.error.add_note(f"In the child:\n{error.text}")
        return error.error
    return error


def _end_if_spent(runner: Runner, error: BaseException) -> None:
    """There is no telling what state a child is in that had no memory left, or was interrupted."""
    if isinstance(error, MemoryError | KeyboardInterrupt):
        runner.kill()
        runner.close()
