"""The interpreter may end in any order: it does not hang, says nothing that was not asked for, and leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid

import pytest

from tests.conftest import settled

pytestmark = pytest.mark.usefixtures("every_start")

BEGINNING = "import atexit, os, signal, sys, threading, time\nimport saranwrap\np = saranwrap.wrap(time)\n"


def processes_with(marker: str) -> list[str]:
    """The processes that have the marker in the environment that they were started with."""
    found = []
    for name in os.listdir("/proc"):
        try:
            # Of a zombie it cannot be read.
            with open(f"/proc/{int(name)}/environ", "rb") as file:
                if marker.encode() in file.read():
                    found.append(name)
        except (OSError, ValueError):
            continue
    return found


def is_asleep(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def run(script: str, send: int | None = None):
    """Run a program; what it came to, once none of its processes is left."""
    marker = f"SARANWRAP_SCENE={uuid.uuid4()}"
    name, _, value = marker.partition("=")
    with subprocess.Popen(
        [sys.executable, "-c", BEGINNING + textwrap.dedent(script)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, name: value},
    ) as program:
        try:
            first = ""
            if send is not None:
                first = program.stdout.readline()
                assert settled(lambda: is_asleep(program.pid))
                program.send_signal(send)
            out, err = program.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            program.kill()
            raise
    assert settled(lambda: not processes_with(marker)), f"left: {processes_with(marker)}"
    return program.returncode, first + out, err


WAITING = """
    begun = threading.Semaphore(0)
    def wait(call):
        begun.release()
        call(1000)
"""

SILENT = {
    "a daemon thread waits in a call": WAITING
    + """
    threading.Thread(target=wait, args=(p.sleep,), daemon=True).start()
    begun.acquire()
    """,
    "many daemon threads wait in calls of several children": WAITING
    + """
    for sleep in [saranwrap.wrap(time).sleep for _ in range(4)]:
        for _ in range(5):
            threading.Thread(target=wait, args=(sleep,), daemon=True).start()
    for _ in range(20):
        begun.acquire()
    """,
    "daemon threads call without end": """
    def call():
        while True:
            p.gmtime(0).tm_year
    for _ in range(4):
        threading.Thread(target=call, daemon=True).start()
    time.sleep(0.05)
    """,
    "a daemon thread waits in a callback": """
    begun = threading.Event()
    q = saranwrap.wrap(map)
    def back(x):
        begun.set()
        time.sleep(1000)
    threading.Thread(target=lambda: list(q(back, [1])), daemon=True).start()
    begun.wait()
    """,
    "proxies in globals, cycles and containers": """
    class Holder: pass
    h = Holder(); h.me = h; h.p = saranwrap.wrap(os); h.cls = type(p.gmtime(0))
    everything = [p, {"p": p.gmtime(0)}, (h.p, h)]
    everything.append(everything)
    Holder.of_class = saranwrap.wrap(sys)
    sys.kept = saranwrap.wrap(os)
    """,
    "a proxy in a thread local": """
    local = threading.local()
    local.p = p.gmtime(0)
    def keep():
        local.p = saranwrap.wrap(os)
        done.set()
        time.sleep(1000)
    done = threading.Event()
    threading.Thread(target=keep, daemon=True).start()
    done.wait()
    """,
    "a generator holds a proxy": """
    # What is met for the first time may have to be imported, and nothing can be any more.
    p.gmtime(0)
    def generate():
        with saranwrap.wrapped(os) as inner:
            try:
                yield inner.getpid()
            finally:
                p.gmtime(0)
    g = generate()
    next(g)
    h = saranwrap.wrap(iter)([1, 2, 3])
    next(h)
    """,
    "a context variable holds a proxy": """
    import contextvars
    contextvars.ContextVar("p").set(p.gmtime(0))
    """,
    "__del__ uses a proxy": """
    class Holder:
        def __init__(self): self.p = saranwrap.wrap(os)
        def __del__(self): self.p.getpid()
    kept = Holder()
    cycle = Holder(); cycle.me = cycle
    """,
    "a finalizer uses a proxy": """
    import weakref
    class Holder: pass
    h = Holder()
    weakref.finalize(h, p.gmtime, 0)
    g = Holder()
    g.reference = weakref.ref(h, lambda _: p.gmtime(0))
    """,
    "a function of the parent is held by the child": """
    q = saranwrap.wrap([])
    q.append(lambda: q)
    q.append(p)
    """,
    "a child was closed, one killed, one died": """
    saranwrap.close(p)
    q = saranwrap.wrap(time); saranwrap.kill(q)
    r = saranwrap.wrap(os)
    try:
        r._exit(1)
    except saranwrap.ChildDied:
        pass
    """,
    "an open pipeline": """
    block = saranwrap.pipeline(p)
    q = block.__enter__()
    promise = q.gmtime(0).tm_year
    """,
    "sys.exit in a thread": """
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()
    q = saranwrap.wrap(sys)
    def leave():
        q.exit(4)
    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    """,
    "a thread goes on after the main one": """
    def later():
        time.sleep(0.1)
        p.gmtime(0).tm_year
        saranwrap.close(p)
    threading.Thread(target=later).start()
    """,
    "output and logs are routed": """
    import logging
    logging.basicConfig(level=logging.DEBUG, handlers=[logging.NullHandler()])
    q = saranwrap.wrap(logging, stdout=print, stderr=lambda line: None)
    q.getLogger("x").warning("y")
    r = saranwrap.wrap(os, stdout="capture", stderr="capture")
    r.write(1, b"x" * 10_000_000)
    """,
    "a callback of dead_callback": """
    q = saranwrap.wrap(os, lambda died: p.gmtime(0))
    """,
    "a fork that ends": """
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    os.waitpid(pid, 0)
    p.gmtime(0).tm_year
    """,
    "a fork by multiprocessing": """
    import multiprocessing
    def work(): saranwrap.wrap(os).getpid()
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
    p.gmtime(0).tm_year
    """,
    "a fork while threads wait": WAITING
    + """
    sleep = p.sleep
    for _ in range(4):
        threading.Thread(target=wait, args=(sleep,), daemon=True).start()
        begun.acquire()
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            q = saranwrap.wrap(time)
            os._exit(q.gmtime(0).tm_year == 1970)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    """,
    "a program with a preexec_fn": """
    import subprocess
    subprocess.run(["true"], preexec_fn=lambda: None, check=True)
    p.gmtime(0).tm_year
    """,
    "a process of the child's": """
    import subprocess
    q = saranwrap.wrap(subprocess)
    q.Popen(["sleep", "1000"], stderr=subprocess.DEVNULL)
    """,
}


@pytest.mark.parametrize("how", SILENT)
def test_the_end_is_silent(how):
    assert run(SILENT[how]) == (0, "", "")


def test_an_exit_handler_may_use_proxies():
    script = """
    atexit.register(lambda: print(p.gmtime(0).tm_year))
    class Holder:
        def __init__(self): self.p = saranwrap.wrap(time)
        def __del__(self): print(self.p.gmtime(0).tm_year)
    kept = Holder()
    """
    assert run(script) == (0, "1970\n1970\n", "")


def test_an_exit_handler_that_is_older_than_the_first_child_may_use_proxies():
    script = "import atexit\natexit.register(lambda: print(p.gmtime(0).tm_year))\n" + BEGINNING
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1970\n", "")


def test_an_exit_handler_may_wrap():
    assert run("atexit.register(lambda: print(saranwrap.wrap(os).getpid() != os.getpid()))") == (0, "True\n", "")


def test_os_exit_leaves_no_child():
    assert run("p.gmtime(0); saranwrap.wrap(os); os._exit(7)") == (7, "", "")


def test_an_unhandled_exception_is_printed_and_nothing_else():
    code, out, err = run("kept = p.gmtime(0)\n1 / 0")
    assert (code, out) == (1, "")
    assert err.endswith("ZeroDivisionError: division by zero\n")
    assert err.count("Traceback") == 1
    assert "Exception ignored" not in err


def test_an_unhandled_exception_of_a_thread_is_printed_and_nothing_else():
    code, out, err = run("threading.Thread(target=lambda: p.strftime(1)).start()")
    assert (code, out) == (0, "")
    assert err.count("Traceback") == 1
    assert "TypeError" in err.splitlines()[-1]


@pytest.mark.parametrize("where", ["p.sleep(1000)", "time.sleep(1000)"])
def test_ctrl_c_ends_it(where):
    code, out, err = run(f"print('go', flush=True)\n{where}", signal.SIGINT)
    assert (code, out) == (-signal.SIGINT, "go\n")
    assert err.endswith("KeyboardInterrupt\n")
    assert err.count("KeyboardInterrupt") <= 2
    assert "Exception ignored" not in err


def test_ctrl_c_in_an_exit_handler_ends_it():
    script = """
    def last():
        print("go", flush=True)
        p.sleep(1000)
    atexit.register(last)
    """
    code, out, err = run(script, signal.SIGINT)
    assert out == "go\n"
    assert err.endswith("KeyboardInterrupt: \n") or err.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_a_signal_that_ends_it_leaves_no_child(number):
    script = """
    import subprocess
    q = saranwrap.wrap(subprocess)
    q.Popen(["sleep", "1000"], stderr=subprocess.DEVNULL)
    print("go", flush=True)
    p.sleep(1000)
    """
    assert run(script, number) == (-number, "go\n", "")


def test_a_signal_to_the_whole_group_leaves_no_process():
    script = """
    import subprocess
    os.setpgid(0, 0)
    q = saranwrap.wrap(subprocess)
    q.Popen(["sleep", "1000"], stderr=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
    print("go", flush=True)
    os.killpg(0, signal.SIGTERM)
    time.sleep(1000)
    """
    assert run(script) == (5, "go\n", "")
