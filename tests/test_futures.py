"""`saranwrap.start`: a call that goes on while its caller does something else."""

import concurrent.futures
import threading

import pytest
import saranwrap

from tests import awaited, stops
from tests.conftest import of_the_native_child


@pytest.fixture
def box():
    with saranwrap.wrapped(awaited) as module:
        yield module.make()


def test_a_future_has_the_result(box):
    assert saranwrap.start(box.add, 1, b=2).result(20) == 3


def test_a_future_raises_what_was_raised(box):
    future = saranwrap.start(box.fail, "no")
    with pytest.raises(ValueError, match="no"):
        future.result(20)
    assert isinstance(future.exception(), ValueError)


def test_the_caller_goes_on_meanwhile(box):
    future = saranwrap.start(box.sleep, 0.05)
    assert not future.done()
    assert future.running()
    assert future.result(20) == 0.05


def test_what_is_done_is_told_without_anybody_waiting(box):
    told = threading.Event()
    saranwrap.start(box.add, 1).add_done_callback(lambda _: told.set())
    assert told.wait(20)


def test_the_tools_of_the_standard_library_wait_for_it(box):
    futures = [saranwrap.start(box.add, i) for i in range(20)]
    assert sorted(future.result() for future in concurrent.futures.as_completed(futures, 20)) == list(range(20))
    done, pending = concurrent.futures.wait(futures, 20)
    assert (len(done), len(pending)) == (20, 0)


def test_many_thousands_are_started(box):
    add = box.add
    futures = [saranwrap.start(add, i, 1) for i in range(20_000)]
    assert [future.result(30) for future in futures] == list(range(1, 20_001))


def test_calls_begin_in_the_order_in_which_they_were_started(box):
    append = box.items.setdefault("log", saranwrap.val([])).append
    futures = [saranwrap.start(append, i) for i in range(3000)]
    concurrent.futures.wait(futures, 30)
    assert list(box.items["log"]) == list(range(3000))


def test_a_list_is_restored_when_the_answer_comes(box):
    mine = [1]
    assert saranwrap.start(box.append, mine, 2).result(20) is mine
    assert mine == [1, 2]


def test_one_that_has_not_begun_is_cancelled(box):
    me = box.me
    holding = saranwrap.start(box.sleep, 0.2)
    futures = [saranwrap.start(me) for _ in range(1500)]
    last = futures[-1]
    assert last.cancel()
    assert last.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        last.result(0)
    assert holding.result(20) == 0.2


def test_one_that_is_on_its_way_is_told_to_stop(box):
    future = saranwrap.start(box.forever)
    assert not future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(20)
    assert saranwrap.start(box.add, 1).result(20) == 1


def test_a_callback_may_wait_for_another_future(box):
    def more(x):
        return saranwrap.start(box.add, x, 1).result(20)

    assert saranwrap.start(box.call, more, 1).result(20) == 2


def test_a_callback_may_use_the_proxy(box):
    assert saranwrap.start(box.call, lambda x: box.add(x, 1), 1).result(20) == 2


def test_a_callback_may_be_a_coroutine_function(box):
    async def twice(x):
        return 2 * x

    assert saranwrap.start(box.call, twice, 21).result(20) == 42


def test_result_waits_no_longer_than_it_is_told_to(box):
    future = saranwrap.start(box.sleep, 0.3)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.01)
    assert future.result(20) == 0.3


def test_an_argument_that_cannot_be_sent_is_told_by_its_future(box):
    class Odd:
        def __reduce__(self):
            raise LookupError("not me")

    future = saranwrap.start(box.give, saranwrap.val(Odd()))
    assert isinstance(future.exception(20), Exception)
    assert saranwrap.start(box.add, 1).result(20) == 1


def test_a_death_is_told_by_every_future(box):
    add = box.add
    futures = [saranwrap.start(box.forever), *(saranwrap.start(add, i) for i in range(1500))]
    saranwrap.kill(box)
    assert all(isinstance(future.exception(20), saranwrap.ChildDied) for future in futures)
    with pytest.raises(saranwrap.ChildDied):
        saranwrap.start(add, 1).result(20)


def test_a_close_is_told_by_every_future(box):
    forever = box.forever
    futures = [saranwrap.start(forever) for _ in range(3)]
    saranwrap.close(box)
    assert all(isinstance(future.exception(20), saranwrap.SaranwrapError) for future in futures)


def test_several_threads_start_and_wait(box):
    def work(n):
        return sum(saranwrap.start(box.add, i).result(30) for i in range(n))

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, [200] * 6)) == [sum(range(200))] * 6


def test_plain_calls_go_on_beside_it(box):
    futures = [saranwrap.start(box.add, i) for i in range(500)]
    assert [box.add(i) for i in range(200)] == list(range(200))
    assert [future.result(20) for future in futures] == list(range(500))


def test_what_is_no_proxy_is_refused():
    with pytest.raises(TypeError, match="proxy"):
        saranwrap.start(len, [])


@pytest.mark.parametrize("how", ["block", "child"])
def test_a_deadline_bounds_a_future(how):
    # The child's own limit is one for the import too, which takes its time on a busy machine.
    with saranwrap.wrapped(stops, timeout=1 if how == "child" else None) as remote:
        with saranwrap.timeout(1 if how == "block" else None):
            future = saranwrap.start(remote.sleeps)
        with pytest.raises(
            saranwrap.CallTimeout, match=r"\(\.\.\.\) took longer than 1 s: it was interrupted"
        ) as caught:
            future.result(20)
        assert (caught.value.stopped, caught.value.seconds) == ("interrupted", 1)
        assert saranwrap.start(remote.note, 5).result(20) == 5


def test_a_future_of_what_does_not_stop_costs_the_child():
    remote = saranwrap.wrap(stops, grace=0.2)
    with saranwrap.timeout(0.1):
        future = saranwrap.start(remote.stubborn)
    with pytest.raises(saranwrap.CallTimeout, match="was killed") as caught:
        future.result(20)
    assert caught.value.stopped == "killed"


def test_a_future_that_waits_for_room_is_bound_too():
    with saranwrap.wrapped(stops) as remote:
        sleeps, note = remote.sleeps, remote.note
        asleep = [saranwrap.start(sleeps) for _ in range(1000)]
        with saranwrap.timeout(0.1):
            waits = saranwrap.start(note, 1)
        with pytest.raises(saranwrap.CallTimeout) as caught:
            waits.result(20)
        assert caught.value.stopped == "unsent"
        for future in asleep:
            future.cancel()


@of_the_native_child("the package that its code imports knows nothing of the call that is served")
def test_a_deadline_that_is_not_reached_leaves_nothing():
    with saranwrap.wrapped(stops) as remote, saranwrap.timeout(1000):
        futures = [saranwrap.start(remote.left) for _ in range(10_000)]
        assert all(0 < future.result(20) <= 1000 for future in futures)


def test_what_is_cancelled_is_interrupted(box):
    with saranwrap.wrapped(stops) as remote:
        for function in stops.CARELESS:
            future = saranwrap.start(getattr(remote, function.__name__))
            assert not future.done()
            future.cancel()
        assert saranwrap.start(remote.note, 0).result(20) == 0


def test_what_is_called_is_there_though_nobody_else_keeps_it():
    with saranwrap.wrapped(stops) as remote:
        for _ in range(3):
            futures = [saranwrap.start(remote.left) for _ in range(5000)]
            assert all(future.result(20) is None for future in futures)
