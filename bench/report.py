"""The lines as a table for the terminal and for Markdown, and as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.contestants import BY_NAME, Entry, Role
from bench.rounds import Cell, Line
from bench.scale import Scale
from bench.workloads import Better

# From where on, by what, and what it is called then.
_PREFIXES = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))


@dataclass(frozen=True)
class Report:
    """All that a run brought.

    Args:
        scale: how much was done.
        machine: where, as names and texts.
        entries: who took part.
        lines: the rows.
        seconds: how long it took.
    """

    scale: Scale
    machine: dict[str, str]
    entries: Sequence[Entry]
    lines: Sequence[Line]
    seconds: float

    def ours(self) -> str:
        """Our own name."""
        return next(entry.name for entry in self.entries if entry.role is Role.OURS)


def number(value: float) -> str:
    """Three digits that count: 0.123, 12.3, 1230, 45.6k, 1.23M."""
    if value == 0:
        return "0"
    for least, size, prefix in _PREFIXES:
        if abs(value) >= least:
            return f"{_digits(value / size)}{prefix}"
    return _digits(value)


def _digits(value: float) -> str:
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 6)}f}"


def told(cell: Cell) -> str:
    """The cell's text."""
    return cell.note if cell.median is None else number(cell.median)


def best(line: Line, role: Role) -> tuple[str, float] | None:
    """The best of those in that role, and its figure."""
    medians = {
        name: cell.median for name, cell in line.cells.items() if BY_NAME[name].role is role and cell.median is not None
    }
    if not medians:
        return None
    pick = min if line.row.better is Better.LESS else max
    name = pick(medians, key=lambda name: medians[name])
    return name, medians[name]


def ahead(line: Line, theirs: float, ours: float | None) -> float | None:
    """How many times better ours is."""
    if not ours or not theirs:
        return None
    return theirs / ours if line.row.better is Better.LESS else ours / theirs


def summary(report: Report) -> list[list[str]]:
    """The short table: us, what we aim at, the best peer and how far ahead of it we are, and the floor."""
    rows = [["workload", "unit", "saranwrap", "goal", "best peer", "", "we are ahead by", "floor", ""]]
    for line in report.lines:
        ours = line.cells[report.ours()]
        peer, floor = best(line, Role.PEER), best(line, Role.FLOOR)
        ratio = ahead(line, peer[1], ours.median) if peer else None
        rows.append(
            [
                line.row.title,
                line.row.unit,
                told(ours),
                _goal(line.row.goal),
                number(peer[1]) if peer else "-",
                peer[0] if peer else "",
                "-" if ratio is None else f"{_digits(ratio)}x",
                number(floor[1]) if floor else "-",
                floor[0] if floor else "",
            ]
        )
    return rows


def _goal(goal: float | str | None) -> str:
    if goal is None:
        return ""
    return goal if isinstance(goal, str) else number(goal)


def everyone(report: Report) -> list[list[str]]:
    """The wide table: each contestant's median."""
    names = [entry.name for entry in report.entries]
    rows = [["workload", "unit", *names]]
    rows += [[line.row.title, line.row.unit, *(told(line.cells[name]) for name in names)] for line in report.lines]
    return rows


def ratios(report: Report) -> list[list[str]]:
    """How many times better ours is than each other's: below 1 it is worse."""
    names = [entry.name for entry in report.entries if entry.role is not Role.OURS]
    rows = [["workload", *names]]
    for line in report.lines:
        ours = line.cells[report.ours()].median
        cells = [ahead(line, line.cells[name].median or 0, ours) for name in names]
        rows.append([line.row.title, *("-" if cell is None else _digits(cell) for cell in cells)])
    return rows


def text(rows: list[list[str]]) -> str:
    """For a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    )


def _markdown_table(rows: list[list[str]], words: int) -> str:
    """A table whose first columns hold words, and the others figures."""
    rule = ["---" if index < words else "---:" for index in range(len(rows[0]))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def markdown(report: Report, plot: str) -> str:
    """The page.

    Args:
        report: the run.
        plot: the name of the picture beside it.
    """
    machine = "\n".join(f"| {name} | {value} |" for name, value in report.machine.items())
    hint = {
        "full": "",
        "quick": "\n\n**This was a quick run**: few and short rounds. It shows sizes, not percents.",
        "tiny": "\n\n**This was a trial of the programs**: its figures mean nothing.",
    }
    return f"""<!-- `make bench` wrote this page. README.md beside it says how to read it. -->
# Figures

{len(report.lines)} rows, medians of {report.scale.rounds} interleaved rounds ({max(1, report.scale.rounds // 2)} where a turn \
is long), in {report.seconds:.0f} s.{hint.get(report.scale.name, "")}

{_markdown_table(summary(report), 2)}

![the same as a picture]({plot})

## Everyone

{_markdown_table(everyone(report), 2)}

## How many times better Saranwrap is

Below 1 it is worse.

{_markdown_table(ratios(report), 1)}

## The machine

| | |
|---|---|
{machine}

## The lines that were timed

{_lines(report)}
"""


def _lines(report: Report) -> str:
    """What each contestant's user would write, as it was compiled."""
    blocks = []
    for entry in report.entries:
        acts = entry.load().acts
        shown = [f"# {name}\n{statement}" for name, statement in acts.items()]
        blocks.append(f"{entry.name}:\n\n```text\n" + "\n".join(shown) + "\n```")
    return "\n\n".join(blocks)


def to_json(report: Report) -> str:
    """Everything, with the figure of each round."""
    document = {
        "scale": report.scale.name,
        "machine": report.machine,
        "seconds": round(report.seconds, 1),
        "rows": [_row(report, line) for line in report.lines],
    }
    text = json.dumps(document, indent=1)
    # The figures of the rounds on one line, for those who read it all the same.
    return re.sub(r"\[\s+([-\d.,e\s]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _row(report: Report, line: Line) -> dict[str, Any]:
    ours = line.cells[report.ours()].median
    cells: dict[str, Any] = {}
    for name, cell in line.cells.items():
        if cell.median is None:
            cells[name] = {"note": cell.note}
            continue
        ratio = ahead(line, cell.median, ours)
        cells[name] = {
            "median": float(f"{cell.median:.4g}"),
            "rounds": [float(f"{figure:.4g}") for figure in cell.figures],
            "ratio": None if ratio is None else float(f"{ratio:.4g}"),
        }
    return {
        "key": line.row.key,
        "title": line.row.title,
        "unit": line.row.unit,
        "better": line.row.better.value,
        "goal": line.row.goal,
        "contestants": cells,
    }
