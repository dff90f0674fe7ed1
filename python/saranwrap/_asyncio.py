"""Waiting in an asyncio event loop, whoever made it (uvloop is one)."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections import deque
from typing import Any

from saranwrap._fronts import MOST_CALLS, Flows, Step
from saranwrap._native import Call, Front, Session, abandon, pump, start
from saranwrap._serving import Steps
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

    async def ask(self, target: int, steps: tuple[Step, ...]) -> Any:
        """Ask for these steps, and await what the last one comes to."""
        if self._queue or len(self._front) >= MOST_CALLS:
            await self._room()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[bool, Any]] = loop.create_future()
        number = start(self._front, answer, target, steps)
        if not self._looks:
            self._looks = True
            self._begun = time.perf_counter()
            loop.call_soon(self._look)
        try:
            good, value = await answer
        except BaseException:
            # The task was cancelled, or its coroutine closed.
            abandon(self._front, number)
            self._make_room()
            raise
        if good:
            return value
        try:
            raise value
        finally:
            # An exception holds its frames, and they must not hold it.
            del value

    async def _room(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._make_room()
            raise

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
        for answer, good, value in done:
            if not answer.done():
                answer.set_result((good, value))
        if self._queue:
            self._make_room()
        for call in calls:
            self._serve(call)
        if not self._front.alive:
            self._end()
        return bool(done)

    def _serve(self, call: Call) -> None:
        coroutine = None
        # What ends the link is told to those who wait.
        with contextlib.suppress(SaranwrapError):
            coroutine = call.serve()
        if coroutine is not None:
            task = asyncio.get_running_loop().create_task(_answer(call, coroutine))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _answer(call: Call, coroutine: Any) -> None:
    """Run a coroutine that a call of the child came to, and answer the call."""
    try:
        value = await Steps(call, call.number, coroutine)  # type: ignore[arg-type]  # it steps as a server does
    except BaseException as error:  # noqa: BLE001  it belongs to whoever asked
        with contextlib.suppress(SaranwrapError):
            call.answer_raised(error)
    else:
        with contextlib.suppress(SaranwrapError):
            call.answer(value)


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
