"""What can be said of a child when it is started: the names, what holds without them, and what is wrong with what was said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypedDict, Unpack

from saranwrap import _interpreters
from saranwrap._interpreters import Interpreter, Path
from saranwrap._native import environment
from saranwrap._output import Sink
from saranwrap._restart import Restart
from saranwrap._zygote import Setting, Start
from saranwrap.errors import Refused

Spin = float | Literal["auto"]
Concurrency = Literal["serial", "asyncio"] | int
Which = Literal["auto", "native", "agent"]

# A child serves on no more threads than this.
_MOST_THREADS = 1024


class Surroundings(TypedDict, total=False):
    """Where and how a child starts: the settings that everything takes which starts children. `Settings` tells what each is."""

    env: Mapping[str, str] | None
    cwd: str | os.PathLike[str] | None
    start: Start
    python: Path | None
    venv: Path | None
    path: Sequence[Path] | None
    requirements: Sequence[str] | Path | None
    progress: Callable[[str], object] | None
    child: Which


class Settings(Surroundings, total=False):
    """What can be said of a child, by keywords of `Child`, `wrap`, `wrap_module`, `wrapped` and those of `saranwrap.aio`.

    By this name they can be typed in functions that pass them on: `def mine(**settings: Unpack[saranwrap.Settings])`.

    Args:
        by_value: classes whose instances go into the child by value (pickled), whatever the default for them is.
        trust: whether `local`, `copy.copy` and `copy.deepcopy` may unpickle what the child sends. Leave it False for code
            that you do not trust: unpickling runs code.
        env: the child's environment; None means a copy of this process's.
        cwd: the directory the child starts in; None means this process's.
        python: the interpreter that the child runs in: a version ("3.12", "3.12.1"), which is looked for on PATH and among those
            that pyenv and uv have installed; a path to one, or the name of one on PATH. None means this process's. See
            docs/interpreters.md.
        venv: the directory of a virtual environment whose interpreter it runs in.
        requirements: what must be installed where the child runs: a list ("numpy==1.26", "rich"), or the path of a requirements
            file. An environment of `python` is built with that (by uv, if it is on PATH, else by venv and pip), and kept for the next
            time: see `saranwrap.environments`.
        progress: is called with each line that is said while that is built. None shows them on stderr, if that is a terminal.
        child: "native" is the child that the extension module makes, and needs CPython from 3.11 on. "agent" is the portable child:
            one file of Python that any interpreter from 2.7 on runs, slower, and without some things that docs/semantics.md lists.
            "auto" is the native one where the interpreter can load it, else the portable one.
        path: what the child's `sys.path` begins with; its interpreter's own places come behind it. None means all of this process's,
            and for another interpreter what of it belongs to no installation.
        spin: how long, in microseconds, either process may look for what it waits for before it sleeps. Looking is what makes a
            call take one microsecond rather than forty, and costs a processor meanwhile. "auto" looks for up to 50 (a child that
            has just answered: 200) where that turns out to be worth it, and never on a machine with one processor; 0 never looks.
        restart: how another process takes the place of one that died: see `Restart`. None leaves it dead.
        heartbeat: kill the process when it hangs: when a call is under way and none of its threads has run for this many seconds.
            A call that only waits, as `time.sleep` does, looks like that too: make it longer than any such wait. An endless loop
            runs, and is not found. See docs/supervision.md.
        start: "cold" starts an interpreter. "warm" forks one that waits for that, a *zygote*, and makes it first if there is
            none. "auto" does so from the second child of a kind on, and where that fails starts cold.
        timeout: how long each call may take, in seconds; None means for ever. See `saranwrap.timeout`, by which it can be shortened.
        grace: how long, in seconds, a call that took too long may go on after it was cancelled and interrupted, before the process is
            killed.
        concurrency: how many calls are served at once. "serial": one, on the main thread. A number of threads: calls of
            different threads of this process run at once, on up to so many threads of that one. "asyncio": its main thread
            runs an event loop; what is awaited (`saranwrap.run`) is a task of it, everything else is done between tasks.
        stdout, stderr: where what the child writes goes, be it by `print`, from C or by a process that the child starts. None or
            "inherit": where this process's goes. "capture": the last MiB of it is kept, for `output`. A function: it is called
            with each line as a text, with its end, in a thread of its own. A `logging.Logger`, or a level of logging: each line
            becomes a record (of the logger "saranwrap.stdout" or "saranwrap.stderr" where only a level is given). See docs/output.md.

    Raises:
        ValueError: `venv` is given along with `python` or with `requirements`; there is no such requirements file, or
            nothing where a requirement leads to; `spin` is neither "auto" nor a number of microseconds from 0 to a million; `start` or
            `child` is none of the three; `timeout` or `grace` is negative; `concurrency` is none of these; `heartbeat` is not
            above 0; `stdout` or `stderr` is a text that means nothing.
        TypeError: there is no such setting; `python`, `venv`, `path` or `requirements` is of the wrong type; `stdout` or `stderr` is
            nothing that can be told anything.
        Refused: there is no such interpreter, or it cannot be that of a child; the process could not be started, or it speaks
            another version of the protocol.
        BuildFailed: the environment with the requirements could not be built.
        ChildDied: it ended before it could greet.
    """

    by_value: Sequence[type]
    trust: bool
    spin: Spin
    timeout: float | None
    grace: float
    concurrency: Concurrency
    restart: Restart | None
    heartbeat: float | None
    stdout: Sink
    stderr: Sink


_WITHOUT: Settings = {
    "by_value": (),
    "trust": False,
    "env": None,
    "cwd": None,
    "spin": "auto",
    "start": "auto",
    "python": None,
    "venv": None,
    "path": None,
    "requirements": None,
    "progress": None,
    "child": "auto",
    "timeout": None,
    "grace": 1.0,
    "concurrency": "serial",
    "restart": None,
    "heartbeat": None,
    "stdout": None,
    "stderr": None,
}


def complete(**given: Unpack[Settings]) -> Settings:
    """All settings, where only some were given.

    Raises:
        TypeError, ValueError, Refused: see `Settings`.
    """
    for name in given:
        if name not in _WITHOUT:
            raise TypeError(f"a child has no setting {name!r}")
    settings: Settings = {**_WITHOUT, **given}
    _check_spin(settings["spin"])
    _check_limits(settings["timeout"], settings["grace"])
    _check_concurrency(settings["concurrency"])
    heartbeat = settings["heartbeat"]
    if heartbeat is not None and not heartbeat > 0:
        raise ValueError(f"heartbeat must be seconds above 0 or None, not {heartbeat!r}")
    _check_start(settings["env"], settings["cwd"])
    _check_path(settings["path"])
    if _wanted(settings["child"]) not in {"auto", "native", "agent"}:
        raise ValueError(f'child must be "auto", "native" or "agent", not {_wanted(settings["child"])!r}')
    _check_interpreter(settings)
    return settings


def complete_native(**given: Unpack[Settings]) -> Settings:
    """The same for children that run code of this package, which the portable child has not.

    Raises:
        Refused: the portable child was asked for, or the interpreter needs it.
    """
    if given.get("child") == "agent":
        raise Refused('functions cannot run in the portable child (child="agent"): it has nothing of this package')
    given["child"] = "native"
    return complete(**given)


def _check_interpreter(settings: Settings) -> None:
    """Without building an environment: that is done when a child is started in it."""
    progress = settings["progress"]
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be a function, not a {type(progress).__name__!r} object")
    if settings["requirements"] is not None:
        if settings["venv"] is not None:
            raise ValueError("requirements= has an environment built, and venv= names one: give one of them")
        from saranwrap import _requirements

        _requirements.read(settings["requirements"])
    _which_child(_interpreters.resolve(settings["python"], settings["venv"]), settings)


def _which_child(interpreter: Interpreter | None, settings: Settings) -> str:
    child = _interpreters.which_child(interpreter, _wanted(settings["child"]))
    if settings["concurrency"] == "asyncio" and interpreter is not None and interpreter.version < (3,):
        raise Refused(f'cannot serve with concurrency="asyncio" in {interpreter}: it has no asyncio')
    return child


def _interpreter(settings: Settings) -> Interpreter | None:
    found = _interpreters.resolve(settings["python"], settings["venv"])
    if settings["requirements"] is None:
        return found
    # Few need it, and it loads what others do not.
    from saranwrap import _environments

    base = _interpreters.own_base() if found is None or found.is_own else found
    return _environments.provide(base, settings["requirements"], settings["progress"])


def says_where(settings: Settings) -> bool:
    """Whether they say which interpreter a child runs in. There a text is the name of a module, which this one may not have."""
    return any(given is not None for given in (settings["python"], settings["venv"], settings["requirements"]))


def _check_spin(spin: object) -> None:
    if spin != "auto" and not (isinstance(spin, int | float) and 0 <= spin <= 1e6):
        raise ValueError(f'spin must be "auto" or microseconds from 0 to a million, not {spin!r}')


def _check_limits(timeout: object, grace: object) -> None:
    for name, seconds in (("timeout", 0 if timeout is None else timeout), ("grace", grace)):
        if not (isinstance(seconds, int | float) and seconds >= 0):
            raise ValueError(f"{name} must be a number of seconds from 0, not {seconds!r}")


def _check_concurrency(concurrency: object) -> None:
    threads = isinstance(concurrency, int) and not isinstance(concurrency, bool) and 1 <= concurrency <= _MOST_THREADS
    if not threads and concurrency not in {"serial", "asyncio"}:
        wanted = f'"serial", "asyncio" or a number of threads from 1 to {_MOST_THREADS}'
        raise ValueError(f"concurrency must be {wanted}, not {concurrency!r}")


def _check_start(env: Mapping[str, str] | None, cwd: str | os.PathLike[str] | None) -> None:
    """Say what is wrong with how a child is to be started, where the kernel's own words would not."""
    if cwd is not None and not os.path.isdir(cwd):
        why = "is not a directory" if os.path.exists(cwd) else "does not exist"
        raise Refused(f"cannot start a child in {os.fspath(cwd)!r}: that {why}")
    for name, value in (env or {}).items():
        if not name or "=" in name or "\0" in f"{name}{value}":
            raise Refused(f"cannot start a child with the environment variable {name!r}: it has no such name or value")


def _check_path(path: object) -> None:
    if path is None:
        return
    if not isinstance(path, Sequence) or isinstance(path, str | bytes):
        raise TypeError(f"path must be a list of directories, not a {type(path).__name__!r} object")
    for place in path:
        if not isinstance(place, str | os.PathLike):
            raise TypeError(f"path must hold directories, not a {type(place).__name__!r} object")


def setting(settings: Settings, says: tuple[int, int] = (-1, -1)) -> Setting:
    """What a child is started with, where all of these hold. `says`: the descriptors for its stdout and stderr, or -1."""
    cwd, spin = settings["cwd"], settings["spin"]
    interpreter = _interpreter(settings)
    elsewhere = interpreter is not None and not interpreter.is_own
    if interpreter is None and not sys.executable:
        raise Refused(
            "cannot start a child: this interpreter is embedded and names no program of its own (sys.executable)"
        )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return Setting(
        program=sys.executable if interpreter is None else interpreter.path,
        flags=tuple(flags if interpreter is None else _interpreters.flags_for(interpreter, flags)),
        env=_env(settings["env"], elsewhere),
        cwd=None if cwd is None else os.fspath(cwd),
        path=_path(settings["path"], elsewhere),
        argv=[a for a in sys.argv if isinstance(a, str)] or [""],  # type: ignore[redundant-expr]  # anything can be put there
        spin=None if spin == "auto" else float(spin),
        by_value=tuple(settings["by_value"]),
        trust=settings["trust"],
        transport=os.environ.get("SARANWRAP_TRANSPORT", "ring"),
        concurrency=settings["concurrency"],
        says=says,
        elsewhere=str(interpreter) if elsewhere else "",
        child=_which_child(interpreter, settings),
    )


def _wanted(child: str) -> str:
    return os.environ.get("SARANWRAP_CHILD", "auto") if child == "auto" else child


def _env(env: Mapping[str, str] | None, elsewhere: bool) -> list[tuple[str, str]] | None:
    if env is not None:
        return [(str(name), str(value)) for name, value in env.items()]
    if elsewhere and "PYTHONHOME" in os.environ:
        # It says where the standard library of this interpreter is.
        return [item for item in environment() if item[0] != "PYTHONHOME"]
    return None


def _path(path: Sequence[Path] | None, elsewhere: bool) -> list[str]:
    # Anything can be put into `sys.path`.
    given: Sequence[object] = sys.path if path is None else path
    places = [os.fspath(place) for place in given if isinstance(place, str | os.PathLike)]
    # Absolute, since a relative one means another place in a child that starts elsewhere.
    absolute = [os.path.abspath(place) for place in places]
    return _interpreters.of_project(absolute) if elsewhere and path is None else absolute
