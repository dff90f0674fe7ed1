"""Columnar data of Arrow as one stretch of bytes, and put together again; and what proxies of such data offer to other libraries.

The bytes are a stream of Arrow's interprocess format, which is its own layout of the columns behind a description of them. So
one copy is made on the way into shared memory, and none on the way out. Whoever receives it from a child that is not trusted
makes one more: kernels in C++ look twice at what they read, and the child could change it in between.

pyarrow is loaded by whoever uses it: here, a child that is asked for such data or given some.
"""

from __future__ import annotations

import functools
import importlib
import struct
import sys
import types

from saranwrap._members import locate
from saranwrap._native import OPS
from saranwrap._remote import RemoteType
from saranwrap.errors import NotTransparent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from saranwrap._native import Session

SPECIAL = OPS["special"]
# How these cross; the numbers are those of `kinds.rs`.
ARROW, FRAME = 6, 7

# What crosses as a table.
_TABLES = frozenset({"table", "pandas.DataFrame", "polars.DataFrame", "polars.Series"})

# A record batch, as the description of Arrow's messages numbers its fields.
_BUFFERS, _COMPRESSION = 2, 3
# The same for a dictionary: the batch that it is, and whether it adds to the one before.
_DATA, _IS_DELTA = 1, 2
# And for the message around either.
_HEADER = 2


def _loaded(name: str) -> Any:
    """A library that this process has loaded itself, whole; None is loaded for the asking."""
    module = sys.modules.get(name)
    return module if type(module) is types.ModuleType and not _is_loading(module) else None


def _is_loading(module: Any) -> bool:
    return getattr(module.__spec__, "_initializing", False) is True


def _pyarrow(act: str) -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise NotTransparent(
            f"cannot {act}: this process cannot import pyarrow ({error}); pip install 'saranwrap[arrow]' brings it"
        ) from None


def route(cls: type) -> int | None:
    """How objects of exactly this class cross, if they are columnar data; None if they are not."""
    if _arrow_kind(cls) is not None:
        return ARROW
    return FRAME if _frame_kind(cls) is not None else None


def _arrow_kind(cls: type) -> str | None:
    """What a class of pyarrow's is called on the wire. All of these are immutable."""
    pyarrow = _loaded("pyarrow")
    # A class that stands for a remote one counts as the local one, and its instances are nothing that pyarrow can read.
    if pyarrow is None or isinstance(cls, RemoteType):
        return None
    exact = {
        pyarrow.Table: "table",
        pyarrow.RecordBatch: "batch",
        pyarrow.ChunkedArray: "chunks",
        pyarrow.Schema: "schema",
        pyarrow.Field: "field",
    }
    if cls in exact:
        return exact[cls]
    # Each type of items has classes of its own, and so has each extension.
    return "array" if issubclass(cls, pyarrow.Array) else "type" if issubclass(cls, pyarrow.DataType) else None


def _frame_kind(cls: type) -> str | None:
    for library, name in (("pandas", "DataFrame"), ("polars", "DataFrame"), ("polars", "Series")):
        module = _loaded(library)
        if module is not None and cls is vars(module).get(name):
            return f"{library}.{name}"
    return None


# --- into bytes -------------------------------------------------------------------------------------------------------


def parts(obj: Any) -> tuple[str, tuple[str, ...], int, Callable[[Any], None]]:
    """What it is called, the extension types in it, how long it is, and what writes it into so much memory."""
    kind = _arrow_kind(type(obj))
    if kind is None:
        kind = _frame_kind(type(obj))
        assert kind is not None, "only columnar data comes here"
        obj = _framed(kind, obj)
    pyarrow = _loaded("pyarrow")
    schema = _schema_of(pyarrow, kind, obj)
    length = pyarrow.MockOutputStream()
    _write(pyarrow, length, schema, kind, obj)
    size = length.size()

    def fill(memory: Any) -> None:
        try:
            _fill(pyarrow, memory, schema, kind, obj)
        except Exception as error:  # noqa: BLE001  whatever it is
            # Its frames would hold the memory.
            raise error.with_traceback(None) from None

    return kind, tuple(sorted(set(_extensions(pyarrow, schema)))), size, fill


def _fill(pyarrow: Any, memory: Any, schema: Any, kind: str, obj: Any) -> None:
    sink = pyarrow.FixedSizeBufferWriter(pyarrow.py_buffer(memory))
    _write(pyarrow, sink, schema, kind, obj)
    sink.close()


def _write(pyarrow: Any, sink: Any, schema: Any, kind: str, obj: Any) -> None:
    # Nothing is compressed: what is compressed must be unpacked by the receiver, who cannot know how large it gets.
    options = pyarrow.ipc.IpcWriteOptions(allow_64bit=True, compression=None)
    with pyarrow.ipc.new_stream(sink, schema, options=options) as writer:
        if kind in _TABLES:
            writer.write_table(obj)
        for batch in _batches(pyarrow, schema, kind, obj):
            writer.write_batch(batch)


def _batches(pyarrow: Any, schema: Any, kind: str, obj: Any) -> Iterable[Any]:
    if kind == "batch":
        return [obj]
    if kind == "array":
        return [pyarrow.RecordBatch.from_arrays([obj], schema=schema)]
    if kind == "chunks":
        return (pyarrow.RecordBatch.from_arrays([chunk], schema=schema) for chunk in obj.chunks)
    return []


def _schema_of(pyarrow: Any, kind: str, obj: Any) -> Any:
    if kind == "schema":
        return obj
    if kind in {*_TABLES, "batch"}:
        return obj.schema
    if kind == "field":
        return pyarrow.schema([obj])
    return pyarrow.schema([pyarrow.field("", obj if kind == "type" else obj.type)])


def _framed(kind: str, frame: Any) -> Any:
    """The columns of a frame, if Arrow can hold all that it is.

    pandas knows more kinds of objects than Arrow, and either may come back as another kind. So it is tried here what will be made
    of them there.
    """
    pyarrow = _pyarrow(f"fetch a `{kind}` by value")
    try:
        if kind == "pandas.DataFrame":
            table = pyarrow.Table.from_pandas(frame)
        else:
            table = (frame.to_frame() if kind == "polars.Series" else frame).to_arrow()
        same = _may_be_frame(pyarrow, kind, table) and _is_same(kind, frame, _frame(kind, table))
    except (pyarrow.ArrowException, TypeError, ValueError, NotImplementedError):
        same = False
    if not same:
        raise NotTransparent(
            f"cannot fetch this `{kind}` by value without pickle: Arrow cannot hold all of it; wrap with trust=True to allow pickle"
        )
    return table


def _may_be_frame(pyarrow: Any, kind: str, table: Any) -> bool:
    """Whether all columns are of plain types: pyarrow ends the process on some others that it should make a frame of pandas of."""
    return kind != "pandas.DataFrame" or all(
        not field.num_fields
        and not isinstance(field, pyarrow.BaseExtensionType)
        and not pyarrow.types.is_run_end_encoded(field)
        for column in table.schema.types
        for field in (column, column.value_type if pyarrow.types.is_dictionary(column) else column)
    )


def _frame(kind: str, table: Any) -> Any:
    """The frame that a table, or the column that it has, is."""
    if kind == "pandas.DataFrame":
        return table.to_pandas()
    frame = _loaded("polars").from_arrow(table)
    return frame.to_series() if kind == "polars.Series" else frame


def _is_same(kind: str, frame: Any, again: Any) -> bool:
    """Whether what the other side will make is what is here."""
    if kind == "polars.DataFrame":
        return bool(again.schema == frame.schema)
    if kind == "polars.Series":
        return bool(again.dtype == frame.dtype)
    return bool(
        again.equals(frame)
        and again.dtypes.equals(frame.dtypes)
        and all(_is_same_axis(one, other) for one, other in zip(again.axes, frame.axes, strict=True))
        and all(_is_text(column) for _, column in frame.items() if column.dtype == object)
        and not frame.attrs
        and frame.flags.allows_duplicate_labels
    )


def _is_same_axis(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one.dtype == other.dtype and list(one.names) == list(other.names)


def _is_text(column: Any) -> bool:
    """Of objects Arrow keeps texts and bytes as they are; of others it makes what is alike."""
    return {type(item) for item in column} <= {str} or {type(item) for item in column} <= {bytes}


# --- and back ---------------------------------------------------------------------------------------------------------


def build(session: Session, kind: str, extensions: tuple[str, ...], memory: Any) -> Any:
    """The object that these bytes are. Those of a child that is not trusted are copied, and checked all through."""
    act = f"take a `{kind if '.' in kind else f'pyarrow {kind}'}` by value"
    if session.is_parent and _loaded("pyarrow") is None:
        raise NotTransparent(f"cannot {act}: this process has not imported pyarrow")
    pyarrow = _pyarrow(act)
    suspect = session.is_parent and not session.trust
    try:
        buffer = _own(pyarrow, memory) if suspect else pyarrow.py_buffer(memory)
        if suspect:
            for message in _messages(pyarrow, buffer):
                _check(message)
        found = _read(pyarrow, kind, buffer)
        if suspect and hasattr(found, "validate"):
            found.validate(full=True)
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, LookupError, struct.error) as error:
        raise ValueError(f"the other side sent a {kind} of Arrow that is none: {error}") from None
    missing = set(extensions) - set(_extensions(pyarrow, _schema_of(pyarrow, kind, found)))
    if missing:
        raise NotTransparent(
            f"cannot {act}: its extension type {min(missing)!r} is not registered with pyarrow in this process"
        )
    return found if "." not in kind else _framed_again(pyarrow, act, kind, found)


def _framed_again(pyarrow: Any, act: str, kind: str, found: Any) -> Any:
    library = kind.partition(".")[0]
    if _loaded(library) is None:
        raise NotTransparent(f"cannot {act}: this process has not imported {library}")
    if not _may_be_frame(pyarrow, kind, found):
        raise ValueError(f"the other side sent a {kind} with columns that it cannot have")
    try:
        return _frame(kind, found)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  a panic of polars is no `Exception`
        raise ValueError(f"the other side sent a {kind} that is none: {error}") from None


def _own(pyarrow: Any, memory: Any) -> Any:
    """The bytes in memory that nobody else sees."""
    if type(memory) is bytes:
        return pyarrow.py_buffer(memory)
    own = pyarrow.allocate_buffer(memoryview(memory).nbytes)
    # It copies without holding the interpreter.
    pyarrow.FixedSizeBufferWriter(own).write(memory)
    return own


def _read(pyarrow: Any, kind: str, buffer: Any) -> Any:
    with pyarrow.ipc.open_stream(buffer) as reader:
        if kind in _TABLES:
            return reader.read_all()
        schema = reader.schema
        batches = list(reader)
    if kind == "schema":
        return schema
    if kind == "batch" and len(batches) == 1:
        return batches[0]
    if len(schema) != 1:
        raise ValueError(f"it has {len(schema)} columns")
    if kind == "field":
        return schema.field(0)
    if kind == "type":
        return schema.field(0).type
    if kind == "array" and len(batches) == 1:
        return batches[0].column(0)
    if kind == "chunks":
        return pyarrow.chunked_array([batch.column(0) for batch in batches], schema.field(0).type)
    raise ValueError(f"{len(batches)} batches make no such thing")


def _messages(pyarrow: Any, buffer: Any) -> Iterator[Any]:
    reader = pyarrow.ipc.MessageReader.open_stream(buffer)
    while True:
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _check(message: Any) -> None:
    """Refuse what Arrow allows and no sender of ours writes: all by which a reader allocates more than was sent.

    That Arrow has found the description of the message to be well formed goes before; what it says is read here once more.
    """
    if message.type not in {"record batch", "dictionary"}:
        return
    data = memoryview(message.metadata)
    batch = _table(data, _field(data, _number(data, "<I", 0), _HEADER))
    if message.type == "dictionary":
        if (delta := _field(data, batch, _IS_DELTA)) and data[delta]:
            raise ValueError("a dictionary that adds to another")
        batch = _table(data, _field(data, batch, _DATA))
    if _field(data, batch, _COMPRESSION):
        raise ValueError("it is compressed")
    buffers = _table(data, _field(data, batch, _BUFFERS))
    count, end = _number(data, "<I", buffers), 0
    for start, length in struct.iter_unpack("<qq", data[buffers + 4 : buffers + 4 + 16 * count]):
        if length and (length < 0 or start < end):
            raise ValueError("its buffers lie over each other")
        end = max(end, start + length)
    if end > (message.body.size if message.body is not None else 0):
        raise ValueError("its buffers lie outside")


def _number(data: memoryview, layout: str, at: int) -> int:
    found: int = struct.unpack_from(layout, data, at)[0]
    return found


def _table(data: memoryview, at: int) -> int:
    """Where what is named at this place stands, in the words of flatbuffers."""
    if not at:
        raise ValueError("a part of its description is missing")
    return at + _number(data, "<I", at)


def _field(data: memoryview, table: int, number: int) -> int:
    """Where a field of a table stands; 0 if it has none of this number."""
    layout = table - _number(data, "<i", table)
    place = 4 + 2 * number
    offset = _number(data, "<H", layout + place) if place < _number(data, "<H", layout) else 0
    return table + offset if offset else 0


def _extensions(pyarrow: Any, schema: Any) -> Iterator[str]:
    waiting = list(schema.types) if isinstance(schema, pyarrow.Schema) else [schema]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, pyarrow.BaseExtensionType):
            yield kind.extension_name
            kind = kind.storage_type
        if pyarrow.types.is_dictionary(kind):
            waiting.append(kind.value_type)
        waiting.extend(kind.field(place).type for place in range(kind.num_fields))


# --- what proxies offer -----------------------------------------------------------------------------------------------


def offered(proxy: Any, name: str) -> Callable[..., Any]:
    """The method of a proxy by which other libraries take its columns: the PyCapsule interface of Arrow's C data interface."""
    return functools.partial(_offer, proxy, name)


def _offer(proxy: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    _pyarrow(f"take what a proxy offers by {name}")
    session, target, _ = locate(proxy)
    # A child may not say the old name to its parent, where it could be given any address.
    asked = "__arrow_c_stream__" if name == "_export_to_c" else name
    found = session.request(SPECIAL, target, (asked, ()))
    if name == "_export_to_c" and _arrow_kind(type(found)) == "table":
        found = found.to_reader()
    return getattr(found, name)(*args, **kwargs)


def taken(session: Session, obj: Any, name: str) -> Any:
    """What an object offers by this method, as something of pyarrow's."""
    if _arrow_kind(type(obj)) is not None:
        return obj
    act = f"take what a `{type(obj).__name__}` offers by {name}"
    if session.is_parent and _loaded("pyarrow") is None:
        raise NotTransparent(f"cannot {act}: this process has not imported pyarrow")
    pyarrow = _pyarrow(act)
    if name == "__arrow_c_schema__":
        return pyarrow.schema(obj)
    if "array" in name:
        return pyarrow.array(obj)
    try:
        return pyarrow.RecordBatchReader.from_stream(obj).read_all()
    except pyarrow.ArrowInvalid:
        # A stream of other items than rows.
        return pyarrow.chunked_array(obj)
