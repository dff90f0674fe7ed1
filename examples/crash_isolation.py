"""Three ways for a child to end badly. The parent learns how it ended, and goes on."""

import ctypes
import math
import os
import signal
import threading

import saranwrap


def end_of(act):
    """The ChildDied that `act` raises."""
    try:
        act()
    except saranwrap.ChildDied as death:
        return death
    raise SystemExit("the child lived on")


# A bad address: the kernel kills the child with a signal.
told = threading.Event()
c = saranwrap.wrap(ctypes, dead_callback=lambda *_: told.set())
death = end_of(lambda: c.string_at(0))
print("segfault:", signal.Signals(death.signal).name)

# The same proxy tells the same story from now on.
assert str(end_of(lambda: c.sizeof)) == str(death)
assert told.wait(timeout=10)

# The child leaves without a word: there is an exit code and no signal.
leaver = saranwrap.wrap(os)
death = end_of(lambda: leaver._exit(7))
print("os._exit:", death.returncode)
assert death.returncode == 7

# Somebody kills it from outside.
victim = saranwrap.wrap(math)
os.kill(saranwrap.getpid(victim), signal.SIGKILL)
death = end_of(lambda: [victim.sqrt(4) for _ in range(1000)])
print("killed:", signal.Signals(death.signal).name)

# Nothing of this touched the parent, and a new child is one call away.
fresh = saranwrap.wrap(math)
assert fresh.sqrt(4) == 2
print("a new child answers:", fresh.sqrt(4))
