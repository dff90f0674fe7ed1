"""The same stories under every way of waiting, one at a time and many at once; each run of the tests has one transport."""

import asyncio
import contextlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import saranwrap

from tests import awaited, fronts

ROOT = Path(__file__).parent.parent


def under_asyncio(stories):
    asyncio.run(fronts.in_asyncio(stories))


def under_uvloop(stories):
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(fronts.in_asyncio(stories))


def under_trio(stories):
    pytest.importorskip("trio").run(fronts.in_trio, stories)


HERE = {
    "threads": lambda stories: fronts.in_threads(stories, fronts.plainly),
    "futures": lambda stories: fronts.in_threads(stories, fronts.by_future),
    "asyncio": under_asyncio,
    "uvloop": under_uvloop,
    "trio": under_trio,
}


@pytest.fixture(scope="module", autouse=True)
def _pipe_of_libuv():
    """It opens a pipe when it is first used, and keeps it."""
    if importlib.util.find_spec("uvloop") is not None:
        under_uvloop([])


def tell_elsewhere(world, name):
    """A world of greenlets changes the process that it is in."""
    if importlib.util.find_spec(world) is None:
        pytest.skip(f"{world} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.fronts", world, name],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("story", fronts.STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize("front", [*HERE, "gevent", "eventlet"])
def test_a_story(front, story):
    if front not in HERE:
        tell_elsewhere(front, story.__name__)
        return
    with saranwrap.wrapped(awaited) as m:
        HERE[front]([story(m)])


@pytest.mark.parametrize("front", [*HERE, "gevent", "eventlet"])
def test_many_stories_at_once(front):
    if front not in HERE:
        tell_elsewhere(front, "all at once")
        return
    with saranwrap.wrapped(awaited) as m:
        HERE[front]([story(m) for story in fronts.SOCIABLE for _ in range(20)])


def test_a_story_that_is_not_true_fails():
    def wrong(m):
        assert (yield m.make, ()) is None

    for front in HERE.values():
        with saranwrap.wrapped(awaited) as m, pytest.raises(BaseException) as caught:  # noqa: PT011  any, in a group or alone
            front([wrong(m)])
        found = caught.value
        while isinstance(found, BaseExceptionGroup):
            (found,) = found.exceptions
        with contextlib.suppress(pytest.skip.Exception):
            assert isinstance(found, AssertionError)
