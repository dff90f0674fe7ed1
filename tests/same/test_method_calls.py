"""`p.m(x)`: two steps of the language in one trip, and nobody can tell. Each case asks several times, as what is known counts."""

from tests.same.check import cases, made, same
from tests.same.zoo import Point, Watched


def often(code: str, *names: str) -> str:
    """The code three times over, with what it came to."""
    lines = code.replace("\n", "\n    ")
    came = ", ".join([*names, "x.log if hasattr(x, 'log') else None"])
    return f"left = []\nfor i in range(3):\n    {lines}\n    left.append(({came}))"


test_the_order_of_asking_and_calling = cases(
    same(often("got = x.give(i)", "got"), Watched()),
    same(often("got = x.give(x.twice(i))", "got"), Watched()),
    same(often("got = x.give(x.twice(x.give(i)), x.twice(2))", "got"), Watched()),
    same(often("got = x.give(i, x.log[-1:])", "got"), Watched()),
    same(often("got = x.give(key=x.twice(i))", "got"), Watched()),
    same(often("got = x.give(key=i, other=x)", "got['key']"), Watched()),
    same(often("got = x.give((i, x), [i, i], x)", "got[0]"), Watched()),
    same(often("got = x.give(*[i, 1], **{'a': 1})", "got"), Watched()),
    same(often("got = x.give(f'{x.twice(i)}')", "got"), Watched()),
    same(often("got = x.give(lambda: x.twice(i))()", "got"), Watched()),
    same(often("got = x.give(\n  i,\n  x.twice(1),\n)", "got"), Watched()),
    same(often("got = x.give(x).give(i)", "got"), Watched()),
    same(often("got = x.maker(i)", "got"), Watched()),
    same(often("got = x.maker(x.maker(i))", "got"), Watched()),
    same(often("got = x.made_up_thing(i)", "got"), Watched()),
    same(often("got = x.of_class(i), x.of_none(i)", "got"), Watched()),
    same(often("got = getattr(x, 'give')(i)", "got"), Watched()),
    same(often("m = x.give\ngot = m(i)", "got"), Watched()),
    same(often("got = operator.methodcaller('give', i)(x)", "got"), Watched()),
    same(often("got = (x.give if i else x.twice)(i)", "got"), Watched()),
    same(often("got = x.give(i) if i else x.twice(i)", "got"), Watched()),
    same(often("got = [x.give(j) for j in range(i)]", "got"), Watched()),
    same(often("got = list(x.give(j) for j in range(i))", "got"), Watched()),
    same(often("got = list(map(lambda j: x.give(j), range(i)))", "got"), Watched()),
    same(often("got = eval('x.give(i)')", "got"), Watched()),
    same(often("class C:\n  made = x.give(i)\ngot = C.made", "got"), Watched()),
    same(often("got = x.moved(1).moved(i).x", "got"), Point(1, 2)),
)

test_what_is_missing_or_no_method = cases(
    same(often("with suppress(AttributeError): x.missing(left.append(i))"), Watched()),
    same(often("with suppress(TypeError): x.log(left.append(i))"), Watched()),
    same("for i in range(3): x.give(i)\nx.missing(1)", Watched()),
    same("for i in range(3): x.moved(i)\nx.x(1)", Point(1, 2)),
    same("for i in range(3): x.moved(i)\nx.moved = 5\nx.moved(1)", Point(1, 2)),
    same("for i in range(3): x.moved(i)\nx.moved(1, 2, 3, 4)", Point(1, 2)),
    same("for i in range(3): x.moved(i)\nx.moved(nope=1)", Point(1, 2)),
    same("for i in range(3): x.moved(i)\nx.moved(unknown_name)", Point(1, 2)),
    same(often("with suppress(ZeroDivisionError): x.give(1 / 0)"), Watched()),
    same(often("with suppress(ValueError): x.fail(i)"), Watched()),
    same("for i in range(3):\n  with suppress(ValueError): x.fail(i)\nx.fail(3)", Watched()),
    same("x.fail(x.fail)", Watched()),
)

test_attributes_that_change = cases(
    same(often("got = x.give(x.replace('give', x.twice))", "got"), Watched()),
    same(often("got = x.give(setattr(x, 'give', x.twice))", "got"), Watched()),
    same("x.own = x.give\nfor i in range(3): x.own(i)\ndel x.own\nx.own(4)", Watched()),
    same("x.own = x.give\nfor i in range(3): x.own(i)\nx.own(x.remove('own'))", Watched()),
    same("x.own = x.give\nfor i in range(3): x.own(i)\nx.remove('own')\nx.own(1)", Watched()),
    same(
        "x.own = x.give\nleft = [x.own(i) for i in range(3)]\nx.own = lambda v: ('local', v)\nleft += [x.own(i) for i in range(3)]",
        Watched(),
    ),
    same(
        "x.own = x.give\nleft = [x.own(i) for i in range(3)]\nx.own = list\nleft += [type(x.own('ab')) is list for i in range(3)]",
        Watched(),
    ),
    same(
        "x.own = x.give\nleft = [x.own(i) for i in range(3)]\nx.own = ValueError\nleft += [type(x.own('ab')) is ValueError for i in range(3)]",
        Watched(),
    ),
    same("zoo.own = zoo.Point.distance; zoo.own(zoo.Point(1), zoo.Point(2)); del zoo.own; zoo.own(1)"),
    same(
        "zoo.own = zoo.Point\nleft = [zoo.own(i) for i in range(3)]\nzoo.own = lambda v: ('local', v)\nleft += [zoo.own(i) for i in range(3)]\ndel zoo.own"
    ),
    same(
        "for i in range(3): zoo.Point.origin()\nzoo.Point.origin = classmethod(lambda cls: 'other')\nleft = zoo.Point.origin()\nzoo.Point.origin = vars(zoo.Point3)['origin'] if 'origin' in vars(zoo.Point3) else classmethod(lambda cls: cls(0, 0))"
    ),
)

test_classes_and_modules = cases(
    same("[zoo.Point(i, 2) for i in range(3)]"),
    same("[family.ZooError('a', i) for i in range(3)]"),
    same("[zoo.Colour(1) for i in range(3)]"),
    same("[zoo.Point.distance(zoo.Point(i), zoo.Point(3)) for i in range(3)]"),
    same("[json.dumps([i]) for i in range(3)]"),
    same("[json.loads('[1]') for i in range(3)]"),
    same("[collections.OrderedDict(a=i) for i in range(3)]"),
    same("[collections.namedtuple('N', 'a b')(i, 2).a for i in range(3)]"),
    same("[heapq.nlargest(1, [i, 2]) for i in range(3)]"),
    same("[decimal.Decimal(i) for i in range(3)]"),
    same(
        "class P(zoo.Point):\n  def moved(self, dx): return ('mine', super().moved(dx).x)\n[P(i).moved(1) for i in range(3)]"
    ),
    same("class P(zoo.Point): pass\n[P(i).moved(1) for i in range(3)]"),
)

test_arguments_and_results = cases(
    same(often("items = []\ngot = x.fill(items) is items", "got, items"), Watched()),
    same(often("got = x.give(x) is x, x.give(None), x.give('text') is 'text'", "got"), Watched()),
    same(often("got = x.call(lambda v: x.give(v), 2)", "got"), Watched()),
    same(often("got = x.call(lambda v: x.call(lambda w: x.twice(w), v), 3)", "got"), Watched()),
    same(often("got = run(x.later(i))", "got"), Watched()),
    same(
        "def walk():\n  got = None\n  while True: got = yield x.give((yield got))\ng = walk(); next(g)\nleft = [g.send(i) for i in range(6)]",
        Watched(),
    ),
    same("def f(a, *, p=x): return p.give(a)\nleft = [f(i) for i in range(3)]", Watched()),
    same("left = [(lambda p, q: p.give(q))(x, i) for i in range(3)]", Watched()),
    same(
        "names = ' '.join(f'n{i}' for i in range(300)).split()\nfor i in range(3):\n  exec(f'{\" = \".join(names)} = 0\\ndef f(x): {\"; \".join(names)}; return x.give({\", \".join(names)}, n0)\\nleft = f(x)', globals())",
        Watched(),
    ),
    same("left = [calls.method(my_zoo.Point(1), 'moved', i).x for i in range(3)]"),
)

test_who_else_is_watching = cases(
    same(
        "import sys\nseen = []\ndef trace(frame, event, arg):\n  seen.append(event) if event != 'opcode' else None\n  return trace\ndef f(i): return x.give(\n  i,\n  2)\nf(0); f(1)\nsys.settrace(trace)\nleft = f(2)\nsys.settrace(None)\nlen(seen) > 3",
        Watched(),
    ),
    same(
        "import sys\nseen = []\ndef f(i): return x.give(i)\nf(0); f(1)\nsys.setprofile(lambda frame, event, arg: seen.append(event))\nleft = f(2)\nsys.setprofile(None)\n'call' in seen",
        Watched(),
    ),
    same(
        "import sys\ndef trace(frame, event, arg):\n  if event == 'line' and frame.f_code.co_name == 'f' and frame.f_lineno == frame.f_code.co_firstlineno + 2: x.replace('give', x.twice)\n  return trace\ndef f(i):\n  return x.give(\n    i)\nf(0); f(1)\nsys.settrace(trace)\nleft = f(2)\nsys.settrace(None)",
        Watched(),
    ),
    same("import weakref\np = weakref.proxy(x)\nleft = [p.give(i) for i in range(3)]", made("zoo.Watched()")),
)
