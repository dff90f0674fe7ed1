"""A function with its arguments on its way into a child, what the child does with it, and what comes of it on its way back."""

from __future__ import annotations

import _pickle
import sys

from saranwrap import _pickles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

# What came of a task.
RETURNED, RAISED, UNREADABLE = 0, 1, 2
# What a child may give to a parent that does not trust it without a list around it: it is a value as it stands.
_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})
# The isolated functions that this process is the child for: they call themselves here, and not in a child of the child.
_at_home: set[tuple[str, str]] = set()


def pack(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """The pickle of a call. Code that the child cannot import goes by value, with cloudpickle.

    Raises:
        Exception: whatever pickling raises. Without cloudpickle, where that would help, the text says so.
    """
    return _pickles.dumps((function, args, kwargs))


# --- in the child -----------------------------------------------------------------------------------------------------


def run(task: bytes) -> bytes:
    """Do what a pickle says; the pickle of what came of it: (what, value or exception, text of the traceback).

    An exception that a pickle does not bring over is raised, so that it goes the way of all exceptions.
    """
    try:
        function, args, kwargs = _pickle.loads(task)
    except BaseException as error:  # noqa: BLE001  whatever it is, the parent is told
        return _told(UNREADABLE, error)
    try:
        return _pickles.dumps((RETURNED, function(*args, **kwargs), ""))
    except BaseException as error:  # noqa: BLE001  `sys.exit()` in a task is what the task came to
        return _told(RAISED, error)


def _told(what: int, error: BaseException) -> bytes:
    import traceback

    below = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = "".join(traceback.format_exception(type(error), error, below or error.__traceback__))
    try:
        told = _pickles.dumps((what, error, text))
        # An exception whose `__init__` wants other arguments than `args` is pickled well, and cannot be unpickled.
        _pickle.loads(told)
    except Exception:  # noqa: BLE001  foreign code
        raise error from error.__cause__
    return told


def run_plain(task: bytes) -> Any:
    """Do what a pickle says, for a parent that unpickles nothing: a value, or a list with one object to be fetched."""
    function, args, kwargs = _pickle.loads(task)
    value = function(*args, **kwargs)
    return value if type(value) in _SCALARS else [value]


def each(function: Callable[..., Any], rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Several calls in one task."""
    return [function(*row) for row in rows]


def call_named(module: str, qualname: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the isolated function that is found under this name, itself and not what isolates it."""
    import importlib

    importlib.import_module(module)
    function = isolated_in(module, qualname)
    if function is None:
        raise LookupError(f"the child has no isolated function {module}.{qualname}")
    return call_at_home(function, (module, qualname), args, kwargs)


def call_at_home(
    function: Callable[..., Any], name: tuple[str, str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function, and have it call itself here."""
    _at_home.add(name)
    return function(*args, **kwargs)


def is_at_home(name: tuple[str, str]) -> bool:
    """Whether this process is the child that the isolated function of this name runs in."""
    return name in _at_home


def isolated_in(module: str, qualname: str) -> Any:
    """The function below the decorators of what has this name, down to that of `isolated`; None if there is none."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    while found is not None and not hasattr(found, "__saran_isolated__"):
        found = getattr(found, "__wrapped__", None)
    return None if found is None else found.__saran_isolated__


def take_key(key: bytes) -> None:
    """Speak to the processes of `multiprocessing` that the parent speaks to."""
    from multiprocessing import current_process

    current_process().authkey = key


def limit_memory(limit: int) -> None:
    """Let this process have no more than so many bytes of memory of its own.

    That is RLIMIT_DATA. RLIMIT_AS would count the sparse memory that is shared with the parent, which is some TiB of addresses.
    """
    import resource

    with open("/proc/self/status", encoding="ascii") as file:
        taken = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData:"))
    if limit <= taken:
        raise ValueError(f"memory={limit}: the child has {taken} bytes before it runs anything")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
