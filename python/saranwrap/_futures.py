"""Calls that go on while the thread that made them does something else, and the thread that takes the answers when nobody waits."""

from __future__ import annotations

import atexit
import contextlib
import heapq
import itertools
import math
import os
import queue
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, ParamSpec, TypeVar

from saranwrap._fronts import CALL, MOST_CALLS, Flows, Limit, Step, late, limit_of, unsent
from saranwrap._native import Call, Front, Session, Stop, abandon, pump
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
        self._waiting: deque[_Call] = deque()
        self._endings = _Endings(self)
        self._beginner = threading.Lock()
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._sleeps = True
        weakref.finalize(self, self._wakes.put, False).atexit = False
        me = weakref.ref(self)
        name = f"saranwrap-futures-{session.pid}"
        threading.Thread(target=_run, args=(me, self._wakes), name=name, daemon=True).start()

    def submit(self, function: object, target: int, steps: tuple[Step, ...], limit: Limit | None) -> Future[Any]:
        future = _Call(self, function, target, steps, limit)
        self._waiting.append(future)
        self.begin()
        if future.until is not None:
            self._endings.watch(future)
            self.wake()
        return future

    def wake(self) -> None:
        """Have the thread look whether there is something to do."""
        if self._sleeps:
            self._sleeps = False
            self._wakes.put(True)
        else:
            self.front.ring()

    def begin(self) -> None:
        """Begin the calls that wait, as long as there is room. One thread does, for all that come meanwhile."""
        while self._waiting and len(self.front) < MOST_CALLS and self._beginner.acquire(blocking=False):
            try:
                while self._waiting and len(self.front) < MOST_CALLS:
                    future = self._waiting.popleft()
                    if not future.expired and future.set_running_or_notify_cancel():
                        self._begin(future)
            finally:
                self._beginner.release()

    def _begin(self, future: _Call) -> None:
        left = future.left()
        if left is not None and left <= 0:
            future.set_exception(future.unsent())
            return
        try:
            future.number = begin(self.front, future, future.target, future.steps, left)
        except BaseException as error:  # noqa: BLE001  it belongs to whoever asks for the result
            future.set_exception(error)
            return
        future.function = None
        if self._sleeps:
            self.wake()

    def help(self) -> None:
        """Take what has come in place of the thread, which is told of that: the bell may have been rung for a deadline of somebody's."""
        try:
            self.turn(_SPIN)
        finally:
            if self._endings.are_expected():
                self.front.ring()

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
            stop = abandon(self.front, future.number)
            with contextlib.suppress(Exception):
                future.set_exception(CancelledError("the call was cancelled while it was on its way"))
            self.begin()
            if stop is not None and (pause := stop.nudge()) is not None:
                self._endings.add(stop.nudge, pause)
                self.wake()

    def pass_over(self, future: _Call) -> bool:
        """Have one that still waits for room never begin. False when it has begun."""
        with self._beginner:
            if future.number is not None:
                return False
            future.expired = True
            with contextlib.suppress(Exception):
                future.set_exception(future.unsent())
        # Somebody may have wanted to begin one meanwhile.
        self.begin()
        return True

    def end_late(self) -> float | None:
        """Do what is due about calls that are late or given up. In how many seconds there is more to do; None: nothing is."""
        return self._endings.turn()

    def rests(self) -> bool:
        """Whether nothing is on its way, so that the thread may sleep; whoever begins the next call wakes it."""
        if len(self.front) or self._endings:
            return False
        self._sleeps = True
        # Somebody may have begun one before that could be seen.
        return not (len(self.front) or self._endings)


class _Call(Future[Any]):
    """A future whose `result` takes the answer itself where that comes soon."""

    def __init__(self, flow: Flow, function: object, target: int, steps: tuple[Step, ...], limit: Limit | None) -> None:
        super().__init__()
        self._flow = flow
        # Until the call begins: what is given back meanwhile would not be there any more.
        self.function: object = function
        self.target = target
        self.steps = steps
        self.limit = limit
        self.until = None if limit is None else time.monotonic() + limit[0]
        self.number: int | None = None
        self.expired = False

    def left(self) -> float | None:
        """The seconds that are left for it."""
        return None if self.until is None else self.until - time.monotonic()

    def unsent(self) -> BaseException:
        return unsent(self.limit or (0.0, 0.0), self.steps)

    def late(self, stop: Stop | None) -> BaseException:
        return late(stop, self.limit or (0.0, 0.0), self.steps)

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
                self._flow.help()


class _Endings:
    """Calls that have a deadline, and those that are being stopped: what is to be done, and when."""

    def __init__(self, flow: Flow) -> None:
        self._flow = weakref.ref(flow)
        self._lock = threading.Lock()
        self._count = itertools.count()
        self._due: list[tuple[float, int, Callable[[], float | None], _Call | None]] = []
        self._most = MOST_CALLS

    def __bool__(self) -> bool:
        """Whether there is anything to be done, ever."""
        with self._lock:
            self._prune()
        return bool(self._due)

    def are_expected(self) -> bool:
        """Whether there may be something to be done."""
        return bool(self._due)

    def _prune(self) -> None:
        """Forget the deadlines of what is over."""
        self._due = [entry for entry in self._due if entry[3] is None or not entry[3].done()]
        heapq.heapify(self._due)
        self._most = max(MOST_CALLS, 2 * len(self._due))

    def add(self, act: Callable[[], float | None], pause: float, future: _Call | None = None) -> None:
        """Do this in so many seconds, unless the future is done by then; what it returns says when again."""
        with self._lock:
            heapq.heappush(self._due, (time.monotonic() + pause, next(self._count), act, future))
            if len(self._due) > self._most:
                self._prune()

    def watch(self, future: _Call) -> None:
        """Stop this call when its time is over."""
        self.add(lambda: self._expire(future), future.left() or 0.0, future)

    def turn(self) -> float | None:
        """Do what is due. Returns in how many seconds more is; None when nothing is."""
        while (act := self._next()) is not None:
            again = act()
            if again is not None:
                self.add(act, again)
        return self._due[0][0] - time.monotonic() if self._due else None

    def _next(self) -> Callable[[], float | None] | None:
        with self._lock:
            is_due = self._due and self._due[0][0] <= time.monotonic()
            return heapq.heappop(self._due)[2] if is_due else None

    def _expire(self, future: _Call) -> None:
        flow = self._flow()
        if flow is None or future.done():
            return
        if flow.pass_over(future):
            return
        stop = None if future.number is None else abandon(flow.front, future.number)

        def push() -> float | None:
            pause = None if stop is None else stop.push()
            if pause is None:
                with contextlib.suppress(Exception):
                    future.set_exception(future.late(stop))
            return pause

        flow.begin()
        pause = push()
        if pause is not None:
            self.add(push, pause)


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
            pause = living.end_late()
            if living.rests():
                break
            poll.poll(None if pause is None else max(0, math.ceil(pause * 1e3)))
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

    A deadline (`saranwrap.timeout`, the child's `timeout=`) holds from the moment of this call on: when it has passed and the call
    has been stopped, `result` raises `CallTimeout`.

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
    return flow.submit(function, target, ((CALL, args, kwargs or None),), limit_of(session))


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget_all)
