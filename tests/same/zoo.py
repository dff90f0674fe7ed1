"""The objects of the differential suite: one small class for each thing that an object can be. Imported here and in the child."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
from typing import Any, ClassVar

CONSTANT = 42
NESTED = {"numbers": [1, 2, 3], "pair": (4, [5, 6]), "set": {7}}


# ---- plain objects, attributes, descriptors ----


class Point:
    """A point in the plane."""

    dimensions = 2
    made: ClassVar[list[str]] = []

    def __init__(self, x: float, y: float = 0) -> None:
        self.x = x
        self.y = y

    def moved(self, dx: float = 0, dy: float = 0) -> Point:
        """The point beside this one."""
        return type(self)(self.x + dx, self.y + dy)

    def move(self, dx: float, /, dy: float = 0, *rest: float, scale: float = 1, **more: float) -> Point:
        self.x += dx * scale
        self.y += dy * scale + sum(rest) + sum(more.values())
        return self

    def itself(self) -> Point:
        return self

    @classmethod
    def origin(cls) -> Point:
        return cls(0, 0)

    @staticmethod
    def distance(a: Point, b: Point) -> float:
        return abs(a.x - b.x) + abs(a.y - b.y)

    @property
    def total(self) -> float:
        """The sum of both."""
        return self.x + self.y

    @total.setter
    def total(self, value: float) -> None:
        if value < 0:
            raise ValueError(f"a total is not negative: {value}")
        self.x, self.y = value, 0

    @total.deleter
    def total(self) -> None:
        self.x = self.y = -1

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Point):
            return NotImplemented
        return (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))

    def __repr__(self) -> str:
        return f"Point({self.x!r}, {self.y!r})"


class Point3(Point):
    """A point in space."""

    dimensions = 3
    __match_args__ = ("x", "y", "z")

    def __init__(self, x: float, y: float = 0, z: float = 0) -> None:
        super().__init__(x, y)
        self.z = z


class Positive:
    """A data descriptor."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = "_" + name

    def __get__(self, instance: Any, owner: type) -> Any:
        return "no instance" if instance is None else getattr(instance, self.name, 0)

    def __set__(self, instance: Any, value: int) -> None:
        if value <= 0:
            raise ValueError("not positive")
        setattr(instance, self.name, value)

    def __delete__(self, instance: Any) -> None:
        delattr(instance, self.name)


class Account:
    amount = Positive()

    @functools.cached_property
    def opened(self) -> list[str]:
        return ["today"]


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a = 1


class Dynamic:
    """All its attributes are made up, and changes are refused or written down."""

    def __init__(self) -> None:
        object.__setattr__(self, "log", [])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("made_up"):
            return name.upper()
        raise AttributeError(f"nothing is called {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        self.log.append(("set", name, value))

    def __delattr__(self, name: str) -> None:
        self.log.append(("del", name))

    def __dir__(self) -> list[str]:
        return ["log", "made_up_1"]


class Watched:
    """Writes down every attribute that is asked for, and every call."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def __getattribute__(self, name: str) -> Any:
        if name != "log" and not name.startswith("_"):
            object.__getattribute__(self, "log").append(f"ask {name}")
        return object.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("made_up"):
            return lambda *args: self.log.append((name, *args))
        raise AttributeError(f"nothing is called {name}")

    def give(self, *args: Any, **options: Any) -> Any:
        self.log.append(("give", *args))
        return args[0] if args else options

    def twice(self, value: Any) -> Any:
        self.log.append(("twice", value))
        return value * 2

    def replace(self, name: str, value: Any) -> Any:
        setattr(self, name, value)
        return name

    def remove(self, name: str) -> Any:
        delattr(self, name)
        return name

    def call(self, function: Any, count: int) -> list[Any]:
        return [function(number) for number in range(count)]

    def fill(self, items: list[Any]) -> list[Any]:
        items.append(len(items))
        return items

    def fail(self, *args: Any) -> None:
        raise ValueError(*args)

    async def later(self, value: Any) -> Any:
        return value

    @property
    def maker(self) -> Any:
        self.log.append("made")
        return self.give

    @classmethod
    def of_class(cls, value: Any) -> Any:
        return (cls.__name__, value)

    @staticmethod
    def of_none(value: Any) -> Any:
        return [value]


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Weekday(enum.IntEnum):
    MONDAY = 1
    TUESDAY = 2


Pair = collections.namedtuple("Pair", "left right")


@dataclasses.dataclass(order=True)
class Item:
    name: str
    price: float = 1.5
    tags: list[str] = dataclasses.field(default_factory=list)


# ---- operators ----


class Recorder:
    """Tells which special method was called, with what."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def __repr__(self) -> str:
        return "Recorder()"


def _binary(name: str) -> Any:
    def operate(self: Recorder, *others: Any) -> Any:
        self.log.append(name)
        return (name, *others)

    operate.__name__ = name
    return operate


def _in_place(name: str) -> Any:
    def operate(self: Recorder, other: Any) -> Recorder:
        self.log.append((name, other))
        return self

    operate.__name__ = name
    return operate


BINARY = (
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "divmod",
    "pow",
    "lshift",
    "rshift",
    "and",
    "xor",
    "or",
)
for _name in BINARY:
    setattr(Recorder, f"__{_name}__", _binary(f"__{_name}__"))
    setattr(Recorder, f"__r{_name}__", _binary(f"__r{_name}__"))
    if _name != "divmod":
        setattr(Recorder, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Recorder, f"__{_name}__", _binary(f"__{_name}__"))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(Recorder, f"__{_name}__", _binary(f"__{_name}__"))


class Money:
    """Adds to its own kind and to whole numbers; declines all else."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __add__(self, other: Any) -> Any:
        if isinstance(other, int):
            return Money(self.cents + other)
        return Money(self.cents + other.cents) if isinstance(other, Money) else NotImplemented

    __radd__ = __add__

    def __eq__(self, other: object) -> Any:
        if isinstance(other, int):
            return self.cents == other
        return self.cents == other.cents if isinstance(other, Money) else NotImplemented

    def __lt__(self, other: Any) -> Any:
        return self.cents < other.cents if isinstance(other, Money) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


class Number:
    """Converts to every kind of number."""

    def __int__(self) -> int:
        return 7

    def __float__(self) -> float:
        return 7.5

    def __complex__(self) -> complex:
        return 7 + 1j

    def __index__(self) -> int:
        return 2

    def __round__(self, digits: int | None = None) -> Any:
        return ("rounded", digits)

    def __trunc__(self) -> int:
        return 70

    def __floor__(self) -> int:
        return 71

    def __ceil__(self) -> int:
        return 72


class Text:
    """Converts to every kind of text."""

    def __str__(self) -> str:
        return "as str"

    def __repr__(self) -> str:
        return "<as repr>"

    def __format__(self, spec: str) -> str:
        return f"<{spec}>"

    def __bytes__(self) -> bytes:
        return b"as bytes"

    def __fspath__(self) -> str:
        return "/as/path"


class Truth:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __bool__(self) -> bool:
        return self.value


class Sized:
    def __init__(self, size: Any) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


class Same:
    """Equal to all, and its hash is what it was told."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return self.number


# ---- containers ----


class Shelf(list):
    label = "shelf"

    def first(self) -> Any:
        return self[0]


class Names(dict):
    def __missing__(self, key: Any) -> str:
        return f"no {key}"


class Word(str):
    def shout(self) -> str:
        return self.upper() + "!"


class Blob(bytes):
    pass


class Whole(int):
    def half(self) -> float:
        return self / 2


class Tags(frozenset):
    pass


class OldSequence:
    """Iterable only because it has numbered items."""

    def __getitem__(self, index: int) -> int:
        if index >= 3:
            raise IndexError("at the end")
        return index * 10


class Grid:
    """Takes any key: slices, tuples, Ellipsis."""

    def __init__(self) -> None:
        self.cells: dict[str, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        return ("get", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.cells[repr(key)] = value

    def __delitem__(self, key: Any) -> None:
        del self.cells[repr(key)]

    def __contains__(self, item: Any) -> bool:
        return item == "inside"

    def __reversed__(self) -> Any:
        return iter(["reversed"])

    def __length_hint__(self) -> int:
        return 17

    def __iter__(self) -> Any:
        return iter(["one", "two"])


class Countdown:
    """An iterator of its own."""

    def __init__(self, start: int) -> None:
        self.left = start

    def __iter__(self) -> Countdown:
        return self

    def __next__(self) -> int:
        if self.left <= 0:
            raise StopIteration("lift-off")
        self.left -= 1
        return self.left + 1


class Generic:
    def __class_getitem__(cls, item: Any) -> Any:
        return f"{cls.__name__}[{getattr(item, '__name__', item)}]"


class Meta(type):
    """A class of classes, with behaviour of its own."""

    def __len__(cls) -> int:
        return 3

    def __iter__(cls) -> Any:
        return iter(["a", "b", "c"])

    def __getitem__(cls, key: Any) -> Any:
        return f"{cls.__name__} at {key}"

    def __contains__(cls, item: Any) -> bool:
        return item == "a"

    @property
    def title(cls) -> str:
        return cls.__name__.title()


class Registered(metaclass=Meta):
    pass


class Even(metaclass=type("EvenMeta", (type,), {"__instancecheck__": lambda cls, number: number % 2 == 0})):
    pass


class Path:
    """Objects one below the other, which note what was asked of them."""

    kind: ClassVar[Any]

    def __init__(self, name: str, below: Any = None) -> None:
        self.log: list[str] = [] if below is None else below.log
        self.name, self.nothing, self.size = name, None, 12
        self.flavour, self.when = next(iter(Colour)), dt.datetime(2009, 3, 1)
        self.trouble, self.marks = ValueError("trouble", 3), [name]
        self.up: Any = None
        self._below = below
        if below is not None:
            below.up = self

    @property
    def below(self) -> Any:
        self.log.append(f"below {self.name}")
        return self._below

    @below.setter
    def below(self, value: Any) -> None:
        self._below = value

    @property
    def fails(self) -> Any:
        raise ValueError(f"no luck with {self.name}")

    def fail(self, value: Any) -> Any:
        raise ValueError(value)

    def give(self, value: Any, **more: Any) -> Any:
        self.log.append(f"give {self.name}")
        return (value, more) if more else value


Path.kind = Path
