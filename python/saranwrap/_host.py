"""What the side that holds the objects does beyond the plain operations of the language."""

from __future__ import annotations

import _operator
import copyreg
import os
import sys
import types
import weakref

from saranwrap import _valued

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Texts hash differently in each process, so what hashes as one of these is hashed by whoever asks.
_VALUE_HASHES = (tuple.__hash__, str.__hash__, bytes.__hash__, frozenset.__hash__)

# Operators with all that the language does for them: the other operand is asked, too.
_OPERATORS: dict[str, Callable[..., Any]] = {
    # Where the name is a word of the language, the function has a line behind it.
    f"__{name}__": getattr(_operator, name, None) or getattr(_operator, f"{name}_")
    for name in (
        "add sub mul matmul truediv floordiv mod lshift rshift and or xor iadd isub imul imatmul itruediv ifloordiv imod "
        "ilshift irshift iand ior ixor ipow eq ne lt le gt ge neg pos invert abs"
    ).split()
} | {
    "__pow__": pow,
    "__divmod__": divmod,
    "__round__": round,
    "__trunc__": lambda obj: _math().trunc(obj),
    "__floor__": lambda obj: _math().floor(obj),
    "__ceil__": lambda obj: _math().ceil(obj),
}


def _math() -> Any:
    import math

    return math


# Classes that the other side derived.
_twins: weakref.WeakSet[type] = weakref.WeakSet()


def hashed(obj: Any) -> Any:
    """The hash of `obj`, or the value that it hashes as."""
    method: Any = type(obj).__hash__
    return _valued.plain(obj) if method in _VALUE_HASHES else hash(obj)


def operate(obj: Any, name: str, args: tuple[Any, ...]) -> Any:
    """The operator with this special method, between `obj` and its operand: who of the two knows it is found out here."""
    reflected = _OPERATORS.get(f"__{name[3:]}") if name.startswith("__r") else None
    if reflected is not None and name not in _OPERATORS:
        return reflected(*args, obj)
    return _OPERATORS[name](obj, *args)


def super_call(obj: Any, cls: Any, name: str, rest: tuple[Any, ...]) -> Any:
    """Attribute `name` as `cls` has it, bound to `obj`; called if arguments are given. What `super()` finds here."""
    for base in type.__getattribute__(cls, "__mro__"):
        space = type.__dict__["__dict__"].__get__(base)
        if name in space:
            attribute = space[name]
            break
    else:
        raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
    get = getattr(type(attribute), "__get__", None)
    if get is not None:
        bound = isinstance(obj, type) and issubclass(obj, cls)
        attribute = get(attribute, None, obj) if bound else get(attribute, obj, type(obj))
    return attribute(*rest[0], **dict(rest[1])) if rest else attribute


def adopt(recipe: bytes) -> Any:
    """The object that the parent pickled for us to hold."""
    from saranwrap import _pickles

    return _pickles.unpickle(None, recipe)


def is_check(cls: Any, kind: str, candidate: Any) -> bool:
    """`isinstance` or `issubclass`, for a class that has its own idea of it."""
    return isinstance(candidate, cls) if kind == "instance" else issubclass(candidate, cls)


def reduce_parts(obj: Any, protocol: int) -> tuple[Any, ...]:
    """What `obj.__reduce_ex__` says: ("name", module, qualified name), or ("new" or "call", function, arguments, more ...)."""
    if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType)) and "." not in obj.__qualname__:
        return "name", obj.__module__, obj.__qualname__
    reduced = obj.__reduce_ex__(protocol)
    if isinstance(reduced, str):
        return "name", getattr(obj, "__module__", None) or _module_of(obj, reduced), reduced
    function, args, *more = reduced
    if function is copyreg.__newobj__:  # type: ignore[attr-defined]  # the stubs leave it out
        return ("new", args[0], tuple(args[1:]), *more)
    if function is copyreg.__newobj_ex__:  # type: ignore[attr-defined]
        return ("new_ex", args[0], tuple(args[1:]), *more)
    if function is copyreg._reconstructor:  # type: ignore[attr-defined]
        return ("rebuild", args[0], tuple(args[1:]), *more)
    return ("call", function, tuple(args), *more)


def _module_of(obj: Any, name: str) -> str:
    """The module that has `obj` under `name`, found as pickle finds it."""
    for module_name, module in list(sys.modules.items()):
        if module_name != "__main__" and getattr(module, name, None) is obj:
            return module_name
    return "__main__"


def status(link: tuple[int, int, int, int, int, float], arena: tuple[int, int, int]) -> tuple[Any, ...]:
    """What this process knows of itself, as pairs."""
    count, next_id, requests, bytes_in, bytes_out, uptime = link
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return (
        ("object_count", count),
        ("next_id", next_id),
        ("pid", os.getpid()),
        ("uptime", uptime),
        ("requests", requests),
        ("bytes_in", bytes_in),
        ("bytes_out", bytes_out),
        ("blocks_out", arena[0]),
        ("block_bytes_out", arena[1]),
        ("blocks_in", arena[2]),
        ("memory", pages * os.sysconf("SC_PAGE_SIZE")),
        ("python", sys.version.split()[0]),
    )


def subclass(session: Any, name: str, bases: tuple[Any, ...], overrides: Any, kwargs: Any) -> int:
    """A class here for one that the other side derived: its overridden methods call back. Returns its number."""
    if not bases:
        raise TypeError(f"cannot derive {name!r}: a class that is derived over a link has a base on this side")

    def body(namespace: Any) -> None:
        for attribute, kind, *parts in overrides:
            namespace[attribute] = _override(attribute, kind, parts)

    cls = types.new_class(name, bases, dict(kwargs), body)
    _twins.add(cls)
    number: int = session.class_number(cls)
    return number


def is_twin(cls: type) -> bool:
    """Whether the other side derived this class: what it overrides is there."""
    return cls in _twins


def _override(name: str, kind: str, parts: list[Any]) -> Any:
    if kind == "function":
        return forward(name, parts[0])
    if kind == "classmethod":
        return classmethod(forward(name, parts[0]))
    if kind == "staticmethod":
        return staticmethod(forward(name, parts[0]))
    if kind == "property":
        get, set_, delete, doc = parts
        get, set_, delete = (forward(name, f) if f is not None else None for f in (get, set_, delete))
        return property(get, set_, delete, doc)
    return parts[0]


def forward(name: str, function: Any) -> Any:
    """A real function, which binds as one, that calls the other side's."""

    def method(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    method.__name__ = method.__qualname__ = name
    return method
