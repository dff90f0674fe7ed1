"""`same`: runs code on an object and on its proxy, and compares all that can be seen of the outcome. Holds no cases."""

from __future__ import annotations

import ast
import asyncio
import collections.abc
import contextlib
import copy
import importlib
import inspect
import operator
import os
import pickle
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.same import calls, family, flow, zoo
from tests.same.picture import Picture, text

#: With SAME_FAKE=1 the proxy is the object itself: all cases must pass, and where one does not, the case is at fault.
FAKE = os.environ.get("SAME_FAKE", "") not in ("", "0")

#: With SAME_PYTHON=3.10 the child runs in another interpreter. What two versions of the language do not have in common fails then.
PYTHON = os.environ.get("SAME_PYTHON") or None

#: Modules that live in the child when the code runs there, by the name that the code calls them.
WRAPPED = {
    "zoo": zoo.__name__,
    "calls": calls.__name__,
    "family": family.__name__,
    "flow": flow.__name__,
    "array": "array",
    "bisect": "bisect",
    "collections": "collections",
    "contextlib": "contextlib",
    "datetime": "datetime",
    "decimal": "decimal",
    "fractions": "fractions",
    "functools": "functools",
    "heapq": "heapq",
    "html_parser": "html.parser",
    "io": "io",
    "itertools": "itertools",
    "json": "json",
    "random": "random",
    "re": "re",
    "string": "string",
    "uuid": "uuid",
}


def run(awaitable: Any) -> Any:
    """Await it in a local event loop."""

    async def main() -> Any:
        return await awaitable

    return asyncio.run(main())


def drive(coroutine: Any, *answers: Any) -> tuple[list[Any], Any]:
    """Run a coroutine by hand: all that it yields, and what it returns."""
    yielded = []
    waiting = iter(answers)
    answer = None
    while True:
        try:
            yielded.append(coroutine.send(answer))
        except StopIteration as stop:
            return yielded, stop.value
        answer = next(waiting, None)


#: What the code finds here in both worlds.
LOCAL = {
    "abc": collections.abc,
    "asyncio": asyncio,
    "copy": copy,
    "drive": drive,
    "inspect": inspect,
    "my_calls": calls,
    "my_family": family,
    "my_flow": flow,
    "my_zoo": zoo,
    "operator": operator,
    "pickle": pickle,
    "run": run,
    "suppress": contextlib.suppress,
    "types": types,
}


@dataclass(frozen=True)
class Made:
    """An object that is made in the world where the code runs, by this expression."""

    expression: str


made = Made


class Here:
    """The world without proxies."""

    def wrap(self, value: Any) -> Any:
        return value

    def wrap_module(self, name: str) -> Any:
        return importlib.import_module(name)

    def functions(self) -> dict[str, Callable[[Any], Any]]:
        return {"local": copy.deepcopy, "val": copy.deepcopy, "ref": lambda value: value}


class There:
    """The world in which x and the wrapped modules live in a child, one child for all cases."""

    def __init__(self) -> None:
        self._child: Any = None
        self._modules: dict[str, Any] = {}

    def open(self) -> None:
        import saranwrap

        self._child = saranwrap.Child(python=PYTHON)
        self._modules = {}

    def close(self) -> None:
        if self._child is not None:
            self._modules = {}
            self._child.close()
            self._child = None

    def revive(self) -> None:
        """After a case that took the child along, the next one gets a new child."""
        if self._child is None:
            return self.open()
        try:
            self._child.status()
        except Exception:
            self.close()
            self.open()

    def wrap(self, value: Any) -> Any:
        if PYTHON and isinstance(value, str):
            from saranwrap import _children

            # Said to a child of another interpreter, a text is the name of a module.
            return self._child._make("adopt", _children.recipe(value, self._child._session.pickle_protocol))
        return self._child.wrap(value)

    def wrap_module(self, name: str) -> Any:
        if name not in self._modules:
            self._modules[name] = self._child.wrap_module(name)
        return self._modules[name]

    def functions(self) -> dict[str, Callable[[Any], Any]]:
        import saranwrap

        return {"local": saranwrap.local, "val": saranwrap.val, "ref": saranwrap.ref}


HERE = Here()
THERE = There()


def open_world() -> None:
    if not FAKE:
        THERE.open()


def close_world() -> None:
    THERE.close()


@dataclass
class Outcome:
    """All that is seen after the code ran: its value or its exception, and the state of all that it was given."""

    ended: Any
    names: dict[str, Any]

    def differences(self, other: Outcome) -> list[str]:
        pairs = [("outcome", self.ended, other.ended)]
        pairs += [(name, self.names.get(name), other.names.get(name)) for name in self.names | other.names]
        return [f"{what}\n    here:  {here}\n    there: {there}" for what, here, there in pairs if here != there]


@dataclass(frozen=True)
class Case:
    """A piece of code, the object `x` it is about, and local arguments for it."""

    code: str
    x: Any = None
    names: dict[str, Any] = field(default_factory=dict)
    #: Why the outcome cannot be the same, if it cannot.
    limit: str = ""

    def check(self) -> None:
        if not FAKE:
            THERE.revive()
        differences = self.outcome(HERE).differences(self.outcome(HERE if FAKE else THERE))
        if differences and not self.limit:
            pytest.fail(f"not the same: {self.code}\n  " + "\n  ".join(differences), pytrace=False)
        if self.limit and not differences and not FAKE:
            pytest.fail(f"is the same now, so this is no limit any more: {self.limit}", pytrace=False)

    def outcome(self, world: Here | There) -> Outcome:
        space = self._space(world)
        given = {name: space[name] for name in ("x", *self.names)}
        value, error = None, None
        try:
            value = self.evaluate(space, world)
        except Exception as raised:
            error = raised
        picture = Picture()
        # One picture for all: so it shows too what is the same object as what.
        names = {name: picture.of(thing) for name, thing in given.items()}
        made_by_code = {"left": picture.of(space["left"])} if "left" in space else {}
        ended = ("raised", picture.of(error)) if error is not None else ("value", picture.of(value))
        return Outcome(ended, names | made_by_code)

    def evaluate(self, space: dict[str, Any], _world: Here | There) -> Any:
        return _evaluate(self.code, space)

    def _space(self, world: Here | There) -> dict[str, Any]:
        used = {node.id for code in self._texts() for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
        # A module of this name cannot be imported: classes that the code defines exist only here.
        space: dict[str, Any] = {"__name__": "nowhere", **LOCAL, **world.functions()}
        space |= {name: world.wrap_module(module) for name, module in WRAPPED.items() if name in used}
        for name, value in self.names.items():
            space[name] = eval(value.expression, space) if isinstance(value, Made) else copy.deepcopy(value)
        if isinstance(self.x, Made):
            space["x"] = eval(self.x.expression, space)
        else:
            space["x"] = None if self.x is None else world.wrap(copy.deepcopy(self.x))
        return space

    def _texts(self) -> list[str]:
        return [self.code, *(value.expression for value in (self.x, *self.names.values()) if isinstance(value, Made))]


class Piped(Case):
    """The code is recorded there, and sent in one round trip."""

    def evaluate(self, space: dict[str, Any], world: Here | There) -> Any:
        if not isinstance(world, There):
            return _evaluate(self.code, space)
        import saranwrap

        names = [name for name in ("x", *WRAPPED) if isinstance(space.get(name), saranwrap.Proxy)]
        originals = {name: space[name] for name in names}
        opened = saranwrap.pipeline(*originals.values())
        with opened as recorders:
            space.update(zip(names, recorders if len(names) > 1 else (recorders,), strict=True))
            value = _evaluate(self.code, space)
        space.update(originals)
        if "left" in space:
            space["left"] = _results(space["left"])
        return _results(value)


def _results(value: Any) -> Any:
    import saranwrap

    return tuple(map(_results, value)) if type(value) is tuple else saranwrap.result(value)


def piped(code: str, x: Any = None, **names: Any) -> Case:
    """The code has the same outcome whether it runs here or is recorded in a pipeline. What is compared is as for `same`;
    a tuple of promises is one of their results.
    """
    return Piped(textwrap.dedent(code).strip(), x, names)


def same(code: str, x: Any = None, **names: Any) -> Case:
    """The code has the same outcome whether `x`, and the modules of WRAPPED, are here or in a child.

    The value is that of the last statement, if it is an expression. A variable `left` that the code sets is compared too.
    """
    return Case(textwrap.dedent(code).strip(), x, names)


def limit(why: str, case: Case) -> Case:
    """A case that cannot be the same, and says why; it fails on the day when it is."""
    return replace(case, limit=why)


def cases(*each: Case) -> Callable[[Case], None]:
    """A test function that checks each case."""

    def test(case: Case) -> None:
        case.check()

    ids = [case.code if len(case.code) <= 90 else case.code[:87] + "..." for case in each]
    return pytest.mark.parametrize("case", each, ids=[text(id).replace("\n", "; ") for id in ids])(test)


def _evaluate(code: str, space: dict[str, Any]) -> Any:
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<case>", "exec"), space)
    return None if last is None else eval(compile(ast.Expression(last.value), "<case>", "eval"), space)
