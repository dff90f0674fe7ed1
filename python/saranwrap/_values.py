"""Which objects are values, and the values that cross with a tag of their own: no pickle, nothing imported on a child's word."""

from __future__ import annotations

import builtins
import importlib
import sys
import types
import weakref

from saranwrap._light import loaded
from saranwrap._native import ProxyBase, Ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from saranwrap._native import Session

    Named = tuple[str, str]

# How an object crosses; the numbers are those of `kinds.rs`.
REFERENCE, KNOWN, NAMED, PICKLE, VALUED, BY_VALUE = 0, 1, 2, 3, 4, 5
# The immutable built-ins that can be subclassed. The order matters to nobody: a class can have only one of them as a base.
VALUE_BASES: tuple[type, ...] = (str, bytes, int, float, complex, tuple, frozenset)

# Where the classes of columnar data say that they live.
_COLUMNAR = ("pyarrow.lib", "polars.dataframe.frame", "polars.series.series", "pandas", "pandas.core.frame")

# What a class without an idea of equality of its own has.
IDENTITY = object.__eq__

# Functions of these modules neither keep state nor look at their process, so both sides may use their own.
PURE_MODULES = frozenset({"_operator", "math", "cmath"})
IMPURE_BUILTINS = frozenset(
    {
        "getattr",
        "setattr",
        "delattr",
        "open",
        "input",
        "print",
        "exec",
        "eval",
        "compile",
        "globals",
        "locals",
        "vars",
        "dir",
        "id",
        "breakpoint",
        "__import__",
    }
)
METHOD_TYPES = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
# Where 3.13 has what other versions have elsewhere.
_HOMES = {"pathlib": "pathlib._local"} if sys.version_info[:2] == (3, 13) else {}
_MOVED = {home: module for module, home in _HOMES.items()}
# Types of the interpreter that are not to be found under their own name in `builtins`.
HIDDEN_TYPES = {
    cls: name for name, cls in vars(types).items() if isinstance(cls, type) and cls.__module__ == "builtins"
}

_ROOTS = {"builtins": builtins, "types": types}

_HIDDEN_BY_NAME = {cls.__qualname__: cls for cls in HIDDEN_TYPES}


# In a child whose interpreter is another than its parent's: the types of the language there.
_types_there: frozenset[Named] | None = None
# In a parent: what a child of another interpreter has not under its name. It goes by reference.
_absent: weakref.WeakKeyDictionary[Session, dict[int, object]] = weakref.WeakKeyDictionary()


def types_here() -> tuple[Named, ...]:
    """The names of the types that this version of the language has."""
    here = [("builtins", name) for name, obj in vars(builtins).items() if isinstance(obj, type)]
    return (*here, *(("types", name) for name in HIDDEN_TYPES.values()))


def hear_of_types(there: tuple[Named, ...]) -> None:
    """In a child: its parent is of another interpreter, and has these."""
    global _types_there  # noqa: PLW0603  there is one parent
    _types_there = frozenset(there)


def has_another_parent() -> bool:
    """Whether this is a child whose interpreter is another than its parent's."""
    return _types_there is not None


def name_of(session: Session, obj: Any) -> Named | None:
    """The (module, qualified name) under which the other side has `obj` too, or None."""
    if session.is_parent and _absent and id(obj) in _absent.get(session, ()):
        return None
    if isinstance(obj, type) and (name := _type_name(obj)) is not None:
        if obj in MAKERS_OF_CODE and not session.is_parent and id(obj) not in session.named:
            # The parent would not take it by its name.
            return None
        return name if _types_there is None or name in _types_there else None
    name = _class_name(session, obj) if isinstance(obj, type) else _function_name(session, obj)
    if name is not None:
        # What went by name may come back by name. The object is kept so that its address stays its own.
        session.named[id(obj)] = obj
    return name


def _type_name(cls: type) -> Named | None:
    """The name of a type of the language."""
    if cls.__module__ == "builtins" and vars(builtins).get(cls.__qualname__) is cls:
        return "builtins", cls.__qualname__
    return ("types", HIDDEN_TYPES[cls]) if cls in HIDDEN_TYPES else None


def _class_name(session: Session, cls: type) -> Named | None:
    module, qualname = cls.__module__, cls.__qualname__
    shared = id(cls) in session.named or (session.is_parent and _has(session, module))
    return (module, qualname) if shared and find(module, qualname) is cls else None


def _function_name(session: Session, obj: Any) -> Named | None:
    if not session.is_parent and id(obj) not in session.named:
        return None
    if isinstance(obj, METHOD_TYPES):
        owner = obj.__objclass__
        return (
            ("builtins", obj.__qualname__)
            if owner.__module__ == "builtins" and find("builtins", obj.__qualname__) is obj
            else None
        )
    module, name = obj.__module__, obj.__name__
    pure = module in PURE_MODULES or (module == "builtins" and name not in IMPURE_BUILTINS)
    return (module, name) if pure and find(module, name) is obj else None


def _has(session: Session, module: object) -> bool:
    """Whether the child has loaded the module. `__main__` is never the same on both sides."""
    return isinstance(module, str) and module not in {"__main__", "__mp_main__"} and session.has_loaded(module)


def find(module: str, qualname: str) -> Any:
    """The object with this name among what is loaded here; None if there is none. Nothing is imported, no user code runs."""
    # The two that every type of the language is in are ours even where a program has put a proxy in their place.
    obj: Any = _ROOTS.get(module) or sys.modules.get(module)
    for part in qualname.split("."):
        if isinstance(obj, type):
            space = type.__dict__["__dict__"].__get__(obj)
        elif _is_module(obj):
            space = vars(obj)
        else:
            return None
        if part not in space:
            return None
        obj = space[part]
    return obj


def _is_module(obj: object) -> bool:
    return issubclass(type(obj), types.ModuleType)


def resolve(session: Session, module: str, qualname: str) -> Any:
    """The class or builtin function that the other side named."""
    obj = find(module, qualname)
    if session.is_parent and not session.trust and id(obj) not in session.named and not _is_harmless(module, obj):
        raise LookupError(f"the child named {module}.{qualname}, which this process did not give to it")
    if obj is None and not session.is_parent:
        try:
            obj = importlib.import_module(module)
            for part in qualname.split("."):
                obj = getattr(obj, part)
        except (ImportError, AttributeError):
            if _types_there is None:
                raise
            # The parent's version of the module has more than this one.
            return session.call(0, ("object", module, qualname), None)
    if not isinstance(obj, (type, types.BuiltinFunctionType, *METHOD_TYPES)):
        raise LookupError(f"the other side named {module}.{qualname}: no class or builtin function here")  # noqa: TRY004  not found
    session.named[id(obj)] = obj
    return obj


def for_one_without(session: Session, module: str, qualname: str) -> object:
    """In a parent: what was named to a child that has nothing of that name. From now on it goes to it by reference."""
    obj = find(module, qualname)
    if id(obj) not in session.named and not _is_harmless(module, obj):
        raise LookupError(f"the child named {module}.{qualname}, which this process did not give to it")
    _absent.setdefault(session, {})[id(obj)] = obj
    return Ref(obj)


def built_in(qualname: str) -> type | None:
    """The type of the language with this name, also where it has none in `builtins`, such as `function`."""
    found = vars(builtins).get(qualname)
    return found if isinstance(found, type) else _HIDDEN_BY_NAME.get(qualname)


def is_enum(cls: type) -> bool:
    """Whether a class is an enumeration."""
    return isinstance(cls, loaded("enum", "EnumMeta"))


def is_known(cls: type) -> bool:
    """Whether instances of exactly this class are standard values."""
    name = _standard_name(cls)
    return name in _ENCODERS and standard(*name) is cls


def _standard_name(cls: type) -> Named:
    return _MOVED.get(cls.__module__, cls.__module__), cls.__qualname__


def standard(module: str, name: str) -> Any:
    """The standard class itself, even where a program has put a proxy of its module into `sys.modules`."""
    if (module, name) not in _standards:
        _standards[module, name] = _standard(_HOMES.get(module, module), name)
    return _standards[module, name]


_standards: dict[Named, Any] = {}


def _standard(home: str, name: str) -> Any:
    found = find(home, name)
    if found is not None:
        return found
    if home not in sys.modules:
        # One of a few that are named here, and the one that others will find when they import it.
        return getattr(importlib.import_module(home), name)
    from importlib import machinery, util

    spec = machinery.PathFinder.find_spec(home)
    assert spec is not None, f"the standard library has no {home}"
    assert spec.loader is not None, f"{home} is no package without code"
    private = util.module_from_spec(spec)
    spec.loader.exec_module(private)
    return getattr(private, name)


MAKERS_OF_CODE = frozenset({types.CodeType, types.FunctionType, types.CellType})


def _is_harmless(module: str, obj: object) -> bool:
    """A type of the language: all that a child may name that was not named to it. Of a function, it could have it run here."""
    return module in _ROOTS and isinstance(obj, type) and obj not in MAKERS_OF_CODE


def route(session: Session, obj: Any) -> int:
    """How `obj`, which is no plain value, crosses to the other side."""
    cls = type(obj)
    if session.by_value and issubclass(cls, session.by_value):
        return BY_VALUE
    if issubclass(cls, loaded("enum", "Enum")) or is_known(cls):
        return KNOWN
    if cls is types.BuiltinFunctionType or cls in METHOD_TYPES:
        return NAMED
    if any(base.__module__ in _COLUMNAR for base in cls.__mro__):
        from saranwrap import _arrow

        if (columnar := _arrow.route(cls)) is not None:
            return columnar
    if issubclass(cls, VALUE_BASES) or any(base.__qualname__ == "tzinfo" for base in cls.__mro__):
        from saranwrap import _valued

        if _valued.base_of(cls) is not None:
            return VALUED
    if not session.is_parent:
        return REFERENCE
    return PICKLE if _is_value(cls) and _has(session, cls.__module__) else REFERENCE


def _is_value(cls: type) -> bool:
    """A class whose instances are equal by what they hold and may be hashed: nobody can tell a copy from the original."""
    return (
        getattr(cls, "__eq__", None) is not object.__eq__
        and getattr(cls, "__hash__", None) not in (None, object.__hash__)
        and not any("__next__" in vars(base) or "__call__" in vars(base) for base in cls.__mro__)
        and find(cls.__module__, cls.__qualname__) is cls
    )


# --- the standard value types -----------------------------------------------------------------------------------------


def encode(obj: Any) -> tuple[Any, ...] | None:
    """(kind, part, ...) of a standard value; the parts are values themselves. None if this one has no such form."""
    cls = type(obj)
    if issubclass(cls, loaded("enum", "Enum")):
        # By itself too: the other side may not have the class.
        return "enum", cls, getattr(obj, "_name_", None), Ref(obj)
    return _ENCODERS[_standard_name(cls)](obj)


def decode(kind: str, *parts: Any) -> Any:
    """The value of these parts."""
    if kind == "enum":
        return _enum(*parts)
    if kind not in _DECODERS:
        raise LookupError(f"the other side sent a value of the unknown kind {kind!r}")
    make = standard(*_DECODERS[kind])
    if kind in {"datetime", "time"}:
        return make(*parts[:-1], fold=parts[-1])
    return make(*parts)


def _enum(cls: Any, name: str | None, member: Any) -> Any:
    """The local member, where the class is local; else the proxy of the remote one."""
    if is_enum(cls) and not issubclass(type(member), cls):
        import enum

        found = cls._member_map_.get(name) if name is not None else None
        if found is not None:
            return found
        if issubclass(cls, enum.Flag):
            return cls(_flag_value(member))
    return member


def _flag_value(member: Any) -> int:
    return member._value_ if not issubclass(type(member), ProxyBase) else int(member.value)


def _datetime(value: Any) -> tuple[Any, ...]:
    return (
        "datetime", value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond,
        value.tzinfo, value.fold,
    )  # fmt: skip


def _time(value: Any) -> tuple[Any, ...]:
    return "time", value.hour, value.minute, value.second, value.microsecond, value.tzinfo, value.fold


def _timezone(value: Any) -> tuple[Any, ...]:
    # `timezone.__getinitargs__` tells a name that was given from one that is made up.
    return ("timezone", *value.__getinitargs__())


def _fraction(value: Any) -> tuple[Any, ...] | None:
    numerator, denominator = value.numerator, value.denominator
    return ("fraction", numerator, denominator) if type(numerator) is type(denominator) is int else None


def _zoneinfo(value: Any) -> tuple[Any, ...] | None:
    return ("zoneinfo", value.key) if value.key is not None else None


_ENCODERS: dict[tuple[str, str], Callable[[Any], tuple[Any, ...] | None]] = {
    ("datetime", "date"): lambda value: ("date", value.year, value.month, value.day),
    ("datetime", "time"): _time,
    ("datetime", "datetime"): _datetime,
    ("datetime", "timedelta"): lambda value: ("timedelta", value.days, value.seconds, value.microseconds),
    ("datetime", "timezone"): _timezone,
    ("zoneinfo", "ZoneInfo"): _zoneinfo,
    ("decimal", "Decimal"): lambda value: ("decimal", str(value)),
    ("fractions", "Fraction"): _fraction,
    ("uuid", "UUID"): lambda value: ("uuid", str(value)),
    ("pathlib", "PosixPath"): lambda value: ("path", str(value)),
    ("pathlib", "PurePosixPath"): lambda value: ("purepath", str(value)),
    ("pathlib", "PureWindowsPath"): lambda value: ("windowspath", str(value)),
    ("ipaddress", "IPv4Address"): lambda value: ("ipv4", int(value)),
    ("ipaddress", "IPv6Address"): lambda value: ("ipv6", str(value)),
    ("ipaddress", "IPv4Network"): lambda value: ("ipv4net", str(value)),
    ("ipaddress", "IPv6Network"): lambda value: ("ipv6net", str(value)),
    ("ipaddress", "IPv4Interface"): lambda value: ("ipv4if", str(value)),
    ("ipaddress", "IPv6Interface"): lambda value: ("ipv6if", str(value)),
}

_DECODERS = {
    "date": ("datetime", "date"),
    "time": ("datetime", "time"),
    "datetime": ("datetime", "datetime"),
    "timedelta": ("datetime", "timedelta"),
    "timezone": ("datetime", "timezone"),
    "zoneinfo": ("zoneinfo", "ZoneInfo"),
    "decimal": ("decimal", "Decimal"),
    "fraction": ("fractions", "Fraction"),
    "uuid": ("uuid", "UUID"),
    "path": ("pathlib", "PosixPath"),
    "purepath": ("pathlib", "PurePosixPath"),
    "windowspath": ("pathlib", "PureWindowsPath"),
    "ipv4": ("ipaddress", "IPv4Address"),
    "ipv6": ("ipaddress", "IPv6Address"),
    "ipv4net": ("ipaddress", "IPv4Network"),
    "ipv6net": ("ipaddress", "IPv6Network"),
    "ipv4if": ("ipaddress", "IPv4Interface"),
    "ipv6if": ("ipaddress", "IPv6Interface"),
}
