"""What a child of Python holds in the stories of the four quadrants; `subject.rs` is the same for a Rust program."""

# ruff: noqa: D102  the stories tell what each method is for

from __future__ import annotations

import os
import time
from typing import Any


class Subject:
    """A number, and what can go wrong or go on with it."""

    def __init__(self, number: int) -> None:
        self._number = number

    def number(self) -> int:
        return self._number

    def echo(self, value: Any) -> Any:
        return value

    def fail(self, text: str) -> None:
        raise ValueError(text)

    def call(self, function: Any, x: int) -> Any:
        return function(x)

    def twin(self) -> Subject:
        return Subject(self._number + 1)

    def sum_with(self, other: Subject) -> int:
        return self._number + other.number()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def exit(self, code: int) -> None:
        os._exit(code)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, place: int) -> int:
        if place >= 3:
            raise IndexError(place)
        return self._number + place
