"""execnet: a channel to an interpreter that it has started, and the loop of the hand-written pipe behind it."""

from __future__ import annotations

import sys
from pathlib import Path

import execnet

from bench.contestants.handwritten import Spoken

_LOOP = """
import sys
sys.path.insert(0, {root!r})
from bench.contestants.handwritten import serve
serve(channel.receive, channel.send)
"""
_ROOT = str(Path(__file__).resolve().parents[2])


class Execnet(Spoken):
    """It carries built-in types only, so blocks go as bytes."""

    acts = Spoken.acts | {
        "iterate": "for n in range(length): ask('call', ('item', (n,)))",
        "out": "frombuffer(ask('call', ('give_bytes', ())))",
        "in": "ask('call', ('take_bytes', (a.tobytes(),)))",
    }
    ways = ("cold",)

    def start(self, way: str) -> None:  # noqa: ARG002
        self.gateway = execnet.makegateway(f"popen//python={sys.executable}")
        self.channel = self.gateway.remote_exec(_LOOP.format(root=_ROOT))
        self.speak(self.channel.send, self.channel.receive)

    def stop(self) -> None:
        self.gateway.exit()
        execnet.default_group.terminate(timeout=1.0)

    def pids(self) -> list[int]:
        return [self.gateway._io.popen.pid]
