"""What a child asks of its parent beyond the objects: to show warnings and what could not be raised, to write output and to log.

All this goes on while a call is served, on the thread that waits for it, so that a filter that turns a warning into an error, or a
stream that the user put in the place of `sys.stdout`, works as if the code ran here.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
import warnings
import weakref

from saranwrap import _exceptions, _values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

    from saranwrap._native import Session


class Door:
    """In the parent: what it gives out as the root of its side, for the child of this session."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        # The session holds its root.
        self._session = weakref.ref(session)

    def __call__(self, kind: str, *args: Any) -> Any:
        """Do what the child asks."""
        session = self._session()
        if kind == "object" and session is not None:
            return _values.for_one_without(session, *args)
        return _answer(kind, *args)


def _answer(kind: str, *args: Any) -> Any:
    if kind == "warning":
        return _warn(*args)
    if kind in {"stdout", "stderr"}:
        stream = getattr(sys, kind)
        if stream is None:
            return None
        return stream.write(args[0]) if args else stream.flush()
    if kind == "unraisable":
        return _unraisable(*args)
    if kind == "log":
        return logs().receive(*args)
    raise ValueError(f"a child cannot ask for {kind!r}")


def _unraisable(error: Any, message: Any, source: Any) -> None:
    """What the child's code could not raise, such as an exception in a `__del__`."""
    if sys.unraisablehook is sys.__unraisablehook__:
        # The interpreter's own hook takes only what the interpreter made.
        sys.stderr.write(f"{message or 'Exception ignored in'}: {source!r}\n")
        import traceback

        traceback.print_exception(error, file=sys.stderr)
        return
    about = types.SimpleNamespace(
        exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__, err_msg=message, object=source
    )
    sys.unraisablehook(about)


# What has been shown from where, as the interpreter keeps it in each module for its own warnings.
_shown: dict[str, dict[Any, int]] = {}


# How many files, and how many warnings of each, are remembered: what a child makes up is not to stay for ever.
_MOST_SHOWN = 4096


def _warn(message: Any, category: Any, about: str | int, line: int, module: str | None) -> None:
    if not (isinstance(category, type) and issubclass(category, Warning)):
        category, message = UserWarning, str(message)
    if isinstance(about, int):
        about, line, module = _caller(about)
    # As the interpreter does where no frame tells; None would mean that it is shutting down.
    module = module or about.removesuffix(".py") or "<unknown>"
    if len(_shown) > _MOST_SHOWN:
        _shown.clear()
    registry = _shown.setdefault(about, {})
    if len(registry) > _MOST_SHOWN:
        registry.clear()
    warnings.warn_explicit(message, category, about, line, module, registry=registry)


def _caller(further: int) -> tuple[str, int, str | None]:
    """Whoever called the child's code: the frame here that waits for it, or one that many frames further out."""
    here = os.path.dirname(__file__)
    frame = _frame_where(lambda filename: os.path.dirname(filename) != here)
    while frame is not None and further > 0:
        frame, further = frame.f_back, further - 1
    if frame is None:
        # What the interpreter says where there are not so many frames.
        return "sys", 1, "sys"
    return frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__")


def _module_of(filename: str) -> str | None:
    """The name of the module that warned: filters may name it. It stands in the frame with that file."""
    frame = _frame_where(filename.__eq__)
    return frame.f_globals.get("__name__") if frame is not None else None


def _frame_where(is_wanted: Callable[[str], bool]) -> types.FrameType | None:
    """The innermost frame whose file is wanted."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None and not is_wanted(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


class Stream:
    """In the child: a `sys.stdout` that writes to the parent's while a call is served, and to the inherited one, if there is one, else.

    One that is `routed` goes where the parent wants it, descriptor and all, and always writes to the inherited one.
    """

    def __init__(self, session: Session, kind: str, inherited: IO[str] | None, routed: tuple[str, ...]) -> None:
        self._session = session
        self._kind = kind
        self._is_routed = kind in routed
        self._inherited = _begin_routed(kind) if self._is_routed else inherited

    def write(self, text: str) -> int:
        """Write `text` where the parent's own output goes; returns its length."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._session.serving and not self._is_routed:
            self._session.call(0, (self._kind, "".join([text])), None)
        elif self._inherited is not None:
            self._inherited.write(text)
            self._inherited.flush()
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is kept back here; the parent's own stream may keep something."""
        if self._session.serving and not self._is_routed:
            self._session.call(0, (self._kind,), None)
        if self._inherited is not None:
            self._inherited.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inherited, name)

    def __iter__(self) -> Any:
        return iter(self._inherited or ())


def _begin_routed(kind: str) -> Any:
    """The stream over a descriptor that leads to the parent, which reads UTF-8 and takes every byte.

    A new one, since that of a zygote has looked at what the descriptor was there.
    """
    number = ("stdout", "stderr").index(kind) + 1
    stream = open(number, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115  it stays open
    setattr(sys, f"__{kind}__", stream)
    return stream


def move_in(session: Session, routed: tuple[str, ...]) -> None:
    """In the child: send warnings and output home."""
    sys.stdout = Stream(session, "stdout", sys.stdout, routed)
    sys.stderr = Stream(session, "stderr", sys.stderr, routed)
    inherited, own_filters = warnings.showwarning, warnings.filters[:]

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if session.serving and file is None:
            about, module = _about(filename), _module_of(filename)
            session.call(0, ("warning", message, category, about, lineno, module), None)
        elif file is not None or not _is_ignored(own_filters, message, category, filename, lineno):
            inherited(message, category, filename, lineno, file, line)

    ignored = sys.unraisablehook

    def unraisable(about: Any) -> None:
        if session.serving and about.exc_value is not None:
            session.call(0, ("unraisable", about.exc_value, about.err_msg, about.object), None)
        else:
            ignored(about)

    sys.unraisablehook = unraisable
    # The parent's filters decide; here every warning is let through.
    warnings.simplefilter("always")
    warnings.showwarning = show


def log_home(session: Session, notes: int) -> None:
    """In the child: send what is logged home, once something is."""

    def log() -> None:
        room = logs()
        room.move_in(session, notes)
        if _posted is not None:
            room.apply(_posted)

    when_loaded("logging", log)


def _about(filename: str) -> str | int:
    """What a warning is about: a file, or whoever called the child's code, that many frames further out."""
    bottom = _frame_where(_exceptions.BOTTOM.__eq__)
    below = []
    while bottom is not None:
        below.append(bottom)
        bottom = bottom.f_back
    frame = _frame_where(filename.__eq__)
    # Further out than these the interpreter says only that there are not so many frames.
    return below.index(frame) if frame in below else filename


def _is_ignored(filters: Any, message: Any, category: Any, filename: str, line: int) -> bool:
    """Whether a warning that nobody at home can be asked about is of no interest, by the filters that this process began with."""
    module = _module_of(filename) or ""
    for action, text, kind, place, number in filters:
        if (
            (text is None or text.match(str(message)))
            and issubclass(category, kind)
            and (place is None or place.match(module))
            and number in (0, line)
        ):
            return bool(action == "ignore")
    return False


# What the parent has last told of its loggers.
_posted: str | None = None


def posted(_session: Session, text: str) -> None:
    """In the child: the parent has something to tell, ahead of what it asks."""
    global _posted  # noqa: PLW0603  there is one parent
    _posted = text
    logs: Any = sys.modules.get("saranwrap._logs")
    if logs is not None:
        logs.apply(text)


# Children that are to be told of loggers, once there are any.
_untold: weakref.WeakSet[Session] = weakref.WeakSet()


def begin(session: Session) -> None:
    """In the parent: tell a new child of the loggers here, as soon as there are any."""
    is_first = not _untold
    _untold.add(session)
    if is_first or "logging" in sys.modules:
        when_loaded("logging", _begin_to_tell)


def _begin_to_tell() -> None:
    while _untold:
        logs().begin(_untold.pop())


def listen(session: Session) -> None:
    """In the parent: the child has loaded `logging`, and may log when nobody asks it anything."""
    from saranwrap import _output

    _output.listen(session, {})


def logs() -> Any:
    """The room of records, which loads `logging`."""
    # First, since whoever waits for it asks for that room, which must not be half loaded then.
    importlib.import_module("logging")
    return importlib.import_module("saranwrap._logs")


class _Loading:
    """On `sys.meta_path` until a module is loaded; then it calls whoever wants to know."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.then: list[Callable[[], None]] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        for finder in list(sys.meta_path):
            spec = finder.find_spec(name, path, target) if finder is not self else None
            if spec is not None:
                self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader: Any) -> None:
        load = loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            loader.__dict__.pop("exec_module", None)
            load(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            for call in self.then:
                call()

        # One that cannot be followed is one that nobody hears of.
        if hasattr(loader, "__dict__"):
            loader.exec_module = exec_module


def when_loaded(name: str, call: Callable[[], None]) -> None:
    """Call now, or once the module is loaded, which this does not do."""
    module: Any = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        call()
        return
    watch(name).then.append(call)


def watch(name: str) -> _Loading:
    """Look out for a module that is not loaded yet."""
    for finder in sys.meta_path:
        if isinstance(finder, _Loading) and finder.name == name:
            return finder
    watching = _Loading(name)
    sys.meta_path.insert(0, watching)
    return watching
