"""A Python parent in two of the four quadrants, over each transport: the stories of `stories.json`, which `main.rs` there tells of a Rust
parent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import saranwrap

from tests.rust_programs import built

ROOT = Path(__file__).parent.parent
QUADRANTS = ROOT / "crates" / "saranwrap" / "tests" / "quadrants"
TABLE = json.loads((QUADRANTS / "stories.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def program() -> list[str]:
    """The test program of the other two quadrants, built now, as a child."""
    return [built("test", "quadrants"), "child_main", "--exact", "--nocapture", "--quiet"]


#: Where what is told of lives, and what carries the frames. The portable child is offered what there is, and has but a socket.
HOMES = ["native over ring", "native over stream", "agent over stream", "rust over ring", "rust over stream"]


@pytest.fixture(params=HOMES)
def subject(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A subject with the number 5."""
    home, _, transport = request.param.split()
    if home != "agent":
        monkeypatch.setenv("SARANWRAP_TRANSPORT", transport)
    if home == "rust":
        return saranwrap.wrap_program(request.getfixturevalue("program"), grace=0)
    monkeypatch.syspath_prepend(QUADRANTS)
    subject = saranwrap.wrap_module("quadrant_subject", child=home).Subject(5)
    sys.modules.pop("quadrant_subject", None)
    assert saranwrap.status(subject)["child"] == home
    return subject


def tuples(value: Any) -> Any:
    """An array is a tuple here: a list would stay where it is in one of the quadrants."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def values_come_back(subject: Any) -> None:
    for value in map(tuples, TABLE["values"]):
        back = subject.echo(value)
        assert (back, type(back)) == (value, type(value))


def what_is_given_twice_arrives_twice(subject: Any) -> None:
    row = [1]
    assert saranwrap.local(subject.echo((row, row))) == ([1], [1])


def an_error_is_raised(subject: Any) -> None:
    with pytest.raises(ValueError, match=r"^as told$"):
        subject.fail("as told")
    with pytest.raises(AttributeError):
        subject.nothing()
    assert subject.number() == 5


def a_function_is_called_back(subject: Any) -> None:
    assert subject.call(lambda x: subject.number() * x, 3) == 15


def a_failure_of_a_function_comes_back(subject: Any) -> None:
    failure = KeyError("no")

    def function(_: int) -> None:
        raise failure

    with pytest.raises(KeyError) as caught:
        subject.call(function, 3)
    assert caught.value is failure


def a_proxy_goes_back(subject: Any) -> None:
    twin = subject.twin()
    assert subject.sum_with(twin) == 11
    assert subject.echo(twin) is twin


def items_are_read(subject: Any) -> None:
    assert [subject[place] for place in range(len(subject))] == list(subject) == [5, 6, 7]
    with pytest.raises(IndexError):
        subject[3]


def objects_are_given_back(subject: Any) -> None:
    subject.twin()
    before = saranwrap.status(subject)["object_count"]
    twins = [subject.twin() for _ in range(20)]
    assert saranwrap.status(subject)["object_count"] == before + 20
    twins.clear()
    assert saranwrap.status(subject)["object_count"] == before


def steps_travel_together(subject: Any) -> None:
    with saranwrap.pipeline(subject) as steps:
        twin = steps.twin()
        total = steps.sum_with(twin)
        wrong = steps.fail("as told")
        after = steps.number()
    assert (saranwrap.result(total), saranwrap.result(after)) == (11, 5)
    with pytest.raises(ValueError, match="as told"):
        saranwrap.result(wrong)


def a_call_ends_in_time(subject: Any) -> None:
    with pytest.raises(saranwrap.CallTimeout), saranwrap.timeout(0.1):
        subject.sleep(30.0)


def a_death_is_told(subject: Any) -> None:
    with pytest.raises(saranwrap.ChildDied, match="exit code 3"):
        subject.exit(3)
    with pytest.raises(saranwrap.ChildDied):
        subject.number()


@pytest.mark.parametrize("story", TABLE["stories"])
def test_quadrant(story: str, subject: Any) -> None:
    globals()[story](subject)
