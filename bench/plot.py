"""The picture: for each row a bar for us and a mark for each other, on a logarithmic axis. Plain SVG, written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from bench.contestants import BY_NAME, Role
from bench.report import Report, number
from bench.rounds import Line
from bench.workloads import Better

_COLOURS = {
    "portable child": "#666666",
    "hand-written pipe": "#0072b2",
    "managers": "#56b4e9",
    "rpyc": "#d55e00",
    "Pyro5": "#cc79a7",
    "execnet": "#e69f00",
    "executor": "#009e73",
    "ray": "#7b4fb5",
    "tarpc": "#8c564b",
    "ipc-channel": "#17becf",
    "procspawn": "#bcbd22",
}
_OURS = "#222222"
_FLOOR = "#999999"
_LEFT, _WIDTH, _RIGHT = 340, 560, 30
_STEP, _BAR = 20, 10
_COLUMNS = 4


def svg(report: Report) -> str:
    """The run as a picture. Rows of one unit share an axis."""
    parts: list[str] = list(_legend(report, 20))
    top = 40 + _STEP * math.ceil(len(report.entries) / _COLUMNS)
    for unit in dict.fromkeys(line.row.unit for line in report.lines):
        panel = [line for line in report.lines if line.row.unit == unit]
        parts += _panel(report, unit, panel, top)
        top += 62 + _STEP * len(panel)
    width = _LEFT + _WIDTH + _RIGHT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{top}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _legend(report: Report, top: float) -> Iterator[str]:
    for index, entry in enumerate(report.entries):
        row, column = divmod(index, _COLUMNS)
        x, y = _LEFT + column * _WIDTH / _COLUMNS, top + row * _STEP
        if entry.role is Role.OURS:
            yield f'<rect x="{x - 5}" y="{y - 5}" width="10" height="{_BAR}" fill="{_OURS}"/>'
        else:
            yield _mark(x, y, entry.name, "")
        yield _text(x + 12, y + 4, entry.name)


def _panel(report: Report, unit: str, lines: Sequence[Line], top: float) -> Iterator[str]:
    figures = [median for line in lines for cell in line.cells.values() if (median := cell.median)]
    low = math.floor(math.log10(min(figures, default=1)))
    high = max(low + 1, math.ceil(math.log10(max(figures, default=1))))
    bottom = top + 34 + _STEP * len(lines)

    def place(value: float) -> float:
        return _LEFT + _WIDTH * (math.log10(value) - low) / (high - low)

    better = "the shorter the better" if lines[0].row.better is Better.LESS else "the longer the better"
    yield _text(_LEFT, top + 12, f"{unit}, {better}", weight="bold")
    for power in range(low, high + 1):
        x = place(10.0**power)
        yield f'<line x1="{x:.1f}" y1="{top + 22}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>'
        yield _text(x, bottom + 14, _power(power), anchor="middle")
    for index, line in enumerate(lines):
        yield from _row(report, line, top + 34 + _STEP * index, place)


def _row(report: Report, line: Line, y: float, place: Callable[[float], float]) -> Iterator[str]:
    yield _text(_LEFT - 10, y + 4, line.row.title.replace("`", ""), anchor="end")
    ours = line.cells[report.ours()].median
    if ours:
        yield _bar(place(ours), y, f"saranwrap: {number(ours)} {line.row.unit}")
    for name, cell in line.cells.items():
        if cell.median and name != report.ours():
            yield _mark(place(cell.median), y, name, f"{name}: {number(cell.median)} {line.row.unit}")


def _bar(end: float, y: float, title: str) -> str:
    width = max(1.0, end - _LEFT)
    return (
        f'<rect x="{_LEFT}" y="{y - _BAR / 2}" width="{width:.1f}" height="{_BAR}" fill="{_OURS}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _mark(x: float, y: float, name: str, title: str) -> str:
    """A disc for a peer, a stroke for a floor."""
    told = f"<title>{escape(title)}</title>"
    if BY_NAME[name].role is Role.FLOOR:
        return f'<rect x="{x - 1.5:.1f}" y="{y - 8}" width="3" height="16" fill="{_FLOOR}">{told}</rect>'
    return f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{_COLOURS[name]}" stroke="#ffffff">{told}</circle>'


def _text(x: float, y: float, content: str, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(content)}</text>'


def _power(power: int) -> str:
    return f"{10.0**power:g}" if power < 0 else f"{10**power:,}"
