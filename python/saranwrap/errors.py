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
        restart_in: the seconds from its death until a use of what was wrapped starts another child (see `Restart`); None if none will.
    """

    restart_in: float | None = None

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
    """A call was not over when its deadline passed. It has been stopped, unless `stopped` says otherwise.

    Attributes:
        seconds: how long it was allowed to take.
        stopped: what it took. "unsent": the time was over before the call went. "cancelled": the child ended it when it was told
            to, or had not begun it. "interrupted": its code was interrupted by `Stopped`. "killed": it went on for longer than
            the child's `grace`, and the child was killed. "abandoned": nobody could end it: it is a call of the parent's code, or
            waits in the child behind what somebody else asked, and is not done when its turn comes.
        act: what was asked, in words.
    """

    def __init__(self, message: str, seconds: float | None = None, stopped: str = "", act: str = "") -> None:
        super().__init__(message)
        self.seconds = seconds
        self.stopped = stopped
        self.act = act

    def __reduce__(self) -> tuple[type[CallTimeout], tuple[object, ...]]:
        return type(self), (*self.args, self.seconds, self.stopped, self.act)


class Deadlock(SaranwrapError):
    """What was asked cannot come, since whoever would do it waits for the thread that asks. The message names who waits for whom."""


class Stopped(BaseException):
    """Raised in a child's code, in the middle of a call that nobody waits for any more since its deadline has passed.

    It is no `Exception`, as `asyncio.CancelledError` is none: code that goes on whatever happens is not to go on after this. Clean up
    and let it pass. A child whose code goes on all the same for longer than its `grace` is killed.
    """


class TooManyRestarts(ChildDied):
    """The child has died more often than its `Restart` allows. It says how the last one died, which is its cause, too.

    Nothing is started for a use that raises this. A later one starts a child again, as soon as the `Restart` allows that.
    """


class StaleProxy(SaranwrapError):
    """The object was in a child that has died or was recycled, and that a `Restart` replaces: only what was wrapped is there again.

    You get it from a use that began when the child was gone already, so that nothing of it was done.

    Attributes:
        pid: the process id of the child that had the object.
        death: the `ChildDied` that says how that child died; None if it was recycled.
    """

    def __init__(self, message: str, pid: int | None = None, death: ChildDied | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        self.death = death

    def __reduce__(self) -> tuple[type[StaleProxy], tuple[object, ...]]:
        return type(self), (*self.args, self.pid, self.death)

    def about(self, op: str, proxy: object) -> StaleProxy:
        """The same, with the act and the object named."""
        named = type(self)(f"cannot {_act(op)} {_object(proxy)}: {self}", self.pid, self.death)
        named.__cause__ = self.death
        return named


def _act(op: str) -> str:
    acts = {
        "getattr": "fetch an attribute of",
        "setattr": "set an attribute of",
        "delattr": "delete an attribute of",
        "call": "call",
        "callattr": "call a method of",
        "special": "apply a special method to",
        "ahead": "go on with",
        "take": "go on with",
    }
    return acts.get(op, f"ask `{op}` of")


def _object(proxy: object) -> str:
    if proxy is None:
        return "a class or function"
    return f"a {type(proxy).__module__}.{type(proxy).__qualname__} object".replace(" builtins.", " ")


class LinkClosed(SaranwrapError):
    """*Your* code closed this child (`close`, the end of a `with`, or the exit of the interpreter)."""


class Refused(SaranwrapError):
    """The act is not allowed or not possible: a child that cannot start, another protocol version, an object that cannot be sent."""


class BuildFailed(Refused):
    """The environment that `requirements=` asks for could not be built. Nothing of it was kept.

    Attributes:
        output: the last lines of what the installer said.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output

    def __reduce__(self) -> tuple[type[BuildFailed], tuple[object, ...]]:
        return type(self), (*self.args, self.output)


class ProtocolError(SaranwrapError):
    """The child sent bytes that break the protocol. The link is broken for good; the child is not to be trusted."""


class ForkedProxy(SaranwrapError):
    """The proxy was made before `os.fork` and is used in the new process. The link stays with the process that made it."""


class NotTransparent(SaranwrapError, TypeError):
    """What was asked cannot work on an object that lives in another process. The message names the remedy."""


class Unreachable(Refused, AttributeError):
    """A child that is not trusted reached, through an object that it was given, for the code or the modules around it."""
