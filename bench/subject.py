"""What every contestant puts into its child: one object with an attribute, methods, a list and a block of numbers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CALLBACKS = 100
"""How many times the child calls back in one act."""
MAPPED, MAPPING = 1000, 2
"""How many tasks are mapped in one act, and over how many children."""

TASKS = 100
"""How many calls are on their way at once."""


class Thing:
    """The smallest object that can only go by reference."""

    __slots__ = ()


class Leaf:
    """`a.b`, whose `c` is a number."""

    c = 7


class Branch:
    """`a`, whose `b` is an object."""

    def __init__(self) -> None:
        self.b = Leaf()


class Root:
    """What the child holds. numpy is imported only by those that carry blocks, since a start must not pay for it."""

    def __init__(self) -> None:
        self.number = 7
        self.a = Branch()
        self.items: list[int] = []
        self.block: Any = None

    def noop(self, x: int) -> int:
        """Give back what came."""
        return x

    def make(self) -> Thing:
        """A new object, which nothing here keeps."""
        return Thing()

    def touch(self, d: dict[str, int]) -> dict[str, int]:
        """Change one of the items, so that the change has to get home."""
        d["k0"] += 1
        return d

    def call_back(self, function: Callable[[int], int], times: int) -> None:
        """Call the caller."""
        for _ in range(times):
            function(7)

    def fill(self, count: int) -> None:
        """Make the list that is iterated."""
        self.items = list(range(count))

    def item(self, index: int) -> int:
        """One of its items."""
        return self.items[index]

    def lay_out(self, length: int) -> None:
        """Make the block of float64 that goes out."""
        import numpy as np

        self.block = np.arange(length, dtype=np.float64)

    def take(self, array: Any) -> float:
        """Receive a block, and show by its last number that it has arrived."""
        import numpy as np

        return float(np.asarray(array)[-1])

    def lay_out_table(self) -> None:
        """Make the table that goes out."""
        import pyarrow as pa

        self.table = pa.table({"x": self.block})

    def take_table(self, table: Any) -> float:
        """Receive a table, and show by its last number that it has arrived."""
        found: float = table["x"][-1].as_py()
        return found

    def take_bytes(self, data: bytes) -> float:
        """`take`, for those that carry bytes only."""
        import numpy as np

        return float(np.frombuffer(data)[-1])

    def give_bytes(self) -> bytes:
        """The block, for those that carry bytes only."""
        return self.block.tobytes()
