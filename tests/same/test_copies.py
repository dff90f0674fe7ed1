"""Copies by value: copy, deepcopy, pickle, `local`; and the arguments marked with `val` and `ref`."""

from collections import Counter, OrderedDict, defaultdict, deque

from tests.same.check import cases, made, same
from tests.same.zoo import Item, Point, Point3, Shelf, Slotted, Tags

test_copy = cases(
    same("y = copy.copy(x); y.append(3); y, y is x, y == [1, [2], 3]", [1, [2]]),
    same("y = copy.copy(x); y[1].append(3); y", [1, [2]]),
    same("y = copy.copy(x); y['b'] = 1; y, type(y).__name__", {"a": [1]}),
    same("y = copy.copy(x); y.add(2); y", {1}),
    same("y = copy.copy(x); y.x = 9; y, y is x, y.__class__ is x.__class__", Point(1, 2)),
    same("y = copy.copy(x); y.tags.append('shared')", Item("i", tags=["t"])),
    same("y = copy.copy(x); y.append(3); y", deque([1], 5)),
    same("y = copy.copy(x); y['z'].append(1); y", made("collections.defaultdict(list, a=[1])")),
    same("y = copy.copy(x); y == x, y", Counter("aab")),
    same("copy.copy(x)", bytearray(b"ab")),
    same("copy.copy(zoo.Point) is zoo.Point, copy.copy(calls.identity) is calls.identity"),
    same("copy.copy(x)", made("flow.counter(1)")),
    # Many numbers and nothing else cross as one run; a single other item, or one that is too large, and they do not.
    *(
        same("y = copy.copy(x); y, [type(item).__name__ for item in y]", value)
        for value in (
            list(range(-5000, 5000)),
            [2**63 - 1, -(2**63), *range(40), 2**63, -(2**63) - 1, 2**64, 7],
            [*range(40), True, 5, None, 1.5, "text", *range(40)],
            [*range(40), [1], (2,)],
            [None, *range(40)],
        )
    ),
    same("y = copy.deepcopy(x); y.append(y); len(y), y[-1] is y", list(range(40))),
)

test_deepcopy = cases(
    same("y = copy.deepcopy(x); y[1].append(3); y", [1, [2]]),
    same("y = copy.deepcopy(x); y['a'][0].append(3); y", {"a": [[1]]}),
    same("x.append(x); y = copy.deepcopy(x); y[-1] is y, y[-1] is x", [1]),
    same("y = copy.deepcopy([x, x]); y[0] is y[1], y[0] is x, y", [1]),
    same("y = copy.deepcopy({'k': x}); y['k'].append(2); y", [1]),
    same("y = copy.deepcopy(x); y.x = 9; y, y == zoo.Point(9, 2)", Point(1, 2)),
    same("y = copy.deepcopy(x); y.tags.append('own'); y", Item("i", tags=["t"])),
    same("y = copy.deepcopy(x); y.a, hasattr(y, 'b')", Slotted()),
    same("copy.deepcopy(zoo.Point) is zoo.Point"),
    same("copy.deepcopy(x)", made("flow.counter(1)")),
    same("calls.apply(copy.deepcopy, x) is x", [1]),
)

test_pickle = cases(
    *(
        same("y = pickle.loads(pickle.dumps(x)); y, y is x, y == x", value)
        for value in (
            [1, [2, {"a": {3}}]],
            {"a": 1},
            {1, 2},
            bytearray(b"ab"),
            Point(1, 2),
            Point3(1, 2, 3),
            Item("i", 2.0, ["t"]),
            Shelf([1]),
            Tags("ab"),
            deque([1], 3),
            Counter("ab"),
            OrderedDict(b=1, a=2),
            defaultdict(int, a=1),
        )
    ),
    *(same(f"pickle.loads(pickle.dumps(x, {protocol}))", [1, {"a": (2,)}]) for protocol in range(6)),
    same("pickle.loads(pickle.dumps([x, x]))", [1]),
    same(
        "pickle.loads(pickle.dumps(zoo.Point)) is zoo.Point, pickle.loads(pickle.dumps(calls.identity)) is calls.identity"
    ),
    same("pickle.dumps(x)", made("flow.counter(1)")),
    same("pickle.loads(pickle.dumps(family.ZooError('w', 1).args))"),
    same("pickle.loads(pickle.dumps(fractions.Fraction(1, 3))), pickle.loads(pickle.dumps(decimal.Decimal('1.5')))"),
)

test_local = cases(
    same("local(x) == x, local(x)", [1, [2]]),
    same("y = local(x); y.append(2); y", [1]),
    same("y = local(x); y['a']['b'] = 2; y", {"a": {}}),
    same("type(local(x)) is list", [1]),
    same("type(local(x)) is dict, type(local(x)['a']) is set", {"a": {1}}),
    same("type(local(x)) is bytearray", bytearray(b"a")),
    same("local(5), local('text'), local(None), local((1, [2]))"),
    same("local(x.y), local(x.x)", Point(1, 2)),
    same("import json as here; here.dumps(local(x))", {"a": [1, None]}),
    same("''.join(local(x)), sorted(local(x))", ["b", "a"]),
)


test_marked = cases(
    same("calls.identity(ref(a)) is a, calls.kind(ref(a))[0]", a=[1]),
    same("calls.keep(ref(a)); a.append('later'); calls.kept()[-1], calls.KEPT.clear()", a=[1]),
    same("calls.append(ref(a), 2)", a=[1]),
    same("calls.put(ref(a), 'k', 1) is a", a={}),
    same("calls.kind(val(a))", a=[1]),
    same("calls.attribute(val(my_zoo.Point(1, 2)), 'total')"),
    same("calls.attribute(ref(my_zoo.Point(1, 2)), 'total')"),
    same("p = my_zoo.Point(1, 2); calls.assign(ref(p), 'x', 9); p"),
)
