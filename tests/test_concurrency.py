"""Calls that are under way at once in a child: on threads of it, or as tasks of its event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest
import saranwrap
from saranwrap import CallTimeout, timeout

from tests import stops
from tests.conftest import settled

#: Every way to serve.
EACH = ["serial", 2, "asyncio"]


def at_once(count, work):
    """`work(0)` to `work(count - 1)`, each on a thread of its own; what they returned or raised."""
    results: list[object] = [None] * count

    def run(number):
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return results


# ---- the end ----


def end_of(child):
    """Close it, and say how its process ended: (exit code, signal)."""
    session = child._single
    child.close()
    assert session.wait(30)
    died = session.obituary()
    return died.returncode, died.signal


def test_a_child_ends_in_order_while_a_thread_of_it_is_in_the_middle_of_a_call(capfd):
    child = saranwrap.Child(concurrency=2)
    remote = child.wrap(stops)
    while True:
        # The main thread takes some of them.
        future = saranwrap.start(remote.loops_beside_the_main_thread)
        try:
            assert future.result(0.5)
        except TimeoutError:
            break
    assert end_of(child) == (0, None)
    assert capfd.readouterr().err == ""


def test_a_child_ends_in_order_while_a_thread_of_it_calls_back(capfd):
    child = saranwrap.Child()
    called = threading.Event()
    remote = child.wrap(stops)
    remote.leaves_a_thread_that(called.set)
    # A callback of nobody's call is served by whoever waits for the child.
    assert settled(lambda: remote.sleeps_for(0.01) or called.is_set(), 30)
    assert end_of(child) == (0, None)
    assert "FATAL" not in capfd.readouterr().err


# ---- serial ----


def test_a_serial_child_serves_everything_on_its_main_thread():
    remote = saranwrap.wrap(stops)
    assert at_once(8, lambda _: remote.is_main()) == [True] * 8


@pytest.mark.parametrize("concurrency", EACH)
def test_two_threads_may_call_into_each_other_s_children(concurrency):
    one, other = (saranwrap.wrap(stops, concurrency=concurrency) for _ in range(2))
    met = threading.Barrier(2)

    def cross(first, second):
        # Each child waits for a callback that needs the other one, which waits for one that needs this one.
        def callback():
            met.wait(30)
            return second.calls(lambda: second.calls(first.note, 7))

        return first.calls(callback)

    with timeout(60):
        assert at_once(2, lambda number: cross(one, other) if number else cross(other, one)) == [7, 7]


@pytest.mark.parametrize("concurrency", EACH)
def test_what_is_awaited_runs_to_its_end_in_any_child(concurrency):
    remote = saranwrap.wrap(stops, concurrency=concurrency)
    here = threading.get_ident()
    with timeout(60):
        assert saranwrap.run(remote.calls_from_task(threading.get_ident)) == (here, here)
        numbers = remote.numbers(3)
        assert [saranwrap.run(numbers.__anext__()) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(StopAsyncIteration):
            saranwrap.run(numbers.__anext__())
        with pytest.raises(LookupError, match="as told"):
            saranwrap.run(remote.fails())
        with pytest.raises(SystemExit):
            saranwrap.run(remote.exits())
        with pytest.raises(TypeError, match="await"):
            saranwrap.run(remote.note)


@pytest.mark.parametrize("concurrency", ["serial", 2, "asyncio"])
def test_what_is_awaited_knows_what_is_left(concurrency):
    remote = saranwrap.wrap(stops, concurrency=concurrency)
    with timeout(60):
        with timeout(50):
            assert 0 < saranwrap.run(remote.left_in_task()) <= 50
        assert saranwrap.run(remote.left_in_task()) <= 60
    assert saranwrap.run(remote.left_in_task()) is None


def test_only_what_is_remote_can_be_run():
    with pytest.raises(TypeError, match="expected a proxy"):
        saranwrap.run(object())


@pytest.mark.parametrize("concurrency", [EACH[0], EACH[2]])
def test_an_awaited_call_that_takes_too_long_is_cancelled_as_a_task_is(concurrency):
    remote = saranwrap.wrap(stops, concurrency=concurrency)
    with pytest.raises(CallTimeout):
        timeout(0.1).call(saranwrap.run, remote.sleeps_as_task())
    assert list(remote.told()) == ["cancelled"]
    with pytest.raises(CallTimeout) as caught:
        timeout(0.1).call(saranwrap.run, remote.blocks_the_loop())
    assert caught.value.stopped == "interrupted"
    assert saranwrap.run(remote.left_in_task()) is None


def test_what_is_awaited_may_await_over_the_link_again():
    remote = saranwrap.wrap(stops)
    with timeout(60):
        assert saranwrap.run(remote.awaits_what_a_callback_awaits(lambda: saranwrap.run(remote.left_in_task()))) > 0


# ---- threads ----


def test_calls_of_several_threads_overlap():
    remote = saranwrap.wrap(stops, concurrency=4)
    remote.barrier(4)
    with timeout(60):
        for _ in range(20):
            assert len(set(at_once(4, lambda _: remote.meets(4)))) == 4


def test_one_of_the_threads_is_the_main_one():
    remote = saranwrap.wrap(stops, concurrency=2)
    remote.barrier(2)
    with timeout(60):
        assert sorted(at_once(2, lambda _: remote.meets_on_main(2))) == [False, True]


def test_the_calls_of_a_chain_stay_on_their_thread_on_both_sides():
    remote = saranwrap.wrap(stops, concurrency=4)

    def work(_):
        here = threading.get_ident()
        for _ in range(30):
            before, (callback, between), after = remote.nested(lambda: (threading.get_ident(), remote.thread()))
            if not (before == between == after and callback == here):
                return False
        return True

    with timeout(60):
        assert at_once(6, work) == [True] * 6


def test_more_calls_than_threads_wait_for_their_turn():
    remote = saranwrap.wrap(stops, concurrency=3)
    with timeout(60):
        assert at_once(12, lambda number: [remote.note(number) for _ in range(20)]) == [[n] * 20 for n in range(12)]


def test_calls_on_all_threads_are_interrupted_and_nothing_reaches_the_next_ones():
    remote = saranwrap.wrap(stops, concurrency=4)

    def work(number):
        for round_ in range(5):
            with pytest.raises(CallTimeout):
                timeout(0.05).call(remote.loops)
            if [remote.names(number, round_, n) for n in range(20)] != [(number, round_, n) for n in range(20)]:
                return False
        return True

    assert at_once(4, work) == [True] * 4


# ---- an event loop ----


def test_tasks_overlap_and_answers_come_out_of_order():
    with saranwrap.Child(concurrency="asyncio") as child:
        meeting = child.wrap(stops).Meeting(10)
        with timeout(60):
            # None of them comes back before all have come.
            assert at_once(10, lambda _: saranwrap.run(meeting.come())) == [0] * 10


def test_everything_else_is_served_while_tasks_are_under_way():
    with saranwrap.Child(concurrency="asyncio") as child:
        remote = child.wrap(stops)
        meeting = remote.Meeting(2)
        with timeout(60):
            thread = threading.Thread(target=lambda: saranwrap.run(meeting.come()))
            thread.start()
            while meeting.missing == 2:
                assert remote.note(1) == 1
            assert remote.calls(remote.is_main)
            saranwrap.run(meeting.come())
            thread.join()


def test_large_answers_go_while_the_loop_does_other_things():
    remote = saranwrap.wrap_module("asyncio", concurrency="asyncio")
    data = bytes(5_000_000)
    with timeout(60):
        assert at_once(4, lambda _: saranwrap.run(remote.sleep(0, data)) == data) == [True] * 4


@pytest.mark.filterwarnings("ignore:.*was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_call_that_needs_the_loop_that_waits_for_it_is_a_deadlock():
    remote = saranwrap.wrap(stops, concurrency="asyncio")
    with pytest.raises(saranwrap.Deadlock, match="event loop would run it, and waits for the callback"):
        remote.calls(lambda: saranwrap.run(remote.left_in_task()))
    with pytest.raises(saranwrap.Deadlock):
        saranwrap.run(remote.calls_from_task(lambda: saranwrap.run(remote.left_in_task())))
    assert saranwrap.run(remote.left_in_task()) is None


def test_a_fork_of_a_child_with_a_loop_has_no_part_in_it():
    remote = saranwrap.wrap(stops, concurrency="asyncio")
    meeting = remote.Meeting(2)
    with timeout(60):
        thread = threading.Thread(target=lambda: saranwrap.run(meeting.come()))
        thread.start()
        while meeting.missing == 2:
            # The new process returns from the function as well.
            assert remote.forks() > 0
        assert saranwrap.run(meeting.come()) == 0
        thread.join()


def test_a_child_that_dies_ends_what_was_awaited():
    remote = saranwrap.wrap(stops, concurrency="asyncio")
    meeting = remote.Meeting(5)

    def work(number):
        if number < 3:
            return saranwrap.run(meeting.come())
        while meeting.missing > 2:
            pass
        return saranwrap.kill(remote)

    assert [type(result) for result in at_once(4, work)] == [saranwrap.ChildDied] * 3 + [type(None)]


def test_a_loop_of_the_parent_may_use_threads_for_its_waits():
    async def main():
        with saranwrap.Child(concurrency="asyncio") as child:
            meeting = child.wrap(stops).Meeting(3)
            return await asyncio.gather(*(asyncio.to_thread(saranwrap.run, meeting.come()) for _ in range(3)))

    with timeout(60):
        assert asyncio.run(main()) == [0, 0, 0]


@pytest.mark.parametrize("wrong", ["parallel", 0, -1, True, 2.5, 10**9, None])
def test_another_concurrency_is_refused(wrong):
    with pytest.raises(ValueError, match="concurrency must be"):
        saranwrap.Child(concurrency=wrong)
