"""Every operator: plain, reflected, in place; comparisons with local values in both directions; hash and truth."""

from tests.same.check import cases, limit, made, same
from tests.same.zoo import Money, Point, Recorder, Same, Truth

BINARY = ["+", "-", "*", "@", "/", "//", "%", "**", "<<", ">>", "&", "^", "|"]

test_plain = cases(*(same(f"x {sign} 'other', x.log", Recorder()) for sign in BINARY))

test_reflected = cases(*(same(f"5 {sign} x, x.log", Recorder()) for sign in BINARY))

test_in_place = cases(*(same(f"y = x; y {sign}= 5; y is x, x.log", Recorder()) for sign in BINARY))

test_both_remote = cases(*(same(f"(x {sign} x)[0], x.log", Recorder()) for sign in BINARY))

test_unary_and_functions = cases(
    same("-x, +x, ~x, abs(x), x.log", Recorder()),
    same("divmod(x, 3), divmod(3, x)", Recorder()),
    same("pow(x, 2), pow(x, 2, 5), pow(2, x)", Recorder()),
    same("x < 1, x <= 1, x > 1, x >= 1", Recorder()),
    same("1 < x, 1 <= x, 1 > x, 1 >= x, x.log", Recorder()),
    same("operator.add(x, 1), operator.iadd(x, 1) is x, operator.matmul(x, 1)", Recorder()),
    same("x.__add__(1), x.__radd__(1), x.__iadd__(1) is x", Recorder()),
    same("type(x).__add__(x, 1)", Recorder()),
    same("sum([1, 2], x)", Recorder()),
)

test_declined = cases(
    same("x + 1, 1 + x, x + x", Money(5)),
    same("x + 'text'", Money(5)),
    same("'text' + x", Money(5)),
    same("x.__add__('text')", Money(5)),
    same("x += 3; x", Money(5)),
    same("x - 1", Money(5)),
    same("x -= 1", Money(5)),
    same("-x", Money(5)),
    same("x < x, x > x", Money(5)),
    same("x < 1", Money(5)),
    same("1 < x", Money(5)),
    same("x <= x", Money(5)),
    same("sum([x, x, 1])", Money(5)),
    same("x @ x", [1]),
    same("x + 1", [1]),
    same("x()", [1]),
    same("x + my_zoo.Money(3)", Money(5)),
    same("my_zoo.Money(3) + x", Money(5)),
    same("max([x, zoo.Money(9), zoo.Money(7)])", Money(5)),
    same("sorted([zoo.Money(9), x, zoo.Money(7)])", Money(5)),
)

test_of_containers = cases(
    same("x + [3], [0] + x, x * 2, 2 * x", [1, 2]),
    same("x + (3,)", [1, 2]),
    same("y = x; y += [3]; y is x", [1, 2]),
    same("y = x; y *= 2; y is x", [1, 2]),
    same("x.__iadd__([3]) is x", [1, 2]),
    same("x += 'ab'; x", [1, 2]),
    same("x += 5", [1, 2]),
    limit("the special method is asked, whose own text differs from the operator's", same("x * 'a'", [1, 2])),
    same("x % 1", [1, 2]),
    same("x + x, x * 0", [1, 2]),
    same("y = x; y |= {3}; y is x", {1}),
    same("y = x; y |= {'b': 1}; y is x", {"a": 0}),
    same("y = x; y += b'd'; y is x", bytearray(b"abc")),
    same("operator.concat(x, [3]), operator.iconcat(x, [4]) is x", [1, 2]),
    same("operator.contains(x, 1), operator.indexOf(x, 2), operator.countOf(x, 1)", [1, 2]),
)

test_equality = cases(
    same("x == [1, 2], [1, 2] == x, x != [1, 2], [1, 2] != x", [1, 2]),
    same("x == [1, 3], [1, 3] == x, x != [1, 3], [1, 3] != x", [1, 2]),
    same("x == (1, 2), (1, 2) == x, x == 'text', x == None, None == x, x is None", [1, 2]),
    same("x == x, x != x, x is x", [1, 2]),
    same("x == {'a': 1}, {'a': 1} == x, x == {}", {"a": 1}),
    same("x == {1}, {1} == x, x == frozenset({1}), frozenset({1}) == x", {1}),
    same("x < [1, 3], [1, 3] > x, x <= [1, 2], x > [1], x >= [0], [0] < x", [1, 2]),
    same("x < 5", [1, 2]),
    same("x < {}", {}),
    same("[x] == [[1, 2]], [[1, 2]] == [x], (x,) == ([1, 2],), {'k': x} == {'k': [1, 2]}", [1, 2]),
    same("x in [[1, 2]], [1, 2] in [x], [[1, 2], 3].index(x), [[1, 2]].count(x)", [1, 2]),
    same("x == my_zoo.Point(1, 2), my_zoo.Point(1, 2) == x, x != my_zoo.Point(1, 2)", Point(1, 2)),
    same("x == zoo.Point(1, 2), x is zoo.Point(1, 2), x == 5, 5 == x", Point(1, 2)),
    same("x == 5, 5 == x, x != 5, 5 != x", Money(5)),
    same("x == 'anything', 'anything' == x, x != 1", Same(1)),
    same("x == 5.0, 5.0 == x, x == 5, x < 5.5, 5.5 > x, x <= 5, 4 < x", made("decimal.Decimal('5')")),
    same("x == 0.5, 0.5 == x, x < 1, 1 > x, x == fractions.Fraction(1, 2)", made("fractions.Fraction(1, 2)")),
    same("x == 1, 1 == x, x is my_zoo.Colour.RED, x == my_zoo.Colour.RED", made("zoo.Colour.RED")),
    same("x < 3, 3 > x, x == 2, x + 1, [0, 1, 2][x]", made("zoo.Weekday.TUESDAY")),
)

test_hash = cases(
    same("hash(x) == hash((1, 2))", Point(1, 2)),
    same("hash(x)", [1]),
    same("hash(x)", {}),
    same("hash(x)", Money(5)),
    same("hash(x)", Same(-5)),
    same("{x: 'value'}[x], x in {x}, len({x, x})", Point(1, 2)),
    same("{x: 'value'}[my_zoo.Point(1, 2)], my_zoo.Point(1, 2) in {x}", Point(1, 2)),
    same("{my_zoo.Point(1, 2): 'value'}[x], x in {my_zoo.Point(1, 2)}", Point(1, 2)),
    same("{x}", [1]),
    same("x.__hash__", [1]),
    same("hash(zoo.Point) == hash(zoo.Point), {zoo.Point: 1}[zoo.Point]"),
    same("len({calls.identity, calls.identity, calls.apply})"),
    same("hash(x) == hash(x), x in {x: 1}", made("zoo.Recorder()")),
)

test_truth = cases(
    same("bool(x), not x, x and 1, x or 2", Truth(True)),
    same("bool(x), not x, x or 2", Truth(False)),
    same("bool(x)", Truth(5)),
    same("'yes' if x else 'no'", []),
    same("'yes' if x else 'no'", [0]),
    same("'yes' if x else 'no'", Point(0, 0)),
    same("[bool(each) for each in (zoo, zoo.Point, calls.identity, zoo.Sized(0))]"),
    same("x is not None, x is None, not x is x", []),
    same("1 < len(x) < 3, 0 < x[0] <= x[1]", [1, 2]),
)
