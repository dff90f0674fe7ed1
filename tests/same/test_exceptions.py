"""What is raised there is caught here, and the other way round: type, text, arguments, attributes, cause, context, notes, groups."""

from tests.same.check import cases, limit, made, same

BUILT_IN = (
    "ValueError('v')",
    "KeyError('k')",
    "IndexError(1, 2)",
    "TypeError()",
    "OSError(2, 'No such file', 'name')",
    "StopIteration('v')",
    "ZeroDivisionError",
    "AttributeError('a')",
    "UnicodeDecodeError('utf8', b'ab', 0, 1, 'why')",
    "ImportError('i', name='n', path='p')",
    "SyntaxError('s', ('file', 1, 2, 'text'))",
    "AssertionError([1])",
    "FileNotFoundError(2, 'x')",
    "RecursionError('r')",
    "Exception(None)",
    "TimeoutError('t')",
    "BlockingIOError(11, 'b', 3)",
    "NotImplementedError",
    "EOFError",
    "BufferError('b')",
    "StopAsyncIteration(5)",
)

test_built_in_raised_there = cases(*(same(f"family.throw({error})") for error in BUILT_IN))

test_built_in_caught = cases(
    *(
        same(
            f"try: family.throw({error})\nexcept Exception as e: left = type(e) is type({error}) or type(e) is {error}"
        )
        for error in BUILT_IN
    )
)

test_raised_there = cases(
    same("x[9]", [1]),
    same("x['missing']", {}),
    same("1 / x", made("zoo.Whole(0)")),
    same("int(x)", made("zoo.Word('no number')")),
    same("x.index(5)", [1]),
    same("family.throw(family.ZooError('made there', 1))"),
    same("family.throw(my_family.ZooError('made here', 2))"),
    same("family.throw(family.KeptError('kept', 3))"),
    same("family.throw_unpicklable()"),
    same("family.throw_local()"),
    same("family.throw_attributed(code=5, data=[1, {'k': 2}])"),
    same("family.throw_noted('first note', 'second note')"),
    same("family.throw_within()"),
    same("family.throw_instead()"),
    same("family.throw_chain()"),
    same("family.throw(ValueError('outer'), KeyError('cause'))"),
    same("family.throw(ValueError('outer'), family.ZooError('cause', 1))"),
    same("family.throw(family.ZooError)"),
    same("family.throw('not an exception')"),
    same("family.throw_group()"),
    same(
        "try: family.throw_base_group()\nexcept BaseException as e: left = (type(e).__name__, len(e.exceptions), type(e.exceptions[0]).__name__)"
    ),
    same(
        "try: family.throw(KeyboardInterrupt('k'))\nexcept BaseException as e: left = (type(e) is KeyboardInterrupt, e.args)"
    ),
    same("try: family.throw(SystemExit(3))\nexcept BaseException as e: left = (type(e) is SystemExit, e.code)"),
    same("try: family.throw(GeneratorExit())\nexcept BaseException as e: left = type(e) is GeneratorExit"),
    same("def deep(n): return deep(n - 1) if n else calls.signature()\ndeep(5)"),
    same("decimal.Decimal('no')"),
    same("zoo.Money(1) < 1"),
)

test_caught_here = cases(
    same(
        "try: family.throw(family.ZooError('z', 7))\nexcept family.ZooError as e: left = (e.what, e.number, e.args, str(e))"
    ),
    same(
        "try: family.throw(family.KeptError('z', 7))\nexcept KeyError as e: left = (e.what, str(e), isinstance(e, family.ZooError))"
    ),
    same(
        "try: family.throw(family.KeptError('z', 7))\nexcept family.ZooError as e: left = type(e) is family.KeptError"
    ),
    same(
        "try: family.throw(family.ZooError('z', 7))\nexcept Exception as e: left = (type(e).__name__, type(e).__module__, isinstance(e, family.ZooError))"
    ),
    same("try: family.throw(family.ZooError('z', 7))\nexcept (KeyError, family.ZooError): left = 'tuple'"),
    same("try: family.throw(family.ZooError('z', 7))\nexcept KeyError: left = 'wrong'"),
    same(
        "try: family.throw_group()\nexcept* ValueError as g: left = len(g.exceptions)\nexcept* family.ZooError as g: more = g.exceptions"
    ),
    same("try: family.throw_group()\nexcept* (ValueError, KeyError, family.ZooError): left = 'all'"),
    same(
        "try: family.throw_group()\nexcept ExceptionGroup as g: left = (g.message, g.split(KeyError)[0].exceptions[0].message)"
    ),
    same(
        "try: family.throw_chain()\nexcept family.ZooError as e: left = (type(e.__cause__), type(e.__cause__.__context__))"
    ),
    same("try: family.throw_noted('n')\nexcept ValueError as e: e.add_note('mine'); left = e.__notes__"),
    limit(
        "an exception keeps what it came from among its attributes",
        same("try: family.throw_attributed(a=1)\nexcept RuntimeError as e: e.b = 2; left = vars(e)"),
    ),
    same("try: family.throw_unpicklable()\nexcept family.UnpicklableError as e: left = (str(e), e.lock.locked())"),
    same("try: family.throw_local()\nexcept LookupError as e: left = (type(e).__name__, e.args)"),
    same(
        "import traceback\ntry: family.throw(ValueError('t'))\nexcept ValueError: left = 'in throw' in traceback.format_exc()"
    ),
    same("try:\n  try: x[5]\n  except IndexError: x['bad']\nexcept TypeError as e: left = type(e.__context__)", [1]),
    same("try: x[5]\nexcept IndexError as e: raise RuntimeError('around') from e", [1]),
    same("try: x[5]\nfinally: left = 'finally'", [1]),
    same("for i in range(3):\n  try: x[i + 5]\n  except IndexError: left = i\nx[0]", [1]),
)

test_raised_here = cases(
    same("raise family.ZooError('here', 1)"),
    same("raise family.ZooError"),
    same("raise family.KeptError('a', 1) from KeyError('b')"),
    same("raise ValueError('v') from family.ZooError('cause', 5)"),
    same("try: raise family.ZooError('here', 1)\nexcept family.ZooError as e: left = (e.what, e.number)"),
    same("try: raise family.KeptError('here', 1)\nexcept KeyError as e: left = str(e)"),
    same("class Mine(family.ZooError): pass\nraise Mine('sub', 2)"),
    same(
        "class Mine(family.ZooError): pass\ntry: family.throw(Mine('sub', 2))\nexcept Mine as e: left = (e.what, type(e) is Mine)"
    ),
    same(
        "class Mine(family.ZooError): pass\ntry: family.throw(Mine('sub', 2))\nexcept family.ZooError as e: left = isinstance(e, Mine)"
    ),
    same("class Mine(family.ZooError):\n  def __str__(self): return 'my text'\nfamily.throw(Mine('sub', 2))"),
    same(
        "class Mine(Exception):\n  def __init__(self, a, *, b): super().__init__(a); self.b = b\nfamily.throw(Mine(1, b=[2]))"
    ),
    same(
        "class Mine(ValueError): pass\ne = Mine('identity')\ntry: family.throw(e)\nexcept Mine as got: left = got is e"
    ),
    same("e = family.ZooError('x', 1); e.what, e.number, str(e), e.args, isinstance(e, Exception), e.__cause__"),
    same("e = family.ZooError('x', 1); e.add_note('n'); e.extra = 1; e.__notes__, e.extra"),
    same("e = family.ZooError('x', 1)\ntry: family.throw(e)\nexcept family.ZooError as got: left = got is e"),
    same("raise ExceptionGroup('g', [family.ZooError('x', 1), ValueError(2)])"),
    same("family.throw(ExceptionGroup('g', [my_family.ZooError('x', 1), ValueError(2)]))"),
    same("family.throw(5)"),
    same("calls.kind(ValueError('v', 1)), calls.identity(KeyError('k'))"),
    same("calls.attribute(my_family.ZooError('z', 4), 'number')"),
)

test_through_callbacks = cases(
    same("calls.apply(lambda: 1 / 0)"),
    same("calls.caught(lambda: 1 / 0)"),
    same("def f(): raise my_family.ZooError('cb', 1)\ncalls.caught(f)"),
    same("def f(): raise family.ZooError('cb', 1)\ncalls.caught(f)"),
    same("def f(): raise family.ZooError('cb', 1)\ncalls.apply(f)"),
    same(
        "def f(): raise e\ne = ValueError('identity')\ntry: calls.apply(f)\nexcept ValueError as got: left = got is e"
    ),
    same("class Mine(Exception): pass\ndef f(): raise Mine('local', [1])\ncalls.apply(f)"),
    same("class Mine(Exception): pass\ndef f(): raise Mine('local', [1])\ncalls.caught(f)"),
    same("class Mine(Exception): pass\ndef f(): raise Mine()\ntry: calls.apply(f)\nexcept Mine: left = 'caught'"),
    same("calls.again(lambda: 1 / 0)"),
    same("def f(): raise KeyError('k') from ValueError('v')\ncalls.again(f)"),
    same("def f():\n  try: x[9]\n  except IndexError: raise KeyError('second')\ncalls.apply(f)", [1]),
    same("calls.apply(calls.apply, calls.apply, lambda: {}['deep'])"),
    same("def f(): e = ValueError('n'); e.add_note('noted'); raise e\ncalls.apply(f)"),
    same("def f(): raise StopIteration('odd')\ncalls.apply(f)"),
    same("list(map(calls.identity, my_flow.failing(1)))"),
    same("def f(v): raise ExceptionGroup('g', [ValueError(v)])\ncalls.mapped(f, [1])"),
)
