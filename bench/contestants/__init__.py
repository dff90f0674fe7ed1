"""Who takes part, in the order of the tables. A contestant's module is imported only in the process that drives it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bench.contestants.base import Contestant
from bench.contestants.in_rust import PROGRAM


class Role(Enum):
    """What a contestant's figures are for."""

    OURS = "ours"
    PORTABLE = "portable"
    PEER = "peer"
    FLOOR = "floor"


@dataclass(frozen=True)
class Entry:
    """One contestant: what it is called, where its class is, and which distribution or program it needs."""

    name: str
    role: Role
    place: str
    distribution: str | None = None
    module: str | None = None
    program: Path | None = None

    def load(self) -> type[Contestant]:
        """The class."""
        module, name = self.place.split(":")
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)

    def installed(self) -> bool:
        """Whether it can take part here."""
        if self.program is not None and not self.program.exists():
            return False
        return self.module is None or importlib.util.find_spec(self.module) is not None

    def version(self) -> str | None:
        """The version of what it needs; the rest comes with Python."""
        return importlib.metadata.version(self.distribution) if self.distribution else None


ENTRIES = (
    Entry("saranwrap", Role.OURS, "ours:Ours", "saranwrap", "saranwrap"),
    Entry("portable child", Role.PORTABLE, "ours:Portable", "saranwrap", "saranwrap"),
    Entry("hand-written pipe", Role.PEER, "handwritten:Pipe"),
    Entry("managers", Role.PEER, "managed:Managed"),
    Entry("rpyc", Role.PEER, "over_rpyc:Rpyc", "rpyc", "rpyc"),
    Entry("Pyro5", Role.PEER, "over_pyro:Pyro", "Pyro5", "Pyro5"),
    Entry("execnet", Role.PEER, "over_execnet:Execnet", "execnet", "execnet"),
    Entry("executor", Role.PEER, "executor:Executor"),
    Entry("ray", Role.PEER, "over_ray:Ray", "ray", "ray"),
    Entry("tarpc", Role.PEER, "in_rust:Tarpc", program=PROGRAM),
    Entry("ipc-channel", Role.PEER, "in_rust:IpcChannel", program=PROGRAM),
    Entry("procspawn", Role.PEER, "in_rust:Procspawn", program=PROGRAM),
    Entry("in-process", Role.FLOOR, "floors:InProcess"),
    Entry("raw pipe", Role.FLOOR, "floors:RawPipe"),
    Entry("raw spin", Role.FLOOR, "floors:Spin"),
    Entry("memcpy", Role.FLOOR, "floors:Memcpy"),
    Entry("embedded", Role.FLOOR, "in_rust:Embedded", program=PROGRAM),
)

BY_NAME = {entry.name: entry for entry in ENTRIES}
