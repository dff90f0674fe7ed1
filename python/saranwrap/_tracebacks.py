"""Tracebacks of the other side, put together here: they print as the remote ones do, with the lines of its files."""

from __future__ import annotations

import functools
import types

from saranwrap._exceptions import MADE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def build_traceback(positions: Any) -> types.TracebackType | None:
    """A traceback that prints as the remote one does: the source lines are read from the files it names."""
    traceback = None
    for position in reversed(positions):
        frame, lasti = _frame(*position)
        traceback = types.TracebackType(traceback, frame, lasti, position[2])
    return traceback


def _frame(*position: Any) -> tuple[types.FrameType, int]:
    """A frame that stands at this place, made anew: a frame leads to all that its callers hold, so it must not be kept."""
    function = types.FunctionType(_code(*position), {"Exception": Exception, MADE: True})
    traceback = None
    try:
        next(function())
    except Exception as raised:  # noqa: BLE001  whatever comes, it is the traceback that counts
        traceback = raised.__traceback__
    inner = traceback.tb_next if traceback is not None else None
    assert inner is not None, "the code always raises, in a frame of its own"
    return inner.tb_frame, inner.tb_lasti


@functools.lru_cache(maxsize=512)
def _code(filename: str, name: str, line: int, end: int, column: int, end_column: int) -> types.CodeType:
    """Code that raises at this place. Only a code object with the right positions gives the right carets.

    It is a generator's: when that ends, its frame has no caller any more.
    """
    import ast

    line = max(1, min(line, 2**31 - 1))
    if end < line or end >= 2**31 or not 0 <= column < 2**15 or not 0 <= end_column < 2**15:
        end, column, end_column = line, 0, 0
    place = {"lineno": line, "end_lineno": end, "col_offset": column, "end_col_offset": end_column}
    tree = ast.parse("def raises():\n    raise Exception\n    yield")
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.expr)):
            for attribute, value in place.items():
                setattr(node, attribute, value)
    code = compile(tree, filename.replace("\0", "?"), "exec")
    function = next(const for const in code.co_consts if isinstance(const, types.CodeType))
    return function.replace(co_name=name, co_firstlineno=line)
