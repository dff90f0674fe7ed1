"""The soak: everything at once, for minutes, with children that are killed meanwhile; and what came of each call.

`make soak MINUTES=5`. Threads, greenlets and tasks use a few children together: plain calls, pipelines, callbacks, large data, iteration,
deadlines, cancelled tasks, and storms of the garbage collector, while other threads kill and close the children. Every call has to end in
the right answer or in an error that its child's fate or its deadline explains. At the end nothing may be left.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import faulthandler
import gc
import os
import random
import sys
import threading
import time
import traceback

import pytest
import saranwrap
from saranwrap import _zygote, aio

from tests import soaked

try:
    import gevent
except ImportError:
    gevent = None

# A call that is not over by then hangs. Nothing here takes longer than a second by itself.
HUNG = 60.0
# What may remain of memory between a quarter of the time and its end, in bytes.
GROWTH = 64 << 20
CHILDREN = 4
THREADS = 6
TASKS = 20
GREENLETS = 20


class Counts:
    """What became of the calls."""

    def __init__(self):
        self._lock = threading.Lock()
        self.asked = 0
        self.ended = collections.Counter()
        self.wrong = []
        self.open = {}

    def begin(self, act):
        with self._lock:
            self.asked += 1
            number = self.asked
            self.open[number] = (act, time.monotonic(), threading.get_ident())
        return number

    def end(self, number, how):
        with self._lock:
            del self.open[number]
            self.ended[how] += 1

    def fault(self, act, error):
        with self._lock:
            self.wrong.append(f"{act}: " + "".join(traceback.format_exception(error)))

    def oldest(self):
        """The calls that take too long."""
        with self._lock:
            now = time.monotonic()
            return [(act, now - began) for act, began, _ in self.open.values() if now - began > HUNG]


class Place:
    """One of the children, which is replaced when it has ended."""

    def __init__(self):
        self._lock = threading.Lock()
        self.child = None
        self.there = None
        self.renew(None)

    def renew(self, ended):
        """Start another child, unless somebody has done so already."""
        # Whoever finds it taken goes on with the one that has ended: a greenlet must not wait here for another one of its thread.
        if not self._lock.acquire(blocking=False):
            time.sleep(0.001)
            return
        try:
            if self.child is ended:
                child = saranwrap.Child(concurrency=random.choice(["serial", 3, "asyncio"]), grace=0.5)
                self.there = child.wrap(soaked)
                self.child = child
        finally:
            self._lock.release()


class Soak:
    """One run."""

    def __init__(self, seconds, seed):
        self.until = time.monotonic() + seconds
        self.random = random.Random(seed)
        self.counts = Counts()
        self.places = [Place() for _ in range(CHILDREN)]

    @property
    def over(self):
        return time.monotonic() >= self.until

    def attempt(self, act, chance):
        """Do one act in one of the children, and note how it ended."""
        place = chance.choice(self.places)
        child, there = place.child, place.there
        number = self.counts.begin(act.__name__)
        try:
            act(there, chance)
        except BaseException as error:  # noqa: BLE001  whatever it is, it is judged here
            self.counts.end(number, self.judge(act.__name__, error))
            if isinstance(error, saranwrap.ChildDied | saranwrap.LinkClosed):
                self.replace(place, child)
        else:
            self.counts.end(number, "answered")

    def judge(self, act, error):
        """What kind of end an error is; one that nothing explains is a fault."""
        if isinstance(error, saranwrap.CallTimeout):
            return f"timed out, {error.stopped}"
        if isinstance(error, saranwrap.ChildDied | saranwrap.LinkClosed):
            return type(error).__name__
        if isinstance(error, asyncio.CancelledError):
            return "cancelled"
        self.counts.fault(act, error)
        return "wrong"

    def replace(self, place, child):
        try:
            place.renew(child)
        except saranwrap.SaranwrapError as error:
            # Nobody kills a child before it is in its place.
            self.counts.fault("start", error)

    def work(self, seed):
        chance = random.Random(seed)
        while not self.over:
            self.attempt(chance.choice(ACTS), chance)

    def greenlets(self, seed):
        def green(number):
            chance = random.Random(seed + number)
            while not self.over:
                self.attempt(chance.choice(GREEN_ACTS), chance)
                gevent.sleep(0)

        gevent.joinall([gevent.spawn(green, number) for number in range(GREENLETS)])

    def tasks(self, seed):
        async def one(number):
            chance = random.Random(seed + number)
            while not self.over:
                await self.attempt_async(chance.choice(TASK_ACTS), chance)

        async def all_of_them():
            await asyncio.gather(*(one(number) for number in range(TASKS)))

        asyncio.run(all_of_them())

    async def attempt_async(self, act, chance):
        place = chance.choice(self.places)
        child, there = place.child, place.there
        number = self.counts.begin(act.__name__)
        try:
            await act(aio.remote(there), chance)
        except BaseException as error:  # noqa: BLE001  whatever it is, it is judged here
            self.counts.end(number, self.judge(act.__name__, error))
            if isinstance(error, saranwrap.ChildDied | saranwrap.LinkClosed):
                await asyncio.to_thread(self.replace, place, child)
        else:
            self.counts.end(number, "answered")

    def reap(self, seed):
        """Kill and close children, now and then."""
        chance = random.Random(seed)
        while not self.over:
            time.sleep(chance.uniform(0.05, 0.5))
            child = chance.choice(self.places).child
            chance.choice([child.kill, child.close])()

    def collect(self):
        while not self.over:
            time.sleep(0.1)
            gc.collect()

    def watch(self):
        """Whether nothing hangs. What does is shown, and ends the run."""
        while any(thread.is_alive() for thread in self.threads):
            time.sleep(0.2)
            hung = self.counts.oldest()
            if hung:
                print("hung:", hung, file=sys.stderr)
                faulthandler.dump_traceback(all_threads=True)
                return len(hung)
        return 0

    def run(self):
        """Run until the time is over; the number of calls that hang."""
        bodies = [(self.work, number) for number in range(THREADS)] + [(self.tasks, 1000), (self.reap, 2000)]
        if gevent is not None:
            bodies.append((self.greenlets, 3000))
        seed = self.random.randrange(1 << 30)
        self.threads = [threading.Thread(target=body, args=(seed + number,), daemon=True) for body, number in bodies]
        self.threads.append(threading.Thread(target=self.collect, daemon=True))
        for thread in self.threads:
            thread.start()
        return self.watch()

    def leftovers(self):
        """What is left in the children that live, when nobody holds anything but the module."""
        gc.collect()
        left = collections.Counter()
        for place in self.places:
            with contextlib.suppress(saranwrap.ChildDied, saranwrap.LinkClosed):
                place.there.echo(0)
                left["blocks"] += sum(place.child._session.blocks()[::2])
            with contextlib.suppress(saranwrap.ChildDied, saranwrap.LinkClosed):
                status = place.child.status()
                left["blocks"] += status["blocks_out"] + status["blocks_in"]
                # What both tables have, beyond what was described once.
                for entries in (place.child._session.counts()[0], status["object_count"]):
                    left["entries"] += max(0, entries - FEW)
            place.child.close()
        self.places.clear()
        return left


# --- acts -------------------------------------------------------------------------------------------------------------


def echo(there, chance):
    x = chance.choice([1, "text", None, (1, 2), {"a": [1]}, 2.5, b"bytes"])
    assert there.echo(x) == x


def changed(there, chance):
    items = list(range(chance.randrange(30)))
    length = len(items)
    assert there.change(items, 7) == length + 1
    assert items[-1] == 7 and len(items) == length + 1


def made(there, chance):
    number = chance.randrange(1000)
    things = [there.make(number) for _ in range(chance.randrange(1, 20))]
    assert all(thing.number == number for thing in things)
    assert things[0].me is things[0]


def failed(there, _chance):
    with pytest.raises(ValueError, match="as told"):
        there.fail("as told")


def called_back(there, chance):
    number = chance.randrange(1000)
    assert there.back(lambda x: there.echo(x) + 1, number) == number + 1


def iterated(there, chance):
    n = chance.randrange(3000)
    assert sum(there.count(n)) == n * (n - 1) // 2


def piped(there, chance):
    number = chance.randrange(1000)
    with saranwrap.pipeline(there) as q:
        thing = q.make(number)
        number_there = thing.me.number
    assert saranwrap.result(number_there) == number


def large(there, chance):
    size, byte = chance.randrange(1, 1 << 21), chance.randrange(256)
    assert there.weigh(bytes([byte]) * size) == (size, byte, byte)
    data = there.block(size, byte)
    assert (len(data), data[0], data[-1]) == (size, byte, byte)


def late(there, chance):
    seconds = chance.choice([0.0, 0.01, 0.2])
    act = chance.choice(["sleep", "spin"])
    with saranwrap.timeout(chance.choice([0.005, 0.05, 1.0])):
        assert getattr(there, act)(seconds) == seconds


def collected(there, _chance):
    assert there.collect() is True


def crashed(there, chance):
    if chance.random() < 0.02:
        there.crash()


def future(there, chance):
    number = chance.randrange(1000)
    futures = [saranwrap.start(there.echo, number + n) for n in range(10)]
    futures[0].cancel()
    assert [f.result() for f in futures[1:]] == [number + n for n in range(1, 10)]


async def told(there, chance):
    number = chance.randrange(1000)
    assert await there.echo(number) == number


async def told_far(there, chance):
    number = chance.randrange(1000)
    assert await there.make(number).me.number == number


async def napped(there, _chance):
    assert await there.nap(0.001) == 0.001


async def given_up(there, chance):
    try:
        await asyncio.wait_for(there.sleep(0.1), chance.choice([0.0, 0.001, 0.05]))
    except TimeoutError:
        raise asyncio.CancelledError from None


async def called_here(there, chance):
    number = chance.randrange(1000)
    assert await there.back(_plus_one, number) == number + 1


def _plus_one(x):
    return x + 1


ACTS = [echo, changed, made, failed, called_back, iterated, piped, large, late, collected, crashed, future]
GREEN_ACTS = [echo, changed, made, failed, called_back, iterated]
TASK_ACTS = [told, told_far, napped, given_up, called_here]
# Objects that either side gives out for good: its root, and classes that were described.
FEW = 32


# --- the run ----------------------------------------------------------------------------------------------------------


def open_files():
    return len(os.listdir("/proc/self/fd"))


def processes():
    """Ours, but for those that stand ready to be the next children."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return set(map(int, file.read().split())) - _zygote.spares()


def memory():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    """Run, and say what came of it; the exit code is 0 if nothing hung, was wrong, or was left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"{options.minutes:g} minutes with seed {options.seed}", flush=True)
    warm_up()
    before = open_files(), processes()
    soak = Soak(options.minutes * 60, options.seed)
    sizes = []
    sampler = threading.Timer(options.minutes * 15, lambda: sizes.append(memory()))
    sampler.daemon = True
    sampler.start()
    hung = soak.run()
    if hung:
        # What hangs cannot be cleared away.
        os._exit(report(soak.counts, hung, {}))
    left = soak.leftovers()
    settle(lambda: (open_files(), processes()) == before)
    left["descriptors"] = open_files() - before[0]
    left["processes"] = len(processes() - before[1])
    left["memory"] = max(0, memory() - sizes[0] - GROWTH) if sizes else 0
    return report(soak.counts, hung, left)


def warm_up():
    """What is made once and stays: zygotes, threads that pump, an event loop's own descriptors."""
    for _ in range(2):
        saranwrap.close(saranwrap.wrap(soaked))


def settle(done, seconds=10.0):
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        gc.collect()
        time.sleep(0.05)


def report(counts, hung, left):
    print(f"{'asked':24}{counts.asked:>10,}")
    for how, count in sorted(counts.ended.items()):
        print(f"{how:24}{count:>10,}")
    print(f"{'hung':24}{hung:>10,}")
    for what, count in left.items():
        print(f"{'left: ' + what:24}{count:>10,}")
    for text in counts.wrong[:5]:
        print(text, file=sys.stderr)
    clean = not (hung or counts.wrong or any(count > 0 for count in left.values()))
    print("clean" if clean else "NOT CLEAN", flush=True)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
