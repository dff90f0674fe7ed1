"""The vocabulary of failures. What the remote code raised is not here: it arrives as itself."""

from __future__ import annotations


class SaranwrapError(Exception):
    """The base of every error that is about the link and not about the object behind it."""


class ChildDied(SaranwrapError, ConnectionError):
    """The child has ended, and you did not end it.

    You get it at once in every call that was waiting, and in every later use of any proxy of that child.
    You do not get it after `close` (see `LinkClosed`), nor for an exception that the remote code raised.

    Attributes:
        pid: the child's process id, or None.
        returncode: its exit code; minus the signal's number if a signal ended it; None if it is not known.
        signal: the number of the signal that ended it, or None.
        last_words: the end of what it wrote to stderr, with the dump of faulthandler if there was one.
    """

    def __init__(
        self,
        message: str,
        pid: int | None = None,
        returncode: int | None = None,
        signal: int | None = None,
        last_words: str = "",
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.returncode = returncode
        self.signal = signal
        self.last_words = last_words

    def __reduce__(self) -> tuple[type[ChildDied], tuple[object, ...]]:
        return type(self), (*self.args, self.pid, self.returncode, self.signal, self.last_words)


class CallTimeout(SaranwrapError, TimeoutError):
    """A call took longer than it was allowed to. The message says what became of it and of its child."""


class LinkClosed(SaranwrapError):
    """*Your* code closed this child (`close`, the end of a `with`, or the exit of the interpreter)."""


class Refused(SaranwrapError):
    """The act is not allowed or not possible: a child that cannot start, another protocol version, an object that cannot be sent."""


class ProtocolError(SaranwrapError):
    """The child sent bytes that break the protocol. The link is broken for good; the child is not to be trusted."""


class ForkedProxy(SaranwrapError):
    """The proxy was made before `os.fork` and is used in the new process. The link stays with the process that made it."""


class NotTransparent(SaranwrapError, TypeError):
    """What was asked cannot work on an object that lives in another process. The message names the remedy."""


class Unreachable(Refused, AttributeError):
    """A child that is not trusted reached, through an object that it was given, for the code or the modules around it."""
