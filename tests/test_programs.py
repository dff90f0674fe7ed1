"""Rust programs as children: their values are used as Python objects are."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
from typing import Any

import pytest
import saranwrap

from tests.rust_programs import built


@pytest.fixture(scope="module")
def server() -> str:
    """The example that serves a counter, built now."""
    return built("example", "served_to_python")


@pytest.fixture
def counter(server: str) -> Any:
    return saranwrap.wrap_program([server])


def test_its_methods_are_called(counter: Any) -> None:
    assert counter.add(5) == 5
    assert counter.add(by=2) == 7
    assert counter.value() == len(counter) == 7
    method = counter.add
    assert method(1) == 8
    twin = counter.twin()
    twin.add(1)
    assert (counter.value(), twin.value()) == (8, 9)
    assert type(twin) is type(counter)
    assert saranwrap.getpid(counter) not in {0, os.getpid()}


def test_it_tells_of_itself(counter: Any) -> None:
    assert repr(counter) == "saran:<served_to_python.Counter object>"
    assert counter.__doc__ == type(counter).__doc__ == "Counts, in a process of its own."
    assert counter.add.__doc__ == "Count on, and tell how far it is."
    assert counter.add.__name__ == "add"
    assert str(inspect.signature(counter.add)) == "(by)"
    assert {"add", "lower", "value"} <= set(dir(counter))
    assert callable(counter.add)
    assert not callable(counter)
    assert counter == counter
    assert counter != counter.twin()
    assert hash(counter) == hash(counter)
    assert type(counter).__name__ == "Counter"


def test_what_goes_wrong_is_raised(counter: Any) -> None:
    with pytest.raises(ValueError, match="3 is more than 0"):
        counter.lower(3)
    with pytest.raises(TypeError, match="argument 'by': wanted an int, found a str"):
        counter.add("x")
    with pytest.raises(TypeError, match="missing required argument: 'by'"):
        counter.add()
    with pytest.raises(TypeError, match="unexpected keyword argument 'times'"):
        counter.add(1, times=2)
    with pytest.raises(AttributeError, match="'Counter' object has no attribute 'nothing'"):
        counter.nothing  # noqa: B018
    with pytest.raises(RuntimeError, match="this counter is broken"):
        counter.panic()
    assert counter.add(1) == 1


def test_it_calls_back(server: str, counter: Any) -> None:
    counter.add(4)
    assert counter.sum_of(lambda x: x * 10) == 60
    # What was only named is asked for when it is called, and goes by reference from then on.
    assert counter.echo(abs) is abs
    assert counter.sum_of(abs) == counter.sum_of(abs) == 6
    assert counter.echo(abs) is abs
    with pytest.raises(saranwrap.Unreachable, match="the child may not call `<class 'int'>` in the parent"):
        counter.sum_of(int)
    trusted = saranwrap.wrap_program([server], trust=True)
    trusted.add(4)
    assert trusted.sum_of(int) == 6

    def fails(x: int) -> int:
        raise KeyError(x)

    with pytest.raises(KeyError) as caught:
        counter.sum_of(fails)
    assert caught.value.args == (0,)
    with pytest.raises(RuntimeError, match="in the middle of another method"):
        counter.sum_of(lambda _: counter.add(1))


def test_what_is_given_twice_arrives_twice(counter: Any) -> None:
    row = [1]
    assert saranwrap.local(counter.echo((row, {"row": row}, [row, row]))) == ([1], {"row": [1]}, [[1], [1]])
    with saranwrap.pipeline(counter) as steps:
        first = steps.echo(row)
        second = steps.echo([row, row])
    assert saranwrap.local(saranwrap.result(first)) == [1]
    assert saranwrap.local(saranwrap.result(second)) == [[1], [1]]


def test_what_changes_while_it_calls_back_is_the_callers_own(counter: Any) -> None:
    counter.add(3)
    row = [0]

    def change(x: int) -> int:
        row.append(x)
        return len(saranwrap.local(counter.echo(row)))

    assert counter.sum_of(change) == 2 + 3 + 4
    assert row == [0, 0, 1, 2]


def test_what_is_nothing_for_it_is_refused_and_it_goes_on(counter: Any) -> None:
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(TypeError, match="a container that holds itself has no copy in a Rust program"):
        counter.echo(itself)
    large: Any = [0]
    for _ in range(40):
        large = [large, large]
    with pytest.raises(TypeError, match="repeats parts of itself is too large"):
        counter.echo(large)
    with pytest.raises(TypeError, match="a pickle is nothing that a Rust program can read"):
        counter.echo(saranwrap.val(json.JSONEncoder()))
    with saranwrap.pipeline(counter) as steps:
        wrong = steps.echo(itself)
        right = steps.add(1)
    with pytest.raises(TypeError, match="holds itself"):
        saranwrap.result(wrong)
    assert saranwrap.result(right) == 1


def test_it_is_administered_as_any_child(counter: Any) -> None:
    assert saranwrap.status(counter)["pid"] == saranwrap.getpid(counter)
    assert saranwrap.ping(counter) >= 0
    with saranwrap.pipeline(counter) as steps:
        steps.add(1)
        last = steps.add(2)
        first = steps.twin().add(10)
        wrong = steps.lower(100)
        after = steps.value()
    assert saranwrap.result(last) == 3
    assert saranwrap.result(first) == 13
    assert saranwrap.result(after) == 3
    with pytest.raises(ValueError, match="100 is more than 3"):
        saranwrap.result(wrong)
    saranwrap.kill(counter)
    with pytest.raises(saranwrap.ChildDied, match="SIGKILL"):
        counter.value()


def test_many_objects_are_given_back(counter: Any) -> None:
    counter.twin()
    before = saranwrap.status(counter)["object_count"]
    twins = [counter.twin() for _ in range(20)]
    assert saranwrap.status(counter)["object_count"] == before + 20
    twins.clear()
    assert saranwrap.status(counter)["object_count"] == before


def test_a_program_that_serves_nothing(server: str) -> None:
    with pytest.raises(saranwrap.ChildDied, match="exit code 0"):
        saranwrap.wrap_program(["true"])
    with pytest.raises(saranwrap.Refused, match="No such file"):
        saranwrap.wrap_program(["/no/such/program"])
    with pytest.raises(ValueError, match="a program and its arguments in a list"):
        saranwrap.wrap_program(server)
    with pytest.raises(ValueError, match="timeout must be"):
        saranwrap.wrap_program([server], timeout=-1)
    alone = subprocess.run([server], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    assert alone.returncode == 1
    assert b"was not started as a child" in alone.stderr
