"""The floors: no process at all, the barest ways between two processes, and a copy within one."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys

from bench.contestants.base import AS_LOCAL, Contestant
from bench.subject import Root


class InProcess(Contestant):
    """The object itself."""

    acts = AS_LOCAL
    ways = ()

    def start(self, way: str) -> None:  # noqa: ARG002
        self.names["p"] = Root()

    def ask(self, method: str, *arguments: object) -> object:
        return getattr(self.names["p"], method)(*arguments)


class RawPipe(Contestant):
    """One byte there and one back through two pipes. Cold, the other side is an interpreter that does nothing else."""

    acts = {
        "call": "write(there, b'x'); read(back, 1)",
        # Any thread may get the byte of any other: they are all alike.
        "threads": "write(there, b'x'); read(back, 1)",
    }
    ways = ("warm", "cold")
    _ECHO = "import os\nwhile os.read(0, 1): os.write(1, b'x')"

    def start(self, way: str) -> None:
        their_in, there = os.pipe()
        back, their_out = os.pipe()
        self.ends = (there, back)
        self.pid = self._fork(their_in, their_out) if way == "warm" else self._execute(their_in, their_out)
        os.close(their_in)
        os.close(their_out)
        self.names |= {"read": os.read, "write": os.write, "there": there, "back": back}

    def _fork(self, their_in: int, their_out: int) -> int:
        pid = os.fork()
        if pid == 0:
            # What it inherited of the parent's ends would keep it alive.
            for end in self.ends:
                os.close(end)
            while os.read(their_in, 1):
                os.write(their_out, b"x")
            os._exit(0)
        return pid

    def _execute(self, their_in: int, their_out: int) -> int:
        command = [sys.executable, "-c", self._ECHO]
        self.process = subprocess.Popen(command, stdin=their_in, stdout=their_out)
        return self.process.pid

    def stop(self) -> None:
        for end in self.ends:
            os.close(end)
        os.kill(self.pid, signal.SIGKILL)
        process = getattr(self, "process", None)
        if process is None:
            os.waitpid(self.pid, 0)
        else:
            process.wait()

    def pids(self) -> list[int]:
        return [self.pid]


class Spin(Contestant):
    """One byte there and one back through shared memory, both sides looking at it all the time, both in Python.

    A byte that is written by one side only and a loop that waits for its value: the interpreters cost most of the time.
    The engine's own benchmark has the figure without them.
    """

    acts = {"call": "m[0] = 1\nwhile not m[64]: pass\nm[64] = 0"}
    ways = ()

    def start(self, way: str) -> None:  # noqa: ARG002
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.pid = os.fork()
        if self.pid == 0:
            self._answer()
        self.names["m"] = self.memory
        self.pause()

    def _answer(self) -> None:
        # An orphan must not spin for ever, and an alarm needs no attention.
        signal.alarm(600)
        memory = self.memory
        while True:
            while not memory[0]:
                pass
            memory[0] = 0
            memory[64] = 1

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Memcpy(Contestant):
    """A copy from one warm array to another within this process."""

    acts = {"out": "copyto(target, a)", "in": "copyto(target, a)"}
    ways = ()

    def start(self, way: str) -> None:
        """There is nothing to start."""

    def ask(self, method: str, *arguments: object) -> object:
        if method == "lay_out":
            import numpy as np

            self.names |= {"copyto": np.copyto, "target": np.ones(arguments[0])}
        return None
