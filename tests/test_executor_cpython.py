"""CPython's own tests of `concurrent.futures`, with `saranwrap.Executor` where they have `ProcessPoolExecutor`.

They are run from the installed `test` package, which some distributions leave out. Each suite gets a process of its own, for which
this file is started as a script: what the tests leave behind is looked for by themselves.
"""

import importlib
import importlib.util
import json
import subprocess
import sys
import time
import unittest
from concurrent import futures
from pathlib import Path
from unittest import mock

import pytest
import saranwrap

SUITES = {
    "process_pool": ["ProcessPoolExecutorTest"],
    "shutdown": ["ProcessPoolShutdownTest"],
    "deadlock": ["ExecutorDeadlockTest"],
    "init": ["InitializerMixin", "FailingInitializerMixin"],
    "wait": ["WaitTests"],
    "as_completed": ["AsCompletedTests"],
}

# What cannot pass, and why. Each must fail, or it does not belong here.
CANNOT = {
    "test_python_finalization_error": "where no second thread can be started, one child does all the work, and nothing breaks",
    "test_max_tasks_per_child_defaults_to_spawn_context": "there is no context of multiprocessing behind it",
}


def installed():
    try:
        return importlib.util.find_spec("test.test_concurrent_futures.util") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.skipif(not installed(), reason="this Python comes without test.test_concurrent_futures")
@pytest.mark.timeout(170)
@pytest.mark.parametrize("suite", SUITES)
def test_cpython_s_tests_pass(suite):
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_executor_cpython", suite],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=160,
        check=False,
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    failed = {name: text for name, text in told["failed"].items() if name not in CANNOT}
    assert not failed, "\n".join([*failed.values(), done.stderr])
    assert told["run"] > 0
    assert set(told["ran"]) & set(CANNOT) <= set(told["failed"]), "what cannot pass has passed"


# --- in the process of a suite ----------------------------------------------------------------------------------------


class Process:
    """What the tests use of a process."""

    def __init__(self, thread, runner):
        self.thread, self.runner = thread, runner

    def terminate(self):
        while self.runner.child is None:
            # It starts in its thread; the tests count on one that runs.
            time.sleep(0.001)
        self.runner.kill()

    def join(self):
        self.thread.join()


class Threads:
    """What the tests use of the thread that manages the processes, and of its queue."""

    def __init__(self, processes):
        self.processes = processes

    def join(self):
        for process in self.processes.values():
            process.join()

    def join_thread(self):
        pass


class Adapted(saranwrap.Executor):
    """With the inner parts that the tests look at."""

    @property
    def _processes(self):
        return {number: Process(*pair) for number, pair in enumerate(list(self._crew.workers.items()))}

    @property
    def _broken(self):
        return self._crew.broken

    @property
    def _executor_manager_thread(self):
        return Threads(self._processes)

    _call_queue = _executor_manager_thread


def rewritten(assert_python_ok):
    """The programs that the tests start import `Executor`, too."""

    def run(*arguments, **options):
        *flags, text = arguments
        text = text.replace("from concurrent.futures import Adapted", "from saranwrap import Executor as Adapted")
        return assert_python_ok(*flags, text, **options)

    return run


def cases_of(suite):
    util = importlib.import_module("test.test_concurrent_futures.util")
    module = importlib.import_module(f"test.test_concurrent_futures.test_{suite}")
    if suite == "shutdown":
        module.assert_python_ok = rewritten(module.assert_python_ok)
    # With a context these tests would send one of its queues along, which only a fork or spawn of its own can take.
    mixin = {"executor_type": Adapted} if suite == "init" else {"executor_type": Adapted, "ctx": "spawn"}
    # Under the name of one of theirs, since a child has to find it: some tests submit their own methods.
    ours = type("ProcessPoolSpawnMixin", (util.ExecutorMixin,), mixin)
    cases = []
    for name in SUITES[suite]:
        before = dict(vars(module))
        util.create_executor_tests(vars(module), getattr(module, name), executor_mixins=(ours,))
        cases += [thing for key, thing in vars(module).items() if before.get(key) is not thing]
    return unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in cases)


def main(suite):
    tests = cases_of(suite)
    names = [test.id().rpartition(".")[2] for case in tests for test in case]
    outcome = unittest.TestResult()
    with mock.patch.object(futures, "ProcessPoolExecutor", Adapted):
        tests.run(outcome)
    failed = {test.id().rpartition(".")[2]: text for test, text in [*outcome.failures, *outcome.errors]}
    skipped = {test.id().rpartition(".")[2]: text for test, text in outcome.skipped}
    print()
    print(json.dumps({"run": outcome.testsRun, "ran": names, "failed": failed, "skipped": skipped}))


if __name__ == "__main__":
    main(sys.argv[1])
