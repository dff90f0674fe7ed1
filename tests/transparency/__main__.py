"""The command line of the measurement: which suites, which stand-ins, where the table goes."""

from __future__ import annotations

import argparse
import concurrent.futures
import sys
from pathlib import Path

from . import report
from .backends import BACKENDS
from .suites import Suite, named
from .supervise import Limits, Supervisor


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.transparency", description=__doc__)
    parser.add_argument(
        "--with",
        dest="backend",
        choices=BACKENDS,
        default="saranwrap",
        help="what stands in for the module under test",
    )
    parser.add_argument("--only", default="", metavar="A,B", help="only these suites")
    parser.add_argument("--match", default="", metavar="TEXT", help="only tests with this text in their name")
    parser.add_argument(
        "--failures",
        action="store_true",
        help="list each failed test with the last line of its error",
    )
    parser.add_argument("--traces", action="store_true", help="like --failures, with the end of each traceback")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--jobs", type=int, default=2, help="suites at the same time (default: %(default)s)")
    parser.add_argument("--test-limit", type=float, default=20, help="seconds for one test (default: %(default)s)")
    parser.add_argument(
        "--suite-limit",
        type=float,
        default=300,
        help="seconds for one suite (default: %(default)s)",
    )
    parser.add_argument(
        "--at-least",
        type=float,
        default=0,
        metavar="PERCENT",
        help="fail if fewer of all tests pass",
    )
    return parser.parse_args()


def measure(suite: Suite, options: argparse.Namespace) -> report.Row:
    """Run one suite on the real module, then on the stand-in."""
    limits = Limits(test=options.test_limit, suite=options.suite_limit)
    unwrapped = Supervisor(suite.name, "none", limits, options.match).supervise()
    if options.backend == "none":
        wrapped = unwrapped
    else:
        wrapped = Supervisor(suite.name, options.backend, limits, options.match).supervise()
    row = report.Row(suite.name, unwrapped, wrapped)
    print(
        f"{row.name}: {row.passed}/{row.total} in {wrapped.seconds:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    return row


def main() -> int:
    options = arguments()
    suites = named([name for name in options.only.split(",") if name])
    with concurrent.futures.ThreadPoolExecutor(max_workers=options.jobs) as pool:
        rows = list(pool.map(lambda suite: measure(suite, options), suites))
    if options.traces:
        for row in rows:
            for key, outcome in row.failures() + row.strangers():
                print(f"{'=' * 70}\n{row.name}: {key}: {outcome.error}\n{outcome.trace}")
    elif options.failures:
        print(report.failures(rows))
    print(report.text(rows))
    if options.json:
        options.json.write_text(report.to_json(rows), encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.markdown(rows), encoding="utf-8")
    return 0 if report.percent_of_all(rows) >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
