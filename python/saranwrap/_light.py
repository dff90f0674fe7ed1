"""Classes of the standard library that nothing can be an instance of before they are loaded: a child loads them only for others."""

from __future__ import annotations

import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Those that were loaded first, even where a program puts a proxy into the place of their module later.
_found: dict[tuple[str, str], type] = {}


def loaded(module: str, name: str) -> Any:
    """The class, or an empty tuple: `isinstance` and `issubclass` take either."""
    found = _found.get((module, name))
    if found is None:
        home = sys.modules.get(module)
        found = vars(home).get(name) if type(home) is types.ModuleType else None
        if found is None:
            return ()
        _found[module, name] = found
    return found


# What is there already may have a proxy in its place when it is asked for.
for _module, _name in (("enum", "Enum"), ("enum", "EnumMeta"), ("functools", "cached_property")):
    loaded(_module, _name)
