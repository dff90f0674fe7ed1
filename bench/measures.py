"""How a workload is measured with one contestant: prepared once, then one turn after the other."""

from __future__ import annotations

import gc
import os
import statistics
import threading
import time
from collections.abc import Callable
from timeit import Timer

from bench.contestants.base import Contestant
from bench.scale import Scale

Maker = Callable[[], Contestant]
Figures = dict[str, float]


class Measure:
    """One workload with one contestant. What it started ends with its process, which is killed.

    Args:
        make: makes the contestant; a workload may need several of it.
        scale: how much to do.
        rows: the keys of the rows that `turn` gives a figure for.
    """

    def __init__(self, make: Maker, scale: Scale, rows: tuple[str, ...]) -> None:
        self.make = make
        self.scale = scale
        self.rows = rows

    def prepare(self) -> None:
        """Start what is needed, and look once that it works."""
        raise NotImplementedError

    def turn(self) -> Figures:
        """Measure, and say for each row what came out."""
        raise NotImplementedError


def timer(contestant: Contestant, act: str) -> Timer:
    """The act, compiled; the collector of cycles is off while it is timed, as `timeit` has it."""
    return Timer(contestant.acts[act], globals=contestant.names)


def enough(timed: Timer, seconds: float) -> int:
    """How often the statement fits into the time, found by doing it."""
    count = 1
    while True:
        took = timed.timeit(count)
        if took * 4 > seconds:
            return max(1, round(count * seconds / took))
        count *= 2


class Repeated(Measure):
    """A statement over and over.

    Args:
        act: which.
        per: makes the figure from the seconds that one took.
    """

    def __init__(
        self, make: Maker, scale: Scale, rows: tuple[str, ...], act: str, per: Callable[[float], float]
    ) -> None:
        super().__init__(make, scale, rows)
        self.name = act
        self.per = per

    def prepare(self) -> None:
        self.contestant = self.make()
        self.contestant.start_usually()
        self.lay_out()
        self.contestant.prepare(self.name)
        self.timer = timer(self.contestant, self.name)
        self.contestant.resume()
        self.count = enough(self.timer, self.scale.seconds)
        self.contestant.pause()

    def lay_out(self) -> None:
        """What the statement finds there."""

    def turn(self) -> Figures:
        self.contestant.resume()
        took = self.timed()
        self.contestant.pause()
        return {self.rows[0]: self.per(took)}

    def timed(self) -> float:
        """Seconds for one."""
        return self.timer.timeit(self.count) / self.count


class Iterated(Repeated):
    """A list of numbers in the child; the figure is items in a second.

    Whoever asks for each item by itself takes as long for each in a short list as in a long one, and gets a short one.
    """

    PROBE = 1000

    def __init__(self, make: Maker, scale: Scale, rows: tuple[str, ...], act: str) -> None:
        super().__init__(make, scale, rows, act, lambda seconds: self.length / seconds)

    def lay_out(self) -> None:
        self.fill(min(self.PROBE, self.scale.items))
        timed = timer(self.contestant, self.name)
        timed.timeit(1)
        reached = round(self.length / timed.timeit(1) * self.scale.seconds * 5)
        self.fill(min(self.scale.items, max(self.length, reached)))

    def fill(self, length: int) -> None:
        """Make the list so long."""
        self.length = length
        self.contestant.ask("fill", length)
        self.contestant.names["length"] = length


class Block(Repeated):
    """A block of float64 on either side.

    Args:
        length: how many numbers.
    """

    def __init__(self, make: Maker, scale: Scale, rows: tuple[str, ...], act: str, length: int) -> None:
        super().__init__(make, scale, rows, act, lambda seconds: length * 8 / seconds / 1e9)
        self.length = length

    def lay_out(self) -> None:
        import numpy as np

        array = np.arange(self.length, dtype=np.float64)
        self.contestant.names |= {"a": array, "frombuffer": np.frombuffer}
        self.contestant.ask("lay_out", self.length)


class Columns(Block):
    """The same as the one column of a table of pyarrow."""

    def lay_out(self) -> None:
        import pyarrow as pa

        super().lay_out()
        self.contestant.ask("lay_out_table")
        self.contestant.names |= {"t": pa.table({"x": self.contestant.names["a"]}), "table": pa.table}


class Idle(Repeated):
    """One call, after both sides had nothing to do for 10 ms; the median of some."""

    def timed(self) -> float:
        return statistics.median(self.after_idling() for _ in range(max(3, round(self.scale.seconds / 0.012))))

    def after_idling(self) -> float:
        """Seconds for the one."""
        time.sleep(0.01)
        return self.timer.timeit(1)


class Busy(Repeated):
    """A call from one thread while another computes in Python."""

    def prepare(self) -> None:
        super().prepare()
        # It was found without the other thread. A switch of threads every 5 ms is what is to be expected.
        self.count = max(3, min(self.count, round(self.scale.seconds / 0.005)))

    def timed(self) -> float:
        ended = threading.Event()
        running = threading.Event()

        def compute() -> None:
            running.set()
            number = 0
            while not ended.is_set():
                for _ in range(1000):
                    number += 1

        thread = threading.Thread(target=compute)
        thread.start()
        running.wait()
        try:
            return super().timed()
        finally:
            ended.set()
            thread.join()


class Threads(Repeated):
    """Several threads that call into the same child."""

    COUNT = 8

    def timed(self) -> float:
        barrier = threading.Barrier(self.COUNT + 1)
        faults: list[BaseException] = []
        each = max(1, self.count // self.COUNT)

        def run() -> None:
            try:
                names = self.contestant.names | self.contestant.for_thread()
                timed = Timer(self.contestant.acts[self.name], globals=names)
                # The first call of a thread may make a connection for it.
                timed.timeit(1)
                barrier.wait()
                timed.timeit(each)
            except BaseException as fault:  # noqa: BLE001  it is raised again in the main thread
                faults.append(fault)
                barrier.abort()

        threads = [threading.Thread(target=run) for _ in range(self.COUNT)]
        for thread in threads:
            thread.start()
        # Taken before they run: afterwards this thread might have to wait for them.
        began = time.perf_counter()
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            raise faults[0] from None
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        if faults:
            raise faults[0]
        return took / (each * self.COUNT)


class Start(Measure):
    """A new child until its first answer; the median of some.

    Args:
        way: how it is started.
    """

    def __init__(self, make: Maker, scale: Scale, rows: tuple[str, ...], way: str) -> None:
        super().__init__(make, scale, rows)
        self.way = way

    def prepare(self) -> None:
        # What a first start leaves behind for the next ones is theirs.
        self.start()

    def start(self) -> float:
        """Seconds for one."""
        contestant = self.make()
        began = time.perf_counter()
        contestant.first(self.way)
        took = time.perf_counter() - began
        contestant.stop()
        return took

    def turn(self) -> Figures:
        began = time.perf_counter()
        took = [self.start()]
        while time.perf_counter() - began < self.scale.seconds:
            took.append(self.start())
        return {self.rows[0]: statistics.median(took) * 1e3}


class Many(Measure):
    """More and more children, all alive: what a start costs, what each takes for itself, and what a call to one costs.

    The rows: milliseconds for each of the `dense` number of children, MB of each that no other process shares, then the
    microseconds of a call with 1, 10, ... alive.
    """

    def prepare(self) -> None:
        contestant = self.make()
        contestant.start_usually()
        self.count = enough(timer(contestant, "call"), self.scale.seconds / 2)
        contestant.stop()

    def turn(self) -> Figures:
        living: list[Contestant] = []
        starting = 0.0
        figures = {}
        try:
            for number, row in zip(self.scale.children, self.rows[2:], strict=True):
                starting += self.grow(living, number)
                figures[row] = timer(living[-1], "call").timeit(self.count) / self.count * 1e6
            unshared = statistics.fmean(own_memory(pid) for one in living for pid in one.pids())
            each = starting / len(living) * 1e3
            return {self.rows[0]: each, self.rows[1]: unshared / 1e6} | figures
        finally:
            for contestant in living:
                contestant.stop()

    def grow(self, living: list[Contestant], number: int) -> float:
        """Start until there are so many, and say the seconds that it took."""
        began = time.perf_counter()
        while len(living) < number:
            contestant = self.make()
            contestant.start_usually()
            contestant.act("call")
            living.append(contestant)
        return time.perf_counter() - began


class Footprint(Measure):
    """Bytes of one more proxy that is kept, in both processes together. Each turn keeps more of them."""

    def prepare(self) -> None:
        self.contestant = self.make()
        self.contestant.start_usually()
        self.number = min(self.scale.kept, self.contestant.most_live // self.scale.rounds)
        # The first ones also pay for what is made once.
        self.keep(self.number)

    def keep(self, number: int) -> None:
        """That many more."""
        timer(self.contestant, "keep").timeit(number)

    def turn(self) -> Figures:
        before = self.memory()
        self.keep(self.number)
        return {self.rows[0]: (self.memory() - before) / self.number}

    def memory(self) -> float:
        """Bytes of both, with what they share counted once."""
        gc.collect()
        return sum(proportional_memory(pid) for pid in [os.getpid(), *self.contestant.pids()])


class Growth(Measure):
    """A call while more and more proxies live: a child for each number of them, all made before the first turn."""

    def prepare(self) -> None:
        self.crowds: list[tuple[str, Contestant, Timer, int]] = []
        for number, row in zip(self.scale.live, self.rows, strict=True):
            contestant = self.make()
            if number > contestant.most_live:
                continue
            contestant.start_usually()
            timer(contestant, "keep").timeit(number)
            timed = timer(contestant, "call")
            self.crowds.append((row, contestant, timed, enough(timed, self.scale.seconds / 2)))

    def turn(self) -> Figures:
        return {row: timed.timeit(count) / count * 1e6 for row, _, timed, count in self.crowds}


def own_memory(pid: int) -> float:
    """Bytes that no other process shares."""
    return _rollup(pid, ("Private_Clean", "Private_Dirty"))


def proportional_memory(pid: int) -> float:
    """Bytes, with each shared page divided among those who share it."""
    return _rollup(pid, ("Pss",))


def _rollup(pid: int, names: tuple[str, ...]) -> float:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        fields = [line.split() for line in file]
    return sum(int(field[1]) * 1024 for field in fields if field[0].rstrip(":") in names)
