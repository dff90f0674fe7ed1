"""Functions given to the child run here, on the thread that waits, however deep the calls nest."""

import functools
import os

import saranwrap

remote = saranwrap.wrap(functools)
seen = []


def longer(a, b):
    """Called by the child, executed in this process."""
    seen.append(os.getpid())
    return a if len(a) >= len(b) else b


words = ["proxy", "child", "parent", "link"]
print("the longest word:", remote.reduce(longer, words))
assert seen == [os.getpid()] * 3


# An exception that a callback raises travels through the child and comes back as the same object.
class Stop(Exception):
    """An exception of this process; the child has never heard of it."""


stop = Stop("enough")


def refuse(a, b):
    raise stop


try:
    remote.reduce(refuse, words)
except Stop as caught:
    assert caught is stop
    print("came back as itself:", repr(caught))


# A callback may use the proxy whose call it serves.
def nested(depth):
    return 0 if depth == 0 else 1 + remote.partial(nested, depth - 1)()


print("nested", nested(10), "deep")
assert nested(10) == 10
