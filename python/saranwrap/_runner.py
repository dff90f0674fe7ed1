"""A child that runs functions of this process, by value both ways. When and which, its owner says."""

from __future__ import annotations

import _pickle
import contextlib
from collections.abc import Callable
from typing import Any

from saranwrap import _tasks
from saranwrap._api import local
from saranwrap._children import Child
from saranwrap._members import Proxy
from saranwrap._settings import Settings
from saranwrap.errors import SaranwrapError


class Unprepared(Exception):
    """What a new child was to do first has failed there; the cause says how."""


class Unreadable(Exception):
    """A task could not be unpickled in the child, or its result could not be unpickled here; the cause says how."""


class Raised(Exception):
    """The function raised `error` in the child; `text` is its traceback there. Not for users: who runs it raises that."""

    def __init__(self, error: BaseException, text: str) -> None:
        super().__init__(error)
        self.error, self.text = error, text


class Runner:
    """A child for one task at a time. It is started for the first, and anew when it has ended.

    Args:
        settings: of its `Child`, which is a native one.
        prepare: what a new child does first: a function and its arguments.
        most: after how many tasks it ends; None means never.
    """

    def __init__(
        self,
        settings: Settings,
        prepare: tuple[Callable[..., Any], tuple[Any, ...]] | None = None,
        most: int | None = None,
    ) -> None:
        self._settings, self._prepare, self._most = settings, prepare, most
        self._child: Child | None = None
        self._send: Any = None
        self._done = 0
        self._knows_key = False

    @property
    def alive(self) -> bool:
        """Whether there is a child, and it has not ended."""
        child = self._child
        return child is not None and child._session.alive

    @property
    def child(self) -> Child | None:
        """The child, if there is one."""
        return self._child

    def ready(self) -> None:
        """Have a child.

        Raises:
            Unprepared: it could not do what it was to do first.
            Refused, ChildDied: as for `Child`.
        """
        if self.alive:
            return
        self.close()
        child = Child(**self._settings)
        tasks = child.wrap_module("saranwrap._tasks")
        self._send = tasks.run if self._settings["trust"] else tasks.run_plain
        self._child, self._done, self._knows_key = child, 0, False
        if self._prepare is not None:
            self._begin(*self._prepare)

    def _begin(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self._ask(_tasks.pack(function, args, {}))
        except SaranwrapError:
            self.close()
            raise
        except BaseException as error:
            self.close()
            raise Unprepared(f"{function!r} failed in a new child") from error

    def run(self, task: bytes) -> Any:
        """What the function that is packed in `task` returns, as an object of this process.

        Raises:
            Raised: the function raised an exception, if the child is trusted; else the exception itself is raised.
            Unreadable: something did not survive being pickled.
            ChildDied, LinkClosed: the child ended.
        """
        self._done += 1
        if not self._knows_key and self._settings["trust"] and b"multiprocessing" in task:
            self._tell_key()
        return self._ask(task)

    def _tell_key(self) -> None:
        """What `multiprocessing` gives to its own children: with it, proxies of its managers among the arguments find home."""
        from multiprocessing import current_process

        self._ask(_tasks.pack(_tasks.take_key, (bytes(current_process().authkey),), {}))
        self._knows_key = True

    def _ask(self, task: bytes) -> Any:
        answer = self._send(task)
        if not self._settings["trust"]:
            fetched: Any = local(answer)
            return fetched[0] if isinstance(answer, Proxy) else fetched
        try:
            what, value, text = _pickle.loads(answer)
        except BaseException as error:
            raise Unreadable("what the task returned cannot be unpickled here") from error
        if what == _tasks.UNREADABLE:
            raise Unreadable("the task cannot be unpickled in the child") from value
        if what == _tasks.RAISED:
            raise Raised(value, text)
        return value

    def rest(self) -> None:
        """End the child if it has done as much as it may."""
        if self._most is not None and self._done >= self._most:
            self.close()

    def kill(self) -> None:
        """End the child at once. May be called by any thread; the one that waits for it gets `ChildDied`."""
        child = self._child
        if child is not None:
            child._session.kill()

    def close(self) -> None:
        """End the child."""
        child, self._child, self._send = self._child, None, None
        if child is not None:
            with contextlib.suppress(SaranwrapError):
                child.close()
