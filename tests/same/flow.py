"""What has its own flow of control: generators, context managers, coroutines. Imported here and in the child."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.same.family import ZooError


def counter(stop: int, result: Any = "done") -> Any:
    for number in range(stop):
        yield number
    return result


def echo(log: list[Any] | None = None) -> Any:
    """Gives back what it is sent; writes down what is thrown into it and when it closes."""
    log = [] if log is None else log
    got = None
    try:
        while True:
            try:
                got = yield got
            except ValueError as error:
                got = f"caught {error}"
    finally:
        log.append("closed")


def delegating(inner: Any) -> Any:
    result = yield from inner
    yield ("result", result)


def failing(stop: int) -> Any:
    yield from range(stop)
    raise ZooError("generator", 3)


def stubborn() -> Any:
    try:
        yield 1
    except GeneratorExit:
        yield 2


class Door:
    def __init__(self, swallows: bool = False) -> None:
        self.swallows = swallows
        self.log: list[Any] = []

    def __enter__(self) -> Door:
        self.log.append("enter")
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        self.log.append(("exit", kind and kind.__name__, error and str(error), trace is not None))
        return self.swallows


@contextlib.contextmanager
def opened(value: Any, log: list[Any] | None = None) -> Any:
    try:
        yield value
    except KeyError as error:
        if log is not None:
            log.append(repr(error))
    finally:
        if log is not None:
            log.append("left")


class Pause:
    """Awaitable: gives `value` to who drives the loop, and returns what comes back."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __await__(self) -> Any:
        return (yield self.value)


async def answer(value: Any = 42) -> Any:
    await Pause()
    return value


async def twice(awaitable: Any) -> Any:
    got = await awaitable
    return (got, got)


async def asks(*questions: Any) -> list[Any]:
    return [await Pause(question) for question in questions]


async def fails(text: str) -> None:
    await Pause()
    raise ZooError(text, 1)


async def catches() -> Any:
    try:
        return await Pause("waiting")
    except ValueError as error:
        return f"caught {error}"


async def slowly(stop: int) -> Any:
    for number in range(stop):
        await Pause()
        yield number


async def conversation() -> Any:
    got = None
    while got != "stop":
        got = yield got


async def collects(source: Any) -> list[Any]:
    return [item async for item in source]


class AsyncDoor:
    def __init__(self) -> None:
        self.log: list[Any] = []

    async def __aenter__(self) -> AsyncDoor:
        await Pause()
        self.log.append("enter")
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> bool:
        await Pause()
        self.log.append(("exit", kind and kind.__name__))
        return kind is KeyError


class AsyncCountdown:
    def __init__(self, start: int) -> None:
        self.left = start

    def __aiter__(self) -> AsyncCountdown:
        return self

    async def __anext__(self) -> int:
        if self.left == 0:
            raise StopAsyncIteration
        self.left -= 1
        return self.left


class Noisy:
    """Leaves something in a list when it ends."""

    def __init__(self, where: list[Any], item: Any) -> None:
        self.where, self.item = where, item

    def __del__(self) -> None:
        self.where.append(self.item)


def noisy(count: int) -> tuple[list[Any], list[Noisy]]:
    """A list, and objects that change it when they end."""
    where: list[Any] = list(range(count))
    return where, [Noisy(where, -n) for n in range(1, count)]
