"""`p.a.b` and `p.a.b(x)`: several steps of the language in one trip, and nobody can tell. Each case asks several times."""

from tests.same.check import cases, same
from tests.same.test_method_calls import often
from tests.same.zoo import Path


def tree() -> Path:
    return Path("root", Path("branch", Path("leaf")))


test_the_order_of_asking = cases(
    same(often("got = x.below.below.name", "got"), tree()),
    same(often("got = x.below.below.name.upper()", "got"), tree()),
    same(often("got = x.below.below is x.below.below", "got"), tree()),
    same(often("got = (x.below.name, x.below.below.name, x.name)", "got"), tree()),
    same(often("got = x.below.give(i)", "got"), tree()),
    same(often("got = x.below.below.give(i, key=x)", "got[0]"), tree()),
    same(often("got = x.below.below.give(x.below.name)", "got"), tree()),
    same(often("got = x.below.below.give(*[i])", "got"), tree()),
    same(often("got = x.below.give(x.below).name", "got"), tree()),
    same(often("y = x.below\ngot = y.below.name", "got"), tree()),
    same(often("got = x.below.below.kind.__name__", "got"), tree()),
    same(often("got = x.below.below.kind('new').name", "got"), tree()),
    same(often("got = x.below.below.log.append(i)", "got"), tree()),
    same(often("got = x.below.marks[:], x.below.marks.append(i)", "got"), tree()),
    same(often("got = x.below.size.real, x.below.size.bit_length()", "got"), tree()),
    same(often("got = x.below.flavour.name, x.below.flavour.value", "got"), tree()),
    same(often("got = x.below.when.year, x.below.when.isoformat()", "got"), tree()),
    same(often("got = x.below.trouble.args, str(x.below.trouble)", "got"), tree()),
    same(often("got = x.below.nothing.__class__ is type(None)", "got"), tree()),
    same(often("got = x.below.give.__name__, x.below.give.__self__ is x.below", "got"), tree()),
    same(often("got = [each.below.name for each in (x, x.below)]", "got"), tree()),
    same(often("got = x.below.up.up is None", "got"), tree()),
)

test_what_is_missing = cases(
    same(often("with suppress(AttributeError): x.below.missing"), tree()),
    same(often("with suppress(AttributeError): x.missing.below"), tree()),
    same(often("with suppress(AttributeError): x.below.below.below.below"), tree()),
    same(often("with suppress(AttributeError): x.below.missing(left.append(i))"), tree()),
    same(often("with suppress(ValueError): x.below.fails.below"), tree()),
    same(often("with suppress(ValueError): x.below.below.fails"), tree()),
    same(often("with suppress(ValueError): x.below.below.fail(i)"), tree()),
    same("for i in range(3): x.below.below.name\nx.below.below.below.name", tree()),
    same("for i in range(3): x.below.give(i)\nx.below.below.below.give(1)", tree()),
    same("for i in range(3): x.below.below.name\nx.below.nowhere.name", tree()),
    same("def f(y): return y.below.below.name\nfor i in range(3): f(x)\nf(x.below)", tree()),
    same(
        "def f(y): return y.below.below.name\nleft = [f(x) for i in range(3)]\nleft += [hasattr(x.below.below, 'name')]",
        tree(),
    ),
)

test_what_changes = cases(
    same("def f(): return x.below.name\nleft = [f(), f(), f()]\nx.below = 5\nf()", tree()),
    same(
        "def f(): return x.below.real\nleft = [hasattr(x.below, 'real')]\nx.below = 5\nleft += [f(), f(), f()]", tree()
    ),
    same("def f(): return x.below.name\nleft = [f(), f(), f()]\nx.below = x.below.below\nleft += [f()]", tree()),
    same(
        "def f(): return x.below.name\nleft = [f(), f()]\nx.below = next(iter(zoo.Colour))\nleft += [f(), f()]", tree()
    ),
    same(
        "def f(): return x.below.args\nx.below = zoo.Path('y')\nx.below.args = 1\nleft = [f(), f()]\nx.below = ValueError(3)\nleft += [f()]",
        tree(),
    ),
    same(
        "def f(): return x.below.name\nleft = [f(), f()]\nx.below = types.SimpleNamespace(name=1)\nleft += [f(), f()]\nx.below.name = 3\nleft += [f()]",
        tree(),
    ),
    same(
        "def f(): return x.below.give(1)\nleft = [f(), f(), f()]\nx.below = types.SimpleNamespace(give=str)\nleft += [f(), f()]",
        tree(),
    ),
    same("def f(): return x.below.give(1)\nleft = [f(), f(), f()]\nx.below.give = str\nleft += [f(), f()]", tree()),
    same("def f(): return x.below.give([1])\nleft = [f(), f(), f()]\nx.below.give = list\nleft += [f(), f()]", tree()),
)

test_classes_that_were_derived_here = cases(
    same(
        """
class Mine(zoo.Path):
    here = 7
    @property
    def name(self): return "mine"
    @name.setter
    def name(self, value): pass
    def give(self, *args, **more): return "given here"
x.below = Mine("y", zoo.Path("z"))
left = []
for i in range(3):
    left.append((x.below.name, x.below.here, x.below.give(i), x.below.below.name, x.below.below.give(i)))
"""[1:],
        tree(),
    ),
)
