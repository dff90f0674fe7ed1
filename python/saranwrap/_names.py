"""The names that `saranwrap` has, and nothing else."""

from saranwrap._api import (
    Child,
    close,
    getpid,
    kill,
    local,
    prefetch,
    preload,
    proxied_type,
    ref,
    status,
    val,
    wrap,
    wrap_module,
    wrapped,
)
from saranwrap._members import CallableProxy, ObjectProxy, Proxy
from saranwrap._native import __version__
from saranwrap._pipeline import Promise, flush, pipeline, result
from saranwrap.errors import (
    ChildDied,
    ForkedProxy,
    LinkClosed,
    NotTransparent,
    ProtocolError,
    Refused,
    SaranwrapError,
    Unreachable,
)

__all__ = [
    "CallableProxy",
    "Child",
    "ChildDied",
    "ForkedProxy",
    "LinkClosed",
    "NotTransparent",
    "ObjectProxy",
    "Promise",
    "ProtocolError",
    "Proxy",
    "Refused",
    "SaranwrapError",
    "Unreachable",
    "__version__",
    "close",
    "flush",
    "getpid",
    "kill",
    "local",
    "pipeline",
    "prefetch",
    "preload",
    "proxied_type",
    "ref",
    "result",
    "status",
    "val",
    "wrap",
    "wrap_module",
    "wrapped",
]
