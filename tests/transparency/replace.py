"""Puts stand-ins in the place of a module, for the eyes of CPython's tests only. Knows neither suites nor results."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import FunctionType, MethodType, ModuleType
from typing import Any

from test.support import import_helper

from .backends import Backend


def is_within(name: str, root: str) -> bool:
    """Whether the module `name` is `root` or one of its submodules."""
    return name == root or name.startswith(root + ".")


def is_test(name: str) -> bool:
    """Whether a module is one of CPython's tests, and not the support code that the runner itself stands on."""
    return name.startswith("test.") and not is_within(name, "test.support")


def forget_tests() -> None:
    """Drop the test modules, so that their next import runs them again."""
    for name in [name for name in sys.modules if is_test(name)]:
        del sys.modules[name]


def _with_submodules(root: str) -> dict[str, ModuleType]:
    """The real module and all its submodules: a test may name one that nothing has imported yet."""
    package = importlib.import_module(root)
    for found in pkgutil.iter_modules(getattr(package, "__path__", ())):
        with contextlib.suppress(ImportError):
            if found.name != "__main__":
                importlib.import_module(f"{root}.{found.name}")
    return {name: module for name, module in sys.modules.items() if is_within(name, root) and module is not None}


class Replacement:
    """The module `root` and its submodules, replaced by a backend's stand-ins.

    Everything that was imported before goes on with the real module, since it holds it already. Code of the standard library that
    imports the module inside a function (`warnings` imports `re` so) gets the real one too, by a filter on `__import__`: what is
    measured is a test that uses a proxy, not an interpreter that runs on one.
    """

    def __init__(self, root: str, backend: Backend) -> None:
        self._root = root
        self._backend = backend
        self._real = _with_submodules(root)
        self._import = builtins.__import__
        self._fresh = import_helper.import_fresh_module

    def install(self) -> None:
        """Replace, for the rest of this process."""
        stand_ins = {name: self._backend.module(name) for name in self._real}
        for name, stand_in in stand_ins.items():
            sys.modules[name] = stand_in
            parent, _, leaf = name.rpartition(".")
            if parent and parent not in self._real:
                setattr(sys.modules[parent], leaf, stand_in)
        import_helper.import_fresh_module = self._import_fresh
        builtins.__import__ = _unseen(self._filtered_import)

    def _filtered_import(
        self,
        name: str,
        globals: dict[str, Any] | None = None,
        locals: Any = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        importer = (globals or {}).get("__name__") or "test."
        if level or name not in self._real or is_test(importer) or importer == "__main__":
            return self._import(name, globals, locals, fromlist, level)
        return (
            self._real[name]
            if fromlist
            else self._real.get(name.partition(".")[0]) or sys.modules[name.partition(".")[0]]
        )

    def _import_fresh(self, name: str, fresh: Iterable[str] = (), blocked: Iterable[str] = (), **options: Any) -> Any:
        fresh, blocked = list(fresh), list(blocked)
        if is_within(name, self._root):
            with _attribute(builtins, "__import__", self._import):
                return self._backend.fresh(name, fresh, blocked)
        ours = [each for each in fresh if is_within(each, self._root)]
        if not ours:
            return self._fresh(name, fresh=fresh, blocked=blocked, **options)
        # A fresh copy of a *test* module upon a fresh copy of the module under test: the first is made here, the second there.
        others = [each for each in fresh if each not in ours]
        stand_ins = {each: self._backend.fresh(each, others, blocked) for each in ours}
        with _modules(stand_ins):
            return self._fresh(
                name,
                fresh=others,
                blocked=[each for each in blocked if not is_within(each, self._root)],
                **options,
            )


def _unseen(method: MethodType) -> MethodType:
    """The same method, with its frame taken for one of the import system, which `stacklevel` of a warning does not count."""
    code = method.__code__.replace(co_filename="<frozen importlib._bootstrap>")
    return FunctionType(code, method.__globals__, argdefs=method.__defaults__).__get__(method.__self__)


@contextlib.contextmanager
def _attribute(place: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextlib.contextmanager
def _modules(stand_ins: dict[str, Any]) -> Iterator[None]:
    before = {name: sys.modules[name] for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        sys.modules.update(before)
