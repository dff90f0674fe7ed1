"""Which interpreter a child runs in: found by its version, by its path or in a venv, and asked what it is.

Also what of this process's `sys.path` goes along into another one.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from saranwrap.errors import Refused

Path = str | os.PathLike[str]

# What is no Python may do anything when it is asked: it gets this many seconds, and may say so many bytes.
_PATIENCE = 10.0
_MOST_WORDS = 1 << 16
# For every Python from 2.7 on.
_QUESTION = """
import sys
about = getattr(sys, "implementation", None)
name = about.name if about else "pypy" if "PyPy" in sys.version else "cpython"
threaded = "t" in getattr(sys, "abiflags", "")
facts = (name, tuple(sys.version_info[:3]), sys.version, threaded, sys.executable)
print("saranwrap:" + (repr if sys.version_info[0] == 2 else ascii)(facts))
"""
_VERSION = re.compile(r"(?:c?python-?|(?P<pypy>pypy-?))?(?P<version>\d+(?:\.\d+){0,2})")
# Directories of installed packages, also where `sysconfig` names others.
_PACKAGES = frozenset({"site-packages", "dist-packages"})
_OLDEST = 3, 11
# For the portable child.
_OLDEST_OF_ALL = 2, 7
_OLDEST_OF_3 = 3, 6
# Options that every Python knows; those of `-W` are others.
_FLAGS = frozenset({"-O", "-OO", "-B", "-s", "-S", "-E", "-b", "-bb", "-d", "-v"})


class Interpreter(NamedTuple):
    """A Python interpreter, as it answered."""

    # What is started, and what it says that it is: a script in between may choose among several.
    path: str
    itself: str
    name: str
    version: tuple[int, int, int]
    # Its whole `sys.version`: two builds of one version may not be able to load the same extension modules.
    build: str
    free_threaded: bool

    def __str__(self) -> str:
        name = {"cpython": "Python", "pypy": "PyPy"}.get(self.name, self.name)
        return f"{name} {'.'.join(map(str, self.version))} ({self.path})"

    @property
    def is_own(self) -> bool:
        """Whether it is the one that this process runs in, with its packages. A venv's is another than the one it was made of."""
        here, there = os.path.abspath(sys.executable), self.path
        return here == there or (os.path.dirname(here) == os.path.dirname(there) and os.path.samefile(here, there))


def resolve(python: Path | None, venv: Path | None) -> Interpreter | None:
    """The interpreter that was asked for; None if none was.

    Raises:
        ValueError: both say which one.
        TypeError: one of them is no text and no path.
        Refused: there is no such interpreter, or it does not answer.
    """
    if python is not None and venv is not None:
        raise ValueError("python= and venv= both say which interpreter a child runs in: give one of them")
    for name, place in (("python", python), ("venv", venv)):
        if place is not None and not isinstance(place, str | os.PathLike):
            raise TypeError(f"{name} must be a text or a path, not a {type(place).__name__!r} object")
    if python is None and venv is None:
        return None
    return of_venv(venv) if venv is not None else of_python(python or "")


def which_child(interpreter: Interpreter | None, wanted: str) -> str:
    """The child that runs in it, "native" or "agent", where "auto" or one of them was wanted. None is this process's own.

    Raises:
        Refused: it cannot be that one, or none at all.
    """
    if interpreter is None:
        return "native" if wanted == "auto" else wanted
    if wanted != "agent":
        reason = why_not_native(interpreter)
        if not reason:
            return "native"
        if wanted == "native":
            raise Refused(f"cannot start a native child in {interpreter}: {reason}")
    if interpreter.version[:2] < _OLDEST_OF_ALL or (3, 0) <= interpreter.version[:2] < _OLDEST_OF_3:
        raise Refused(f"cannot start a child in {interpreter}: the portable child needs Python 2.7, or 3.6 or newer")
    return "agent"


def why_not_native(interpreter: Interpreter) -> str:
    """Why what serves in it cannot be the extension module of this package; empty where it can."""
    if interpreter.name != "cpython":
        return "the extension module of this package is for CPython"
    if interpreter.version[:2] < _OLDEST:
        return "the extension module of this package needs Python 3.11 or newer"
    if interpreter.free_threaded:
        return (
            "a free-threaded build does not load extension modules of the limited API, and that of this package is one"
        )
    return ""


def own_base() -> Interpreter:
    """The interpreter of this process without the packages of its venv, if it is in one."""
    return at(getattr(sys, "_base_executable", None) or sys.executable)


def of_python(python: Path) -> Interpreter:
    """The interpreter with this version (such as "3.12", "pypy3.10"), this name on PATH, or at this path."""
    text = os.fspath(python)
    version = _VERSION.fullmatch(text) if isinstance(python, str) else None
    if version is not None:
        return find("pypy" if version["pypy"] else "cpython", version["version"])
    if os.sep in text or not isinstance(python, str):
        return at(text)
    named = shutil.which(text)
    if named is None:
        raise Refused(f"cannot start a child with python={text!r}: that is no version, no path, and no program on PATH")
    return at(named)


def of_venv(venv: Path) -> Interpreter:
    """The interpreter of a virtual environment, of conda's as well."""
    directory = os.path.abspath(venv)
    program = os.path.join(directory, "bin", "python")
    marks = ("pyvenv.cfg", "conda-meta", os.path.join("bin", "activate"))
    if not os.path.isdir(directory):
        why = "is not a directory" if os.path.exists(directory) else "does not exist"
    elif not os.path.lexists(program):
        why = "is no virtual environment: it has no bin/python"
    elif not os.path.exists(program):
        why = f"is a virtual environment of an interpreter that is gone ({os.path.realpath(program)})"
    elif not any(os.path.exists(os.path.join(directory, mark)) for mark in marks):
        why = "is no virtual environment: it has no pyvenv.cfg"
    else:
        return at(program)
    raise Refused(f"cannot start a child in the venv {directory!r}: that {why}")


# --- by version -------------------------------------------------------------------------------------------------------


def find(name: str, version: str) -> Interpreter:
    """The interpreter with the newest patch of a version; the first in the order of places, where several have that."""
    wanted = tuple(int(part) for part in version.split("."))
    asked: dict[str, Interpreter] = {}
    for program in _candidates(name, wanted):
        real = os.path.realpath(program)
        if real not in asked:
            try:
                # pyenv's shims choose by the directory that they are started in.
                asked[real] = at(at(program).itself)
            except Refused:
                continue
    fitting = [one for one in asked.values() if one.name == name and one.version[: len(wanted)] == wanted]
    if fitting:
        return max(fitting, key=lambda one: (not one.free_threaded, one.version))
    kind = {"pypy": "PyPy"}.get(name, "Python")
    others = {".".join(map(str, one.version)) for one in asked.values()} | set(_versions_kept())
    told = ", ".join(sorted(others, key=lambda text: [int(number) for number in re.findall(r"\d+", text)]))
    raise Refused(
        f"cannot start a child in {kind} {version}: there is none on PATH ({', '.join(_names(name, wanted))}), "
        f"nor in {' or '.join(_stores())}; found: {told or 'nothing'}"
    )


def _candidates(name: str, wanted: tuple[int, ...]) -> Iterator[str]:
    """What may be such an interpreter, in the order in which it is looked for."""
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for program in _names(name, wanted):
            path = os.path.join(os.path.abspath(directory or "."), program)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                yield path
    for store in _stores():
        for kept in sorted(_entries(store)):
            # pyenv has 3.12.1 and pypy3.10-7.3.15, uv has cpython-3.12.1-linux-x86_64-gnu.
            version = re.match(r"(?:cpython-|pypy-?)?(\d+(?:\.\d+)*)", kept)
            numbers = tuple(int(part) for part in version[1].split(".")) if version else ()
            # PyPy's directories may leave the patch out.
            common = min(len(numbers), len(wanted))
            if common and numbers[:common] == wanted[:common] and kept.startswith("pypy") == (name == "pypy"):
                programs = (os.path.join(store, kept, "bin", program) for program in ("python", *_names(name, wanted)))
                yield from (program for program in programs if os.access(program, os.X_OK))
    if name == sys.implementation.name and sys.executable:
        yield own_base().path


def _names(name: str, wanted: tuple[int, ...]) -> list[str]:
    """What programs of such an interpreter are called."""
    plain = "pypy" if name == "pypy" else "python"
    numbers = [str(number) for number in wanted[:2]]
    return [plain + ".".join(numbers[:length]) for length in range(len(numbers), -1, -1)]


def _stores() -> list[str]:
    """Where pyenv and uv keep the interpreters that they have installed."""
    home = os.path.expanduser("~")
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    return [
        os.path.join(os.environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv"), "versions"),
        os.environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "uv", "python"),
    ]


def _versions_kept() -> list[str]:
    return [name for store in _stores() for name in _entries(store) if re.match(r"(cpython-|pypy-?)?\d", name)]


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


# --- by asking --------------------------------------------------------------------------------------------------------

# What was answered, by the program and what it was then.
_answers: dict[tuple[str, int, int, int], Interpreter] = {}


def at(path: str) -> Interpreter:
    """The interpreter with this path. It is asked what it is, once.

    Raises:
        Refused: there is no such file, it cannot be executed, or it does not answer as a Python would.
    """
    program = os.path.abspath(path)
    if not os.path.isfile(program):
        why = "is a directory" if os.path.isdir(program) else "does not exist"
        raise Refused(f"cannot start a child with the interpreter {program!r}: it {why}")
    if not os.access(program, os.X_OK):
        raise Refused(f"cannot start a child with the interpreter {program!r}: it is not executable")
    state = os.stat(program)
    key = program, state.st_ino, state.st_mtime_ns, state.st_size
    if key not in _answers:
        _answers[key] = _ask(program)
    return _answers[key]


def _ask(program: str) -> Interpreter:
    words = _words_of([program, "-E", "-S", "-c", _QUESTION])
    for line in words.splitlines():
        if line.startswith("saranwrap:"):
            from ast import literal_eval

            try:
                name, version, build, free_threaded, itself = literal_eval(line.partition(":")[2])
            except (ValueError, TypeError, SyntaxError):
                continue
            return Interpreter(program, itself or program, name, version, build, free_threaded)
    said = words.strip().splitlines()
    raise Refused(
        f"cannot start a child with the interpreter {program!r}: it did not answer as a Python does, but said "
        + (repr(said[-1][:200]) if said else f"nothing, or not within {_PATIENCE:g} s")
    )


def _words_of(command: list[str]) -> str:
    """What a program says within a time and a length, and that ends it."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # So that what it starts ends with it.
            start_new_session=True,
        )
    except OSError as error:
        return str(error)
    words, until = b"", time.monotonic() + _PATIENCE
    with process:
        assert process.stdout is not None  # it was asked for
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        while len(words) < _MOST_WORDS and poll.poll(max(0, until - time.monotonic()) * 1000):
            some = os.read(process.stdout.fileno(), _MOST_WORDS)
            if not some:
                break
            words += some
        # Also where it has said all: it may go on for ever.
        os.killpg(process.pid, signal.SIGKILL)
    return words.decode("utf-8", "replace")


# --- what goes along --------------------------------------------------------------------------------------------------


def flags_for(interpreter: Interpreter, flags: Iterable[str]) -> list[str]:
    """Which options of this interpreter another one knows."""
    if interpreter.version >= (3, 11):
        return list(flags)
    return [flag for flag in flags if flag in _FLAGS or flag.startswith("-W")]


def of_project(path: Iterable[str]) -> list[str]:
    """What of this process's `sys.path` is good for another interpreter: all that is not of this one or of its packages."""
    import site
    import sysconfig

    kinds = "stdlib", "platstdlib", "purelib", "platlib"
    installed = {*map(sysconfig.get_path, kinds), site.getusersitepackages(), os.path.dirname(os.__file__)}
    installed |= {os.path.realpath(place) for place in installed}
    archive = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"

    def is_of_project(place: str) -> bool:
        parts = place.split(os.sep)
        above = {os.sep.join(parts[:length]) for length in range(2, len(parts) + 1)}
        return _PACKAGES.isdisjoint(parts) and installed.isdisjoint(above) and parts[-1] != archive

    return [place for place in path if is_of_project(place)]
