"""Large data: arrays, buffers and bytes cross as they are, nothing is copied that need not be, and every block comes back."""

from __future__ import annotations

import array
import contextlib
import gc
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import saranwrap

from tests.conftest import of_the_native_child

numpy = pytest.importorskip("numpy")

LARGE = 20_000
KINDS = "? i1 u1 i2 <u2 >i2 i4 u4 i8 u8 f2 f4 f8 >f8 g c8 c16 S5 U3 V7 M8[us] m8[D]".split()
RECORD = numpy.dtype([("a", "i1"), ("b", ">f8", (2,)), ("c", [("d", "S3"), ("e", "M8[s]")])])
ALIGNED = numpy.dtype([("a", "i1"), ("b", "f8")], align=True)


@pytest.fixture(scope="module")
def house():
    """One child for all that leave it as it was: each that loads numpy takes a while to start."""
    with saranwrap.Child() as child:
        # As cloudpickle does, when it is first needed there: from then on a thread listens to what the child logs.
        child.wrap_module("logging")
        yield child


@pytest.fixture
def child(house, request):
    """The janitor of blocks: none is left out on either side."""
    yield house
    request.node.funcargs.clear()
    gc.collect()
    # A call by which the child says what it has let go of, and hears of what was let go of here.
    house.status()
    house.status()
    assert house._session.blocks() == (0, 0, 0)


@pytest.fixture
def there(child):
    return child.wrap_module("tests.arrays")


def filled(count, kind):
    """An array of this type, with something in it."""
    dtype = numpy.dtype(kind)
    whole = numpy.resize(numpy.arange(1, 98, dtype=numpy.uint8), count * dtype.itemsize)
    if dtype.kind in "?U":
        return numpy.resize(numpy.arange(7), count).astype(dtype)
    return whole.view(dtype)[:count]


def blocks(child):
    """What the child has and what is in use here, once both have said what they let go of."""
    gc.collect()
    child.status()
    child.status()
    out, _, used = child._session.blocks()
    return out, used


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 10, LARGE])
@pytest.mark.parametrize("kind", [*KINDS, RECORD, ALIGNED], ids=str)
def test_an_array_arrives_as_what_it_is(there, kind, count):
    given = filled(count, kind)
    assert there.looks(given) == ("ndarray", given.dtype.str, given.shape, True, given.tobytes())


@pytest.mark.parametrize("kind", [RECORD, ALIGNED], ids=str)
def test_fields_arrive_with_their_names_and_places(there, child, kind):
    given = filled(LARGE, kind)
    there.keep(given)
    dtype = saranwrap.local(there.kept()).dtype
    assert dtype == kind
    assert dtype.isalignedstruct == kind.isalignedstruct
    assert dtype.fields == kind.fields
    there.forget()


SHAPES = {
    "of no dimension": lambda: numpy.array(5.0),
    "empty in one dimension": lambda: numpy.zeros((3, 0, 2)),
    "large and empty": lambda: numpy.zeros((LARGE, 0)),
    "of three dimensions": lambda: numpy.arange(60.0).reshape(3, 4, 5),
    "large, of three dimensions": lambda: numpy.arange(60_000.0).reshape(30, 40, 50),
    "in the order of Fortran": lambda: numpy.asfortranarray(numpy.arange(60_000.0).reshape(30, 40, 50)),
    "small, in the order of Fortran": lambda: numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
    "in another order": lambda: numpy.arange(60_000.0).reshape(30, 40, 50).transpose(1, 2, 0),
    "every third item": lambda: numpy.arange(60_000.0)[::3],
    "backwards": lambda: numpy.arange(60_000.0)[::-1],
    "one value for all": lambda: numpy.broadcast_to(numpy.float64(3), (200, 300)),
    "unaligned": lambda: numpy.frombuffer(bytes(80_001), numpy.uint8)[1:].view("f8"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_an_array_of_any_shape(there, name):
    given = SHAPES[name]()
    assert there.looks(given) == ("ndarray", given.dtype.str, given.shape, given.flags.writeable, given.tobytes())
    assert saranwrap.local(there.first(saranwrap.ref(given)) is given)


@pytest.mark.parametrize("name", set(SHAPES) - {"one value for all", "unaligned"})
def test_what_the_child_changes_in_an_array_is_changed_in_the_callers_own(there, name):
    given = SHAPES[name]()
    expected = given * 2
    memory = given.ctypes.data
    there.double(given)
    assert numpy.array_equal(given, expected)
    assert given.ctypes.data == memory


@pytest.mark.parametrize("count", [10, LARGE, 1_000_000])
def test_only_what_was_changed_is_put_back(there, count):
    given = numpy.arange(count, dtype=float)
    there.put(given, 3, -1)
    there.put(given, slice(-2, None), -2)
    expected = numpy.arange(count, dtype=float)
    expected[3] = -1
    expected[-2:] = -2
    assert numpy.array_equal(given, expected)


@pytest.mark.parametrize("count", [10, LARGE])
def test_an_array_that_is_read_only_is_so_in_the_child(there, count):
    given = numpy.arange(count)
    given.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        there.double(given)


@pytest.mark.parametrize("count", [10, LARGE])
def test_an_array_that_is_returned_is_itself(there, count):
    given = numpy.arange(count)
    assert there.first(given) is given
    assert there.same(given, given)


def test_changes_are_put_back_when_the_call_raises(there):
    given = numpy.zeros(LARGE)
    with pytest.raises(ValueError, match="no"):
        there.write_and_raise(given)
    assert given[0] == 7


def test_a_callback_sees_what_was_changed_in_a_small_array_before(there):
    given = numpy.zeros(10)
    seen = []

    def tell():
        seen.append(given[0])
        given[1] = 5

    assert there.write_and_tell(given, tell) == 5
    assert seen == [7]


def test_what_a_callback_changes_in_a_large_array_stays(there):
    given = numpy.zeros(LARGE)
    there.write_and_tell(given, lambda: put(given))
    assert (given[0], given[LARGE // 2]) == (7, 5)


def put(given):
    given[LARGE // 2] = 5


@of_the_native_child("it shares no memory with its parent")
def test_an_array_that_is_kept_is_the_childs_own_from_then_on(there, child):
    given = numpy.zeros(LARGE)
    there.keep(given)
    given[0] = 1
    there.put(there.kept(), 1, 2)
    assert list(numpy.asarray(there.kept())[:3]) == [0, 2, 0]
    assert list(given[:3]) == [1, 0, 0]
    assert blocks(child) == (1, 0)
    there.forget()
    assert blocks(child) == (0, 0)


def test_an_array_by_reference_is_shared(there):
    given = numpy.zeros(LARGE)
    there.keep(saranwrap.ref(given))
    given[0] = 3
    assert there.total(there.kept()) == 3
    there.forget()


def test_arrays_of_objects_and_of_subclasses_go_by_reference(there):
    objects = numpy.array([{}, {}])
    assert isinstance(there.type_of(objects), str)
    assert there.first(objects) is objects
    there.put(objects, 0, 5)
    assert objects[0] == 5
    masked = numpy.ma.masked_array([1, 2], [True, False])
    assert there.first(masked) is masked


def test_arrays_inside_of_containers(there):
    one, other = numpy.zeros(LARGE), numpy.ones(LARGE)
    held = {"a": [one, one], "b": (other,)}
    assert there.first(held) is held
    assert held["a"][0] is held["a"][1] is one
    assert held["b"][0] is other


def test_large_bytes_and_bytearrays(there, child):
    data = os.urandom(3_000_001)
    assert there.read_buffer(data) == ("B", (len(data),), data)
    own = bytearray(data)
    there.fill(own, 65)
    assert own == b"A" * len(data)
    assert there.first((data, [data])) == (data, [data])


@of_the_native_child("what it is given by reference lends no buffer there")
def test_other_buffers_stay_references_that_lend_what_they_have(there):
    numbers = array.array("d", range(LARGE))
    assert there.read_buffer(numbers) == ("d", (LARGE,), numbers.tobytes())
    assert there.first(numbers) is numbers
    there.put(numbers, 0, 9.0)
    assert numbers[0] == 9
    view = memoryview(numbers)
    assert there.total(view) == sum(numbers)
    there.put(view, 0, 0.0)
    assert numbers[0] == 0


def test_a_pickle_leaves_its_buffers_out(there, child):
    given = numpy.arange(LARGE, dtype=float)
    there.keep(saranwrap.val({"a": given, "b": numpy.arange(3)}))
    copy = there.kept()["a"]
    there.double(copy)
    assert numpy.array_equal(numpy.asarray(copy), given * 2)
    assert given[1] == 1
    there.forget()


@pytest.mark.parametrize("count", [10, LARGE])
def test_steps_of_a_pipeline_share_an_array(there, count):
    given = numpy.ones(count)
    with saranwrap.pipeline(there) as q:
        q.double(given)
        q.put(given, 3, -1)
        total = q.total(given)
    assert saranwrap.result(total) == 2 * count - 3
    assert (given[0], given[3]) == (2, -1)


@pytest.mark.parametrize("count", [10, LARGE])
def test_what_a_step_of_a_pipeline_keeps_parts_from_what_later_steps_get(there, count):
    given = numpy.ones(count)
    with saranwrap.pipeline(there) as q:
        q.double(given)
        q.keep(given)
        q.double(given)
        q.put(given, 1, 0)
    assert list(given[:3]) == [4, 0, 4]
    assert list(numpy.asarray(there.kept())[:3]) == [2, 2, 2]
    there.put(there.kept(), 2, 9)
    assert given[2] == 4
    there.forget()


@pytest.mark.parametrize("count", [10, LARGE])
def test_an_array_that_changes_before_its_pipeline_is_sent_is_told(there, count):
    given = numpy.ones(count)
    with pytest.raises(saranwrap.SaranwrapError):
        with saranwrap.pipeline(there) as q:
            total = q.total(given)
            given[0] = 5
            saranwrap.result(total)


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 10, LARGE])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind[0] not in "MmV"])
def test_a_remote_array_as_an_array(child, kind, count):
    given = filled(count, kind)
    p = child.wrap(given)
    view = numpy.asarray(p)
    assert (view.dtype, view.shape, view.tobytes()) == (given.dtype, given.shape, given.tobytes())
    assert bytes(p) == given.tobytes()


@pytest.mark.parametrize("name", SHAPES)
def test_a_remote_array_of_any_shape(child, name):
    given = SHAPES[name]()
    p = child.wrap(given)
    view = numpy.asarray(p)
    assert (view.dtype, view.shape, view.tobytes()) == (given.dtype, given.shape, given.tobytes())
    if given.flags.contiguous and given.size:
        assert memoryview(p).strides == memoryview(given).strides
    with pytest.raises(ValueError, match="read-only"):
        view[...] = 1


@pytest.mark.parametrize("kind", [RECORD["b"].base, ALIGNED, numpy.dtype([("x", "i4"), ("y", "c16", (3, 2))])], ids=str)
def test_a_remote_array_of_fields(child, kind):
    given = filled(LARGE, kind)
    view = numpy.asarray(child.wrap(given))
    assert (view.dtype, view.tobytes()) == (kind, given.tobytes())


@pytest.mark.parametrize("flags", ["C", "F", "A"])
def test_buffers_are_lent_in_the_order_that_is_asked_for(child, flags):
    given = numpy.asfortranarray(numpy.arange(60_000.0).reshape(300, 200))
    p = child.wrap(given)
    assert numpy.array_equal(numpy.array(p, order=flags), given)
    assert memoryview(p).f_contiguous
    assert memoryview(p).tobytes("F") == given.tobytes("F")


def test_buffers_of_other_types(child):
    for thing in (array.array("h", range(LARGE)), bytearray(LARGE * 5), memoryview(b"abc")):
        view = memoryview(child.wrap(thing))
        assert view == memoryview(thing)
        assert view.readonly
        assert bytes(child.wrap(thing)) == bytes(thing)


def test_an_array_fetched_by_value_is_ones_own(there, child):
    p = there.make(LARGE)
    fetched = saranwrap.local(p)
    assert type(fetched) is numpy.ndarray
    fetched += 1
    assert numpy.array_equal(fetched, numpy.arange(LARGE) + 1.0)
    assert numpy.asarray(p)[0] == 0
    dates = numpy.arange(LARGE).astype("M8[s]")
    assert numpy.array_equal(saranwrap.local(child.wrap(dates)), dates)
    records = filled(LARGE, RECORD)
    assert saranwrap.local(child.wrap([records, records]))[1].tobytes() == records.tobytes()
    twice = saranwrap.local(child.wrap([dates] * 2))
    assert twice[0] is twice[1]


def test_an_array_of_objects_is_no_plain_data(child):
    with pytest.raises(saranwrap.NotTransparent):
        saranwrap.local(child.wrap(numpy.array([{}])))


def test_numpy_is_not_loaded_for_what_a_child_sends():
    code = """
import saranwrap, sys
child = saranwrap.Child()
p = child.wrap_module("tests.arrays").make(20000)
assert len(bytes(p)) == 160000
try:
    saranwrap.local(p)
except saranwrap.NotTransparent as error:
    assert "numpy" in str(error)
else:
    raise AssertionError("it came")
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})


# --- what lies there already ------------------------------------------------------------------------------------------


@of_the_native_child("it shares no memory with its parent")
def test_what_lies_in_the_arena_is_not_copied_again(there, child):
    given = numpy.arange(LARGE, dtype=float)
    there.keep(given)
    view = numpy.asarray(there.kept())
    assert numpy.array_equal(view, given)
    # One block for both.
    assert blocks(child) == (1, 0)
    del view
    there.forget()
    assert blocks(child) == (0, 0)


@of_the_native_child("it shares no memory with its parent")
def test_a_view_goes_back_without_a_copy(there, child):
    view = numpy.asarray(there.make(LARGE))
    assert there.looks(view[100:10_000]) == ("ndarray", "<f8", (9900,), False, view[100:10_000].tobytes())
    there.keep(view)
    assert blocks(child) == (0, 1)
    assert there.total(there.kept()) == view.sum()
    there.forget()
    del view


def test_what_was_changed_there_is_not_taken_for_what_lies_here(there, child):
    given = numpy.zeros(LARGE)
    there.keep(given)
    there.put(there.kept(), 5, 1)
    assert numpy.asarray(there.kept())[5] == 1
    there.forget()


# --- how long ---------------------------------------------------------------------------------------------------------


def test_a_view_outlives_its_proxy_its_child_and_its_session():
    child = saranwrap.Child()
    p = child.wrap_module("tests.arrays").make(LARGE)
    view, bytes_view = numpy.asarray(p), memoryview(p)
    del p
    gc.collect()
    assert child.wrap([1]) == [1]
    assert view.sum() == sum(range(LARGE))
    child.kill()
    assert view[7] == 7
    del child
    gc.collect()
    assert view[LARGE - 1] == LARGE - 1
    assert bytes_view[8] == 8


@of_the_native_child("it shares no memory with its parent")
def test_blocks_come_back_when_views_die(there, child):
    p = there.make(LARGE)
    views = [numpy.asarray(p) for _ in range(5)]
    assert blocks(child) == (0, 5)
    del views[1:]
    assert blocks(child) == (0, 1)
    thread = threading.Thread(target=views.clear)
    thread.start()
    thread.join()
    assert blocks(child) == (0, 0)


def test_blocks_come_back_when_the_collector_finds_them(there, child):
    circle = [numpy.asarray(there.make(LARGE))]
    circle.append(circle)
    del circle
    assert blocks(child) == (0, 0)


@of_the_native_child("it shares no memory with its parent")
def test_blocks_come_back_when_another_thread_of_the_child_lets_go(there, child):
    there.keep(numpy.zeros(LARGE))
    assert blocks(child) == (1, 0)
    there.forget_in_a_thread()
    assert blocks(child) == (0, 0)


def test_blocks_are_used_again(there, child):
    given = numpy.zeros(LARGE)
    for _ in range(200):
        assert there.total(given) == 0
    p = there.make(LARGE)
    where = {numpy.asarray(p).ctypes.data for _ in range(200)}
    assert len(where) < 10


@of_the_native_child("it shares no memory with its parent")
@pytest.mark.parametrize("given", [numpy.ones(1 << 20, "u1"), bytes(1 << 20), numpy.ones(80 << 20, "u1")], ids=len)
def test_what_came_back_with_an_answer_is_used_for_the_next_call(given):
    """One call after the other needs the pages of one block, whether it is told of ahead of the answer or behind it."""
    others = set(memories())
    with saranwrap.Child() as child:
        there = child.wrap_module("tests.arrays")
        for _ in range(10):
            assert there.first(given) is given
        pages = sum(pages for number, pages in memories().items() if number not in others)
        assert len(given) <= pages <= len(given) + (1 << 16)


def memories():
    """Those that this process writes to for its children, by number, and how many bytes of pages they have."""
    found = {}
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if "saranwrap-parent" in str(descriptor.readlink()):
                status = descriptor.stat()
                found[status.st_ino] = status.st_blocks * 512
    return found


def test_a_used_block_shows_its_new_content(there):
    for number in range(20):
        assert there.total(numpy.full(LARGE, number)) == number * LARGE
        given = numpy.full(LARGE, number)
        there.double(given)
        assert given[5] == 2 * number


def test_blocks_of_a_message_that_is_not_sent_come_back(there, child):
    class Sly:
        def __reduce__(self):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        there.first(numpy.zeros(LARGE), saranwrap.val(Sly()))
    assert blocks(child) == (0, 0)


def test_blocks_of_a_message_that_cannot_be_read_come_back(there, child):
    class Bad:
        def __reduce__(self):
            return len, (5,)

    with pytest.raises(TypeError):
        there.first(saranwrap.val(Bad()), numpy.zeros(LARGE), bytes(LARGE * 8))
    assert blocks(child) == (0, 0)


@of_the_native_child("it shares no memory with its parent")
def test_much_that_is_let_go_of_is_said_at_once(there, child):
    """Without a further call, so that the child need not keep it."""
    p = there.make(10_000_000)
    view = numpy.asarray(p)
    before = child._session.blocks()
    del view
    assert before[2] == 1
    assert child._session.blocks()[2] == 0


def test_a_child_that_is_killed_in_the_middle(there):
    other = saranwrap.Child()
    away = other.wrap_module("tests.arrays")
    with pytest.raises(saranwrap.ChildDied):
        away.killed(numpy.zeros(1_000_000))
    # The other one is none the worse.
    assert there.total(numpy.ones(LARGE)) == LARGE


def test_a_parent_that_is_killed_in_the_middle_leaves_nothing():
    code = """
import numpy, os, saranwrap, signal
there = saranwrap.wrap_module("tests.arrays")
view = numpy.asarray(there.make(1000000))
there.total(numpy.ones(1000000))
there.write_and_tell(numpy.zeros(100000), lambda: os.kill(os.getpid(), signal.SIGKILL))
"""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert done.returncode == -9


def test_a_fork_goes_on_reading():
    there = saranwrap.wrap_module("tests.arrays")
    view = numpy.asarray(there.make(LARGE))
    expected = view.sum()
    go, gone = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gone)
        os.read(go, 1)
        os._exit(0 if view.sum() == expected else 1)
    del view
    gc.collect()
    for _ in range(5):
        numpy.asarray(there.first(saranwrap.ref(numpy.zeros(LARGE))))
        assert numpy.asarray(there.make(LARGE)).sum() == expected
        assert there.total(numpy.zeros(LARGE)) == 0
    os.close(gone)
    os.close(go)
    assert os.waitpid(pid, 0)[1] == 0
    saranwrap.close(there)


def test_a_fork_of_the_child_goes_on_reading():
    with saranwrap.Child() as child:
        there = child.wrap_module("tests.arrays")
        there.sum_in_a_fork(numpy.ones(LARGE))
        for _ in range(5):
            assert there.total(numpy.zeros(LARGE)) == 0
        assert there.sum_of_the_fork() == LARGE


@of_the_native_child("what it is given by reference lends no buffer there")
def test_two_children_pass_an_array_on(there):
    with saranwrap.Child() as other:
        away = other.wrap_module("tests.arrays")
        p = there.make(LARGE)
        assert away.total(p) == sum(range(LARGE))
        assert away.total(numpy.asarray(p)) == sum(range(LARGE))


def test_threads_that_send_and_fetch(there):
    wrong = []

    def work(number):
        for _ in range(20):
            given = numpy.full(LARGE, number)
            if there.total(given) != number * LARGE:
                wrong.append(number)
            p = there.make(LARGE + number)
            if numpy.asarray(p)[-1] != LARGE + number - 1:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_pickled_view_is_an_array_like_any_other(there):
    view = numpy.asarray(there.make(LARGE))
    assert numpy.array_equal(pickle.loads(pickle.dumps(view)), view)
