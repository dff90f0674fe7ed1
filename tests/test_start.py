"""How children start: cold, warm from a zygote, with modules that were loaded before; and what becomes of zygotes."""

from __future__ import annotations

import builtins
import concurrent.futures
import contextlib
import gc
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import saranwrap
from saranwrap import _zygote
from saranwrap._native import OPS, rehearse

from tests.conftest import of_the_native_child, settled
from tests.test_life import exists

pytestmark = of_the_native_child("it is always started cold, and this is about the other way")


def how(p):
    return saranwrap.status(p)["start"]


def run(script, **options):
    """A program of its own, where nothing has been started yet."""
    options = {"capture_output": True, "text": True, "timeout": 50, "check": True} | options
    return subprocess.run([sys.executable, "-c", textwrap.dedent(script)], **options)  # noqa: PLW1510  it is among the options


@pytest.fixture
def anew():
    """No zygote and no preloaded module, before and after."""

    def forget():
        _zygote.close_all()
        _zygote._preloaded = ()

    forget()
    yield
    forget()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module that can be imported here and in children."""

    def make(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    monkeypatch.syspath_prepend(str(tmp_path))
    return make


# --- cold or warm -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("anew")
def test_the_first_child_starts_cold_and_the_others_warm():
    children = [saranwrap.wrap(time) for _ in range(3)]
    assert [how(p) for p in children] == ["cold", "warm", "warm"]
    assert saranwrap.status(children[0])["why_cold"] == "the first of its kind"
    assert saranwrap.status(children[1])["why_cold"] == ""
    assert len(_zygote.pids()) == 1


@pytest.mark.usefixtures("anew")
def test_each_child_can_be_told_how_to_start():
    assert how(saranwrap.wrap(time, start="warm")) == "warm"
    assert how(saranwrap.wrap(time, start="cold")) == "cold"
    assert how(saranwrap.wrap_module("time", start="warm")) == "warm"
    with saranwrap.wrapped(time, start="cold") as p:
        assert how(p) == "cold"


def test_another_word_for_how_is_refused():
    with pytest.raises(ValueError, match="must be"):
        saranwrap.wrap(time, start="hot")


@pytest.mark.usefixtures("anew")
def test_the_environment_can_forbid_zygotes(monkeypatch):
    monkeypatch.setenv("SARANWRAP_START", "cold")
    assert [how(saranwrap.wrap(time)) for _ in range(3)] == ["cold"] * 3
    assert _zygote.pids() == set()


@pytest.mark.usefixtures("anew")
def test_children_of_several_threads_start_at_once():
    found, errors = [], []

    def start():
        try:
            p = saranwrap.wrap(os, start="warm")
            found.append((p.getpid(), how(p)))
        except Exception as error:  # noqa: BLE001  told below
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(dict(found)) == 12
    assert {word for _, word in found} == {"warm"}
    assert len(_zygote.pids()) == 1


@pytest.mark.usefixtures("anew")
def test_there_are_four_zygotes_at_most():
    for number in range(6):
        env = {**os.environ, "PYTHONHASHSEED": str(number + 1)}
        assert saranwrap.wrap(hash, env=env, start="warm")("x") == saranwrap.wrap(hash, env=env, start="cold")("x")
    assert len(_zygote.pids()) == 4


# --- as if started anew -----------------------------------------------------------------------------------------------

LOOKS = {
    "parent": "__import__('os').getppid()",
    "argv": "__import__('sys').argv",
    "the whole command": "__import__('sys').orig_argv",
    "path": "__import__('sys').path",
    "flags": "tuple(__import__('sys').flags)",
    "warnings": "__import__('sys').warnoptions",
    "main": "sorted(__import__('sys').modules['__main__'].__dict__)",
    "environment": "dict(__import__('os').environ)",
    "C environment": "sorted(__import__('subprocess').check_output('env').splitlines())",
    "directory": "__import__('os').getcwd()",
    "signals": "[str(__import__('signal').getsignal(n))[:9] for n in range(1, 65)]",
    "mask": "sorted(__import__('signal').pthread_sigmask(0, []))",
    "mask of files": "(__import__('os').umask(0o77), __import__('os').umask(0o77))[0]",
    "threads": "__import__('threading').active_count()",
    "main thread": "__import__('threading').main_thread().native_id == __import__('os').getpid()",
    "name of the thread": "__import__('threading').current_thread().name",
    "group": "__import__('os').getpgid(0), __import__('os').getsid(0)",
    "limits": "__import__('resource').getrlimit(7)",
    "streams": "[(s.fileno(), s.encoding, s.line_buffering) for s in (__import__('sys').__stdout__, __import__('sys').__stderr__)]",
    "stack": "len(__import__('inspect').stack())",
    "descriptors": "sorted(__import__('os').listdir('/proc/self/fd'))[:3]",
    "garbage": "__import__('gc').isenabled(), __import__('gc').get_freeze_count(), __import__('gc').get_threshold()",
    "switching": "__import__('sys').getswitchinterval(), __import__('sys').getrecursionlimit()",
    "faults": "__import__('faulthandler').is_enabled()",
    "signal at the end": "__import__('ctypes').CDLL(None).prctl(2, __import__('ctypes').byref(__import__('ctypes').c_int()))",
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_warm_child_looks_as_a_cold_one_does(look):
    cold, warm = (saranwrap.wrap(eval, start=start)(LOOKS[look]) for start in ("cold", "warm"))
    assert str(cold) == str(warm)


def test_a_warm_child_is_our_own_child():
    p = saranwrap.wrap(os, start="warm")
    assert p.getppid() == os.getpid()
    assert saranwrap.getpid(p) == p.getpid()
    # Only a parent may ask for this.
    assert os.waitid(os.P_PID, p.getpid(), os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def test_a_warm_child_has_the_environment_of_this_moment(monkeypatch):
    monkeypatch.setenv("ADDED", "one \udc80")
    there = saranwrap.wrap(os, start="warm").environ
    assert there["ADDED"] == "one \udc80"
    monkeypatch.delenv("ADDED")
    assert "ADDED" not in saranwrap.wrap(os, start="warm").environ


def test_a_warm_child_has_the_environment_that_it_was_given():
    env = {"ONLY": "this", "PATH": os.environ["PATH"]}
    there = saranwrap.wrap(os, env=env, start="warm")
    assert dict(there.environ.items()) == env | {
        # An interpreter that starts without a locale sets one.
        name: value
        for name, value in saranwrap.wrap(os, env=env, start="cold").environ.items()
        if name == "LC_CTYPE"
    }
    assert "ONLY=this" in there.popen("env").read().splitlines()


def test_a_warm_child_starts_where_it_is_told(tmp_path, monkeypatch):
    assert saranwrap.wrap(os, cwd=tmp_path, start="warm").getcwd() == str(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert saranwrap.wrap(os, start="warm").getcwd() == str(tmp_path)


def test_a_zygote_does_not_keep_a_directory_in_use(tmp_path):
    saranwrap.close(saranwrap.wrap(os, cwd=tmp_path, start="warm"))
    assert {os.readlink(f"/proc/{pid}/cwd") for pid in _zygote.pids()} == {"/"}


def test_a_warm_child_has_the_descriptors_that_are_to_be_inherited():
    reading, writing = os.pipe()
    other, kept = os.pipe()
    try:
        os.set_inheritable(writing, True)
        with saranwrap.Child(start="warm") as child:
            assert child.status()["start"] == "warm"
            assert child.wrap(os).write(writing, b"by number") == 9
            assert os.read(reading, 100) == b"by number"
            with pytest.raises(OSError, match="Bad file descriptor"):
                child.wrap(os).fstat(kept)
        # Nobody else holds it open: not even the zygote.
        os.close(writing)
        assert os.read(reading, 1) == b""
    finally:
        for fd in (reading, other, kept):
            os.close(fd)


def test_a_number_that_the_zygote_itself_uses_is_free_for_a_child():
    reading, writing = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, reading)
        stack.callback(os.close, writing)
        numbers = [number for number in range(3, 30) if not _is_open(number)]
        for number in numbers:
            os.dup2(writing, number)
            stack.callback(os.close, number)
        with saranwrap.wrapped(os, start="warm") as remote:
            assert all(remote.fstat(number).st_ino == os.fstat(writing).st_ino for number in numbers)


def _is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_what_a_new_process_inherits_is_that_of_this_moment():
    before = os.umask(0o22)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        first = saranwrap.wrap(os, start="warm").umask(0)
        os.umask(0o27)
        resource.setrlimit(resource.RLIMIT_CORE, (0 if soft else min(4096, hard) if hard > 0 else 0, hard))
        with saranwrap.Child(start="warm") as child:
            assert (first, child.wrap(os).umask(0)) == (0o22, 0o27)
            assert tuple(child.wrap(resource).getrlimit(resource.RLIMIT_CORE)) == resource.getrlimit(
                resource.RLIMIT_CORE
            )
    finally:
        os.umask(before)
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def test_warm_children_do_not_draw_the_same_numbers():
    assert saranwrap.wrap(random, start="warm").random() != saranwrap.wrap(random, start="warm").random()
    with saranwrap.Child(start="warm") as child:
        assert child.wrap(random).random() != random.random()


@pytest.mark.parametrize("start", ["cold", "warm"])
def test_a_child_of_a_parent_without_a_standard_output_has_none(start):
    script = f"""
        import os, sys, saranwrap
        os.close(1)
        sys.stdout = None
        with saranwrap.Child(start={start!r}) as child:
            print(child.wrap(sys).__stdout__ is None, file=sys.stderr)
            child.wrap_module("builtins").print("nobody hears")
    """
    assert run(script).stderr == "True\n"


def test_a_warm_child_reads_our_standard_input():
    script = "import saranwrap, builtins; print(saranwrap.wrap(builtins, start='warm').input())"
    assert run(script, input="a line\n").stdout == "a line\n"


def test_a_cold_child_loads_nothing_that_it_does_not_use():
    bare = set(run("import sys; print(*sys.modules)").stdout.split())
    slow = {
        "typing",
        "subprocess",
        "ast",
        "traceback",
        "tokenize",
        "re",
        "pickle",
        "decimal",
        "datetime",
        "inspect",
        "threading",
    }
    with saranwrap.Child(start="cold") as child:
        there = child.wrap(sys).modules
        assert child.wrap(time).gmtime(0).tm_year == 1970
        assert [name for name in sorted(slow - bare) if name in there] == []


# --- preloading -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("anew")
def test_a_preloaded_module_is_there_without_importing(module):
    name = module("loaded_before", "import os\npid = os.getpid()\n")
    saranwrap.preload(name)
    (zygote,) = _zygote.pids()
    for _ in range(2):
        p = saranwrap.wrap_module(name)
        assert how(p) == "warm"
        assert p.pid == zygote != saranwrap.getpid(p)
    assert saranwrap.wrap_module(name, start="cold").pid != zygote


@pytest.mark.usefixtures("anew")
def test_classes_of_a_preloaded_module_are_described_before_the_fork(module):
    text = """
        class Plain:
            size = 3

        class Changed:
            pass

        def change():
            Changed.__len__ = lambda self: 7
    """
    name = module("with_classes", text)
    # What is told of the abstract base classes of a class is told anew when any class is registered with one.
    other = "import collections.abc\nclass Late: pass\ncollections.abc.Sized.register(Late)"
    saranwrap.preload(name, module("that_registers", other))
    with saranwrap.Child() as child:
        foreseen = child.wrap_module("saranwrap._mirrors")._described
        classes = child.wrap_module(name)
        assert classes.Plain in foreseen
    with saranwrap.Child() as child:
        classes = child.wrap_module(name)
        before = saranwrap.status(classes)["requests"]
        plain = classes.Plain()
        # The object, and how many requests there were. What the class is like comes along.
        assert saranwrap.status(plain)["requests"] == before + 2
        assert not hasattr(type(plain), "__len__")
        assert plain.size == 3
        # What was described is not what it is by now.
        classes.change()
        assert len(classes.Changed()) == 7


@pytest.mark.usefixtures("anew")
def test_preloaded_modules_add_up(module):
    saranwrap.preload(module("first_one", ""))
    saranwrap.preload(module("second_one", ""), time)
    there = saranwrap.wrap(sys).modules
    assert "first_one" in there
    assert "second_one" in there
    assert len(_zygote.pids()) == 1


@pytest.mark.usefixtures("anew")
def test_a_preloaded_module_says_nothing_twice(module, capfd):
    saranwrap.preload(module("says_something", "print('once')\n"))
    for _ in range(3):
        saranwrap.close(saranwrap.wrap(builtins))
    assert capfd.readouterr().out == "once\n"


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('not today')\n", "RuntimeError: not today"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
            "threads run in it",
        ),
        ("import os\nos._exit(5)\n", "exit code 5"),
    ],
    ids=["missing", "raises", "exits", "threads", "dies"],
)
def test_a_module_that_cannot_be_preloaded_changes_nothing(module, text, why):
    name = module("not_to_be_loaded_before", text)
    with pytest.raises(saranwrap.SaranwrapError) as caught:
        saranwrap.preload(name)
    assert why in str(caught.value)
    assert _zygote.pids() == set()
    assert [how(saranwrap.wrap(time)) for _ in range(2)] == ["cold", "warm"]


def test_preload_wants_names_or_modules():
    with pytest.raises(TypeError, match="int"):
        saranwrap.preload(3)


@pytest.mark.usefixtures("anew")
def test_numpy_can_be_preloaded():
    pytest.importorskip("numpy")
    saranwrap.preload("numpy.random")
    first, second = (saranwrap.wrap_module("numpy") for _ in range(2))
    assert (how(first), how(second)) == ("warm", "warm")
    assert first.random.rand() != second.random.rand()
    assert float((first.ones((200, 200)) @ first.ones((200, 200))).sum()) == 200.0**3


@pytest.mark.usefixtures("anew")
def test_a_child_that_cannot_be_forked_any_more_starts_cold(module):
    """A thread that a fork hook starts is there from the first fork on."""
    text = """
        import os, threading, time
        def start():
            threading.Thread(target=time.sleep, args=(60,), daemon=True, name="late").start()
        os.register_at_fork(after_in_parent=start)
    """
    saranwrap.preload(module("late_threads", text))
    assert how(saranwrap.wrap(time)) == "warm"
    p = saranwrap.wrap(time)
    assert how(p) == "cold"
    assert "other threads run in it" in saranwrap.status(p)["why_cold"]
    with pytest.raises(saranwrap.Refused, match="other threads run in it"):
        saranwrap.wrap(time, start="warm")


# --- the life of zygotes ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("start", ["auto", "warm"])
def test_a_zygote_that_was_killed_is_replaced(start):
    saranwrap.close(saranwrap.wrap(time, start="warm"))
    (zygote,) = _zygote.pids()
    os.kill(zygote, signal.SIGKILL)
    words = [how(saranwrap.wrap(time, start=start)) for _ in range(3)]
    assert words[-1] == "warm"
    assert zygote not in _zygote.pids()


@pytest.mark.usefixtures("anew")
def test_a_start_that_failed_once_does_not_keep_the_child(monkeypatch):
    saranwrap.close(saranwrap.wrap(time, start="warm"))
    warm, failing = _zygote._warm, [True]

    def fail_once(*arguments):
        if failing:
            failing.pop()
            raise saranwrap.SaranwrapError("not now")
        return warm(*arguments)

    monkeypatch.setattr(_zygote, "_warm", fail_once)
    gc.disable()
    try:
        p = saranwrap.wrap(time, start="warm")
        pid = saranwrap.getpid(p)
        del p
        assert settled(lambda: not exists(pid))
    finally:
        gc.enable()


@pytest.mark.usefixtures("anew")
def test_children_outlive_their_zygote():
    p = saranwrap.wrap(os, start="warm")
    (zygote,) = _zygote.pids()
    os.kill(zygote, signal.SIGKILL)
    assert settled(lambda: not exists(zygote))
    assert p.getpid() == saranwrap.getpid(p)


@pytest.mark.usefixtures("anew")
def test_the_next_child_is_forked_ahead():
    saranwrap.close(saranwrap.wrap(time, start="warm"))
    for _ in range(3):
        (spare,) = _zygote.spares()
        p = saranwrap.wrap(os, start="warm")
        assert p.getpid() == saranwrap.getpid(p) == spare
        assert spare not in _zygote.spares()


def test_a_rehearsal_serves_all_that_is_asked_in_it():
    asked = [(OPS["import"], 0, ("time",)), (OPS["getattr"], 1, ("sleep",)), (OPS["getattr"], 1, ("monotonic",))]
    given = []

    def perform(session):
        session.serve()
        given.append(session.counts()[0])

    rehearse(asked, perform)
    assert given == [len(asked)]


@pytest.mark.usefixtures("anew")
def test_a_spare_that_was_killed_is_done_without():
    saranwrap.close(saranwrap.wrap(time, start="warm"))
    (spare,) = _zygote.spares()
    os.kill(spare, signal.SIGKILL)
    for _ in range(3):
        p = saranwrap.wrap(time, start="warm")
        assert how(p) == "warm"
        assert saranwrap.getpid(p) != spare


@pytest.mark.usefixtures("anew")
def test_spares_end_with_their_zygote():
    saranwrap.close(saranwrap.wrap(time, start="warm"))
    (spare,) = _zygote.spares()
    _zygote.close_all()
    assert settled(lambda: not exists(spare))


@pytest.mark.usefixtures("anew")
def test_children_that_are_started_at_once_are_all_different():
    saranwrap.close(saranwrap.wrap(time, start="warm"))
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        children = list(threads.map(lambda _: saranwrap.wrap(os, start="warm"), range(24)))
    assert len({child.getpid() for child in children}) == 24
    assert len(_zygote.spares()) == 1


@pytest.mark.parametrize("end", ["pass", "os._exit(0)", "os.kill(os.getpid(), 9)", "sys.exit(3)"])
def test_no_zygote_outlives_its_parent(end):
    script = f"""
        import os, sys, time, saranwrap
        from saranwrap import _zygote
        p = saranwrap.wrap(time, start="warm")
        print(saranwrap.getpid(p), *_zygote.pids(), *_zygote.spares(), flush=True)
        {end}
    """
    done = run(script, check=False)
    assert done.stderr == ""
    assert len(done.stdout.split()) == 3
    for pid in done.stdout.split():
        assert settled(lambda pid=pid: not exists(int(pid)), 1.0)


def test_no_zygote_outlives_a_parent_that_dies_while_it_loads(tmp_path):
    (tmp_path / "endless.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(1000)\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import saranwrap; saranwrap.preload('endless')"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        zygote = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    assert settled(lambda: not exists(zygote), 2.0)


def test_waiting_for_a_module_to_load_can_be_interrupted(tmp_path):
    (tmp_path / "endless.py").write_text(
        "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(1000)\n"
    )
    script = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import saranwrap
        from saranwrap import _zygote
        try:
            saranwrap.preload('endless')
        except KeyboardInterrupt:
            print("interrupted", _zygote.pids())
    """
    assert run(script).stdout == "interrupted set()\n"


def test_ctrl_c_leaves_zygotes_alone():
    script = """
        import os, signal, time, saranwrap
        from saranwrap import _zygote
        saranwrap.close(saranwrap.wrap(time, start="warm"))
        before = _zygote.pids()
        try:
            os.killpg(0, signal.SIGINT)
            time.sleep(50)
        except KeyboardInterrupt:
            pass
        saranwrap.close(saranwrap.wrap(time, start="warm"))
        print(len(before), before == _zygote.pids())
    """
    done = run(script, start_new_session=True)
    assert (done.stdout, done.stderr) == ("1 True\n", "")


def test_a_forked_parent_has_zygotes_of_its_own():
    script = """
        import os, time, saranwrap
        from saranwrap import _zygote
        saranwrap.close(saranwrap.wrap(time, start="warm"))
        before = _zygote.pids()
        if os.fork() == 0:
            p = saranwrap.wrap(os, start="warm")
            assert p.getppid() == os.getpid()
            print(len(_zygote.pids()), _zygote.pids() & before, flush=True)
            os._exit(0)
        os.wait()
        saranwrap.close(saranwrap.wrap(time, start="warm"))
        print(before == _zygote.pids())
    """
    assert run(script).stdout == "1 set()\nTrue\n"


def test_a_zygote_ends_with_its_parent_though_a_fork_of_that_lives_on():
    script = """
        import os, sys, time, saranwrap
        from saranwrap import _zygote
        saranwrap.close(saranwrap.wrap(time, start="warm"))
        print(*_zygote.pids(), flush=True)
        if os.fork() == 0:
            sys.stdin.read()
            os._exit(0)
        os._exit(0)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        zygote = int(parent.stdout.readline())
        parent.wait()
        assert settled(lambda: not exists(zygote), 2.0)


def test_a_child_may_have_warm_children_itself():
    with saranwrap.Child(start="warm") as child:
        inner = child.wrap_module("saranwrap")
        p = inner.wrap_module("os", start="warm")
        assert p.getppid() == child.pid
        assert p.getpid() not in {child.pid, os.getpid()}
