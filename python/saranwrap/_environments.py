"""Environments that are built once and kept: a venv for each interpreter and each set of requirements, in the user's cache.

One is complete when its mark is there, which is written last. A lock file beside it says who builds; installers hold it too, so
that nobody begins anew while one of them, whose parent was killed, still writes.
"""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import math
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from saranwrap import _interpreters, _requirements
from saranwrap._deadlines import current
from saranwrap._interpreters import Interpreter
from saranwrap._requirements import Given, Requirements
from saranwrap.errors import BuildFailed, CallTimeout, Refused

Progress = Callable[[str], object]

_MARK = "saranwrap.json"
# The last lines of an installer that an error shows.
_LAST_LINES = 20
# A waiter says what it waits for after so many seconds, and again each time that these have passed; meanwhile it looks this often.
_FIRST_WORD, _NEXT_WORD, _LOOK = 1.0, 30.0, 0.05
# What would send an installer elsewhere.
_MISLEADING = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
# The oldest version for which uv makes environments.
_OLDEST_FOR_UV = 3, 8


class Environment(NamedTuple):
    """An environment that was built for `requirements=` and is kept: what `environments` lists.

    Attributes:
        path: its directory.
        requirements: what is installed there, each as in a requirements file.
        python: the interpreter that it was made of, in words.
        size: bytes of its files.
        used: when a child was last started in it.
    """

    path: str
    requirements: tuple[str, ...]
    python: str
    size: int
    used: dt.datetime


def environments() -> list[Environment]:
    """The environments that have been built for `requirements=` and are kept, the one that was used last first.

    They are in `$SARANWRAP_CACHE`, or in `saranwrap` below `$XDG_CACHE_HOME` or `~/.cache`.
    """
    found = [_described(os.path.join(_place(), name)) for name in _kept()]
    return sorted((one for one in found if one is not None), key=lambda one: one.used, reverse=True)


def forget_environments(older_than: float | dt.timedelta | None = None) -> list[Environment]:
    """Remove environments that were built for `requirements=`, and what builds that were killed have left.

    Children that run in one go on with what they have imported, and cannot import more.

    Args:
        older_than: seconds, or a `timedelta`: those that were used since stay. None removes all.

    Returns:
        those that were removed. One that is being built stays.
    """
    seconds = older_than.total_seconds() if isinstance(older_than, dt.timedelta) else older_than
    gone = []
    for name in _kept():
        directory = os.path.join(_place(), name)
        with _trying(directory) as lock:
            known = _described(directory)
            age = math.inf if known is None else time.time() - known.used.timestamp()
            if lock is None or (seconds is not None and age < seconds):
                continue
            _remove(directory)
            os.unlink(directory + ".lock")
            if known is not None:
                gone.append(known)
    return gone


def provide(base: Interpreter, given: Given, progress: Progress | None) -> Interpreter:
    """The interpreter of an environment with these requirements, which is built if there is none.

    Raises:
        BuildFailed: it cannot be built.
        CallTimeout: the deadline of a block around this has passed. What was begun is gone.
    """
    requirements = _requirements.read(given)
    directory = os.path.join(_place(), _key(base, requirements))
    tell = progress or _tell
    found = _ready(directory)
    if found is None:
        os.makedirs(_place(), mode=0o700, exist_ok=True)
        with _locked(directory, tell) as lock:
            # Whoever had the lock before may have built it.
            found = _ready(directory) or _build(directory, base, requirements, tell, lock)
    # A cache may be somebody else's. The kernel's own time for files moves in ticks.
    with contextlib.suppress(OSError):
        os.utime(os.path.join(directory, _MARK), ns=(time.time_ns(), time.time_ns()))
    return found


def _place() -> str:
    cache = os.environ.get("SARANWRAP_CACHE")
    if not cache:
        above = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        cache = os.path.join(above, "saranwrap")
    return os.path.join(os.path.abspath(cache), "environments")


def _key(base: Interpreter, requirements: Requirements) -> str:
    parts = [os.path.realpath(base.itself), base.version, base.build, requirements.lines, requirements.state]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _tell(line: str) -> None:
    """Where the user said nothing: what an installer says goes to a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"{line}\n")


# --- what is there ----------------------------------------------------------------------------------------------------


def _kept() -> list[str]:
    """The names of environments, also of those that have only begun."""
    with contextlib.suppress(OSError):
        return sorted({name[:24] for name in os.listdir(_place()) if re.fullmatch(r"[0-9a-f]{24}(\.\w+)?", name)})
    return []


def _ready(directory: str) -> Interpreter | None:
    """The interpreter of a complete environment that still works."""
    if _mark_of(directory) is None:
        return None
    with contextlib.suppress(Refused):
        return _interpreters.of_venv(directory)
    return None


def _mark_of(directory: str) -> tuple[str, tuple[str, ...]] | None:
    """What the mark says: the interpreter and the requirements. None where there is none, or it is damaged."""
    try:
        with open(os.path.join(directory, _MARK), encoding="utf-8") as file:
            said = json.load(file)
        return str(said["python"]), tuple(map(str, said["requirements"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _described(directory: str) -> Environment | None:
    said = _mark_of(directory)
    if said is None:
        return None
    size, used = 0, 0.0
    # It may be removed meanwhile.
    with contextlib.suppress(OSError):
        used = os.stat(os.path.join(directory, _MARK)).st_mtime
        for place, _, files in os.walk(directory):
            size += sum(os.lstat(os.path.join(place, file)).st_size for file in files)
    python, requirements = said
    return Environment(directory, requirements, python, size, dt.datetime.fromtimestamp(used).astimezone())


def _listed(directory: str) -> str:
    """Where the requirements are written for the installer: they may hold passwords, and do not stay."""
    return directory + ".txt"


def _remove(directory: str) -> None:
    """The mark goes first: what is half there is not to be taken for whole."""
    for path in (os.path.join(directory, _MARK), _listed(directory)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    shutil.rmtree(directory, ignore_errors=True)


# --- who builds -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _trying(directory: str) -> Iterator[int | None]:
    """The lock of an environment, as a descriptor; None if somebody has it."""
    path = directory + ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # The file may have been removed, and another one made, since it was opened.
        mine = os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path))
        try:
            yield descriptor if mine else None
        finally:
            # Not by closing alone: a fork of this process has it open, too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(directory: str, tell: Progress) -> Iterator[int]:
    """The lock of an environment. Whoever waits for it says so after a while."""
    begun, said = time.monotonic(), 0
    while True:
        with _trying(directory) as lock:
            if lock is not None:
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(os.getpid()).encode(), 0)
                yield lock
                return
        if time.monotonic() - begun > _FIRST_WORD + said * _NEXT_WORD:
            said += 1
            tell(f"saranwrap: waiting for process {_holder(directory)}, which builds the environment {directory}")
        left, seconds = current() or (math.inf, math.inf)
        if left <= 0:
            story = (
                f"the environment {directory} was not there within {seconds} s: process {_holder(directory)} builds it"
            )
            raise CallTimeout(story, seconds, "unsent", "waiting for an environment")
        time.sleep(min(_LOOK, left))


def _holder(directory: str) -> str:
    with contextlib.suppress(OSError), open(directory + ".lock", encoding="ascii") as file:
        return file.read(20) or "?"
    return "?"


# --- how it is built --------------------------------------------------------------------------------------------------


def _build(directory: str, base: Interpreter, requirements: Requirements, tell: Progress, lock: int) -> Interpreter:
    """Build in place, since an environment cannot be moved: its scripts name the interpreter by its path."""
    listed = _listed(directory)
    try:
        _remove(directory)
        with open(listed, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("".join(f"{line}\n" for line in requirements.lines))
        make, install = _commands(base, directory, listed, local=bool(requirements.state))
        tell(f"saranwrap: building an environment of {base} with {requirements}")
        for command in (make, install) if requirements.lines else (make,):
            _run(command, f"build an environment of {base} with {requirements}", tell, lock)
        found = _interpreters.of_venv(directory)
        os.unlink(listed)
        _put_mark(directory, base, requirements)
    except BaseException:
        _remove(directory)
        raise
    return found


def _put_mark(directory: str, base: Interpreter, requirements: Requirements) -> None:
    mark = os.path.join(directory, _MARK)
    with open(f"{mark}.new", "w", encoding="utf-8") as file:
        json.dump({"python": str(base), "requirements": requirements.shown}, file)
    os.replace(f"{mark}.new", mark)


def _commands(base: Interpreter, directory: str, listed: str, *, local: bool) -> tuple[list[str], list[str]]:
    """What makes an environment, and what installs into it; `local`: also from this machine."""
    python, uv = os.path.join(directory, "bin", "python"), shutil.which("uv")
    if uv is not None and base.version >= _OLDEST_FOR_UV:
        make = [uv, "venv", "--python", base.itself, directory]
        # Of a local project uv would take what it has built before, as long as its metadata are the same.
        anew = ["--refresh"] if local else []
        return make, [uv, "pip", "install", *anew, "--python", python, "--requirement", listed]
    install = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--requirement", listed]
    if base.version >= (3, 3):
        return [base.itself, "-m", "venv", directory], install
    asked = subprocess.run([base.itself, "-m", "virtualenv", "--version"], capture_output=True, check=False)
    if asked.returncode != 0:
        raise BuildFailed(
            f"cannot build an environment of {base}: it has no module venv, and virtualenv is not installed in it"
        )
    return [base.itself, "-m", "virtualenv", directory], install


def _run(command: list[str], act: str, tell: Progress, lock: int) -> None:
    """Run an installer, and tell what it says line by line."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Not where the user is: a module of his could have a name that the installer imports.
        cwd=_place(),
        env={name: value for name, value in os.environ.items() if name not in _MISLEADING},
        pass_fds=[lock],
        # So that it can be ended with all that it has started.
        start_new_session=True,
    )
    last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
    try:
        for line in _lines(process, act):
            last.append(line)
            tell(line)
        code = process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if code != 0:
        words = "\n".join(last)
        name = " ".join([os.path.basename(command[0]), *command[1:3]])
        raise BuildFailed(f"cannot {act}: `{name}` ended with exit code {code}\n{words}", words)


def _lines(process: subprocess.Popen[bytes], act: str) -> Iterator[str]:
    """What it says, until it has said all or the deadline of a block has passed."""
    assert process.stdout is not None  # it was asked for
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    rest = b""
    while True:
        left, seconds = current() or (math.inf, math.inf)
        if not poll.poll(None if left == math.inf else max(0, left) * 1000):
            raise CallTimeout(f"it took longer than {seconds} s to {act}", seconds, "killed", act)
        some = os.read(process.stdout.fileno(), 1 << 16)
        *whole, rest = (rest + some).split(b"\n")
        yield from (line.decode("utf-8", "replace").rstrip() for line in whole)
        if not some:
            break
    if rest:
        yield rest.decode("utf-8", "replace").rstrip()
