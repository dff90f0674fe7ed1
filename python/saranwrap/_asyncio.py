"""Waiting in an asyncio event loop, whoever made it (uvloop is one)."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections import deque
from collections.abc import Coroutine
from typing import Any

from saranwrap._fronts import MOST_CALLS, Flows, Limit, Step, answer, late, see_through, unsent
from saranwrap._native import Call, Front, Session, abandon, pump, start
from saranwrap.errors import SaranwrapError

# How long a loop with nothing else to do may look for an answer before it sleeps, in microseconds.
_MOST_SPIN = 20.0
_LEAST_SPIN = 2.0

# What took a sleeping loop less than this would have come while it looked.
_SOON = 150e-6

_all: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Flows[Flow]] = weakref.WeakKeyDictionary()


class Flow:
    """The calls of one loop to one child."""

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self._front = Front(session)
        self._queue: deque[asyncio.Future[None]] = deque()
        self._looks = False
        self._spin = _MOST_SPIN
        self._begun = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        # The loop holds the flow by no more than this, and the descriptor stays open until the loop has let go of it.
        me = weakref.ref(self)
        loop.add_reader(self._front.fileno(), _wake, me)
        self._end = weakref.finalize(self, _retire, weakref.ref(loop), self._front)
        self._end.atexit = False

    async def ask(self, target: int, steps: tuple[Step, ...], limit: Limit | None = None) -> Any:
        """Ask for these steps, and await what the last one comes to."""
        loop = asyncio.get_running_loop()
        until = None if limit is None else loop.time() + limit[0]
        if self._queue or len(self._front) >= MOST_CALLS:
            await self._room(until)
        left = None if until is None else until - loop.time()
        if limit is not None and left is not None and left <= 0:
            raise unsent(limit, steps)
        told: asyncio.Future[tuple[bool | None, Any]] = loop.create_future()
        number = start(self._front, told, target, steps, left)
        timer = None if until is None else loop.call_at(until, _expire, told)
        if not self._looks:
            self._looks = True
            self._begun = time.perf_counter()
            loop.call_soon(self._look)
        try:
            good, value = await told
        except BaseException:
            # The task was cancelled, or its coroutine closed.
            self._leave(number)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if good:
            return value
        if good is None and limit is not None:
            raise await self._stop(number, limit, steps)
        try:
            raise value
        finally:
            # An exception holds its frames, and they must not hold it.
            del value

    def _leave(self, number: int) -> None:
        """Nobody waits for this call any more: it is to end, and nothing here depends on when."""
        stop = abandon(self._front, number)
        self._make_room()
        # At once, since the loop may be about to end.
        if stop is not None and stop.nudge() is not None:
            self._keep(see_through(stop.nudge, asyncio.sleep))

    async def _stop(self, number: int, limit: Limit, steps: tuple[Step, ...]) -> BaseException:
        """Have this call end, since it is late. Returns what to raise."""
        stop = abandon(self._front, number)
        self._make_room()
        if stop is not None:
            # It goes on to the end, though whoever waits may be cancelled.
            await asyncio.shield(self._keep(see_through(stop.push, asyncio.sleep)))
        return late(stop, limit, steps)

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it in a task, which a loop would not hold."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _room(self, until: float | None) -> None:
        """Wait until there is room for one more call, or the time is over."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        timer = None if until is None else loop.call_at(until, _let_pass, turn)
        self._queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._make_room()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _make_room(self) -> None:
        room = MOST_CALLS - len(self._front)
        while self._queue and room > 0:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1

    def _look(self) -> None:
        """Once for all calls that were begun in one turn of the loop."""
        self._looks = False
        if self._turn(self._spin):
            self._spin = _MOST_SPIN
        else:
            self._spin = self._spin / 2 if self._spin > _LEAST_SPIN else 0.0

    def wake(self) -> None:
        """The descriptor is readable."""
        if self._turn(0.0) and time.perf_counter() - self._begun < _SOON:
            self._spin = max(2 * self._spin, _LEAST_SPIN)

    def _turn(self, spin: float) -> bool:
        done, _, calls = pump(self._front, spin)
        if not self._front.alive:
            # Another thread may have found that just now: those who wait are told before the flow ends.
            done += pump(self._front, 0.0)[0]
            self._end()
        for told, good, value in done:
            if not told.done():
                told.set_result((good, value))
        if self._queue:
            self._make_room()
        for call in calls:
            self._serve(call)
        return bool(done)

    def _serve(self, call: Call) -> None:
        coroutine = None
        # What ends the link is told to those who wait.
        with contextlib.suppress(SaranwrapError):
            coroutine = call.serve()
        if coroutine is not None:
            self._keep(answer(call, coroutine))


def _let_pass(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def _expire(told: asyncio.Future[tuple[bool | None, Any]]) -> None:
    if not told.done():
        told.set_result((None, None))


def _wake(flow: weakref.ref[Flow]) -> None:
    living = flow()
    if living is not None:
        living.wake()


def _retire(loop: weakref.ref[asyncio.AbstractEventLoop], front: Front) -> None:
    living = loop()
    if living is None or living.is_closed():
        return
    # A flow may end in any thread.
    with contextlib.suppress(RuntimeError):
        if asyncio._get_running_loop() is living:
            living.remove_reader(front.fileno())
        else:
            living.call_soon_threadsafe(_let_go, living, front)


def _let_go(loop: asyncio.AbstractEventLoop, front: Front) -> None:
    loop.remove_reader(front.fileno())


def flow_of(session: Session, loop: asyncio.AbstractEventLoop) -> Flow:
    """The flow of calls from this loop to this child."""
    flows = _all.get(loop)
    if flows is None:
        flows = _all[loop] = Flows()
    flow = flows.find(session)
    if flow is None:
        flow = Flow(session, loop)
        flows.put(session, flow)
    return flow
