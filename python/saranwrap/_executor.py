"""`Executor`: the interface of `concurrent.futures.ProcessPoolExecutor`, with children of saranwrap.

Each worker is a thread of this process that feeds one child; while it waits for the child it does not hold the interpreter.
"""

from __future__ import annotations

import atexit
import collections
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor as Interface
from concurrent.futures import Future
from concurrent.futures._base import LOGGER
from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar, Unpack

from saranwrap import _settings, _tasks
from saranwrap._runner import Raised, Runner, Unprepared, Unreadable
from saranwrap._settings import Spin, Surroundings
from saranwrap.errors import ForkedProxy, LinkClosed, SaranwrapError

P = ParamSpec("P")
T = TypeVar("T")
OnDeath = Literal["break", "replace"]

_BROKEN = "A child process terminated abruptly, the process pool is not usable anymore"


class _Task(NamedTuple):
    future: Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Crew:
    """What the threads share with their executor. They do not hold the executor itself, so it goes when its users let it go.

    `changed` guards all below it. A condition's lock can be taken twice by one thread, as it is when the collector of cycles
    ends an executor in the middle of `submit`.
    """

    def __init__(self, most: int, on_death: OnDeath, make: Callable[[], Runner]) -> None:
        self.most, self.on_death, self.make = most, on_death, make
        self.changed = threading.Condition()
        self.tasks: collections.deque[_Task] = collections.deque()
        self.workers: dict[threading.Thread, Runner] = {}
        # Workers that have nothing to do, those included that are about to begin.
        self.free = 0
        self.closed = False
        self.broken: BaseException | None = None
        self.why = ""

    # --- for the executor

    def add(self, task: _Task) -> None:
        """Queue a task, and start a worker for it if no one is free."""
        with self.changed:
            self.refuse()
            self.tasks.append(task)
            worker = None
            if len(self.tasks) > self.free and len(self.workers) < self.most:
                worker = threading.Thread(target=_work, args=(self,), name="saranwrap-executor", daemon=True)
                self.workers[worker] = self.make()
                self.free += 1
            self.changed.notify()
        if worker is not None:
            self.begin(worker)

    def refuse(self) -> None:
        """Say why there can be no new task, if there cannot."""
        if self.broken is not None:
            raise _broken(self.why, self.broken)
        if _exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def begin(self, worker: threading.Thread) -> None:
        """Start the thread. Where the system has no more of them, those that there are do the work."""
        _crews.add(self)
        try:
            worker.start()
        except RuntimeError as error:
            with self.changed:
                del self.workers[worker]
                self.free -= 1
                alone = not self.workers
            if alone:
                self.fail("cannot start a thread for the pool", error)

    def close(self) -> None:
        """No more tasks come: the workers end when there are none left."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def cancel(self) -> None:
        """Cancel what has not begun."""
        with self.changed:
            waiting = list(self.tasks)
            self.tasks.clear()
        for task in waiting:
            task.future.cancel()
            task.future.set_running_or_notify_cancel()

    def kill(self) -> None:
        """End the children at once."""
        with self.changed:
            runners = list(self.workers.values())
        for runner in runners:
            runner.kill()

    def fail(self, why: str, cause: BaseException) -> None:
        """Break the pool: what runs or waits fails, and so does what comes later."""
        with self.changed:
            if self.broken is None:
                self.broken, self.why = cause, why
            waiting = list(self.tasks)
            self.tasks.clear()
            self.changed.notify_all()
        self.kill()
        for task in waiting:
            if task.future.set_running_or_notify_cancel():
                task.future.set_exception(_broken(self.why, self.broken))

    # --- for the workers

    def take(self) -> _Task | None:
        """The next task; None when the worker has to end."""
        while True:
            with self.changed:
                while not self.tasks:
                    if self.closed or self.broken is not None:
                        return None
                    self.changed.wait()
                task = self.tasks.popleft()
                self.free -= 1
            if task.future.set_running_or_notify_cancel():
                return task
            self.release()
            del task

    def release(self) -> None:
        """The worker that calls this is free: told before its result, lest whoever gets that starts another worker."""
        with self.changed:
            self.free += 1

    def leave(self) -> None:
        """The worker that calls this ends."""
        with self.changed:
            self.free -= 1
            runner = self.workers.pop(threading.current_thread())
        runner.close()


def _broken(why: str, cause: BaseException) -> BrokenProcessPool:
    error = BrokenProcessPool(f"{why}: {cause}")
    error.__cause__ = cause
    return error


def _work(crew: _Crew) -> None:
    runner = crew.workers[threading.current_thread()]
    try:
        while (task := crew.take()) is not None:
            _carry_out(crew, runner, task)
            # While it waits for the next one, it must not keep what the user has let go.
            del task
            runner.rest()
    finally:
        crew.leave()


def _carry_out(crew: _Crew, runner: Runner, task: _Task) -> None:
    try:
        runner.ready()
        if crew.broken is not None:
            # It broke while this child was starting.
            raise _broken(crew.why, crew.broken)
        value = runner.run(_tasks.pack(task.function, task.args, task.kwargs))
    except BaseException as error:  # noqa: BLE001  all that a task comes to is for its future
        failure = _failure(crew, runner, error)
        crew.release()
        task.future.set_exception(failure)
        # The exception's traceback holds this frame.
        del failure, task
    else:
        crew.release()
        task.future.set_result(value)


def _failure(crew: _Crew, runner: Runner, error: BaseException) -> BaseException:
    """What the future of a task gets for what happened here. The pool breaks where that of `concurrent.futures` does."""
    if isinstance(error, Raised):
        return _with_text(error)
    cause = error.__cause__ or error
    if isinstance(cause, Raised):
        cause = _with_text(cause)
    if isinstance(error, Unprepared):
        LOGGER.critical("Exception in initializer:", exc_info=cause)
        crew.fail("the initializer failed, the process pool is not usable anymore", cause)
    elif crew.on_death == "replace" or (crew.broken is None and _is_of_the_task(runner, error)):
        return cause if isinstance(error, Unreadable) else error
    else:
        crew.fail(_BROKEN if isinstance(error, SaranwrapError) else "a task or its result cannot be unpickled", cause)
    return _broken(crew.why, crew.broken) if crew.broken is not None else error


def _with_text(raised: Raised) -> BaseException:
    """The exception of the child; its traceback there is a text, as `concurrent.futures` has it."""
    raised.error.__cause__ = _RemoteTraceback(f'\n"""\n{raised.text}"""')  # type: ignore[arg-type]  # it is a text
    return raised.error


def _is_of_the_task(runner: Runner, error: BaseException) -> bool:
    """Whether the child is as good as before: the arguments could not be pickled, or a child that is not trusted raised it."""
    return runner.alive and not isinstance(error, Unreadable)


class Executor(Interface):
    """Functions that run in children: `concurrent.futures.ProcessPoolExecutor`, whose arguments, methods and errors it has.

    Functions, arguments and results go by value. Beyond the original, functions of `__main__`, of a notebook and lambdas can be
    submitted (with the extra `saranwrap[cloudpickle]`), the error tells how a child died, and a pool can outlive that.
    Children start on demand, and never inherit or import anything of `__main__`.

    Args:
        max_workers: how many children at most; None means one for each processor that this process may use.
        mp_context: for code that gives one. Children are new interpreters, as those of "spawn" and "forkserver" are; a context
            of "fork" is refused.
        initializer, initargs: called in each child before its first task. If it raises, the pool is broken.
        max_tasks_per_child: after how many tasks a child is replaced by a new one; None means never.
        on_death: "break" makes the pool unusable when a child dies: each future that is not done raises `BrokenProcessPool`, as
            with the original. "replace" fails only the task that the child ran, with `ChildDied`, and starts another child.
        trust: whether results may be unpickled here. It is True since the children run your own functions, whose results are
            whatever they return. With False only plain data can be returned (see `local`), and nothing is unpickled.
        spin: see `Settings`.
        surroundings: env, cwd, start, python, venv, requirements, progress, child, path: see `Settings`.

    Raises:
        ValueError, TypeError: an argument is none of these.
        Refused: there can be no child in this environment or directory.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        on_death: OnDeath = "break",
        trust: bool = True,
        spin: Spin = "auto",
        **surroundings: Unpack[Surroundings],
    ) -> None:
        if max_workers is None:
            max_workers = len(os.sched_getaffinity(0))
        _check(max_workers, mp_context, initializer, max_tasks_per_child, on_death)
        settings = _settings.complete_native(trust=trust, spin=spin, **surroundings)
        prepare = None if initializer is None else (initializer, tuple(initargs))
        self._max_workers = max_workers
        self._pid = os.getpid()
        self._crew = _Crew(max_workers, on_death, lambda: Runner(settings, prepare, max_tasks_per_child))
        # A method of the crew and not of this object, which would keep it alive. At exit there is `_end`.
        weakref.finalize(self, self._crew.close).atexit = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn(*args, **kwargs)` called in a child.

        Returns:
            a future of what it returns. It raises what the function raised, with the child's traceback as the cause; or what
            kept the arguments or the result from being pickled; or what `on_death` says.

        Raises:
            BrokenProcessPool: a child has died before.
            RuntimeError: the executor has been shut down, or the interpreter is about to end.
            ForkedProxy: the executor was made before `os.fork`, in another process.
        """
        if os.getpid() != self._pid:
            raise ForkedProxy(
                f"cannot submit: this executor belongs to process {self._pid}, from which this one was forked"
            )
        future: Future[T] = Future()
        self._crew.add(_Task(future, fn, args, kwargs))
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """`map(fn, *iterables)` in the children, with the results in order.

        Args:
            timeout: seconds from now after which waiting for a result raises `TimeoutError`; None means no limit.
            chunksize: how many calls a child gets at a time.
            buffersize: how many chunks may wait or be there unasked for. None, as in the original, reads the iterables to
                their end at once, and does not allow endless ones.

        Raises:
            ValueError: `chunksize` or `buffersize` is less than 1.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or >= 1")
        deadline = None if timeout is None else time.monotonic() + timeout
        rows = zip(*iterables, strict=False)
        if chunksize == 1:
            return _results(self, ((fn, *row) for row in rows), buffersize, deadline)
        chunks = iter(lambda: tuple(itertools.islice(rows, chunksize)), ())
        return _flat(_results(self, ((_tasks.each, fn, chunk) for chunk in chunks), buffersize, deadline))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and end the children when those that there are have been done.

        Args:
            wait: whether to return only then.
            cancel_futures: whether to cancel those that have not begun.
        """
        crew = self._crew
        crew.close()
        if cancel_futures:
            crew.cancel()
        if wait and os.getpid() == self._pid:
            _join(crew)

    def kill_workers(self) -> None:
        """Kill the children at once, whatever they do, and take no more tasks (as in Python 3.14)."""
        self.shutdown(wait=False, cancel_futures=True)
        self._crew.fail("the pool is not usable anymore", LinkClosed("its workers were killed"))

    terminate_workers = kill_workers

    def __repr__(self) -> str:
        return f"<saranwrap.Executor max_workers={self._max_workers}>"


def _check(
    max_workers: int, mp_context: Any, initializer: object, max_tasks_per_child: object, on_death: object
) -> None:
    if max_workers <= 0:
        raise ValueError("max_workers must be greater than 0")
    if mp_context is not None and mp_context.get_start_method(allow_none=False) == "fork":
        raise ValueError(
            'mp_context: children are new interpreters and inherit nothing, so a context of "fork" cannot be; leave it out'
        )
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    if max_tasks_per_child is not None:
        if not isinstance(max_tasks_per_child, int):
            raise TypeError("max_tasks_per_child must be an integer")
        if max_tasks_per_child <= 0:
            raise ValueError("max_tasks_per_child must be >= 1")
    if on_death not in {"break", "replace"}:
        raise ValueError(f'on_death must be "break" or "replace", not {on_death!r}')


def _results(
    executor: Executor, calls: Iterator[tuple[Any, ...]], buffersize: int | None, deadline: float | None
) -> Iterator[Any]:
    """Submit, and give the results as they are asked for. The executor may go meanwhile; then no more is submitted."""
    futures = collections.deque(executor.submit(*call) for call in itertools.islice(calls, buffersize))
    return _in_order(weakref.ref(executor), calls, futures, deadline)


def _in_order(
    reference: weakref.ref[Executor],
    calls: Iterator[tuple[Any, ...]],
    futures: collections.deque[Future[Any]],
    deadline: float | None,
) -> Iterator[Any]:
    try:
        while futures:
            yield _take(reference, calls, futures, deadline)
    finally:
        for future in futures:
            future.cancel()


def _take(
    reference: weakref.ref[Executor],
    calls: Iterator[tuple[Any, ...]],
    futures: collections.deque[Future[Any]],
    deadline: float | None,
) -> Any:
    """The next result. A function of its own, so that the iterator does not hold what it has given."""
    try:
        value = futures[0].result(None if deadline is None else deadline - time.monotonic())
    finally:
        futures.popleft().cancel()
    executor = reference()
    if executor is not None:
        futures.extend(executor.submit(*call) for call in itertools.islice(calls, 1))
    return value


def _flat(chunks: Iterator[list[T]]) -> Iterator[T]:
    for chunk in chunks:
        chunk.reverse()
        while chunk:
            yield chunk.pop()


# --- the end of the interpreter ---------------------------------------------------------------------------------------

_crews: weakref.WeakSet[_Crew] = weakref.WeakSet()
_exiting = False


def _join(crew: _Crew) -> None:
    with crew.changed:
        workers = list(crew.workers)
    for worker in workers:
        if worker is not threading.current_thread():
            worker.join()


def _end() -> None:
    """What has been submitted is done before the interpreter ends, as with `concurrent.futures`."""
    global _exiting  # noqa: PLW0603  the interpreter ends once
    _exiting = True
    crews = list(_crews)
    for crew in crews:
        crew.close()
    for crew in crews:
        _join(crew)


# Threads can still be waited for then. `atexit` comes later, when other threads have ended and none can be started any more.
getattr(threading, "_register_atexit", atexit.register)(_end)
