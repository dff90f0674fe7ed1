"""What the classes of proxies are made of: special methods, attributes for `super()`, and the base class of all proxies."""

from __future__ import annotations

from saranwrap import _valued
from saranwrap._light import loaded
from saranwrap._native import OPS, BufferBase, IteratorBase, ProxyBase, Session, call, identity
from saranwrap._remote import (
    RemoteType,
    bound,
    build,
    is_derived,
    ours,
    own_attribute,
    raw_dict,
    remote_base,
    session_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

EQ, GETATTR, SPECIAL, SUPER, DIR = (OPS[name] for name in ("eq", "getattr", "special", "super", "dir"))
_OPERATORS = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or".split()
# The methods that the interpreter looks up on the type: a class has exactly those of its remote type.
SPECIAL_NAMES = frozenset(
    [f"__{prefix}{name}__" for name in _OPERATORS for prefix in ("", "r", "i")]
    + [
        f"__{name}__"
        for name in (
            "call len length_hint getitem setitem delitem contains iter next reversed bool hash eq ne lt le gt ge "
            "neg pos abs invert int float complex index round trunc floor ceil repr str format bytes fspath dir sizeof "
            "enter exit await aiter anext aenter aexit get set delete set_name"
        ).split()
    ]
) - {"__idivmod__"}
# What a mirror must not take over: the proxy itself needs these, or the interpreter calls them while building classes.
EXCLUDED_NAMES = frozenset(
    "__class__ __dict__ __weakref__ __slots__ __module__ __qualname__ __doc__ __del__ __getattribute__ __getattr__ "
    "__setattr__ __delattr__ __init_subclass__ __subclasshook__ __reduce_ex__ __copy__ __deepcopy__ __abstractmethods__ "
    "_abc_impl __classcell__ __firstlineno__ __static_attributes__ __mro_entries__ __dir__ __buffer__ "
    "__release_buffer__ __sizeof__".split()
)


# The special methods of proxies whose class is not derived here, as the interpreter calls them soonest: by name.
FAST: dict[str, Any] = {
    f"__{name.removeprefix('_saran_')}_": method
    for name, method in vars(ProxyBase).items()
    if name.startswith("_saran_")
}


def special_method(name: str, number: int) -> Callable[..., Any]:
    """The local form of a special method of the remote class `number`."""

    def of_call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        session, target, derived = locate(self)
        if derived:
            return session.request(SUPER, target, (session.mirror(number), name, args, tuple(kwargs.items())))
        return call(self, args, kwargs)

    def of_hash(self: Any, /) -> Any:
        result = _ask(self, name, number, ())
        return result if isinstance(result, int) else hash(result)

    def method(self: Any, /, *args: Any) -> Any:
        return _ask(self, name, number, args)

    made: Callable[..., Any] = {"__call__": of_call, "__hash__": of_hash}.get(name, method)
    made.__name__ = made.__qualname__ = name
    return made


def _ask(self: Any, name: str, number: int, args: tuple[Any, ...]) -> Any:
    session, target, derived = locate(self)
    if derived:
        # Reached through `super()`, or not overridden here: what the remote class itself does, not our override of it.
        return session.request(SUPER, target, (session.mirror(number), name, args, ()))
    return session.request(SPECIAL, target, (name, args))


def of_derived(self: Any, name: str, args: tuple[Any, ...]) -> Any:
    """A special method that the base of all proxies has, on an instance of a class derived here."""
    session, target, _ = identity(self)
    return session.request(SUPER, target, (remote_base(type(self)), name, args, ()))


def tell_apart(bases: Iterable[type]) -> None:
    """From now on the methods of these mirrors can tell an instance from one of a class derived from them here.

    Those of the latter ask for what the mirror itself has, and not for what overrides it: so they must know their class.
    """
    for mirror in (base for direct in bases for base in own_attribute(direct, "__mro__")):
        if isinstance(mirror, RemoteType) and id(mirror) not in ours:
            number = own_attribute(mirror, "_saran_number_")
            for name, value in list(raw_dict(mirror).items()):
                if value is FAST.get(name, mirror):
                    type.__setattr__(mirror, name, special_method(name, number))


def locate(self: Any) -> tuple[Session, int, bool]:
    if not issubclass(type(self), ProxyBase):
        handle = _valued.handle_of(self)
        if handle is None:
            raise TypeError(f"this {type(self).__name__!r} was made here and has no remote part yet")
        session, target, _ = identity(handle)
        return session, target, is_derived(type(self))
    return identity(self)


class RemoteDoc:
    """`__doc__`, for those who ask past the proxy: pydoc looks with `object.__getattribute__`."""

    __slots__ = ()

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            session = session_of(owner)
            number = own_attribute(owner, "_saran_number_")
            return None if session is None else session.request(GETATTR, number, ("__doc__",))
        session, target, _ = locate(obj)
        return session.request(GETATTR, target, ("__doc__",))


class RemoteAttribute:
    """An attribute of a remote class, as `super()` and explicit lookups through a class find it."""

    __slots__ = ("name", "number")

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            session, target = bound(owner)
        else:
            session, target, _ = locate(obj)
        return session.request(SUPER, target, (session.mirror(self.number), self.name))


def _dir(self: Any) -> Iterable[str]:
    session, target, _ = identity(self)
    names: tuple[str, ...] = session.request(DIR, target, ())
    return names


# Values that are one and the same everywhere, and of which some are the only ones of their type.
_SINGLETONS = (type(None), type(...), type(NotImplemented))


def _eq(self: Any, other: object) -> Any:
    """Identity, which is what `object` goes by; and a wrapped singleton equals itself."""
    if self is other or not issubclass(type(other), (*_SINGLETONS, loaded("enum", "Enum"))):
        return True if self is other else NotImplemented
    session, target, _ = identity(self)
    return session.request(EQ, target, (other,))


def _copied(self: Any, *, deep: bool) -> Any:
    from saranwrap import _copies

    return _copies.copied(self, deep=deep)


def _no_init_subclass(cls: type, /, **kwargs: Any) -> None:
    """The child's twin runs the real one."""


ObjectProxy: Any = build(
    RemoteType,
    "ObjectProxy",
    (ProxyBase,),
    {
        "__module__": "saranwrap",
        "__qualname__": "ObjectProxy",
        "__doc__": "The stand-in for an object in another process.",
        "__repr__": FAST["__repr__"],
        "__str__": FAST["__str__"],
        "__format__": FAST["__format__"],
        "__dir__": _dir,
        "__eq__": _eq,
        "__hash__": object.__hash__,
        "__init_subclass__": classmethod(_no_init_subclass),
        "__copy__": lambda self: _copied(self, deep=False),
        "__deepcopy__": lambda self, _memo: _copied(self, deep=True),
    },
)


def _bytes(self: Any) -> bytes:
    session, target, _ = identity(self)
    return bytes(session.request(SPECIAL, target, ("__buffer__", ())))


BufferProxy: Any = build(
    RemoteType,
    "ObjectProxy",
    (BufferBase, ObjectProxy),
    {"__module__": "saranwrap", "__doc__": "The stand-in for an object that offers a buffer.", "__bytes__": _bytes},
)
IteratorProxy: Any = build(
    RemoteType,
    "ObjectProxy",
    (IteratorBase, ObjectProxy),
    {"__module__": "saranwrap", "__doc__": "The stand-in for an iterator of the language, which is read in batches."},
)
ours.update(map(id, (ProxyBase, ObjectProxy, BufferBase, BufferProxy, IteratorBase, IteratorProxy)))


class _ProxyCheck(type):
    def __instancecheck__(cls, instance: object) -> bool:
        kind = type(instance)
        remote = (
            issubclass(kind, ProxyBase)
            or (issubclass(kind, RemoteType) and session_of(instance) is not None)  # type: ignore[arg-type]
            or (isinstance(kind, RemoteType) and _valued.handle_of(instance) is not None)
        )
        return remote and (cls is Proxy or callable(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, ProxyBase)


class Proxy(metaclass=_ProxyCheck):
    """Every stand-in for something in another process, objects and classes alike. Only for `isinstance`."""


class CallableProxy(metaclass=_ProxyCheck):
    """The proxies that can be called. Only for `isinstance`."""
