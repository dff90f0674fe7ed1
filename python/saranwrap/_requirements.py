"""What requirements say: the lines of a list or a file, with the files that they lead to, and what tells that those have changed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from saranwrap._interpreters import Path

Given = Sequence[str] | Path

# What building leaves in a source directory, or nobody builds from.
_NO_SOURCES = frozenset({"build", "dist", "__pycache__", "node_modules"})
_METADATA = ("pyproject.toml", "setup.py", "setup.cfg")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2", ".tgz")
_OPTION = re.compile(r"(--[a-z-]+|-[a-z])(?:\s*=\s*|\s*)(.*)")
# Options that name a file or directory, by what is done with it.
_INCLUDES = frozenset({"-r", "--requirement"})
_CONSTRAINTS = frozenset({"-c", "--constraint"})
_EDITABLES = frozenset({"-e", "--editable"})
_PLACES = frozenset({"-f", "--find-links"})


class Requirements(NamedTuple):
    """Requirements as an installer gets them, in an order that does not depend on how they were given."""

    lines: tuple[str, ...]
    # What the local files among them were when this was read.
    state: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.shown) or "no requirements"

    @property
    def shown(self) -> tuple[str, ...]:
        """The lines without the names and passwords in their addresses."""
        return tuple(re.sub(r"://[^/@\s]+@", "://", line) for line in self.lines)


def read(given: object) -> Requirements:
    """What was given: a list of requirements, each as in a requirements file, or the path of such a file.

    Raises:
        TypeError: it is neither.
        ValueError: there is no such file, or none that a requirement leads to.
    """
    if isinstance(given, str | os.PathLike):
        found = list(_of_file(os.path.abspath(given), ()))
    elif isinstance(given, Sequence) and not isinstance(given, bytes):
        found = [read for line in given for read in _of_line(_text(line), os.getcwd(), ())]
    else:
        raise TypeError(
            f"requirements must be a list of texts or the path of a file, not a {type(given).__name__!r} object"
        )
    options = dict.fromkeys(line for line, _ in found if line.startswith("-"))
    others = sorted({line for line, _ in found if not line.startswith("-")})
    return Requirements((*options, *others), tuple(sorted({state for _, state in found if state})))


def _text(line: object) -> str:
    if not isinstance(line, str):
        raise TypeError(f"requirements must be texts, not a {type(line).__name__!r} object")
    if "\n" in line:
        raise ValueError(f"a requirement must be one line: {line!r}")
    return line.strip()


Line = tuple[str, str]


def _of_file(path: str, within: tuple[str, ...]) -> Iterator[Line]:
    """The lines of a requirements file, each with the state of the file that it leads to."""
    if not os.path.isfile(path):
        raise ValueError(f"requirements: there is no file {path!r}; requirements themselves go into a list")
    with open(path, encoding="utf-8-sig") as file:
        text = re.sub(r"\\\r?\n", "", file.read())
    for line in text.splitlines():
        plain = re.sub(r"(^|\s+)#.*$", "", line).strip()
        # One that leads back to where it was read from has been read.
        if plain and path not in within:
            yield from _of_line(plain, os.path.dirname(path), (*within, path))


def _of_line(line: str, base: str, within: tuple[str, ...]) -> Iterator[Line]:
    option = _OPTION.fullmatch(line)
    if option is None:
        yield _of_requirement(line, base)
        return
    name, value = option.groups()
    if name in _INCLUDES:
        yield from _of_file(os.path.join(base, value), within)
    elif name in _CONSTRAINTS and "://" not in value:
        path = _existing(os.path.join(base, value), line)
        yield f"{name} {path}", _state([path])
    elif name in _EDITABLES and "://" not in value:
        # What it is installed from is used as it is, and only what it says of itself is looked at.
        place, extras = _without_extras(value)
        path = _existing(os.path.join(base, place), line)
        yield f"{name} {path}{extras}", _state(os.path.join(path, file) for file in _METADATA)
    elif name in _PLACES and "://" not in value:
        yield f"{name} {os.path.abspath(os.path.join(base, value))}", ""
    else:
        yield line, ""


def _of_requirement(line: str, base: str) -> Line:
    address = re.search(r"(?:@\s*|^)(file:\S+)", line)
    if address is not None:
        path = unquote(urlsplit(address[1]).path)
        return line, _state([_existing(path, line)])
    place, rest = _without_extras(line)
    if "://" not in line and " @ " not in line and (os.sep in place or place.endswith(_ARCHIVES)):
        path = _existing(os.path.join(base, place), line)
        return f"{path}{rest}", _state([path])
    return _normalized(line), ""


def _without_extras(text: str) -> tuple[str, str]:
    """A path, and what stands behind it: extras, a marker."""
    match = re.match(r"(.*?)((?:\[[^]]*\])?\s*(?:;.*)?)$", text)
    return (match[1], match[2]) if match else (text, "")


def _existing(path: str, line: str) -> str:
    path = os.path.normpath(path)
    if not os.path.exists(path):
        raise ValueError(f"the requirement {line!r} leads to {path!r}, which does not exist")
    return path


def _normalized(line: str) -> str:
    """A requirement in one of the ways in which it can be written (PEP 503, PEP 508)."""
    match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)([^;@]*)(;.*)?", line)
    if match is None or " -" in line:
        return " ".join(line.split())
    name, version, marker = match.groups()
    plain = re.sub(r"[-_.]+", "-", name).lower() + re.sub(r"\s+", "", version)
    return f"{plain}; {' '.join(marker[1:].split())}" if marker else plain


def _state(paths: Iterable[str]) -> str:
    """What changes when one of these does: the content of a file; names, sizes and times of what a directory holds."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path) + b"\0")
        if os.path.isdir(path):
            for name, size, changed in _listing(path):
                digest.update(os.fsencode(name) + f"\0{size}\0{changed}\0".encode())
        elif os.path.isfile(path):
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _listing(directory: str) -> list[tuple[str, int, int]]:
    found = []
    for place, names, files in os.walk(directory):
        names[:] = [
            name
            for name in names
            if name not in _NO_SOURCES and not name.startswith(".") and not name.endswith(".egg-info")
        ]
        for file in files:
            state = os.lstat(os.path.join(place, file))
            found.append((os.path.relpath(os.path.join(place, file), directory), state.st_size, state.st_mtime_ns))
    return sorted(found)
