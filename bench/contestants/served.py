"""A child that listens on a socket of the file system: how one is started, and when it can be reached."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile


class Served:
    """`python -m module path`, which writes a line to its stdout once it listens at `path`."""

    def __init__(self, module: str) -> None:
        self.directory = tempfile.mkdtemp(prefix="saranwrap-bench-")
        self.path = os.path.join(self.directory, "socket")
        command = [sys.executable, "-m", module, self.path]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError(f"{' '.join(command)} ended with {self.process.wait()} before it listened")

    def stop(self) -> None:
        """End it; there is nothing that it would have to do first."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory)


def say_ready() -> None:
    """In the child: it listens now."""
    print("ready", flush=True)
