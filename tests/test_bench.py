"""The bench measures what it says it does: every workload runs, and every contestant that is installed can do its acts."""

import dataclasses
import json
import os
import secrets
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from bench import plot, report
from bench.contestants import BY_NAME, ENTRIES
from bench.report import Report
from bench.rounds import Cell, Line, marked, run
from bench.scale import TINY
from bench.workloads import BY_KEY, WORKLOADS, Better, Row
from tests.conftest import settled

OURS, BY_HAND = BY_NAME["saranwrap"], BY_NAME["hand-written pipe"]
PEERS = [entry for entry in ENTRIES if entry not in (OURS, BY_HAND) and entry.name != "ray"]


def figures(line, entry):
    cell = line.cells[entry.name]
    return cell.figures or cell.note


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.key)
def test_every_workload_gives_a_figure_for_each_round(workload):
    pytest.importorskip("numpy")
    told = []
    lines = run(workload, [OURS, BY_HAND], TINY, told.append)
    assert told == []
    for line in lines:
        for entry in (OURS, BY_HAND):
            if workload.fits(entry.load()):
                assert len(figures(line, entry)) == workload.turns(TINY)
            else:
                assert figures(line, entry) == "-"


@pytest.mark.parametrize("entry", PEERS, ids=lambda entry: entry.name)
def test_every_peer_can_be_called(entry):
    if not entry.installed():
        pytest.skip(f"{entry.name} is not installed; `make bench` brings it")
    workload = next(workload for workload in WORKLOADS if workload.fits(entry.load()) and workload.key != "getattr")
    told = []
    run(workload, [entry], TINY, told.append)
    assert told == []


def test_the_acts_of_a_contestant_are_those_of_the_workloads():
    asked = {act for workload in WORKLOADS for act in workload.acts}
    for entry in (OURS, BY_HAND):
        assert set(entry.load().acts) <= asked


def test_who_fails_is_out_and_the_others_go_on(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    broken = dataclasses.replace(BY_HAND, name="broken")
    told = []
    (line,) = run(BY_KEY["call"], [broken, BY_HAND], TINY, told.append)
    assert line.cells["broken"].note == "failed"
    assert "KeyError: 'broken'" in told[0]
    assert figures(line, BY_HAND) != "-"


def test_who_takes_too_long_is_out_and_leaves_nothing_behind(monkeypatch):
    mark = f"test-{os.getpid()}"
    monkeypatch.setattr(secrets, "token_hex", lambda _: mark)
    (line,) = run(BY_KEY["call"], [OURS, BY_HAND], dataclasses.replace(TINY, seconds=60, limit=0.5))
    assert [figures(line, entry) for entry in (OURS, BY_HAND)] == ["timed out", "timed out"]
    assert settled(lambda: not list(marked(mark)))


def made_up():
    rows = [
        (Row("a", "an act", "us", Better.LESS, 1.0), Cell([2.0, 1.0, 9.0]), Cell([30.0])),
        (Row("b", "a <rate>", "GB/s", Better.MORE), Cell([4.0]), Cell(note="timed out")),
        (Row("c", "a third", "GB/s", Better.MORE), Cell([4.0]), Cell([16.0])),
    ]
    lines = [Line(row, {OURS.name: ours, BY_HAND.name: theirs}) for row, ours, theirs in rows]
    return Report(TINY, {"processor": "a fast one"}, [OURS, BY_HAND], lines, 1.0)


def test_ratios_say_how_many_times_better_we_are():
    made = made_up()
    assert report.ratios(made)[1:] == [["an act", "15.0"], ["a <rate>", "-"], ["a third", "0.250"]]
    assert "timed out" in report.text(report.everyone(made))
    page = report.markdown(made, "results.svg")
    assert "| an act | us | 2.00 | 1.00 | 30.0 | hand-written pipe | 15.0x | - |" in page
    assert "a fast one" in page
    document = json.loads(report.to_json(made))
    assert document["rows"][0]["contestants"][OURS.name] == {"median": 2.0, "rounds": [2.0, 1.0, 9.0], "ratio": 1.0}
    assert document["rows"][1]["contestants"][BY_HAND.name] == {"note": "timed out"}


def test_the_picture_has_a_bar_for_us_and_a_mark_for_each_other():
    picture = ET.fromstring(plot.svg(made_up()))
    titles = [title.text for title in picture.iter("{http://www.w3.org/2000/svg}title") if title.text]
    assert titles.count("saranwrap: 2.00 us") == 1
    assert titles.count("hand-written pipe: 16.0 GB/s") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00123, "0.00123"),
        (1.0, "1.00"),
        (12.34, "12.3"),
        (5200, "5200"),
        (26_600, "26.6k"),
        (5e6, "5.00M"),
        (4.2e7, "42.0M"),
    ],
)
def test_figures_have_three_digits(value, text):
    assert report.number(value) == text


def test_the_command_line_names_what_it_does_not_know():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "-k", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no workload has 'nonsense' in its name" in done.stderr
