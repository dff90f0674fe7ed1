"""What the documents say is true: their examples run, their bytes decode, their links and commands lead somewhere.

Started as a script, this file runs one section of a document. Each section gets a process of its own, so that its names are
those of a real `__main__` and what it leaves behind touches nobody.
"""

import doctest
import os
import re
import struct
import subprocess
import sys
import types
from pathlib import Path

import pytest
import saranwrap

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.joinpath("docs").glob("*.md"))]
ALL_DOCUMENTS = [
    *DOCUMENTS,
    *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
]


def sections(path):
    """The python blocks of a document by section: {heading: [(line number, text), ...]}."""
    found, heading, block, start = {}, path.stem, None, 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if block is not None:
            if line.startswith("```"):
                found.setdefault(heading, []).append((start, "\n".join(block) + "\n"))
                block = None
            else:
                block.append(line)
        elif line.strip() == "```python":
            block, start = [], number
        elif line.startswith("## "):
            heading = line[3:].strip()
    assert block is None, f"{path.name}: the block at line {start} has no end"
    return found


def needs(path):
    """What sections need besides this interpreter, as `<!-- needs Python 3.12 -->` says: {heading: what}."""
    found, heading = {}, path.stem
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line[3:].strip()
        elif needed := re.fullmatch(r"<!-- needs (.*) -->", line):
            found[heading] = needed[1]
    return found


CASES = [(path, heading) for path in DOCUMENTS for heading in sections(path)]


@pytest.mark.parametrize(("path", "heading"), CASES, ids=lambda value: getattr(value, "stem", value))
def test_examples_of_a_section_run(path, heading, tmp_path):
    skip_without(needs(path).get(heading, ""))
    command = [sys.executable, __file__, str(path), heading]
    # What the user keeps is not to be seen, and not to be removed.
    env = {**os.environ, "SARANWRAP_CACHE": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False, env=env)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def skip_without(needed):
    if needed == "the network" and not os.environ.get("SARANWRAP_TEST_NETWORK"):
        pytest.skip("tests use the network only where SARANWRAP_TEST_NETWORK says so")
    if needed == "the native child" and os.environ.get("SARANWRAP_CHILD") == "agent":
        pytest.skip("the portable child is always started cold, and has no columns")
    if needed.startswith("Python "):
        try:
            saranwrap.wrap_module("time", python=needed.removeprefix("Python "))
        except saranwrap.Refused as error:
            pytest.skip(str(error))


def run_section(path, heading):
    """Run the blocks in order, with common names; the number of blocks that fail."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for line, text in sections(path)[heading]:
        if ">>>" not in text:
            exec(compile("\n" * line + text, str(path), "exec"), main.__dict__)
            continue
        test = doctest.DocTestParser().get_doctest(text, main.__dict__, heading, str(path), line)
        test.globs = main.__dict__
        runner.run(test, clear_globs=False)
    return runner.summarize(verbose=False).failed


def diagnostic(data):
    """The CBOR items in `data` in the diagnostic notation of RFC 8949, section 8."""
    items, at = [], 0
    while at < len(data):
        text, at = one_item(data, at)
        items.append(text)
    return ", ".join(items)


def one_item(data, at):
    major, low = data[at] >> 5, data[at] & 31
    at += 1
    if low >= 24:
        size = 1 << (low - 24)
        raw = data[at : at + size]
        at += size
        low = int.from_bytes(raw, "big")
    if major in (2, 3):
        chunk, at = data[at : at + low], at + low
        return (f"h'{chunk.hex()}'" if major == 2 else f'"{chunk.decode()}"'), at
    if major == 7:
        simple = {20: "false", 21: "true", 22: "null"}
        return (simple[low] if low in simple else repr(struct.unpack(">d", raw)[0])), at
    if major < 2:
        return str(low if major == 0 else -1 - low), at
    parts = []
    for _ in range({4: low, 5: 2 * low, 6: 1}[major]):
        text, at = one_item(data, at)
        parts.append(text)
    if major == 4:
        return f"[{', '.join(parts)}]", at
    if major == 5:
        return "{" + ", ".join(f"{k}: {v}" for k, v in zip(parts[::2], parts[1::2], strict=True)) + "}", at
    return f"{low}({parts[0]})", at


def test_bytes_in_the_protocol_say_what_stands_beside_them():
    rows = re.findall(
        r"\| `([^`|]+)` \| `([0-9a-f ]+)` \|$", (ROOT / "docs/protocol.md").read_text(encoding="utf-8"), re.M
    )
    assert len(rows) > 40
    wrong = [(text, diagnostic(bytes.fromhex(data))) for text, data in rows if diagnostic(bytes.fromhex(data)) != text]
    assert wrong == []


@pytest.mark.parametrize("path", ALL_DOCUMENTS, ids=lambda path: path.stem)
def test_links_and_make_targets_exist(path):
    text = path.read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not path.parent.joinpath(link).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):.*## ", ROOT.joinpath("Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


if __name__ == "__main__":
    sys.exit(run_section(Path(sys.argv[1]), sys.argv[2]))
