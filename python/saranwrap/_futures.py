"""Calls that go on while the thread that made them does something else, and the thread that takes the answers when nobody waits."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import select
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, ParamSpec, TypeVar

from saranwrap._fronts import CALL, MOST_CALLS, Flows, Step
from saranwrap._native import Call, Front, Session, abandon, pump
from saranwrap._native import start as begin
from saranwrap._whereabouts import locate
from saranwrap.errors import SaranwrapError

P = ParamSpec("P")
T = TypeVar("T")

# How long a thread that waits for a result looks for it itself before it leaves that to the flow's own, in microseconds.
_SPIN = 50.0


class Flow:
    """The calls to one child, and its thread, which is there from the first call on and sleeps while there is none."""

    def __init__(self, session: Session) -> None:
        self.front = Front(session)
        self._waiting: deque[tuple[_Call, int, tuple[Step, ...]]] = deque()
        self._beginner = threading.Lock()
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._sleeps = True
        weakref.finalize(self, self._wakes.put, False).atexit = False
        me = weakref.ref(self)
        name = f"saranwrap-futures-{session.pid}"
        threading.Thread(target=_run, args=(me, self._wakes), name=name, daemon=True).start()

    def submit(self, target: int, steps: tuple[Step, ...]) -> Future[Any]:
        future = _Call(self)
        self._waiting.append((future, target, steps))
        self.begin()
        return future

    def begin(self) -> None:
        """Begin the calls that wait, as long as there is room. One thread does, for all that come meanwhile."""
        while self._waiting and len(self.front) < MOST_CALLS and self._beginner.acquire(blocking=False):
            try:
                while self._waiting and len(self.front) < MOST_CALLS:
                    future, target, steps = self._waiting.popleft()
                    if future.set_running_or_notify_cancel():
                        self._begin(future, target, steps)
            finally:
                self._beginner.release()

    def _begin(self, future: _Call, target: int, steps: tuple[Step, ...]) -> None:
        try:
            future.number = begin(self.front, future, target, steps)
        except BaseException as error:  # noqa: BLE001  it belongs to whoever asks for the result
            future.set_exception(error)
            return
        if self._sleeps:
            self._sleeps = False
            self._wakes.put(True)

    def turn(self, spin: float) -> None:
        """Take what has come."""
        done, _, calls = pump(self.front, spin)
        for future, good, value in done:
            # One that was cancelled at this moment has its outcome already.
            with contextlib.suppress(Exception):
                future.set_result(value) if good else future.set_exception(value)
        for call in calls:
            # In a thread of its own: it may wait for another call of this flow.
            threading.Thread(target=_serve, args=(call,), name="saranwrap-callback", daemon=True).start()
        if self._waiting:
            self.begin()

    def cancel(self, future: _Call) -> None:
        """It is on its way: have it stop in the child."""
        if future.number is not None:
            abandon(self.front, future.number)
            with contextlib.suppress(Exception):
                future.set_exception(CancelledError("the call was cancelled while it was on its way"))
            self.begin()

    def rests(self) -> bool:
        """Whether nothing is on its way, so that the thread may sleep; whoever begins the next call wakes it."""
        if len(self.front):
            return False
        self._sleeps = True
        # Somebody may have begun one before that could be seen.
        return not len(self.front)


class _Call(Future[Any]):
    """A future whose `result` takes the answer itself where that comes soon."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self._flow = flow
        self.number: int | None = None

    def result(self, timeout: float | None = None) -> Any:
        self._help()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._help()
        return super().exception(timeout)

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if not cancelled and not self.done():
            self._flow.cancel(self)
        return cancelled

    def _help(self) -> None:
        if not self.done():
            with contextlib.suppress(SaranwrapError):
                self._flow.turn(_SPIN)


def _serve(call: Call) -> None:
    with contextlib.suppress(SaranwrapError):
        coroutine = call.serve()
        if coroutine is not None:
            import asyncio

            asyncio.run(_answer(call, coroutine))


async def _answer(call: Call, coroutine: Any) -> None:
    try:
        value = await coroutine
    except BaseException as error:  # noqa: BLE001  it belongs to whoever asked
        call.answer_raised(error)
    else:
        call.answer(value)


def _run(flow: weakref.ref[Flow], wakes: queue.SimpleQueue[bool]) -> None:
    """The thread of a flow. It holds the flow only while a call is on its way."""
    while wakes.get():
        living = flow()
        if living is None:
            return
        poll = select.poll()
        poll.register(living.front.fileno(), select.POLLIN)
        while True:
            # When the session has gone there is nobody to tell.
            with contextlib.suppress(SaranwrapError):
                living.turn(0.0)
            if living.rests():
                break
            poll.poll()
        del living, poll


_flows: Flows[Flow] = Flows()


def _end_all() -> None:
    for flow in _flows.all():
        flow._wakes.put(False)


def _forget_all() -> None:
    global _flows  # noqa: PLW0603  in a process that was forked there are none
    _flows = Flows()


def start(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call what is behind a proxy, and do not wait for it: `future = saranwrap.start(p.method, 1)` (PEP 3148).

    Calls to one child begin in the order in which they were started. At most 1000 are on their way to it at once; the others
    wait in this process. Mutable arguments are read when a call begins and restored when its answer comes. What the child
    calls back meanwhile runs in a thread of its own.

    Args:
        function: the proxy of something that can be called.
        args, kwargs: its arguments.

    Returns:
        a future. `cancel` keeps a call that has not begun from beginning. One that has begun is told to stop in the child;
        `cancel` is False then, as the future's contract says, and `result` raises `CancelledError`.

    Raises:
        TypeError: `function` is no proxy.
    """
    session, target = locate(function)
    flow = _flows.find(session)
    if flow is None:
        flow = Flow(session)
        _flows.put(session, flow)
    return flow.submit(target, ((CALL, args, kwargs or None),))


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget_all)
