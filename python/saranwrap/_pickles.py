"""Pickles: into the child, and back only from a child that is trusted. Code that the other side cannot import goes along by value."""

from __future__ import annotations

import _pickle
import _thread
import io
import sys
import types
from importlib import _bootstrap_external

from saranwrap import _values
from saranwrap._arrays import LARGE
from saranwrap.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from saranwrap._native import Session

_sending = _thread._local()  # `threading` has the same, and much else besides


def current() -> Session | None:
    """The session for which this thread is pickling or unpickling, or None."""
    session: Session | None = getattr(_sending, "session", None)
    return session


class _Sending:
    def __init__(self, session: Session | None) -> None:
        self.session = session

    def __enter__(self) -> None:
        self.before = current()
        _sending.session = self.session

    def __exit__(self, *_: object) -> None:
        _sending.session = self.before


class NeedsValue(_pickle.PicklingError):
    """Something in the object is defined in `__main__`, which is another module in the child."""


class _Pickler(_pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, types.FunctionType)) and obj.__module__ in {"__main__", "__mp_main__"}:
            raise NeedsValue(f"{obj.__qualname__} is defined in __main__")
        return NotImplemented


def pickle(session: Session | None, obj: object, protocol: int = 5) -> tuple[bytes, list[memoryview]]:
    """Pickle `obj` for the other side: a pickle, and the large buffers that it leaves out (PEP 574), none without a session.

    `protocol` is pickle's, and that of the session counts where there is one: an older interpreter does not know the newest.

    Proxies of the session that are inside go home as themselves.
    """
    buffers: list[memoryview] = []

    def stays(buffer: _pickle.PickleBuffer) -> bool:
        """Whether it goes into the pickle: a small one, and one that is read-only here, since its copy would not be."""
        if session is None:
            return True
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if view.readonly or view.nbytes < LARGE:
            return True
        buffers.append(view)
        return False

    with _Sending(session):
        buffer = io.BytesIO()
        if session is not None:
            protocol = session.pickle_protocol
        _Pickler(buffer, protocol, buffer_callback=stays if protocol >= 5 else None).dump(obj)
        return buffer.getvalue(), buffers


def unpickle(session: Session | None, data: bytes, buffers: Sequence[Any] = ()) -> object:
    """The reverse of `pickle`."""
    with _Sending(session):
        try:
            return _pickle.loads(data, buffers=buffers)
        except (ImportError, AttributeError) as error:
            if _values.has_another_parent():
                error.add_note(f"This was unpickled by Python {sys.version.split()[0]} ({sys.executable}).")
            raise


# --- code that goes by value ------------------------------------------------------------------------------------------

# What an interpreter writes before compiled code, and so what it can run.
_MAGIC: bytes = _bootstrap_external.MAGIC_NUMBER


class _WithCode:
    """What cloudpickle has pickled, to be unpickled only where its code can run: elsewhere it would crash the interpreter."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return loads_with_code, (_MAGIC, self.data)


def has_cloudpickle() -> bool:
    """Whether code can be sent by value."""
    try:
        import cloudpickle  # noqa: F401  it is only looked for
    except ImportError:
        return False
    return True


def dumps(obj: object, protocol: int = 5) -> bytes:
    """The pickle of an object, by this protocol.

    Raises:
        Exception: whatever pickling raises. Without cloudpickle, where that would help, the text says so.
    """
    try:
        return pickle(None, obj, protocol)[0]
    except Exception as error:  # noqa: BLE001  pickling runs the objects' own code, which may raise anything
        reason = error
    if has_cloudpickle():
        import cloudpickle

        try:
            return _pickle.dumps(_WithCode(cloudpickle.dumps(obj, protocol)), protocol)
        except Exception:  # noqa: BLE001  the first reason is the one that the user knows from pickle
            raise reason from None
    if isinstance(reason, NeedsValue):
        advice = f"{reason}, and cannot be imported elsewhere; pip install 'saranwrap[cloudpickle]' to send it by value"
        raise NeedsValue(advice) from reason
    raise reason from None


def loads_with_code(magic: bytes, data: bytes) -> object:
    """The object, where its code can run.

    Raises:
        Refused: it cannot, or there is no cloudpickle here.
    """
    here = f"Python {sys.version.split()[0]} ({sys.executable})"
    if magic != _MAGIC:
        raise Refused(
            f"code that goes by value was compiled by another version of Python and cannot run in {here}: "
            "put it into a module that can be imported there"
        )
    if not has_cloudpickle():
        raise Refused(f"code that goes by value needs cloudpickle in {here}, too")
    return _pickle.loads(data)
