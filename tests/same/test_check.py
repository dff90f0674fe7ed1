"""Whether `same` itself sees a difference: worlds in which the stand-in is wrong in one respect."""

from __future__ import annotations

from typing import Any

import pytest

from tests.same import zoo
from tests.same.check import FAKE, HERE, THERE, Case, Here, made, same


class Liar(Here):
    """A world in which what is wrapped comes back as something else."""

    def __init__(self, lie: Any) -> None:
        self.lie = lie

    def wrap(self, value: Any) -> Any:
        return self.lie


class Shifty(list):
    """A list that says it is one, and loses what is appended."""

    def append(self, item: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("case", "lie"),
    [
        pytest.param(same("x[0]", [1]), [2], id="value"),
        pytest.param(same("x[0]", [1]), [True], id="type of a value"),
        pytest.param(same("x[0]", [1.0]), [1], id="kind of number"),
        pytest.param(same("len(x)", [1]), [2], id="state"),
        pytest.param(same("x.append(1)", []), Shifty(), id="effect"),
        pytest.param(same("len(x)", [1]), (1,), id="type of the object"),
        pytest.param(same("x[0]", [1]), [], id="exception"),
        pytest.param(same("x['a']", {}), {"a": 1}, id="missing exception"),
        pytest.param(same("x.y", [1]), zoo.Point(1), id="text of an exception"),
        pytest.param(same("x[0] is x[1]", [1, 1]), [[1], [1]], id="identity in the code"),
        pytest.param(same("x", zoo.Shelf([1])), [1], id="class"),
        pytest.param(same("x", zoo.Point(1, 2)), zoo.Point(1, 2.0), id="attribute"),
        pytest.param(same("str(x)", [1]), ["1"], id="text"),
    ],
)
def test_a_difference_is_seen(case: Case, lie: Any) -> None:
    assert case.outcome(HERE).differences(case.outcome(Liar(lie)))


def test_aliases_are_seen() -> None:
    inner: list[int] = []
    assert same("x", [[], []]).outcome(HERE).differences(same("x", [inner, inner]).outcome(HERE))


def test_cycles_are_seen() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    assert same("x", [1, [1, []]]).outcome(HERE).differences(same("x", endless).outcome(HERE))
    assert not same("x", endless).outcome(HERE).differences(same("x", endless).outcome(HERE))


def test_what_leads_to_an_exception_is_seen() -> None:
    outcomes = [
        same(f"family.{function}()").outcome(HERE)
        for function in ("throw_within", "throw_instead", "throw_chain", "throw_noted", "throw_group")
    ]
    assert all(first.differences(second) for first in outcomes for second in outcomes if first is not second)


def test_an_expression_is_made_in_each_world() -> None:
    assert (
        not same("next(x)", made("flow.counter(3)"))
        .outcome(HERE)
        .differences(same("next(x)", made("flow.counter(3)")).outcome(HERE))
    )


@pytest.mark.skipif(FAKE, reason="there is no proxy")
def test_only_the_repr_of_a_proxy_differs() -> None:
    for value in ([1, "a"], {"k": [None]}, {1}, bytearray(b"a"), zoo.Point(1, 2), zoo.Text(), zoo.Shelf([1])):
        proxy = THERE.wrap(value)
        assert repr(proxy) == "saran:" + repr(value)
        assert str(proxy) == str(value)
