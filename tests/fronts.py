"""One body for every way of waiting: what a user does, step by step, and who takes the steps. Run as a program: those of greenlets."""

import asyncio
import sys
import threading

import saranwrap
from saranwrap import aio

from tests import awaited, stops

# A story yields (function, arguments), and is sent what that comes to, or has it raised.


def values(m):
    box = yield m.make, ()
    assert (yield box.add, (1, 2)) == 3
    assert (yield box.give, ({"a": [1, (2.5, None)]},)) == {"a": [1, (2.5, None)]}


def errors(m):
    box = yield m.make, ()
    try:
        yield box.fail, ("no",)
    except ValueError as error:
        assert error.args == ("no",)  # noqa: PT017
    else:
        raise AssertionError("nothing was raised")
    assert (yield box.add, (1,)) == 1


def loans(m):
    box, given = (yield m.make, ()), [1]
    yield box.append, (given, 2)
    assert given == [1, 2]


def callbacks(m):
    box, seen = (yield m.make, ()), []

    def back(item):
        seen.append(item)
        return item * 2

    assert (yield box.call, (back, 21)) == 42
    assert seen == [21]


def errors_of_callbacks(m):
    box = yield m.make, ()

    def back():
        raise KeyError("ours")

    try:
        yield box.call, (back,)
    except KeyError as error:
        assert error.args == ("ours",)  # noqa: PT017
    else:
        raise AssertionError("nothing was raised")


def what_cannot_cross(m):
    box = yield m.make, ()
    try:
        yield box.give, (saranwrap.val(threading.Lock()),)
    except (TypeError, saranwrap.SaranwrapError) as error:
        assert "lock" in str(error)  # noqa: PT017  the story is not a test by itself
    else:
        raise AssertionError("nothing was raised")
    assert (yield box.add, (1,)) == 1


def large_data(m):
    box, data = (yield m.make, ()), bytes(range(256)) * 40_000
    assert (yield box.give, (data,)) == data


def ends_of_iterators(m):
    box = yield m.make, ()
    try:
        yield box.stop, ()
    except StopIteration as error:
        assert error.value == "over"  # noqa: PT017
    except RuntimeError as error:
        # A coroutine must not raise it.
        assert isinstance(error.__cause__, StopIteration)  # noqa: PT017


def deadlines(m):
    box = yield m.make, ()
    try:
        with saranwrap.timeout(0.05):
            yield box.forever, ()
    except saranwrap.CallTimeout as error:
        assert error.stopped == "interrupted"  # noqa: PT017
    else:
        raise AssertionError("nothing was raised")
    assert (yield box.add, (1,)) == 1


def crashes(m):
    box = yield m.make, ()
    try:
        yield m.die, ()
    except saranwrap.ChildDied as error:
        assert error.returncode == 3  # noqa: PT017
    else:
        raise AssertionError("nothing was raised")
    try:
        yield box.add, (1,)
    except saranwrap.ChildDied:
        return
    raise AssertionError("nothing was raised")


def children_that_do_not_stop(m):
    del m
    stubborn = saranwrap.wrap(stops, grace=0.1)
    try:
        with saranwrap.timeout(0.05):
            yield stubborn.stubborn, ()
    except saranwrap.CallTimeout as error:
        assert error.stopped == "killed"  # noqa: PT017
    else:
        raise AssertionError("nothing was raised")


STORIES = [
    values, errors, loans, callbacks, errors_of_callbacks, what_cannot_cross, large_data, ends_of_iterators, deadlines,
    crashes, children_that_do_not_stop,
]  # fmt: skip

# Those that leave the child as it was, so that many may go on at once.
SOCIABLE = [values, errors, loans, callbacks, errors_of_callbacks, what_cannot_cross]


def tell(story, call):
    """Take the steps one after the other, each by a call that waits."""
    step = next(story, None)
    while step is not None:
        function, args = step
        try:
            came = call(function, *args)
        except BaseException as error:  # noqa: BLE001  it is the story's
            step = _on(story.throw, error)
        else:
            step = _on(story.send, came)


async def tell_awaited(story):
    step = next(story, None)
    while step is not None:
        function, args = step
        try:
            came = aio.proxy(await aio.remote(function)(*args))
        except BaseException as error:  # noqa: BLE001
            step = _on(story.throw, error)
        else:
            step = _on(story.send, came)


def _on(go, what):
    try:
        return go(what)
    except StopIteration:
        return None


def plainly(function, *args):
    return function(*args)


def by_future(function, *args):
    return saranwrap.start(function, *args).result(20)


def in_threads(stories, call):
    failed = []

    def run(story):
        try:
            tell(story, call)
        except BaseException as error:  # noqa: BLE001  it is raised below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(story,)) for story in stories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


async def in_asyncio(stories):
    await asyncio.gather(*map(tell_awaited, stories))


async def in_trio(stories):
    import trio

    async with trio.open_nursery() as nursery:
        for story in stories:
            nursery.start_soon(tell_awaited, story)


def in_greenlets(stories, world):
    if world == "gevent":
        import gevent

        gevent.joinall([gevent.spawn(tell, story, plainly) for story in stories], raise_error=True)
    else:
        import eventlet

        for greenlet in [eventlet.spawn(tell, story, plainly) for story in stories]:
            greenlet.wait()


def main(world, name):
    with saranwrap.wrapped(awaited) as m:
        if name == "all at once":
            in_greenlets([story(m) for story in SOCIABLE for _ in range(20)], world)
        else:
            in_greenlets([globals()[name](m)], world)


if __name__ == "__main__":
    main(*sys.argv[1:])
