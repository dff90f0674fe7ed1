"""Classes to inherit from, and exceptions of every make. Imported here and in the child."""

from __future__ import annotations

import abc
import threading
from typing import Any, ClassVar

# ---- classes to inherit from ----


class Animal:
    sound = "..."
    kinds: ClassVar[list[str]] = []

    def __init__(self, name: str) -> None:
        self.name = name

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__()
        cls.options = sorted(options.items())  # type: ignore[attr-defined]

    def voice(self) -> str:
        return self.sound

    def speak(self) -> str:
        return f"{self.name} says {self.voice()}"

    def __len__(self) -> int:
        return len(self.name)


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self) -> float: ...

    def describe(self) -> str:
        return f"{type(self).__name__} of {self.area()}"


class Visitor:
    """Walks a tree and calls back what a subclass defines."""

    def walk(self, tree: Any) -> Visitor:
        for node in tree:
            if isinstance(node, (list, tuple)):
                self.enter(node)
                self.walk(node)
            else:
                self.leaf(node)
        return self

    def enter(self, node: Any) -> None:
        pass

    def leaf(self, node: Any) -> None:
        raise NotImplementedError


# ---- exceptions ----


class ZooError(Exception):
    """Its arguments are not those of the base class."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} #{number}")
        self.what = what
        self.number = number


class KeptError(ZooError, KeyError):
    def __str__(self) -> str:
        return f"kept: {self.what}"


class UnpicklableError(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


def throw(error: BaseException, cause: BaseException | None = None) -> None:
    raise error from cause


def throw_noted(*notes: str) -> None:
    error = ValueError("noted")
    for note in notes:
        error.add_note(note)
    raise error


def throw_within() -> None:
    try:
        raise KeyError("first")
    except KeyError:
        raise ValueError("second")  # noqa: B904


def throw_instead() -> None:
    try:
        raise KeyError("first")
    except KeyError:
        raise ValueError("second") from None


def throw_chain() -> None:
    try:
        throw_within()
    except ValueError as error:
        raise ZooError("third", 3) from error


def throw_group() -> None:
    raise ExceptionGroup("several", [ValueError(1), ExceptionGroup("inner", [KeyError("k"), ZooError("z", 9)])])


def throw_base_group() -> None:
    raise BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError(2)])


def throw_unpicklable() -> None:
    raise UnpicklableError


def throw_attributed(**attributes: Any) -> None:
    error = RuntimeError("with attributes")
    vars(error).update(attributes)
    raise error


def throw_local() -> None:
    class Hidden(LookupError):
        pass

    raise Hidden("nowhere to be imported from", 5)
