"""Iteration, generators, context managers."""

from tests.same.check import cases, made, same
from tests.same.zoo import Countdown

test_iterators = cases(
    same("list(x), list(x)", Countdown(3)),
    same("next(x), next(x), x.left", Countdown(3)),
    same("next(x)", Countdown(0)),
    same("next(x, 'default')", Countdown(0)),
    same("iter(x) is x", Countdown(3)),
    same("for item in x: break\nx.left", Countdown(3)),
    same("it = iter(x); next(it), next(it), list(it)", [1, 2, 3]),
    same("it = iter(x); x.append(4); list(it)", [1, 2, 3]),
    same("it = iter(x); next(it); next(it)", [1]),
    same("it = iter(x); x['b'] = 2; next(it)", {"a": 1}),
    same("list(iter(x)), sorted(iter(x))", {"a": 1, "b": 2}),
    same("operator.length_hint(iter(x))", [1, 2, 3]),
    same("next(x)", [1]),
    same("iter(x)", made("zoo.Point(1)")),
    same("sum(x), max(x, default=0)", made("flow.counter(5)")),
    same("list(zip(x, x))", made("flow.counter(4)")),
    same("a, b, *c = x; a, b, c", made("flow.counter(5)")),
    same("a, b = x", made("flow.counter(5)")),
    same("3 in x, list(x)", made("flow.counter(6)")),
    same("list(itertools.chain([1], (2,), 'ab'))"),
    same("list(itertools.islice(itertools.count(10, 5), 3))"),
    same("list(itertools.groupby([1, 1, 2], key=lambda v: v * 10))[0][0]"),
    same("[list(group) for key, group in itertools.groupby('aabc')]"),
    same("a, b = itertools.tee([1, 2, 3]); next(a), list(b), list(a)"),
    same("list(itertools.starmap(pow, [(2, 3), (3, 2)])), list(itertools.product('ab', repeat=2))"),
    same(
        "list(itertools.accumulate([1, 2, 3], lambda a, b: a * b)), list(itertools.takewhile(lambda v: v < 3, x))",
        [1, 2, 3, 1],
    ),
    same(
        "list(map(lambda v: v * 2, x)), list(filter(None, x)), list(reversed(x)), sorted(x, key=lambda v: -v)",
        [2, 0, 1],
    ),
)

test_generators = cases(
    same("list(x)", made("flow.counter(3)")),
    same("[*x, *x]", made("flow.counter(3)")),
    same("next(x), next(x), next(x), next(x)", made("flow.counter(3)")),
    same("next(x)", made("flow.counter(0, {'the': ['result']})")),
    same(
        """
        def outer():
            result = yield from x
            yield ('result', result)
        list(outer())
        """,
        made("flow.counter(2, 'returned')"),
    ),
    same(
        """
        def outer():
            got = yield from x
        o = outer()
        next(o), o.send('a'), o.throw(ValueError('thrown')), o.close()
        """,
        made("flow.echo()"),
    ),
    same("list(flow.delegating(flow.counter(2, 'inner')))"),
    same("list(flow.delegating(x))", made("(n * n for n in [1, 2, 3])")),
    same("next(x), x.send('a'), x.send(['b']), x.send(None)", made("flow.echo()")),
    same("x.send('too early')", made("flow.echo()")),
    same("next(x); x.throw(ValueError('v'))", made("flow.echo()")),
    same("next(x); x.throw(ValueError)", made("flow.echo()")),
    same("next(x); x.throw(KeyError('k'))", made("flow.echo()")),
    same("next(x); x.throw(my_family.ZooError('z', 1))", made("flow.echo()")),
    same("x.throw(KeyError('before the start'))", made("flow.echo()")),
    same("next(x); x.close(); log", made("flow.echo(log)"), log=made("calls.empty()")),
    same("next(x); x.close(); next(x)", made("flow.echo()")),
    same("x.close(), x.close(), list(x)", made("flow.counter(2)")),
    same("next(x); x.close()", made("flow.stubborn()")),
    same("got = []\nfor item in x: got.append(item)", made("flow.failing(2)")),
    same("next(x), next(x), next(x)", made("flow.failing(2)")),
    same("iter(x) is x, x.__name__, x.gi_running, x.gi_frame is None", made("flow.counter(1)")),
    same("inspect.getgeneratorstate(x), next(x), inspect.getgeneratorstate(x)", made("flow.counter(2)")),
    same(
        "isinstance(x, types.GeneratorType), isinstance(x, abc.Generator), hasattr(x, 'send')", made("flow.counter(1)")
    ),
    same("calls.drain(x)", made("flow.counter(3)")),
    same("calls.drain(n * n for n in range(4))"),
    same("calls.sends(my_flow.echo(), None, 'a', 'b')"),
    same("calls.drain(my_flow.failing(2))"),
    same("calls.drain(my_flow.counter(10**9), most=3)"),
    same("g = (n for n in range(5)); calls.drain(g, 2), list(g)"),
    same("list(zip(x, my_flow.counter(5)))", made("flow.counter(3)")),
    same("list(my_flow.delegating(x))", made("flow.counter(2, 'there')")),
    same("list(flow.delegating(my_flow.counter(2, 'here')))"),
    same("list(flow.delegating(flow.delegating(my_flow.delegating(flow.counter(1, 'deep')))))"),
)

test_contexts = cases(
    same("with x as y: left = y is x\nx.log", made("flow.Door()")),
    same("with x: raise KeyError('inside')", made("flow.Door()")),
    same("with x: raise KeyError('inside')", made("flow.Door(swallows=True)")),
    same("with x: raise my_family.ZooError('inside', 2)", made("flow.Door(swallows=True)")),
    same("with x: [][1]", made("flow.Door()")),
    same("with x: raise family.KeptError('k', 1)", made("flow.Door(True)")),
    same("for i in range(2):\n  with x: continue\nx.log", made("flow.Door()")),
    same("def f():\n  with x: return 'returned'\n(f(), x.log)", made("flow.Door()")),
    same("with x, x: pass", made("flow.Door()")),
    same("with flow.opened([1]) as y: y.append(2); left = y"),
    same("with flow.opened('value', log) as y: left = y", log=made("calls.empty()")),
    same("log = calls.empty(); left = log\nwith flow.opened(1, log): raise KeyError('k')"),
    same("with flow.opened(1): raise ValueError('through')"),
    same("with flow.opened(1): raise StopIteration('odd')"),
    same("x = flow.opened(1)\nwith x: pass\nwith x: pass"),
    same("@flow.opened(5)\ndef f(a): return a\nf(1), f(2)"),
    same("with x: pass", made("zoo.Point(1)")),
    same("with contextlib.suppress(KeyError): raise KeyError"),
    same("with contextlib.suppress(KeyError): raise ValueError('not this one')"),
    same("with contextlib.nullcontext([1]) as y: left = y"),
    same("with contextlib.closing(x): next(x)\nnext(x)", made("flow.counter(3)")),
    same(
        "log = []; left = log\nwith contextlib.ExitStack() as stack: stack.callback(log.append, 'last'); log.append('first')"
    ),
    same("with contextlib.ExitStack() as stack: stack.enter_context(x); raise KeyError(1)", made("flow.Door(True)")),
    same("calls.inside(my_flow.Door(), lambda door: len(door.log))"),
    same("calls.inside(my_flow.Door(True), lambda door: 1 / 0)"),
    same("calls.inside(my_flow.opened('here'), str.upper)"),
    same("x.__enter__() is x, x.__exit__(None, None, None), x.log", made("flow.Door()")),
    same("with io.StringIO() as f: f.write('text'); left = f.getvalue()\nf.closed"),
    same("f = io.StringIO('a\\nb\\n'); f.readline(), list(f), f.tell(), f.seek(0), f.read()"),
    same("f = io.BytesIO(b'abc'); f.close(); f.read()"),
    same("print('to a file', file=x); x.getvalue()", made("io.StringIO()")),
)
