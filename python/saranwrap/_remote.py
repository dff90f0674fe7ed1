"""The metaclass of remote classes: a remote class is a real class here, whose attributes are the remote ones.

So `isinstance`, `except`, `raise`, `type(p)` and subclassing work as they do at home. What a class answers about itself
without asking the other side is listed here; how one is made, in `_mirrors`.
"""

from __future__ import annotations

import types
from abc import ABCMeta

from saranwrap import _values
from saranwrap._light import loaded
from saranwrap._native import OPS, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

GETATTR, SETATTR, DELATTR, SPECIAL, IS, DIR = (
    OPS[name] for name in ("getattr", "setattr", "delattr", "special", "is", "dir")
)
own_attribute = type.__getattribute__
raw_dict = type.__dict__["__dict__"].__get__

# What a class answers about itself here.
_OWN_NAMES = frozenset(
    "__class__ __mro__ __base__ __bases__ __name__ __qualname__ __module__ __flags__ __basicsize__ __itemsize__ "
    "__dictoffset__ __weakrefoffset__ __abstractmethods__ __init_subclass__ "
    "__subclasshook__ __prepare__ __instancecheck__ __subclasscheck__ __subclasses__ __text_signature__ _abc_impl mro "
    "__or__ __ror__".split()
)
# What the copy and pickle modules of a parent ask of a class; in a child they are the remote class's own.
_COPY_NAMES = frozenset({"__copy__", "__deepcopy__", "__reduce_ex__"})
_FUNCTIONS = (types.FunctionType, classmethod, staticmethod, property)
# The classes of this room, which no remote class has among its bases.
ours: set[int] = set()


class RemoteType(ABCMeta):
    """The metaclass of every class that stands for a remote one."""

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **kwargs: Any) -> Any:
        """A class statement with a remote base."""
        from saranwrap import _derived

        return _derived.derive(meta, name, bases, namespace, kwargs)

    def __init__(cls, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(cls, /, *args: Any, **kwargs: Any) -> Any:
        session, number = bound(cls)
        if issubclass(cls, BaseException) and is_derived(cls):
            return type.__call__(cls, *args, **kwargs)
        if not session.is_parent and own_attribute(cls, "__module__") == "builtins":
            # `type(x)(...)` in a child, for a type of the language that the parent has no business to make for it.
            made = _values.built_in(own_attribute(cls, "__qualname__"))
            if made is not None:
                return made(*args, **kwargs)
        return session.call(number, args, kwargs)

    def __getattribute__(cls, name: str) -> Any:
        if name in _OWN_NAMES or name.startswith("_saran_"):
            return own(cls, name)
        session = session_of(cls)
        if session is None or (name in _COPY_NAMES and session.is_parent):
            return own_attribute(cls, name)
        if name == "__dict__" and (is_derived(cls) or own_attribute(cls, "__module__") == "builtins"):
            # Abstract base classes look through it for the names of methods, even while the first mirrors are being built.
            return own_attribute(cls, name)
        if own_attribute(cls, "_saran_derived_"):
            for found in local_attribute(cls, name):
                return found.__get__(None, cls)
        number = own_attribute(cls, "_saran_number_")
        try:
            return session.request(GETATTR, number, (name,))
        except AttributeError:
            if name != "__signature__":
                raise
        # `inspect` would look at our metaclass; what it is after is how the remote class is called.
        return _signature(session, number)

    def mro(cls) -> list[type]:
        """The order of the remote classes, then the local class of the same name: an instance is one of that as well."""
        order = type.mro(cls)
        twin = raw_dict(cls).get("_saran_inherits_")
        if twin is None:
            return order
        theirs = {id(base) for base in twin.__mro__}
        return [base for base in order if id(base) not in theirs] + list(twin.__mro__)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name.startswith("_saran_") or name in {"__abstractmethods__", "_abc_impl"}:
            type.__setattr__(cls, name, value)
            return
        session, number = bound(cls)
        if own_attribute(cls, "_saran_derived_"):
            type.__setattr__(cls, name, value)
            if name == "__bases__":
                from saranwrap import _members

                _members.tell_apart((cls,))
        session.request(SETATTR, number, (name, value))

    def __delattr__(cls, name: str) -> None:
        session, number = bound(cls)
        if own_attribute(cls, "_saran_derived_") and name in raw_dict(cls):
            type.__delattr__(cls, name)
        session.request(DELATTR, number, (name,))

    def __instancecheck__(cls, instance: Any) -> bool:
        return type.__instancecheck__(cls, instance) or _is(cls, "instance", instance, type(instance))

    def __subclasscheck__(cls, subclass: Any) -> bool:
        if type.__subclasscheck__(cls, subclass):
            return True
        return isinstance(subclass, type) and _is(cls, "subclass", subclass, subclass)

    def __eq__(cls, other: object) -> bool:
        return cls is other or _same_class(other, cls)

    def __hash__(cls) -> int:
        twin = own_attribute(cls, "_saran_twin_")
        return hash(twin) if twin is not None else type.__hash__(cls)

    def __repr__(cls) -> str:
        session = session_of(cls)
        return (
            f"saran:{_text(cls, '__repr__')}" if session is not None and session.is_parent else _text(cls, "__repr__")
        )

    def __str__(cls) -> str:
        return _text(cls, "__str__")

    def __format__(cls, spec: str) -> str:
        return format(str(cls), spec)

    def __dir__(cls) -> Iterable[str]:
        session = session_of(cls)
        if session is None:
            return type.__dir__(cls)
        names: tuple[str, ...] = session.request(DIR, own_attribute(cls, "_saran_number_"), ())
        return names


def _text(cls: type, name: str) -> str:
    session = session_of(cls)
    if session is None:
        return type.__repr__(cls)
    text: str = session.request(SPECIAL, own_attribute(cls, "_saran_number_"), (name, ()))
    return text


def _is(mirror: type, kind: str, candidate: Any, cls: type) -> bool:
    """Whether `candidate`, which is or belongs to `cls`, is of the remote class though not of its mirror."""
    session = session_of(mirror)
    if session is None or is_derived(mirror):
        return False
    if any(_same_class(base, mirror) for base in cls.__mro__):
        return True
    number = own_attribute(mirror, "_saran_number_")
    return bool(own_attribute(mirror, "_saran_checks_") and session.request(IS, number, (kind, candidate)))


# What classes with no metaclass of their own say that theirs is called, in texts such as "'type' object is not iterable".
RemoteType.__name__ = "type"


def own(cls: type, name: str) -> Any:
    """What a class answers about itself: as if the classes of this room were not there."""
    value = own_attribute(cls, name)
    if name in {"__mro__", "__bases__"}:
        hidden = ours | _twins(value) if name == "__mro__" else ours
        return tuple(base for base in value if id(base) not in hidden) or (object,)
    if name == "__base__":
        return object if id(value) in ours else value
    return (lambda: list(own(cls, "__mro__"))) if name == "mro" else value


def _twins(order: tuple[type, ...]) -> set[int]:
    """The local classes that mirrors have put into this order of resolution."""
    twins = (raw_dict(base).get("_saran_inherits_") for base in order if isinstance(base, RemoteType))
    return {id(base) for twin in twins if twin is not None for base in twin.__mro__ if base.__module__ != "builtins"}


def _signature(session: Session, number: int) -> Any:
    try:
        return session.request(SPECIAL, number, ("__signature__", ()))
    except (TypeError, ValueError) as error:
        raise AttributeError("__signature__") from error


def build(meta: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
    """A class of this room's own making, past the metaclass's `__new__`."""
    twin = namespace.get("_saran_inherits_")
    if (twin is None or not twin.__dictoffset__) and "_saran_answer_" not in namespace:
        namespace["__slots__"] = ()
    # Else the class gets a `__dict__` of its own, though none is used: it would inherit the offset of the twin's, which in
    # an instance of ours is where the proxy keeps its session.
    for attribute, value in (("session", None), ("number", 0), ("derived", False), ("checks", False), ("twin", None)):
        namespace.setdefault(f"_saran_{attribute}_", value)
    return ABCMeta.__new__(meta, name, bases, namespace)


def session_of(cls: type) -> Session | None:
    """The session a class is bound to; None for the base of all proxies, or when the session is gone."""
    reference = own_attribute(cls, "_saran_session_")
    return reference() if reference is not None else None


def bound(cls: type) -> tuple[Session, int]:
    session = session_of(cls)
    if session is None:
        name = own_attribute(cls, "__name__")
        raise TypeError(f"{name!r} is not bound to a child, so it cannot be used as a class of one")
    return session, own_attribute(cls, "_saran_number_")


def is_derived(cls: type) -> bool:
    return bool(own_attribute(cls, "_saran_derived_"))


def _same_class(local: object, mirror: type) -> bool:
    """Whether a local class is the one that `mirror` stands for: the values that crossed are instances of it."""
    if not isinstance(local, type) or isinstance(local, RemoteType):
        return False
    named = own_attribute(mirror, "_saran_named_") if "_saran_named_" in raw_dict(mirror) else None
    if named is None or (local.__module__, local.__qualname__) != named:
        return False
    return local.__module__ != "builtins" or local in _values.HIDDEN_TYPES or local in _values.VALUE_BASES


def local_attribute(cls: type, name: str) -> Iterable[Any]:
    """The function-like attribute that a class derived here defines itself: at most one."""
    remote = [base for base in own_attribute(cls, "__mro__") if isinstance(base, RemoteType) and not is_derived(base)]
    for base in local_bases(cls, remote):
        space = raw_dict(base)
        if name in space:
            value = space[name]
            if isinstance(value, (*_FUNCTIONS, loaded("functools", "cached_property"))):
                yield value
            return


def local_bases(cls: type, remote: Iterable[type]) -> list[type]:
    """The bases that are defined here. Those of `remote` classes are not, even where a local class stands among them."""
    covered = {id(object)}
    for base in remote:
        if isinstance(base, RemoteType):
            covered.update(map(id, own_attribute(base, "__mro__")))
    return [base for base in own_attribute(cls, "__mro__") if id(base) not in covered]


def local_lookup(self: Any, cls: type, name: str) -> tuple[Any, ...]:
    """(value,) if the class of `self`, derived here, defines the attribute itself; else ()."""
    for found in local_attribute(cls, name):
        return (found.__get__(self, cls),)
    return ()


def remote_base(cls: type) -> type:
    return next(base for base in own_attribute(cls, "__mro__") if isinstance(base, RemoteType) and not is_derived(base))
