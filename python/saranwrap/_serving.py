"""How a child serves: on several threads, or with an event loop; and how what is awaited is run to its end there."""

from __future__ import annotations

import os
import sys
import time

from saranwrap._native import Server, close_block, end_process, expect_company, open_block
from saranwrap.errors import Deadlock, SaranwrapError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Generator
    from typing import Any

    from saranwrap._native import Session


def begin(session: Session, concurrency: str | int) -> tuple[Callable[[], None], Callable[[int, type], object] | None]:
    """What the main thread does from now on, and how an exception is raised in another thread."""
    if isinstance(concurrency, int):
        return lambda: _serve_on_threads(session, concurrency), raiser()
    return lambda: _serve_with_loop(session), None


# How long threads that serve may take to find out that there is nobody to serve, in seconds.
_RETURNING = 0.1


# ---- threads ----


def raiser() -> Callable[[int, type], object]:
    """What raises an exception in the thread with this number, at its next step. It is C, so that nothing can come in between."""
    import ctypes

    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    raise_in.argtypes = ctypes.c_ulong, ctypes.py_object
    return raise_in


def calm() -> None:
    """A call that was interrupted is over: what was to be raised in this thread and has not been is not raised any more."""
    import _thread
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(_thread.get_ident()), None)


def _serve_on_threads(session: Session, count: int) -> None:
    import threading

    from saranwrap._child import SERVING

    def serve() -> None:
        try:
            exec(SERVING, {"serve": session.serve, "__name__": "__main__"})
        except SaranwrapError:
            # The parent has gone; the main thread finds out as well.
            if session.alive:
                raise

    expect_company(session)
    # Daemons: the process is not to stay because one of them does not come back.
    threads = [
        threading.Thread(target=serve, name=f"saranwrap-serve-{number}", daemon=True) for number in range(1, count)
    ]
    for thread in threads:
        thread.start()
    serve()
    until = time.monotonic() + _RETURNING
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        _leave()


def _leave() -> None:
    """End this process as an interpreter does, but for the threads that are in the middle of a call: they are not torn down.

    An interpreter unwinds the stack of such a thread when it next runs Python code, and the call's frames cannot be unwound.
    """
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    end_process()


# ---- an event loop ----


class _Server:
    """Serves a parent from within an event loop: between its tasks, and by tasks."""

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self.session = session
        self.loop = loop
        self.pid = os.getpid()
        self.ended = loop.create_future()
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.native = Server(session)
        self.writes_to: int | None = None
        for fd in self.native.filenos():
            loop.add_reader(fd, self.turn)
        loop.call_soon(self.turn)

    def turn(self) -> None:
        """Serve what has come, send what waits, and cancel what nobody waits for."""
        try:
            writes_to = self.native.turn()
        except SaranwrapError:
            if os.getpid() != self.pid:
                # This is a fork. It shares what the loop watches with the process that it was forked from, and must not touch it.
                _leave()
            if not self.ended.done():
                self.ended.set_result(None)
            for fd in self.native.filenos():
                self.loop.remove_reader(fd)
            return
        for call in self.native.take_cancelled():
            if call in self.tasks:
                # Behind its first step: a coroutine that has not begun would end without a word.
                self.loop.call_soon(self.tasks[call].cancel)
        if writes_to == self.writes_to:
            return
        if self.writes_to is not None:
            self.loop.remove_writer(self.writes_to)
        if writes_to is not None:
            self.loop.add_writer(writes_to, self.turn)
        self.writes_to = writes_to

    def start(self, call: int, awaitable: Awaitable[Any]) -> None:
        """Run it as a task that answers the call."""
        open_block()
        self.tasks[call] = self.loop.create_task(self.answer(call, awaitable), name=f"saranwrap-call-{call:#x}")

    async def answer(self, call: int, awaitable: Awaitable[Any]) -> None:
        # Whatever it raises belongs to whoever asked, and must not end the loop: not even SystemExit.
        reply: Callable[[int, Any], None]
        try:
            value = await Steps(self.native, call, awaitable)
        except BaseException as error:  # noqa: BLE001
            reply, what = self.native.answer_raised, error
        else:
            reply, what = self.native.answer, value
        finally:
            close_block()
            self.tasks.pop(call, None)
        try:
            reply(call, what)
        except SaranwrapError:
            # The parent has gone; the next turn finds out as well.
            self.turn()


class Steps:
    """An awaitable, each step of which is done in the chain of a call: what it asks is served by whoever made that call."""

    def __init__(self, server: Server, call: int, awaitable: Awaitable[Any]) -> None:
        self.server = server
        self.call = call
        self.awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self.server.step(self.call, _begin, self.awaitable)
        send = getattr(steps, "send", lambda _: next(steps))
        act, argument = send, None
        while True:
            try:
                wanted = self.server.step(self.call, act, argument)
            except StopIteration as end:
                return end.value
            try:
                act, argument = send, (yield wanted)
            except BaseException as error:
                if not hasattr(steps, "throw"):
                    raise
                act, argument = steps.throw, error


def _begin(awaitable: Any) -> Any:
    begin = getattr(type(awaitable), "__await__", None)
    if begin is not None:
        return begin(awaitable)
    if hasattr(awaitable, "cr_await") or hasattr(awaitable, "gi_yieldfrom"):
        return awaitable
    raise TypeError(f"object {type(awaitable).__name__} can't be used in 'await' expression")


_server: _Server | None = None


def _serve_with_loop(session: Session) -> None:
    import asyncio

    async def serve() -> None:
        global _server  # noqa: PLW0603  a process has one parent
        _server = _Server(session, asyncio.get_running_loop())
        await _server.ended

    asyncio.run(serve())


# ---- what is awaited ----


def run(session: Session, call: int | None, awaitable: Any) -> tuple[bool, Any]:
    """Run it to its end: (True, its result); or as a task that answers the call later: (False, None)."""
    if _server is None or _server.session is not session:
        return True, _complete(awaitable)
    if _server.native.entangled():
        raise Deadlock(
            "cannot await this now: the child's event loop would run it, and waits for the callback that this was asked in, "
            "which waits for this; have a coroutine function call back, or await outside of the callback"
        )
    if call is None:
        raise Deadlock(
            "cannot await a step of a pipeline in a child with an event loop: its next step would wait for it"
        )
    _server.start(call, awaitable)
    return False, None


# The loop that a thread keeps for what is awaited in it.
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def _complete(awaitable: Any) -> Any:
    import _thread
    import asyncio

    outer = asyncio._get_running_loop()
    if outer is not None:
        # In a callback of something that is awaited itself. Its loop waits, so another one runs meanwhile.
        loop = asyncio.new_event_loop()
        asyncio._set_running_loop(None)
        try:
            return _drive(loop, awaitable)
        finally:
            loop.close()
            asyncio._set_running_loop(outer)
    thread = _thread.get_ident()
    if thread not in _loops:
        _loops[thread] = asyncio.new_event_loop()
    return _drive(_loops[thread], awaitable)


def _drive(loop: asyncio.AbstractEventLoop, awaitable: Any) -> Any:
    async def complete() -> Any:
        return await awaitable

    task = loop.create_task(complete())
    try:
        return loop.run_until_complete(task)
    except BaseException:
        # An interruption ends the loop's turn, not the task: it has to end as well, in its own way.
        if not task.done():
            task.cancel()
            _settle(loop, task)
        raise


def _settle(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    cancelled = sys.modules["asyncio"].CancelledError
    try:
        loop.run_until_complete(task)
    except (cancelled, Exception):  # noqa: BLE001  what matters is what ended it
        return
