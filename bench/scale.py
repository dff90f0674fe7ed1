"""How long and how large a run is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The counts of one kind of run.

    Args:
        name: what the report calls it.
        rounds: how many times each contestant has its turn on a workload.
        seconds: how long a turn should take, where the workload can be repeated.
        items: length of the list that is iterated, by those who get that far in five times `seconds`.
        small, large: float64 numbers in the two blocks.
        kept: proxies that each turn of the footprint keeps.
        live: how many proxies live while a call is timed, in steps.
        children: how many children live while a call is timed, in steps.
        limit: seconds that one turn, or the preparation for all, may take before it is given up.
    """

    name: str
    rounds: int
    seconds: float
    items: int
    small: int
    large: int
    kept: int
    live: tuple[int, ...]
    children: tuple[int, ...]
    limit: float


_MB = 1_000_000 // 8

FULL = Scale("full", 7, 0.2, 100_000, _MB, 100 * _MB, 5_000, (1, 1_000, 100_000), (1, 10, 50), 60)
QUICK = Scale("quick", 3, 0.03, 100_000, _MB, 100 * _MB, 1_000, (1, 1_000, 10_000), (1, 10, 20), 30)
LONG = Scale("long", 7, 0.2, 100_000, _MB, 100 * _MB, 5_000, (1, 1_000, 100_000, 1_000_000), (1, 10, 50, 500), 300)
TINY = Scale("tiny", 2, 0.0, 50, 1_000, 2_000, 10, (1, 5), (1, 2), 20)

SCALES = {scale.name: scale for scale in (FULL, QUICK, LONG, TINY)}
