"""In an event loop a proxy is awaited: the same sentences under asyncio, uvloop and trio."""

import asyncio
import contextlib
import importlib.util
import time

import pytest
import saranwrap
from saranwrap import aio

from tests import awaited, stops


def under_asyncio(main):
    return asyncio.run(main())


def under_uvloop(main):
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def under_trio(main):
    return pytest.importorskip("trio").run(main)


@pytest.fixture(scope="module", autouse=True)
def _pipe_of_libuv():
    """It opens a pipe when it is first used, and keeps it."""
    if importlib.util.find_spec("uvloop") is not None:

        async def main():
            pass

        under_uvloop(main)


@pytest.fixture(params=[under_asyncio, under_uvloop, under_trio], ids=["asyncio", "uvloop", "trio"])
def run(request):
    return request.param


@pytest.fixture(params=[under_asyncio, under_uvloop], ids=["asyncio", "uvloop"])
def run_asyncio(request):
    return request.param


async def give_up(asked):
    """Await it for a moment, and be cancelled."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = pytest.importorskip("trio")
        with trio.move_on_after(0.05):
            await asked()
    else:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await asked()


async def together(*jobs):
    """The results of coroutine functions that run at the same time, in any loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = pytest.importorskip("trio")
        results = [None] * len(jobs)

        async def keep(place, job):
            results[place] = await job()

        async with trio.open_nursery() as nursery:
            for place, job in enumerate(jobs):
                nursery.start_soon(keep, place, job)
        return results
    return await asyncio.gather(*(job() for job in jobs))


def test_a_path_is_awaited(run):
    async def main():
        async with aio.wrapped(time) as t:
            return await t.gmtime(0).tm_year

    assert run(main) == 1970


def test_a_path_is_one_request(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()
            await box.me().me().add(1, b=2)
            before = saranwrap.status(aio.proxy(box))["requests"]
            assert await box.me().me().add(1, b=2) == 3
            return saranwrap.status(aio.proxy(box))["requests"] - before - 1

    assert run(main) == 1


def test_what_is_raised_is_raised_where_it_is_awaited(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            with pytest.raises(ValueError, match="no"):
                await m.Box().fail("no")
            with pytest.raises(AttributeError, match="missing"):
                await m.missing.further
            with pytest.raises(TypeError):
                await m.Box().add()
            return await m.Box().add(1)

    assert run(main) == 1


def test_a_list_is_restored_when_the_answer_comes(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            mine = [1]
            assert await m.Box().append(mine, 2) is mine
            return mine

    assert run(main) == [1, 2]


def test_attributes_and_items_are_set_by_functions(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()
            await aio.setattr(box, "colour", "red")
            await aio.setitem(box.items, "a", 1)
            assert (await box.colour, await box.items["a"]) == ("red", 1)
            await aio.delattr(box, "colour")
            await aio.delitem(box.items, "a")
            with pytest.raises(AttributeError):
                await box.colour
            with pytest.raises(KeyError):
                await box.items["a"]
            with pytest.raises(saranwrap.NotTransparent, match=r"aio\.setattr"):
                box.colour = "blue"

    run(main)


def test_coroutines_of_the_child_are_awaited_there(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            with pytest.raises(KeyError, match="gone"):
                await m.fails_later("gone")
            return await m.later(5)

    assert run(main) == 5


def test_iterators_of_both_kinds_are_iterated(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            later = [i async for i in m.count(4)]
            plain = [i async for i in m.plain_count(3)]
            values = [i async for i in m.Box().give((7, 8))]
            return later, plain, values

    assert run(main) == ([0, 1, 2, 3], [0, 1, 2], [7, 8])


def test_context_managers_of_both_kinds_are_entered(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            async with m.opened([]) as inside:
                assert inside == "inside"
            manager = await m.AsyncManager()
            async with manager as same:
                assert same == manager
            async with manager:
                raise ValueError("hidden")
            return [entry async for entry in manager.log]

    assert run(main) == ["in", "out", "in", "hidden"]


def test_remote_objects_are_arguments_and_unfinished_paths_are_not(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()
            assert await m.Box().give(box) == box
            with pytest.raises(saranwrap.NotTransparent, match="await it"):
                await m.Box().give(box.add)

    run(main)


def test_plain_callbacks_are_called(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            return await m.Box().call(lambda x: x * 2, 21)

    assert run(main) == 42


def test_coroutine_functions_are_callbacks(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()

            async def twice(x):
                # The loop goes on meanwhile, and so does the child.
                return 2 * await box.add(x)

            async def fails():
                raise LookupError("not here")

            assert await box.call(twice, 21) == 42
            with pytest.raises(LookupError, match="not here"):
                await box.call(fails)

    run(main)


def test_a_callback_sees_the_list_that_its_call_lent(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            mine = [1]

            def see(theirs):
                theirs.append(2)
                return theirs is mine

            return await m.Box().call(see, mine), mine

    assert run(main) == (True, [1, 2])


def test_many_calls_are_on_their_way_at_once(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()

            async def one(i):
                return await box.add(i, 1)

            return await together(*(lambda i=i: one(i) for i in range(10_000)))

    assert run(main) == list(range(1, 10_001))


def test_who_is_cancelled_stops_the_call_in_the_child(run_asyncio):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()
            task = asyncio.create_task(_await(box.forever()))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.wait_for(_await(box.add(1, 2)), 20)

    assert run_asyncio(main) == 3


async def _await(path):
    return await path


def test_who_is_cancelled_in_trio_stops_the_call_in_the_child():
    trio = pytest.importorskip("trio")

    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()
            with trio.move_on_after(0.05) as scope:
                await box.forever()
            assert scope.cancelled_caught
            with trio.fail_after(20):
                return await box.add(1, 2)

    assert trio.run(main) == 3


def test_a_death_is_told_to_everybody_who_waits(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()
            died = []

            async def wait():
                try:
                    await box.forever()
                except saranwrap.ChildDied as error:
                    died.append(error.pid)

            async def kill():
                saranwrap.kill(aio.proxy(box))

            await together(kill, wait, wait)
            with pytest.raises(saranwrap.ChildDied):
                await box.add(1)
            return len(died)

    assert run(main) == 2


def test_a_loop_ends_and_another_one_goes_on():
    with saranwrap.wrapped(awaited) as m:
        box = aio.remote(m.make())

        async def main():
            return await box.add(1, 1)

        assert [asyncio.run(main()) for _ in range(3)] == [2, 2, 2]


def test_plain_calls_and_awaited_ones_share_a_child(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()
            plain = aio.proxy(box)

            async def both(i):
                first = await box.add(i, 1)
                return first + plain.add(i, 2)

            return await together(*(lambda i=i: both(i) for i in range(50)))

    assert run(main) == [2 * i + 3 for i in range(50)]


def test_outside_of_a_loop_it_says_so():
    with saranwrap.wrapped(awaited) as m:
        waiting = aio.remote(m).make().__await__()
        # Where trio has been imported, it is the one that says so.
        with pytest.raises(RuntimeError, match="asyncio or trio|outside of a run context"):
            next(waiting)


def test_other_tasks_run_while_the_child_works(run_asyncio):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()
            turns = 0

            async def tick():
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            ticking = asyncio.create_task(tick())
            await box.sleep(0.1)
            ticking.cancel()
            return turns

    assert run_asyncio(main) > 10


def test_in_a_child_with_a_loop_coroutines_run_at_the_same_time(run):
    async def main():
        async with aio.wrapped(awaited, concurrency="asyncio") as m:
            event = await m.asyncio.Event()

            async def wait():
                return await event.wait()

            async def set_it():
                await event.set()
                return "set"

            return await together(wait, wait, set_it)

    assert run(main) == [True, True, "set"]


def test_a_deadline_of_the_block_bounds_what_is_awaited(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            box = await m.make()
            with (
                pytest.raises(saranwrap.CallTimeout, match=r"\.forever\(\.\.\.\) took longer than 0.05 s: it was int"),
                saranwrap.timeout(0.05),
            ):
                await box.forever()
            with saranwrap.timeout(20):
                return await box.add(1, 2)

    assert run(main) == 3


def test_a_deadline_of_the_child_bounds_what_is_awaited(run):
    async def main():
        async with aio.wrapped(awaited, timeout=0.5) as m:
            box = await m.make()
            with pytest.raises(saranwrap.CallTimeout) as caught:
                await box.forever()
            return caught.value.stopped, caught.value.seconds, await box.add(1, 2)

    assert run(main) == ("interrupted", 0.5, 3)


def test_what_does_not_stop_is_killed(run):
    async def main():
        async with aio.wrapped(stops, timeout=0.5, grace=0.2) as m:
            with pytest.raises(saranwrap.CallTimeout, match="did not stop within 0.2 s and was killed") as caught:
                await m.stubborn()
            with pytest.raises(saranwrap.ChildDied, match="SIGKILL"):
                await m.note(1)
            return caught.value.stopped

    assert run(main) == "killed"


def test_what_is_late_behind_another_call_costs_no_child(run):
    async def main():
        async with aio.wrapped(stops, grace=0.1) as m:
            note, plain = await m.note, aio.proxy(m)
            first = saranwrap.start(plain.time.sleep, 0.6)
            with pytest.raises(saranwrap.CallTimeout) as caught, saranwrap.timeout(0.1):
                await note(1)
            assert not first.done()
            return caught.value.stopped, first.result(20), await m.done.__len__()

    assert run(main) == ("cancelled", None, 0)


def test_the_child_knows_what_is_left(run):
    async def main():
        async with aio.wrapped(saranwrap) as m:
            with saranwrap.timeout(20):
                one, path = await m.timeout.left(), await m.timeout.left().__round__(9)
            return 0 < one <= 20 and 0 < path <= 20 and await m.timeout.left() is None

    assert run(main)


def test_what_was_cancelled_is_interrupted_in_the_child(run):
    async def main():
        async with aio.wrapped(stops) as m:
            for function in stops.CARELESS:
                await give_up(getattr(m, function.__name__))
            return await m.time.sleep(0)

    assert run(main) is None


def test_a_function_can_be_had(run):
    async def main():
        async with aio.wrapped(awaited) as m:
            make = await m.make
            return await (await make()).add(1, 2)

    assert run(main) == 3
