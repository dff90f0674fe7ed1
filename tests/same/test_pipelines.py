"""What is recorded and sent in one round trip has the outcome that it has here, statement by statement."""

from tests.same.check import cases, limit, made, piped
from tests.same.zoo import Account, Item, Point

test_chains = cases(
    piped("x[0]", [7]),
    piped("x[0][1]['k']", [[0, {"k": "v"}]]),
    piped("x.moved(1, dy=2).moved(3).x", Point(1, 2)),
    piped("type(x).__name__ and x.moved(1).moved(2).x", Point(1)),
    piped("x.upper().lower().split(',')[1].strip()", made("collections.UserString('a, b')")),
    piped("zoo.Point(1, 2).moved(3).y"),
    piped("zoo.NESTED['numbers'][0], zoo.NESTED['numbers'][-1]"),
    piped("collections.Counter('abracadabra').most_common(2)[0]"),
    piped("json.loads('[1, {\"a\": [2.5, null]}]')[1]['a'][0]"),
    piped("re.compile('(b)(c)').search('abcd').group(2, 1)"),
    piped("datetime.datetime(2001, 2, 3).replace(year=2002).isoformat().split('T')"),
    piped("decimal.Decimal('1.10').quantize(decimal.Decimal('0.1')).as_tuple().digits[0]"),
    piped("itertools.chain([1], [2]).__next__()"),
)

test_statements = cases(
    piped("x.append(2); x.append(3); x[0] = 'first'; del x[1]; x[:], x.__len__()", [0, 1]),
    piped("x['a'] = 1; x['b'] = x['a']; x['a'] += 1; x.copy()", {}),
    piped("x.colour = 'red'; y = x.colour; del x.colour; y", Point(1)),
    piped("x.x += 1; x.x *= 10; x.x", Point(1)),
    piped("x.items_ = []; y = x.items_; y += [1]; y.append(2); x.items_", Point(1)),
    piped("y = x.pop(); x.insert(0, y); x.extend([y, y]); x", [1, 2, 3]),
    piped("y = collections.deque([1], maxlen=2); y.append(2); y.append(3); y.__len__(), y[0], y[-1]"),
    piped("a = x[0]; b = x[1]; x[0] = b; x[1] = a; x", [[1], [2]]),
    piped("d = collections.defaultdict(list); d['k'].append(1); d['k'].append(2); d['k']"),
    piped("f = x.append; f(5); f(6); x", [0]),
    piped("x.sort(key=len, reverse=True); x", ["a", "ccc", "bb"]),
)

test_operators = cases(
    piped(
        "x[0] + 1, 1 + x[0], x[0] - x[1], x[0] * x[1], x[0] / 2, 2 // x[0], x[0] % 2, divmod(7, x[0]), x[0] ** 2",
        [3, 4],
    ),
    piped("2 ** x[0], pow(x[0], 2, 5), x[0] << 1, x[0] >> 1, x[0] & 1, x[0] | 4, x[0] ^ 1, -x[0], +x[0], ~x[0]", [3]),
    piped("abs(x[0]), round(x[1]), round(x[1], 1), x[0] == -3, x[0] != -3, x[0] < 0, x[0] >= 0, 0 > x[0]", [-3, 2.55]),
    piped("x + [1], [1] + x, x * 2, 2 * x", [0]),
    piped("x == [1], [1] == x, x != [2], x < [2]", [1]),
    piped("x | {2}, {2} | x, x & {1}, x - {1}, x ^ {1, 2}", {1}),
    piped("x | {'b': 2}, {'a': 0} | x", {"a": 1}),
    piped("x += [1]; x *= 2; x", [0]),
    piped("y = x; y |= {5}; y == x, x", {1}),
    piped("x[0] + 'b', 'b' + x[0], x[0] * 2, x[0] % 'c'", ["a%s"]),
    piped("x[0] + x[1]", [(1,), (2,)]),
    piped("x + 1", [1]),
    piped("1 + x", [1]),
    piped("x[0] < 'a'", [1]),
    piped("-x", "text"),
    piped("x.total() - x", made("collections.Counter('aab')")),
    piped("decimal.Decimal(1) / 3 * 3, 1 / decimal.Decimal(4)"),
    piped("fractions.Fraction(1, 3) + 1, 2 - fractions.Fraction(1, 3), fractions.Fraction(1, 2) == 0.5"),
    piped("datetime.date(2001, 1, 2) - datetime.date(2001, 1, 1), datetime.timedelta(1) * 2"),
)

test_arguments = cases(
    piped("calls.identity(a), calls.identity(a)", a=[1, [2]]),
    piped("calls.append(a, 1); calls.append(a, 2); calls.append(a, a)", a=[0]),
    piped("calls.put(a, 'k', 1); calls.put(a, 'j', calls.identity(a)); calls.identity(a)", a={}),
    piped("calls.append(a, b); calls.append(b, 1)", a=[], b=[]),
    piped("calls.append(a, 'mine'); calls.identity(a)[-1]", a=[0]),
    piped("calls.are_same(x, x.itself()), calls.first_is_second([x, x])", Point(1)),
    piped("calls.are_same(x[0], x[0]), calls.are_same(a, a)", [[1]], a=(1, 2)),
    piped("calls.identity(a), calls.identity(b), calls.identity(c)", a="t" * 99, b=(1, (2,)), c=frozenset({1})),
    piped("calls.apply(lambda v: v + 1, 1), calls.apply(a.append, 5), calls.mapped(lambda v: [v], [1, 2])", a=[]),
    piped("calls.apply(operator.getitem, {'deep': [(x,)]}, 'deep')[0][0]", [1]),
    piped("calls.method(x, 'moved', x.x), calls.attribute(x, 'y'), calls.assign(x, 'y', x.x); x.y", Point(1, 2)),
    piped("calls.apply(max, x[0], x[1]), calls.apply(max, *[x[0], x[1]], key=abs)", [1, -2]),
    piped("calls.caught(lambda: 1 / 0)"),
)

test_exceptions = cases(
    piped("x[5]", [1]),
    piped("x['missing']", {}),
    piped("x.nonsense", Point(1)),
    piped("x.nonsense.more(1)[2]", Point(1)),
    piped("x.moved(1, 2, 3, 4, 5)", Point(1)),
    piped("calls.again(lambda: 1 / 0)"),
    piped("y = x[5]; calls.identity([y])", [1]),
    piped("zoo.Nonsense"),
    piped("json.loads('{')"),
    piped("x()", [1]),
    piped("x.moved()()", Point(1)),
    piped("decimal.Decimal(1) / 0"),
    piped("calls.apply(lambda: {}['here'])"),
)

test_what_differs = cases(
    limit("a step does not stop those behind it", piped("y = x[5]; x.append('goes on'); y", [1])),
    limit("a promise is no value", piped("x.__len__() if x else 0", [1])),
    limit("a promise is no value", piped("[y for y in x]", [1])),
    limit("a promise has no class yet", piped("x.moved(1).__class__.__name__", Point(1))),
    limit("a promise has no class yet", piped("isinstance(x, list)", [1])),
    limit("a promise is another object than the value", piped("x[0] is x[0]", [[1]])),
    limit("a promise is another object than the value", piped("calls.identity(a) is a", a=[1])),
    limit(
        "an argument that the child keeps is a copy",
        piped("calls.keep(a); calls.append(calls.kept(), 'theirs'); calls.kept(), calls.KEPT.clear()", a=[0]),
    ),
    limit("what is changed before it is sent is an error", piped("y = calls.identity(a); a.append(1); y", a=[0])),
)

test_classes = cases(
    piped("x.opened, x.opened == x.opened", Account()),
    piped("x.tags.append('new'); x.tags, x.name", Item("i", tags=["old"])),
    piped("x(1, 2).x, x.__name__, x(3).moved(1).x", made("zoo.Point")),
)
