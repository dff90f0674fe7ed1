"""Twenty seconds of the soak; `make soak MINUTES=5` runs it for longer."""

from __future__ import annotations

import subprocess
import sys


def test_everything_at_once_ends_clean():
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", str(20 / 60)], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clean" in done.stdout
