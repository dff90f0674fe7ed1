"""What runs in the child for the tests of columnar data."""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.compute

KEPT: list = []


def first(thing, *rest):
    return thing


def same(one, other):
    return one is other


def class_of(thing):
    return type(thing).__module__, type(thing).__qualname__


def equals(one, other):
    return one.equals(other)


def is_pickled(name="pickle"):
    return name in sys.modules


def reach(thing, name):
    return object.__getattribute__(thing, name)(8)


def keep(thing):
    KEPT.append(thing)


def kept():
    return KEPT[-1]


def forget():
    KEPT.clear()


def table(count):
    return pa.table({"a": pa.array(range(count), pa.int64()), "b": [str(n) for n in range(count)]})


def total(given):
    return pa.compute.sum(pa.table(given)["a"]).as_py()


def from_stream(given):
    return pa.RecordBatchReader.from_stream(given).read_all()


def reader(count):
    return table(count).to_reader(10)
