"""Lists and tuples of many numbers cross as one run of bytes; nobody sees a difference to others, whichever child it is."""

from __future__ import annotations

import itertools
import math
import struct
import threading

import pytest
import saranwrap


class Whole(int):
    """A subclass: not the number that it is equal to."""


#: What is many and of one kind; what is so but for one item; what is one too few.
ROWS = {
    "one byte": [*range(-128, 128)],
    "two bytes": [*range(-128, 129)],
    "all of two bytes": [-(2**15), 2**15 - 1] * 20,
    "one more than two": [0] * 40 + [2**15],
    "one less than two": [0] * 40 + [-(2**15) - 1],
    "all of four bytes": [-(2**31), 2**31 - 1] * 20,
    "one more than four": [0] * 40 + [2**31],
    "all of eight bytes": [-(2**63), 2**63 - 1] * 20,
    "one more than eight": [0] * 40 + [2**63],
    "one less than eight": [-(2**63) - 1] + [0] * 40,
    "much more": [10**40] * 40,
    "floats": [0.0, -0.0, 1.5, -2.5e300, 5e-324, math.inf, -math.inf] * 10,
    "no numbers": [math.nan, struct.unpack("<d", b"\x01\0\0\0\0\0\xf8\xff")[0]] * 20,
    "a float behind ints": [1] * 40 + [1.0],
    "an int behind floats": [1.0] * 40 + [1],
    "a bool in front": [True] + [1] * 40,
    "a bool behind": [0] * 40 + [False],
    "bools": [True, False] * 20,
    "a subclass": [1] * 40 + [Whole(2)],
    "None behind": [1] * 40 + [None],
    "a text in front": ["1"] + [1] * 40,
    "one too few": [7] * 31,
    "just enough": [7] * 32,
    "a hundred thousand": [*range(-50_000, 50_000)],
}


@pytest.fixture(scope="module", params=["native", "agent"])
def child(request):
    child = saranwrap.Child(child=request.param)
    yield child
    child.close()


@pytest.fixture(scope="module")
def there(child):
    return child.wrap_module("operator")


def told(items):
    """What can be seen of numbers, to the bits of those that are none."""
    return [(type(item), struct.pack("<d", item) if type(item) is float else item) for item in items]


@pytest.mark.parametrize("name", ROWS)
def test_a_tuple_goes_there_and_another_comes_back(there, name):
    row = ROWS[name]
    found = there.getitem(tuple(row), slice(None, None, -1))
    assert type(found) is tuple
    if name == "a subclass":
        found, row = map(int, found), map(int, row)
    assert told(found) == told([*row][::-1])


@pytest.mark.parametrize("name", ROWS)
def test_a_list_goes_there_and_is_fetched(there, name):
    row = ROWS[name]
    found = there.add(row, [])
    if name == "a subclass":
        found, row = map(int, found), map(int, row)
    else:
        found = saranwrap.local(found)
    assert told(found) == told(row)


def test_a_number_that_was_an_argument_is_itself_wherever_it_comes_back(child):
    around = child.wrap_module("builtins").eval("lambda number: (1,) * 40 + (number,)")
    for number in (10**6, 7, True):
        assert around(number)[-1] is number
    floats = child.wrap_module("builtins").eval("lambda number: (1.5,) * 40 + (number,)")
    number = 2.5
    assert floats(number)[-1] is number


def test_a_list_that_was_lent_is_as_the_call_left_it(there):
    row = [*range(1000, 1100)]
    before = list(row)
    there.setitem(row, 50, "text")
    assert row == before[:50] + ["text"] + before[51:]
    there.delitem(row, slice(0, 60))
    assert row == before[60:]
    there.iconcat(row, before)
    assert row == before[60:] + before
    assert all(item is other for item, other in zip(row, before[60:], strict=False))


def test_what_is_put_in_another_order_stays_itself(there):
    row = [float(number) for number in range(100)]
    before = list(row)
    there.methodcaller("reverse")(row)
    assert all(item is other for item, other in zip(row, reversed(before), strict=True))


def test_the_same_list_twice_is_one(there):
    row = [*range(100)]
    pair = [row, row]
    there.setitem(pair, slice(2, 2), [pair[0]])
    assert pair == [row, row, row]
    assert pair[0] is pair[1] is row
    found = saranwrap.local(there.add([row, row], []))
    assert found[0] is found[1] == row


def test_a_list_that_another_thread_changes_is_sent_as_it_was_at_some_time(there):
    row = [1] * 2000
    stop = threading.Event()

    def change():
        for item in itertools.cycle(("text", 1, 2.5, 1)):
            if stop.is_set():
                return
            row[1500] = item
            row.append(row.pop())

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(200):
            found = there.getitem([*row], slice(None))
            assert len(found) in (1999, 2000)
            assert set(found) <= {1, "text", 2.5}
            assert there.length_hint(row) in (1999, 2000)
    finally:
        stop.set()
        thread.join()


def test_a_run_in_an_exception(there):
    with pytest.raises(KeyError) as caught:
        there.getitem({}, (1,) * 100)
    assert caught.value.args == ((1,) * 100,)
