"""Ray's actor. It is no requirement of anything here, and is measured only where it is installed."""

from __future__ import annotations

from typing import Any

import ray

from bench.contestants.base import Contestant
from bench.subject import Root


class Actor(Root):
    """`Root`; an actor has methods only."""

    def get(self, name: str) -> Any:
        """An attribute."""
        return getattr(self, name)


class Ray(Contestant):
    """`ray.get(method.remote())`. The cluster of one machine is up before anything is timed."""

    acts = {
        "getattr": "get(p.get.remote('number'))",
        "call": "get(p.noop.remote(7))",
        "threads": "get(p.noop.remote(7))",
        "dict": "get(p.touch.remote(d))",
        "out": "get(p.get.remote('block'))",
        "in": "get(p.take.remote(a))",
    }

    def start(self, way: str) -> None:  # noqa: ARG002
        if not ray.is_initialized():
            ray.init(num_cpus=64, include_dashboard=False, log_to_driver=False, configure_logging=False)
        self.names |= {"p": ray.remote(Actor).remote(), "get": ray.get}

    def stop(self) -> None:
        ray.kill(self.names["p"])

    def ask(self, method: str, *arguments: object) -> object:
        return ray.get(getattr(self.names["p"], method).remote(*arguments))
