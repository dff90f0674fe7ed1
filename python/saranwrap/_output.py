"""Where a child's standard output and error go: kept, told to a function, or logged. In the parent.

What a child writes to a descriptor is read by a thread of the engine, which knows no Python. So functions are called by a thread of
this room, one for each child that needs it; it also takes what the child logs while it serves no call.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from saranwrap import _home
from saranwrap._native import Listener, Session, listener

if TYPE_CHECKING:
    # It is loaded by whoever logs.
    import logging

    Sink = Literal["inherit", "capture"] | Callable[[str], object] | logging.Logger | int | None
else:
    Sink = object

# How much of each stream is kept with "capture".
KEPT = 1 << 20
# A line that is longer comes in parts; a note that is longer is none.
_LONGEST_LINE = 64 << 10
_LONGEST_NOTE = 4 << 20

# What the engine calls these two.
_OURS, _TOLD = -1, -2
_STREAMS = {1: "stdout", 2: "stderr"}


class Output(NamedTuple):
    """What a child has written, as far as it was captured: see `saranwrap.output`."""

    stdout: str | None
    stderr: str | None
    lost: int


class Routes(NamedTuple):
    """Where the two streams of a child go."""

    #: For the engine.
    says: tuple[int, int]
    #: Who is told each line, by the stream's descriptor.
    told: Mapping[int, Callable[[bytes], object]]


def routes(stdout: Sink, stderr: Sink) -> Routes:
    """What the arguments `stdout` and `stderr` of `Child` mean.

    Raises:
        TypeError, ValueError: one of them means nothing.
    """
    told: dict[int, Callable[[bytes], object]] = {}
    says = []
    for number, sink in ((1, stdout), (2, stderr)):
        if sink is None or sink == "inherit":
            says.append(_OURS)
        elif sink == "capture":
            says.append(KEPT)
        else:
            told[number] = _teller_of(number, sink)
            says.append(_TOLD)
    return Routes((says[0], says[1]), told)


def _teller_of(number: int, sink: Sink) -> Callable[[bytes], object]:
    name = _STREAMS[number]
    if isinstance(sink, int) and not isinstance(sink, bool):
        import logging

        return _logging_to(logging.getLogger(f"saranwrap.{name}"), sink)
    loaded: Any = sys.modules.get("logging")
    if loaded is not None and isinstance(sink, loaded.Logger):
        return _logging_to(sink, loaded.INFO if number == 1 else loaded.WARNING)
    if isinstance(sink, str):
        # Of the right type, and no word that is known.
        raise ValueError(f'{name} must be "inherit", "capture", a function, a logger or a level, not {sink!r}')  # noqa: TRY004
    if not callable(sink):
        raise TypeError(
            f'{name} must be "inherit", "capture", a function, a logger or a level, not a {type(sink).__name__!r} object'
        )
    receive = sink
    return lambda line: receive(line.decode("utf-8", "surrogateescape"))


def _logging_to(logger: logging.Logger, level: int) -> Callable[[bytes], object]:
    def log(line: bytes) -> None:
        # A handler encodes what it gets, and could not do that with what stands for bytes that are no text.
        text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
        if text:
            logger.log(level, "%s", text)

    return log


class _Lines:
    """Takes bytes as they come, and gives them on line by line; a line's end may be that of a bar which is drawn anew, too."""

    def __init__(self, receive: Callable[[bytes], object], longest: int) -> None:
        self._receive = receive
        self._longest = longest
        self._begun = b""

    def feed(self, chunk: bytes) -> None:
        lines = (self._begun + chunk).splitlines(keepends=True)
        # Behind a carriage return there may come the rest of a line's end.
        begun = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            self._receive(self._cut(line))
        self._begun = self._cut(begun)

    def _cut(self, line: bytes) -> bytes:
        """Give on what is too much for one line; the rest is returned. What is not too much may lack the rest of a character."""
        while len(line) > self._longest:
            cut = self._longest
            # Not within a character, which has three more bytes at most.
            while cut > self._longest - 4 and line[cut] & 0xC0 == 0x80:
                cut -= 1
            self._receive(line[:cut])
            line = line[cut:]
        return line

    def end(self) -> None:
        if self._begun:
            self._receive(self._begun)
            self._begun = b""


class _Teller(threading.Thread):
    """Tells what a child says until it has ended. It keeps nothing of the child alive but what it has said."""

    def __init__(self, listener: Listener, pid: int, told: Mapping[int, Callable[[bytes], object]]) -> None:
        super().__init__(name=f"saranwrap-output-{pid}", daemon=True)
        self.listener = listener
        self.has_sinks = bool(told)
        self._lines = {number: _Lines(self._careful(receive), _LONGEST_LINE) for number, receive in told.items()}
        self._lines[0] = _Lines(self._careful(_home.logs().receive_note), _LONGEST_NOTE)

    def run(self) -> None:
        while (heard := self.listener.hear()) is not None:
            number, chunk = heard
            self._lines[number].feed(chunk)
        for lines in self._lines.values():
            lines.end()

    def _careful(self, receive: Callable[[bytes], object]) -> Callable[[bytes], None]:
        """The same, but what it raises is shown as in any thread, and does not keep the next line from being told."""

        def careful(line: bytes) -> None:
            try:
                receive(line)
            except BaseException as error:  # noqa: BLE001  the user's function; it is reported, whatever it is
                about = threading.ExceptHookArgs((type(error), error, error.__traceback__, self))
                threading.excepthook(about)

        return careful


_lock = threading.Lock()
_tellers: weakref.WeakKeyDictionary[Session, _Teller] = weakref.WeakKeyDictionary()


def listen(session: Session, told: Mapping[int, Callable[[bytes], object]]) -> None:
    """Have a thread tell what the child says, unless there is one."""
    with _lock:
        heard = None if session in _tellers else listener(session)
        if heard is None:
            return
        teller = _Teller(heard, session.pid, told)
        try:
            teller.start()
        except RuntimeError:
            # The interpreter is about to end, and starts no threads any more.
            return
        _tellers[session] = teller


def has_listener(session: Session) -> bool:
    """Whether somebody here is told what the child writes."""
    teller = _tellers.get(session)
    return teller is not None and teller.has_sinks


def settle(seconds: float) -> None:
    """Return when all is told that any child has said so far, but for what takes longer than that."""
    deadline = time.monotonic() + seconds
    for teller in list(_tellers.values()):
        if teller is not threading.current_thread():
            teller.listener.settle(max(0.0, deadline - time.monotonic()))


def finish(sessions: list[Session], seconds: float) -> None:
    """Return when all that these children say is told, but for those that have not ended by then."""
    deadline = time.monotonic() + seconds
    for session in sessions:
        teller = _tellers.get(session)
        if teller is not None and teller is not threading.current_thread():
            teller.join(max(0.0, deadline - time.monotonic()))


def captured(session: Session) -> Output:
    """What is kept of the child's output.

    Raises:
        ValueError: nothing is.
    """
    heard = listener(session)
    kept = [None, None] if heard is None else [heard.kept(1), heard.kept(2)]
    if kept == [None, None]:
        raise ValueError(
            f'nothing of what the child (pid {session.pid}) writes is kept here: wrap with stdout="capture" or stderr="capture"'
        )
    texts = [None if part is None else part[0].decode("utf-8", "surrogateescape") for part in kept]
    return Output(texts[0], texts[1], sum(part[1] for part in kept if part is not None))


def forget_all() -> None:
    """After a fork, in the new process: the threads stay with the old one."""
    global _lock  # noqa: PLW0603  a lock belongs to one process
    # Another thread may have held it.
    _lock = threading.Lock()
    _tellers.clear()
