"""A call that takes too long is stopped, and what comes after it is as if nothing had been."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import saranwrap
from saranwrap import CallTimeout, timeout

from tests import stops
from tests.conftest import settled

SOON = 0.1


@pytest.fixture
def child():
    with saranwrap.Child() as child:
        yield child


@pytest.fixture
def remote(child):
    return child.wrap(stops)


@pytest.mark.parametrize("name", [function.__name__ for function in stops.BLOCKING])
def test_what_blocks_is_interrupted_and_the_next_call_is_right(remote, name):
    function = getattr(remote, name)
    with pytest.raises(CallTimeout) as caught:
        timeout(SOON).call(function)
    assert (caught.value.stopped, caught.value.seconds) == ("interrupted", SOON)
    assert [remote.note(number) for number in range(5)] == [0, 1, 2, 3, 4]


def test_the_error_is_a_timeout_error_that_names_the_act_the_object_and_the_time(remote):
    with pytest.raises(
        TimeoutError, match=r"`callattr` of `sleeps` on a `module` took longer than 0\.1 s: it was interrupted"
    ):
        with timeout(SOON):
            remote.sleeps()
    error = CallTimeout("message", 2.0, "killed", "act")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.seconds, again.stopped, again.act) == ("message", 2.0, "killed", "act")


@pytest.mark.parametrize("name", ["stubborn", "cannot_be_interrupted"])
def test_what_goes_on_all_the_same_is_killed(name):
    remote = saranwrap.wrap(stops, grace=0.2)
    pid = saranwrap.getpid(remote)
    with pytest.raises(CallTimeout, match=rf"\(pid {pid}\) did not stop within 0\.2 s and was killed") as caught:
        timeout(SOON).call(getattr(remote, name))
    assert caught.value.stopped == "killed"
    with pytest.raises(saranwrap.ChildDied, match="SIGKILL"):
        remote.told()


def test_cleaning_up_may_call_back(remote):
    here = []
    with pytest.raises(CallTimeout):
        timeout(SOON).call(remote.cleans_up, lambda: here.append(1) or "cleaned")
    assert (here, list(remote.told())) == ([1], ["cleaned"])


def test_code_that_gives_in_may_return_and_is_late_all_the_same(remote):
    with pytest.raises(CallTimeout) as caught:
        timeout(SOON).call(remote.gives_in)
    assert caught.value.stopped == "cancelled"
    assert list(remote.told()) == ["Stopped"]


def test_code_that_asks_whether_it_was_cancelled_ends_by_itself_or_is_interrupted(remote):
    with pytest.raises(CallTimeout) as caught:
        timeout(SOON).call(remote.watches)
    assert caught.value.stopped in {"cancelled", "interrupted"}
    assert not saranwrap.cancelled()


def test_code_that_was_interrupted_knows_that_nobody_waits(remote):
    with pytest.raises(CallTimeout):
        timeout(SOON).call(remote.notices)
    assert list(remote.told()) == [True]
    assert not remote.calls(saranwrap.cancelled)


def test_a_call_that_never_began_is_not_done_and_harms_nobody(tmp_path):
    remote = saranwrap.wrap(stops, grace=0.05)
    note, stopped = remote.note, []
    os.mkfifo(tmp_path / "gate")
    began, done = threading.Event(), []
    thread = threading.Thread(target=lambda: done.append(remote.waits_at(str(tmp_path / "gate"), began.set)))
    thread.start()
    assert began.wait(5)
    while len(stopped) < 3:
        try:
            timeout(SOON).call(note, len(done))
        except CallTimeout as error:
            stopped.append(error.stopped)
        else:
            # The child was still waiting for the callback, and served this meanwhile.
            done.append("served")
    tmp_path.joinpath("gate").write_text("open", encoding="ascii")
    thread.join()
    assert stopped == ["cancelled"] * 3
    assert done.pop() == "open"
    assert len(remote.told()) == len(done)


def test_the_earliest_deadline_counts(remote):
    for outer, inner in ((SOON, 60), (60, SOON), (SOON, None)):
        with pytest.raises(CallTimeout) as caught, timeout(outer), timeout(inner):
            remote.sleeps()
        assert caught.value.seconds == SOON
    with timeout(None):
        assert timeout.left() is None
        assert remote.note(1) == 1
    with timeout(60):
        with timeout(5):
            assert timeout.left() <= 5
        assert 5 < timeout.left() <= 60
    assert timeout.left() is None


def test_a_block_can_be_used_again_and_in_itself(remote):
    block = timeout(60)
    with block, block:
        assert remote.note(1) == 1
    with block:
        assert timeout.left() > 50
    assert timeout.left() is None


def test_no_argument_of_the_call_is_taken(remote):
    assert timeout(60).call(remote.names, seconds=1, function=2, timeout=3) == (1, 2, 3)


def test_a_child_may_have_a_limit_for_each_call():
    with saranwrap.wrapped(stops, timeout=1) as remote:
        for _ in range(2):
            with pytest.raises(CallTimeout) as caught:
                remote.sleeps()
            assert caught.value.seconds == 1
        with pytest.raises(CallTimeout) as caught:
            timeout(SOON).call(remote.sleeps)
        assert caught.value.seconds == SOON
        assert 0 < remote.left() <= 1


def test_a_time_that_is_over_sends_nothing(remote):
    with timeout(0), pytest.raises(CallTimeout) as caught:
        remote.note("sent")
    assert caught.value.stopped == "unsent"
    assert list(remote.told()) == []


class Slow:
    """It takes until the deadline to be put down."""

    def __reduce__(self):
        while timeout.left():
            pass
        return Slow, ()


def test_arguments_that_take_too_long_to_write_are_not_sent(remote):
    with timeout(SOON), pytest.raises(CallTimeout) as caught:
        remote.note(saranwrap.val(Slow()))
    assert caught.value.stopped == "unsent"
    assert list(remote.told()) == []


def test_a_result_that_takes_too_long_to_write_is_stopped(child):
    remote = child.wrap(stops)
    items = child.wrap_module("builtins").eval("type('Items', (), {'__iter__': lambda s: iter(int, 1)})()")
    with timeout(SOON), pytest.raises(CallTimeout):
        child.wrap_module("builtins").list(items)
    assert remote.note(1) == 1


def test_threads_and_tasks_have_deadlines_of_their_own(remote):
    seen = []

    async def task(seconds):
        with timeout(seconds):
            await asyncio.sleep(0)
            seen.append(round(timeout.left()))

    async def main():
        await asyncio.gather(task(50), task(100), task(70))

    with timeout(60):
        thread = threading.Thread(target=lambda: seen.append(timeout.left()))
        thread.start()
        thread.join()
        asyncio.run(main())
    assert seen[0] is None
    assert sorted(seen[1:]) == [50, 60, 60]


def test_a_deadline_goes_along_with_a_call_and_its_callbacks(remote):
    assert remote.left() is None
    with timeout(60):
        assert 0 < remote.left() <= 60
        assert 0 < remote.calls(timeout.left) <= 60
        assert 0 < remote.calls(remote.left) <= 60
        remote.calls(lambda: timeout(5).call(lambda: seen.append(remote.left())))
    assert remote.left() is None


seen: list[float] = []


def test_a_pipeline_is_bound_as_a_whole(remote):
    with timeout(60), saranwrap.pipeline(remote) as recorded:
        left = recorded.left()
    assert 0 < saranwrap.result(left) <= 60
    with pytest.raises(CallTimeout), timeout(SOON), saranwrap.pipeline(remote) as recorded:
        recorded.note("first")
        recorded.sleeps()
        recorded.note("never")
    assert list(remote.told()) == ["first"]


def test_iteration_is_bound(child):
    forever = child.wrap_module("builtins").eval("(n for n in iter(lambda: __import__('time').sleep(1000), 0))")
    with timeout(SOON), pytest.raises(CallTimeout):
        next(forever)


def test_a_child_of_the_child_is_stopped_first_and_lives_on(remote):
    steps = []
    with pytest.raises(CallTimeout):
        timeout(2).call(remote.asks_a_child_of_its_own, lambda *step: steps.append(step))
    assert remote.note(1) == 1
    assert steps in ([], [("interrupted", "the grandchild is well")])


def test_a_callback_learns_that_nobody_waits_for_it(remote):
    noticed = []

    def callback():
        while not saranwrap.cancelled():
            pass
        noticed.append(1)

    with pytest.raises(CallTimeout):
        timeout(SOON).call(remote.calls, callback)
    assert noticed == [1]
    assert remote.note(1) == 1


def test_a_child_that_does_not_start_in_time_is_killed(tmp_path):
    tmp_path.joinpath("sitecustomize.py").write_text("import time\ntime.sleep(1000)\n", encoding="ascii")
    env = {"PYTHONPATH": str(tmp_path)}
    with timeout(0.5), pytest.raises(CallTimeout, match="starting a child took longer than 0.5 s") as caught:
        saranwrap.Child(env=env, start="cold")
    assert caught.value.stopped == "killed"


def test_a_child_that_does_not_end_in_time_is_killed(child):
    ends = child.wrap_module("atexit")
    ends.register(child.wrap_module("time").sleep, 1000)
    with timeout(0.02), pytest.raises(CallTimeout, match="closing a child") as caught:
        child.close()
    assert caught.value.stopped == "killed"


def test_no_interruption_reaches_the_next_call(remote):
    late = 0
    for round_ in range(150):
        try:
            timeout(0.0002 * (round_ % 15)).call(remote.calls, remote.told)
        except CallTimeout:
            late += 1
        assert remote.note(round_) == round_
    assert late > 10
    assert list(remote.told()) == list(range(150))


def test_many_threads_with_deadlines_share_a_child(remote):
    wrong = []

    def work(name):
        for round_ in range(30):
            try:
                timeout(0.001 * (round_ % 4 + 1)).call(remote.sleeps)
            except CallTimeout:
                pass
            if remote.names(name, round_, 0) != (name, round_, 0):
                wrong.append((name, round_))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("wrong", [-1, "2", float("nan"), [1]])
def test_what_is_no_time_is_refused(wrong):
    with pytest.raises(ValueError, match="seconds"):
        timeout(wrong)
    for name in ("timeout", "grace"):
        with pytest.raises(ValueError, match=name):
            saranwrap.Child(**{name: wrong})


def test_ctrl_c_does_not_kill_a_child_that_goes_on():
    script = textwrap.dedent(
        """
        import os, signal, threading, saranwrap
        from tests import stops
        p = saranwrap.wrap(stops, grace=0.2)
        began = threading.Event()
        def interrupt():
            began.wait()
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        def work():
            began.set()
            p.stubborn()
        try:
            work()
        except KeyboardInterrupt:
            print("interrupted", saranwrap.Child is not None)
        child = saranwrap.getpid(p)
        os.kill(child, 0)
        print("it lives")
        saranwrap.kill(p)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("interrupted True\nit lives\n", "")


def test_ctrl_c_in_a_call_is_ctrl_c_in_the_child():
    script = textwrap.dedent(
        """
        import os, signal, threading, saranwrap
        from tests import stops
        p = saranwrap.wrap(stops)
        pid = os.getpid()
        try:
            p.calls(lambda: threading.Timer(0.1, os.kill, (pid, signal.SIGINT)).start())
            p.gives_in()
        except KeyboardInterrupt:
            print(*p.told())
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("KeyboardInterrupt\n", "")


def test_nothing_of_a_call_that_was_stopped_is_left(child):
    remote = child.wrap(stops)

    class Kept:
        pass

    for name in ("sleeps", "note"):
        function = getattr(remote, name)
        with pytest.raises(CallTimeout):
            timeout(SOON).call(
                remote.calls, lambda _function, _kept: time.sleep(0) or remote.sleeps(), function, Kept()
            )
    remote.note(1)
    session = child._session
    remote.note(2)
    assert settled(lambda: remote.note(3) == 3 and session.counts()[0] <= 3), session.counts()
