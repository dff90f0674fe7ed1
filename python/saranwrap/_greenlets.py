"""Threads in which greenlets take turns: a greenlet that waits for its answer lets the others of gevent or eventlet run."""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections.abc import Callable
from typing import Any

from saranwrap._fronts import Flows
from saranwrap._native import Call, Front, Session, pump
from saranwrap.errors import SaranwrapError

# By hub: a thread has one, and a hub has one thread.
_all: weakref.WeakKeyDictionary[Any, Flows[Flow]] = weakref.WeakKeyDictionary()


def strand() -> int:
    """A number for the greenlet that runs now; 0 in a thread that has had no other."""
    greenlet: Any = sys.modules.get("greenlet")
    return 0 if greenlet is None else id(greenlet.getcurrent())


def waiter(session: Session) -> tuple[Front, Any, Callable[[float | None], None]] | None:
    """What the current greenlet waits with. None where it has to block: there is no hub, or it is the hub itself."""
    hub = _gevent_hub()
    if hub is None:
        # A greenlet that has not begun is false, so that `or` would not do.
        hub = _eventlet_hub()
    if hub is None:
        return None
    flows = _all.get(hub)
    if flows is None:
        flows = _all[hub] = Flows()
    flow = flows.find(session)
    if flow is None:
        flow = (_EventletFlow if hasattr(hub, "greenlet") and "eventlet" in type(hub).__module__ else _GeventFlow)(
            session, hub
        )
        flows.put(session, flow)
    return flow.front, sys.modules["greenlet"].getcurrent(), flow.wait


def _gevent_hub() -> Any:
    module: Any = sys.modules.get("gevent._hub_local")
    hub = None if module is None else module.get_hub_if_exists()
    if hub is None or hub is sys.modules["greenlet"].getcurrent() or hub.dead:
        return None
    return hub


def _eventlet_hub() -> Any:
    module: Any = sys.modules.get("eventlet.hubs")
    hub = None if module is None else getattr(module._threadlocal, "hub", None)
    if hub is None or hub.greenlet is sys.modules["greenlet"].getcurrent():
        return None
    return hub


class Flow:
    """The calls of one hub to one child."""

    def __init__(self, session: Session, hub: Any) -> None:
        self.front = Front(session)
        self.hub = hub
        self.waiting = 0

    def wait(self, seconds: float | None) -> None:
        """Let others run until this greenlet is switched to, at most so long."""
        raise NotImplementedError

    def spawn(self, call: Call) -> None:
        raise NotImplementedError

    def wake(self, greenlet: Any) -> None:
        raise NotImplementedError

    def turn(self) -> None:
        """In the hub: wake whoever has got an answer."""
        _, woken, calls = pump(self.front, 0.0)
        for greenlet in woken:
            self.wake(greenlet)
        for call in calls:
            self.spawn(call)


def _serve(call: Call) -> None:
    with contextlib.suppress(SaranwrapError):
        coroutine = call.serve()
        if coroutine is not None:
            coroutine.close()
            call.answer_raised(TypeError("a callback of greenlets cannot be a coroutine function: nobody would run it"))


class _GeventFlow(Flow):
    def __init__(self, session: Session, hub: Any) -> None:
        super().__init__(session, hub)
        self._watcher = hub.loop.io(self.front.fileno(), 1)
        self._waiters: dict[Any, Any] = {}

    def wait(self, seconds: float | None) -> None:
        greenlet = sys.modules["greenlet"].getcurrent()
        waiter = self._waiters[greenlet] = sys.modules["gevent"].hub.Waiter(self.hub)
        timer = None if seconds is None else self.hub.loop.timer(seconds)
        if timer is not None:
            timer.start(waiter.switch, None)
        # What has come since the last turn would ring no more.
        if not self._watcher.active:
            self._watcher.start(self.turn)
        self.hub.loop.run_callback(self.turn)
        try:
            waiter.get()
        finally:
            self._waiters.pop(greenlet, None)
            if timer is not None:
                timer.stop()
                timer.close()
            if not self._waiters:
                # A loop that watches something goes on for ever.
                self._watcher.stop()

    def wake(self, greenlet: Any) -> None:
        waiter = self._waiters.pop(greenlet, None)
        if waiter is not None:
            waiter.switch(None)

    def spawn(self, call: Call) -> None:
        sys.modules["gevent"].spawn(_serve, call)


class _EventletFlow(Flow):
    def __init__(self, session: Session, hub: Any) -> None:
        super().__init__(session, hub)
        self._listener: Any = None
        self._waiters: set[Any] = set()

    def wait(self, seconds: float | None) -> None:
        greenlet = sys.modules["greenlet"].getcurrent()
        self._waiters.add(greenlet)
        timer = None if seconds is None else self.hub.schedule_call_global(seconds, self.wake, greenlet)
        if self._listener is None:
            descriptor = self.front.fileno()
            self._listener = self.hub.add(
                self.hub.READ, descriptor, lambda _: self.turn(), greenlet.throw, lambda: None
            )
        self.hub.schedule_call_global(0, self.turn)
        try:
            self.hub.switch()
        finally:
            self._waiters.discard(greenlet)
            if timer is not None:
                timer.cancel()
            if not self._waiters and self._listener is not None:
                listener, self._listener = self._listener, None
                self.hub.remove(listener)

    def wake(self, greenlet: Any) -> None:
        if greenlet in self._waiters:
            self._waiters.discard(greenlet)
            self.hub.schedule_call_global(0, greenlet.switch)

    def spawn(self, call: Call) -> None:
        sys.modules["eventlet"].spawn_n(_serve, call)
