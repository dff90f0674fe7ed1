"""The names that `saranwrap` has, and nothing else."""

from saranwrap._api import (
    cancelled,
    close,
    getpid,
    kill,
    local,
    output,
    prefetch,
    preload,
    proxied_type,
    ref,
    run,
    status,
    val,
    wrap,
    wrap_module,
    wrapped,
)
from saranwrap._children import Child
from saranwrap._deadlines import timeout
from saranwrap._members import CallableProxy, ObjectProxy, Proxy
from saranwrap._native import __version__
from saranwrap._pipeline import Promise, flush, pipeline, result
from saranwrap._pulse import ping, state
from saranwrap._restart import Restart
from saranwrap._settings import Settings
from saranwrap.errors import (
    BuildFailed,
    CallTimeout,
    ChildDied,
    Deadlock,
    ForkedProxy,
    LinkClosed,
    NotTransparent,
    ProtocolError,
    Refused,
    SaranwrapError,
    StaleProxy,
    Stopped,
    TooManyRestarts,
    Unreachable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saranwrap._environments import Environment, environments, forget_environments
    from saranwrap._executor import Executor
    from saranwrap._futures import start
    from saranwrap._isolated import isolated
    from saranwrap._pool import Pool, map, pool  # noqa: A004  it is `saranwrap.map`
    from saranwrap._programs import wrap_program

# The rooms of names that are loaded when they are asked for: they need what most programs do not, such as `concurrent.futures`.
LATER = {
    "Environment": "_environments",
    "Executor": "_executor",
    "Pool": "_pool",
    "environments": "_environments",
    "forget_environments": "_environments",
    "isolated": "_isolated",
    "map": "_pool",
    "pool": "_pool",
    "start": "_futures",
    "wrap_program": "_programs",
}


def __getattr__(name: str) -> object:
    """One of those."""
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"saranwrap.{LATER[name]}"), name)


__all__ = [
    "BuildFailed",
    "CallTimeout",
    "CallableProxy",
    "Child",
    "ChildDied",
    "Deadlock",
    "Environment",
    "Executor",
    "ForkedProxy",
    "LinkClosed",
    "NotTransparent",
    "ObjectProxy",
    "Pool",
    "Promise",
    "ProtocolError",
    "Proxy",
    "Refused",
    "Restart",
    "SaranwrapError",
    "Settings",
    "StaleProxy",
    "Stopped",
    "TooManyRestarts",
    "Unreachable",
    "__version__",
    "cancelled",
    "close",
    "environments",
    "flush",
    "forget_environments",
    "getpid",
    "isolated",
    "kill",
    "local",
    "map",
    "output",
    "ping",
    "pipeline",
    "pool",
    "prefetch",
    "preload",
    "proxied_type",
    "ref",
    "result",
    "run",
    "start",
    "state",
    "status",
    "timeout",
    "val",
    "wrap",
    "wrap_module",
    "wrap_program",
    "wrapped",
]
