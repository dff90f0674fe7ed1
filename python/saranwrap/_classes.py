"""Remote classes as local classes: one class per remote type, with exactly the special methods that type has.

A remote class is a real class here, so that `isinstance`, `except`, `raise`, `type(p)` and subclassing work as they do at
home. Its metaclass sends every attribute access on. Classes derived from it here have a twin in the child, whose overridden
methods call back.
"""

from __future__ import annotations

import collections.abc
import contextlib
import copyreg
import enum
import functools
import numbers
import types
import weakref
from abc import ABCMeta
from collections.abc import Callable, Iterable
from typing import Any

from saranwrap import _exceptions, _valued, _values
from saranwrap._native import OPS, BufferBase, ProxyBase, Session, call, identity, offers_buffer
from saranwrap.errors import NotTransparent

GETATTR, SETATTR, DELATTR = OPS["getattr"], OPS["setattr"], OPS["delattr"]
SPECIAL, SUPER, SUBCLASS, IS = OPS["special"], OPS["super"], OPS["subclass"], OPS["is"]
DIR, REDUCE, COPY = OPS["dir"], OPS["reduce"], OPS["copy"]

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
# What a class answers about itself here.
_OWN_NAMES = frozenset(
    "__class__ __mro__ __base__ __bases__ __name__ __qualname__ __module__ __flags__ __basicsize__ __itemsize__ "
    "__dictoffset__ __weakrefoffset__ __abstractmethods__ __init_subclass__ "
    "__subclasshook__ __prepare__ __instancecheck__ __subclasscheck__ __subclasses__ __text_signature__ _abc_impl mro "
    "__or__ __ror__".split()
)
_DERIVED_SKIPPED = frozenset(
    "__module__ __qualname__ __dict__ __weakref__ __classcell__ __abstractmethods__ _abc_impl __slots__ "
    "__firstlineno__ __static_attributes__".split()
)
_type_getattribute = type.__getattribute__
_raw_dict = type.__dict__["__dict__"].__get__
_FUNCTIONS = (types.FunctionType, classmethod, staticmethod, property, functools.cached_property)


# --- the metaclass ----------------------------------------------------------------------------------------------------


class RemoteType(ABCMeta):
    """The metaclass of every class that stands for a remote one."""

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **kwargs: Any) -> Any:
        """A class statement with a remote base."""
        return _derive(meta, name, bases, namespace, kwargs)

    def __init__(cls, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(cls, /, *args: Any, **kwargs: Any) -> Any:
        session, number = _bound(cls)
        if issubclass(cls, BaseException) and _is_derived(cls):
            return type.__call__(cls, *args, **kwargs)
        return session.call(number, args, kwargs)

    def __getattribute__(cls, name: str) -> Any:
        if name in _OWN_NAMES or name.startswith("_saran_"):
            return _own(cls, name)
        session = session_of(cls)
        if session is None or (name in _COPY_NAMES and session.is_parent):
            return _type_getattribute(cls, name)
        if name == "__dict__" and (_is_derived(cls) or _type_getattribute(cls, "__module__") == "builtins"):
            # Abstract base classes look through it for the names of methods, even while the first mirrors are being built.
            return _type_getattribute(cls, name)
        if _type_getattribute(cls, "_saran_derived_"):
            for found in _local_attribute(cls, name):
                return found.__get__(None, cls)
        number = _type_getattribute(cls, "_saran_number_")
        try:
            return session.request(GETATTR, number, (name,))
        except AttributeError:
            if name != "__signature__":
                raise
        # `inspect` would look at our metaclass; what it is after is how the remote class is called.
        return _signature(session, cls)

    def mro(cls) -> list[type]:
        """The order of the remote classes, then the local class of the same name: an instance is one of that as well."""
        order = type.mro(cls)
        twin = _raw_dict(cls).get("_saran_inherits_")
        if twin is None:
            return order
        theirs = {id(base) for base in twin.__mro__}
        return [base for base in order if id(base) not in theirs] + list(twin.__mro__)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name.startswith("_saran_") or name in {"__abstractmethods__", "_abc_impl"}:
            type.__setattr__(cls, name, value)
            return
        session, number = _bound(cls)
        if _type_getattribute(cls, "_saran_derived_"):
            type.__setattr__(cls, name, value)
        session.request(SETATTR, number, (name, value))

    def __delattr__(cls, name: str) -> None:
        session, number = _bound(cls)
        if _type_getattribute(cls, "_saran_derived_") and name in _raw_dict(cls):
            type.__delattr__(cls, name)
        session.request(DELATTR, number, (name,))

    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        session = session_of(cls)
        if session is None or _type_getattribute(cls, "_saran_derived_"):
            return False
        if any(_same_class(base, cls) for base in type(instance).__mro__):
            return True
        return _type_getattribute(cls, "_saran_checks_") and session.request(
            IS, _type_getattribute(cls, "_saran_number_"), ("instance", instance)
        )

    def __subclasscheck__(cls, subclass: Any) -> bool:
        if type.__subclasscheck__(cls, subclass):
            return True
        session = session_of(cls)
        if session is None or _type_getattribute(cls, "_saran_derived_") or not isinstance(subclass, type):
            return False
        if any(_same_class(base, cls) for base in subclass.__mro__):
            return True
        return _type_getattribute(cls, "_saran_checks_") and session.request(
            IS, _type_getattribute(cls, "_saran_number_"), ("subclass", subclass)
        )

    def __eq__(cls, other: object) -> bool:
        return cls is other or _same_class(other, cls)

    def __hash__(cls) -> int:
        twin = _type_getattribute(cls, "_saran_twin_")
        return hash(twin) if twin is not None else type.__hash__(cls)

    def __repr__(cls) -> str:
        session = session_of(cls)
        if session is None:
            return type.__repr__(cls)
        text: str = session.request(SPECIAL, _type_getattribute(cls, "_saran_number_"), ("__repr__", ()))
        return f"saran:{text}" if session.is_parent else text

    def __str__(cls) -> str:
        session = session_of(cls)
        if session is None:
            return type.__repr__(cls)
        text: str = session.request(SPECIAL, _type_getattribute(cls, "_saran_number_"), ("__str__", ()))
        return text

    def __format__(cls, spec: str) -> str:
        return format(str(cls), spec)

    def __dir__(cls) -> Iterable[str]:
        session = session_of(cls)
        if session is None:
            return type.__dir__(cls)
        names: tuple[str, ...] = session.request(DIR, _type_getattribute(cls, "_saran_number_"), ())
        return names


# What the copy and pickle modules of a parent ask of a class; in a child they are the remote class's own.
_COPY_NAMES = frozenset({"__copy__", "__deepcopy__", "__reduce_ex__"})


# The classes of this room, which no remote class has among its bases.
_ours: set[int] = set()


def _own(cls: type, name: str) -> Any:
    """What a class answers about itself: as if the classes of this room were not there."""
    value = _type_getattribute(cls, name)
    if name in {"__mro__", "__bases__"}:
        hidden = _ours | _twins(value) if name == "__mro__" else _ours
        return tuple(base for base in value if id(base) not in hidden) or (object,)
    if name == "__base__":
        return object if id(value) in _ours else value
    return (lambda: list(_own(cls, "__mro__"))) if name == "mro" else value


def _twins(order: tuple[type, ...]) -> set[int]:
    """The local classes that mirrors have put into this order of resolution."""
    twins = (_raw_dict(base).get("_saran_inherits_") for base in order if isinstance(base, RemoteType))
    return {id(base) for twin in twins if twin is not None for base in twin.__mro__ if base.__module__ != "builtins"}


def _signature(session: Session, cls: type) -> Any:
    try:
        return session.request(OPS["import"], 0, ("inspect",)).signature(cls)
    except (TypeError, ValueError) as error:
        raise AttributeError("__signature__") from error


def _build(meta: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
    """A class of this room's own making, past the metaclass's `__new__`."""
    twin = namespace.get("_saran_inherits_")
    if (twin is None or not twin.__dictoffset__) and "_saran_answer_" not in namespace:
        namespace["__slots__"] = ()
    # Else the class gets a `__dict__` of its own, though none is used: it would inherit the offset of the twin's, which in
    # an instance of ours is where the proxy keeps its session.
    for attribute, value in (("session", None), ("number", 0), ("derived", False), ("checks", False), ("twin", None)):
        namespace.setdefault(f"_saran_{attribute}_", value)
    # The making of a class asks the class for things, which must not go to the child: it is bound afterwards.
    session, namespace["_saran_session_"] = namespace["_saran_session_"], None
    cls = ABCMeta.__new__(meta, name, bases, namespace)  # type: ignore[type-var]
    type.__setattr__(cls, "_saran_session_", session)
    return cls


def session_of(cls: type) -> Session | None:
    """The session a class is bound to; None for the base of all proxies, or when the session is gone."""
    reference = _type_getattribute(cls, "_saran_session_")
    return reference() if reference is not None else None


def _bound(cls: type) -> tuple[Session, int]:
    session = session_of(cls)
    if session is None:
        name = _type_getattribute(cls, "__name__")
        raise TypeError(f"{name!r} is not bound to a child, so it cannot be used as a class of one")
    return session, _type_getattribute(cls, "_saran_number_")


def _is_derived(cls: type) -> bool:
    return bool(_type_getattribute(cls, "_saran_derived_"))


def _same_class(local: object, mirror: type) -> bool:
    """Whether a local class is the one that `mirror` stands for: the values that crossed are instances of it."""
    if not isinstance(local, type) or isinstance(local, RemoteType):
        return False
    named = _type_getattribute(mirror, "_saran_named_") if "_saran_named_" in _raw_dict(mirror) else None
    if named is None or (local.__module__, local.__qualname__) != named:
        return False
    return local.__module__ != "builtins" or local in _values.HIDDEN_TYPES


# --- what a remote class looks like ------------------------------------------------------------------------------------


def _kind(cls: type) -> str:
    if issubclass(cls, BaseException):
        return "exception"
    value = f"value {_valued.base_of(cls).__name__}" if _valued.has_value(cls) else ""  # type: ignore[union-attr]
    if isinstance(cls, enum.EnumMeta):
        return f"enum {value}"
    return value or "object"


def describe(session: Session, cls: type) -> tuple[Any, ...]:
    """All that the other side needs to know in order to build a mirror of `cls`."""
    space = _raw_dict(cls)
    kind = _kind(cls)
    ours = {id(object), *_ours}
    if kind == "exception":
        bases: tuple[Any, ...] = tuple(base for base in cls.__bases__ if issubclass(base, BaseException))
    else:
        bases = tuple(session.class_number(base) for base in cls.__bases__ if id(base) not in ours)
    if "value " in kind:
        # One flat class below the built-in: a mixin without it has no local form that could stand beside it.
        built_in = _valued.base_of(cls)
        assert built_in is not None
        below = [base for base in cls.__mro__ if base not in built_in.__mro__]
        space = {name: value for base in reversed(below) for name, value in _raw_dict(base).items()}
    names = tuple(name for name in space if isinstance(name, str) and not name.startswith("_saran_"))
    every = {name for base in cls.__mro__ if id(base) not in ours for name in _raw_dict(base)} & SPECIAL_NAMES
    meta = type(cls)
    meta_names = {name for base in meta.__mro__ if base not in (type, object, ABCMeta, RemoteType) for name in _raw_dict(base)}
    checks = {"__instancecheck__", "__subclasscheck__"}
    return (
        str(cls.__module__),
        str(cls.__qualname__),
        kind,
        bases,
        names,
        tuple(name for name in names if space[name] is None),
        "sequence" if cls.__flags__ & (1 << 5) else "mapping" if cls.__flags__ & (1 << 6) else "",
        tuple(sorted(meta_names & SPECIAL_NAMES)),
        bool(meta_names & checks) or isinstance(cls, ABCMeta),
        tuple(sorted(every)),
        # A C sequence concatenates without a reflected form; from the left it is asked for here.
        type(space.get("__add__")) is types.WrapperDescriptorType and "__radd__" not in every,
        kind == "object" and offers_buffer(cls),
        meta.__name__,
        tuple(place for place, abc in enumerate(_ABCS) if _is_subclass(cls, abc)),
    )


def make(session: Session, number: int, description: tuple[Any, ...]) -> tuple[type, type]:
    """The local class for a remote one, and what `__class__` of its instances answers."""
    module, qualname, kind, bases, names, nones, protocol, meta_names, checks, every, concatenates, buffer, meta_name, abcs = description
    twin = _values.find(module, qualname)
    twin = twin if isinstance(twin, type) and not isinstance(twin, RemoteType) else None
    if twin is not None and (
        (kind == "exception" and issubclass(twin, BaseException)) or (kind.startswith("enum") and isinstance(twin, enum.EnumMeta))
    ):
        return twin, twin
    namespace: dict[str, Any] = {
        "__module__": module,
        "__qualname__": qualname,
        "_saran_session_": weakref.ref(session),
        "_saran_number_": number,
        "_saran_named_": (module, qualname),
        "_saran_checks_": checks,
        # Equal to the local class, but not where code chooses by exact type what only the real one can do: `list.copy(p)`.
        "_saran_twin_": (twin if module != "builtins" else _hidden(module, qualname)),
    }
    meta = _metaclass(meta_name, meta_names)
    name = qualname.rpartition(".")[2]
    if kind == "exception":
        mirror = _make_exception(meta, name, bases, names, namespace, number)
        return mirror, mirror
    if "value " in kind:
        return _make_valued(meta, name, kind.split()[-1], session, bases, names, nones, namespace, twin)
    _add_members(namespace, names, nones, number, concatenates)
    parents = list(dict.fromkeys(_parent(session, base) for base in bases))
    if buffer and not any(issubclass(parent, BufferBase) for parent in parents):
        parents.append(BufferProxy)
    if len(parents) > 1:
        parents = [parent for parent in parents if parent is not ObjectProxy]
    inherited = {**namespace, "_saran_inherits_": twin} if twin is not None and _may_inherit(twin) else namespace
    for space in (inherited, namespace):
        try:
            mirror = _build(meta, name, tuple(parents) or (ObjectProxy,), dict(space))
        except TypeError:
            continue
        break
    else:
        # Bases that are local here leave gaps in the order of resolution; a flat class has the same methods.
        _add_members(namespace, every, (), number, concatenates)
        mirror = _build(meta, name, (BufferProxy if buffer else ObjectProxy,), namespace)
    answer = twin if twin is not None else _hidden(module, qualname) or mirror
    if twin is not None and type.__subclasscheck__(twin, mirror):
        answer = mirror
    if not checks:
        # One with its own idea of `issubclass` would be asked, over the link, about every class that anybody asks about.
        _register(mirror, abcs, protocol)
    return mirror, answer


def _make_valued(
    meta: type, name: str, kind: str, session: Session, bases: Any, names: Any, nones: Any, namespace: Any, twin: Any
) -> tuple[type, type]:
    base = _valued.named_base(kind)
    mirrors = [session.mirror(number) for number in bases]
    parents = tuple(mirror for mirror in mirrors if issubclass(mirror, base) and isinstance(mirror, RemoteType)) or (base,)
    number = namespace["_saran_number_"]
    members = _valued.members(number, names, nones, RemoteAttribute, _special_method, SPECIAL_NAMES - {"__repr__", "__dir__"})
    if base is not str:
        members.setdefault("__str__", _valued.remote_str)
    namespace = {**members, **namespace, "_saran_answer_": None}
    for inherits in (twin, None):
        try:
            mirror = _build(meta, name, parents, {**namespace, "_saran_inherits_": inherits})
        except TypeError:
            if inherits is None:
                raise
            continue
        break
    if twin is not None and not type.__subclasscheck__(twin, mirror):
        type.__setattr__(mirror, "_saran_answer_", twin)
    return mirror, mirror


def _may_inherit(twin: type) -> bool:
    """Whether the local class may stand in the order of resolution: only if nothing of it would take part in the proxy's work."""
    active = {"__getattribute__", "__getattr__", "__setattr__", "__delattr__", "__del__"}
    return not any(active & _raw_dict(base).keys() for base in twin.__mro__ if base is not object)


def _hidden(module: str, qualname: str) -> type | None:
    """The interpreter's own types that have no name in `builtins`, such as `function`."""
    if module != "builtins":
        return None
    return next((cls for cls in _values.HIDDEN_TYPES if cls.__qualname__ == qualname), None)


def _parent(session: Session, number: int) -> type:
    parent: type = session.mirror(number)
    return parent if issubclass(parent, ProxyBase) else ObjectProxy


def _add_members(
    namespace: dict[str, Any], names: Iterable[str], nones: tuple[str, ...], number: int, concatenates: bool
) -> None:
    for name in names:
        if name in nones:
            namespace[name] = None
        elif name in SPECIAL_NAMES:
            namespace.setdefault(name, _special_method(name, number))
        elif name not in EXCLUDED_NAMES:
            namespace.setdefault(name, RemoteAttribute(name, number))
    if concatenates:
        namespace.setdefault("__radd__", _special_method("__radd__", number))
    if "__eq__" in namespace and "__hash__" not in namespace:
        # A class statement with `__eq__` alone would make the class unhashable; the remote one inherits its hash.
        namespace["__hash__"] = _special_method("__hash__", number)
    for name in ("__repr__", "__str__", "__format__", "__dir__"):
        namespace.pop(name, None)


# The abstract base classes of which a class says that it is one of them: by their place in this list.
_ABCS = [
    *(getattr(collections.abc, name) for name in sorted(collections.abc.__all__) if name not in {"ByteString", "Buffer"}),
    *(getattr(numbers, name) for name in sorted(numbers.__all__)),
]


def _is_subclass(cls: type, abc: type) -> bool:
    try:
        return issubclass(cls, abc)
    except Exception:  # noqa: BLE001  a metaclass may have its own idea of the question
        return False


def _register(mirror: type, abcs: tuple[int, ...], protocol: str) -> None:
    """Tell the abstract base classes what this class is: the remote one may have been registered with them."""
    if protocol and not _type_getattribute(mirror, "__flags__") & (3 << 5):
        # This sets the type's flag for `match`: a sequence or mapping pattern looks at nothing else.
        with contextlib.suppress(RuntimeError):
            (collections.abc.Sequence if protocol == "sequence" else collections.abc.Mapping).register(mirror)
    for place in abcs:
        if 0 <= place < len(_ABCS) and not issubclass(mirror, _ABCS[place]):
            with contextlib.suppress(RuntimeError):
                _ABCS[place].register(mirror)


@functools.cache
def _metaclass(meta: str, names: tuple[str, ...]) -> type[RemoteType]:
    """RemoteType with the name and the special methods of a remote metaclass: `len(Color)`, `for member in Color`."""
    wanted = [name for name in names if name not in {"__call__", "__repr__", "__str__", "__format__", "__dir__", "__hash__", "__eq__", "__or__", "__ror__"}]

    def method(name: str) -> Callable[..., Any]:
        def on_class(cls: type, *args: Any) -> Any:
            session, number = _bound(cls)
            return session.request(SPECIAL, number, (name, args))

        return on_class

    made: type[RemoteType] = type(meta, (RemoteType,), {name: method(name) for name in wanted})
    copyreg.pickle(made, _reduce_class)
    return made


# --- instances --------------------------------------------------------------------------------------------------------


def _special_method(name: str, number: int) -> Callable[..., Any]:
    """The local form of a special method of the remote class `number`."""
    if name == "__call__":

        def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            session, target, derived = _target(self)
            if derived:
                return session.request(SUPER, target, (session.mirror(number), name, args, tuple(kwargs.items())))
            return call(self, args, kwargs)

    elif name == "__hash__":

        def method(self: Any, /) -> Any:
            result = _ask(self, name, number, ())
            return result if isinstance(result, int) else hash(result)

    else:

        def method(self: Any, /, *args: Any) -> Any:
            return _ask(self, name, number, args)

    method.__name__ = name
    method.__qualname__ = name
    return method


def _ask(self: Any, name: str, number: int, args: tuple[Any, ...]) -> Any:
    session, target, derived = _target(self)
    if derived:
        # Reached through `super()`, or not overridden here: what the remote class itself does, not our override of it.
        return session.request(SUPER, target, (session.mirror(number), name, args, ()))
    return session.request(SPECIAL, target, (name, args))


def _target(self: Any) -> tuple[Session, int, bool]:
    if not issubclass(type(self), ProxyBase):
        handle = _valued.handle_of(self)
        if handle is None:
            raise TypeError(f"this {type(self).__name__!r} was made here and has no remote part yet")
        session, target, _ = identity(handle)
        return session, target, _is_derived(type(self))
    return identity(self)


class RemoteAttribute:
    """An attribute of a remote class, as `super()` and explicit lookups through a class find it."""

    __slots__ = ("name", "number")

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            session, target = _bound(owner)
        else:
            session, target, _ = _target(obj)
        return session.request(SUPER, target, (session.mirror(self.number), self.name))


def _object_special(name: str) -> Callable[..., Any]:
    def method(self: Any, /, *args: Any) -> Any:
        session, target, derived = identity(self)
        if derived:
            return session.request(SUPER, target, (_remote_base(type(self)), name, args, ()))
        return session.request(SPECIAL, target, (name, args))

    return method


_str = _object_special("__str__")
_repr = _object_special("__repr__")


def _prefixed_repr(self: Any) -> str:
    text: str = _repr(self)
    return f"saran:{text}" if identity(self)[0].is_parent else text


def _dir(self: Any) -> Iterable[str]:
    session, target, _ = identity(self)
    names: tuple[str, ...] = session.request(DIR, target, ())
    return names


def _no_init_subclass(cls: type, **kwargs: Any) -> None:
    """The child's twin runs the real one."""


ObjectProxy: Any = _build(
    RemoteType,
    "ObjectProxy",
    (ProxyBase,),
    {
        "__module__": "saranwrap",
        "__qualname__": "ObjectProxy",
        "__doc__": "The stand-in for an object in another process.",
        "__repr__": _prefixed_repr,
        "__str__": _str,
        "__format__": _object_special("__format__"),
        "__dir__": _dir,
        "__init_subclass__": classmethod(_no_init_subclass),
        "__copy__": lambda self: copied(self, deep=False),
        "__deepcopy__": lambda self, memo: copied(self, deep=True),
    },
)


def _bytes(self: Any) -> bytes:
    session, target, _ = identity(self)
    data: bytes = session.request(SPECIAL, target, ("__buffer__", ()))[0]
    return data


BufferProxy: Any = _build(
    RemoteType,
    "ObjectProxy",
    (BufferBase, ObjectProxy),
    {"__module__": "saranwrap", "__doc__": "The stand-in for an object that offers a buffer.", "__bytes__": _bytes},
)
_ours.update(map(id, (ProxyBase, ObjectProxy, BufferBase, BufferProxy)))


def buffer_copy(self: Any) -> memoryview:
    """A read-only copy of a remote buffer, in its own format and shape."""
    session, target, _ = identity(self)
    data, layout, shape = session.request(SPECIAL, target, ("__buffer__", ()))
    view = memoryview(data)
    return view if layout == "B" and len(shape) == 1 else view.cast(layout, shape)


# --- exceptions -------------------------------------------------------------------------------------------------------


def _make_exception(
    meta: type, name: str, bases: tuple[Any, ...], names: tuple[str, ...], namespace: dict[str, Any], number: int
) -> Any:
    """A real exception class. Its instances are local objects that know the remote exception they stand for."""
    parents = tuple(base for base in bases if isinstance(base, type) and issubclass(base, BaseException))
    for member in names:
        if member in SPECIAL_NAMES and member not in {"__hash__", "__eq__"}:
            namespace[member] = _special_method(member, number)
        elif member == "__init__":
            namespace[member] = _exception_init(number)
        elif member not in EXCLUDED_NAMES and member not in {"__new__", "args", "__reduce__", "__setstate__", "__traceback__"}:
            namespace[member] = RemoteAttribute(member, number)
    return _build(meta, name, parents or (Exception,), namespace)


def _exception_init(number: int) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        """Let the remote class make one, and take over what it carries."""
        session = session_of(type(self))
        if session is None:
            return
        made = session.call(number, args, kwargs)
        self.args = made.args
        self.__dict__.update(made.__dict__)
        if _is_derived(type(self)):
            # It stands for itself: the child knows it by our class, not by the base's instance.
            self.__dict__.pop(_exceptions.HOME, None)

    return __init__


# --- classes derived here ----------------------------------------------------------------------------------------------


def _derive(meta: Any, name: str, bases: tuple[type, ...], namespace: dict[str, Any], kwargs: dict[str, Any]) -> Any:
    remote = [base for base in bases if isinstance(base, RemoteType) and session_of(base) is not None]
    if not remote:
        raise TypeError(f"cannot derive {name!r}: none of its bases is a class of a living child")
    session = session_of(remote[0])
    assert session is not None
    if any(session_of(base) is not session for base in remote):
        raise TypeError(f"cannot derive {name!r}: its bases live in different children")
    local = {**namespace, "__slots__": (), "_saran_derived_": True}
    local.update(_saran_session_=None, _saran_hold_=session, _saran_number_=0, _saran_twin_=None, _saran_named_=None)
    cls = ABCMeta.__new__(meta, name, bases, local, **kwargs)
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


def _overrides(cls: type, slots: Any) -> Iterable[tuple[Any, ...]]:
    """What the local classes of `cls` define: (name, kind, parts ...)."""
    members: dict[str, Any] = {}
    for base in reversed(_local_bases(cls, cls.__bases__)):
        members.update(_raw_dict(base))
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


def _local_attribute(cls: type, name: str) -> Iterable[Any]:
    """The function-like attribute that a class derived here defines itself: at most one."""
    remote = [base for base in _type_getattribute(cls, "__mro__") if isinstance(base, RemoteType) and not _is_derived(base)]
    for base in _local_bases(cls, remote):
        space = _raw_dict(base)
        if name in space:
            value = space[name]
            if isinstance(value, _FUNCTIONS):
                yield value
            return


def _local_bases(cls: type, remote: Iterable[type]) -> list[type]:
    """The bases that are defined here. Those of `remote` classes are not, even where a local class stands among them."""
    covered = {id(object)}
    for base in remote:
        if isinstance(base, RemoteType):
            covered.update(map(id, _type_getattribute(base, "__mro__")))
    return [base for base in _type_getattribute(cls, "__mro__") if id(base) not in covered]


def local_lookup(self: Any, cls: type, name: str) -> tuple[Any, ...]:
    """(value,) if the class of `self`, derived here, defines the attribute itself; else ()."""
    for found in _local_attribute(cls, name):
        return (found.__get__(self, cls),)
    return ()


def super_set(self: Any, name: str, *value: Any) -> None:
    """`object.__setattr__` (or `__delattr__`, without a value) for an instance of a class derived here."""
    for found in _local_attribute(type(self), name):
        if isinstance(found, property):
            found.__set__(self, value[0]) if value else found.__delete__(self)
            return
    session, target, _ = identity(self)
    method = "__setattr__" if value else "__delattr__"
    session.request(SUPER, target, (_remote_base(type(self)), method, (name, *value), ()))


def _remote_base(cls: type) -> type:
    return next(base for base in _type_getattribute(cls, "__mro__") if isinstance(base, RemoteType) and not _is_derived(base))


# --- copies and pickles ------------------------------------------------------------------------------------------------


def reduce(proxy: Any, name: str) -> Callable[..., Any]:
    """The attributes of a proxy that the copy and pickle modules ask for."""
    if name == "__copy__":
        return lambda: copied(proxy, deep=False)
    if name == "__deepcopy__":
        return lambda memo=None: copied(proxy, deep=True)
    return functools.partial(_reduce, proxy)


def copied(proxy: Any, *, deep: bool) -> Any:
    """Plain data by value; other objects by value from a child that is trusted, else a copy made in the child."""
    session, target, _ = _target(proxy)
    if not deep and _plain(proxy):
        return session.request(COPY, target, (session.trust, False))
    if _plain(proxy) or session.trust:
        try:
            return session.request(COPY, target, (session.trust, True))
        except NotTransparent:
            pass  # plain outside, but not all the way down: the copy is made in the child
    module = _child_copy(session)
    return module.deepcopy(proxy) if deep else module.copy(proxy)


def _plain(proxy: Any) -> bool:
    return type(proxy).__module__ == "builtins" and type(proxy).__name__ in {"list", "dict", "set", "bytearray"}


def _child_copy(session: Session) -> Any:
    return session.request(OPS["import"], 0, ("copy",))


def _reduce(proxy: Any, protocol: Any = 2) -> Any:
    """Pickling, here: by the parts that the object itself names, so that it is unpickled in the child, and never here."""
    session, target, _ = _target(proxy)
    if _values.current() is session:
        return came_home, (target,)
    if _plain(proxy):
        return _reduce_plain(copied(proxy, deep=False))
    kind, function, args, *more = session.request(REDUCE, target, (int(protocol),))
    if kind == "name":
        return named_there, (_token(session), function, args)
    if kind == "call":
        return (function, args, *more)
    return (_REBUILD[kind], (function, *args), *more)


def _reduce_plain(value: Any) -> tuple[Any, ...]:
    """A built-in container; its items come as items do, so a cycle of proxies ends."""
    if isinstance(value, list):
        return list, (), None, iter(value)
    if isinstance(value, dict):
        return dict, (), None, None, iter(value.items())
    return type(value), (bytes(value) if isinstance(value, bytearray) else list(value),)


def new(cls: type, *args: Any) -> Any:
    """`copyreg.__newobj__`, for a remote class."""
    return cls.__new__(cls, *args)


def new_ex(cls: type, args: Any, kwargs: Any) -> Any:
    """`copyreg.__newobj_ex__`, for a remote class."""
    return cls.__new__(cls, *args, **kwargs)


def rebuild(cls: type, base: type, state: Any) -> Any:
    """`copyreg._reconstructor`, for a remote class."""
    obj = base.__new__(cls) if base is object else base.__new__(cls, state)
    if base.__init__ is not object.__init__:
        base.__init__(obj, state)
    return obj


_REBUILD = {"new": new, "new_ex": new_ex, "rebuild": rebuild}
_sessions: weakref.WeakValueDictionary[int, Session] = weakref.WeakValueDictionary()


def _token(session: Session) -> int:
    _sessions[id(session)] = session
    return id(session)


def _by_token(token: int) -> Session:
    session = _sessions.get(token)
    if session is None:
        raise NotTransparent(
            "cannot unpickle a proxy here: the child that holds its object is not reachable; pickle saranwrap.local(p) instead"
        )
    return session


def named_there(token: int, module: str, qualname: str) -> Any:
    """What the child has under this name."""
    found = _by_token(token).request(OPS["import"], 0, (module,))
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def came_home(target: int) -> Any:
    """In the child: the object itself, where a pickle from the parent holds its proxy."""
    session = _values.current()
    if session is None:
        raise NotTransparent("cannot unpickle here what was pickled on its way to a child")
    return session.exported(target)


def _reduce_class(cls: type) -> Any:
    session, number = _bound(cls)
    if _values.current() is session:
        return came_home, (number,)
    return _class_of, (_token(session), number)


def _class_of(token: int, number: int) -> type:
    cls: type = _by_token(token).mirror(number)
    return cls


# --- what users may ask `isinstance` about ------------------------------------------------------------------------------


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


