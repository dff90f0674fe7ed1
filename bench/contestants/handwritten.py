"""What one writes by hand: `multiprocessing.Pipe`, tuples through pickle, and a loop in the child that knows each act."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from operator import attrgetter
from typing import Any

from bench.contestants import in_rust
from bench.contestants.base import Contestant, in_a_loop
from bench.subject import Root

_METHODS = {"warm": "fork", "cold": "spawn"}


def serve(receive: Callable[[], Any], send: Callable[[Any], object]) -> None:
    """The child's loop. Objects have numbers, and the parent says when one is dropped."""
    root, kept = Root(), {}
    while True:
        op, argument = receive()
        if op == "get":
            send(attrgetter(argument)(root))
        elif op == "call":
            method, arguments = argument
            send(getattr(root, method)(*arguments))
        elif op == "make":
            thing = root.make()
            kept[id(thing)] = thing
            send(id(thing))
        elif op == "drop":
            del kept[argument]
            send(None)
        elif op == "back":
            root.call_back(lambda x: (send(x), receive())[1], argument)
            send(None)


class Spoken(Contestant):
    """Whatever has a `send` and a `receive`, and `serve` at its other end."""

    acts = {
        "getattr": "ask('get', 'number')",
        "call": "ask('call', ('noop', (7,)))",
        "make": "ask('drop', ask('make', None))",
        "dict": "ask('call', ('touch', (d,)))",
        "pipeline": "ask('get', 'a.b.c')",
        "callback": "ask_back(f, times)",
        "batches": "for _ in ask('get', 'items'): pass",
        "tasks": "run(all_tasks())",
        "threads": "with lock: ask('call', ('noop', (7,)))",
    }

    def speak(self, send: Callable[[Any], object], receive: Callable[[], Any]) -> None:
        """Put what the statements call into `names`."""

        def ask(op: str, argument: object) -> Any:
            send((op, argument))
            return receive()

        def ask_back(function: Callable[[int], int], times: int) -> Any:
            send(("back", times))
            for _ in range(times):
                send(function(receive()))
            return receive()

        self.names |= {"ask": ask, "ask_back": ask_back, "lock": threading.Lock()}

    def prepare(self, act: str) -> None:
        if act == "tasks":
            ask, lock = self.names["ask"], self.names["lock"]

            def locked() -> None:
                with lock:
                    ask("call", ("noop", (7,)))

            async def one() -> None:
                await asyncio.to_thread(locked)

            self.names |= in_a_loop(one)

    def ask(self, method: str, *arguments: object) -> object:
        return self.names["ask"]("call", (method, arguments))


class Pipe(Spoken):
    """`send_bytes` of a pickle, which is faster than `send`: that makes a pickler in Python for each message."""

    acts = (
        Spoken.acts
        | in_rust.BY_HAND
        | {
            "iterate": "for n in range(length): ask('call', ('item', (n,)))",
            "out": "ask('get', 'block')",
            "in": "ask('call', ('take', (a,)))",
            "table-out": "ask('get', 'table')",
            "table-in": "ask('call', ('take_table', (t,)))",
        }
    )
    ways = ("warm", "cold")

    def start(self, way: str) -> None:
        context = multiprocessing.get_context(_METHODS[way])
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve_pipe, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.speak(*_through(self.connection))

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()

    def pids(self) -> list[int]:
        return [self.process.pid or 0]


def _through(connection: Connection) -> tuple[Callable[[Any], object], Callable[[], Any]]:
    dumps, loads = pickle.dumps, pickle.loads

    def send(message: object) -> None:
        connection.send_bytes(dumps(message, 5))

    def receive() -> Any:
        return loads(connection.recv_bytes())

    return send, receive


def _serve_pipe(connection: Connection) -> None:
    send, receive = _through(connection)
    with contextlib.suppress(EOFError, OSError):
        serve(receive, send)
