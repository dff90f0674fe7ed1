"""Environments for `requirements=`: built once, by one, completely or not at all; kept, listed and forgotten."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
import saranwrap
from saranwrap import _environments, _interpreters, _requirements

from tests import installer
from tests.conftest import settled
from tests.other_pythons import other


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setenv("SARANWRAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


@pytest.fixture
def gate(cache, tmp_path, monkeypatch):
    """An installer that is quick and needs no network; where it notes what it does, and can be made to wait."""
    installer.put(tmp_path / "path", tmp_path / "gate")
    monkeypatch.setenv("PATH", str(tmp_path / "path"), prepend=os.pathsep)
    return tmp_path / "gate"


@pytest.fixture
def tiny(tmp_path):
    """A wheel with the module `tiny`."""
    return installer.wheel(tmp_path / "wheels")


def runs(gate):
    """How many environments were begun."""
    with contextlib.suppress(FileNotFoundError):
        return sum(" venv " in line for line in (gate / "log").read_text().splitlines())
    return 0


def left(cache):
    """What is in the cache besides lock files."""
    return sorted(name for name in os.listdir(cache) if not name.endswith(".lock"))


def build(requirements, progress=lambda line: None):
    return _environments.provide(_interpreters.own_base(), requirements, progress)


PROGRAM = """
import sys
from saranwrap import _environments, _interpreters
print("begun", flush=True)
told = lambda line: print(line, flush=True)
print(_environments.provide(_interpreters.own_base(), sys.argv[1:], told).path, flush=True)
"""


def builder(*requirements):
    """A process that builds an environment."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *requirements], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout.readline() == "begun\n"
    return process


# --- what a child has -------------------------------------------------------------------------------------------------


def test_a_child_has_what_its_parent_has_not(gate, tiny):
    module = saranwrap.wrap("tiny", requirements=[tiny])
    assert module.value == 1
    with pytest.raises(ImportError):
        saranwrap.wrap_module("tiny")


def test_it_is_built_by_venv_and_pip_where_there_is_no_uv(cache, tiny, monkeypatch, tmp_path):
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    said = []
    module = saranwrap.wrap("tiny", requirements=["--no-index", tiny], progress=said.append)
    assert module.value == 1
    assert any("Successfully installed tiny-1.0" in line for line in said)


@pytest.mark.usefixtures("gate")
def test_another_interpreter_gets_an_environment_of_its_own(tiny):
    there = other()
    module = saranwrap.wrap("tiny", python=there.path, requirements=[tiny])
    assert f"python{there.version[0]}.{there.version[1]}" in module.__file__
    assert saranwrap.wrap("tiny", requirements=[tiny]).__file__ != module.__file__
    assert len(saranwrap.environments()) == 2


@pytest.mark.usefixtures("gate")
def test_an_environment_without_anything(cache):
    remote = saranwrap.wrap(sys, requirements=[])
    assert pathlib.Path(remote.prefix).parent == cache


@pytest.mark.usefixtures("gate")
def test_everything_that_starts_children_takes_requirements(tiny):
    given = {"requirements": [tiny]}
    with saranwrap.pool("tiny", 1, **given) as pool:
        assert pool.value == 1
    with saranwrap.Executor(1, **given) as executor:
        assert executor.submit(eval, "__import__('tiny').value").result() == 1
    with saranwrap.Child(**given) as child:
        assert child.wrap("tiny").value == 1


def test_nothing_is_built_before_there_is_a_child(gate, tiny):
    saranwrap.Executor(1, requirements=[tiny]).shutdown()
    saranwrap.isolated(requirements=[tiny])(print)
    assert runs(gate) == 0


def test_a_packages_errors_are_its_childs(gate, tmp_path):
    bad = installer.wheel(tmp_path / "wheels", "bad", source="raise RuntimeError('not here')\n")
    with pytest.raises(RuntimeError, match="not here"):
        saranwrap.wrap("bad", requirements=[bad])


# --- built once -------------------------------------------------------------------------------------------------------


def test_it_is_built_once(gate, tiny):
    said = []
    for _ in range(3):
        saranwrap.wrap("tiny", requirements=[tiny], progress=said.append)
    assert runs(gate) == 1
    assert sum("installing" in line for line in said) == 1


def test_the_same_requirements_in_other_words_are_the_same(tmp_path):
    (tmp_path / "more.txt").write_text("b\n")
    listed = tmp_path / "requirements.txt"
    listed.write_text("# two of them\nNum_Py == 1.26 ;  python_version > '3'  # pinned\n\n-r more.txt\n--pre\nb\n")
    same = [
        ["num-py==1.26; python_version > '3'", "b", "--pre"],
        ["--pre", "b", " Num.py  ==1.26;python_version  > '3' "],
        listed,
        str(listed),
    ]
    for given in same:
        assert _requirements.read(given).lines == ("--pre", "b", "num-py==1.26; python_version > '3'")
    for given in (["num-py==1.27; python_version > '3'", "b", "--pre"], ["num-py==1.26", "b", "--pre"], ["b", "--pre"]):
        assert _requirements.read(given) != _requirements.read(listed)


def test_a_file_that_includes_itself_is_read_once(tmp_path):
    listed = tmp_path / "requirements.txt"
    listed.write_text("-r requirements.txt\na\n")
    assert _requirements.read(listed).lines == ("a",)


def test_a_local_file_is_known_by_its_content(gate, tmp_path):
    values = []
    for value in (1, 2, 2):
        path = installer.wheel(tmp_path / "wheels", source=f"value = {value}\n")
        values.append(saranwrap.wrap("tiny", requirements=[path]).value)
    assert values == [1, 2, 2]
    assert runs(gate) == 2


def test_a_source_directory_is_known_by_what_is_in_it(tmp_path):
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "pyproject.toml").write_text("[project]\nname = 'p'\nversion = '1'\n")
    (project / "src/p.py").write_text("")
    first = _requirements.read([str(project)])
    editable = _requirements.read([f"-e {project}"])
    # What building leaves there.
    for name in ("build", "p.egg-info", ".git", "src/__pycache__"):
        (project / name).mkdir()
        (project / name / "x").write_text("")
    assert _requirements.read([str(project)]) == first
    (project / "src/p.py").write_text("value = 1\n")
    assert _requirements.read([str(project)]) != first
    # Of an editable one what it says of itself counts: its sources are used where they are.
    assert _requirements.read([f"--editable={project}"]).state == editable.state
    (project / "pyproject.toml").write_text("[project]\nname = 'p'\nversion = '2'\n")
    assert _requirements.read([f"-e {project}"]) != editable


def test_paths_are_those_of_the_file_that_has_them(tmp_path, monkeypatch):
    wheel = installer.wheel(tmp_path / "sub")
    (tmp_path / "sub/constraints.txt").write_text("a<2\n")
    listed = tmp_path / "sub/requirements.txt"
    name = os.path.basename(wheel)
    listed.write_text(f"./{name}\n-c constraints.txt\n--find-links .\n{name}[extra] ; python_version > '3'\n")
    read = _requirements.read(listed)
    assert read.lines == (
        f"-c {tmp_path}/sub/constraints.txt",
        f"--find-links {tmp_path}/sub",
        wheel,
        f"{wheel}[extra] ; python_version > '3'",
    )
    monkeypatch.chdir(tmp_path / "sub")
    assert _requirements.read([name]).lines == (wheel,)
    (tmp_path / "sub/constraints.txt").write_text("a<3\n")
    assert _requirements.read(listed).state != read.state


def test_addresses_stay_as_they_are():
    lines = ["a @ https://host/a-1.0.zip", "git+https://host/a.git@main", "--index-url https://host/simple"]
    assert set(_requirements.read(lines).lines) == set(lines)


# --- by one -----------------------------------------------------------------------------------------------------------


def test_processes_that_want_the_same_build_it_once(gate, tiny):
    (gate / "closed").write_text("")
    builders = [builder(tiny) for _ in range(3)]
    assert settled(lambda: runs(gate) == 1)
    (gate / "closed").unlink()
    paths = {process.communicate(timeout=50)[0].splitlines()[-1] for process in builders}
    assert len(paths) == 1
    assert runs(gate) == 1


def test_threads_that_want_the_same_build_it_once(gate, tiny):
    found = []
    threads = [threading.Thread(target=lambda: found.append(build([tiny]).path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert runs(gate) == 1


def test_whoever_waits_says_what_for(gate, tiny, monkeypatch):
    monkeypatch.setattr(_environments, "_FIRST_WORD", 0)
    (gate / "closed").write_text("")
    process = builder(tiny)
    assert settled(lambda: runs(gate) == 1)

    def told(line):
        if "waiting for process" in line:
            assert str(process.pid) in line
            (gate / "closed").unlink()

    assert build([tiny], told).path == process.communicate(timeout=50)[0].splitlines()[-1]
    assert runs(gate) == 1


# --- completely or not at all -----------------------------------------------------------------------------------------


def test_what_cannot_be_installed(gate, cache, tiny):
    with pytest.raises(saranwrap.BuildFailed, match="exit code 3") as caught:
        saranwrap.wrap("tiny", requirements=[tiny, "nothing-like-it==7"])
    assert "nothing-like-it==7" in str(caught.value)
    assert caught.value.output.endswith("no version of nothing-like-it==7 fits")
    assert isinstance(caught.value, saranwrap.Refused)
    assert left(cache) == [] and saranwrap.environments() == []
    assert saranwrap.wrap("tiny", requirements=[tiny]).value == 1


def test_an_installer_that_is_none(cache, tmp_path, monkeypatch):
    (tmp_path / "path").mkdir()
    (tmp_path / "path/uv").write_text("#!/bin/sh\necho broken; exit 1\n")
    (tmp_path / "path/uv").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"), prepend=os.pathsep)
    with pytest.raises(saranwrap.BuildFailed, match="`uv venv .*` ended with exit code 1\nbroken"):
        build(["a"])
    assert left(cache) == []


def test_a_build_that_was_killed_is_not_used(gate, cache, tiny):
    (gate / "closed").write_text("")
    process = builder(tiny)
    assert settled(lambda: list(cache.glob("*/lib/*/site-packages/half")))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=50)
    assert saranwrap.environments() == []
    # Its installer lives on, and writes: until it has ended nobody begins anew.
    (directory,) = [cache / name for name in left(cache) if not name.endswith(".txt")]
    with _environments._trying(str(directory)) as lock:
        assert lock is None
    (gate / "closed").unlink()
    assert saranwrap.wrap("tiny", requirements=[tiny]).value == 1
    assert runs(gate) == 2
    assert left(cache) == [directory.name]
    assert not list(directory.glob("lib/*/site-packages/half"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_build_that_is_interrupted_leaves_nothing(gate, cache, tiny, error):
    (gate / "closed").write_text("")

    def stop(line):
        if "installing" in line:
            raise error

    with pytest.raises(error):
        build([tiny], stop)
    assert left(cache) == []
    (gate / "closed").unlink()
    build([tiny])
    assert runs(gate) == 2


def test_a_deadline_ends_a_build(gate, cache, tiny):
    (gate / "closed").write_text("")
    with pytest.raises(saranwrap.CallTimeout) as caught, saranwrap.timeout(0.5):
        build([tiny])
    assert caught.value.stopped == "killed" and caught.value.seconds == 0.5
    assert left(cache) == []


def test_a_deadline_ends_a_wait(gate, tiny):
    (gate / "closed").write_text("")
    process = builder(tiny)
    assert settled(lambda: runs(gate) == 1)
    with pytest.raises(saranwrap.CallTimeout, match=str(process.pid)) as caught, saranwrap.timeout(0.2):
        build([tiny])
    assert caught.value.stopped == "unsent"
    (gate / "closed").unlink()
    process.communicate(timeout=50)


RUINS = {
    "no mark": lambda env: (env / "saranwrap.json").unlink(),
    "a damaged mark": lambda env: (env / "saranwrap.json").write_text('{"python": '),
    "a mark with something else": lambda env: (env / "saranwrap.json").write_text("[1]"),
    "no interpreter": lambda env: (env / "bin/python").unlink(),
    "an interpreter that is gone": lambda env: (
        (env / "bin/python").unlink(),
        (env / "bin/python").symlink_to("/gone/python"),
    ),
    "another program": lambda env: ((env / "bin/python").unlink(), (env / "bin/python").symlink_to("/bin/true")),
}


@pytest.mark.parametrize("ruin", RUINS)
def test_one_that_is_damaged_is_built_anew(gate, cache, tiny, ruin):
    path = pathlib.Path(build([tiny]).path).parent.parent
    RUINS[ruin](path)
    assert saranwrap.wrap("tiny", requirements=[tiny]).value == 1
    assert runs(gate) == 2
    assert left(cache) == [path.name]


# --- kept -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gate")
def test_what_is_kept_is_listed(cache, tiny):
    assert saranwrap.environments() == []
    build([])
    build([tiny])
    last, first = saranwrap.environments()
    assert (last.requirements, first.requirements) == ((tiny,), ())
    assert os.path.dirname(last.path) == str(cache)
    assert ".".join(map(str, sys.version_info[:3])) in last.python
    assert last.size > first.size > 0
    assert first.used < last.used <= dt.datetime.now(dt.timezone.utc)
    build([])
    assert [one.requirements for one in saranwrap.environments()] == [(), (tiny,)]


def test_what_is_forgotten_is_built_again(gate, cache, tiny):
    build([tiny])
    (gone,) = saranwrap.forget_environments()
    assert gone.requirements == (tiny,)
    assert saranwrap.environments() == [] and os.listdir(cache) == []
    build([tiny])
    assert runs(gate) == 2


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("age", [3600, dt.timedelta(hours=1)])
def test_what_was_used_since_stays(tiny, age):
    old, new = (pathlib.Path(build(given).path).parent.parent for given in ([], [tiny]))
    long_ago = time.time() - 7200
    os.utime(old / "saranwrap.json", (long_ago, long_ago))
    assert [one.path for one in saranwrap.forget_environments(older_than=age)] == [str(old)]
    assert [one.path for one in saranwrap.environments()] == [str(new)]


def test_what_is_being_built_is_not_forgotten(gate, cache, tiny):
    (gate / "closed").write_text("")
    process = builder(tiny)
    assert settled(lambda: runs(gate) == 1)
    assert saranwrap.forget_environments() == []
    (gate / "closed").unlink()
    assert process.communicate(timeout=50)[0].splitlines()[-1].startswith(str(cache))
    assert len(saranwrap.environments()) == 1


def test_what_killed_builds_have_left_is_forgotten_too(gate, cache, tiny):
    directory = pathlib.Path(build([tiny]).path).parent.parent
    (directory / "saranwrap.json").unlink()
    pathlib.Path(f"{directory}.txt").write_text("secret")
    assert saranwrap.forget_environments(older_than=3600) == []
    assert os.listdir(cache) == []


@pytest.mark.usefixtures("gate")
def test_passwords_are_not_kept(cache, tiny):
    read = _requirements.read(["--index-url=https://me:secret@host/simple", "a"])
    assert "secret" not in str(read) and any("secret" in line for line in read.lines)
    build(["--index-url=https://me:secret@host/simple", tiny])
    (name,) = left(cache)
    assert json.loads((cache / name / "saranwrap.json").read_text())["requirements"] == [
        "--index-url=https://host/simple",
        tiny,
    ]


def test_where_they_are_kept(monkeypatch):
    monkeypatch.delenv("SARANWRAP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert _environments._place() == "/xdg/saranwrap/environments"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert _environments._place() == "/home/me/.cache/saranwrap/environments"


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"requirements": ["a"], "venv": "/v"}, ValueError, "requirements= .* venv="),
        ({"requirements": "numpy"}, ValueError, "no file .*numpy.* list"),
        ({"requirements": ["./nowhere"]}, ValueError, "leads to .*nowhere.*, which does not exist"),
        ({"requirements": ["-e ./nowhere"]}, ValueError, "which does not exist"),
        ({"requirements": ["a @ file:///nowhere/a.whl"]}, ValueError, "which does not exist"),
        ({"requirements": ["a\nb"]}, ValueError, "one line"),
        ({"requirements": [1]}, TypeError, "must be texts"),
        ({"requirements": 1}, TypeError, "list of texts"),
        ({"requirements": b"a"}, TypeError, "list of texts"),
        ({"requirements": {"a"}}, TypeError, "list of texts"),
        ({"requirements": ["a"], "progress": 1}, TypeError, "progress must be"),
    ],
)
def test_bad_settings(gate, given, error, words):
    with pytest.raises(error, match=words):
        saranwrap.wrap("a", **given)
    assert runs(gate) == 0


def test_a_python_without_venv_needs_virtualenv():
    try:
        base = _interpreters.find("cpython", "2.7")
    except saranwrap.Refused:
        pytest.skip("there is no Python 2.7 here")
    asked = subprocess.run([base.path, "-m", "virtualenv", "--version"], capture_output=True, check=False)
    if asked.returncode == 0:
        make, _ = _environments._commands(base, "/d", "/d.txt", local=False)
        assert make == [base.path, "-m", "virtualenv", "/d"]
    else:
        with pytest.raises(saranwrap.BuildFailed, match="virtualenv"):
            _environments._commands(base, "/d", "/d.txt", local=False)
