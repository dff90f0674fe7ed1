"""Records of `logging` on their way from a child to its parent's loggers, and the parent's levels on their way to the child.

A record goes home as plain data: its text is made in the child, and whatever is attached to it and is no plain data goes as its
`repr`. So a parent neither formats nor unpickles what a child says. While a call is served a record is a call of its own, so that the
parent's handlers run where and when they would without a child; otherwise it goes into a pipe, which makes a child wait that
logs faster than its parent handles.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref

from saranwrap._native import post

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from saranwrap._native import Session

# What is cut off beyond this, in characters.
_LONGEST_TEXT = 256 << 10
# How deep plain data is looked into before it is taken for no plain data.
_DEPTH = 4
# How many seconds a thread of the child waits for a parent that does not take what it logs.
_PATIENCE = 5.0

# What every record has. What else is in one came by `extra`, or was put there by somebody.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SENT = ("name", "levelno", "levelname", "pathname", "filename", "module", "lineno", "funcName", "created", "msecs")
_SENT_TOO = ("relativeCreated", "thread", "threadName", "process", "processName", "taskName", "stack_info")
_NUMBERS = frozenset({"levelno", "lineno", "created", "msecs", "relativeCreated", "thread", "process"})


# --- in the parent ----------------------------------------------------------------------------------------------------

_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_last_told = ""


def begin(session: Session) -> None:
    """Tell a new child about the levels here, now and whenever they change."""
    manager = logging.root.manager
    if "_clear_cache" not in vars(manager):
        # What every change of a level ends in, since loggers remember what they are enabled for.
        clear = manager._clear_cache  # type: ignore[attr-defined]

        def cleared() -> None:
            clear()
            _tell_all()

        manager._clear_cache = cleared  # type: ignore[attr-defined]
    _sessions.add(session)
    text = _levels()
    if text != _AS_IT_BEGINS:
        post(session, text)


# What a child takes for granted: no handlers, nothing disabled, and the root logger at WARNING.
_AS_IT_BEGINS = f"0 0\n{logging.WARNING} "


def _levels() -> str:
    """What a child needs to know of the loggers here, as a text."""
    manager = logging.root.manager
    named = [(name, logger) for name, logger in list(manager.loggerDict.items()) if isinstance(logger, logging.Logger)]
    lines = [f"{int(_has_handlers())} {manager.disable}", f"{logging.root.level} "]
    lines += [f"{logger.level} {name}" for name, logger in named if logger.level and "\n" not in name]
    return "\n".join(lines)


def _has_handlers() -> bool:
    if logging.root.handlers:
        return True
    loggers = [
        logger for logger in list(logging.root.manager.loggerDict.values()) if isinstance(logger, logging.Logger)
    ]
    return any(not isinstance(handler, logging.NullHandler) for logger in loggers for handler in logger.handlers)


def _tell_all() -> None:
    global _last_told  # noqa: PLW0603  what all children have been told
    text = _levels()
    if text != _last_told:
        _last_told = text
        for session in list(_sessions):
            post(session, text)


def receive(fields: Any) -> None:
    """A record has come from a child, as pairs. It may be anything."""
    try:
        record = _record(dict(fields))
    except (TypeError, ValueError, RecursionError):
        return
    if record is None:
        return
    logger = _nearest(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
    if _has_handlers() is not _last_told.startswith("1"):
        # Handlers come and go without a word; a child that logs makes it worth a look.
        _tell_all()


def receive_note(line: bytes) -> None:
    """A record has come by the pipe."""
    if line == b"\n":
        return
    import json

    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        # One that was not finished, or whatever somebody wrote there who is to be trusted with nothing.
        return
    receive(fields)


def _record(fields: dict[Any, Any]) -> logging.LogRecord | None:
    given = {}
    for key in (*_SENT, *_SENT_TOO):
        value = fields.get(key)
        if type(value) in ((int, float) if key in _NUMBERS else (str, type(None))):
            given[key] = value
    message, exc_text = fields.get("message"), fields.get("exc_text")
    if type(message) is not str or type(given.get("levelno")) is not int or type(given.get("name")) is not str:
        return None
    record = logging.makeLogRecord(given)
    record.msg, record.args = message, ()
    if type(exc_text) is str:
        record.exc_text = exc_text
    for key, value in _extra(fields.get("extra")).items():
        # A method that is hidden by an attribute would fail in a handler, far from here.
        if key not in _OWN and not hasattr(logging.LogRecord, key):
            setattr(record, key, value)
    return record


def _extra(text: Any) -> dict[str, Any]:
    if type(text) is not str:
        return {}
    import json

    extra = json.loads(text)
    return extra if type(extra) is dict else {}


def _nearest(name: str) -> logging.Logger:
    """The logger of this name, or the next one above it.

    A logger that nobody here has made has nothing to say, and a child must not make any, since they stay for ever.
    """
    loggers = logging.root.manager.loggerDict
    while name:
        logger = loggers.get(name)
        if isinstance(logger, logging.Logger):
            return logger
        name = name.rpartition(".")[0]
    return logging.root


# --- in the child -----------------------------------------------------------------------------------------------------


class _Home(logging.Handler):
    """Sends records home."""

    def __init__(self, session: Session, notes: int) -> None:
        super().__init__()
        self._session = session
        self._notes = notes
        self._writing = threading.Lock()
        self._lost = 0
        os.register_at_fork(after_in_child=self._begin_writing_anew)

    def _begin_writing_anew(self) -> None:
        self._writing = threading.Lock()

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the handler's lock: while a record is at home, another thread may log.
        # A bool, and since 3.12 a record that takes its place, too.
        kept: Any = self.filter(record)
        if kept:
            self.emit(record if kept is True else kept)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = _fields(record)
        except Exception:  # noqa: BLE001  the record's own objects may raise anything when their text is made
            self.handleError(record)
            return
        if self._session.serving:
            # What the parent's filters raise is raised here, in the code that logs, as it would be there.
            self._session.call(0, ("log", tuple(fields.items())), None)
        else:
            self._write(fields)

    def _write(self, fields: dict[str, Any]) -> None:
        import json

        # The line's end in front closes what was left unfinished.
        line = memoryview(b"\n" + json.dumps(fields).encode() + b"\n")
        with self._writing:
            if self._lost and not self._has_room(0):
                self._lost += 1
                return
            while line:
                try:
                    line = line[os.write(self._notes, line) :]
                except BlockingIOError:
                    if not self._has_room(_PATIENCE):
                        # The end of a line that was begun is missing; the next one begins anew.
                        self._lost += 1
                        return
                except OSError:
                    # The parent is gone.
                    return
            self._lost = 0

    def _has_room(self, seconds: float) -> bool:
        import select

        return bool(select.select([], [self._notes], [], seconds)[1])


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {key: _plain(getattr(record, key, None), str) for key in (*_SENT, *_SENT_TOO)}
    fields["message"] = record.getMessage()[:_LONGEST_TEXT]
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = logging.Formatter().formatException(record.exc_info)[:_LONGEST_TEXT]
    elif record.exc_text:
        fields["exc_text"] = str(record.exc_text)[:_LONGEST_TEXT]
    extra = {str(key): _plain(value, repr) for key, value in vars(record).items() if key not in _OWN}
    if extra:
        # Containers would go by reference.
        import json

        fields["extra"] = json.dumps(extra)
    return fields


def _plain(value: Any, otherwise: Any, depth: int = _DEPTH) -> Any:
    """Plain data as it is, in containers of its own; of anything else what `otherwise` makes of it."""
    kind = type(value)
    if value is None or kind in (bool, int, float):
        return value
    if kind is str:
        return value[:_LONGEST_TEXT]
    if depth and kind in (list, tuple):
        return kind(_plain(item, otherwise, depth - 1) for item in value)
    if depth and kind is dict and all(type(key) is str for key in value):
        return {key: _plain(item, otherwise, depth - 1) for key, item in value.items()}
    return str(otherwise(value))[:_LONGEST_TEXT]


_home: _Home | None = None
# The levels that were set here because they are so at home: one that the child's own code has set since is left alone.
_applied: dict[str, int] = {"": logging.WARNING}
_disabled = 0


def move_in(session: Session, notes: int) -> None:
    """In the child: send home what no handler of the child's own takes."""
    global _home  # noqa: PLW0603  a child has one home
    os.set_blocking(notes, False)
    _home = _Home(session, notes)
    # `logging` asks this one where nobody has set up anything, and what it would do is for the parent to do.
    logging.lastResort = _home


def apply(text: str) -> None:
    """In the child: set the loggers as they are set at home."""
    global _disabled  # noqa: PLW0603  as above
    head, *lines = text.split("\n")
    has_handlers, disabled = (int(number) for number in head.split(" "))
    levels = {name: int(level) for level, _, name in (line.partition(" ") for line in lines)}
    for name in {*levels, *_applied}:
        logger = logging.getLogger(name) if name else logging.root
        level = levels.get(name, logging.NOTSET)
        if logger.level == _applied.get(name, logging.NOTSET) != level:
            logger.setLevel(level)
        if logger.level == level:
            _applied[name] = level
    if logging.root.manager.disable == _disabled != disabled:
        logging.disable(disabled)
        _disabled = disabled
    _place(has_handlers)


def _place(has_handlers: int) -> None:
    """Where the parent has set up handlers, the child's code is not to set up its own, such as by `basicConfig`."""
    handlers = logging.root.handlers
    if has_handlers and not handlers and _home is not None:
        logging.root.addHandler(_home)
    elif not has_handlers and _home in handlers:
        logging.root.removeHandler(_home)
