"""Conversions to numbers and to text; values of the language and its library that cross; subclasses of them."""

import datetime as dt
import decimal
import fractions
import pathlib
import uuid

from tests.same.check import cases, made, same
from tests.same.zoo import Blob, Number, Point, Text, Whole, Word

test_number_protocol = cases(
    same("int(x), float(x), complex(x), operator.index(x)", Number()),
    same("round(x), round(x, 2), round(x, None)", Number()),
    same("import math; math.trunc(x), math.floor(x), math.ceil(x)", Number()),
    same("['a', 'b', 'c'][x], 'abc'[x:], list(range(x)), bin(x), hex(x), oct(x), chr(x)", Number()),
    same("import math; math.sqrt(x), math.isnan(x)", Number()),
    same("'%d %s %.1f' % (x, 'a', x)", Number()),
    same("b'x' * x, bytes(x), 'a' * x, [0] * x", Number()),
    same("int(x)", Point(1)),
    same("float(x)", Point(1)),
    same("operator.index(x)", Point(1)),
    same("round(x)", Point(1)),
    same("[0][x]", Point(1)),
    same("abs(x), -x, divmod(x, 2), x ** 2, pow(x, 2, 3), round(x, -1), x.bit_length()", made("zoo.Whole(15)")),
    same("x.half(), x + 1, 1 + x, isinstance(x, int), x == 7, int(x), hash(x) == hash(7), [*range(x)]", Whole(7)),
    same("'%d' % x, f'{x:05}', str(x), x < 8, 8 > x, sum([x, x])", Whole(7)),
)

test_numbers_that_cross = cases(
    *(
        same("calls.identity(v), calls.kind(v), calls.packed(v)", v=value)
        for value in (
            0,
            -1,
            2**62,
            2**64,
            -(2**64),
            10**40,
            True,
            0.1,
            float("inf"),
            float("-inf"),
            float("nan"),
            -0.0,
            5e-324,
            1 + 2j,
            complex("nan+infj"),
            decimal.Decimal("1.10"),
            decimal.Decimal("NaN"),
            decimal.Decimal("-Infinity"),
            fractions.Fraction(-3, 7),
        )
    ),
    same("decimal.Decimal('1.1') + decimal.Decimal('2.2'), decimal.Decimal(10) / 4"),
    same("decimal.Decimal(1) / 0"),
    same("decimal.getcontext().prec"),
    same(
        "fractions.Fraction(1, 3) + fractions.Fraction(1, 6), fractions.Fraction('0.5') * 2, 1 / fractions.Fraction(2, 3)"
    ),
    same("fractions.Fraction(1, 0)"),
    same("round(fractions.Fraction(7, 2)), int(fractions.Fraction(7, 2)), fractions.Fraction(7, 2) // 1"),
)

test_text_protocol = cases(
    same("str(x), format(x), format(x, '>9'), bytes(x)", Text()),
    same("f'{x}', f'{x!s}', f'{x!r}', f'{x:spec}', '%s' % x, '{}'.format(x)", Text()),
    same("repr(x)", Text()),
    same("import os; os.fspath(x), os.path.join(x, 'name')", Text()),
    same("str(x), repr(x), f'{x}', '%s %r' % (x, x)", Point(1, 2)),
    same("str(x), repr(x)", [1, "a", None]),
    same("str([x]), repr({'k': x})", Point(1, 2)),
    same("ascii(x)", ["ä"]),
    same("format(x, '>9')", [1]),
    same("bytes(x)", Point(1)),
    same("import os; os.fspath(x)", Point(1)),
    same("str(zoo.Point), repr(zoo.Point)"),
    same("repr(x.append)", [1]),
    same("print(x, end=''); str(x)", []),
)

test_text_that_crosses = cases(
    *(
        same("calls.identity(v), calls.kind(v), len(v)", v=value)
        for value in (
            "",
            "ascii",
            "ä€𝄞",
            "nul\0inside",
            "\ud800 lone",
            "\udcff\udc80",
            "x" * 100_000,
            b"",
            b"\0\xff",
            b"y" * 100_000,
            Word("sub"),
            Blob(b"sub"),
        )
    ),
    same(
        "x.shout(), x.upper(), x + '!', '!' + x, x == 'abc', x[0], len(x), 'b' in x, hash(x) == hash('abc')",
        made("zoo.Word('abc')"),
    ),
    same(
        "isinstance(x, str), ''.join([x, x]), x.split('b'), f'{x:>5}', '%s' % x, {'abc': 1}[x], x in 'xabcx'",
        made("zoo.Word('abc')"),
    ),
    same("int(x), float(x)", made("zoo.Word('12')")),
    same("open(x)", made("zoo.Word('/does/not/exist')")),
    same("x[0], x + b'!', x == b'abc', x.decode(), bytes(x), x.hex(), isinstance(x, bytes)", made("zoo.Blob(b'abc')")),
    same("x.half()", made("zoo.Word('abc')")),
    same("zoo.Word('a') + zoo.Word('b')"),
    same("string.Template('$a and $b').substitute(a=1, b='two')"),
    same("string.Template('$a').substitute({})"),
    same("re.findall(r'\\w+', 'some words'), re.sub('a', lambda m: m.group().upper(), 'banana')"),
    same("m = re.match('(?P<first>.)(.)', 'ab'); m.groups(), m['first'], m.span(), m.string, bool(m)"),
    same("re.compile('(')"),
    same("p = re.compile('a+', re.I); p.pattern, p.flags, p.split('bAAc'), p == re.compile('a+', re.I)"),
    same("json.loads('{\"a\": [1, null, 2.5]}'), json.dumps({'a': [1, None, (2,)]}, indent=1)"),
    same("json.loads('{bad')"),
    same("json.dumps(object())"),
    same("json.dumps({1, 2}, default=sorted)"),
    same("json.loads('[1]', object_hook=dict, parse_int=lambda digits: 'n' + digits)"),
)

test_library_values = cases(
    *(
        same("calls.identity(v) == v, calls.identity(v), calls.kind(v)", v=value)
        for value in (
            dt.date(2024, 2, 29),
            dt.datetime(2024, 1, 2, 3, 4, 5, 678),
            dt.datetime(2024, 1, 2, tzinfo=dt.timezone.utc),
            dt.datetime(2024, 1, 2, fold=1, tzinfo=dt.timezone(dt.timedelta(hours=-5), "EST")),
            dt.time(1, 2, 3),
            dt.timedelta(days=-1, seconds=5, microseconds=7),
            uuid.UUID(int=5),
            pathlib.PurePosixPath("/a/b"),
            pathlib.Path("a"),
            range(1, 10, 3),
            slice(1, None, [2]),
            ...,
            NotImplemented,
            (1, (2, ("three",))),
            frozenset({1, (2, 3)}),
            (),
            [[], {}, set(), bytearray()],
            {"a": (1, [2])},
        )
    ),
    same(
        "datetime.date(2024, 2, 29) + datetime.timedelta(1), datetime.datetime(2024, 1, 1) - datetime.datetime(2023, 1, 1)"
    ),
    same("datetime.date(2024, 13, 1)"),
    same("datetime.datetime(2024, 1, 1).strftime('%Y %j'), datetime.date.fromisoformat('2024-05-06').weekday()"),
    same("uuid.UUID(int=1).hex, uuid.UUID('zz')"),
    same(
        "zoo.Colour.RED, zoo.Colour['GREEN'], zoo.Colour(2), list(zoo.Colour), zoo.Colour.RED.value, zoo.Colour.RED.name"
    ),
    same("zoo.Colour(9)"),
    same("zoo.Colour.RED is my_zoo.Colour.RED, calls.identity(my_zoo.Colour.RED) is my_zoo.Colour.RED"),
    same("isinstance(zoo.Colour.RED, zoo.Colour), len(zoo.Colour), zoo.Colour.RED in zoo.Colour"),
    same("zoo.Pair(1, [2]), zoo.Pair(1, 2).left, zoo.Pair(1, 2) == (1, 2), zoo.Pair(1, 2)._replace(left=5)"),
    same("a, b = zoo.Pair(1, 2); a, b, zoo.Pair(1, 2)[1], len(zoo.Pair(1, 2)), isinstance(zoo.Pair(1, 2), tuple)"),
    same("zoo.Item('a') < zoo.Item('b'), zoo.Item('a') == zoo.Item('a'), zoo.Item('a', tags=['t'])"),
)
