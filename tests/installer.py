"""A stand-in for uv, since no test may need the network: it unpacks wheels into environments, and waits where it is told to.

Started as a script, it is the program that `requirements=` finds on PATH.
"""

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

PRETEND = """#!/bin/sh
exec {python} {script} {gate} "$@"
"""


def put(directory, gate):
    """Put it on a directory of PATH. It notes in `gate`/log what it does, and waits there while a file named `closed` is there."""
    directory.mkdir(parents=True, exist_ok=True)
    gate.mkdir(parents=True, exist_ok=True)
    program = directory / "uv"
    program.write_text(PRETEND.format(python=sys.executable, script=__file__, gate=gate))
    program.chmod(0o755)


def wheel(directory, name="tiny", version="1.0", source="value = 1\n"):
    """Write a wheel with one module; its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{about}/RECORD": record}.items():
            # Always of the same date.
            archive.writestr(zipfile.ZipInfo(name), text)
    return str(path)


def main(gate, *arguments):
    with open(Path(gate) / "log", "a") as log:
        log.write(f"{os.getpid()} {' '.join(arguments)}\n")
    if arguments[0] == "venv":
        _, _, python, directory = arguments
        return subprocess.run([python, "-m", "venv", "--without-pip", directory], check=False).returncode
    python, listed = (arguments[arguments.index(option) + 1] for option in ("--python", "--requirement"))
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = subprocess.run([python, "-c", question], capture_output=True, text=True, check=True).stdout.strip()
    for line in Path(listed).read_text().splitlines():
        print(f"installing {line}", flush=True)
        (Path(place) / "half").write_text("")
        while (Path(gate) / "closed").exists():
            time.sleep(0.01)
        if line.startswith("--index-url"):
            continue
        if not line.endswith(".whl"):
            print(f"no version of {line} fits", flush=True)
            return 3
        with zipfile.ZipFile(line) as archive:
            archive.extractall(place)
        (Path(place) / "half").unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
