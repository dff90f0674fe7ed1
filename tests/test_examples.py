"""Every script in examples/ runs by itself, as a reader would start it, and ends well."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted(Path(__file__).parent.parent.joinpath("examples").glob("*.py"))


def run(path):
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, f"{path.name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_shows_something(path):
    assert run(path).strip()


def test_demo_shows_what_it_promises():
    shown = run(EXAMPLES[0].parent / "demo.py")
    for promised in (
        ">>> timeobj = s_time.gmtime(0)",
        "saran:time.struct_time(tm_year=1970, tm_mon=1, tm_mday=1,",
        ">>> timeobj.tm_sec\n0\n",
        "5000 rows written and read back",
        "ChildDied:",
        "SIGSEGV",
        "'object_count':",
    ):
        assert promised in shown
