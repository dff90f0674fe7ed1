"""A picture of a value: plain data that is equal for an object and for a true proxy of it. Knows no proxy and no case."""

from __future__ import annotations

import re
from typing import Any

PLAIN = (type(None), bool, int, float, complex, bytes, type(...), type(NotImplemented), slice, range)
#: Classes whose instances are told by their text; they may come as copies, so that their identity means nothing.
BY_TEXT = {
    "int", "float", "complex", "str", "bytes", "Decimal", "Fraction", "UUID", "PurePath",
    "date", "time", "timedelta", "tzinfo", "Enum", "_IPAddressBase",
}  # fmt: skip
SEQUENCES = {"list", "tuple", "deque", "array", "UserList"}
SETS = {"set", "frozenset"}
MAPPINGS = {"dict", "mappingproxy", "UserDict", "ChainMap"}
BUFFERS = {"bytearray", "memoryview"}
FUNCTIONS = {
    "function", "builtin_function_or_method", "method", "method_descriptor", "wrapper_descriptor",
    "method-wrapper", "classmethod_descriptor", "getset_descriptor", "member_descriptor",
}  # fmt: skip
#: Attributes of the exceptions of the language, which are not in their `__dict__`.
TOLD = ("errno", "strerror", "filename", "code", "name", "lineno", "encoding", "start", "end", "reason", "value")


def text(raw: str) -> str:
    """Without what must differ: the prefix of a proxy's repr, and addresses."""
    return re.sub(r"0x[0-9a-f]+", "0x", raw.replace("saran:", ""))


def label(cls: Any) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


class Picture:
    """Draws values; one that was drawn before is drawn as a reference to it, which shows aliases and cycles."""

    def __init__(self) -> None:
        self._seen: list[Any] = []

    def of(self, value: Any) -> Any:
        if type(value) in PLAIN:
            return (label(type(value)), text(repr(value)))
        if type(value) is str:
            return (label(str), text(value))
        if isinstance(value, type):
            return ("class", label(value))
        cls = value.__class__
        bases = {base.__name__ for base in cls.__mro__}
        if bases & BY_TEXT:
            return (label(cls), text(str(value)))
        if bases & {"tuple", "frozenset"} | {cls.__name__} & FUNCTIONS:
            return (label(cls), self._content(value, bases, cls))
        for number, known in enumerate(self._seen):
            if known is value:
                return ("again", number)
        self._seen.append(value)
        return (label(cls), self._content(value, bases, cls))

    def _content(self, value: Any, bases: set[str], cls: Any) -> Any:
        if bases & MAPPINGS:
            return [*((self.of(key), self.of(value[key])) for key in value), *self._attributes(value)]
        if bases & SEQUENCES:
            return [*(self.of(item) for item in value), *self._attributes(value)]
        if bases & SETS:
            return sorted((self.of(item) for item in value), key=repr)
        if bases & BUFFERS:
            return bytes(value)
        if "BaseException" in bases:
            return self._error(value)
        if cls.__name__ in FUNCTIONS:
            return value.__name__
        if cls.__name__ == "module":
            return value.__name__
        if "StringIO" in bases or "BytesIO" in bases:
            return "closed" if value.closed else (value.getvalue(), value.tell())
        return self._attributes(value)

    def _attributes(self, value: Any) -> list[Any]:
        try:
            attributes = value.__dict__
        except AttributeError:
            return []
        return [(name, self.of(attributes[name])) for name in sorted(attributes) if not name.startswith("__")]

    def _error(self, error: Any) -> Any:
        told = [(name, self.of(getattr(error, name))) for name in TOLD if hasattr(error, name)]
        return {
            "text": text(str(error)),
            "args": [self.of(arg) for arg in error.args],
            "attributes": self._attributes(error),
            "told": told,
            "notes": [text(note) for note in getattr(error, "__notes__", [])],
            "members": [self.of(member) for member in getattr(error, "exceptions", ())],
            "cause": self.of(error.__cause__),
            "context": self.of(error.__context__),
            "suppressed": error.__suppress_context__,
        }
