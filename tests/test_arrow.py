"""Columnar data of Arrow: it crosses as it is, without pickle, in both directions; and a child that lies about it does no harm."""

from __future__ import annotations

import datetime as dt
import decimal
import gc
import os
import struct
import subprocess
import sys

import pytest
import saranwrap
from saranwrap import _arrow

from tests.conftest import of_the_native_child

pytestmark = of_the_native_child("columns do not cross by value there")

pa = pytest.importorskip("pyarrow", reason="the extra saranwrap[arrow] is not installed")
pc = pytest.importorskip("pyarrow.compute")

LARGE = 20_000


@pytest.fixture(scope="module")
def house():
    with saranwrap.Child() as child:
        # It loads `logging`, whose records are listened to from then on, and not from some test on.
        child.wrap_module("tests.arrows")
        yield child


@pytest.fixture
def child(house, request):
    """The janitor of blocks: none is left out on either side."""
    yield house
    request.node.funcargs.clear()
    gc.collect()
    house.status()
    house.status()
    assert house._session.blocks() == (0, 0, 0)


@pytest.fixture
def there(child):
    return child.wrap_module("tests.arrows")


def dictionaries(count):
    return pa.DictionaryArray.from_arrays(pa.array([n % 3 for n in range(count)], pa.int8()), ["x", None, "z"])


def unions(count, mode):
    ids = pa.array([n % 2 for n in range(count)], pa.int8())
    parts = [pa.array(range(count)), pa.array([str(n) for n in range(count)])]
    if mode == "sparse":
        return pa.UnionArray.from_sparse(ids, parts)
    return pa.UnionArray.from_dense(ids, pa.array([n // 2 for n in range(count)], pa.int32()), parts)


ITEMS = {
    "integers": lambda n: pa.array(range(n)),
    "floats with gaps": lambda n: pa.array([None if k % 3 else float(k) for k in range(n)], pa.float64()),
    "truths": lambda n: pa.array([None if k % 5 == 0 else k % 2 == 0 for k in range(n)], pa.bool_()),
    "texts": lambda n: pa.array([None if k % 7 == 0 else f"\N{SNOWMAN}{k}" for k in range(n)], pa.string()),
    "long texts": lambda n: pa.array([f"{k}" * 5 for k in range(n)], pa.large_string()),
    "views of texts": lambda n: pa.array([f"{k}" * 5 for k in range(n)], pa.string_view()),
    "bytes": lambda n: pa.array([b"%d" % k for k in range(n)], pa.binary()),
    "bytes of a width": lambda n: pa.array([b"%05d" % k for k in range(n)], pa.binary(5)),
    "decimals": lambda n: pa.array([decimal.Decimal(k) / 4 for k in range(n)], pa.decimal128(20, 2)),
    "dates": lambda n: pa.array([dt.date(2000, 1, 1 + k % 28) for k in range(n)], pa.date32()),
    "times of a zone": lambda n: pa.array(range(n), pa.timestamp("us", "Europe/Berlin")),
    "lists": lambda n: pa.array([None if k % 4 == 0 else list(range(k % 5)) for k in range(n)], pa.list_(pa.int32())),
    "lists of a length": lambda n: pa.array([[k, k] for k in range(n)], pa.list_(pa.int32(), 2)),
    "views of lists": lambda n: pa.array([[k] for k in range(n)], pa.list_view(pa.int64())),
    "structures": lambda n: pa.array([{"x": k, "y": [{"z": str(k)}]} for k in range(n)]),
    "maps": lambda n: pa.array([[("k", k)] for k in range(n)], pa.map_(pa.string(), pa.int64())),
    "dictionaries": dictionaries,
    "sparse unions": lambda n: unions(n, "sparse"),
    "dense unions": lambda n: unions(n, "dense"),
    "runs": lambda n: pc.run_end_encode(pa.array([k // 4 for k in range(n)], pa.int64())),
    "nothing": pa.nulls,
    "identifiers": lambda n: pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([b"%016d" % k for k in range(n)], pa.binary(16))
    ),
}


def is_same(one, other):
    """Also in what `equals` overlooks."""
    if isinstance(one, (pa.Table, pa.Schema, pa.Field)):
        return one.equals(other, check_metadata=True)
    return (
        type(one) is type(other) and (one.equals(other)) and getattr(one, "type", None) == getattr(other, "type", None)
    )


@pytest.mark.parametrize("count", [0, 1, 100, LARGE])
@pytest.mark.parametrize("name", ITEMS)
def test_an_array_of_any_type_there_and_back(there, name, count):
    given = ITEMS[name](count)
    assert there.class_of(given) == (type(given).__module__, type(given).__qualname__)
    there.keep(given)
    assert is_same(saranwrap.local(there.kept()), given)
    there.forget()


@pytest.mark.parametrize("name", ITEMS)
def test_a_slice_of_an_array_of_any_type(there, name):
    given = ITEMS[name](LARGE)[101:9_999]
    there.keep(given)
    found = saranwrap.local(there.kept())
    found.validate(full=True)
    assert is_same(found, given)
    there.forget()


@pytest.mark.parametrize("count", [0, 5, LARGE])
def test_a_table_with_all_that_it_says_of_itself(there, count):
    columns = {name: make(count) for name, make in ITEMS.items()}
    fields = [pa.field(name, array.type, metadata={"unit": "\N{OHM SIGN}"}) for name, array in columns.items()]
    given = pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields, {"made": "by hand"}))
    there.keep(given)
    found = saranwrap.local(there.kept())
    assert is_same(found, given)
    there.forget()


THINGS = {
    "a batch": lambda: pa.record_batch({"a": range(LARGE)}),
    "a small batch": lambda: pa.record_batch({"a": [1, None]}),
    "an array in parts": lambda: pa.chunked_array([range(5), [], range(LARGE)]),
    "an array in no parts": lambda: pa.chunked_array([], pa.int8()),
    "dictionaries in parts": lambda: pa.chunked_array(
        [dictionaries(3), pa.array(["q"]).dictionary_encode().cast(dictionaries(0).type)]
    ),
    "a table in parts": lambda: pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": range(LARGE)})]),
    "a table without columns": lambda: pa.table({}),
    "a table of rows without columns": lambda: pa.table({"a": range(7)}).select([]),
    "a schema": lambda: pa.schema([("a", pa.int8())], {"b": "c"}),
    "a field": lambda: pa.field("a", pa.list_(pa.int8()), nullable=False, metadata={"x": "y"}),
    "a type": lambda: pa.struct([("a", dictionaries(1).type)]),
}


@pytest.mark.parametrize("name", THINGS)
def test_other_things_of_arrow_there_and_back(there, name):
    given = THINGS[name]()
    there.keep(given)
    found = saranwrap.local(there.kept())
    assert is_same(found, given)
    assert getattr(found, "num_rows", None) == getattr(given, "num_rows", None)
    assert getattr(found, "num_chunks", None) == getattr(given, "num_chunks", None)
    there.forget()


def test_an_argument_that_comes_back_is_itself(there):
    given = pa.table({"a": range(LARGE)})
    assert there.first(given) is given
    assert there.same(given, given)
    assert there.first([given])[0] is given


def test_what_is_given_by_reference_stays_here(there):
    given = pa.table({"a": range(LARGE)})
    assert there.class_of(saranwrap.ref(given))[1] == "Table"
    assert there.total(saranwrap.ref(given)) == sum(range(LARGE))


def test_a_result_is_a_reference_until_it_is_asked_for(there):
    p = there.table(LARGE)
    assert isinstance(p, saranwrap.Proxy)
    assert p.num_rows == LARGE
    assert p["a"][3].as_py() == 3
    found = saranwrap.local(p)
    assert type(found) is pa.Table
    assert found["b"].to_pylist() == [str(n) for n in range(LARGE)]
    twice = saranwrap.local(there.first(saranwrap.ref([p, p])))
    assert twice[0] is twice[1]


@pytest.mark.parametrize("count", [3, LARGE])
def test_other_libraries_take_a_proxy_for_what_it_is(there, count):
    p = there.table(count)
    assert pa.table(p).equals(pa.table(saranwrap.local(p)))
    assert pa.RecordBatchReader.from_stream(p).read_all().num_rows == count
    assert pa.chunked_array(p["a"]).to_pylist() == list(range(count))
    assert pa.array(p["a"].chunk(0)).to_pylist() == list(range(count))
    assert pa.record_batch(p.to_batches()[0]).num_rows == count
    assert pa.schema(p.schema) == saranwrap.local(p.schema)
    assert pa.field(p.schema.field(0)).name == "a"
    assert pa.table(there.reader(count)).num_rows == count
    schema = pa.schema([("a", pa.int64()), ("b", pa.large_string())])
    assert pa.table(p, schema=schema).schema == schema


def test_what_offers_nothing_is_not_said_to(child):
    p = child.wrap([1])
    for name in ("__arrow_c_stream__", "__arrow_c_array__", "__arrow_c_schema__", "__arrow_c_device_array__"):
        assert not hasattr(p, name)


def test_the_child_takes_what_a_proxy_of_ours_offers(there):
    class Offer:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table({"a": range(LARGE)}).__arrow_c_stream__(requested_schema)

    assert there.total(Offer()) == sum(range(LARGE))


def test_two_children_pass_a_table_on(there):
    with saranwrap.Child() as other:
        away = other.wrap_module("tests.arrows")
        p = there.table(LARGE)
        assert away.total(p) == sum(range(LARGE))
        assert away.total(saranwrap.local(p)) == sum(range(LARGE))


def test_an_extension_type_that_the_other_side_does_not_know_is_told(there):
    class Here(pa.ExtensionType):
        def __init__(self):
            super().__init__(pa.int64(), "tests.here")

        def __arrow_ext_serialize__(self):
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage, serialized):
            return cls()

    pa.register_extension_type(Here())
    try:
        with pytest.raises(saranwrap.NotTransparent, match=r"tests\.here"):
            there.first(pa.ExtensionArray.from_storage(Here(), pa.array([1, 2])))
    finally:
        pa.unregister_extension_type("tests.here")


def test_a_table_outlives_its_child():
    with saranwrap.Child(trust=True) as child:
        found = saranwrap.local(child.wrap_module("tests.arrows").table(LARGE))
        child.kill()
    assert pc.sum(found["a"]).as_py() == sum(range(LARGE))


def test_what_a_trusted_child_sends_is_not_copied():
    with saranwrap.Child(trust=True) as child:
        there = child.wrap_module("tests.arrows")
        found = saranwrap.local(there.table(LARGE))
        assert child._session.blocks()[2] == 1
        del found
        gc.collect()
        assert child._session.blocks()[2] == 0


def test_a_suspect_child_keeps_no_hand_on_what_came(there, child):
    found = saranwrap.local(there.table(LARGE))
    child.status()
    assert child._session.blocks()[2] == 0
    assert found.num_rows == LARGE


def test_nothing_is_pickled(there, monkeypatch):
    def refuse(*_):
        raise AssertionError("it was pickled")

    monkeypatch.setattr("saranwrap._pickles._Pickler", refuse)
    given = pa.table({"a": range(LARGE)})
    there.keep(given)
    assert saranwrap.local(there.kept()).equals(given)
    there.forget()


# --- frames -----------------------------------------------------------------------------------------------------------


def test_a_frame_of_pandas(child):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"a": range(LARGE), "b": [f"{n}" for n in range(LARGE)], "c": pandas.Categorical(["x", "y"] * (LARGE // 2))},
        index=pandas.date_range("2000", periods=LARGE, name="when"),
    )
    p = child.wrap(frame)
    found = saranwrap.local(p)
    pandas.testing.assert_frame_equal(found, frame, check_freq=False)
    assert type(found) is pandas.DataFrame
    table = pa.RecordBatchReader.from_stream(p).read_all()
    pandas.testing.assert_frame_equal(table.to_pandas(), frame, check_freq=False)
    found.iloc[0, 0] = 7
    assert p["a"].iloc[0] == 0


def test_a_frame_of_pandas_that_arrow_cannot_hold(child):
    pandas = pytest.importorskip("pandas")
    for frame in (
        pandas.DataFrame({"a": [1, "a"]}),
        pandas.DataFrame({"a": [[1], [2]]}),
        pandas.DataFrame({"a": [object()]}),
    ):
        with pytest.raises(saranwrap.NotTransparent, match="Arrow cannot hold all of it"):
            saranwrap.local(child.wrap(frame))


def test_a_frame_of_polars(child):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "a": range(LARGE),
            "b": [f"{n}" for n in range(LARGE)],
            "c": polars.Series(["x", "y"] * (LARGE // 2), dtype=polars.Categorical),
            "d": polars.Series(["x", "y"] * (LARGE // 2), dtype=polars.Enum(["x", "y"])),
            "e": [[n] for n in range(LARGE)],
        }
    )
    p = child.wrap(frame)
    found = saranwrap.local(p)
    assert type(found) is polars.DataFrame
    assert found.equals(frame)
    assert found.schema == frame.schema
    assert pa.table(p).num_rows == LARGE
    for name in frame.columns:
        column = saranwrap.local(p[name])
        assert type(column) is polars.Series
        assert column.name == name
        assert column.equals(frame[name])


def test_what_takes_tables_only_takes_a_proxy_of_one(there):
    polars = pytest.importorskip("polars")
    p = there.table(LARGE)
    assert polars.from_arrow(p).equals(polars.from_arrow(saranwrap.local(p)))


def test_frames_stay_references(there):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2]})
    assert there.first(frame) is frame


def test_a_frame_by_reference_is_taken_by_its_columns(there):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": range(LARGE)})
    assert there.from_stream(frame).num_rows == LARGE
    assert there.total(frame.to_arrow()) == sum(range(LARGE))


# --- without it -------------------------------------------------------------------------------------------------------


def alone(code, **env):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.getcwd(), **env},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_it_is_not_loaded_for_what_a_child_sends():
    alone("""
import saranwrap, sys
child = saranwrap.Child()
p = child.wrap_module("tests.arrows").table(20000)
try:
    saranwrap.local(p)
except saranwrap.NotTransparent as error:
    assert "this process has not imported pyarrow" in str(error), error
else:
    raise AssertionError("it came")
assert "pyarrow" not in sys.modules
import pyarrow
assert saranwrap.local(p).num_rows == 20000
""")


def test_a_child_that_does_not_use_it_does_not_load_it(child):
    with saranwrap.Child() as other:
        modules = other.wrap_module("sys").modules
        assert not {"pyarrow", "saranwrap._arrow"} & set(modules)


def test_a_process_that_has_none_says_so():
    alone("""
import pyarrow, saranwrap, sys
child = saranwrap.Child()
child.wrap_module("sys").modules["pyarrow"] = None
operator = child.wrap_module("operator")
try:
    operator.length_hint(pyarrow.table({"a": [1]}))
except saranwrap.NotTransparent as error:
    assert "pip install 'saranwrap[arrow]'" in str(error), error
else:
    raise AssertionError("it took it")
assert operator.attrgetter("num_rows")(saranwrap.ref(pyarrow.table({"a": [1]}))) == 1
""")


# --- a child that lies ------------------------------------------------------------------------------------------------


class _Suspect:
    is_parent, trust = True, False


def stream(obj, **options):
    sink = pa.BufferOutputStream()
    schema = obj.schema
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write(obj)
    return sink.getvalue().to_pybytes()


def refused(kind, data, match="of Arrow that is none"):
    with pytest.raises(ValueError, match=match):
        _arrow.build(_Suspect, kind, (), data)


def test_what_is_compressed_is_refused():
    data = stream(pa.table({"a": [0] * 1_000_000}), compression="zstd")
    assert len(data) < 100_000
    refused("table", data, "compressed")


def test_a_dictionary_that_grows_is_refused():
    sink = pa.BufferOutputStream()
    one = pa.array(["a", "b"]).dictionary_encode()
    more = pa.DictionaryArray.from_arrays(pa.array([2], pa.int32()), ["a", "b", "c"])
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, pa.schema([("a", one.type)]), options=options) as writer:
        for part in (one, more):
            writer.write(pa.record_batch({"a": part}))
    refused("table", sink.getvalue().to_pybytes(), "adds to another")


def test_buffers_that_lie_over_each_other_are_refused():
    data = stream(pa.table({"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}))
    # The description has a start and a length for each; those of validity are empty.
    second = struct.pack("<qqqq", 32, 0, 32, 32)
    assert data.count(second) == 1
    refused("table", data.replace(second, struct.pack("<qqqq", 32, 0, 8, 32)), "over each other")
    refused("table", data.replace(second, struct.pack("<qqqq", 32, 0, 32, 64)))


def test_offsets_that_lead_outside_are_refused():
    data = stream(pa.table({"a": ["abc", "def"]}))
    offsets = struct.pack("<iii", 0, 3, 6)
    for lie in ((0, 3, 1 << 30), (0, -5, 6), (6, 3, 6)):
        refused("table", data.replace(offsets, struct.pack("<iii", *lie)))


def test_indices_that_lead_outside_are_refused():
    data = stream(pa.table({"a": dictionaries(6)}))
    indices = bytes([0, 1, 2, 0, 1, 2])
    assert data.count(indices) == 1
    refused("table", data.replace(indices, bytes([0, 1, 99, 0, 1, 2])))


def test_texts_that_are_none_are_refused():
    data = stream(pa.table({"a": ["abcdefg"]}))
    refused("table", data.replace(b"abcdefg", b"abc\xff\xfe\xfdg"))


def test_another_thing_than_is_said_is_refused():
    one = stream(pa.table({"a": [1]}))
    two = stream(pa.table({"a": [1], "b": [2]}))
    for kind in ("array", "chunks", "field", "type"):
        refused(kind, two)
    for kind in ("rubbish", "", "table\0", "numpy.ndarray"):
        refused(kind, one)
    for data in (b"", b"\0" * 100, b"\xff" * 100, one[:-40], one[: len(one) // 2], one[10:]):
        refused("batch", data)


def test_rubbish_in_any_place_does_no_harm():
    """In a process of its own: were the promise broken, it would die."""
    alone("""
import random
import saranwrap
from tests.test_arrow import ITEMS, _Suspect, _arrow, pa, stream
chance = random.Random(5)
for name, make in ITEMS.items():
    data = stream(pa.table({"a": make(12)}))
    for _ in range(250):
        lie = bytearray(data)
        for _ in range(chance.choice([1, 1, 2, 8])):
            lie[chance.randrange(len(lie))] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        try:
            found = _arrow.build(_Suspect, "table", (), bytes(lie))
        except (ValueError, saranwrap.NotTransparent):
            continue
        for look in (pa.Table.to_pylist, lambda t: t.take(pa.array([0])), lambda t: t.nbytes, str):
            try:
                found.num_rows < 1000 and look(found)
            except Exception:
                pass
""")


def test_a_frame_that_is_none_is_refused():
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    refused("pandas.DataFrame", stream(pa.schema([("a", pa.list_view(pa.int8()))]).empty_table()), "cannot have")
    refused("pandas.DataFrame", stream(pa.table({"a": [1]}, metadata={"pandas": "[" * 100_000})), "is none")
    refused("pandas.DataFrame", stream(pa.table({"a": [1]}, metadata={"pandas": '{"columns": 5}'})), "is none")
    refused("polars.DataFrame", stream(pa.table({"a": unions(5, "sparse")})), "is none")


def test_a_child_cannot_have_its_parent_write_to_an_address(there):
    given = saranwrap.ref(pa.array([1]))
    for name in ("_export_to_c", "_import_from_c"):
        with pytest.raises(saranwrap.Unreachable):
            there.reach(given, name)
