"""The command line: what is measured, how thoroughly, and where the files go."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

from bench import machine, plot, report
from bench.contestants import ENTRIES, Entry, Role
from bench.report import Report
from bench.rounds import Line, run
from bench.scale import SCALES, Scale
from bench.workloads import WORKLOADS, Workload


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default="full", help="how much is done (default: %(default)s)")
    parser.add_argument("--rounds", type=int, metavar="N", help="how many rounds, instead of the scale's")
    parser.add_argument("-k", dest="match", default="", metavar="TEXT", help="only workloads with this in their name")
    parser.add_argument("--with", dest="peers", default="", metavar="A,B", help="only these, and Saranwrap")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write results.md, results.json and results.svg there")
    return parser.parse_args()


def contestants(wanted: str) -> list[Entry]:
    """Those who take part, of those who can."""
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = set(names) - {entry.name for entry in ENTRIES}
    if unknown:
        sys.exit(f"no contestant is called {', '.join(sorted(unknown))}")
    return [
        entry
        for entry in ENTRIES
        if entry.installed() and (not names or entry.name in names or entry.role is Role.OURS)
    ]


def measure(workloads: list[Workload], entries: list[Entry], scale: Scale) -> Report:
    """All the workloads, one after the other, with a word about each."""
    description = machine.describe(entries)
    began = time.monotonic()
    lines: list[Line] = []
    for workload in workloads:
        before = time.monotonic()
        lines += run(workload, entries, scale, say)
        say(f"{workload.key}: {time.monotonic() - before:.0f} s")
    description["load after"] = machine.load()
    return Report(scale, description, entries, lines, time.monotonic() - began)


def say(words: str) -> None:
    """Tell how it is getting on."""
    print(words, file=sys.stderr, flush=True)


def write(done: Report, directory: Path) -> None:
    """The three files."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.md").write_text(report.markdown(done, "results.svg"), encoding="utf-8")
    (directory / "results.json").write_text(report.to_json(done), encoding="utf-8")
    (directory / "results.svg").write_text(plot.svg(done), encoding="utf-8")


def main() -> int:
    """Run."""
    options = arguments()
    scale = SCALES[options.scale]
    if options.rounds:
        scale = dataclasses.replace(scale, rounds=options.rounds)
    workloads = [workload for workload in WORKLOADS if options.match in workload.key]
    if not workloads:
        sys.exit(f"no workload has {options.match!r} in its name: {', '.join(workload.key for workload in WORKLOADS)}")
    done = measure(workloads, contestants(options.peers), scale)
    print(report.text(report.summary(done)), "\n")
    print(report.text(report.everyone(done)))
    if options.out:
        write(done, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
