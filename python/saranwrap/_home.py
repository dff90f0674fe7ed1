"""What a child asks of its parent beyond the objects: to show warnings and what could not be raised, and to write output.

All this goes on while a call is served, on the thread that waits for it, so that a filter that turns a warning into an error, or a
stream that the user put in the place of `sys.stdout`, works as if the code ran here.
"""

from __future__ import annotations

import os
import sys
import types
import warnings

from saranwrap import _exceptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

    from saranwrap._native import Session


def answer(kind: str, *args: Any) -> Any:
    """In the parent: do what the child asks. This function is what the parent gives out as the root of its side."""
    if kind == "warning":
        return _warn(*args)
    if kind in {"stdout", "stderr"}:
        stream = getattr(sys, kind)
        if stream is None:
            return None
        return stream.write(args[0]) if args else stream.flush()
    if kind == "unraisable":
        return _unraisable(*args)
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


def _warn(message: Any, category: Any, filename: str, line: int, module: str | None) -> None:
    if not (isinstance(category, type) and issubclass(category, Warning)):
        category, message = UserWarning, str(message)
    if filename == _exceptions.BOTTOM:
        # The warning is about whoever called the child's code: that is the frame here that waits for it.
        here = os.path.dirname(__file__)
        frame = _frame_where(lambda filename: os.path.dirname(filename) != here)
        if frame is not None:
            filename, line, module = frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__")
    # As the interpreter does where no frame tells; None would mean that it is shutting down.
    module = module or filename.removesuffix(".py") or "<unknown>"
    warnings.warn_explicit(message, category, filename, line, module, registry=_shown.setdefault(filename, {}))


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
    """In the child: a `sys.stdout` that writes to the parent's while a call is served, and to the inherited one, if there is one, else."""

    def __init__(self, session: Session, kind: str, inherited: IO[str] | None) -> None:
        self._session = session
        self._kind = kind
        self._inherited = inherited

    def write(self, text: str) -> int:
        """Write `text` where the parent's own output goes; returns its length."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._session.serving:
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
        if self._session.serving:
            self._session.call(0, (self._kind,), None)
        if self._inherited is not None:
            self._inherited.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inherited, name)

    def __iter__(self) -> Any:
        return iter(self._inherited or ())


def move_in(session: Session) -> None:
    """In the child: send warnings and output home."""
    sys.stdout = Stream(session, "stdout", sys.stdout)
    sys.stderr = Stream(session, "stderr", sys.stderr)
    inherited = warnings.showwarning

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if session.serving and file is None:
            session.call(0, ("warning", message, category, filename, lineno, _module_of(filename)), None)
        else:
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
