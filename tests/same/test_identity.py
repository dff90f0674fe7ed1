"""What is the same object here is the same there: proxies, results, and proxies that go home at any depth."""

from tests.same.check import cases, limit, made, same
from tests.same.zoo import Account, Item, Point

test_of_proxies = cases(
    same("x is x, x is not None, x == x", [1]),
    same("x[0] is x[0], x[0] is x[1]", [[1], [1]]),
    same("x[0] is x[1]", made("[calls.KEPT, calls.KEPT]")),
    same("x.tags is x.tags", Item("i")),
    same("x.opened is x.opened", Account()),
    same("zoo.Point is zoo.Point, zoo.NESTED is zoo.NESTED, zoo.NESTED['numbers'] is zoo.NESTED['numbers']"),
    same("x.itself() is x, x.itself().itself() is x.itself()", Point(1)),
    same("x.__class__ == type(x), x.__class__ == zoo.Point, type(x) is type(zoo.Point(2))", Point(1)),
    same("x.moved().__class__ is x.__class__", Point(1)),
    same("id(x) == id(x), id(x[0]) == id(x[0])", [[1]]),
    same("iter(x) is iter(x), iter(x) is x", [1]),
    same("a = x; b = calls.identity(x); a is b", [1]),
    same("calls.identity is calls.identity, x.append == x.append", [1]),
    same("import weakref; r = weakref.ref(x); r() is x", Point(1)),
    same("import gc; y = x[0]; del y; gc.collect(); x[0]", [[1]]),
)

test_going_home = cases(
    same("calls.identity(x) is x", [1]),
    same("calls.identity(x) is x", {"a": 1}),
    same("calls.identity(x) is x, calls.are_same(x, x), calls.are_same(x, x.itself())", Point(1)),
    same("calls.packed(x)['values'][0] is x, calls.packed(x)['again'][0] is x", [1]),
    same("calls.apply(operator.getitem, {'deep': [(x,)]}, 'deep')[0][0] is x", [1]),
    same("calls.identity([[{'k': (x, x)}]])[0][0]['k'][1] is x", [1]),
    same("a = [x]; calls.append(a, 'more'); a[0] is x, a", [1]),
    same("a = {'k': x}; calls.put(a, 'j', 1); a['k'] is x", [1]),
    same("a = (x, [x]); calls.identity(a)[1][0] is x", [1]),
    same("calls.first_is_second([x, x]), calls.are_same(*[x, x]), calls.first_is_second([x, x.itself()])", Point(1)),
    same(
        "calls.apply(lambda v: v is x, x), calls.apply(lambda v: v[0] is x, [x]), calls.apply(lambda v: v['k'] is x, {'k': x})",
        [1],
    ),
    same("calls.apply(lambda: [x])[0] is x, calls.apply(lambda: {'k': (x,)})['k'][0] is x", [1]),
    same("calls.keep(x); calls.kept() is x, calls.KEPT.clear()", [1]),
    same("calls.keep({'k': [x]}); calls.kept()['k'][0] is x, calls.KEPT.clear()", [1]),
    same("x.append(x); x[-1] is x, x[-1][-1][-1] is x, len(x)", [1]),
    same("x.other = x; x.other is x, x.other.other.x", Point(1)),
    same("x.extend([x, [x]]); x[1] is x, x[2][0] is x", [0]),
    same("x['k'] = [x]; x['k'][0] is x", {}),
    same("x in [x], [x].index(x), [0, x].count(x), {1: x}[1] is x", [1]),
    same("calls.mapped(lambda v: v is x, [x, 1, [x]])", [1]),
    same("calls.attribute(x, 'x'), calls.method(x, 'moved', 1), calls.kind(x)", Point(1, 2)),
    same(
        "calls.apply(len, x), calls.apply(sorted, x), calls.apply(isinstance, x, list)",
        [2, 1],
    ),
    limit("a list over there is not exactly a list here", same("calls.apply(type, x) is type(x)", [2, 1])),
    same("calls.kind(x.moved), calls.apply(x.moved, 1), calls.are_same(x.__class__, zoo.Point)", Point(1, 2)),
    same("calls.apply(zoo.Point, 1), calls.apply(x, 1), calls.identity(x) is x", made("zoo.Point")),
    same("operator.is_(calls.identity(x), x), operator.is_not(x, None)", [1]),
)

test_effects = cases(
    same("y = x[0]; y.append(2); x", [[1]]),
    same("y = x['k']; del x['k']; y.append(2); y", {"k": [1]}),
    same("y = x.tags; x.tags = ['other']; y, x.tags", Item("i", tags=["old"])),
    same("a, b = x; a.append(b); x", [[1], [2]]),
    same("x[0], x[1] = x[1], x[0]; x", [[1], [2]]),
    same("for y in x: y.append('each')", [[1], [2]]),
    same("[y.append(0) for y in x.values()]", {"a": [], "b": []}),
    same("y = x.copy(); y[0].append('shared'); y.append('own')", [[1]]),
    same("y = x[:]; y.append(1)", [0]),
    same("y = x + [[9]]; y[0].append('shared')", [[1]]),
    same("calls.append(x, 1); calls.apply(list.append, x, 2)", [0]),
    same("calls.keep(x); calls.kept().append('kept'); calls.KEPT.clear()", [0]),
    same("p = x.itself(); p.x = 9; x.x", Point(1)),
    same("f = x.append; x = None; f(5); f.__self__", [0]),
)
