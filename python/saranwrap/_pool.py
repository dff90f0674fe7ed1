"""`pool`: several children that hold the same, as one object whose calls are spread over them; `map` over a pool.

A pool has no public methods of its own, since it stands for the user's object: administration is by functions.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import itertools
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Self, TypeVar, Unpack

from saranwrap import _settings
from saranwrap._api import Several
from saranwrap._children import Child, plan
from saranwrap._pipeline import pipeline, result
from saranwrap._settings import Spin, Surroundings
from saranwrap.errors import ForkedProxy, LinkClosed, SaranwrapError

T = TypeVar("T")


class _Member:
    """A child of the pool with its copy of the object. `lock` is held by whoever starts the child.

    It can be taken again by a thread that has it: making the object may call back to here, and that may use the pool.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.child: Child | None = None
        self.object: Any = None
        # Calls that wait for it; guarded by the lock of its staff.
        self.busy = 0


class _Staff:
    """The children of a pool and the threads of its maps. `lock` guards `busy` of the members, `closed` and `threads`."""

    def __init__(self, make: Callable[[], Child], fill: Callable[[Child], Any], number: int) -> None:
        self.make, self.fill = make, fill
        self.pid = os.getpid()
        self.members = [_Member() for _ in range(number)]
        self.lock = threading.Lock()
        self.closed = False
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.callables: set[tuple[str, ...]] = set()
        weakref.finalize(self, _dismiss, self.jobs, number).atexit = False

    def check(self) -> None:
        """Say so if this is another process: neither the children nor the threads are its own."""
        if os.getpid() != self.pid:
            raise ForkedProxy(f"this pool belongs to process {self.pid}, from which this one was forked")

    @contextlib.contextmanager
    def least_busy(self) -> Iterator[Any]:
        """The object in the child with the fewest calls; that is the child's for the length of the block."""
        self.check()
        with self.lock:
            # Among equals one that runs already is better than one that has to be started.
            member = min(self.members, key=lambda member: (member.busy, member.child is None))
            member.busy += 1
        try:
            yield self.object_of(member)
        finally:
            with self.lock:
                member.busy -= 1

    def object_of(self, member: _Member) -> Any:
        """Its object. A child that has died is replaced first."""
        with member.lock:
            if self.closed:
                raise LinkClosed("this pool was closed")
            if member.child is None or not member.child._session.alive:
                child = self.make()
                member.object = self.fill(child)
                member.child = child
                if self.closed:
                    # By another thread while it was being started, so that nobody has closed it.
                    child.close()  # type: ignore[unreachable]  # it does not think of threads
            return member.object

    def feed(self, job: Callable[[], None]) -> None:
        """Have a thread of the pool do it."""
        self.check()
        with self.lock:
            if self.closed:
                raise LinkClosed("this pool was closed")
            if len(self.threads) < len(self.members):
                thread = threading.Thread(target=_work, args=(self.jobs,), name="saranwrap-pool", daemon=True)
                self.threads.append(thread)
                thread.start()
            # With the lock, lest it comes behind the words that end the threads.
            self.jobs.put(job)

    def close(self) -> None:
        """End the children and the threads. In a process that was forked there are none."""
        if os.getpid() != self.pid:
            return
        with self.lock:
            self.closed = True
            threads, self.threads = self.threads, []
            for _ in threads:
                self.jobs.put(None)
        # Without the members' locks, which are held while a child starts.
        children = [member.child for member in self.members if member.child is not None]
        for child in children:
            # All are asked before one is waited for.
            with contextlib.suppress(SaranwrapError):
                child._session.close()
        for child in children:
            with contextlib.suppress(SaranwrapError):
                child.close()
        for member in self.members:
            member.child = member.object = None
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()


def _dismiss(jobs: queue.SimpleQueue[Callable[[], None] | None], number: int) -> None:
    """Nobody has the pool any more: the children end with their proxies, and the threads by this."""
    for _ in range(number):
        jobs.put(None)


def _work(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        # While it waits for the next one, it must not keep what the user has let go.
        del job


class Pool(Several):
    """What `pool` gives: it is used like the object itself. Its calls are spread over several children.

    `pool.method(x)` and `pool(x)` go to the child with the fewest calls. An attribute that cannot be called is that of one of
    the children. A call raises what the object raises, and `ChildDied` when its child dies; the next call gets a new child.

    Administration is by functions: `saranwrap.map(pool.method, items)`, `saranwrap.close(pool)`. A `with` block closes it.
    """

    __slots__ = ("__saran_path__", "__saran_staff__", "__weakref__")

    __saran_staff__: _Staff
    __saran_path__: tuple[str, ...]

    def __init__(self, staff: _Staff, path: tuple[str, ...]) -> None:
        object.__setattr__(self, "__saran_staff__", staff)
        object.__setattr__(self, "__saran_path__", path)

    def __getattr__(self, name: str) -> Any:
        staff, path = self.__saran_staff__, (*self.__saran_path__, name)
        if path not in staff.callables:
            with staff.least_busy() as found:
                value = _walk(found, path)
            if not callable(value):
                return value
            staff.callables.add(path)
        return Pool(staff, path)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"cannot set {name!r} of a pool: each of its children has an object of its own; set it in the factory"
        )

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        with self.__saran_staff__.least_busy() as found:
            return _walk(found, self.__saran_path__)(*args, **kwargs)

    def __saran_close__(self) -> None:
        self.__saran_staff__.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.__saran_staff__.close()

    def __repr__(self) -> str:
        return f"<{'.'.join(('saranwrap.Pool', *self.__saran_path__))} of {len(self.__saran_staff__.members)} children>"


def _walk(found: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        found = getattr(found, name)
    return found


_staffs: weakref.WeakSet[_Staff] = weakref.WeakSet()


def pool(
    obj: Any = None,
    n: int | None = None,
    *,
    factory: Callable[[], Any] | None = None,
    by_value: Sequence[type] = (),
    trust: bool = False,
    spin: Spin = "auto",
    **surroundings: Unpack[Surroundings],
) -> Pool:
    """Put `obj`, or what `factory` makes there, into each of `n` children, and return one object that stands for all.

    Each child has a copy of its own: what a call changes, only that child sees. Children start when there is work for them.

    Args:
        obj: a module, class, function or object, as for `wrap`.
        n: how many children at most; None means one for each processor that this process may use.
        factory: called in each child; what it returns is held there. For what cannot be pickled, or is slow to make.
        by_value, trust, spin: see `Settings`.
        surroundings: env, cwd, start, python, venv, requirements, progress, child, path: see `Settings`.

    Raises:
        TypeError: neither `obj` nor `factory` is given, or both are.
        ValueError: `n` is less than 1.
        Refused, ChildDied, ImportError: as for `wrap`; also what `factory` raises.
    """
    if (obj is None) == (factory is None):
        raise TypeError("pool wants an object or a factory, and not both")
    if n is None:
        n = len(os.sched_getaffinity(0))
    if n < 1:
        raise ValueError(f"cannot make a pool of {n} children")
    settings = _settings.complete(by_value=by_value, trust=trust, spin=spin, **surroundings)
    # Pickled once, so that all children get the same.
    protocol = 5 if _settings.setting(settings).child == "native" else 2
    op, argument = plan(obj if factory is None else factory, settings, protocol)

    def fill(child: Child) -> Any:
        there = child._make(op, argument)
        return there if factory is None else there()

    staff = _Staff(lambda: Child(**settings), fill, n)
    # What is wrong with the object is told now, and not by the first call.
    staff.object_of(staff.members[0])
    _staffs.add(staff)
    return Pool(staff, ())


def map(  # noqa: A001  it is `saranwrap.map`
    call: Callable[..., T],
    iterable: Iterable[Any],
    *iterables: Iterable[Any],
    ordered: bool = True,
    chunksize: int = 1,
    ahead: int | None = None,
    progress: bool = False,
) -> Iterator[T]:
    """`map(call, iterable, ...)`, where `call` is a pool or a method of one, by all its children at once.

    Items are taken from the iterables, in the thread that asks for the results, only as far as `ahead` allows: so they may be
    endless, and who asks slowly does not collect results. An exception comes at the place of its item; whoever goes on asking
    gets the others.

    Args:
        ordered: results come in the order of the items. With False they come as they are ready.
        chunksize: how many calls go to a child in one message.
        ahead: how many calls may be under way or done unasked for; None means twice as many as children, in chunks.
        progress: show a progress bar on stderr, for which the extra `saranwrap[progress]` (tqdm) is needed.

    Raises:
        TypeError: `call` does not belong to a pool.
        ValueError: `chunksize` or `ahead` is less than 1.
        ImportError: there is no tqdm.
    """
    if type(call) is not Pool:
        raise TypeError(f"map wants a pool or a method of one, not a {type(call).__name__!r} object")
    if chunksize < 1 or (ahead is not None and ahead < 1):
        raise ValueError("chunksize and ahead must be at least 1")
    staff = call.__saran_staff__
    most = 2 * len(staff.members) if ahead is None else max(1, ahead // chunksize)
    rows = zip(iterable, *iterables, strict=False)
    chunks = iter(lambda: tuple(itertools.islice(rows, chunksize)), ())
    bar = _bar(iterable) if progress else None
    return _Mapped(call, chunks, most, ordered, bar)


def _bar(iterable: Iterable[Any]) -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("progress=True needs tqdm: pip install 'saranwrap[progress]'") from error
    try:
        total: int | None = len(iterable)  # type: ignore[arg-type]  # asked for, since it may have one
    except TypeError:
        total = None
    return tqdm(total=total)


class _Chunk:
    """Calls that go to one child together, and later their results, each with a mark for whether it is one."""

    def __init__(self, rows: tuple[tuple[Any, ...], ...]) -> None:
        self.rows = rows
        self.results: collections.deque[tuple[bool, Any]] = collections.deque()
        self.done = False


class _Mapped(Generic[T]):
    """The iterator of `map`: it holds the threads to what has been asked for."""

    def __init__(
        self, call: Pool, chunks: Iterator[tuple[tuple[Any, ...], ...]], most: int, ordered: bool, bar: Any
    ) -> None:
        self._call, self._chunks, self._most, self._ordered, self._bar = call, chunks, most, ordered, bar
        self._ready: queue.SimpleQueue[_Chunk] = queue.SimpleQueue()
        self._under_way: collections.deque[_Chunk] = collections.deque()
        self._current: _Chunk | None = None
        self._more = True
        # Seen by the jobs that have not begun when nobody wants their results any more.
        self._wanted = _Wanted()
        weakref.finalize(self, self._wanted.end).atexit = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while self._current is None or not self._current.results:
            self._current = None
            self._order()
            if not self._under_way:
                self._finish()
                raise StopIteration
            self._current = self._next_chunk()
        good, value = self._current.results.popleft()
        if self._bar is not None:
            self._bar.update()
        if not good:
            try:
                raise value
            finally:
                # The exception's traceback holds this frame.
                del value
        return value  # type: ignore[no-any-return]

    def _order(self) -> None:
        """Have as many chunks under way as may be."""
        while self._more and len(self._under_way) < self._most:
            try:
                rows = next(self._chunks)
            except StopIteration:
                self._more = False
                return
            except BaseException:
                # What an iterable raises ends the map, as it ends that of the language.
                self._finish()
                raise
            chunk = _Chunk(rows)
            self._call.__saran_staff__.feed(_Job(self._call, chunk, self._ready, self._wanted))
            self._under_way.append(chunk)

    def _next_chunk(self) -> _Chunk:
        if not self._ordered:
            chunk = self._ready.get()
            self._under_way.remove(chunk)
            return chunk
        while not self._under_way[0].done:
            self._ready.get()
        return self._under_way.popleft()

    def _finish(self) -> None:
        self._more = False
        self._under_way.clear()
        if self._bar is not None:
            self._bar.close()


class _Wanted:
    """Whether somebody still wants results."""

    def __init__(self) -> None:
        self.still = True

    def end(self) -> None:
        """Nobody does."""
        self.still = False


class _Job:
    """What a thread of the pool does: the calls of one chunk. It does not hold the iterator, which ends with its user."""

    def __init__(self, call: Pool, chunk: _Chunk, ready: queue.SimpleQueue[_Chunk], wanted: _Wanted) -> None:
        self.call, self.chunk, self.ready, self.wanted = call, chunk, ready, wanted

    def __call__(self) -> None:
        chunk = self.chunk
        try:
            if self.wanted.still:
                chunk.results.extend(self.results())
        except BaseException as error:  # noqa: BLE001  whoever asks for the results gets it, for each of them
            missing = len(chunk.rows) - len(chunk.results)
            chunk.results.extend([(False, error)] * missing)
        chunk.rows = ()
        chunk.done = True
        self.ready.put(chunk)

    def results(self) -> list[tuple[bool, Any]]:
        """Make the calls, several of them in one message."""
        rows = self.chunk.rows
        if len(rows) == 1:
            return [_settled(self.call, *rows[0])]
        with self.call.__saran_staff__.least_busy() as found:
            with pipeline(found) as recorder:
                promised = [_walk(recorder, self.call.__saran_path__)(*row) for row in rows]
            return [_settled(result, promise) for promise in promised]


def _settled(function: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
    try:
        return True, function(*args)
    except BaseException as error:  # noqa: BLE001  it comes at the place of its item
        return False, error


def _close_all() -> None:
    """At exit: the threads end before the interpreter does."""
    for staff in list(_staffs):
        staff.close()


atexit.register(_close_all)
