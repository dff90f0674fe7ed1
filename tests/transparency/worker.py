"""One process, one suite: loads the tests, runs them and streams each outcome as a line of JSON. Judges nothing."""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import os
import random
import sys
import traceback
import unittest
from typing import Any, TextIO

from test import support

from . import replace
from .backends import BACKENDS
from .suites import Suite, named

#: What the runner and the tests' support code stand on: imported before any module is replaced, it keeps the real ones.
FOUNDATIONS = (
    "doctest",
    "inspect",
    "pickle",
    "unittest.mock",
    "test.support.import_helper",
    "test.support.os_helper",
    "test.support.script_helper",
    "test.support.threading_helper",
    "test.support.warnings_helper",
)


class Stream:
    """Lines of JSON to the supervisor. Real classes are bound here, since a test may replace what `json` is."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._encode = json.JSONEncoder().encode

    def say(self, event: str, **fields: Any) -> None:
        self._out.write(self._encode({"event": event, **fields}) + "\n")
        self._out.flush()


def error_lines(error: tuple[Any, Any, Any]) -> dict[str, str]:
    """The last line of an error, and the end of its traceback. Formatting may itself meet a proxy that fails."""
    try:
        whole = "".join(traceback.format_exception(*error)).rstrip()
        summary = traceback.format_exception_only(*error[:2])[-1].strip()
    except BaseException as failure:
        return {
            "error": f"{getattr(error[0], '__name__', '?')} (not printable: {type(failure).__name__})",
            "trace": "",
        }
    first_line = next((line for line in summary.splitlines() if line.strip()), summary)
    return {"error": first_line[:300], "trace": whole[-6000:]}


class StreamedResult(unittest.TestResult):
    """Tells the stream what starts and how it ended. A subtest that fails makes its test fail, once."""

    def __init__(self, stream: Stream, keys: dict[int, str], limit: float) -> None:
        super().__init__()
        self._stream = stream
        self._keys = keys
        self._limit = limit
        self._outcome: dict[str, str] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._outcome = {"outcome": "passed"}
        self._stream.say("start", key=self._keys[id(test)])
        if self._limit:
            # A watchdog in C: it ends the process even where the test never comes back to Python.
            faulthandler.dump_traceback_later(self._limit, exit=True)

    def stopTest(self, test: unittest.TestCase) -> None:
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)
        self._stream.say("end", key=self._keys[id(test)], **self._outcome)
        self.failures.clear()
        self.errors.clear()

    def _not_passed(self, test: Any, error: tuple[Any, Any, Any]) -> None:
        if id(test) not in self._keys:
            self._stream.say("fixture", name=str(test), **error_lines(error))
        elif self._outcome["outcome"] != "failed":
            self._outcome = {"outcome": "failed", **error_lines(error)}

    def addError(self, test: Any, err: Any) -> None:
        self._not_passed(test, err)

    def addFailure(self, test: Any, err: Any) -> None:
        self._not_passed(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self._not_passed(test, err)

    def addSkip(self, test: Any, reason: str) -> None:
        if hasattr(test, "test_case"):
            return  # a subtest: the rest of its test still counts
        if id(test) not in self._keys:
            self._stream.say("fixture", name=str(test), skipped=True, error=reason, trace="")
        elif self._outcome["outcome"] == "passed":
            self._outcome = {"outcome": "skipped", "error": reason}

    def addUnexpectedSuccess(self, test: Any) -> None:
        self._outcome = {"outcome": "failed", "error": "unexpected success", "trace": ""}


def keyed(tests: list[unittest.TestCase]) -> dict[str, unittest.TestCase]:
    """The tests by a name that is the same in every run; a repeated id gets a number."""
    found: dict[str, unittest.TestCase] = {}
    for test in tests:
        key, count = test.id(), 1
        while key in found:
            count += 1
            key = f"{test.id()}#{count}"
        found[key] = test
    return found


def load(suite: Suite, backend_name: str) -> list[unittest.TestCase]:
    """The suite's tests, seeing the module under test as the backend makes it."""
    backend_class = BACKENDS[backend_name]
    loader = unittest.TestLoader()
    if backend_class is None:
        return suite.load(loader, lambda real: real)
    backend = backend_class()
    if suite.module is not None:
        # Everything the tests import is loaded with the real module first; then only the tests are imported again.
        suite.load(unittest.TestLoader(), lambda real: real)
        replace.forget_tests()
        replace.Replacement(suite.module, backend).install()
    return suite.load(loader, backend.type)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.transparency.worker")
    parser.add_argument("suite")
    parser.add_argument("--with", dest="backend", choices=BACKENDS, required=True)
    parser.add_argument("--stream", type=int, required=True, help="descriptor for the lines of JSON")
    parser.add_argument("--limit", type=float, required=True, help="seconds for each test; 0 for none")
    parser.add_argument("--done", required=True, help="file with the keys of tests not to run, one a line")
    parser.add_argument("--match", default="", help="run only tests with this in their key")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    sys.argv[1:] = []
    os.set_inheritable(options.stream, False)
    faulthandler.enable()
    random.seed(0)
    for name in FOUNDATIONS:
        importlib.import_module(name)
    support.use_resources = []  # as regrtest does by default: no long or large tests
    with open(options.done, encoding="utf-8") as lines:
        done = set(lines.read().splitlines())
    stream = Stream(os.fdopen(options.stream, "w", encoding="utf-8"))
    try:
        tests = keyed(load(named([options.suite])[0], options.backend))
    except BaseException:
        stream.say("broken", **error_lines(sys.exc_info()))
        return
    chosen = {key: test for key, test in tests.items() if options.match in key}
    stream.say("collected", keys=list(chosen))
    result = StreamedResult(stream, {id(test): key for key, test in tests.items()}, options.limit)
    unittest.TestSuite(test for key, test in chosen.items() if key not in done).run(result)
    stream.say("finished")


if __name__ == "__main__":
    main()
