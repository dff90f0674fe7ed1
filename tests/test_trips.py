"""How many trips an expression takes, by the child's own count."""

from __future__ import annotations

import operator
import sys

import pytest
import saranwrap

SOURCE = """
class Thing:
    size = 5
    def give(self, value, **options): return value
    def __len__(self): return 3
    def __getitem__(self, place): return place
    def __add__(self, other): return other

def give(value): return value
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "thing_to_count.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with saranwrap.wrapped(saranwrap.wrap_module("thing_to_count")) as module:
        yield module


def trips(p, action):
    """How many requests the action makes, once all that it needs is known."""
    action()
    action()
    before = saranwrap.status(p)["requests"]
    action()
    return saranwrap.status(p)["requests"] - before - 1


def test_an_attribute_is_one_trip(module):
    thing = module.Thing()
    assert trips(thing, lambda: thing.size) == 1


def test_a_method_is_called_in_one_trip(module):
    thing, value = module.Thing(), 7
    assert trips(thing, lambda: thing.give(7)) == 1
    assert trips(thing, lambda: thing.give(value)) == 1
    assert trips(thing, lambda: thing.give(value, key=[value, thing])) == 1
    assert trips(thing, lambda: [thing.give(each) for each in (1, 2, 3)]) == 3
    assert trips(thing, lambda: eval("thing.give(7)", {"thing": thing})) == 1


def test_it_is_from_the_first_time_on(module):
    thing = module.Thing()
    before = saranwrap.status(module)["requests"]
    given = thing.give(7)
    assert saranwrap.status(module)["requests"] - before == 2
    assert given == 7


def test_what_is_called_here_is_sent_no_arguments_the_second_time(module):
    thing, many = module.Thing(), ["text"] * 10_000
    thing.kind = len
    size = thing.kind(many)
    before = saranwrap.status(thing)["bytes_in"]
    again = thing.kind(many)
    assert saranwrap.status(thing)["bytes_in"] - before < 1000
    assert size == again == len(many)


def test_what_one_instance_showed_is_known_of_the_others(module):
    thing = module.Thing()
    thing.give(1)
    others = [module.Thing() for _ in range(3)]
    before = saranwrap.status(module)["requests"]
    for other in others:
        other.give(1)
    assert saranwrap.status(module)["requests"] - before == 4


def test_a_function_or_a_class_of_a_module_is_called_in_one_trip(module):
    assert trips(module, lambda: module.give(1)) == 1
    assert trips(module, lambda: module.Thing()) == 1


def test_a_method_as_a_value_is_fetched_at_once(module):
    thing = module.Thing()
    assert trips(thing, lambda: thing.give) == 1
    assert trips(thing, lambda: operator.attrgetter("give")(thing)(1)) == 2


def test_an_argument_that_may_run_code_comes_after_the_attribute(module):
    thing = module.Thing()
    assert trips(thing, lambda: thing.give(thing.give(1))) == 3
    assert trips(thing, lambda: thing.give(int("1"))) == 2


def test_under_a_debugger_each_step_is_taken_by_itself(module):
    thing = module.Thing()

    def traced():
        before = sys.gettrace()
        sys.settrace(lambda *_: None)
        try:
            thing.give(1)
        finally:
            sys.settrace(before)

    assert trips(thing, traced) == 2


def test_a_special_method_is_one_trip(module):
    thing = module.Thing()
    assert trips(thing, lambda: len(thing)) == 1
    assert trips(thing, lambda: thing[1]) == 1
    assert trips(thing, lambda: thing + 1) == 1


TREE = """
class Leaf:
    def __init__(self): self.word, self.items = "leaf", [1, 2, 3]
    def give(self, value=None): return value

class Branch:
    def __init__(self): self.leaf = Leaf()

class Tree:
    def __init__(self): self.branch, self.kind = Branch(), Leaf

tree = Tree()
"""


@pytest.fixture
def tree(tmp_path, monkeypatch):
    (tmp_path / "tree_to_count.py").write_text(TREE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with saranwrap.wrapped(saranwrap.wrap_module("tree_to_count")) as module:
        yield module.tree


def test_attributes_one_after_the_other_are_one_trip(tree):
    assert trips(tree, lambda: tree.branch.leaf) == 1
    assert trips(tree, lambda: tree.branch.leaf.word) == 1
    assert trips(tree, lambda: [tree.branch.leaf.word for _ in range(3)]) == 3
    assert trips(tree, lambda: eval("tree.branch.leaf.word", {"tree": tree})) == 1


def test_a_method_at_their_end_is_called_in_the_same_trip(tree):
    value = 5
    assert trips(tree, lambda: tree.branch.leaf.give(value)) == 1
    assert trips(tree, lambda: tree.branch.leaf.items.append(4)) == 1
    assert trips(tree, lambda: tree.branch.leaf.give(tree.branch.leaf.word)) == 4


def test_what_comes_here_as_a_value_is_asked_here(tree):
    assert trips(tree, lambda: tree.branch.leaf.word.upper()) == 1
    assert trips(tree, lambda: tree.branch.leaf.word.__class__.__name__) == 1
    assert trips(tree, lambda: tree.branch.leaf.items.__len__()) == 2


def test_a_class_has_attributes_of_its_own_here(tree):
    assert trips(tree, lambda: tree.kind.give) == 2


def test_under_a_debugger_each_attribute_is_a_trip(tree):
    def traced():
        before = sys.gettrace()
        sys.settrace(lambda *_: None)
        try:
            tree.branch.leaf.word
        finally:
            sys.settrace(before)

    assert trips(tree, traced) == 3
