"""What replaces a child that has died or is worn out: when that may be, how the new one is made, and what moves into it.

What was wrapped, the *roots*, keeps its proxies: they move to the new child when they are used next. Every other object was the
old child's, and is stale. The idea of a limit within a time is from Erlang's supervisors, that of recycling from `multiprocessing`
(`maxtasksperchild`) and gunicorn (`max_requests`).
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Literal

from saranwrap import _deadlines, _valued
from saranwrap._members import RemoteAttribute
from saranwrap._native import OPS, IteratorBase, ProxyBase, Session, move_root, take_root
from saranwrap._remote import RemoteType, own_attribute, raw_dict
from saranwrap.errors import CallTimeout, ChildDied, LinkClosed, Refused, SaranwrapError, StaleProxy, TooManyRestarts

_IMPORT = OPS["import"]
_set_class = object.__dict__["__class__"].__set__
# A child that is replaced has this many seconds to end by itself.
_ENDING = 5.0


class Restart:
    """How a child is replaced, for `restart=`: `saranwrap.wrap(module, restart=saranwrap.Restart(max=3, within=60.0))`.

    A child that has died (it crashed, was killed, or exited; not one that was closed) is replaced when what was wrapped is used
    next: the module is imported again, or the object is unpickled again, as it was when it was wrapped. The call that was under
    way raises `ChildDied`, since it may have had effects.

    Args:
        max: how many times a child may be replaced after a death in any `within` seconds. Beyond that a use raises
            `TooManyRestarts`, until the time has passed.
        within: seconds.
        backoff: seconds between a death and the second replacement within the time; each further one waits twice as long, up to
            `longest`. The first waits for nothing. Somewhat less, by chance, so that not all children come back at once.
        longest: the longest such wait, in seconds.
        retry: how many times a call on what was wrapped is made again when the child died during it. More than 0 only where
            every call may be made twice.
        max_calls: the child is recycled, which means replaced in order, after this many operations (attributes, calls, ...).
        max_memory: it is recycled when more memory than this is resident, in bytes. This is looked at between calls.
        recycle: "unheld" recycles only while nobody here holds an object of the child but what was wrapped; "always" does it
            between any two calls, and objects that are held become stale.

    Raises:
        ValueError: an argument is out of its range.
    """

    __slots__ = ("backoff", "longest", "max", "max_calls", "max_memory", "recycle", "retry", "within")

    def __init__(
        self,
        max: int = 3,  # noqa: A002  the name that it has in the settings of supervisors
        within: float = 60.0,
        backoff: float = 0.1,
        *,
        longest: float = 30.0,
        retry: int = 0,
        max_calls: int | None = None,
        max_memory: int | None = None,
        recycle: Literal["unheld", "always"] = "unheld",
    ) -> None:
        least = {"max": max, "within": within, "backoff": backoff, "longest": longest, "retry": retry}
        for name, value in least.items():
            if not value >= 0:
                raise ValueError(f"{name} of a Restart must not be less than 0, and is {value!r}")
        for name, most in {"max_calls": max_calls, "max_memory": max_memory}.items():
            if most is not None and not most >= 1:
                raise ValueError(f"{name} of a Restart must be at least 1 or None, and is {most!r}")
        if recycle not in {"unheld", "always"}:
            raise ValueError(f'recycle of a Restart must be "unheld" or "always", not {recycle!r}')
        self.max = max
        self.within = within
        self.backoff = backoff
        self.longest = longest
        self.retry = retry
        self.max_calls = max_calls
        self.max_memory = max_memory
        self.recycle = recycle

    def __repr__(self) -> str:
        return f"Restart({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class Supervisor:
    """One child after another, and the recipes of what was wrapped in them."""

    def __init__(
        self, plan: Restart, begin: Callable[[], Session], callback: Callable[[ChildDied], object] | None
    ) -> None:
        self._plan = plan
        self._begin = begin
        self._callback = callback
        self._lock = threading.Lock()
        # The thread that replaces the child, and the session that is being made ready.
        self._replacing: int | None = None
        self._coming: Session | None = None
        self._ended = threading.Event()
        self._retired: Session | None = None
        # Modules are imported again though nobody may hold them: other objects may want what the import did.
        self._modules: dict[str, weakref.ref[Any] | None] = {}
        self._objects: list[tuple[int, object, weakref.ref[Any]]] = []
        # When children were replaced after a death; when the last one died, and when there may be another one.
        self._replaced: collections.deque[float] = collections.deque(maxlen=max(plan.max, 1))
        self._died = self._due = 0.0
        self._pid: int | None = None
        self._process = os.getpid()
        self._failure: BaseException | None = None
        self._classes: weakref.WeakValueDictionary[tuple[str, str], RemoteType] = weakref.WeakValueDictionary()
        self._keep: Callable[[Session], None] = lambda _: None
        # How many times the child was replaced, whatever for.
        self.count = 0
        self.session = self._start()

    def wrap(self, op: int, argument: object) -> Any:
        """Make an object in the child, and its proxy one that moves along."""
        wrapped = self.current().request(op, 0, (argument,))
        root = self._take_root(wrapped)
        if op == _IMPORT:
            self._modules[str(argument)] = root
        elif root is not None:
            self._objects = [known for known in self._objects if known[2]() is not None]
            if all(known[2]() is not root() for known in self._objects):
                self._objects.append((op, argument, root))
        return wrapped

    def current(self) -> Session:
        """The session to ask; another one, if the child has died.

        Raises:
            TooManyRestarts: there has been another one too often.
        """
        session = self.session
        if self._replacing == threading.get_ident():
            # What runs here while the new child is made ready can only use that.
            return self._coming or session
        if session.alive or self._is_over(session):
            return session
        with self._alone():
            if self.session is session and not self._is_over(session):
                self._replace(session)
        return self.session

    def recycle(self) -> None:
        """Replace the child, if nothing is under way; it is worn out."""
        if self._replacing is not None:
            return
        with self._alone():
            session = self.session
            kept = None if self._plan.recycle == "always" else sum(root() is not None for root in self._roots())
            # Before it is: whoever finds its link closed an instant later is to know that the user did not close it.
            self._retired = session
            if session.retire(kept):
                self._replace(session)
            else:
                self._retired = None

    def of_class(self) -> Session:
        """The session of a class that was wrapped. What cannot be asked any more is for whoever asks to hear."""
        with contextlib.suppress(SaranwrapError, ImportError):
            return self.current()
        return self.session

    def stop(self) -> None:
        """The user closes the child: there will be no other one."""
        self._ended.set()
        self.session.close()

    def late(self, session: Session) -> BaseException | None:
        """What is raised for what came after the end of a session; None where that is what any child's proxy raises."""
        if self._ended.is_set() or session is self._coming or (session is self.session and self._is_over(session)):
            return None
        if self._failure is not None:
            return self._failure
        death: ChildDied | None = None
        fate = f"the child (pid {session.pid}) was recycled"
        if not session.closed:
            # Its link may have ended an instant before it did.
            session.wait(_ENDING)
            death = session.obituary()
            fate = str(death).partition("; its last words")[0]
        message = f"{fate}, and the object is not in the next one: fetch it again from what was wrapped"
        return StaleProxy(message, session.pid, death)

    def mourn(self, death: ChildDied) -> None:
        """Note when a child died, and in its obituary when there may be another one."""
        if self._ended.is_set():
            return
        if death.pid == self._pid:
            # The first time that it is told; it may be told again to others.
            self._pid = None
            self._note_death()
        death.restart_in = max(0.0, self._due - self._died)

    def inherit(self, session: Session, mirror: RemoteType) -> RemoteType:
        """The class that stood for the same remote class before the child was replaced, if there is one: it now stands for this."""
        name = own_attribute(mirror, "__module__"), own_attribute(mirror, "__qualname__")
        known = self._classes.get(name)
        if known is None:
            self._classes[name] = mirror
            return mirror
        if _serves(known, session):
            # Two classes of one name, as those are that a function makes.
            return mirror
        if type(known) is not type(mirror) or own_attribute(known, "__bases__") != own_attribute(mirror, "__bases__"):
            self._classes[name] = mirror
            return mirror
        _refurnish(known, mirror)
        if "_saran_hold_" in raw_dict(known):
            type.__setattr__(known, "_saran_hold_", session)
        return known

    def _is_over(self, session: Session) -> bool:
        """Whether a session was closed by the user, or belongs to the process that was forked."""
        own = os.getpid() == self._process
        return self._ended.is_set() or not own or (session.closed and session is not self._retired)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        left, seconds = _deadlines.current() or (math.inf, math.inf)
        if not self._lock.acquire(timeout=min(max(left, 0.0), threading.TIMEOUT_MAX)):
            raise _too_late(seconds)
        try:
            self._replacing = threading.get_ident()
            yield
        finally:
            self._replacing = None
            self._lock.release()

    def _start(self) -> Session:
        session = self._begin()
        self._pid = session.pid
        session.supervise(self, self._plan.max_calls, self._plan.max_memory)
        if self._callback is not None:
            self._keep = watch(session, self._callback)
        return session

    def _replace(self, old: Session) -> None:
        last: BaseException | None = None
        if old is not self._retired:
            # One that broke the protocol may still run.
            old.kill()
        if not old.wait(_ENDING):
            old.kill()
            old.wait(_ENDING)
        if old is not self._retired:
            last = old.obituary()
        # Whoever tells the user of the death needs it a little longer.
        self._keep(old)
        try:
            self._replace_until_it_lives(last)
        except BaseException as error:
            self._failure = error if isinstance(error, Exception) else None
            raise
        self._failure = self._retired = None
        old.bury()

    def _replace_until_it_lives(self, last: BaseException | None) -> None:
        while True:
            if last is not None:
                self._await_turn(last)
                self._replaced.append(time.monotonic())
            try:
                return self._replace_once()
            except (ChildDied, Refused) as error:
                last = error
                self._note_death()

    def _replace_once(self) -> None:
        session = self._coming = self._start()
        try:
            self._replay(session)
            if self._ended.is_set():
                raise LinkClosed("the child was closed while another one was started in its place")
        except BaseException:
            session.close()
            if not session.wait(_ENDING):
                session.kill()
            raise
        finally:
            self._coming = None
            for root in self._roots():
                # Whether or not it has moved: it asks here where it is.
                if isinstance(cls := root(), RemoteType):
                    self._take_root(cls)
        self.session = session
        self.count += 1

    def _note_death(self) -> None:
        """Note when the child died, and when there may be another one."""
        plan = self._plan
        now = self._died = time.monotonic()
        recent = [moment for moment in self._replaced if now - moment < plan.within]
        if len(recent) >= plan.max:
            self._due = recent[0] + plan.within if recent else math.inf
        elif recent:
            wait = min(plan.longest, plan.backoff * 2.0 ** min(len(recent) - 1, 64))
            self._due = now + wait * random.uniform(0.5, 1.0)
        else:
            self._due = now

    def _await_turn(self, last: BaseException) -> None:
        plan = self._plan
        now = time.monotonic()
        recent = sum(now - moment < plan.within for moment in self._replaced)
        if plan.max == 0 or recent >= plan.max:
            died = last if isinstance(last, ChildDied) else ChildDied(str(last))
            message = f"the child was restarted {recent} times within {plan.within:g} s, as often as it may be, and died again: {last}"
            raise TooManyRestarts(message, died.pid, died.returncode, died.signal, died.last_words) from last
        wait = max(0.0, self._due - now)
        left, seconds = _deadlines.current() or (math.inf, math.inf)
        if self._ended.wait(min(wait, left, threading.TIMEOUT_MAX)):
            raise LinkClosed("the child was closed while it was about to be restarted")
        if left < wait:
            raise _too_late(seconds)

    def _roots(self) -> Iterator[weakref.ref[Any]]:
        yield from [root for root in self._modules.values() if root is not None]
        yield from [root for _, _, root in self._objects]

    def _take_root(self, wrapped: Any) -> weakref.ref[Any] | None:
        """Have a proxy move along; None for what is no proxy, or has a place of its own: an iterator would begin anew, unasked."""
        if isinstance(type(wrapped), RemoteType) and not isinstance(wrapped, ProxyBase):
            wrapped = _valued.handle_of(wrapped)
        kind = type(wrapped)
        if issubclass(kind, RemoteType):
            type.__setattr__(wrapped, "_saran_session_", self.of_class)
        elif issubclass(kind, ProxyBase) and not issubclass(kind, IteratorBase):
            take_root(wrapped, self, self._plan.retry)
        else:
            return None
        return weakref.ref(wrapped)

    def _replay(self, session: Session) -> None:
        recipes: list[tuple[int, object, weakref.ref[Any] | None]]
        recipes = [(_IMPORT, name, root) for name, root in self._modules.items()]
        recipes += [known for known in self._objects if known[2]() is not None]
        # All are made before the first moves: a recipe that fails leaves every root where it was.
        successors = [session.request(op, 0, (argument,)) for op, argument, _ in recipes]
        moved: set[int] = set()
        for (_, _, reference), successor in zip(recipes, successors, strict=True):
            root = reference() if reference is not None else None
            if root is not None and id(successor) not in moved:
                moved.add(id(successor))
                self._move(root, successor)

    def _move(self, root: Any, successor: Any) -> None:
        if isinstance(root, RemoteType) or isinstance(successor, RemoteType):
            if not isinstance(root, RemoteType) or not isinstance(successor, RemoteType):
                raise Refused(f"cannot restart: what was wrapped was {_what(root)}, and is {_what(successor)} now")
            if root is not successor:
                _refurnish(root, successor)
            return
        if not issubclass(type(successor), ProxyBase):
            successor = _valued.handle_of(successor)
        if successor is None:
            raise Refused(f"cannot restart: what was wrapped was {_what(root)}, and is no object any more")
        if type(root) is not type(successor):
            try:
                _set_class(root, type(successor))
            except TypeError as error:
                message = f"cannot restart: what was wrapped was {_what(root)}, and is {_what(successor)} now"
                raise Refused(message) from error
        move_root(root, successor)


def _too_late(seconds: float) -> CallTimeout:
    return CallTimeout(f"restarting a child took longer than {seconds} s", seconds, "unsent", "restarting a child")


def _what(proxy: Any) -> str:
    cls = proxy if isinstance(proxy, type) else type(proxy)
    kind = "the class" if isinstance(proxy, type) else "an object of the class"
    return f"{kind} {own_attribute(cls, '__module__')}.{own_attribute(cls, '__qualname__')}"


def _serves(cls: RemoteType, session: Session) -> bool:
    """Whether a class stands for one of this session already."""
    reference = own_attribute(cls, "_saran_session_")
    if isinstance(reference, weakref.ref):
        return reference() is session
    return raw_dict(cls).get("_saran_hold_") is session


# What each class has for itself.
_PRIVATE = frozenset(
    "__dict__ __weakref__ __module__ __qualname__ __slots__ _abc_impl __abstractmethods__ _saran_hold_".split()
)


def _refurnish(old: RemoteType, new: RemoteType) -> None:
    """Let `old`, which everybody knows, stand for the class that `new` was made for."""
    for name in raw_dict(old).keys() - raw_dict(new).keys() - _PRIVATE:
        type.__delattr__(old, name)
    for name, value in list(raw_dict(new).items()):
        known = raw_dict(old).get(name)
        if isinstance(known, RemoteAttribute) and isinstance(value, RemoteAttribute):
            known.number = value.number
        elif name not in _PRIVATE:
            # What `type` has a descriptor for, such as `__name__`, cannot be given to a class that exists.
            with contextlib.suppress(TypeError):
                type.__setattr__(old, name, value)


def watch(session: Session, callback: Callable[[ChildDied], object]) -> Callable[[Session], None]:
    """Run `callback` once when the child dies unasked. The thread holds only what ends with the process itself.

    Returns what to call with a session that is let go of before the thread has told of its end.
    """
    reference = weakref.ref(session)
    waiter = session.waiter()
    kept: list[Session] = []

    def tell() -> None:
        waiter.wait()
        living = reference()
        kept.clear()
        if living is None or living.closed:
            return
        died = living.obituary()
        if died is not None:
            callback(died)

    threading.Thread(target=tell, name=f"saranwrap-watch-{session.pid}", daemon=True).start()
    return kept.append
