"""What a type checker and a reader of the package see."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import saranwrap
from saranwrap import _settings, aio, errors

SAMPLE = """
    import decimal
    import json
    import types

    import saranwrap


    class Counter:
        count: int = 0

        def up(self, by: int = 1) -> int:
            return self.count + by


    def shout(text: str) -> str:
        return text.upper()


    def mourn(death: saranwrap.ChildDied) -> None:
        print(death.pid, death.returncode, death.signal, death.last_words)


    counter = Counter()
    reveal_type(saranwrap.wrap(counter))  # Counter
    reveal_type(saranwrap.wrap(counter).up())  # builtins.int
    reveal_type(saranwrap.wrap(Counter)())  # Counter
    reveal_type(saranwrap.wrap(shout)("a"))  # builtins.str
    reveal_type(saranwrap.wrap(json).dumps([]))  # Any
    reveal_type(saranwrap.wrap([1, 2]))  # builtins.list[builtins.int]
    reveal_type(saranwrap.wrap({"a": 1.5}, mourn, trust=True, env={"A": "b"}, cwd="/"))  # builtins.dict[builtins.str, builtins.float]
    reveal_type(saranwrap.wrap_module("json"))  # Any
    reveal_type(saranwrap.wrap("json", python="3.12", requirements=["six"], progress=print))  # Any
    reveal_type(saranwrap.environments()[0].used)  # datetime.datetime
    reveal_type(saranwrap.local(saranwrap.wrap(counter)))  # Counter
    reveal_type(saranwrap.val(decimal.Decimal(1)))  # decimal.Decimal
    reveal_type(saranwrap.ref([1]))  # builtins.list[builtins.int]
    reveal_type(saranwrap.status(counter))  # builtins.dict[builtins.str, Any]
    reveal_type(saranwrap.getpid(counter))  # builtins.int
    reveal_type(saranwrap.close(counter) if False else 1)  # Literal[1]?
    with saranwrap.wrapped(Counter, by_value=(decimal.Decimal,)) as cls:
        reveal_type(cls().count)  # builtins.int
    with saranwrap.pipeline(counter) as q:
        reveal_type(q.up(1).bit_length())  # Any
        promise = q.count
    reveal_type(saranwrap.result(promise))  # Any
    with saranwrap.Executor(2, initializer=shout, initargs=("a",)) as executor:
        reveal_type(executor.submit(shout, "a").result())  # builtins.str
        reveal_type(next(executor.map(shout, ["a"])))  # builtins.str
    reveal_type(saranwrap.isolated(shout)("a"))  # builtins.str
    reveal_type(saranwrap.isolated(timeout=1.5, memory=10**9)(shout)("a"))  # builtins.str
    with saranwrap.pool(json, 2) as pool:
        reveal_type(pool.dumps([]))  # Any
        reveal_type(next(saranwrap.map(pool.dumps, [[]], progress=True)))  # Any
    with saranwrap.Child(mourn) as child:
        reveal_type(child)  # saranwrap._children.Child
        reveal_type(child.wrap(counter))  # Counter
        reveal_type(child.pid)  # builtins.int
        reveal_type(child.status()["pid"])  # Any
    try:
        raise saranwrap.ChildDied("dead", 1)
    except saranwrap.ChildDied as death:
        reveal_type(death.signal)  # Union[builtins.int, None]
"""

WRONG = """
    import saranwrap

    saranwrap.wrap([1]).append("a")
    saranwrap.wrap(1, trust="yes")
    saranwrap.wrap_module(5)
    saranwrap.wrap(1, 5)
    saranwrap.wrap(1, tmeout=5)
    saranwrap.pool(1, cwd=5)
    saranwrap.pool("json", requirements=5)
    saranwrap.isolated(len)(5)
    saranwrap.Executor(2, on_death="ignore")
    saranwrap.nonsense
"""


def mypy(tmp_path, text, *options):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    sample = tmp_path / "sample.py"
    sample.write_text(textwrap.dedent(text))
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", *options, str(sample)]
    # Outside of the checkout, so that mypy sees what an installation has.
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=50), sample.read_text()


def test_a_wrapped_object_keeps_its_type(tmp_path):
    done, text = mypy(tmp_path, SAMPLE, "--no-warn-unreachable")
    assert done.returncode == 0, done.stdout
    revealed = dict(re.findall(r"sample\.py:(\d+): note: Revealed type is \"(.*)\"", done.stdout))
    expected = {str(n): line.split("  # ")[1] for n, line in enumerate(text.splitlines(), 1) if "reveal_type" in line}
    assert {line: spelled(kind) for line, kind in revealed.items()} == {
        n: spelled(kind) for n, kind in expected.items()
    }


def spelled(kind):
    """Versions of mypy spell types in different ways."""
    return re.sub(r"Union\[(.*), None\]", r"\1 | None", kind.replace("builtins.", "").replace("sample.", ""))


def test_a_wrong_use_is_a_type_error(tmp_path):
    done, text = mypy(tmp_path, WRONG)
    wrong = {int(line) for line in re.findall(r"sample\.py:(\d+): error:", done.stdout)}
    assert wrong == {n for n, line in enumerate(text.splitlines(), 1) if line.startswith("saranwrap.")}


def test_the_package_says_that_it_is_typed():
    package = Path(saranwrap.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "_native.pyi").exists()


def test_all_is_sorted_and_complete():
    names = saranwrap.__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    # Some names are there only from the moment that they are asked for.
    public = {
        name for name in dir(saranwrap) if not name.startswith("_") and not inspect.ismodule(getattr(saranwrap, name))
    }
    assert public == set(names) - {"__version__"}


@pytest.mark.parametrize("name", sorted(set(saranwrap.__all__) - {"__version__"}))
def test_every_public_name_is_explained(name):
    thing = getattr(saranwrap, name)
    text = thing.__doc__
    assert text and text.strip(), f"{name} has no docstring"
    first = text.strip().splitlines()[0]
    assert first[0].isupper() or first[0] in "`*"
    assert thing.__module__.partition(".")[0] == "saranwrap"


@pytest.mark.parametrize("name", [name for name, thing in vars(saranwrap.Child).items() if not name.startswith("_")])
def test_every_method_of_a_child_is_explained(name):
    assert inspect.getdoc(getattr(saranwrap.Child, name))


def test_wrap_and_its_relatives_take_the_same_settings():
    takers = [saranwrap.wrap, saranwrap.wrap_module, saranwrap.wrapped, saranwrap.Child]
    takers += [aio.wrap, aio.wrap_module, aio.wrapped]
    for taker in takers:
        last = list(inspect.signature(taker).parameters.values())[-2:]
        assert [(p.name, p.kind) for p in last] == [
            ("dead_callback", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            ("settings", inspect.Parameter.VAR_KEYWORD),
        ]
        assert last[1].annotation == "Unpack[Settings]"


@pytest.mark.parametrize("taker", [saranwrap.Child, saranwrap.wrap, saranwrap.wrap_module, saranwrap.wrapped])
def test_help_names_every_setting(taker):
    named = re.search(r"settings: (.*?):\s+see `Settings`", inspect.getdoc(taker), re.S)[1]
    assert set(re.split(r",\s+", named)) == saranwrap.Settings.__annotations__.keys()


@pytest.mark.parametrize("taker", [saranwrap.pool, saranwrap.isolated, saranwrap.Executor])
def test_help_names_what_everything_that_starts_children_takes(taker):
    named = re.search(r"surroundings: (.*?): see `Settings`", inspect.getdoc(taker), re.S)[1]
    assert set(re.split(r",\s+", named)) == _settings.Surroundings.__annotations__.keys()
    assert list(inspect.signature(taker).parameters.values())[-1].annotation == "Unpack[Surroundings]"


def test_every_setting_is_explained_and_has_a_value_where_it_is_not_given():
    assert saranwrap.Settings.__annotations__.keys() == _settings.complete().keys()
    for name in saranwrap.Settings.__annotations__:
        assert re.search(rf"^ *(\w+, )*{name}(, \w+)*: ", saranwrap.Settings.__doc__, re.M), name


@pytest.mark.parametrize(
    "taker", [saranwrap.Child, lambda **s: saranwrap.wrap(1, **s), lambda **s: saranwrap.pool(1, **s)]
)
def test_a_setting_that_there_is_not_is_an_error(taker):
    with pytest.raises(TypeError, match="no setting 'tmeout'"):
        taker(tmeout=5)


def test_every_error_is_public_and_a_saranwrap_error():
    for name, thing in vars(errors).items():
        if isinstance(thing, type) and issubclass(thing, BaseException):
            assert name in saranwrap.__all__
            # Except for what interrupts a child's code, which is no error: nothing that catches errors is to catch it.
            assert issubclass(thing, saranwrap.SaranwrapError) is (thing is not saranwrap.Stopped)
            assert issubclass(thing, Exception) is (thing is not saranwrap.Stopped)


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert saranwrap.__version__ == version("saranwrap")
