"""The rounds: in each, every contestant has one turn, so that what else the machine does meets them alike. And the limits."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.contestants import Entry, in_rust
from bench.scale import Scale
from bench.workloads import Row, Workload

_ROOT = Path(__file__).resolve().parent.parent
_MARK = "SARANWRAP_BENCH"


@dataclass
class Cell:
    """One contestant in one row: the figure of each round, or why there is none."""

    figures: list[float] = field(default_factory=list)
    note: str = "-"

    @property
    def median(self) -> float | None:
        """The figure that counts."""
        return statistics.median(self.figures) if self.figures else None


@dataclass
class Line:
    """One row with its cells, by the contestant's name."""

    row: Row
    cells: dict[str, Cell]


class Fault(Exception):
    """A contestant is out of this workload; the text is for its cell."""


class Driven:
    """A contestant's driver for one workload. It leads a process group, and all that it starts carries its mark."""

    def __init__(self, entry: Entry, workload: Workload, scale: Scale) -> None:
        self.entry = entry
        self.limit = scale.limit
        self.mark = secrets.token_hex(16)
        self.directory = tempfile.TemporaryDirectory(prefix="saranwrap-bench-")
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  closed in `end`
        command = [sys.executable, "-m", "bench.driver", entry.name, workload.key, json.dumps(asdict(scale))]
        surroundings = dict(os.environ)
        if workload.in_rust:
            command = in_rust.command(entry.name, workload.key, scale.seconds)
            surroundings = in_rust.environment()
        self.process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env={**surroundings, _MARK: self.mark, "TMPDIR": self.directory.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            start_new_session=True,
        )

    def turn(self) -> dict[str, float]:
        """Let it have its turn."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Fault(self.last_words()) from None
        return self.answer()

    def answer(self) -> dict[str, float]:
        """What it says next.

        Raises:
            Fault: it said that it failed, said nothing within the limit, or ended.
        """
        assert self.process.stdout is not None
        deadline = time.monotonic() + self.limit
        # Its end is looked for as well: a child that lives on would keep the pipe open.
        while not select.select([self.process.stdout], [], [], 0.2)[0]:
            if time.monotonic() > deadline:
                raise Fault("timed out")
            if self.process.poll() is not None:
                raise Fault(self.last_words())
        line = self.process.stdout.readline()
        if not line:
            raise Fault(self.last_words())
        answer: dict[str, float] = json.loads(line)
        if "failed" in answer:
            raise Fault(str(answer["failed"]))
        return answer

    def last_words(self) -> str:
        """The last line of its stderr."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with {self.process.wait()}"

    def end(self) -> None:
        """Kill it, and all that it has started: an orderly end takes some contestants seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid in marked(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
        self.directory.cleanup()


def marked(mark: str) -> Iterable[int]:
    """The processes with this mark in their environment: some leave the group of their driver."""
    wanted = f"{_MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    yield int(name)


def run(
    workload: Workload, entries: Iterable[Entry], scale: Scale, say: Callable[[str], None] = lambda _: None
) -> list[Line]:
    """All rounds of one workload.

    Args:
        workload: which.
        entries: who takes part; who cannot gets `-`.
        scale: how much of it.
        say: is told when a contestant drops out.

    Returns:
        the rows of the workload.
    """
    entries = list(entries)
    lines = [Line(row, {entry.name: Cell() for entry in entries}) for row in workload.rows(scale)]
    driven: list[Driven] = []

    def drop(one: Driven, why: str) -> None:
        say(f"{workload.key}: {one.entry.name}: {why[:300]}")
        driven.remove(one)
        one.end()
        for line in lines:
            line.cells[one.entry.name] = Cell(note=why if why == "timed out" else "failed")

    try:
        # One after the other, and each is ready before the first round.
        for entry in (entry for entry in entries if workload.fits(entry.load())):
            driven.append(Driven(entry, workload, scale))
            _attempt(driven[-1], Driven.answer, drop)
        for number in range(workload.turns(scale)):
            # Nobody has always the same one before him.
            for one in driven[number % len(driven) :] + driven[: number % len(driven)] if driven else []:
                figures = _attempt(one, Driven.turn, drop)
                for line in lines:
                    if line.row.key in figures:
                        line.cells[one.entry.name].figures.append(figures[line.row.key])
    finally:
        for one in driven:
            one.end()
    return lines


def _attempt(
    one: Driven, act: Callable[[Driven], dict[str, float]], drop: Callable[[Driven, str], None]
) -> dict[str, float]:
    try:
        return act(one)
    except Fault as fault:
        drop(one, str(fault))
        return {}
