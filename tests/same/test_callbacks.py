"""What is given to the child and called from there: functions, generators, files, instances of classes that exist only here."""

from tests.same.check import cases, made, same

test_functions = cases(
    same("calls.apply(lambda: 'called')"),
    same("calls.apply(lambda *args, **options: (args, options), 1, 2, a=3)"),
    same("calls.apply(lambda v: v, [1, {'a': (2,)}])"),
    same("calls.apply(lambda v: v is x, x)", [1]),
    same("calls.apply(lambda: x) is x", [1]),
    same("seen = []; left = seen\ncalls.mapped(seen.append, [1, [2], None])"),
    same("calls.mapped(str, [1, 2.5, None]), calls.mapped(len, ['a', 'bb']), calls.mapped(int, ['1'])"),
    same("calls.mapped('{}!'.format, [1, 2]), calls.mapped([10, 20].__getitem__, [1, 0])"),
    same("def f(v, depth=[]): depth.append(v); return len(depth)\ncalls.mapped(f, 'abc')"),
    same(
        "def outer():\n  count = 0\n  def inner(v):\n    nonlocal count\n    count += v\n    return count\n  return inner\ncalls.mapped(outer(), [1, 2, 3])"
    ),
    same("def f(depth, back): return ('bottom', depth) if depth == 0 else back(f, depth)\ncalls.bounce(f, 6)"),
    same("def f(depth, back): return [depth, back(f, depth)]\ncalls.bounce(f, 20)"),
    same("calls.apply(calls.apply, calls.apply, calls.identity, 5)"),
    same("calls.apply(x.append, 2)", [1]),
    same("calls.mapped(zoo.Point, [1, 2]), calls.mapped(my_zoo.Point.origin().moved, [1])"),
    same("calls.composed(lambda v: v + 1, calls.adder(10), lambda v: [v])(1)"),
    same("f = calls.decorated(lambda v: v * 2); f(4), f.__name__, f.__wrapped__(3)"),
    same("f = lambda v: v\ncalls.identity(f) is f, calls.packed(f)['values'][0] is f, calls.are_same(f, f)"),
    same("f = lambda: 1\ncalls.keep(f); calls.kept()() + 1, calls.kept() is f, calls.KEPT.clear()"),
    same("calls.attribute(lambda a, b=1: a, '__defaults__'), calls.attribute(len, '__name__')"),
    same("import functools as here; calls.apply(here.partial(max, 5), 3, 9)"),
    same("calls.apply(operator.itemgetter(1), [1, 2]), calls.apply(operator.attrgetter('x'), zoo.Point(3))"),
    same("sorted_there = calls.apply(sorted, [3, 1, 2], key=lambda v: -v); sorted_there"),
    same("x.sort(key=lambda v: (len(v), v)); x", ["bb", "a", "c"]),
    same("heapq.nsmallest(2, [3, 1, 2], key=lambda v: -v), heapq.nlargest(1, [[1], [2]])"),
    same(
        "functools.reduce(lambda a, b: f'({a}{b})', 'abc'), functools.cmp_to_key(lambda a, b: b - a)(1) < functools.cmp_to_key(lambda a, b: b - a)(0)"
    ),
    same(
        "calls_made = []; left = calls_made\n@functools.lru_cache\ndef f(v): calls_made.append(v); return v\nf(1), f(1), f(2), f.cache_info().hits"
    ),
    same("list(filter(lambda v: v > 1, x)), list(map(lambda a, b: a + b, x, x))", [1, 2, 3]),
    same("re.sub('[0-9]', lambda m: str(int(m.group()) + 1), 'a1b2')"),
    same("json.loads('{\"a\": 1.5}', parse_float=decimal.Decimal, object_pairs_hook=lambda pairs: pairs)"),
    same("d = collections.defaultdict(lambda: []); d['a'].append(1); d['a'].append(2); d['a']"),
)

test_iterables = cases(
    same(
        "calls.drain(iter([1, 2])), calls.drain(range(3)), calls.drain('abc'), calls.drain({'a': 1}), calls.drain(map(str, [1]))"
    ),
    same("calls.mapped(calls.identity, (v for v in 'ab'))"),
    same("calls.drain(my_flow.counter(3)), calls.sends(my_flow.echo(), None, 1)"),
    same("calls.drain(x)", made("iter([1, 2])")),
    same("list(itertools.chain(my_flow.counter(2), 'ab')), list(itertools.islice(my_flow.counter(10), 2, 4))"),
    same("x.extend(v * 2 for v in [1, 2])", [0]),
    same("x.update((k, 1) for k in 'ab')", {}),
    same(
        "collections.Counter(c for c in 'aab'), collections.deque((v for v in range(9)), 2), array.array('i', (v for v in [1, 2]))"
    ),
    same("list(heapq.merge([1, 4], (v for v in [2, 3])))"),
    same(
        "class It:\n  n = 0\n  def __iter__(self): return self\n  def __next__(self):\n    self.n += 1\n    if self.n > 3: raise StopIteration\n    return self.n\ncalls.drain(It())"
    ),
    same("class Old:\n  def __getitem__(self, i): return [5, 6][i]\ncalls.drain(Old())"),
    same("class It:\n  def __iter__(self): yield 1; raise KeyError('half way')\ncalls.drain(It())"),
    same("g = (v for v in range(5)); calls.drain(g, 2); next(g)"),
)

test_local_instances = cases(
    same("class L:\n  def m(self, *a): return ('m', a)\ncalls.method(L(), 'm', 1, [2])"),
    same("class L: pass\nl = L(); calls.assign(l, 'a', [1]); l.a, calls.attribute(l, 'a') is l.a"),
    same("class L: pass\ncalls.attribute(L(), 'missing')"),
    same(
        "class L: pass\nl = L(); calls.identity(l) is l, calls.packed(l)['values'][0] is l, calls.packed([l])['values'][0][0] is l"
    ),
    same("class L: pass\nl = L(); calls.keep({'in': [l]}); calls.kept()['in'][0] is l, calls.KEPT.clear()"),
    same("calls.are_same(l, l), calls.first_is_second([l, l])", l=made("type('L', (), {})()")),
    same(
        "class L:\n  def __add__(self, o): return ('add', o)\n  def __radd__(self, o): return ('radd', o)\n  def __lt__(self, o): return True\n  def __eq__(self, o): return 'eq'\ncalls.arithmetic(L(), 5)"
    ),
    same(
        "class L:\n  def __len__(self): return 2\n  def __iter__(self): return iter([1, 2])\n  def __getitem__(self, i): return i * 10\ncalls.container(L())"
    ),
    same("class L:\n  def __call__(self, *a): return ('called', a)\ncalls.apply(L(), 1), calls.mapped(L(), [2])"),
    same(
        "class L:\n  def __enter__(self): return 'in'\n  def __exit__(self, *e): self.left = e[0]; return True\nl = L(); calls.inside(l, str.upper), calls.inside(l, int), l.left"
    ),
    same(
        "class L:\n  def __repr__(self): return 'local repr'\n  def __str__(self): return 'local str'\ncalls.kind(L()), calls.apply(str, L()), calls.apply('<{}>'.format, L()), calls.apply(format, L())"
    ),
    same(
        "class L:\n  def __hash__(self): return 7\n  def __eq__(self, o): return o == 'me'\nl = L(); calls.apply(hash, l), calls.put({}, l, 1)[l], calls.apply(operator.eq, l, 'me')"
    ),
    same("class L:\n  def __bool__(self): return False\ncalls.apply(bool, L()), calls.apply(lambda v: not v, L())"),
    same("class L:\n  def __index__(self): return 1\ncalls.apply(operator.getitem, x, L()), x[L()]", ["a", "b"]),
    same(
        "class L:\n  def __int__(self): return 3\n  def __float__(self): return 3.5\ncalls.apply(int, L()), calls.apply(float, L())"
    ),
    same(
        "class L:\n  @property\n  def p(self): return 'property'\n  q = 'class attribute'\ncalls.attribute(L(), 'p'), calls.attribute(L(), 'q'), calls.attribute(L, 'q')"
    ),
    same("class L:\n  def __getattr__(self, n): return n * 2\ncalls.attribute(L(), 'ab')"),
    same(
        "class L:\n  def __contains__(self, v): return v == 1\ncalls.apply(operator.contains, L(), 1), calls.apply(operator.contains, L(), 2)"
    ),
    same("class L:\n  def __fspath__(self): return '/local'\nimport os; calls.apply(os.fspath, L())"),
    same("class L: pass\nx.append(L()); x[-1].__class__ is L, isinstance(x[-1], L)", []),
    same("class L: pass\nl = L(); x.append(l); x[-1] is l, l in x, x.index(l), x.count(l)", []),
    same("class L: pass\nl = L(); x[l] = 1; x[l], list(x)[0] is l, l in x", {}),
    same("class L: pass\nl = L(); x.held = l; x.held is l, x.held.__class__ is L", made("zoo.Point(1)")),
    same(
        "class L:\n  def __init__(self, v): self.v = v\n  def __lt__(self, o): return self.v < o.v\nls = [L(3), L(1)]; heapq.heapify(ls); [l.v for l in ls]"
    ),
    same(
        "class L:\n  def __init__(self, v): self.v = v\n  def __lt__(self, o): return self.v < o.v\nx.extend([L(3), L(1), L(2)]); x.sort(); [l.v for l in x]",
        [],
    ),
    same("class L:\n  def __eq__(self, o): return True\nx == L(), L() == x, L() in x, x.index(L())", [1]),
    same(
        "class L:\n  pass\nL.other = calls.identity(L); L.other is L, calls.apply(L).__class__ is L, calls.apply(isinstance, L(), L)"
    ),
    same(
        "class L(dict):\n  def __getitem__(self, k): return 'mine'\ncalls.apply(lambda d: d['k'], L()), calls.apply(operator.getitem, L(), 'k')"
    ),
    same(
        "class L(list):\n  def append(self, v): super().append(('mine', v))\nl = L(); calls.method(l, 'append', 1); l"
    ),
    same(
        "calls.attribute(my_zoo.Point(3, 4), 'total'), calls.kind(my_zoo.Point(1, 2)), calls.method(my_zoo.Point(1, 2), 'moved', 1)"
    ),
    same("zoo.Point.distance(my_zoo.Point(1, 1), my_zoo.Point3(2, 2, 2))"),
)

test_files = cases(
    same("import io as here; f = here.StringIO(); calls.writes(f, 'a', 'b'), f.getvalue()"),
    same("import io as here; f = here.BytesIO(); calls.writes(f, b'a'), f.getvalue()"),
    same("import io as here; calls.writes(here.StringIO(), 5)"),
    same("import io as here; calls.reads(here.StringIO('line\\n123rest\\nlast'))"),
    same("import io as here; f = here.StringIO(); json.dump({'a': [1]}, f); f.getvalue()"),
    same("import io as here; json.load(here.StringIO('[1, 2]'))"),
    same(
        "import tempfile\nwith tempfile.TemporaryFile('w+') as f:\n  calls.writes(f, 'text'); f.seek(0); left = f.read()"
    ),
    same("import tempfile\nwith tempfile.TemporaryFile('w+') as f: pass\ncalls.writes(f, 'text')"),
    same("import io as here; f = here.StringIO()\ncalls.apply(print, 'out', 1, file=f, sep='-'); f.getvalue()"),
    same("w = io.TextIOWrapper(io.BytesIO()); w.write('ä'); w.flush(); w.buffer.getvalue()"),
    same("import threading; lock = threading.Lock(); calls.inside(lock, lambda v: lock.locked()), lock.locked()"),
)
