"""Exceptions across the link: taken apart on one side, put together on the other, with their traceback."""

from __future__ import annotations

import itertools
import os
import types

from saranwrap._native import ProxyBase, identity
from saranwrap._values import MAKERS_OF_CODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from saranwrap._native import Session

# Where an exception that came over the link keeps the proxy of the remote one.
HOME = "__saran__"
# Marks the globals of frames that were made after the other side's.
MADE = "__saran_made__"
# The file name of the frame that a child serves in.
BOTTOM = "<saranwrap>"
_HERE = os.path.dirname(__file__)
_MEMBERS = (types.MemberDescriptorType, types.GetSetDescriptorType)
# What the other members already tell, or what cannot be set.
_DERIVED_MEMBERS = frozenset({"args", "characters_written", "message", "exceptions"})


def home(session: Session, exc: BaseException) -> ProxyBase | None:
    """The proxy of the remote exception that `exc` stands for, if it came over this session."""
    handle: Any = _space(exc).get(HOME)
    # A copy that was pickled has something else there.
    return handle if issubclass(type(handle), ProxyBase) and identity(handle)[0] is session else None


def parts(session: Session, exc: BaseException) -> Any:
    """What an exception is made of; or the handle of the remote one, if it is going home, and what happened to it here.

    All is read past the exception's own class, whose properties may raise whatever they like.
    """
    space = _space(exc)
    notes = space.get("__notes__")
    notes = tuple(notes) if isinstance(notes, list) else None
    chain = _own(exc, "__cause__"), _own(exc, "__context__"), _own(exc, "__suppress_context__")
    handle = home(session, exc)
    if handle is not None:
        return (handle, *chain, notes, _of_here(_own(exc, "__traceback__")))
    return (type(exc), _args(exc), tuple(_state(exc, space).items()), *chain, notes, _own(exc, "__traceback__"))


def _own(exc: BaseException, name: str) -> Any:
    return BaseException.__dict__[name].__get__(exc)


def _put(exc: BaseException, name: str, value: Any) -> None:
    BaseException.__dict__[name].__set__(exc, value)


def _of_here(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """Without the frames that were made after the other side's: it has those."""
    kept = []
    while traceback is not None:
        if MADE not in traceback.tb_frame.f_globals:
            kept.append(traceback)
        traceback = traceback.tb_next
    last = None
    for part in reversed(kept):
        last = types.TracebackType(last, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return last


def _space(exc: BaseException) -> dict[str, Any]:
    space: dict[str, Any] = BaseException.__dict__["__dict__"].__get__(exc)
    return space


def _args(exc: BaseException) -> tuple[Any, ...]:
    if isinstance(exc, BaseExceptionGroup):
        return BaseExceptionGroup.message.__get__(exc), BaseExceptionGroup.exceptions.__get__(exc)
    return tuple(_own(exc, "args"))


def _state(exc: BaseException, space: dict[str, Any]) -> dict[str, Any]:
    state = {}
    for cls in type.__dict__["__mro__"].__get__(type(exc)):
        if cls is BaseException:
            break
        for name, member in type.__dict__["__dict__"].__get__(cls).items():
            if isinstance(member, _MEMBERS) and not name.startswith("_") and name not in _DERIVED_MEMBERS:
                value = _member(member, exc)
                # A child may not name what makes code, and an error that is about it is to come through.
                if value is not None and not any(value is maker for maker in MAKERS_OF_CODE):
                    state[name] = value
    for name, value in space.items():
        if isinstance(name, str) and name not in {HOME, "__notes__"}:  # type: ignore[redundant-expr]  # a key can be anything
            state[name] = value
    return state


def _member(member: Any, exc: BaseException) -> Any:
    try:
        return member.__get__(exc)
    except AttributeError:
        return None  # a slot that nothing was put into


def build(handle: ProxyBase | None, known: BaseException | None, first: Any, *rest: Any) -> BaseException:
    """The local exception for one of the other side; the very one, if it comes home or has been here in this chain before."""
    if isinstance(first, BaseException):
        return _at_home(first, *rest)
    if known is not None:
        *_, cause, context, suppress, notes, traceback = rest
        return _update(known, cause, context, suppress, notes, traceback)
    return _build(handle, first, *rest)


def _at_home(exc: BaseException, cause: Any, context: Any, suppress: bool, notes: Any, traceback: Any) -> BaseException:
    """What happened to an exception on its way through the other side."""
    if cause is not _own(exc, "__cause__"):
        _put(exc, "__cause__", cause)
    if context is not _own(exc, "__context__"):
        _put(exc, "__context__", context)
    _put(exc, "__suppress_context__", suppress)
    if notes:
        _space(exc)["__notes__"] = list(notes)
    # Below the other side's frames stand those that it had here.
    last = traceback
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is not None:
        last.tb_next = _own(exc, "__traceback__")
        _put(exc, "__traceback__", traceback)
    return exc


def _build(
    handle: ProxyBase | None,
    cls: Any,
    args: tuple[Any, ...],
    state: tuple[tuple[str, Any], ...],
    cause: BaseException | None,
    context: BaseException | None,
    suppress: bool,
    notes: tuple[str, ...] | None,
    traceback: types.TracebackType | None,
) -> BaseException:
    """The local exception for one of the other side."""
    if not (isinstance(cls, type) and issubclass(cls, BaseException)):
        raise TypeError("the other side raised something that is no exception")
    exc = _new(cls, args)
    space = _space(exc)
    for name, value in state:
        if isinstance(name, str) and not name.startswith("__"):  # type: ignore[redundant-expr]  # a key can be anything
            _set(exc, space, name, value)
    if handle is not None:
        space[HOME] = handle
    return _update(exc, cause, context, suppress, notes, traceback)


def _update(exc: BaseException, cause: Any, context: Any, suppress: bool, notes: Any, traceback: Any) -> BaseException:
    _put(exc, "__cause__", cause)
    _put(exc, "__context__", context)
    _put(exc, "__suppress_context__", suppress)
    if notes:
        _space(exc)["__notes__"] = list(notes)
    _put(exc, "__traceback__", traceback)
    return exc


_ENCODING_ERRORS = (UnicodeEncodeError, UnicodeDecodeError, UnicodeTranslateError)


def _new(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An instance made by the built-in base only: no `__init__` or `__new__` of a user runs on a child's word."""
    base: Any = next(k for k in cls.__mro__ if k.__module__ == "builtins" and type(k) is type)
    if issubclass(base, BaseExceptionGroup):
        message, members = args
        group: BaseException = base.__new__(cls, message, list(members))
        return group
    exc: BaseException = base.__new__(cls, *args)
    try:
        _check_encoding(base, args)
        base.__init__(exc, *args)
    except Exception:  # noqa: BLE001  the built-in wants other arguments than its subclass kept; `args` is what counts
        _put(exc, "args", args)
    if _own(exc, "args") is not args:
        _put(exc, "args", args)
    return exc


def _check_encoding(base: type, args: tuple[Any, ...]) -> None:
    """Refuse what the text of such an error would be read from past its end: C code takes for granted that its parts fit together."""
    if base in _ENCODING_ERRORS:
        held, start, end = args[-4:-1]
        if not 0 <= start <= end <= len(held):
            raise ValueError("the place of the error lies outside of what could not be coded")


def _set(exc: BaseException, space: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(exc, UnicodeError) and name in {"object", "start", "end"}:
        # They have come among the arguments, and were checked there. Another object, or another place, may not fit.
        return
    for cls in type(exc).__mro__:
        member = vars(cls).get(name)
        if isinstance(member, _MEMBERS):
            try:
                member.__set__(exc, value)
            except (AttributeError, TypeError):
                return
            return
    space[name] = value


def last_words(exc: BaseException, args: tuple[Any, ...], traceback: types.TracebackType | None) -> BaseException:
    """What is told in place of an exception that nobody asked for, while it goes: another one like it.

    It goes where the collector of cycles takes it apart, before or after this. Whoever is told keeps what he is told, and would have an
    exception without arguments, whose text the interpreter cannot make.
    """
    from saranwrap import _tracebacks

    told = _new(type(exc), args)
    for note in _space(exc).get("__notes__", ()):
        told.add_note(note)
    try:
        positions = frames(traceback)
    except AttributeError:
        # Taken apart already.
        return told
    _put(told, "__traceback__", _tracebacks.build_traceback(positions))
    return told


def in_context(exc: BaseException, handled: BaseException) -> None:
    """Note that `exc` was raised while `handled` was being handled here: it stands behind all that `exc` has behind it."""
    if HOME not in exc.__dict__:
        # One of our own that comes home: it was raised here, and has the context that it got then.
        return
    seen = {id(exc)}
    last = exc
    while last.__context__ is not None:
        last = last.__context__
        if last is handled or id(last) in seen:
            return
        seen.add(id(last))
    # A cycle would make every walk along the contexts endless.
    behind: BaseException | None = handled
    while behind is not None:
        if id(behind) in seen:
            return
        behind = behind.__context__
    last.__context__ = handled


Position = tuple[str, str, int, int, int, int]


def frames(traceback: types.TracebackType | None) -> tuple[Position, ...]:
    """(file, function, line, end line, column, end column) of each frame; our own frames are left out."""
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if os.path.dirname(code.co_filename) != _HERE and code.co_filename != BOTTOM:
            positions = next(itertools.islice(code.co_positions(), traceback.tb_lasti // 2, None), (None,) * 4)
            line = traceback.tb_lineno or code.co_firstlineno
            end, column, end_column = (part if part is not None else -1 for part in positions[1:])
            found.append((code.co_filename, code.co_name, line, end, column, end_column))
        traceback = traceback.tb_next
    return tuple(found)
