"""Runs a suite in worker processes until every test has an outcome: past a crash or a hang, a new worker goes on after it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Outcome:
    """How one test ended: passed, failed or skipped; why; and the end of the traceback."""

    outcome: str
    error: str = ""
    trace: str = ""


@dataclasses.dataclass
class Run:
    """All that is known of one suite in one mode."""

    suite: str
    backend: str
    outcomes: dict[str, Outcome] = dataclasses.field(default_factory=dict)
    #: What is said of a test that this run did not even find.
    missing: Outcome = dataclasses.field(default_factory=lambda: Outcome("failed", "not found by the loader"))
    notes: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    workers: int = 0

    def count(self, outcome: str) -> int:
        return sum(each.outcome == outcome for each in self.outcomes.values())


@dataclasses.dataclass(frozen=True)
class Limits:
    """Seconds for one test and for the whole suite."""

    test: float = 20.0
    suite: float = 300.0


class Worker:
    """One worker process in a session and a folder of its own, and the lines that it has sent."""

    def __init__(self, suite: str, backend: str, limits: Limits, done: list[str], match: str, folder: Path) -> None:
        (folder / "work").mkdir(exist_ok=True)
        (folder / "done").write_text("\n".join(done), encoding="utf-8")
        self._log = folder / "log"
        ours, theirs = os.pipe()
        command = [
            sys.executable,
            "-m",
            "tests.transparency.worker",
            suite,
            "--with",
            backend,
            "--stream",
            str(theirs),
        ]
        command += ["--limit", str(limits.test), "--done", str(folder / "done"), "--match", match]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder / "work",
                env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
                pass_fds=[theirs],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(theirs)
        self._stream = ours
        self._silent = False

    def events(self, until: float) -> Iterator[dict[str, Any]]:
        """What the worker tells, until it ends or the time is over."""
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stream, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                if not selector.select(left):
                    continue
                if not (got := os.read(self._stream, 1 << 16)):
                    self._silent = True
                    return
                *lines, rest = (rest + got).split(b"\n")
                yield from map(json.loads, lines)

    def end(self) -> str:
        """Take down the worker and all that it started; say how it ended."""
        ended_by_itself = True
        try:
            self._process.wait(5 if self._silent else 0)
        except subprocess.TimeoutExpired:
            ended_by_itself = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        os.close(self._stream)
        if not ended_by_itself:
            return "had to be killed"
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"

    def last_words(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-6000:]


class Supervisor:
    """Collects the outcomes of a suite from one worker after the other."""

    def __init__(self, suite: str, backend: str, limits: Limits, match: str = "") -> None:
        self.run = Run(suite, backend)
        self._limits = limits
        self._match = match
        self._keys: list[str] = []
        self._running: str | None = None
        self._fixtures: list[dict[str, Any]] = []
        self._finished = False

    def supervise(self) -> Run:
        started = time.monotonic()
        until = started + self._limits.suite
        with tempfile.TemporaryDirectory(prefix="transparency-", ignore_cleanup_errors=True) as folder:
            while not self._finished and time.monotonic() < until:
                self._one_worker(Path(folder), until)
        self._settle_the_rest(time.monotonic() >= until)
        self.run.seconds = time.monotonic() - started
        return self.run

    def _one_worker(self, folder: Path, until: float) -> None:
        known = len(self.run.outcomes)
        worker = Worker(
            self.run.suite,
            self.run.backend,
            self._limits,
            list(self.run.outcomes),
            self._match,
            folder,
        )
        self.run.workers += 1
        for event in worker.events(until):
            getattr(self, f"_on_{event.pop('event')}")(**event)
        how = worker.end()
        if self._finished:
            if how != "exited with 0":
                self.run.notes.append(f"after the last test the worker {how}")
            return
        words = worker.last_words()
        if self._running is not None:
            self.run.outcomes[self._running] = Outcome("failed", _cause(how, words, self._limits), words)
            self._running = None
        elif len(self.run.outcomes) == known:
            # It ended where no test is to blame: another one would do the same.
            last = (words.strip().splitlines() or ["no last words"])[-1][:300]
            self.run.missing = Outcome("failed", f"not loaded: worker {how}: {last}", words)
            self.run.notes.append(self.run.missing.error)
            self._finished = True

    def _on_collected(self, keys: list[str]) -> None:
        self._keys = keys

    def _on_start(self, key: str) -> None:
        self._running = key

    def _on_end(self, key: str, outcome: str, error: str = "", trace: str = "") -> None:
        self._running = None
        self.run.outcomes[key] = Outcome(outcome, error, trace)

    def _on_fixture(self, name: str, error: str, trace: str, skipped: bool = False) -> None:
        self._fixtures.append({"name": name, "error": error, "trace": trace, "skipped": skipped})

    def _on_broken(self, error: str, trace: str) -> None:
        self.run.notes.append(f"not loaded: {error}")
        self.run.missing = Outcome("failed", f"not loaded: {error}", trace)
        self._finished = True

    def _on_finished(self) -> None:
        self._finished = True

    def _settle_the_rest(self, out_of_time: bool) -> None:
        for key in self._keys:
            if key in self.run.outcomes:
                continue
            blamed = next((each for each in self._fixtures if _covers(each["name"], key)), None)
            if blamed is not None:
                outcome = "skipped" if blamed["skipped"] else "failed"
                self.run.outcomes[key] = Outcome(outcome, f"{blamed['name']}: {blamed['error']}", blamed["trace"])
            else:
                why = "not reached within the suite's time limit" if out_of_time else "not reached"
                self.run.outcomes[key] = Outcome("failed", why)


def _covers(fixture: str, key: str) -> bool:
    """Whether a fixture such as `setUpClass (test.test_x.C)` comes before the test `test.test_x.C.test_y`."""
    _, _, place = fixture.partition("(")
    return bool(place) and key.startswith(place.rstrip(")") + ".")


def _cause(how: str, words: str, limits: Limits) -> str:
    if "Timeout (" not in words:
        return f"worker {how}"
    frames = [line.strip() for line in words[words.rindex("Timeout (") :].splitlines() if line.startswith("  File")]
    return f"hung for {limits.test:g} s in {frames[0] if frames else 'unknown place'}"
