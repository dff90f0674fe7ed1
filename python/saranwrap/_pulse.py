"""Whether a child answers, what it does while it does not, and the watch over one that hangs.

What it does is asked of the kernel and not of the child, which could not answer just when it matters. The kernel counts the
processor time of a process to the nanosecond: where that does not move, none of its threads has run.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
import weakref
from typing import Literal

from saranwrap._native import Session
from saranwrap._whereabouts import locate, session_of
from saranwrap.errors import CallTimeout, SaranwrapError

State = Literal["idle", "busy", "waiting", "calling", "stopped", "dead", "closed"]

# Seconds between two looks at the processor time, where one look does not tell.
_GLANCE = 0.01
# A child hangs when it has not run from one of so many looks to the next. They are counted, and not the time, which also passes
# while this process itself does not run.
_LOOKS = 5
# A child that is told to write down where it hangs has this many seconds for that.
_DUMPING = 2.0

_WORDS = {
    "idle": "it is idle",
    "busy": "it is busy: its threads run",
    "waiting": "it waits: none of its threads runs",
    "calling": "it waits for a callback into this process",
    "stopped": "it is stopped",
}


def ping(p: object, timeout: float | None = None) -> float:
    """How long a round trip to the process behind a proxy takes, in seconds. Nothing is done there but to answer.

    The thread of the child that serves calls has to answer: a call that is under way there comes first.

    Args:
        timeout: how many seconds to wait; None waits as long as it takes.

    Raises:
        TypeError: `p` is no proxy.
        ValueError: `timeout` is negative.
        CallTimeout: there was no answer in time. It says what the process does meanwhile.
        ChildDied, LinkClosed: the process has ended. One with `restart` is started again.
    """
    return _ping(locate(p)[0], timeout)


def state(p: object) -> State:
    """What the process behind a proxy does now, by what the kernel says. It is not asked itself, so it need not be able to answer.

    Returns:
        "idle": no call of this process is under way there.
        "busy": one is, and its threads run.
        "waiting": one is, and none of its threads runs: it sleeps, or waits for something.
        "calling": one is, and waits for a callback into this process.
        "stopped": it was stopped, as by SIGSTOP.
        "dead", "closed": it has ended; because it died, or as it was told to.

    Raises:
        TypeError: `p` is no proxy.
    """
    return _state(session_of(p))


def _ping(session: Session, timeout: float | None) -> float:
    if timeout is not None and not (timeout >= 0 and math.isfinite(timeout)):
        raise ValueError(f"timeout must be seconds from 0 up or None, not {timeout!r}")
    begun = time.perf_counter()
    try:
        session.ping(timeout)
    except CallTimeout as error:
        what = _WORDS.get(_state(session), "it has ended")
        message = f"the child (pid {session.pid}) did not answer a ping within {timeout:g} s: {what}"
        raise CallTimeout(message, timeout, "abandoned", "ping") from error
    return time.perf_counter() - begun


def _state(session: Session) -> State:
    if not session.alive:
        return "closed" if session.closed else "dead"
    letter = _letter(session.pid)
    asked, called = session.under_way()
    if letter in "Tt":
        return "stopped"
    if not asked:
        return "idle"
    if called:
        return "calling"
    before = _ran(session.pid)
    if letter != "R" and before == _ran(session.pid):
        time.sleep(_GLANCE)
    return "busy" if letter == "R" or _ran(session.pid) != before else "waiting"


def watch(session: Session, heartbeat: float) -> None:
    """Kill the child when it hangs. The thread holds only what ends with the process itself."""
    reference = weakref.ref(session)
    waiter = session.waiter()
    pid = session.pid

    def look() -> None:
        before, still = (-1, -1), 0
        while not waiter.wait(heartbeat / (_LOOKS - 1)):
            living = reference()
            if living is None or not living.alive:
                return
            asked, called = living.under_way()
            now = _ran(pid), asked
            still = still + 1 if asked and not called and now == before else 0
            before = now
            if still >= _LOOKS - 1:
                living.condemn(f"it hung: no thread of it ran for {heartbeat:g} s in a call{_place(pid)}")
                with contextlib.suppress(SaranwrapError):
                    # Its last words are the Python stacks of all its threads, written by faulthandler.
                    living.kill(signal.SIGABRT)
                    if not waiter.wait(_DUMPING):
                        living.kill()
                return
            del living

    threading.Thread(target=look, name=f"saranwrap-pulse-{pid}", daemon=True).start()


def _ran(pid: int) -> int:
    """The processor time of all threads of a process, in nanoseconds; -1 when there is no such process any more."""
    try:
        # What `clock_getcpuclockid` of the C library returns on Linux.
        return time.clock_gettime_ns(~pid << 3 | 2)
    except OSError:
        return -1


def _letter(pid: int) -> str:
    """The state of the main thread, as the kernel calls it: R runs, S sleeps, D waits for a device, T is stopped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


def _place(pid: int) -> str:
    """Where in the kernel the main thread waits, in words to append; empty where the kernel does not say."""
    try:
        with open(f"/proc/{pid}/wchan", encoding="ascii", errors="replace") as file:
            place = file.read().strip()
    except OSError:
        return ""
    return f" (its main thread waits in {place})" if place not in {"", "0"} else ""
