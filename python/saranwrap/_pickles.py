"""Pickles of whole objects: code that the other side cannot import goes along by value, with cloudpickle."""

from __future__ import annotations

import _pickle
import sys
from importlib import _bootstrap_external

from saranwrap import _values
from saranwrap.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
        return _values.pickle(None, obj, protocol)[0]
    except Exception as error:  # noqa: BLE001  pickling runs the objects' own code, which may raise anything
        reason = error
    if has_cloudpickle():
        import cloudpickle

        try:
            return _pickle.dumps(_WithCode(cloudpickle.dumps(obj, protocol)), protocol)
        except Exception:  # noqa: BLE001  the first reason is the one that the user knows from pickle
            raise reason from None
    if isinstance(reason, _values.NeedsValue):
        advice = f"{reason}, and cannot be imported elsewhere; pip install 'saranwrap[cloudpickle]' to send it by value"
        raise _values.NeedsValue(advice) from reason
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
