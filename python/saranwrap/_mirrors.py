"""One local class per remote type, with exactly the special methods that type has: how it is described and how it is made."""

from __future__ import annotations

import _collections_abc
import builtins
import copyreg
import numbers
import types
import weakref
from abc import ABCMeta, get_cache_token

from saranwrap import _ahead, _copies, _exceptions, _valued, _values
from saranwrap._members import (
    EXCLUDED_NAMES,
    FAST,
    SPECIAL_NAMES,
    BufferProxy,
    IteratorProxy,
    ObjectProxy,
    RemoteAttribute,
    RemoteDoc,
    special_method,
)
from saranwrap._native import OPS, BufferBase, ProxyBase, Session, offers_buffer
from saranwrap._remote import RemoteType, bound, build, is_derived, ours, own_attribute, raw_dict, session_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

SPECIAL = OPS["special"]


def _kind(cls: type) -> str:
    if issubclass(cls, BaseException):
        return "exception"
    base = _valued.base_of(cls)
    value = f"value {base.__name__}" if base is not None else ""
    if _values.is_enum(cls):
        return f"enum {value}"
    return value or "object"


# The flag of types that cannot be changed: those of the language.
_IMMUTABLE = 1 << 8

# Descriptions made ahead, with what they were made from; the values too, so that no other object takes the address of one.
_described: dict[type, tuple[tuple[Any, ...], tuple[Any, ...], list[object]]] = {}


def foresee(cls: type) -> None:
    """Describe a class that has no bases but `object`, for all who ask later."""
    description = _describe(None, cls)
    _described[cls] = _state(cls), description, list(raw_dict(cls).values())


def _state(cls: type) -> tuple[Any, ...]:
    """What changes when such a class is changed, or any register of abstract base classes."""
    if cls.__flags__ & _IMMUTABLE:
        # Not to be looked through: a forked process would get a copy of each page that has one of its methods.
        return (get_cache_token(),)
    space = raw_dict(cls)
    return get_cache_token(), tuple(space), tuple(map(id, space.values()))


def describe(session: Session, cls: type) -> tuple[Any, ...]:
    """All that the other side needs to know in order to build a mirror of `cls`."""
    return foreseen(cls) or _describe(session, cls)


def foreseen(cls: type) -> tuple[Any, ...] | None:
    """What was described ahead, if that is still true. This runs nobody's code."""
    known = _described.get(cls)
    return known[1] if known is not None and known[0] == _state(cls) else None


def _describe(session: Session | None, cls: type) -> tuple[Any, ...]:
    space = raw_dict(cls)
    kind = _kind(cls)
    skipped = {id(object), *ours}
    if kind == "exception":
        bases: tuple[Any, ...] = tuple(base for base in cls.__bases__ if issubclass(base, BaseException))
    else:
        bases = tuple(session.class_number(base) for base in cls.__bases__ if session and id(base) not in skipped)
    if "value " in kind:
        # One flat class below the built-in: a mixin without it has no local form that could stand beside it.
        built_in = _valued.base_of(cls)
        assert built_in is not None
        below = [base for base in cls.__mro__ if base not in built_in.__mro__]
        space = dict(item for base in reversed(below) for item in raw_dict(base).items())
    names = tuple(name for name in space if isinstance(name, str) and not name.startswith("_saran_"))
    every = {name for base in cls.__mro__ if id(base) not in skipped for name in raw_dict(base)} & SPECIAL_NAMES
    meta: Any = type(cls)
    meta_names = {
        name for base in meta.__mro__ if base not in (type, object, ABCMeta, RemoteType) for name in raw_dict(base)
    }
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
        is_abstractly(cls),
        cls in _ahead.TYPES,
    )


def is_abstractly(cls: type) -> tuple[int, ...]:
    """The places in our list of the abstract base classes that `cls` is derived from or registered with."""
    return tuple(place for place, abc in enumerate(_ABCS) if _is_subclass(cls, abc))


def make(session: Session, number: int, description: tuple[Any, ...]) -> tuple[type, type]:
    """The local class for a remote one, and what `__class__` of its instances answers."""
    mirror, answer = _make(session, number, description)
    if isinstance(mirror, RemoteType):
        supervisor = session.supervisor
        if supervisor is not None:
            known = supervisor.inherit(session, mirror)
            mirror, answer = known, known if answer is mirror else answer
        # Only now: what makes and registers a class asks the class for things, which must not go over the link.
        type.__setattr__(mirror, "_saran_session_", weakref.ref(session))
    return mirror, answer


def _make(session: Session, number: int, description: tuple[Any, ...]) -> tuple[type, type]:
    (
        module,
        qualname,
        kind,
        bases,
        names,
        nones,
        protocol,
        meta_names,
        checks,
        every,
        concatenates,
        buffer,
        meta_name,
        abcs,
        read_ahead,
    ) = description
    twin = _values.find(module, qualname)
    twin = twin if isinstance(twin, type) and not isinstance(twin, RemoteType) else None
    if twin is not None and (
        (kind == "exception" and issubclass(twin, BaseException)) or (kind.startswith("enum") and _values.is_enum(twin))
    ):
        return twin, twin
    namespace: dict[str, Any] = {
        "__module__": module,
        "__qualname__": qualname,
        "__doc__": RemoteDoc(),
        "_saran_number_": number,
        "_saran_named_": (module, qualname),
        "_saran_checks_": checks,
        # Equal to the local class, but not where code chooses by exact type what only the real one can do: `list.copy(p)`.
        "_saran_twin_": (twin if module != "builtins" or twin in _values.VALUE_BASES else _hidden(module, qualname)),
    }
    meta = _metaclass(meta_name, meta_names)
    name = qualname.rpartition(".")[2]
    if kind == "exception":
        mirror = _make_exception(meta, name, bases, names, namespace, number)
        return mirror, mirror
    if "value " in kind:
        return _make_valued(meta, name, kind.split()[-1], session, bases, names, nones, namespace, twin)
    if read_ahead:
        # Those of the base are what reads it in batches.
        names = tuple(name for name in names if name not in {"__iter__", "__next__"})
    _add_members(namespace, names, nones, number, concatenates)
    parents = list(dict.fromkeys(_parent(session, base) for base in bases))
    if buffer and not any(issubclass(parent, BufferBase) for parent in parents):
        parents.append(BufferProxy)
    if read_ahead:
        parents.append(IteratorProxy)
    if len(parents) > 1:
        parents = [parent for parent in parents if parent is not ObjectProxy]
    inherits = twin if twin is not None and _may_inherit(twin) else None
    try:
        mirror = _build_inheriting(meta, name, tuple(parents) or (ObjectProxy,), namespace, inherits)
    except TypeError:
        # Bases that are local here leave gaps in the order of resolution; a flat class has the same methods.
        _add_members(namespace, every, (), number, concatenates)
        mirror = build(meta, name, (BufferProxy if buffer else ObjectProxy,), namespace)
    answer = twin if twin is not None else _hidden(module, qualname) or mirror
    if not checks:
        # One with its own idea of `issubclass` would be asked, over the link, about every class that anybody asks about.
        _register(mirror, abcs, protocol)
    return mirror, answer


def _make_valued(
    meta: type[RemoteType],
    name: str,
    kind: str,
    session: Session,
    bases: Any,
    names: Any,
    nones: Any,
    namespace: Any,
    twin: Any,
) -> tuple[type, type]:
    base = _valued.named_base(kind)
    mirrors = [session.mirror(number) for number in bases]
    parents = tuple(mirror for mirror in mirrors if issubclass(mirror, base) and isinstance(mirror, RemoteType)) or (
        base,
    )
    number = namespace["_saran_number_"]
    members = _valued.members(
        number, names, nones, RemoteAttribute, special_method, SPECIAL_NAMES - {"__repr__", "__dir__"}
    )
    if base is not str:
        members.setdefault("__str__", _valued.remote_str)
    namespace = {**members, **namespace, "_saran_answer_": None}
    mirror = _build_inheriting(meta, name, parents, namespace, twin)
    if twin is not None:
        type.__setattr__(mirror, "_saran_answer_", twin)
    return mirror, mirror


def _build_inheriting(
    meta: type[RemoteType], name: str, parents: tuple[type, ...], namespace: dict[str, Any], twin: type | None
) -> Any:
    """The class, with its local twin in the order of resolution where the layouts allow that."""
    fitting = _fitting(meta, parents)
    if twin is not None:
        try:
            return build(fitting, name, parents, {**namespace, "_saran_inherits_": twin})
        except TypeError:
            pass
    return build(fitting, name, parents, dict(namespace))


def _may_inherit(twin: type) -> bool:
    """Whether the local class may stand in the order of resolution: only if nothing of it would take part in the proxy's work."""
    active = {"__getattribute__", "__getattr__", "__setattr__", "__delattr__", "__del__"}
    return not any(active & raw_dict(base).keys() for base in twin.__mro__ if base is not object)


def _hidden(module: str, qualname: str) -> type | None:
    """The interpreter's own types that have no name in `builtins`, such as `function`."""
    return _values.built_in(qualname) if module == "builtins" and not hasattr(builtins, qualname) else None


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
            namespace.setdefault(name, FAST[name])
        elif name not in EXCLUDED_NAMES:
            namespace.setdefault(name, RemoteAttribute(name, number))
    if concatenates:
        namespace.setdefault("__radd__", FAST["__radd__"])
    if "__eq__" in namespace and "__hash__" not in namespace:
        # A class statement with `__eq__` alone would make the class unhashable; the remote one inherits its hash.
        namespace["__hash__"] = FAST["__hash__"]
    for name in ("__repr__", "__str__", "__format__", "__dir__"):
        namespace.pop(name, None)


# The abstract base classes of which a class says that it is one of them: by their place in this list.
_ABCS = [
    *(
        getattr(_collections_abc, name)
        for name in sorted(_collections_abc.__all__)
        if name not in {"ByteString", "Buffer"}
    ),
    *(getattr(numbers, name) for name in sorted(numbers.__all__)),
]


def _is_subclass(cls: type, abc: type) -> bool:
    try:
        return issubclass(cls, abc)
    except Exception:  # noqa: BLE001  a metaclass may have its own idea of the question
        return False


def _register(mirror: type, abcs: tuple[int, ...], protocol: str) -> None:
    """Tell the abstract base classes what this class is: the remote one may have been registered with them."""
    if protocol and not own_attribute(mirror, "__flags__") & (3 << 5):
        # This sets the type's flag for `match`: a sequence or mapping pattern looks at nothing else.
        _register_with(_collections_abc.Sequence if protocol == "sequence" else _collections_abc.Mapping, mirror)
    for place in abcs:
        if 0 <= place < len(_ABCS) and not _is_by_its_methods(mirror, _ABCS[place]):
            _register_with(_ABCS[place], mirror)


def _register_with(abc: Any, mirror: type) -> None:
    try:  # noqa: SIM105  a child need not load contextlib for this
        abc.register(mirror)
    except RuntimeError:
        pass


def _is_by_its_methods(mirror: type, abc: Any) -> bool:
    """Whether `abc` looks for methods, and `mirror` has them.

    `issubclass` would remember the answer with `abc`, among those for mirrors of other children that are all equal to the same local
    class: each would be compared with all the others.
    """
    return abc.__subclasshook__(mirror) is True


_metaclasses: dict[tuple[str, tuple[str, ...]], type[RemoteType]] = {}


def _metaclass(meta: str, names: tuple[str, ...]) -> type[RemoteType]:
    made = _metaclasses.get((meta, names))
    if made is None:
        made = _metaclasses[meta, names] = _make_metaclass(meta, names)
    return made


def _make_metaclass(meta: str, names: tuple[str, ...]) -> type[RemoteType]:
    """RemoteType with the name and the special methods of a remote metaclass: `len(Color)`, `for member in Color`."""
    wanted = [
        name
        for name in names
        if name
        not in {"__call__", "__repr__", "__str__", "__format__", "__dir__", "__hash__", "__eq__", "__or__", "__ror__"}
    ]

    def method(name: str) -> Callable[..., Any]:
        def on_class(cls: type, *args: Any) -> Any:
            session, number = bound(cls)
            return session.request(SPECIAL, number, (name, args))

        return on_class

    if meta == "type" and not wanted:
        # The root of them all, as `type` is.
        return RemoteType
    return _new_metaclass(meta, (RemoteType,), {name: method(name) for name in wanted})


def _new_metaclass(name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type[RemoteType]:
    made: type[RemoteType] = type(name, bases, namespace)
    # Here and not in the class: copyreg looks for exactly the metaclass before it asks a class for a name.
    copyreg.pickle(made, _copies.reduce_class)
    return made


copyreg.pickle(RemoteType, _copies.reduce_class)


def _fitting(meta: type[RemoteType], parents: Iterable[type]) -> type[RemoteType]:
    """A metaclass that a class with these parents can have: as at home, it is derived from theirs."""
    missing = [type(parent) for parent in parents if not issubclass(meta, type(parent))]
    if not missing:
        return meta
    return _new_metaclass(meta.__name__, tuple(dict.fromkeys((meta, *missing))), {})


def _make_exception(
    meta: type[RemoteType],
    name: str,
    bases: tuple[Any, ...],
    names: tuple[str, ...],
    namespace: dict[str, Any],
    number: int,
) -> Any:
    """A real exception class. Its instances are local objects that know the remote exception they stand for."""
    parents = tuple(base for base in bases if isinstance(base, type) and issubclass(base, BaseException))
    for member in names:
        if member in SPECIAL_NAMES and member not in {"__hash__", "__eq__"}:
            namespace[member] = special_method(member, number)
        elif member == "__init__":
            namespace[member] = _exception_init(number)
        elif member not in EXCLUDED_NAMES and member not in {
            "__new__",
            "args",
            "__reduce__",
            "__setstate__",
            "__traceback__",
        }:
            namespace[member] = RemoteAttribute(member, number)
    namespace["__reduce_ex__"] = _exception_reduce
    return build(_fitting(meta, parents), name, parents or (Exception,), namespace)


def _exception_reduce(self: Any, protocol: Any) -> Any:
    """Pickled by its parts, as proxies are, so that the copy has a remote part as well."""
    if _valued.handle_of(self) is None:
        return BaseException.__reduce_ex__(self, protocol)
    return _copies.reduce(self, "__reduce_ex__")(protocol)


def _exception_init(number: int) -> Callable[..., None]:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        """Let the remote class make one, and take over what it carries."""
        session = session_of(type(self))
        if session is None:
            return
        made = session.call(number, args, kwargs)
        self.args = made.args
        self.__dict__.update(made.__dict__)
        if is_derived(type(self)):
            # It stands for itself: the child knows it by our class, not by the base's instance.
            self.__dict__.pop(_exceptions.HOME, None)

    return init
