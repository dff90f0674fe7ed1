"""Those that have a Rust program as their parent: it is in `bench/rust`, and times the statements that stand here."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from bench.contestants.base import Contestant

PROGRAM = Path(__file__).resolve().parents[2] / "target" / "bench-rust" / "release" / "saranwrap-bench"
"""What drives them; `make bench` builds it."""

OURS = {
    "rust-getattr": 'root.getattr("number")?.extract()?',
    "rust-call": 'root.call_method("noop", (7,))?.extract()?',
    "rust-rust": "root.noop(7)?",
}
BY_HAND = {
    "rust-getattr": 'piped.ask(&json!(["number", null]))?',
    "rust-call": 'piped.ask(&json!(["noop", [7]]))?',
}


class Embedded(Contestant):
    """PyO3, with the interpreter in the Rust program itself."""

    acts = {
        "rust-getattr": 'root.getattr(py, "number")?.extract(py)?',
        "rust-call": 'root.call_method1(py, "noop", (7,))?.extract(py)?',
    }
    ways = ()


class Tarpc(Contestant):
    """Calls of a service over a unix socket."""

    acts = {"rust-rust": "runtime.block_on(client.noop(context::current(), 7))?"}
    ways = ()


class IpcChannel(Contestant):
    """A channel each way."""

    acts = {"rust-rust": "questions.send(7)?; answered.recv()?"}
    ways = ()


class Procspawn(Contestant):
    """A pool with one process."""

    acts = {"rust-rust": "pool.spawn(7, |x| x).join()?"}
    ways = ()


def command(contestant: str, workload: str, seconds: float) -> list[str]:
    """What drives one of these through one workload."""
    return [str(PROGRAM), contestant, workload, str(seconds)]


def environment() -> dict[str, str]:
    """Where that finds Python: as a program, and as a library."""
    library = sysconfig.get_config_var("LIBDIR") or ""
    return {**os.environ, "SARANWRAP_BENCH_PYTHON": sys.executable, "LD_LIBRARY_PATH": library}
