"""Functions that do something with their arguments: call them, change them, keep them. Imported here and in the child."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

KEPT: list[Any] = []


# ---- they call what they are given ----


def apply(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return function(*args, **options)


def mapped(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    return [function(item) for item in items]


def method(target: Any, name: str, *args: Any) -> Any:
    return getattr(target, name)(*args)


def attribute(target: Any, name: str) -> Any:
    return getattr(target, name)


def assign(target: Any, name: str, value: Any) -> None:
    setattr(target, name, value)


def bounce(function: Callable[[int, Any], Any], depth: int) -> Any:
    """Calls back with itself, so that calls nest to this depth."""
    return depth if depth == 0 else function(depth - 1, bounce)


def caught(function: Callable[[], Any]) -> tuple[str, tuple[Any, ...]]:
    try:
        function()
    except Exception as error:
        return (type(error).__name__, error.args)
    return ("nothing", ())


def again(function: Callable[[], Any]) -> None:
    """An exception from the callback goes on with another one around it."""
    try:
        function()
    except Exception as error:
        raise RuntimeError("from the callback") from error


def adder(start: int) -> Callable[[int], int]:
    total = start

    def add(more: int) -> int:
        nonlocal total
        total += more
        return total

    return add


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        return ("wrapped", function(*args, **options))

    return wrapper


def composed(*functions: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: functools.reduce(lambda got, function: function(got), functions, value)


def drain(iterator: Any, most: int = 100) -> list[Any]:
    got = []
    for item in iterator:
        got.append(item)
        if len(got) == most:
            break
    return got


def sends(generator: Any, *values: Any) -> list[Any]:
    return [generator.send(value) for value in values]


def inside(context: Any, function: Callable[[Any], Any]) -> Any:
    with context as value:
        return function(value)


def kind(value: Any) -> tuple[str, str]:
    return (type(value).__name__, repr(value))


def arithmetic(a: Any, b: Any) -> tuple[Any, ...]:
    return (a + b, b + a, a == b, a < b)


def container(value: Any) -> tuple[Any, ...]:
    return (len(value), list(value), value[0], 1 in value, bool(value))


def writes(file: Any, *lines: Any) -> Any:
    for line in lines:
        file.write(line)
    file.flush()
    return file.tell()


def reads(file: Any) -> list[Any]:
    return [file.readline(), file.read(3), *file]


def signature(a: int, /, b: str = "b", *c: Any, d: int = 4, **e: Any) -> tuple[Any, ...]:
    """Gives back what it got."""
    return (a, b, c, d, e)


# ---- they change what they are given ----


def append(items: list[Any], *more: Any) -> None:
    items.extend(more)


def clear(container: Any) -> None:
    container.clear()


def fill(buffer: Any, byte: int = 65) -> int:
    for index in range(len(buffer)):
        buffer[index] = byte
    return len(buffer)


def put(mapping: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    mapping[key] = value
    return mapping


def deepen(items: list[Any]) -> None:
    """Changes at every level of nesting."""
    items.append("top")
    for item in list(items):
        if isinstance(item, list):
            deepen(item)
        elif isinstance(item, dict):
            item["deep"] = True
            for value in item.values():
                if isinstance(value, list):
                    deepen(value)
        elif isinstance(item, set):
            item.add("deep")


def replace_inner(items: list[Any]) -> None:
    items[0] = ["new", items[0]]


def share(a: list[Any], b: list[Any]) -> None:
    a.append(b)
    b.append(a)


def change_and_throw(items: list[Any]) -> None:
    items.append("before")
    raise ValueError("after a change")


def change_then_call(items: list[Any], function: Callable[[], Any]) -> Any:
    items.append("changed")
    return function()


def are_same(a: Any, b: Any) -> bool:
    return a is b


def contains_itself(items: list[Any]) -> bool:
    return items[-1] is items


def first_is_second(items: list[Any]) -> bool:
    return items[0] is items[1]


# ---- they give back what they are given, or keep it ----


def identity(value: Any) -> Any:
    return value


def packed(*values: Any) -> Any:
    return {"values": list(values), "again": values}


def keep(value: Any) -> int:
    KEPT.append(value)
    return len(KEPT) - 1


def kept(index: int = -1) -> Any:
    return KEPT[index]


def empty() -> list[Any]:
    return []


def mutable() -> Any:
    return [[1], {"a": [2]}, {3}]
