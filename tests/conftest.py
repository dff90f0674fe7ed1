"""The janitor: after each test no child, no zombie, no descriptor and no thread is left that was not there before it."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator

import hypothesis  # noqa: F401  it asks the collector who refers to what, so it comes before anything is kept from that
import pytest
from saranwrap import _zygote

# A shell that runs this in the background has these ignored, and so would all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_DFL)


def of_the_native_child(why: str) -> pytest.MarkDecorator:
    """For a test of something that the portable child leaves out, and why: a run with SARANWRAP_CHILD=agent passes over it."""
    return pytest.mark.skipif(os.environ.get("SARANWRAP_CHILD") == "agent", reason=f"the portable child: {why}")


@pytest.fixture(autouse=True, scope="module")
def long_lived() -> None:
    """What is there before the tests of a module stays: the janitor need not look through it twice for each of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["cold", "warm"])
def every_start(request, monkeypatch):
    """The same for a child that starts an interpreter and for one that is forked; also in programs that the test starts."""
    if request.param == "warm" and os.environ.get("SARANWRAP_CHILD") == "agent":
        pytest.skip("the portable child is always started cold")
    monkeypatch.setenv("SARANWRAP_START", request.param)
    return request.param


def children() -> set[int]:
    """The processes whose parent is this one, zombies included."""
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        # A thread may end between the listing and the reading.
        with (
            contextlib.suppress(FileNotFoundError),
            open(f"/proc/self/task/{thread}/children", encoding="ascii") as file,
        ):
            found.update(int(pid) for pid in file.read().split())
    return found


def descriptors() -> set[str]:
    """What this process has open, by target: a number may be used again."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue
    return {entry for entry in found if "eventfd" not in entry}


def settled(condition, seconds: float = 3.0) -> bool:
    """Whether the condition comes true. Ending is the kernel's business, so there is nothing else to wait on."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture(autouse=True)
def janitor(request) -> Iterator[None]:
    """Nothing is left behind. A thread's own eventfd stays as long as the thread does, so those are not counted."""
    if "_world" in request.fixturenames:
        yield
        return
    gc.collect()
    processes, files, threads = children(), descriptors(), set(threading.enumerate())
    zygotes = _zygote.pids()
    yield
    # The test's arguments would live until the report is written.
    request.node.funcargs.clear()
    gc.collect()
    assert settled(lambda: children() - _zygote.pids() - _zygote.spares() <= processes), (
        f"processes left: {children() - processes}"
    )
    # One zygote of each kind stays, with its control socket, its process descriptor and the end of its stderr.
    allowed = 3 * len(_zygote.pids() - zygotes)
    # Another thread may have held something while there was a look for cycles.
    few = lambda: len(descriptors() - files) <= allowed or (gc.collect() >= 0 and len(descriptors() - files) <= allowed)  # noqa: E731
    assert settled(few), f"descriptors left: {descriptors() - files}"
    # trio keeps idle threads for some seconds.
    ours = lambda: {thread for thread in threading.enumerate() if not thread.name.startswith("Trio thread")}  # noqa: E731
    assert settled(lambda: ours() <= threads), f"threads left: {ours() - threads}"
