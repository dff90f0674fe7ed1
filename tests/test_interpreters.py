"""Which interpreter a child runs in: how it is found, what of this process goes along, and what the two versions have in common."""

from __future__ import annotations

import builtins
import calendar
import decimal
import importlib
import math
import os
import pathlib
import subprocess
import sys
import sysconfig
import textwrap
import time
import types
import venv

import pytest
import saranwrap
from saranwrap import _interpreters, _zygote, aio

from tests.conftest import of_the_native_child
from tests.other_pythons import older, other

OWN = ".".join(map(str, sys.version_info[:3]))


def version(p):
    """That of the child behind a proxy."""
    return saranwrap.status(p)["python"]


def words(interpreter):
    return ".".join(map(str, interpreter.version))


@pytest.fixture
def script(tmp_path):
    """Make an executable file."""

    def make(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def lonely(monkeypatch, tmp_path):
    """No interpreter on PATH, of pyenv or of uv: only this process's own."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    return tmp_path


def pretender(version, name="cpython"):
    """A script that answers as an interpreter would."""
    facts = f'("{name}", {version!r}, "build", False, "\'$0\'")'
    return f"echo 'saranwrap:{facts}'"


# --- found by version -------------------------------------------------------------------------------------------------


def test_a_child_of_another_version():
    there = other()
    s_time = saranwrap.wrap(time, python=".".join(map(str, there.version[:2])))
    assert s_time.gmtime(0).tm_year == 1970
    assert version(s_time) != OWN


def test_the_newest_patch_of_the_version_is_taken(lonely, script):
    for patch in (2, 11, 9):
        script(f"pyenv/versions/3.77.{patch}/bin/python", pretender((3, 77, patch)))
    script("pyenv/versions/3.78.0/bin/python", pretender((3, 78, 0)))
    assert _interpreters.find("cpython", "3.77").version == (3, 77, 11)
    assert _interpreters.find("cpython", "3.77.9").version == (3, 77, 9)


def test_it_is_looked_for_on_the_path_with_pyenv_and_with_uv(lonely, script):
    found = [
        script("path/python3.71", pretender((3, 71, 0))),
        script("pyenv/versions/3.72.0/bin/python", pretender((3, 72, 0))),
        script("uv/cpython-3.73.1-linux-x86_64-gnu/bin/python3.73", pretender((3, 73, 1))),
        script("path/pypy3.74", pretender((3, 74, 0), "pypy")),
        script("pyenv/versions/pypy3.75-7.3.1/bin/python", pretender((3, 75, 3), "pypy")),
    ]
    for minor, name, path in zip(range(71, 76), ["cpython"] * 3 + ["pypy"] * 2, found, strict=True):
        assert _interpreters.find(name, f"3.{minor}").path == str(path)
    with pytest.raises(saranwrap.Refused):
        _interpreters.find("cpython", "3.74")


def test_where_several_have_the_version_the_path_comes_first(lonely, script):
    script("pyenv/versions/3.72.0/bin/python", pretender((3, 72, 0)))
    first = script("path/python3.72", pretender((3, 72, 0)))
    assert _interpreters.find("cpython", "3.72").path == str(first)


def test_a_script_that_chooses_among_versions_stands_for_the_one_that_it_chooses(lonely, script):
    real = script("elsewhere/python", pretender((3, 72, 0)))
    script("path/python3.72", f'exec {real} "$@"')
    assert _interpreters.find("cpython", "3.72").path == str(real)


def test_what_does_not_answer_is_passed_over(lonely, script):
    script("path/python3.72", "echo 'pyenv: python3.72: command not found' >&2; exit 127")
    good = script("pyenv/versions/3.72.0/bin/python", pretender((3, 72, 0)))
    assert _interpreters.find("cpython", "3.72").path == str(good)


@pytest.mark.usefixtures("lonely")
def test_the_own_version_is_there_in_any_case():
    remote = saranwrap.wrap(sys, python=f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert version(remote) == OWN


def test_a_version_that_is_not_there(lonely, script):
    script("pyenv/versions/3.72.0/bin/python", pretender((3, 72, 0)))
    with pytest.raises(saranwrap.Refused) as caught:
        saranwrap.wrap(time, python="3.99")
    story = str(caught.value)
    assert "Python 3.99" in story and "python3.99" in story
    assert str(lonely / "pyenv/versions") in story and str(lonely / "uv") in story
    assert "found: " in story and "3.72.0" in story and OWN in story


# --- given by path ----------------------------------------------------------------------------------------------------


def test_an_interpreter_by_its_path():
    there = other()
    for path in (there.path, pathlib.Path(there.path)):
        assert version(saranwrap.wrap(time, python=path)) == words(there)


def test_the_own_interpreter_by_its_path_is_nothing_special():
    remote = saranwrap.wrap(sys, python=sys.executable)
    assert list(remote.path)[: len(sys.path)] == [os.path.abspath(place) for place in sys.path]


def test_an_interpreter_by_its_name_on_the_path(lonely, script):
    script("path/mine", f'exec {sys.executable} "$@"')
    assert version(saranwrap.wrap(time, python="mine")) == OWN


def test_no_interpreter(tmp_path, script):
    plain = tmp_path / "plain"
    plain.write_text("")
    for path, reason in (
        (tmp_path / "none", "does not exist"),
        (tmp_path, "is a directory"),
        (plain, "not executable"),
        (script("dumb", "true"), "did not answer as a Python does"),
        (script("other", "echo hello"), "said 'hello'"),
        (script("liar", "echo 'saranwrap:(1,'"), "did not answer"),
        ("nosuchprogram", "no program on PATH"),
        ("", "no program on PATH"),
    ):
        with pytest.raises(saranwrap.Refused, match=reason):
            saranwrap.wrap(time, python=path)


@pytest.mark.parametrize("text", ["exec sleep 1000", "sleep 1000 & exec >/dev/null 2>&1; wait", "exec yes"])
def test_what_never_answers_is_given_up(script, monkeypatch, text):
    monkeypatch.setattr(_interpreters, "_PATIENCE", 0.2)
    with pytest.raises(saranwrap.Refused, match="did not answer"):
        saranwrap.wrap(time, python=script("slow", text))


def test_an_interpreter_is_asked_once(script, tmp_path):
    asked = tmp_path / "asked"
    path = str(script("counting", f'echo x >> {asked}; exec {sys.executable} "$@"'))
    for _ in range(3):
        _interpreters.at(path)
    assert asked.read_text() == "x\n"


@pytest.mark.parametrize("given", [{"python": 3.12}, {"python": b"3.12"}, {"venv": 1}, {"path": "/tmp"}, {"path": [1]}])
def test_a_wrong_type(given):
    with pytest.raises(TypeError, match=next(iter(given))):
        saranwrap.wrap(time, **given)


def test_two_that_say_which():
    with pytest.raises(ValueError, match="python= and venv="):
        saranwrap.wrap(time, python="3.12", venv="/nowhere")


def test_one_that_is_too_old_for_the_native_child():
    there = older()
    with pytest.raises(saranwrap.Refused, match="3.11 or newer") as caught:
        saranwrap.wrap(time, python=there.path, child="native")
    assert words(there) in str(caught.value)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [(("pypy", (3, 99, 1), "", False), "CPython"), (("cpython", (3, 99, 1), "", True), "free-threaded")],
)
def test_one_that_loads_no_such_extension_module(facts, reason):
    interpreter = _interpreters.Interpreter("/p", "/p", *facts)
    with pytest.raises(saranwrap.Refused, match=reason):
        _interpreters.which_child(interpreter, "native")
    assert _interpreters.which_child(interpreter, "auto") == "agent"


def test_one_that_is_too_old_for_any():
    for version in ((2, 6, 9), (3, 2, 0), (3, 5, 10)):
        with pytest.raises(saranwrap.Refused, match="2.7, or 3.6"):
            _interpreters.which_child(_interpreters.Interpreter("/p", "/p", "cpython", version, "", False), "auto")


# --- given by a venv --------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path):
    """A venv with a module in it that is nowhere else."""
    directory = tmp_path / "env"
    venv.create(directory, with_pip=False)
    packages = directory / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (packages / "only_there.py").write_text("import sys\nwhere = sys.prefix\n")
    return directory


def test_a_venv(environment):
    module = saranwrap.wrap_module("only_there", venv=environment)
    assert module.where == str(environment)
    with pytest.raises(ImportError):
        saranwrap.wrap_module("only_there")


def test_with_another_interpreter_a_text_is_the_name_of_a_module(environment):
    assert saranwrap.wrap("only_there", venv=environment).where == str(environment)
    with saranwrap.Child(venv=environment) as child:
        assert child.wrap("only_there").where == str(environment)
    with saranwrap.wrapped("only_there", venv=environment) as module:
        assert module.where == str(environment)
    with saranwrap.pool("only_there", 2, venv=environment) as pool:
        assert pool.where == str(environment)
    assert saranwrap.wrap("a text").upper() == "A TEXT"


@pytest.mark.parametrize(
    ("ruin", "reason"),
    [
        (lambda env: env / "none", "does not exist"),
        (lambda env: env / "pyvenv.cfg", "is not a directory"),
        (lambda env: env / "lib", "no bin/python"),
        (lambda env: (env / "pyvenv.cfg").unlink() or (env / "bin/activate").unlink() or env, "no pyvenv.cfg"),
        (
            lambda env: (env / "bin/python").unlink() or (env / "bin/python").symlink_to("/gone/python") or env,
            "an interpreter that is gone .*/gone/python",
        ),
    ],
)
def test_no_venv(environment, ruin, reason):
    with pytest.raises(saranwrap.Refused, match=reason):
        saranwrap.wrap(time, venv=ruin(environment))


# --- everything that starts children ----------------------------------------------------------------------------------


ISOLATED = """
import saranwrap, sys

@saranwrap.isolated(venv={venv!r})
def whereabouts():
    return sys.prefix
"""


def test_pools_executors_and_isolated_functions(environment, tmp_path, monkeypatch):
    (tmp_path / "isolated_there.py").write_text(ISOLATED.format(venv=str(environment)))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert importlib.import_module("isolated_there").whereabouts() == str(environment)
    # Its children are kept as long as it is.
    del sys.modules["isolated_there"]
    with saranwrap.Executor(1, venv=environment) as executor:
        assert executor.submit(eval, "__import__('sys').prefix").result() == str(environment)
    with saranwrap.pool(sys, 1, venv=environment) as pool:
        assert pool.prefix == str(environment)


@pytest.mark.parametrize(
    "start",
    [
        lambda **given: saranwrap.Executor(1, **given),
        lambda **given: saranwrap.pool(time, **given),
        lambda **given: saranwrap.isolated(**given)(print),
    ],
)
def test_what_is_wrong_is_said_at_once(start):
    with pytest.raises(saranwrap.Refused, match="does not exist"):
        start(venv="/nowhere")


@pytest.mark.parametrize(
    "start", [lambda **given: saranwrap.Executor(1, **given), lambda **given: saranwrap.isolated(**given)(print)]
)
def test_functions_run_in_native_children(start):
    with pytest.raises(saranwrap.Refused, match="portable child"):
        start(child="agent")
    with pytest.raises(saranwrap.Refused, match="3.11 or newer"):
        start(python=older().path)


def test_event_loops(environment):
    import asyncio

    async def ask():
        async with aio.wrapped("only_there", venv=environment) as module:
            return await module.where

    assert asyncio.run(ask()) == str(environment)


def test_another_child_of_the_same_interpreter_takes_the_place_of_a_dead_one(environment):
    module = saranwrap.wrap("only_there", venv=environment, restart=saranwrap.Restart())
    saranwrap.kill(module)
    assert module.where == str(environment)


# --- warm starts ------------------------------------------------------------------------------------------------------


@of_the_native_child("it is always started cold")
def test_each_interpreter_has_a_zygote_of_its_own(environment):
    there = other()
    zygotes = len(_zygote.pids())
    for _ in range(2):
        for given in ({"python": there.path}, {"venv": environment}, {}):
            remote = saranwrap.wrap(sys, start="warm", **given)
            assert saranwrap.status(remote)["start"] == "warm"
            expected = {"python": there.path, "venv": str(environment / "bin/python")}
            assert remote.executable == next((expected[name] for name in given), sys.executable)
    assert 2 <= len(_zygote.pids()) <= zygotes + 3


@of_the_native_child("it is always started cold")
def test_what_is_preloaded_is_not_looked_for_in_another_interpreter(environment, monkeypatch):
    monkeypatch.setattr(_zygote, "_preloaded", ("nowhere_to_be_found",))
    remote = saranwrap.wrap(sys, venv=environment, start="warm")
    assert remote.prefix == str(environment)


# --- what goes along --------------------------------------------------------------------------------------------------


def test_the_places_of_the_project_go_along_and_those_of_this_interpreter_do_not(environment, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    remote = saranwrap.wrap(sys, venv=environment)
    there = list(remote.path)
    assert there[0] == str(tmp_path / "project")
    own = [place for place in sys.path if "site-packages" in place]
    assert own and not set(own) & set(there)
    assert any(place.startswith(str(environment)) for place in there)


def test_the_standard_library_is_the_childs():
    there = other()
    module = saranwrap.wrap("json", python=there.path)
    assert f"python{there.version[0]}.{there.version[1]}" in module.__file__
    remote = saranwrap.wrap(sys, python=there.path)
    own = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    assert not set(own) & set(remote.path)


def test_a_project_below_the_prefix_of_an_interpreter_is_no_part_of_it(monkeypatch):
    places = [
        "/usr/src/app",
        "/usr/lib/python3/dist-packages",
        os.path.dirname(os.__file__),
        "/x/site-packages/egg",
        "/y",
    ]
    assert _interpreters.of_project(places) == ["/usr/src/app", "/y"]


@pytest.mark.usefixtures("every_start")
def test_path_says_what_the_path_begins_with(environment, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/found_here.py").write_text("value = 5\n")
    for given in ({}, {"venv": environment}):
        module = saranwrap.wrap_module("found_here", path=[tmp_path / "mine"], **given)
        assert module.value == 5
        first, *others = saranwrap.wrap(sys, path=[tmp_path / "mine"], **given).path
        assert first == str(tmp_path / "mine")
        assert str(pathlib.Path(__file__).parent.parent) not in others


def test_the_place_of_this_package_does_not_stay(environment):
    """In an installation it is a directory with all packages of the parent's interpreter."""
    places = saranwrap.wrap(sys, venv=environment, path=[]).path
    assert str(pathlib.Path(saranwrap.__file__).parent.parent) not in list(places)


def test_pythonhome_is_that_of_this_interpreter(environment, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    assert "PYTHONHOME" not in saranwrap.wrap(os, venv=environment).environ


def test_a_module_that_the_child_has_not(environment):
    with pytest.raises(ImportError) as caught:
        saranwrap.wrap("nowhere_to_be_found", venv=environment)
    assert str(environment) in caught.value.__notes__[0]


class Here:
    """Of a module that another interpreter does not find, where its place does not go along."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


def test_an_object_whose_module_the_child_has_not(environment):
    with pytest.raises(ImportError) as caught:
        saranwrap.wrap(Here(), venv=environment, path=[])
    assert any(str(environment) in note for note in caught.value.__notes__)
    remote = saranwrap.wrap(builtins, venv=environment, path=[])
    with pytest.raises(ImportError) as caught:
        remote.repr(saranwrap.val(Here()))
    assert any(str(environment) in note for note in caught.value.__notes__)
    assert "Here object" in remote.repr(Here())


# --- code by value ----------------------------------------------------------------------------------------------------


def test_code_does_not_go_by_value_into_another_version():
    pytest.importorskip("cloudpickle")
    there = other()
    with pytest.raises(saranwrap.Refused, match="another version of Python"):
        saranwrap.wrap(lambda: 1, python=there.path)
    with saranwrap.Executor(1, python=there.path, on_death="replace") as executor:
        with pytest.raises(saranwrap.Refused, match="another version of Python"):
            executor.submit(lambda: 1).result()
        assert executor.submit(pow, 2, 3).result() == 8


def test_code_by_value_needs_cloudpickle_there_too(environment):
    pytest.importorskip("cloudpickle")
    with pytest.raises(saranwrap.Refused, match="needs cloudpickle"):
        saranwrap.wrap(lambda: 1, venv=environment, path=[])


# --- names ------------------------------------------------------------------------------------------------------------

CROSSING = """
import builtins, calendar, math, types
import saranwrap

with saranwrap.Child(python={python!r}, trust={trust}) as child:
    b, m, c = child.wrap(builtins), child.wrap(math), child.wrap(calendar)
"""


def opposite():
    """An interpreter on the other side of 3.13, which has more in several modules; the test is skipped where there is none."""
    if sys.version_info < (3, 13):
        return other(oldest=(3, 13))
    there = other()
    if there.version >= (3, 13):
        pytest.skip("there is no CPython 3.11 or 3.12 here")
    return there


def pairs():
    """The newer and the older one of this interpreter and that on the other side."""
    there = opposite().path
    return (sys.executable, there) if sys.version_info >= (3, 13) else (there, sys.executable)


def cross(parent, child, body, trust):
    """Run `body` in a program of one interpreter, with a child of the other."""
    program = CROSSING.format(python=child, trust=trust) + textwrap.indent(textwrap.dedent(body), "    ")
    env = {**os.environ, "PYTHONPATH": str(pathlib.Path(saranwrap.__file__).parent.parent)}
    done = subprocess.run([parent, "-c", program], capture_output=True, text=True, timeout=50, env=env, check=False)
    assert done.returncode == 0, f"{program}\n{done.stderr}"


@pytest.mark.parametrize("trust", [False, True])
def test_what_only_the_parents_version_has_goes_by_reference(trust):
    newer, elder = pairs()
    body = """
        # Of the language, of a module of C, of one that the child has loaded, and a member of an enumeration.
        assert b.issubclass(PythonFinalizationError, b.RuntimeError)
        assert "fma" in b.repr(math.fma) and b.repr(math.fma) == b.repr(math.fma)
        assert "Month" in b.repr(calendar.Month)
        assert b.repr(calendar.JANUARY) in {"calendar.JANUARY", "1"}
        assert b.str(types.CapsuleType) == "<class 'PyCapsule'>"
        # All others are the child's own.
        assert b.repr(b.ValueError) == b.repr(ValueError)
        assert m.sqrt(4) == 2.0
    """
    cross(newer, elder, body, trust)


@pytest.mark.parametrize("trust", [False, True])
def test_what_only_the_childs_version_has_is_a_remote_class(trust):
    newer, elder = pairs()
    body = """
        remote = b.PythonFinalizationError
        assert issubclass(remote, RuntimeError) and remote.__name__ == "PythonFinalizationError"
        try:
            b.exec("raise PythonFinalizationError('late')", b.dict())
        except remote as error:
            assert error.args == ("late",)
        assert isinstance(remote("x"), RuntimeError)
        assert c.Month.JANUARY == 1 and c.Month(2).name == "FEBRUARY"
        assert list(b.map(m.fma, [2.0], [3.0], [4.0])) == [10.0]
    """
    cross(elder, newer, body, trust)


def test_a_child_gets_nothing_by_asking_that_was_not_named_to_it():
    """What a child may ask for by name is what it could have under that name."""
    session = saranwrap.wrap(time)
    door = saranwrap._home.Door(saranwrap._whereabouts.session_of(session))
    for name in (
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "open"),
        ("types", "FunctionType"),
        ("nowhere", "x"),
    ):
        with pytest.raises(LookupError):
            door("object", *name)


def test_values_of_the_standard_library_stay_values_between_versions():
    there = opposite()
    remote = saranwrap.wrap(builtins, python=there.path)
    values = [
        decimal.Decimal("1.5"),
        pathlib.Path("/a"),
        pathlib.PurePosixPath("b"),
        types.SimpleNamespace,
        Ellipsis,
        2**80,
    ]
    for value in values:
        back = remote.max([value], key=saranwrap.ref(lambda _: 0))
        assert type(back) is type(value) and back == value
    module = saranwrap.wrap(pathlib, python=there.path)
    assert type(module.Path("/a") / "b") is type(pathlib.Path("/a"))


def test_errors_of_another_version_arrive():
    there = other()
    remote = saranwrap.wrap(builtins, python=there.path)
    with pytest.raises(ZeroDivisionError, match="division"):
        remote.divmod(1, 0)
    with pytest.raises(ExceptionGroup) as caught:
        remote.exec("raise ExceptionGroup('some', [ValueError(1), KeyError('k')])", remote.dict())
    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]


def test_lists_callbacks_and_subclasses_work_between_versions():
    there = other()
    with saranwrap.Child(python=there.path) as child:
        cards = list(range(8))
        child.wrap("random").shuffle(cards)
        assert sorted(cards) == list(range(8))
        assert child.wrap("functools").reduce(lambda a, b: a * b, [1, 2, 3, 4]) == 24
        remote = child.wrap("html.parser")

        class Text(remote.HTMLParser):
            def handle_data(self, data):
                self.found = data

        parser = Text()
        parser.feed("<p>one</p>")
        assert parser.found == "one"
        assert child.wrap(calendar).TextCalendar().formatyear(2020)
        assert child.wrap(math).floor(2.5) == 2
