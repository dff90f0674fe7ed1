"""Under gevent and eventlet a plain call lets the other greenlets run, without any patching. Each test is a program of its own."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GEVENT = """
import gevent
spawn, sleep = gevent.spawn, gevent.sleep
def wait(greenlets): return [greenlet.get() for greenlet in greenlets]
class Timeout(gevent.Timeout): pass
"""
EVENTLET = """
import eventlet
spawn, sleep, Timeout = eventlet.spawn, eventlet.sleep, eventlet.Timeout
def wait(greenlets): return [greenlet.wait() for greenlet in greenlets]
"""


@pytest.fixture(params=["gevent", "eventlet"])
def run(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    world = {"gevent": GEVENT, "eventlet": EVENTLET}[request.param]

    def run(body):
        program = f"{world}\nimport saranwrap\nfrom tests import awaited\n{body}"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout.split()

    return run


def test_other_greenlets_run_while_one_waits(run):
    assert run("""
box = saranwrap.wrap(awaited).make()
ticks = []
def tick():
    while True:
        ticks.append(1)
        sleep(0)
ticking = spawn(tick)
waiting = spawn(box.sleep, 0.1)
assert wait([waiting]) == [0.1]
ticking.kill()
print(len(ticks) > 10)
saranwrap.close(box)
""") == ["True"]


def test_a_thousand_greenlets_share_a_child(run):
    assert run("""
box = saranwrap.wrap(awaited).make()
greenlets = [spawn(box.add, i, 1) for i in range(1000)]
print(wait(greenlets) == list(range(1, 1001)), box.calls)
saranwrap.close(box)
""") == ["True", "1000"]


def test_callbacks_run_in_greenlets_and_may_wait(run):
    assert run("""
box = saranwrap.wrap(awaited).make()
other = saranwrap.wrap(awaited).make()
def back(x):
    sleep(0)
    return box.add(x, other.sleep(0.01) and 1)
greenlets = [spawn(box.call, back, i) for i in range(20)]
print(wait(greenlets) == list(range(1, 21)))
saranwrap.close(box); saranwrap.close(other)
""") == ["True"]


def test_callbacks_of_several_greenlets_do_not_mix(run):
    assert run("""
boxes = [saranwrap.wrap(awaited).make() for _ in range(3)]
def down(box, other, depth):
    sleep(0)
    return depth if depth == 0 else 1 + other.call(lambda: down(other, box, depth - 1)) - 1 + 0
def work(i):
    return boxes[i % 3].call(lambda: down(boxes[i % 3], boxes[(i + 1) % 3], 3))
print(wait([spawn(work, i) for i in range(6)]))
for box in boxes: saranwrap.close(box)
""") == ["[0,", "0,", "0,", "0,", "0,", "0]"]


def test_a_list_is_restored(run):
    assert run("""
box = saranwrap.wrap(awaited).make()
def work(i):
    mine = [i]
    assert box.append(mine, i + 1) is mine
    return mine == [i, i + 1]
print(all(wait([spawn(work, i) for i in range(50)])))
saranwrap.close(box)
""") == ["True"]


def test_what_ends_the_wait_of_a_greenlet_stops_the_call(run):
    assert run("""
box = saranwrap.wrap(awaited).make()
def work():
    try:
        with Timeout(0.05):
            box.forever()
    except Timeout:
        return box.add(1, 2)
print(wait([spawn(work)]))
saranwrap.close(box)
""") == ["[3]"]


def test_a_deadline_ends_the_wait_of_a_greenlet(run):
    assert run("""
box = saranwrap.wrap(awaited).make()
def work():
    try:
        with saranwrap.timeout(0.05):
            box.forever()
    except saranwrap.CallTimeout:
        return box.add(1, 2)
print(wait([spawn(work)]))
saranwrap.close(box)
""") == ["[3]"]


def test_a_death_is_told_to_every_greenlet(run):
    assert run("""
m = saranwrap.wrap(awaited)
box = m.make()
def work():
    try:
        box.forever()
    except saranwrap.ChildDied:
        return "died"
greenlets = [spawn(work) for _ in range(5)]
sleep(0.05)
saranwrap.kill(box)
print(set(wait(greenlets)))
""") == ["{'died'}"]


def test_imported_after_the_child_was_started(run):
    assert run("""
import sys
box = saranwrap.wrap(awaited).make()
print(box.sleep(0.01))
greenlets = [spawn(box.sleep, 0.01), spawn(box.add, 1)]
print(wait(greenlets))
saranwrap.close(box)
""") == ["0.01", "[0.01,", "1]"]


def test_a_thread_without_a_hub_waits_as_ever(run):
    assert run("""
import threading
box = saranwrap.wrap(awaited).make()
found = []
thread = threading.Thread(target=lambda: found.append(box.add(1, 2)))
thread.start(); thread.join(20)
print(found, wait([spawn(box.add, 2, 2)]))
saranwrap.close(box)
""") == ["[3]", "[4]"]


def test_what_does_not_stop_is_killed_and_the_others_run_meanwhile(run):
    body = """
from tests import stops
remote, turns = saranwrap.wrap(stops, timeout=0.5, grace=0.3), []
def tick():
    while True:
        turns.append(1)
        sleep(0.01)
ticking = spawn(tick)
try:
    remote.stubborn()
except saranwrap.CallTimeout as error:
    print(error.stopped, len(turns) > 10)
remote = saranwrap.wrap(stops, timeout=0.5)
for function in stops.BLOCKING:
    try:
        getattr(remote, function.__name__)()
    except saranwrap.CallTimeout as error:
        assert error.stopped == "interrupted", error
print(remote.note(5))
ticking.kill()
"""
    assert run(body) == ["killed", "True", "5"]
