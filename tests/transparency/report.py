"""The table of a measurement, as text, Markdown and JSON. Runs nothing."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Sequence

from .supervise import Outcome, Run


@dataclasses.dataclass
class Row:
    """One suite: the run on stand-ins, held against the run on the real module.

    The total is the tests that the unwrapped run did not skip. A test that is skipped, or not even found, only on the stand-in
    counts as failed: it did tell the difference.
    """

    name: str
    unwrapped: Run
    wrapped: Run

    @property
    def counted(self) -> list[str]:
        return [key for key, outcome in self.unwrapped.outcomes.items() if outcome.outcome != "skipped"]

    @property
    def total(self) -> int:
        return len(self.counted)

    @property
    def passed(self) -> int:
        return sum(self.wrapped_outcome(key).outcome == "passed" for key in self.counted)

    @property
    def percent(self) -> float:
        return 100.0 * self.passed / self.total if self.total else 0.0

    def wrapped_outcome(self, key: str) -> Outcome:
        return self.wrapped.outcomes.get(key, self.wrapped.missing)

    def failures(self) -> list[tuple[str, Outcome]]:
        """The counted tests that did not pass, and why."""
        found = [(key, self.wrapped_outcome(key)) for key in self.counted]
        return [(key, outcome) for key, outcome in found if outcome.outcome != "passed"]

    def strangers(self) -> list[tuple[str, Outcome]]:
        """Failures of what only the wrapped run has; the loader makes such a test where a module cannot be imported."""
        own = [(key, outcome) for key, outcome in self.wrapped.outcomes.items() if key not in self.unwrapped.outcomes]
        return [(key, outcome) for key, outcome in own if outcome.outcome == "failed"]


HEADINGS = ("suite", "unwrapped", "wrapped", "%", "skipped", "seconds")


def _cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    lines = [
        (
            row.name,
            f"{row.unwrapped.count('passed')}/{row.total}",
            f"{row.passed}/{row.total}",
            f"{row.percent:.1f}",
            str(row.unwrapped.count("skipped")),
            f"{row.unwrapped.seconds:.0f} -> {row.wrapped.seconds:.0f}",
        )
        for row in rows
    ]
    total, passed = sum(row.total for row in rows), sum(row.passed for row in rows)
    unwrapped = sum(row.unwrapped.count("passed") for row in rows)
    skipped = sum(row.unwrapped.count("skipped") for row in rows)
    before, after = (sum(getattr(row, which).seconds for row in rows) for which in ("unwrapped", "wrapped"))
    percent = 100.0 * passed / total if total else 0.0
    lines.append(
        (
            "all",
            f"{unwrapped}/{total}",
            f"{passed}/{total}",
            f"{percent:.1f}",
            str(skipped),
            f"{before:.0f} -> {after:.0f}",
        )
    )
    return lines


def percent_of_all(rows: Sequence[Row]) -> float:
    total = sum(row.total for row in rows)
    return 100.0 * sum(row.passed for row in rows) / total if total else 0.0


def mean_of_suites(rows: Sequence[Row]) -> float:
    return sum(row.percent for row in rows) / len(rows) if rows else 0.0


def text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [HEADINGS, *_cells(rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    shown = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    rule = "-" * len(shown[0])
    return "\n".join(
        [
            shown[0],
            rule,
            *shown[1:-1],
            rule,
            shown[-1],
            f"mean of suites: {mean_of_suites(rows):.1f} %",
            *_notes(rows),
        ]
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    told = [
        f"{row.name} ({run.backend}): {note}"
        for row in rows
        for run in (row.unwrapped, row.wrapped)
        for note in run.notes
    ]
    return told + [f"{row.name}: {key}: {outcome.error}" for row in rows for key, outcome in row.strangers()]


INTRODUCTION = """# Transparency

What CPython's own regression tests make of a proxy: `make transparency` runs them from the `test` package of the running
interpreter, with the module under test replaced by a proxy of it in a child, and writes this page. A test that was skipped
on the real module is not counted; one that is skipped, or not found, only on the proxy counts as failed.

"""


def markdown(rows: Sequence[Row]) -> str:
    """The table for docs/."""
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *_cells(rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    where = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}"
    mode = rows[0].wrapped.backend if rows else "?"
    return (
        INTRODUCTION + f"{table}\n\nMean of suites: {mean_of_suites(rows):.1f} %. Measured with `{mode}` on {where}.\n"
    )


def failures(rows: Sequence[Row]) -> str:
    """Every failed test with the last line of its error."""
    return "\n".join(f"{row.name}: {key}: {outcome.error}" for row in rows for key, outcome in row.failures())


def to_json(rows: Sequence[Row]) -> str:
    """Everything, for other tools: counts, and each failure with its traceback."""
    suites = [
        {
            "suite": row.name,
            "total": row.total,
            "unwrapped_passed": row.unwrapped.count("passed"),
            "passed": row.passed,
            "percent": round(row.percent, 2),
            "skipped": row.unwrapped.count("skipped"),
            "seconds": round(row.wrapped.seconds, 1),
            "unwrapped_seconds": round(row.unwrapped.seconds, 1),
            "workers": row.wrapped.workers,
            "notes": row.wrapped.notes,
            "strangers": [{"test": key, **dataclasses.asdict(outcome)} for key, outcome in row.strangers()],
            "failures": [{"test": key, **dataclasses.asdict(outcome)} for key, outcome in row.failures()],
        }
        for row in rows
    ]
    summary = {
        "python": platform.python_version(),
        "with": rows[0].wrapped.backend if rows else None,
        "total": sum(row.total for row in rows),
        "passed": sum(row.passed for row in rows),
        "percent": round(percent_of_all(rows), 2),
        "mean_of_suites": round(mean_of_suites(rows), 2),
        "suites": suites,
    }
    return json.dumps(summary, indent=1) + "\n"
