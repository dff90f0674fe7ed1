"""How children are started: cold, or warm as a fork of a zygote. Which zygotes there are, and what is loaded in them.

A zygote is an interpreter that has loaded this package and waits. A child that is forked from it need not start an interpreter, and
shares the memory that neither has written to. What a zygote can differ in from a child that is started now makes its *kind*.
"""

from __future__ import annotations

import collections
import os
import threading
import weakref
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from saranwrap import _values
from saranwrap._native import Session, Zygote, attributes, environment
from saranwrap.errors import Refused, SaranwrapError

Start = Literal["auto", "cold", "warm"]

_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# `-c` and not `-m`: the child's `sys.path` may not hold this package until it has been told where it is.
# There it stays no longer than that takes, since it may hold the packages of another interpreter.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); import saranwrap; del sys.path[0]; "
    "from saranwrap._child import main; main()"
)
# Environment variables that an interpreter, its C library or its `.pth` files read when it starts, and not again.
_EARLY = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "COVERAGE_")
_EARLY_NAMES = frozenset({"LANG", "LANGUAGE", "TZ", "TZDIR", "HOME"})
# Zygotes that live at once, and kinds that are remembered; the one that was used longest ago goes.
_MOST_ZYGOTES = 4
_MOST_KINDS = 64
# Failures in a row after which a kind is started cold for good.
_PATIENCE = 3


class Setting(NamedTuple):
    """All that a child is started with."""

    program: str
    flags: tuple[str, ...]
    env: list[tuple[str, str]] | None
    cwd: str | None
    path: list[str]
    argv: list[str]
    spin: float | None
    by_value: tuple[type, ...]
    trust: bool
    transport: str
    concurrency: str | int = "serial"
    says: tuple[int, int] = (-1, -1)
    # Its interpreter, in words, where that is another than this process's; else nothing.
    elsewhere: str = ""
    # Which child: "native" or "agent".
    child: str = "native"


class _Kind:
    """What was started with the same interpreter under the same conditions."""

    def __init__(self, inherited: str) -> None:
        # What a process of this kind inherits.
        self.inherited = inherited
        self.started = 0
        self.zygote: Zygote | None = None
        # What the zygote was started with.
        self.environ: list[tuple[str, str]] = []
        self.failures = 0
        self.why_cold = "the first of its kind"


_lock = threading.Lock()
_kinds: collections.OrderedDict[tuple[Any, ...], _Kind] = collections.OrderedDict()
_preloaded: tuple[str, ...] = ()
# (how, why) each child was started.
_told: weakref.WeakKeyDictionary[Session, tuple[str, str]] = weakref.WeakKeyDictionary()


def start(how: Start, setting: Setting) -> Session:
    """Start a child and make the link to it.

    Raises:
        ValueError: `how` is no way to start.
        Refused, ChildDied: as for `Child`; with "warm" also when there can be no zygote.
    """
    if how == "auto":
        how = os.environ.get("SARANWRAP_START", "auto")  # type: ignore[assignment]  # looked at next
    if how not in {"auto", "cold", "warm"}:
        raise ValueError(f'start must be "auto", "cold" or "warm", not {how!r}')
    if setting.child == "agent":
        return _portable(how, setting)
    if how == "cold":
        return _cold(setting, "as it was told to")
    environ = environment() if setting.env is None else setting.env
    outline = _outline(setting, environ, _modules(setting))
    guessed = _lately(outline)
    # A zygote that has died since it was last used is found out about here, and another one may do.
    patience = 2 if how == "warm" else 1
    failure: SaranwrapError | None = None
    while patience:
        kind, zygote = guessed or _zygote_for(how, setting, environ, outline)
        if zygote is None:
            break
        try:
            session = _warm(kind, zygote, setting, environ, kind.inherited if guessed else None)
            if session is not None:
                # What failed before has this frame in its traceback: both would keep the session beyond its last proxy.
                failure = None
                return session
        except SaranwrapError as error:
            _give_up(kind, zygote, str(error))
            failure = error
            patience -= 1
            if isinstance(error, Refused):
                break
        guessed = None
    if how == "warm":
        raise Refused(f"cannot start a warm child: {kind.why_cold}") from (failure if zygote is not None else None)
    return _cold(setting, kind.why_cold)


def _cold(setting: Setting, why: str) -> Session:
    return _spawn(setting, ["-c", _BOOT, _PACKAGE_PARENT], None, why)


def _spawn(setting: Setting, args: list[str], boots: str | None, why: str) -> Session:
    session = Session.spawn(
        setting.program,
        [*setting.flags, *args],
        setting.env,
        setting.cwd,
        _setup(setting, None),
        setting.by_value,
        setting.trust,
        setting.transport,
        setting.says,
        boots,
    )
    _told[session] = "cold", why
    return session


def _portable(how: Start, setting: Setting) -> Session:
    """Start an interpreter, whichever it is, and give it the portable child to read."""
    if how == "warm":
        raise Refused("cannot start a warm child: the portable child is always started cold")
    return _spawn(setting, [], "", "the portable child")


def _warm(
    kind: _Kind, zygote: Zygote, setting: Setting, environ: list[tuple[str, str]], inherited: str | None
) -> Session | None:
    """The child; None if `inherited` is given and is not what a process inherits that is started now."""
    try:
        zygote.ready()
    except Refused:
        # It will say the same each time.
        kind.failures = _PATIENCE
        raise
    setup = _setup(setting, _changes(kind.environ, environ))
    session = zygote.fork(
        setting.cwd, setup, setting.by_value, setting.trust, setting.transport, setting.says, inherited
    )
    if session is not None:
        kind.failures = 0
        _told[session] = "warm", ""
    return session


def _changes(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Which variables are to be removed from an environment, and which are to be set."""
    if new == old:
        return (), ()
    known, wanted = dict(old), dict(new)
    removed = tuple(name for name in known if name not in wanted)
    return removed, tuple(item for item in wanted.items() if known.get(item[0]) != item[1])


def _setup(setting: Setting, changes: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """What the child is told first.

    What changes in its environment, if it was forked; which streams do not go where ours do; the types of the language here, where
    it may have others.
    """
    routed = tuple(name for name, goes in zip(("stdout", "stderr"), setting.says, strict=True) if goes != -1)
    language = _values.types_here() if setting.elsewhere else None
    return setting.path, setting.argv, setting.spin, changes, setting.concurrency, routed, language


def _lately(outline: tuple[Any, ...]) -> tuple[_Kind, Zygote] | None:
    """The kind with this outline that was used last, if it has a zygote. What a process inherits from here may have changed since."""
    with _lock:
        for name in reversed(_kinds):
            kind = _kinds[name]
            if name[:-1] == outline:
                if kind.zygote is None or not kind.zygote.alive or kind.failures >= _PATIENCE:
                    return None
                _kinds.move_to_end(name)
                return kind, kind.zygote
    return None


def _zygote_for(
    how: Start, setting: Setting, environ: list[tuple[str, str]], outline: tuple[Any, ...]
) -> tuple[_Kind, Zygote | None]:
    """The kind of a child, and the zygote to fork for it; None when it is to start cold, for which the kind has the reason."""
    inherited = attributes()
    name = (*outline, inherited)
    with _lock:
        kind = _kinds.setdefault(name, _Kind(inherited))
        _kinds.move_to_end(name)
        kind.started += 1
        if kind.zygote is not None and not kind.zygote.alive:
            kind.zygote = None
        hopeless = kind.failures >= _PATIENCE and how != "warm"
        if kind.zygote is None and not hopeless and (how == "warm" or kind.started > 1):
            try:
                kind.zygote = _make(setting, _modules(setting))
                kind.environ = environ
            except SaranwrapError as error:
                kind.failures += 1
                kind.why_cold = str(error)
        _tidy_up()
        return kind, None if hopeless else kind.zygote


def _modules(setting: Setting) -> tuple[str, ...]:
    # What can be imported here may not be there in another interpreter.
    return () if setting.elsewhere else _preloaded


def _outline(setting: Setting, environ: list[tuple[str, str]], modules: tuple[str, ...]) -> tuple[Any, ...]:
    """What has to be the same for a zygote to be as good as a new interpreter, but for what that would inherit otherwise."""
    # Without modules to load, what is loaded does not depend on the path.
    path = tuple(setting.path) if modules else ()
    return setting.program, setting.flags, _early(environ), modules, path


# The last environment that was looked at, with what was found.
_seen: tuple[list[tuple[str, str]], frozenset[tuple[str, str]]] = [], frozenset()


def _early(environ: list[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The variables that matter before a zygote is ready."""
    global _seen  # noqa: PLW0603  it is replaced as a whole
    known, early = _seen
    if environ != known:
        early = frozenset(item for item in environ if item[0].startswith(_EARLY) or item[0] in _EARLY_NAMES)
        _seen = environ, early
    return early


def _make(setting: Setting, modules: tuple[str, ...]) -> Zygote:
    load = [*setting.path, "", *modules] if modules else []
    return Zygote.start(setting.program, [*setting.flags, "-c", _BOOT, _PACKAGE_PARENT, "zygote", *load], setting.env)


def _give_up(kind: _Kind, zygote: Zygote, why: str) -> None:
    """A zygote has failed: it is not asked again, unless it only said no."""
    with _lock:
        kind.failures += 1
        kind.why_cold = why
        if kind.zygote is zygote and (kind.failures >= _PATIENCE or not zygote.alive):
            kind.zygote = None
            zygote.close()


def _tidy_up() -> None:
    """End the zygotes that were used longest ago, when there are too many, and forget such kinds."""
    living = [kind for kind in _kinds.values() if kind.zygote is not None]
    for kind in living[:-_MOST_ZYGOTES]:
        _end(kind)
    while len(_kinds) > _MOST_KINDS:
        _, kind = _kinds.popitem(last=False)
        _end(kind)


def _end(kind: _Kind) -> None:
    if kind.zygote is not None:
        kind.zygote.close()
        kind.zygote = None


def preload(modules: Iterable[str], setting: Setting) -> None:
    """Make a zygote that has loaded these modules too, and have every later one load them."""
    global _preloaded  # noqa: PLW0603  what is preloaded belongs to the process, as its modules do
    wanted = tuple(dict.fromkeys([*_preloaded, *modules]))
    environ = environment()
    with _lock:
        zygote = _make(setting, wanted)
    try:
        zygote.ready()
    except BaseException:
        zygote.close()
        raise
    kind = _Kind(attributes())
    kind.zygote, kind.environ = zygote, environ
    with _lock:
        _preloaded = wanted
        for other in _kinds.values():
            _end(other)
        _kinds.clear()
        _kinds[(*_outline(setting, environ, wanted), kind.inherited)] = kind


def told(session: Session) -> tuple[str, str]:
    """How a child was started: ("warm", "") or ("cold", why)."""
    return _told.get(session, ("cold", ""))


def pids() -> set[int]:
    """The processes that are zygotes now."""
    with _lock:
        return {kind.zygote.pid for kind in _kinds.values() if kind.zygote is not None and kind.zygote.alive}


def spares() -> set[int]:
    """The processes that were forked ahead of the next children."""
    with _lock:
        return {pid for kind in _kinds.values() if kind.zygote is not None for pid in kind.zygote.spares()}


def close_all() -> None:
    """At exit: no zygote outlives this process."""
    with _lock:
        for kind in _kinds.values():
            _end(kind)
        _kinds.clear()


def forget_all() -> None:
    """After a fork, in the new process: the zygotes stay with the old one."""
    global _lock  # noqa: PLW0603  a lock belongs to one process
    # Another thread may have held it.
    _lock = threading.Lock()
    for kind in _kinds.values():
        if kind.zygote is not None:
            kind.zygote.forget()
    _kinds.clear()
