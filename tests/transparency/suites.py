"""What is measured: for each suite the module under test and the test modules of CPython that exercise it. Runs nothing."""

from __future__ import annotations

import dataclasses
import importlib
import types
import unittest
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True)
class Suite:
    """One row of the table. `module` is replaced, with its submodules, while `tests` are imported and run.

    A container suite has no module: it binds `attribute` of the test classes named `mixins` to the type under test, made in the child.
    """

    name: str
    tests: tuple[str, ...]
    module: str | None = None
    container: type | None = None
    attribute: str = ""
    mixins: tuple[str, ...] = ()

    def load(self, loader: unittest.TestLoader, made: Callable[[type], type]) -> list[unittest.TestCase]:
        """Import the test modules as they now see the world and give their tests, in order."""
        if self.container is None:
            return [
                test for name in self.tests for test in _flat(loader.loadTestsFromModule(importlib.import_module(name)))
            ]
        under_test = made(self.container)
        return [
            test
            for dotted in self.mixins
            for test in _flat(loader.loadTestsFromTestCase(self._container_class(dotted, under_test)))
        ]

    def _container_class(self, dotted: str, under_test: type) -> type[unittest.TestCase]:
        home, _, name = dotted.rpartition(".")
        mixin = getattr(importlib.import_module(home), name)
        bases = (mixin,) if issubclass(mixin, unittest.TestCase) else (mixin, unittest.TestCase)
        body = {self.attribute: under_test, "basetype": under_test, "__module__": __name__}
        return types.new_class(f"{name}_{self.container.__name__}", bases, exec_body=lambda space: space.update(body))


def _flat(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    if not isinstance(suite, unittest.TestSuite):
        return [suite]
    return [test for inner in suite for test in _flat(inner)]


def _module(name: str, *tests: str) -> Suite:
    return Suite(name, tuple(f"test.{test}" for test in tests or (f"test_{name}",)), module=name)


def _container(name: str, container: type, attribute: str, dotted: str) -> Suite:
    return Suite(
        name,
        (dotted.rpartition(".")[0],),
        container=container,
        attribute=attribute,
        mixins=(dotted,),
    )


COLLECTIONS_TESTS = (
    "test_collections",
    "test_deque",
    "test_userdict",
    "test_userlist",
    "test_ordered_dict",
    "test_defaultdict",
)

SUITES: tuple[Suite, ...] = (
    _module("heapq"),
    _module("bisect"),
    _module("re"),
    _module("json"),
    _module("fractions"),
    _module("statistics"),
    _module("datetime"),
    _module("collections", *COLLECTIONS_TESTS),
    _module("string"),
    _module("textwrap"),
    _module("struct"),
    _module("zlib"),
    _module("base64"),
    _module("copy"),
    _module("difflib"),
    _module("csv"),
    _module("configparser"),
    _module("operator"),
    _module("itertools"),
    _module("functools"),
    _module("math"),
    _module("contextlib"),
    _module("html.parser", "test_htmlparser"),
    _module("optparse"),
    _module("xml.etree", "test_xml_etree"),
    _module("sqlite3"),
    _container("list_tests", list, "type2test", "test.list_tests.CommonTest"),
    _container("mapping_tests", dict, "type2test", "test.mapping_tests.TestHashMappingProtocol"),
    _container("test_set[set]", set, "thetype", "test.test_set.TestJointOps"),
    _container("test_set[frozenset]", frozenset, "thetype", "test.test_set.TestJointOps"),
)


def named(names: Sequence[str]) -> list[Suite]:
    """The suites of these names, in the table's order; an unknown name is an error.

    A name such as `random:test_random` is a suite of its own: that module, measured by those tests (more after further colons).
    """
    further = [dataclasses.replace(_module(*name.split(":")), name=name) for name in names if ":" in name]
    names = [name for name in names if ":" not in name]
    if further and not names:
        return further
    if unknown := set(names) - {suite.name for suite in SUITES}:
        raise SystemExit(
            f"no such suite: {', '.join(sorted(unknown))} (there are: {', '.join(suite.name for suite in SUITES)})"
        )
    return [suite for suite in SUITES if not names or suite.name in names] + further
