"""What the tests of pipelines do things with in the child."""

from __future__ import annotations

import os

LOG = []
KEPT = []


class Node:
    """Counts how many of it live."""

    alive = 0

    def __init__(self, name="root"):
        self.name, self.items, self.count = name, [1, 2, 3], 0
        type(self).alive += 1

    def __del__(self):
        type(self).alive -= 1

    def child(self, name):
        return Node(f"{self.name}.{name}")

    def add(self, *things, **named):
        return (self.name, things, tuple(named.items()))

    def __getitem__(self, place):
        return self.items[place]


ROOT = Node()


def live():
    return Node.alive


def log(what):
    LOG.append(what)
    return what


def identity(thing):
    return thing


def text(thing):
    return repr(thing)


def same(first, second):
    return first is second


def boom(text="boom"):
    raise ValueError(text)


def call(function, *args):
    return function(*args)


def append(items, thing):
    items.append(thing)


def keep(thing):
    KEPT.append(thing)
    return len(KEPT)


def kept(place):
    return KEPT[place]


def first(items):
    return items[0]


def leave(code):
    os._exit(code)


def interrupt():
    raise KeyboardInterrupt


def use_the_parent(thing):
    """The child records a pipeline, for an object of the parent."""
    import saranwrap

    with saranwrap.pipeline(thing) as q:
        made = q.child("from the child").child("twice")
        name = made.name
    return saranwrap.result(name)


def work_on_a_value_of_the_parent(thing):
    import saranwrap

    with saranwrap.pipeline(thing) as q:
        made = q.name.upper()
    return saranwrap.result(made)
