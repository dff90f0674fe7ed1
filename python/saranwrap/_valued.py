"""Stand-ins for instances of subclasses of immutable built-ins: a namedtuple, a `class Name(str)`, an `IntEnum`'s kin.

What such an object is as a built-in can never change, so its stand-in is a real instance of a real subclass: C code, which
looks at nothing but that value, takes it as it would take the original. All that the subclass adds stays remote.
"""

from __future__ import annotations

from saranwrap import _exceptions, _values
from saranwrap._native import OPS, ProxyBase, Session, identity
from saranwrap._remote import RemoteType, local_lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HOME = _exceptions.HOME
GETATTR, SETATTR, DELATTR, SPECIAL = OPS["getattr"], OPS["setattr"], OPS["delattr"], OPS["special"]
_own_dict = object.__getattribute__
_PLAIN: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    int: int.__pos__,
    float: float.__pos__,
    complex: complex.__pos__,
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    frozenset: lambda value: frozenset.__or__(value, frozenset()),
}


def base_of(cls: type) -> type | None:
    """The immutable built-in whose value instances of `cls` have; also `datetime.tzinfo`, of which C code demands a real instance."""
    for base in _order(cls):
        if isinstance(base, RemoteType):
            continue  # the stand-in of a built-in class equals it, but is not it
        if base in _PLAIN or (base.__module__ == "datetime" and base.__name__ == "tzinfo" and base is _tzinfo()):
            found: type = base
            return found
    return None


_order = type.__dict__["__mro__"].__get__


def _tzinfo() -> type:
    cls: type = _values.standard("datetime", "tzinfo")
    return cls


def named_base(name: str) -> type:
    """The reverse of `base_of(cls).__name__`."""
    return _tzinfo() if name == "tzinfo" else next(base for base in _PLAIN if base.__name__ == name)


def plain(value: Any) -> Any:
    """The value of such an object, as exactly the built-in."""
    base = base_of(type(value))
    if base not in _PLAIN:
        return None
    result = _PLAIN[base](value)
    if type(result) is base:
        return result
    # `str.__str__` returns the object itself where there is nothing to copy.
    return "".join([result]) if base is str else base.__new__(base, result)


def instance(handle: ProxyBase, cls: type, value: Any) -> Any:
    """The stand-in for the object behind `handle`."""
    base: Any = base_of(cls)
    if not isinstance(cls, RemoteType):
        # A member of an enum that is local here: the bare proxy tells it well enough.
        return handle
    if base is not None and base not in _PLAIN:
        value = ()
    elif base is None or type(value) is not base:
        raise TypeError(f"the other side sent a {type(value).__name__!r} as the value of a {cls.__name__!r}")
    made = base.__new__(cls, value) if base in _PLAIN else base.__new__(cls)
    _own_dict(made, "__dict__")[HOME] = handle
    return made


def handle_of(value: Any) -> ProxyBase | None:
    """The bare proxy inside a stand-in; None in an instance that was made here."""
    try:
        handle: ProxyBase | None = _own_dict(value, "__dict__").get(HOME)
    except AttributeError:
        return None
    return handle if issubclass(type(handle), ProxyBase) else None


def members(
    number: int, names: Any, nones: Any, attribute: Any, special: Any, names_of_specials: Any
) -> dict[str, Any]:
    """What the class of such stand-ins defines: access to all that is remote."""
    namespace: dict[str, Any] = {
        "__getattribute__": _getattribute,
        "__setattr__": _setattr,
        "__delattr__": _delattr,
        "__repr__": _repr,
        "__dir__": _dir,
    }
    for name in names:
        if name in nones:
            namespace[name] = None
        elif name in names_of_specials:
            namespace.setdefault(name, special(name, number))
        elif name == "__new__" or name not in _SKIPPED:
            namespace.setdefault(name, attribute(name, number))
    return namespace


_SKIPPED = frozenset(
    "__class__ __dict__ __weakref__ __slots__ __module__ __qualname__ __doc__ __del__ __getattr__ __init_subclass__ "
    "__subclasshook__ __reduce_ex__ __copy__ __deepcopy__ __abstractmethods__ _abc_impl __set_name__ __getnewargs__ "
    "__static_attributes__ __firstlineno__ __init__".split()
)


def _home(self: Any) -> tuple[Session, int] | None:
    handle = handle_of(self)
    if handle is None:
        return None
    session, target, _ = identity(handle)
    return session, target


def _getattribute(self: Any, name: str) -> Any:
    cls = type(self)
    home = _home(self)
    if home is None or name == HOME:
        return object.__getattribute__(self, name)
    session, target = home
    if name == "__class__":
        return type.__getattribute__(cls, "_saran_answer_") or cls
    if session.is_parent and name in {"__reduce_ex__", "__copy__", "__deepcopy__"}:
        from saranwrap import _copies

        return _copies.reduce(self, name)
    if type.__getattribute__(cls, "_saran_derived_"):
        for found in local_lookup(self, cls, name):
            return found
    return session.request(GETATTR, target, (name,))


def _setattr(self: Any, name: str, value: Any) -> None:
    home = _home(self)
    if home is None:
        object.__setattr__(self, name, value)
    else:
        home[0].request(SETATTR, home[1], (name, value))


def _delattr(self: Any, name: str) -> None:
    home = _home(self)
    if home is None:
        object.__delattr__(self, name)
    else:
        home[0].request(DELATTR, home[1], (name,))


def _repr(self: Any) -> str:
    base: Any = base_of(type(self))
    home = _home(self)
    if home is None:
        return str(base.__repr__(self)) if base is not None else object.__repr__(self)
    text: str = home[0].request(SPECIAL, home[1], ("__repr__", ()))
    return f"saran:{text}" if home[0].is_parent else text


def remote_str(self: Any) -> str:
    """`str` of a stand-in whose built-in has none of its own."""
    home = _home(self)
    if home is None:
        return object.__str__(self)
    text: str = home[0].request(SPECIAL, home[1], ("__str__", ()))
    return text


def _dir(self: Any) -> Any:
    home = _home(self)
    return object.__dir__(self) if home is None else home[0].request(OPS["dir"], home[1], ())
