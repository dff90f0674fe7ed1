"""Where and with what the figures came about."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.contestants import Entry


def describe(entries: Iterable[Entry]) -> dict[str, str]:
    """The machine, the interpreter, the versions of those who take part, and the time, each as text under its name."""
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
        "versions": ", ".join(f"{entry.name} {entry.version()}" for entry in entries if entry.version()),
        "load before": load(),
    }


def load() -> str:
    """How many processes ran or waited to run in the last minute, on average."""
    return f"{os.getloadavg()[0]:.2f}"


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--tags"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"
