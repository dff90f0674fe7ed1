"""The processes that a child's code starts end with the child, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import saranwrap

from tests.conftest import settled
from tests.test_life import exists

pytestmark = pytest.mark.usefixtures("every_start")


# A process that is forgotten while it runs would be warned of.
kept = []


def start(**options):
    kept.append(subprocess.Popen(["sleep", "1000"], **options))
    return kept[-1].pid


def start_a_tree():
    process = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; sleep 1000"], stdout=subprocess.PIPE, text=True)
    kept.append(process)
    return process.pid, int(process.stdout.readline())


def fork():
    pid = os.fork()
    if pid == 0:
        time.sleep(1000)
        os._exit(0)
    return pid


def fork_a_process():
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    process.start()
    kept.append(process)
    return process.pid


def start_one_that_cleans_up(path):
    script = f"trap 'echo cleaned > {path}; exit' TERM; echo ready; while :; do sleep 0.01; done"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    process.stdout.readline()
    kept.append(process)
    return process.pid


def start_one_that_does_not_listen():
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    process.stdout.readline()
    kept.append(process)
    return process.pid


def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    return pid


def run_and_wait():
    return subprocess.run(["sleep", "1000"], check=False).returncode


def crash():
    ctypes.string_at(0)


def leave():
    os._exit(5)


def interrupt_itself():
    os.kill(os.getpid(), signal.SIGKILL)


STARTS = {
    "a program": lambda child: [child.wrap(start)()],
    "one without our streams": lambda child: [
        child.wrap(start)(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ],
    "a tree": lambda child: list(child.wrap(start_a_tree)()),
    "a fork": lambda child: [child.wrap(fork)()],
    "a multiprocessing fork": lambda child: [child.wrap(fork_a_process)()],
    "a stopped program": lambda child: [child.wrap(stop)(child.wrap(start)())],
    "one that ignores SIGTERM": lambda child: [child.wrap(start_one_that_does_not_listen)()],
}


def gone(pids):
    return settled(lambda: not any(exists(pid) for pid in pids))


@pytest.mark.parametrize("what", STARTS)
def test_they_end_when_the_child_is_closed(what):
    child = saranwrap.Child()
    pids = STARTS[what](child)
    assert all(exists(pid) for pid in pids)
    child.close()
    assert gone(pids)


@pytest.mark.parametrize("what", STARTS)
def test_they_end_when_the_child_is_killed(what):
    child = saranwrap.Child()
    pids = STARTS[what](child)
    child.kill()
    assert gone(pids)


@pytest.mark.parametrize("death", [crash, leave, interrupt_itself])
@pytest.mark.parametrize("what", ["a program", "a tree", "a fork", "a multiprocessing fork"])
def test_they_end_when_the_child_dies(what, death):
    child = saranwrap.Child()
    pids = STARTS[what](child)
    with pytest.raises(saranwrap.ChildDied):
        child.wrap(death)()
    assert gone(pids)


def test_they_end_when_the_last_proxy_is_gone():
    p = saranwrap.wrap(start)
    pid = p()
    del p
    assert gone([pid])


def test_they_end_when_the_parent_is_killed(tmp_path):
    script = textwrap.dedent(
        """
        import saranwrap, subprocess, sys
        with saranwrap.Child() as child:
            run = child.wrap(subprocess)
            process = run.Popen(["sleep", "1000"], stderr=run.DEVNULL)
            print(child.pid, process.pid, flush=True)
            sys.stdin.read()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
        parent.wait()
        assert gone(pids)


def test_one_that_is_waited_for_ends_with_the_child_too():
    child = saranwrap.Child()
    run = child.wrap(run_and_wait)
    import threading

    failed = []

    def wait():
        try:
            run()
        except (saranwrap.ChildDied, saranwrap.LinkClosed) as error:
            failed.append(error)

    def below():
        with open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    thread = threading.Thread(target=wait)
    thread.start()
    assert settled(below)
    pids = below()
    child.close()
    thread.join()
    assert len(failed) == 1
    assert gone(pids)


def test_they_are_told_to_end_before_they_are_killed(tmp_path):
    path = tmp_path / "told"
    with saranwrap.Child() as child:
        pid = child.wrap(start_one_that_cleans_up)(path)
    assert gone([pid])
    assert path.read_text() == "cleaned\n"


def test_one_in_a_session_of_its_own_is_left_alone():
    with saranwrap.Child() as child:
        pid = child.wrap(start)(start_new_session=True)
    assert exists(pid)
    os.kill(pid, signal.SIGKILL)


def test_processes_of_others_are_left_alone():
    own = subprocess.Popen(["sleep", "1000"])
    with saranwrap.Child() as other:
        others = other.wrap(start)()
        child = saranwrap.Child()
        child.wrap(start)()
        child.kill()
        child = saranwrap.Child()
        with pytest.raises(saranwrap.ChildDied):
            child.wrap(crash)()
        assert own.poll() is None
        assert exists(others)
    own.kill()
    own.wait()


def test_a_fork_of_the_child_that_ends_in_order_leaves_its_siblings_alone():
    with saranwrap.Child() as child:
        pid = child.wrap(start)()
        process = child.wrap_module("multiprocessing").get_context("fork").Process(target=saranwrap.val(print))
        process.start()
        process.join()
        assert exists(pid)
        assert child.wrap(os).getpid() == child.pid


def fork_and_print():
    pid = os.fork()
    if pid == 0:
        print("from the fork", flush=True)
        os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fork_and_return():
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "nobody waits for this"


def test_a_fork_within_a_call_does_not_use_the_link(capfd):
    with saranwrap.Child() as child:
        p = child.wrap(fork_and_print)
        assert [p(), p()] == [3, 3]
        assert capfd.readouterr() == ("from the fork\n" * 2, "")


def test_a_fork_that_returns_from_the_call_ends(capfd):
    with saranwrap.Child() as child:
        p = child.wrap(fork_and_return)
        assert [p(), p()] == [0, 0]
    assert capfd.readouterr() == ("", "")
