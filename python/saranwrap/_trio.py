"""Waiting in trio. It is imported when it is running, and not before."""

from __future__ import annotations

import contextlib
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import outcome
import trio

from saranwrap._fronts import MOST_CALLS, Flows, Limit, Step, answer, late, see_through, unsent
from saranwrap._native import Front, Session, Stop, abandon, pump, start
from saranwrap.errors import SaranwrapError

_flows: trio.lowlevel.RunVar[Flows[Flow]] = trio.lowlevel.RunVar("saranwrap_flows")


class Flow:
    """The calls of one run of trio to one child."""

    def __init__(self, session: Session) -> None:
        self._front = Front(session)
        self._queue: deque[trio.lowlevel.Task] = deque()
        trio.lowlevel.spawn_system_task(_read, weakref.ref(self, _ringer(self._front)), self._front)

    async def ask(self, target: int, steps: tuple[Step, ...], limit: Limit | None = None) -> Any:
        """Ask for these steps, and wait for what the last one comes to."""
        await trio.lowlevel.checkpoint_if_cancelled()
        asked = _Asked()
        try:
            if limit is None:
                return await self._ask(target, steps, asked)
            with trio.move_on_after(limit[0]) as scope:
                return await self._ask(target, steps, asked, scope)
        except trio.Cancelled:
            # At once, since the run may be about to end.
            if asked.stop is not None and asked.stop.nudge() is not None:
                trio.lowlevel.spawn_system_task(see_through, asked.stop.nudge, trio.sleep)
            raise
        if not asked.begun:
            raise unsent(limit, steps)
        if asked.stop is not None:
            with trio.CancelScope(shield=True):
                await see_through(asked.stop.push, trio.sleep)
        raise late(asked.stop, limit, steps)

    async def _ask(
        self, target: int, steps: tuple[Step, ...], asked: _Asked, scope: trio.CancelScope | None = None
    ) -> Any:
        while len(self._front) >= MOST_CALLS:
            await self._room()
        left = None
        if scope is not None and (left := scope.deadline - trio.current_time()) <= 0:
            # It is cancelled here, and nothing has gone.
            await trio.lowlevel.checkpoint()
        number = start(self._front, trio.lowlevel.current_task(), target, steps, left)
        asked.begun = True

        def give_up(_: object) -> trio.lowlevel.Abort:
            asked.stop = abandon(self._front, number)
            self._make_room()
            return trio.lowlevel.Abort.SUCCEEDED

        good, value = await trio.lowlevel.wait_task_rescheduled(give_up)
        if good:
            return value
        try:
            raise value
        finally:
            del value

    async def _room(self) -> None:
        task = trio.lowlevel.current_task()
        self._queue.append(task)

        def give_up(_: object) -> trio.lowlevel.Abort:
            self._queue.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)

    def _make_room(self) -> None:
        room = MOST_CALLS - len(self._front)
        while self._queue and room > 0:
            trio.lowlevel.reschedule(self._queue.popleft())
            room -= 1

    def turn(self) -> None:
        """The descriptor is readable."""
        done, _, calls = pump(self._front, 0.0)
        for task, good, value in done:
            trio.lowlevel.reschedule(task, outcome.Value((good, value)))
        self._make_room()
        for call in calls:
            coroutine = None
            # What ends the link is told to those who wait.
            with contextlib.suppress(SaranwrapError):
                coroutine = call.serve()
            if coroutine is not None:
                trio.lowlevel.spawn_system_task(answer, call, coroutine)


class _Asked:
    """How far a call has come."""

    def __init__(self) -> None:
        self.begun = False
        self.stop: Stop | None = None


def _ringer(front: Front) -> Callable[[object], None]:
    return lambda _: front.ring()


async def _read(flow: weakref.ref[Flow], front: Front) -> None:
    """The one reader of a flow. It ends with it, or with the link."""
    while True:
        living = flow()
        if living is None:
            return
        # First: it is the turn that asks for the descriptor to tell of what comes next.
        living.turn()
        if not front.alive:
            # Another thread may have found that just now: those who wait are told before the flow ends.
            living.turn()
            return
        del living
        await trio.lowlevel.wait_readable(front.fileno())


def flow_of(session: Session) -> Flow:
    """The flow of calls from this run of trio to this child."""
    try:
        flows = _flows.get()
    except LookupError:
        flows = Flows()
        _flows.set(flows)
    flow = flows.find(session)
    if flow is None:
        flow = Flow(session)
        flows.put(session, flow)
    return flow
