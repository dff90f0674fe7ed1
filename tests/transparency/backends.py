"""Who makes the stand-ins: saranwrap, nobody, a plain local wrapper, or rpyc for comparison. Replaces nothing itself."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol


class Backend(Protocol):
    """A world in which the module under test lives."""

    def module(self, name: str) -> Any:
        """A stand-in for the module of this name."""

    def fresh(self, name: str, fresh: Sequence[str], blocked: Sequence[str]) -> Any:
        """A stand-in for what test.support's import_fresh_module gives there."""

    def type(self, real: type) -> Any:
        """A stand-in for a built-in type."""


class Saranwrap:
    """One child behind all the proxies of a suite, so that the module's parts know each other."""

    def __init__(self) -> None:
        import saranwrap

        self._child = saranwrap.Child()
        self._fresh = self._child.wrap_module("test.support.import_helper").import_fresh_module

    def module(self, name: str) -> Any:
        return self._child.wrap_module(name)

    def fresh(self, name: str, fresh: Sequence[str], blocked: Sequence[str]) -> Any:
        return self._fresh(name, fresh=tuple(fresh), blocked=tuple(blocked))

    def type(self, real: type) -> Any:
        return self._child.wrap(real)


class Mirror(types.ModuleType):
    """A module that has only what it finds in another one."""

    def __init__(self, real: types.ModuleType) -> None:
        object.__setattr__(self, "_mirrored", real)

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_mirrored"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_mirrored"), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(object.__getattribute__(self, "_mirrored"), name)

    def __dir__(self) -> list[str]:
        return dir(object.__getattribute__(self, "_mirrored"))


class Identity:
    """Stand-ins in this very process. What fails with it fails by the harness, not by a proxy."""

    def __init__(self) -> None:
        from test.support import import_helper

        self._fresh = import_helper.import_fresh_module

    def module(self, name: str) -> Any:
        return Mirror(importlib.import_module(name))

    def fresh(self, name: str, fresh: Sequence[str], blocked: Sequence[str]) -> Any:
        made = self._fresh(name, fresh=fresh, blocked=blocked)
        return made and Mirror(made)

    def type(self, real: type) -> Any:
        return real


class Rpyc:
    """rpyc's classic mode over a subprocess's pipes: the nearest existing tool, with its own defaults."""

    def __init__(self) -> None:
        import rpyc

        self._link = rpyc.classic.connect_subproc(str(Path(sys.executable).with_name("rpyc_classic.py")))
        self._link._config["sync_request_timeout"] = None
        # It looks classes up in sys.modules, finds its own proxy there, and recurses: show it the modules as they were.
        rpyc.core.netref.sys = types.SimpleNamespace(modules=dict(sys.modules))
        self._fresh = self._link.modules["test.support.import_helper"].import_fresh_module

    def module(self, name: str) -> Any:
        return self._link.modules[name]

    def fresh(self, name: str, fresh: Sequence[str], blocked: Sequence[str]) -> Any:
        return self._fresh(name, fresh=tuple(fresh), blocked=tuple(blocked))

    def type(self, real: type) -> Any:
        return getattr(self._link.builtins, real.__name__)


#: `none` has no backend: the suite runs on the real module.
BACKENDS: dict[str, Any] = {
    "saranwrap": Saranwrap,
    "none": None,
    "identity": Identity,
    "rpyc": Rpyc,
}
