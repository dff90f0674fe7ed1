"""rpyc over a unix socket. Run as a program, it is the child."""

from __future__ import annotations

import os
import sys

import rpyc
from rpyc.utils.factory import unix_connect
from rpyc.utils.helpers import buffiter
from rpyc.utils.server import OneShotServer

from bench.contestants.base import AS_LOCAL, Contestant, in_a_loop
from bench.contestants.served import Served, say_ready
from bench.subject import Root

CONFIG = {
    "allow_public_attrs": True,
    "allow_setattr": True,
    "sync_request_timeout": None,
}


class Service(rpyc.Service):
    """What the other side sees first."""

    def __init__(self) -> None:
        self.exposed_root = Root()


class Rpyc(Contestant):
    """Everything by reference, as rpyc is meant to be used; blocks as bytes, which are the only buffers it has values for."""

    acts = AS_LOCAL | {
        "batches": "for _ in buffiter(p.items, 1000, 10000): pass",
        "tasks": "run(all_tasks())",
        "out": "frombuffer(p.give_bytes())",
        "in": "p.take_bytes(a.tobytes())",
    }
    most_live = 10_000

    def start(self, way: str) -> None:  # noqa: ARG002
        self.served = Served(__name__)
        self.connection = unix_connect(self.served.path, config=CONFIG)
        self.names |= {"p": self.connection.root.root, "buffiter": buffiter}

    def prepare(self, act: str) -> None:
        if act == "tasks":
            self.names |= in_a_loop(self._one)
            # It has no event loop of its own. This is the fastest way to it from one: its socket is read when the loop says so.
            self._loop = self.names["run"].__self__
            self._later = rpyc.async_(self.names["p"].noop)
            self._loop.add_reader(self.connection.fileno(), self.connection.poll_all)

    async def _one(self) -> None:
        answer = self._loop.create_future()
        self._later(7).add_callback(answer.set_result)
        await answer

    def stop(self) -> None:
        self.names.clear()
        self.connection.close()
        self.served.stop()

    def ask(self, method: str, *arguments: object) -> object:
        return getattr(self.names["p"], method)(*arguments)

    def pids(self) -> list[int]:
        return [self.served.process.pid]


def main() -> None:
    """The child."""
    server = OneShotServer(Service(), socket_path=sys.argv[1], protocol_config=CONFIG)
    # The server would only listen in `start`; the parent is to be told when it does.
    server.listener.listen()
    say_ready()
    server.start()
    os._exit(0)


if __name__ == "__main__":
    main()
