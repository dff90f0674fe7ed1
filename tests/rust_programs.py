"""Rust programs that tests start, built when they are needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def built(kind: str, name: str) -> str:
    """The executable of this example ("example") or integration test ("test") of the engine. Without cargo the test is skipped."""
    cargo = shutil.which("cargo")
    if cargo is None:
        assert not os.environ.get("CI"), "cargo is not there"
        pytest.skip(f"there is no cargo to build the {kind} {name} with")
    act = ["test", "--no-run"] if kind == "test" else ["build"]
    # With the features of the other builds, so that it is not built anew.
    what = ["--package", "saranwrap", "--all-features", f"--{kind}", name, "--message-format=json"]
    done = subprocess.run([cargo, *act, *what], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()
    made = [json.loads(line) for line in done.stdout.splitlines()]
    artifacts = [part for part in made if part["reason"] == "compiler-artifact"]
    return next(str(part["executable"]) for part in artifacts if part["target"]["name"] == name)
