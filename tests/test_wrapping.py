"""What can be wrapped, from where, and with which options."""

from __future__ import annotations

import array
import builtins
import collections
import copy
import dataclasses
import decimal
import enum
import fractions
import io
import ipaddress
import json
import math
import operator
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import types
import uuid
import xml.etree.ElementTree  # noqa: ICN001  it is what is wrapped

import pytest
import saranwrap


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b

    def total(self):
        return self.a + self.b


@dataclasses.dataclass
class Pair:
    left: int
    right: list = dataclasses.field(default_factory=list)

    def swapped(self):
        return Pair(self.right, self.left)


@dataclasses.dataclass(frozen=True)
class Frozen:
    name: str


class Colour(enum.Enum):
    RED = 1


class Counter:
    made = 0

    def __init__(self, count=0):
        type(self).made += 1
        self.count = count

    def up(self):
        self.count += 1
        return self.count

    @classmethod
    def two(cls):
        return cls(2)

    @staticmethod
    def pid():
        return os.getpid()


def where(*args, **kwargs):
    return os.getpid(), args, sorted(kwargs)


def elsewhere(p):
    return saranwrap.getpid(p) != os.getpid()


# --- what -------------------------------------------------------------------------------------------------------------


def test_a_module():
    p = saranwrap.wrap(json)
    assert p.loads("[1]") == [1]
    assert repr(p) == f"saran:{json!r}"
    assert isinstance(p, types.ModuleType)
    assert p.__name__ == "json"


def test_a_submodule_of_a_package():
    p = saranwrap.wrap(xml.etree.ElementTree)
    assert p.fromstring("<a><b/></a>")[0].tag == "b"
    assert p.__name__ == "xml.etree.ElementTree"


def test_a_submodule_by_its_name():
    p = saranwrap.wrap_module("xml.etree.ElementTree")
    assert p.fromstring("<a/>").tag == "a"


def test_a_package_whose_submodules_are_not_loaded_there():
    p = saranwrap.wrap(xml)
    assert not hasattr(p, "sax")
    assert saranwrap.wrap_module("xml.sax").__name__ == "xml.sax"


def test_a_module_by_its_name_is_not_imported_here(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    p = saranwrap.wrap_module("colorsys")
    assert p.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    assert "colorsys" not in sys.modules


def test_a_module_made_by_hand_says_that_it_cannot_be_imported():
    with pytest.raises((ImportError, saranwrap.Refused), match="made_by_hand"):
        saranwrap.wrap(types.ModuleType("made_by_hand"))


def test_a_class():
    remote = saranwrap.wrap(Counter)
    assert isinstance(remote, type)
    counter = remote(5)
    assert counter.up() == 6
    assert counter.pid() == saranwrap.getpid(remote) != os.getpid()
    assert remote.made == 1
    assert Counter.made == 0
    assert remote.two().up() == 3
    assert isinstance(counter, remote) and isinstance(counter, Counter)
    assert type(counter) is remote


def test_a_class_of_the_interpreter():
    p = saranwrap.wrap(collections.deque)
    assert list(p([1, 2, 3], 2)) == [2, 3]


@pytest.mark.parametrize("cls", [list, dict, int, str, object], ids=lambda cls: cls.__name__)
def test_a_built_in_class(cls):
    p = saranwrap.wrap(cls)
    assert isinstance(p, saranwrap.Proxy)
    assert saranwrap.getpid(p) != os.getpid()
    assert p() == cls() or cls is object


def test_a_function():
    p = saranwrap.wrap(where)
    assert p(1, b=2) == (saranwrap.getpid(p), (1,), ["b"])
    assert elsewhere(p)
    assert p.__name__ == "where"


def test_a_built_in_function():
    p = saranwrap.wrap(os.getpid)
    assert p() == saranwrap.getpid(p) != os.getpid()


def test_a_pure_built_in_function_is_a_proxy_all_the_same():
    p = saranwrap.wrap(math.hypot)
    assert isinstance(p, saranwrap.Proxy)
    assert p(3, 4) == 5


def test_a_bound_method():
    mine = Counter(1)
    p = saranwrap.wrap(mine.up)
    assert (p(), p()) == (2, 3)
    assert mine.count == 1


def test_an_instance_is_copied():
    mine = Counter(1)
    theirs = saranwrap.wrap(mine)
    assert theirs.up() == 2
    assert (mine.count, theirs.count) == (1, 2)
    theirs.extra = [1]
    assert theirs.extra == [1] and not hasattr(mine, "extra")


@pytest.mark.parametrize(
    "value",
    [[1, [2]], {"a": [1]}, {1, 2}, bytearray(b"ab"), 5, 10**30, 2.5, 1j, "text", b"bytes", (1, [2]), frozenset({1}), None,
     True, ..., decimal.Decimal("1.5"), range(3), Colour.RED],
    ids=repr,
)  # fmt: skip
def test_a_plain_value(value):
    p = saranwrap.wrap(value)
    assert isinstance(p, saranwrap.Proxy)
    assert elsewhere(p)
    assert p == value and value == p
    assert str(p) == str(value)
    assert repr(p) == f"saran:{value!r}"
    assert isinstance(p, type(value))
    assert saranwrap.local(p) == value
    assert bool(p) == bool(value)


def test_a_list_that_is_used():
    mine = [3, 1, 2]
    p = saranwrap.wrap(mine)
    p.sort()
    p.append(4)
    p[0] = "first"
    assert p == ["first", 2, 3, 4]
    assert mine == [3, 1, 2]


def test_a_number_that_is_used():
    p = saranwrap.wrap(5)
    assert p + 1 == 6 == 1 + p
    assert [10, 20, 30, 40, 50, 60][p] == 60
    assert f"{p:03}" == "005"


def test_an_object_with_slots():
    p = saranwrap.wrap(Slotted(1, 2))
    p.a = 5
    assert (p.total(), p.a) == (7, 5)
    with pytest.raises(AttributeError):
        p.c = 1


def test_a_dataclass():
    p = saranwrap.wrap(Pair(1, [2]))
    assert p == Pair(1, [2])
    assert p.swapped() == Pair([2], 1)
    assert dataclasses.is_dataclass(p)
    assert repr(p) == "saran:" + repr(Pair(1, [2]))


def test_a_frozen_dataclass():
    p = saranwrap.wrap(Frozen("a"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.name = "b"
    assert hash(p) == hash(Frozen("a")) or p == Frozen("a")


def test_a_class_that_is_a_dataclass():
    made = saranwrap.wrap(Pair)(1)
    made.right.append(5)
    assert made.right == [5]
    assert made == Pair(1, [5])


def test_an_array_of_numbers():
    p = saranwrap.wrap(array.array("i", [1, 2]))
    p.append(3)
    assert bytes(memoryview(p)) == array.array("i", [1, 2, 3]).tobytes()


def test_an_object_of_numpy():
    numpy = pytest.importorskip("numpy")
    p = saranwrap.wrap(numpy.arange(6).reshape(2, 3))
    assert p.shape == (2, 3)
    assert int(p.sum()) == 15
    assert numpy.array_equal(numpy.asarray(p), numpy.arange(6).reshape(2, 3))


def test_an_instance_of_a_standard_class():
    p = saranwrap.wrap(collections.OrderedDict(a=1))
    p.move_to_end("a")
    p["b"] = 2
    assert list(p.items()) == [("a", 1), ("b", 2)]


def test_a_proxy_is_wrapped_into_another_child_as_what_it_is():
    """The new child gets a proxy of the parent's proxy; or it is refused. It is never a wrong copy."""
    p = saranwrap.wrap([1, 2])
    try:
        q = saranwrap.wrap(p)
    except saranwrap.SaranwrapError:
        return
    assert q == [1, 2]


def test_an_object_that_holds_a_module_is_refused_or_works():
    pytest.importorskip("cloudpickle")
    holder = types.SimpleNamespace(module=json)
    p = saranwrap.wrap(holder)
    assert p.module.dumps([1]) == "[1]"


def test_a_closure_and_a_lambda_go_by_value():
    pytest.importorskip("cloudpickle")
    bonus = 10

    def add(x):
        return x + bonus, os.getpid()

    p = saranwrap.wrap(add)
    assert p(1) == (11, saranwrap.getpid(p))
    assert saranwrap.wrap(lambda x: x * bonus)(2) == 20


def test_a_local_class_goes_by_value():
    pytest.importorskip("cloudpickle")

    class Local:
        def __init__(self, x):
            self.x = x

        def twice(self):
            return self.x * 2

    p = saranwrap.wrap(Local)
    assert p(4).twice() == 8
    assert saranwrap.wrap(Local(3)).twice() == 6
    assert elsewhere(p)


# --- __main__ ---------------------------------------------------------------------------------------------------------

SCRIPT = """
    import os, sys, dataclasses, enum
    print("top level", __name__)
    import saranwrap

    LIMIT = 3

    class Counter:
        total = 0
        def __init__(self, start=0):
            self.count = start
        def up(self):
            self.count = min(self.count + 1, LIMIT)
            return self.count
        def where(self):
            return os.getpid()

    @dataclasses.dataclass
    class Point:
        x: int
        y: int = 0

    class Colour(enum.Enum):
        RED = 1

    def helper(x):
        return x + LIMIT

    def function(x):
        return helper(x), os.getpid()

    counter = saranwrap.wrap(Counter)(1)
    assert [counter.up() for _ in range(4)] == [2, 3, 3, 3]
    assert counter.where() == saranwrap.getpid(counter) != os.getpid()
    p = saranwrap.wrap(function)
    assert p(1) == (4, saranwrap.getpid(p))
    point = saranwrap.wrap(Point(1))
    point.y = 5
    assert (point.x, point.y) == (1, 5)
    assert saranwrap.wrap(Counter(2)).up() == 3
    assert saranwrap.wrap([Counter(1)])[0].up() == 2
    assert saranwrap.wrap({"f": helper})["f"](1) == 4
    assert saranwrap.wrap(lambda x: x + LIMIT)(1) == 4
    assert saranwrap.wrap(Colour.RED).name == "RED"
    child = saranwrap.wrap(sys)
    assert "Counter" not in dir(child.modules["__main__"])
    class Error(Exception): pass
    def fails(): raise Error("from main")
    try:
        saranwrap.wrap(fails)()
    except Exception as error:
        assert str(error) == "from main", error
        assert type(error).__name__ == "Error"
    print("end")
"""


def run(*args, text=None, cwd=None, check=True):
    done = subprocess.run([sys.executable, *args], input=text, capture_output=True, text=True, timeout=50, cwd=cwd)
    if check:
        assert (done.returncode, done.stderr) == (0, ""), done
    return done


def test_a_script_wraps_what_it_defines_and_runs_once(tmp_path):
    pytest.importorskip("cloudpickle")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    assert run(str(script)).stdout == "top level __main__\nend\n"


def test_a_module_that_is_run_wraps_what_it_defines_and_runs_once(tmp_path):
    pytest.importorskip("cloudpickle")
    (tmp_path / "runner.py").write_text(textwrap.dedent(SCRIPT))
    assert run("-m", "runner", cwd=tmp_path).stdout == "top level __main__\nend\n"


def test_code_on_the_command_line_wraps_what_it_defines():
    pytest.importorskip("cloudpickle")
    assert run("-c", textwrap.dedent(SCRIPT)).stdout == "top level __main__\nend\n"


def test_a_script_on_stdin_wraps_what_it_defines():
    pytest.importorskip("cloudpickle")
    assert run("-", text=textwrap.dedent(SCRIPT)).stdout == "top level __main__\nend\n"


def test_an_interactive_session_wraps_what_it_defines():
    pytest.importorskip("cloudpickle")
    session = """
        import saranwrap, os
        class Counter:
            def __init__(self): self.count = 0
            def up(self): self.count += 1; return self.count

        def f(x): return x * 2, os.getpid()

        c = saranwrap.wrap(Counter)()
        c.up() + c.up()
        p = saranwrap.wrap(f)
        p(4) == (8, saranwrap.getpid(p))
        c
        saranwrap.wrap(os).getpid() == os.getpid()
    """
    done = run("-i", "-q", text=textwrap.dedent(session), check=False)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["3", "True"], done
    assert lines[2].startswith("saran:<__main__.Counter object at"), done
    assert lines[3] == "False", done
    assert "Error" not in done.stderr, done


def test_a_script_without_cloudpickle_says_what_to_install(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            sys.modules["cloudpickle"] = None
            import saranwrap
            def f(): pass
            class C: pass
            for thing in f, C, C(), [C()], lambda: 1:
                try:
                    saranwrap.wrap(thing)
                except saranwrap.Refused as error:
                    assert "saranwrap[cloudpickle]" in str(error) and "__main__" in str(error), error
                else:
                    print("not refused", thing)
            """
        )
    )
    assert run(str(script)).stdout == ""


def test_main_itself_is_not_imported_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            print("top level")
            import saranwrap, sys
            try:
                print(saranwrap.wrap(sys.modules["__main__"]).saranwrap)
            except (saranwrap.Refused, AttributeError):
                print("refused")
            """
        )
    )
    assert run(str(script)).stdout == "top level\nrefused\n"


def test_a_script_s_objects_as_arguments_go_by_reference(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import functools, operator, os
            import saranwrap
            class Mine:
                def __add__(self, other): return os.getpid()
            def f(a, b): return os.getpid()
            assert saranwrap.wrap(operator).add(Mine(), 1) == os.getpid()
            assert saranwrap.wrap(functools).reduce(f, [1, 2]) == os.getpid()
            print("fine")
            """
        )
    )
    assert run(str(script)).stdout == "fine\n"


# --- how --------------------------------------------------------------------------------------------------------------


def test_the_path_of_the_parent_goes_along(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("import os\ndef where(): return os.getpid()\nclass C: x = 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    p = saranwrap.wrap(only_here)
    assert p.where() == saranwrap.getpid(p)
    assert saranwrap.wrap(only_here.C)().x == 5
    assert saranwrap.wrap_module("only_here").where() != os.getpid()
    assert list(saranwrap.wrap(sys).path) == sys.path
    del sys.modules["only_here"]


def test_the_arguments_of_the_program_go_along(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "--option"])
    assert saranwrap.wrap(sys).argv == ["program", "--option"]


def test_the_interpreter_s_options_go_along(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import saranwrap, sys\np = saranwrap.wrap(sys)\nprint(p.flags.optimize, p.flags.utf8_mode)\n")
    assert run("-O", "-X", "utf8", str(script)).stdout == "1 1\n"


def test_env_is_the_whole_environment(monkeypatch):
    monkeypatch.setenv("HERE", "yes")
    p = saranwrap.wrap(os, env={"COLOUR": "blue"})
    assert p.environ["COLOUR"] == "blue"
    assert "HERE" not in p.environ
    assert "COLOUR" not in os.environ


def test_the_environment_of_the_parent_is_inherited(monkeypatch):
    monkeypatch.setenv("HERE", "yes ä")
    assert saranwrap.wrap(os).environ["HERE"] == "yes ä"


def test_an_empty_environment():
    assert saranwrap.wrap(os, env={}).getpid() != os.getpid()


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "path"])
def test_cwd_is_where_the_child_starts(tmp_path, kind):
    p = saranwrap.wrap(os, cwd=kind(tmp_path))
    assert p.getcwd() == str(tmp_path)
    assert os.getcwd() != str(tmp_path)


def test_a_relative_path_still_works_from_another_directory(tmp_path, monkeypatch):
    (tmp_path / "relative").mkdir()
    (tmp_path / "relative" / "found_by_it.py").write_text("x = 1")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("relative")
    assert saranwrap.wrap_module("found_by_it").x == 1
    # What the parent could import, the child can: whatever its own directory is.
    assert saranwrap.wrap_module("found_by_it", cwd=tmp_path / "elsewhere").x == 1


def test_by_value_sends_instances_of_these_classes_by_value():
    mine = Counter(1)
    p = saranwrap.wrap(operator, by_value=(Counter,))
    assert p.methodcaller("pid")(mine) == saranwrap.getpid(p)
    assert p.methodcaller("up")(mine) == 2
    assert mine.count == 1
    assert saranwrap.wrap(operator).methodcaller("up")(mine) == 2
    assert mine.count == 2


def bumped(counters):
    counters[0].count += 1
    return counters[0]


def test_by_value_keeps_what_the_child_did_to_its_copy():
    mine = Counter(1)
    theirs = saranwrap.wrap(bumped, by_value=(Counter,))([mine])
    assert (mine.count, theirs.count) == (1, 2)


def test_by_value_covers_subclasses():
    p = saranwrap.wrap(operator, by_value=[dict])
    mine = collections.OrderedDict(a=1)
    p.setitem(mine, "b", 2)
    assert mine == {"a": 1}


def test_val_sends_one_argument_by_value():
    mine = Counter(1)
    p = saranwrap.wrap(operator)
    assert p.methodcaller("pid")(saranwrap.val(mine)) == saranwrap.getpid(p)
    p.methodcaller("up")(saranwrap.val(mine))
    assert mine.count == 1


def test_val_of_a_list_is_not_copied_back():
    p = saranwrap.wrap(operator)
    mine = [1]
    p.setitem(saranwrap.val(mine), 0, 5)
    assert mine == [1]
    p.setitem(mine, 0, 5)
    assert mine == [5]


def test_val_takes_proxies_inside_along():
    with saranwrap.Child() as child:
        p = child.wrap(operator)
        theirs = child.wrap([1])
        assert p.itemgetter(0)(saranwrap.val((theirs, 5))) is theirs


def test_ref_shares_a_list():
    p = saranwrap.wrap(collections)
    mine = {"colour": "red"}
    chain = p.ChainMap(saranwrap.ref(mine))
    mine["colour"] = "blue"
    assert chain["colour"] == "blue"
    chain["size"] = 5
    assert mine == {"colour": "blue", "size": 5}


def test_ref_of_a_value_comes_back_as_itself():
    p = saranwrap.wrap(operator)
    mine = decimal.Decimal("1.5")
    assert p.itemgetter(0)([saranwrap.ref(mine)]) is mine


def test_val_and_ref_are_what_they_hold_when_used_at_home():
    """They are for arguments of a proxy; a local function that gets one is told so, or works."""
    assert saranwrap.local(saranwrap.wrap(operator).add(saranwrap.val([1]), [2])) == [1, 2]


def test_without_trust_only_plain_data_comes_by_value():
    p = saranwrap.wrap(collections)
    for thing in p.Counter("aab"), p.deque([1]), p.deque:
        with pytest.raises(saranwrap.NotTransparent, match="trust"):
            saranwrap.local(thing)
        assert copy.copy(thing) == thing
        assert isinstance(copy.copy(thing), saranwrap.Proxy)


def test_with_trust_any_object_comes_by_value():
    p = saranwrap.wrap(collections, trust=True)
    got = saranwrap.local(p.Counter("aab"))
    assert type(got) is collections.Counter
    assert got == {"a": 2, "b": 1}
    assert type(copy.copy(p.deque([1]))) is collections.deque
    assert type(copy.deepcopy(p.deque([[1]]))[0]) is list


def test_local_fetches_to_any_depth():
    p = saranwrap.wrap(json)
    got = saranwrap.local(p.loads('{"a": [1, {"b": [2.5, null]}]}'))
    assert got == {"a": [1, {"b": [2.5, None]}]}
    assert type(got) is dict and type(got["a"]) is list and type(got["a"][1]["b"]) is list


def test_local_keeps_aliases_and_cycles():
    p = saranwrap.wrap([])
    p.append(p)
    shared = saranwrap.wrap({"x": []})
    assert shared == {"x": []}
    got = saranwrap.local(p)
    assert type(got) is list and got[0] is got


def test_local_of_a_class_or_function_that_is_here_is_that_one():
    assert saranwrap.local(saranwrap.wrap(collections, trust=True).deque) is collections.deque


def test_proxied_type_is_the_local_class_where_there_is_one():
    p = saranwrap.wrap(collections)
    assert saranwrap.proxied_type(saranwrap.wrap([1])) is list
    assert saranwrap.proxied_type(p.deque()) == collections.deque
    assert saranwrap.proxied_type(p.deque()).__name__ == "deque"
    assert saranwrap.proxied_type(p) is types.ModuleType
    assert saranwrap.proxied_type(p.deque) is type


def test_proxied_type_of_a_function():
    # A class from which functions are made is not taken from a child by its name.
    assert saranwrap.proxied_type(saranwrap.wrap(collections).namedtuple).__name__ == "function"


# --- several ----------------------------------------------------------------------------------------------------------


def test_wrapped_is_a_context_manager():
    with saranwrap.wrapped(math) as p:
        assert p.factorial(5) == 120
    with pytest.raises(saranwrap.LinkClosed):
        p.factorial(5)


def test_wrapped_closes_when_the_block_raises():
    with pytest.raises(KeyError):
        with saranwrap.wrapped(math) as p:
            raise KeyError("mine")
    with pytest.raises(saranwrap.LinkClosed):
        p.factorial(5)


def test_wrapped_takes_the_options(tmp_path):
    with saranwrap.wrapped(os, env={"A": "b"}, cwd=tmp_path, trust=True) as p:
        assert (p.environ["A"], p.getcwd()) == ("b", str(tmp_path))


def test_a_child_holds_several_objects_that_know_each_other():
    with saranwrap.Child() as child:
        files, codec = child.wrap(io), child.wrap(json)
        buffer = files.StringIO()
        codec.dump([1, 2], buffer)
        assert buffer.getvalue() == "[1, 2]"
        assert {saranwrap.getpid(p) for p in (files, codec, buffer)} == {child.pid}
        assert str(child.pid) in repr(child)
        assert child.status()["pid"] == child.pid
    assert "ended" in repr(child)


def test_the_same_module_wrapped_twice_in_a_child_is_the_same_proxy():
    with saranwrap.Child() as child:
        assert child.wrap(json) is child.wrap(json)
        assert child.wrap_module("json") is child.wrap(json)


def test_children_are_apart():
    first, second = saranwrap.wrap(Counter), saranwrap.wrap(Counter)
    assert saranwrap.getpid(first) != saranwrap.getpid(second)
    first.made = 50
    assert second.made == 0
    assert first is not second


def test_ten_children_at_once():
    proxies = [saranwrap.wrap(os) for _ in range(10)]
    assert len({p.getpid() for p in proxies}) == 10


def test_children_started_by_threads():
    pids = []

    def start():
        pids.append(saranwrap.wrap(os).getpid())

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pids)) == 6


def test_a_proxy_of_one_child_works_in_another():
    first, second = saranwrap.wrap(collections), saranwrap.wrap(operator)
    theirs = first.deque([1, 2])
    assert second.length_hint(theirs) == 2
    assert second.getitem(theirs, 1) == 2
    second.setitem(theirs, 0, "changed")
    assert list(theirs) == ["changed", 2]
    assert second.itemgetter(0)([theirs]) is theirs


def test_a_class_of_one_child_works_in_another():
    first, second = saranwrap.wrap(collections), saranwrap.wrap(operator)
    made = second.call(first.deque, [1]) if hasattr(second, "call") else first.deque([1])
    assert list(made) == [1]


def test_an_exception_of_one_child_passes_through_another():
    first, second = saranwrap.wrap(json), saranwrap.wrap(operator)
    with pytest.raises(first.JSONDecodeError, match="Expecting value"):
        second.methodcaller("__call__", "nonsense")(first.loads)


def test_the_death_of_one_child_is_seen_in_another():
    first, second = saranwrap.wrap(os), saranwrap.wrap(operator)
    with pytest.raises(saranwrap.ChildDied) as caught:
        second.methodcaller("_exit", 5)(first)
    assert caught.value.returncode == 5
    assert second.add(1, 1) == 2


def nested(depth):
    """Runs in a child: wraps for itself."""
    if depth == 0:
        return (os.getpid(),)
    p = saranwrap.wrap(nested)
    return (os.getpid(), *p(depth - 1))


def test_a_child_may_have_children():
    assert len(set(saranwrap.wrap(nested)(3)) | {os.getpid()}) == 5


def hand_out():
    return saranwrap.wrap(collections).deque([1, 2])


def test_an_object_of_a_grandchild_can_be_used_here():
    p = saranwrap.wrap(hand_out)
    theirs = p()
    theirs.append(3)
    assert list(theirs) == [1, 2, 3]
    assert len(theirs) == 3


# --- proxies ----------------------------------------------------------------------------------------------------------


def test_what_is_a_proxy():
    p = saranwrap.wrap(collections)
    made = p.deque()
    for thing in p, p.deque, made, made.append:
        assert isinstance(thing, saranwrap.Proxy), thing
    for thing in collections, collections.deque, 5, None, p.deque().maxlen, saranwrap.Proxy, saranwrap.ObjectProxy:
        assert not isinstance(thing, saranwrap.Proxy), thing


def test_which_proxies_are_objects_and_which_can_be_called():
    p = saranwrap.wrap(collections)
    made = p.deque()
    assert isinstance(made, saranwrap.ObjectProxy)
    assert isinstance(p, saranwrap.ObjectProxy)
    assert not isinstance(made, saranwrap.CallableProxy)
    assert not isinstance(p, saranwrap.CallableProxy)
    assert isinstance(p.deque, saranwrap.CallableProxy)
    assert isinstance(made.append, saranwrap.CallableProxy)
    assert not isinstance(len, saranwrap.CallableProxy)
    assert issubclass(type(made), saranwrap.Proxy)


def test_proxies_cannot_be_made_by_hand():
    with pytest.raises(TypeError):
        saranwrap.ObjectProxy()


def test_pickling_a_proxy_gives_a_copy_in_the_child():
    p = saranwrap.wrap(collections).Counter("aab")
    again = pickle.loads(pickle.dumps(p))
    assert isinstance(again, saranwrap.Proxy)
    assert again == p and again is not p
    again["a"] = 9
    assert p["a"] == 2


def test_a_pickle_of_plain_data_can_be_read_anywhere():
    data = pickle.dumps(saranwrap.wrap([1, {"a": (2,)}]))
    code = f"import pickle; print(pickle.loads({data!r}))"
    assert run("-c", code).stdout == "[1, {'a': (2,)}]\n"


def test_a_pickle_of_a_proxy_cannot_be_read_when_its_child_has_ended():
    p = saranwrap.wrap(collections).Counter("aab")
    data = pickle.dumps(p)
    saranwrap.close(p)
    del p
    with pytest.raises(saranwrap.SaranwrapError):
        pickle.loads(data)


def test_an_argument_that_holds_a_proxy_in_a_pickled_object_takes_it_along():
    with saranwrap.Child(by_value=(types.SimpleNamespace,)) as child:
        p = child.wrap(operator)
        theirs = child.wrap([1])
        assert p.attrgetter("inside")(types.SimpleNamespace(inside=theirs)) is theirs


def test_status_and_getpid():
    p = saranwrap.wrap(time)
    moment = p.gmtime(0)
    assert saranwrap.getpid(moment) == saranwrap.getpid(p) == saranwrap.status(moment)["pid"]
    assert {"object_count", "next_id", "pid", "uptime", "requests", "bytes_in", "bytes_out", "memory"} <= set(
        saranwrap.status(p)
    )


def test_a_class_can_be_administered_as_an_object_can():
    p = saranwrap.wrap(Counter)
    assert saranwrap.status(p)["pid"] == saranwrap.getpid(p)
    saranwrap.close(p)
    with pytest.raises(saranwrap.LinkClosed):
        p()


def test_a_value_is_of_the_class_that_the_child_finds_when_it_imports_it():
    remote = saranwrap.wrap(builtins, start="cold")
    space = remote.dict()
    remote.exec("def is_one(x, name):\n return isinstance(x, getattr(__import__(x.__module__), name))", space)
    for value in fractions.Fraction(1, 2), uuid.UUID(int=5), decimal.Decimal(1), ipaddress.ip_address("::1"):
        assert space["is_one"](value, type(value).__name__)
