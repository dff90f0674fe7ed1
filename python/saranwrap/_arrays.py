"""Arrays of numpy in parts, and put together again. numpy is loaded by whoever uses it: here only a child that is given an array does.

An array is lent to the child like a list: what the call changes in it is put back into the caller's own. Its parts are whether it
may be written to, the order of its items, its type, its shape and its bytes.
"""

from __future__ import annotations

import importlib
import math
import sys
import types

from saranwrap.errors import NotTransparent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from saranwrap._native import Session

# Below this an array is compared whole; the number is that of `convert/bulk.rs`.
LARGE = 32 << 10

# The one that this process has loaded, even where a program puts a proxy into its place later.
_found: list[types.ModuleType] = []


def _numpy() -> Any:
    """The numpy that this process has loaded; None is loaded for the asking."""
    if not _found:
        module = sys.modules.get("numpy")
        if type(module) is not types.ModuleType or not hasattr(module, "ndarray"):
            return None
        _found.append(module)
    return _found[0]


def parts(array: Any) -> tuple[bool, str, Any, tuple[int, ...], Any] | None:
    """The parts of an array; None for one that has no such form, because its items are objects or of a type of somebody's own."""
    numpy = _numpy()
    kind = _type_parts(numpy, array.dtype)
    if kind is None:
        return None
    flags = array.flags
    order, flat = _flat(numpy, array)
    return bool(flags.writeable), order, kind, array.shape, flat


def build(
    session: Session, writable: bool, order: str, kind: Any, shape: tuple[int, ...], memory: Any, given_away: bool
) -> Any:
    """An array on this memory, or one of its own that is like it."""
    numpy = _numpy()
    if numpy is None:
        if session.is_parent:
            raise NotTransparent("cannot fetch an array of numpy by value: this process has not imported numpy")
        numpy = importlib.import_module("numpy")
    dtype = _type_of(numpy, kind)
    sides = [side for side in shape if type(side) is int and side >= 0]
    if len(sides) != len(shape) or math.prod(sides) * dtype.itemsize != memoryview(memory).nbytes:
        raise ValueError(f"the other side sent an array of the shape {shape!r} without the bytes for it")
    array = numpy.ndarray(shape, dtype, memory, 0, None, order)
    if given_away:
        return array.copy(order)
    if not writable:
        array.flags.writeable = False
    return array


def bytes_of(obj: Any, most: int) -> bytes | None:
    """The bytes of an array that has no more than `most`, in the order in which they cross; None for anything else."""
    numpy = _numpy()
    if numpy is None or type(obj) is not numpy.ndarray or obj.nbytes > most or obj.dtype.hasobject:
        return None
    found: bytes = _flat(numpy, obj)[1].tobytes()
    return found


def patch(array: Any, patches: list[tuple[int, Any]]) -> None:
    """Put bytes into the places where they belong in an array; each place is counted in bytes, in the order in which they cross."""
    numpy = _numpy()
    _, flat = _flat(numpy, array)
    whole = flat if numpy.shares_memory(flat, array) else flat.copy()
    for start, data in patches:
        piece = numpy.frombuffer(data, numpy.uint8)
        if start + len(piece) > len(whole):
            raise ValueError(f"the other side changed byte {start + len(piece)} of an array of {len(whole)}")
        whole[start : start + len(piece)] = piece
    if whole is not flat or not numpy.shares_memory(flat, array):
        array[...] = whole.view(array.dtype).reshape(array.shape)


def _flat(numpy: Any, array: Any) -> tuple[str, Any]:
    """An order, and the bytes in it: the array's own memory where the items lie in one, else a copy."""
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    ordered = array.T if order == "F" else numpy.ascontiguousarray(array)
    if not array.nbytes:
        return order, numpy.empty(0, numpy.uint8)
    return order, ordered.reshape(-1).view(numpy.uint8)


def _type_parts(numpy: Any, dtype: Any) -> Any:
    """A type as a text, or as a tuple of its parts; None where neither tells all."""
    if dtype.hasobject or dtype.metadata:
        return None
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        inner = _type_parts(numpy, base)
        return None if inner is None else ("array", inner, tuple(shape))
    if dtype.names is not None:
        return _fields_parts(numpy, dtype) if dtype.type is numpy.void else None
    text = dtype.str
    if not _is_plain(text):
        return None
    again = numpy.dtype(text)
    return text if again == dtype and again.type is dtype.type else None


def _is_plain(name: str) -> bool:
    """Whether numpy calls a plain type so: no objects, whose items are addresses."""
    # Here, since each child loads this room, and few have an array to look at.
    import re

    return re.fullmatch(r"[<>|=][biufcmMSUV]\d*(\[\w+(/\d+)?\])?", name) is not None


def _fields_parts(numpy: Any, dtype: Any) -> Any:
    fields = [dtype.fields[name] for name in dtype.names]
    inner = tuple(_type_parts(numpy, field[0]) for field in fields)
    titles = tuple(field[2] if len(field) > 2 else None for field in fields)
    if None in inner or not all(title is None or type(title) is str for title in titles):
        return None
    offsets = tuple(int(field[1]) for field in fields)
    return "fields", tuple(dtype.names), inner, offsets, titles, int(dtype.itemsize), bool(dtype.isalignedstruct)


def _type_of(numpy: Any, kind: Any) -> Any:
    """The reverse of `_type_parts`. What it is told may be a lie, and never becomes a type of objects."""
    if isinstance(kind, str):
        if not _is_plain(kind):
            raise ValueError(f"the other side sent an array of the type {kind!r}, which is no plain one")
        return numpy.dtype(kind)
    name, *more = kind
    if name == "array":
        inner, shape = more
        return numpy.dtype((_type_of(numpy, inner), tuple(shape)))
    names, inner, offsets, titles, size, aligned = more
    formats = [_type_of(numpy, part) for part in inner]
    if len(names) != len(formats) or any(
        offset < 0 or offset + part.itemsize > size for offset, part in zip(offsets, formats, strict=True)
    ):
        raise ValueError("the other side sent a type whose fields do not lie inside it")
    described = {"names": list(names), "formats": formats, "offsets": list(offsets), "itemsize": size}
    if any(title is not None for title in titles):
        described["titles"] = list(titles)
    return numpy.dtype(described, align=aligned)
