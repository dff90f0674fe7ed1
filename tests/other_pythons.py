"""The interpreters that there are here besides the one that runs the tests; tests that need one are skipped without it."""

from __future__ import annotations

import functools
import os
import sys

import pytest
from saranwrap import _interpreters
from saranwrap.errors import Refused


@functools.cache
def other(oldest=(3, 11)):
    """The path of an interpreter of another version, that is at least so new; the test is skipped where there is none."""
    for minor in (12, 13, 14, 15, 11):
        if (3, minor) != sys.version_info[:2] and (3, minor) >= oldest:
            try:
                found = _interpreters.find("cpython", f"3.{minor}")
            except Refused:
                continue
            if not found.free_threaded:
                return found
    pytest.skip(f"there is no other CPython from {'.'.join(map(str, oldest))} on here")


@functools.cache
def older():
    """An interpreter that is older than this package supports."""
    for version in ("2.7", *(f"3.{minor}" for minor in range(6, 11))):
        try:
            return _interpreters.find("cpython", version)
        except Refused:
            continue
    pytest.skip("there is no CPython before 3.11 here")


#: All that the portable child is to run in, oldest first.
ALL = "2.7 3.6 3.7 3.8 3.9 3.10 3.11 3.12 3.13 3.14 3.15 pypy2.7 pypy3".split()
#: Those that an ordinary run of the tests takes: the oldest of both languages and this one. `make matrix` names each of them.
WANTED = os.environ.get("SARANWRAP_PYTHONS", f"2.7 3.6 3.{sys.version_info[1]}").split()


@functools.cache
def of_version(wanted):
    """The interpreter with this version, or none; for matrices over all of them."""
    try:
        return _interpreters.of_python(wanted)
    except Refused:
        return None


def version_or_skip(wanted):
    """The same; the test is skipped where there is none."""
    return of_version(wanted) or pytest.skip(f"there is no Python {wanted} here")
