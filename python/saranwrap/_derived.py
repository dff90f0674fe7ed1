"""Classes derived here from remote ones. Each has a twin in the child, whose overridden methods call back."""

from __future__ import annotations

import types
import weakref
from abc import ABCMeta

from saranwrap._members import tell_apart
from saranwrap._native import OPS, identity
from saranwrap._remote import RemoteType, local_attribute, local_bases, raw_dict, remote_base, session_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

SUPER, SUBCLASS = OPS["super"], OPS["subclass"]
_DERIVED_SKIPPED = frozenset(
    "__module__ __qualname__ __dict__ __weakref__ __classcell__ __abstractmethods__ _abc_impl __slots__ "
    "__firstlineno__ __static_attributes__".split()
)


def derive(meta: Any, name: str, bases: tuple[type, ...], namespace: dict[str, Any], kwargs: dict[str, Any]) -> Any:
    remote = [base for base in bases if isinstance(base, RemoteType) and session_of(base) is not None]
    if not remote and meta.__name__ == "type" and not any(isinstance(base, RemoteType) for base in bases):
        # `type(remote_class)(name, bases, namespace)` with bases that are all from here makes a class from here.
        return type(name, bases, namespace, **kwargs)
    if not remote:
        raise TypeError(f"cannot derive {name!r}: none of its bases is a class of a living child")
    session = session_of(remote[0])
    assert session is not None
    if any(session_of(base) is not session for base in remote):
        raise TypeError(f"cannot derive {name!r}: its bases live in different children")
    tell_apart(remote)
    local = {**namespace, "__slots__": (), "_saran_derived_": True}
    local.update(_saran_session_=None, _saran_hold_=session, _saran_number_=0, _saran_twin_=None, _saran_named_=None)
    # The child's twin of the class gives them to the remote `__init_subclass__`; here only a local one may want them.
    wanted = any("__init_subclass__" in raw_dict(base) for base in local_bases_of(bases))
    cls = ABCMeta.__new__(meta, name, bases, local, **(kwargs if wanted else {}))
    type.__setattr__(cls, "_saran_session_", weakref.ref(session))
    if issubclass(cls, BaseException):
        # Instances are made here; the child meets the class as one of ours, derived from its own.
        return cls
    overrides = tuple(_overrides(cls, namespace.get("__slots__")))
    extra = (("__module__", "value", cls.__module__), ("__qualname__", "value", cls.__qualname__))
    number = session.request(SUBCLASS, 0, (name, tuple(remote), overrides + extra, tuple(kwargs.items())))
    type.__setattr__(cls, "_saran_number_", number)
    session.register(number, cls, cls, True)
    return cls


def local_bases_of(bases: tuple[type, ...]) -> list[type]:
    """The bases, direct or not, that are defined here."""
    return [base for direct in bases for base in local_bases(direct, direct.__mro__)]


def _overrides(cls: type, slots: Any) -> Iterable[tuple[Any, ...]]:
    """What the local classes of `cls` define: (name, kind, parts ...)."""
    members: dict[str, Any] = {}
    for base in reversed(local_bases(cls, cls.__bases__)):
        members.update(raw_dict(base))
    for name, value in members.items():
        if name in _DERIVED_SKIPPED or name.startswith("_saran_"):
            continue
        if isinstance(value, types.FunctionType):
            yield name, "function", value
        elif isinstance(value, (classmethod, staticmethod)):
            yield name, type(value).__name__, value.__func__
        elif isinstance(value, property):
            yield name, "property", value.fget, value.fset, value.fdel, value.__doc__
        else:
            yield name, "value", value
    if slots is not None:
        yield "__slots__", "value", slots if isinstance(slots, str) else tuple(slots)


def super_set(self: Any, name: str, *value: Any) -> None:
    """`object.__setattr__` (or `__delattr__`, without a value) for an instance of a class derived here."""
    for found in local_attribute(type(self), name):
        if isinstance(found, property):
            found.__set__(self, value[0]) if value else found.__delete__(self)
            return
    session, target, _ = identity(self)
    method = "__setattr__" if value else "__delattr__"
    session.request(SUPER, target, (remote_base(type(self)), method, (name, *value), ()))
