"""What a promise does beyond attributes, items and calls, which are recorded in Rust: operators, and what it cannot do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from saranwrap._native import Promise, flush, operate, pipeline, result
from saranwrap.errors import NotTransparent

__all__ = ["Promise", "flush", "pipeline", "result"]

_BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or".split()
# What is recorded as a step that evaluates the whole operator where the object is.
_OPERATORS = (
    *_BINARY,
    *(f"r{name}" for name in _BINARY),
    *(f"i{name}" for name in _BINARY if name != "divmod"),
    *"eq ne lt le gt ge neg pos invert abs round trunc floor ceil".split(),
)
# What the interpreter needs a value for, at once: what it is called in words.
_REFUSED = {
    "bool": "be true or false", "len": "have a length", "iter": "be iterated over", "next": "be iterated over",
    "reversed": "be iterated over", "contains": "be searched", "hash": "be hashed", "str": "be turned into text",
    "format": "be turned into text", "bytes": "be turned into bytes", "int": "be turned into a number",
    "float": "be turned into a number", "complex": "be turned into a number", "index": "be turned into a number",
    "enter": "be used in a with statement", "exit": "be used in a with statement", "await": "be awaited",
    "aiter": "be iterated over", "anext": "be iterated over", "aenter": "be used in a with statement",
    "aexit": "be used in a with statement", "fspath": "be a path", "length_hint": "have a length",
}  # fmt: skip


def _recorded(name: str) -> Callable[..., Any]:
    def method(self: Promise, /, *args: Any) -> Promise:
        return operate(self, name, args)

    return method


def _refused(name: str, words: str) -> Callable[..., Any]:
    def method(_self: Promise, /, *_args: Any) -> Any:
        raise NotTransparent(
            f"a promise cannot {words} before its value is here: saranwrap.result(promise) gives it, "
            f"and promise.{name}(...) records it"
        )

    return method


for _name in _OPERATORS:
    setattr(Promise, f"__{_name}__", _recorded(f"__{_name}__"))
for _name, _words in _REFUSED.items():
    setattr(Promise, f"__{_name}__", _refused(f"__{_name}__", _words))
