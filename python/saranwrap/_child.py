"""What the child runs: it takes over the link that its parent left at fd 0, and serves until the parent is gone."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` has the same, and loads enumerations for it
import atexit
import faulthandler
import gc
import importlib
import os
import sys
import types
import warnings

from saranwrap import _exceptions, _home, _values
from saranwrap._native import OPS, Session, await_birth, begin_to_end, interrupts, rehearse, sound_alarm_here
from saranwrap.errors import SaranwrapError, Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


# What `compile("serve()", ...)` would give, which costs a millisecond: the compiler makes a hundred classes when it is first used.
SERVING = (lambda: serve()).__code__.replace(  # type: ignore[name-defined]  # noqa: F821, PLW0108  it is given when this is run
    co_filename=_exceptions.BOTTOM, co_name="<module>", co_qualname="<module>", co_firstlineno=1, co_flags=0
)
# The conversation with the parent.
serving: list[Session] = []


def main() -> None:
    """Serve the parent. Returns when the conversation has ended; then the interpreter ends as it always does."""
    arguments = sys.argv[2:]
    if arguments:
        # A zygote: from here on this is one child of many.
        await_birth(lambda: _load(arguments[1:]), lambda: _rehearse(_FIRST_REQUESTS[:_SURE]))
        del sys.orig_argv[-len(arguments) :]
    session, (path, argv, spin, changes, concurrency, routed, language), notes = Session.adopt()
    serving.append(session)
    # A fork of this process that is none of ours must not use what belongs to this one.
    os.register_at_fork(after_in_child=session.forget)
    # A thread that waits for the parent then must not come back into an interpreter that is being taken down.
    atexit.register(begin_to_end)
    if changes is not None:
        _begin_anew(*changes)
    if language is not None:
        _values.hear_of_types(language)
    if spin is not None:
        session.set_spin(spin)
    # The parent's comes first; what the environment gave to this process alone comes after it.
    own = [place for place in sys.path if place and place not in path]
    sys.path[:] = [*path, *own]
    sys.argv[:] = argv
    if not faulthandler.is_enabled():
        faulthandler.enable(2, all_threads=True)
    _home.move_in(session, routed)
    _home.log_home(session, notes)
    serve, raise_in = session.serve, None
    if concurrency != "serial":
        from saranwrap import _serving

        serve, raise_in = _serving.begin(session, concurrency)
    _signal.signal(_signal.SIGINT, _interrupt(session, raise_in))
    sound_alarm_here(session, _signal.SIGINT)
    # Code that looks who called it finds `__main__`, not this package.
    main_module = sys.modules["__main__"]
    for name in ("main", "saranwrap"):
        main_module.__dict__.pop(name, None)
    try:
        exec(SERVING, {"serve": serve, "__name__": "__main__"})
    except SaranwrapError:
        # The parent went without a word, as one does that is killed: there is nobody to tell, and nothing went wrong here.
        if session.alive:
            raise


def _load(arguments: list[str]) -> str | None:
    """In a zygote: import what its children are to have. Returns what is wrong, if anything is."""
    # Ctrl-C reaches the whole process group. A handler, not SIG_IGN, since programs that a module starts would inherit that.
    _signal.signal(_signal.SIGINT, lambda *_: None)
    _warm_up()
    before = sys.path[:]
    if arguments:
        end = arguments.index("")
        path, modules = arguments[:end], arguments[end + 1 :]
        sys.path[:] = [*path, *(place for place in before if place and place not in path)]
        sys.argv[1:] = []
        for name in modules:
            try:
                importlib.import_module(name)
            except BaseException as error:  # noqa: BLE001  a module may raise anything, and `sys.exit()` is no reason to end
                return f"cannot import {name!r}: {type(error).__name__}: {error}"
        sys.path[:] = before
    else:
        modules = []
    # Last: a module may register with abstract base classes, and what is told of them would no longer hold.
    _foresee_classes_of_the_language()
    for name in modules:
        _foresee_classes_of(name)
    if "logging" not in sys.modules:
        _home.watch("logging")
    _rehearse(_FIRST_REQUESTS)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            # What stays in the buffer would be written by each child.
            stream.flush()
    # What is garbage now would be collected by each child, which would take a copy of what it looks at for that.
    gc.collect()
    return None


def _foresee_classes_of(name: str) -> None:
    """Describe here what each child would describe that uses this module: which abstract base classes a class counts as is dear to ask."""
    mirrors = importlib.import_module("saranwrap._mirrors")
    # What stands in `sys.modules` under the name may be anything.
    space = getattr(sys.modules.get(name), "__dict__", {})
    for cls in list(space.values()):
        if type(cls) is type and cls.__module__ == name and cls.__bases__ == (object,):
            mirrors.foresee(cls)


def _warm_up() -> None:
    """Do here, once, what each child would do for its first answers."""
    importlib.import_module("saranwrap._host")
    # What a crash says goes to descriptor 2, whatever that is by then.
    faulthandler.enable(2, all_threads=True)


def _foresee_classes_of_the_language() -> None:
    mirrors = importlib.import_module("saranwrap._mirrors")
    for cls in (
        types.ModuleType,
        types.FunctionType,
        types.BuiltinFunctionType,
        types.MethodType,
        type,
        list,
        dict,
        set,
    ):
        mirrors.foresee(cls)


# What a parent asks first, more or less. The first object that a session gives out has the id 1, its class 2, the next one 3.
_FIRST_REQUESTS: list[tuple[int, int, tuple[Any, ...]]] = [
    (OPS["import"], 0, ("time",)),
    (OPS["describe"], 2, ()),
    (OPS["getattr"], 1, ("monotonic",)),
    (OPS["describe"], 4, ()),
    (OPS["call"], 3, ((), {})),
    (OPS["callattr"], 1, ("gmtime", (0,), {})),
    (OPS["describe"], 6, ()),
    (OPS["getattr"], 1, ("no such attribute",)),
]
# How many of these are so likely that a process which was forked ahead is to have copies of what they write to.
_SURE = 5


def _rehearse(requests: list[tuple[int, int, tuple[Any, ...]]]) -> None:
    """Begin, and answer these to nobody; what fails here fails again when it counts, and somebody is told.

    Once before any fork, which makes what is made once; and in a process that was forked ahead of its use, which writes to the memory
    that a child writes to first, and so has its copies.
    """
    try:
        rehearse(requests, _perform)
    except Exception:  # noqa: BLE001
        return


def _perform(session: Session) -> None:
    _begin_anew((), ())
    sys.path[:] = sys.path[:]
    faulthandler.enable(2, all_threads=True)
    # Nobody is at home: all that is put in place here is taken back.
    before = sys.stdout, sys.stderr, sys.unraisablehook, warnings.showwarning
    try:
        with warnings.catch_warnings():
            _home.move_in(session, ())
    finally:
        sys.stdout, sys.stderr, sys.unraisablehook, warnings.showwarning = before
    _interrupt(session, None)
    _signal.signal(_signal.SIGINT, _signal.getsignal(_signal.SIGINT))
    sound_alarm_here(session, _signal.SIGINT)
    exec(SERVING, {"serve": session.serve, "__name__": "__main__"})


def _begin_anew(removed: tuple[str, ...], changed: tuple[tuple[str, str], ...]) -> None:
    """In a child that was forked: what an interpreter finds when it starts, and a module makes when it is loaded."""
    for name in removed:
        os.environ.pop(name, None)
    for name, value in changed:
        os.environ[name] = value
    _begin_output(sys.__stdout__)
    threading: Any = sys.modules.get("threading")
    if threading is not None and hasattr(threading.main_thread(), "_set_native_id"):
        # Some versions keep the number that it had in the zygote.
        threading.main_thread()._set_native_id()
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        # `random` sees to that itself; this one's children would all draw the same numbers.
        numpy_random.seed()


def _begin_output(stream: Any) -> None:
    """The standard output may be another one than the zygote's, or none."""
    try:
        os.fstat(1)
    except OSError:
        # An interpreter that starts without one has none either.
        sys.stdout = sys.__stdout__ = None  # type: ignore[misc]
        return
    # Where every write goes through at once, the interpreter does not set the other.
    if stream is not None and not stream.write_through:
        stream.reconfigure(line_buffering=os.isatty(1))


def _interrupt(session: Session, raise_in: Callable[[int, type], object] | None) -> Callable[[int, object], None]:
    def handler(_signum: int, _frame: object) -> None:
        """Ctrl-C reaches the whole process group; only a call that the parent gave up is to stop here."""
        if interrupts(session, raise_in):
            deadlines = sys.modules.get("saranwrap._deadlines")
            # Not the same: some code takes Ctrl-C for something that other processes have been told as well, and waits for them.
            raise Stopped if deadlines is not None and deadlines.lift() else KeyboardInterrupt

    return handler
