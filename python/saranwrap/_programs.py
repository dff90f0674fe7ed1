"""Rust programs as children: what one offers is used as a Python object is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from saranwrap import _children, _output, _restart, _settings
from saranwrap._children import DeadCallback
from saranwrap._native import OPS, Session, environment
from saranwrap._output import Sink
from saranwrap._settings import Spin

# By this a program finds that it was started as a child: the id of its parent.
_MARK = "SARANWRAP_PARENT"


def wrap_program(
    command: Sequence[str | os.PathLike[str]],
    dead_callback: DeadCallback | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    spin: Spin = "auto",
    timeout: float | None = None,
    grace: float = 1.0,
    trust: bool = False,
    stdout: Sink = None,
    stderr: Sink = None,
) -> Any:
    """Start a Rust program that serves a value by the crate `saranwrap`, and return the proxy of that value.

    It has the methods of the value, with their documentation and parameters. A program that offers types in place of a value gives a
    proxy with these as attributes: `program.Counter(5)`. What a method panics with is raised as `RuntimeError`, and the program goes on.

    Args:
        command: the program, and its arguments. A name without a slash is looked up in PATH.
        dead_callback, env, cwd, spin, timeout, grace, trust, stdout, stderr: see `Child` and `Settings`. A Rust program cannot be
            interrupted: a call that takes longer than it may ends with the program, unless it looks whether it is still wanted
            (`Session::cancelled`).

    Raises:
        ValueError: `command` is empty; an option has no such value.
        Refused: the program cannot be started.
        ChildDied: it ended before it could greet, as a program does that serves nothing.
    """
    if isinstance(command, str | bytes) or not command:
        raise ValueError(f"command must be a program and its arguments in a list, not {command!r}")
    program, *arguments = [os.fspath(part) for part in command]
    chosen = _settings.complete(
        env=env, cwd=cwd, spin=spin, timeout=timeout, grace=grace, trust=trust, stdout=stdout, stderr=stderr
    )
    routes = _output.routes(stdout, stderr)
    inherited = environment() if env is None else [(str(name), str(value)) for name, value in env.items()]
    variables = [item for item in inherited if item[0] != _MARK]
    session = Session.spawn(
        program,
        arguments,
        [*variables, (_MARK, str(os.getpid()))],
        None if cwd is None else os.fspath(cwd),
        (),
        (),
        chosen["trust"],
        os.environ.get("SARANWRAP_TRANSPORT", "ring"),
        routes.says,
        None,
    )
    _children.begin(session, chosen, routes)
    if dead_callback is not None:
        _restart.watch(session, dead_callback)
    return session.request(OPS["import"], 0, ("",))
