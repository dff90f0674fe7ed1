"""Mutable built-in arguments: what the call changed there is found in the caller's own object, with identity, aliases and cycles."""

from tests.same.check import cases, limit, made, same

KEPT = "an argument is restored when the call ends; what was kept of it there is a copy"

test_library = cases(
    same("heapq.heappush(a, 0)", a=[1, 3]),
    same("heapq.heapify(a); heapq.heappop(a), heapq.heapreplace(a, 9), heapq.heappushpop(a, 4)", a=[5, 3, 8, 1]),
    same("bisect.insort(a, 2); bisect.bisect(a, 2)", a=[1, 2, 3]),
    same("random.seed(5); random.shuffle(a); sorted(a)", a=[1, 2, 3, 4]),
    same("io.BytesIO(b'abcdef').readinto(a), a", a=made("bytearray(4)")),
    limit(
        "a memoryview is not among the arguments that are restored",
        same("io.BytesIO(b'abcdef').readinto(memoryview(a)), a", a=made("bytearray(4)")),
    ),
    same("io.BytesIO(b'abcdef').readinto1(a), a", a=made("bytearray(9)")),
    same("calls.apply(list.sort, a), a", a=[2, 1]),
    same("collections._count_elements(a, 'abca'), a", a={}),
    same("json.JSONDecoder(object_hook=lambda d: d.update(hooked=True) or d).decode('{}')"),
    same("copy.copy(a)", a=[1]),
    same("re.compile('a').subn('b', 'aa'), a", a=[]),
)

test_simple = cases(
    same("calls.append(a, 1, [2]); a", a=[0]),
    same("calls.append(a); a", a=[0]),
    same("calls.put(a, 'k', [1]); a['k'].append(2)", a={}),
    same("calls.clear(a); a", a=[1, 2]),
    same("calls.clear(a); a", a={"k": 1}),
    same("calls.clear(a); a", a={1, 2}),
    same("calls.clear(a); a", a=bytearray(b"ab")),
    same("calls.fill(a); a", a=bytearray(4)),
    same("calls.fill(a, 0); a", a=[1, 2, 3]),
    same("calls.apply(set.add, a, 5); a", a={1}),
    same("calls.apply(dict.pop, a, 'k'), a", a={"k": [1]}),
    same("calls.append(*[a], **{}); a", a=[0]),
    same("calls.apply(items=a, function=lambda items: items.append('keyword')); a", a=[0]),
    same("x.extend(a); a.append(1)", [], a=[0]),
    limit(KEPT, same("x.append(a); a", [], a=[0])),
    same("calls.append(a, a[0]); a", a=[[1]]),
    same("calls.apply(list.__iadd__, a, [9]) is a", a=[0]),
    same("x.pop(); x", made("calls.packed([1, 2])['values'][0]")),
)

test_nested = cases(
    same("calls.deepen(a); a", a=[[1], {"k": [2]}, {3}]),
    same("inner = a[0]; calls.deepen(a); a[0] is inner, inner", a=[[1]]),
    same("inner = a[0]; calls.deepen(a); a[0] is inner, inner", a=[{"k": [1]}]),
    limit(
        "a container that is made there stays there, and holds the copy",
        same("inner = a[0]; calls.replace_inner(a); a[0] is inner, a[0][1] is inner, a", a=[[1]]),
    ),
    same("calls.put(a['deep'], 'k', 1); a", a={"deep": {}}),
    same("calls.append(a[0], 'x'); a", a=([1], 2)),
    same("calls.apply(lambda t: t[0].append('in a tuple'), a); a", a=([1], 2)),
    same("calls.apply(calls.append, a, 'x'); a", a=[1]),
    same("calls.apply(lambda v: v.append('from here'), a); a", a=[1]),
    same("p = my_zoo.Item('i', tags=a); calls.append(p.tags, 'x'); a is p.tags, a", a=[]),
)

test_aliases = cases(
    same("calls.are_same(a, a)", a=[1]),
    same("calls.are_same(a, b), a == b", a=[1], b=[1]),
    same("calls.first_is_second([a, a]), calls.first_is_second([a, list(a)])", a=[1]),
    same("calls.share(a, a); a", a=[1]),
    same("calls.share(a, b); a[-1] is b, b[-1] is a", a=[1], b=[2]),
    same("calls.append(a, a); a[-1] is a", a=[1]),
    same("a.append(a); calls.contains_itself(a)", a=[1]),
    same("a.append(a); calls.append(a, 'x'); a[1] is a, len(a)", a=[1]),
    same("a['self'] = a; calls.put(a, 'k', 1) is a, a['self'] is a", a={}),
    same("calls.apply(lambda u, v: (u.append(1), v.append(2), u is v), a, a); a", a=[]),
    same("calls.apply(lambda u, d: (u.append(1), d['k'] is u), a, {'k': a}); a", a=[]),
    same("b = [a, a]; calls.append(b[0], 'x'); b[1], b[0] is b[1]", a=[1]),
    same("b = [a, a]; calls.deepen(b); b[0] is b[1], b[0] is a", a=[1]),
    same("t = (a, a); calls.apply(lambda t: t[0] is t[1], t)", a=[1]),
)

test_results = cases(
    same("calls.identity(a) is a", a=[1]),
    same("calls.identity(a) is a", a={"k": 1}),
    same("calls.identity(a) is a", a={1}),
    same("calls.identity(a) is a", a=bytearray(b"a")),
    same("calls.put(a, 'k', 1) is a", a={}),
    limit(
        KEPT,
        same("r = calls.packed(a, b); r['values'][0] is a, r['values'][1] is b, r['again'][0] is a", a=[1], b={}),
    ),
    limit(KEPT, same("r = calls.packed(a); r['values'][0].append('via result'); a", a=[1])),
    same("r = calls.packed(ref(a)); r['values'][0].append('via result'); r['values'][0] is a", a=[1]),
    same("calls.mapped(lambda v: v is a, [a, [1]])", a=[1]),
    same("f = calls.adder(1); f(2), f(3)"),
    same("m = calls.mutable(); m[0].append(2); m[1]['a'].append(3); m, calls.mutable()"),
)

test_with_exceptions = cases(
    same("calls.change_and_throw(a)", a=[0]),
    same("try: calls.change_and_throw(a)\nexcept ValueError: left = a", a=[0]),
    same("calls.change_then_call(a, lambda: len(a)), a", a=[0]),
    same("calls.change_then_call(a, lambda: a.append('here')), a", a=[0]),
    same("calls.change_then_call(a, lambda: 1 / 0)", a=[0]),
    same("calls.change_then_call(a, lambda: calls.append(a, 'nested')), a", a=[0]),
    same("x.sort(key=a.append)", [3, 1], a=[]),
    same("calls.mapped(a.append, [1, 2]), a", a=[]),
    same("calls.mapped(a.__setitem__.__self__.setdefault, ['k']), a", a={}),
)

# So many that a change tells only of what is another one, and so many changes that it tells of all.
NUMBERS, MANY = list(range(1000, 1040)), 30
NAMED = {f"k{number}": number for number in NUMBERS}

test_little_of_much = cases(
    same("calls.put(a, 'k1007', 1); a, list(a)", a=NAMED),
    same("calls.put(a, 'new', 1); a, list(a)", a=NAMED),
    same("calls.put(a, 'k1007', a['k1009']); a['k1007'] is a['k1009']", a=NAMED),
    same("calls.apply(lambda d: (d.update(k1000=5, new=7), d.pop('new')), a); a, list(a)", a=NAMED),
    same("calls.apply(lambda d: d.update(k1000=d['k1039'], k1039=d['k1000'], new=[1]), a); a, list(a)", a=NAMED),
    same("calls.apply(lambda d: d.update({k: [v] for k, v in list(d.items())[:many]}), a); a", a=NAMED, many=MANY),
    same("calls.apply(lambda d: d.setdefault('k1039', d.pop('k1039')), a); a, list(a)", a=NAMED),
    same("calls.apply(lambda d: d.setdefault('k1000', d.pop('k1000')), a); a, list(a)", a=NAMED),
    same("calls.apply(list.append, a, 5); a", a=NUMBERS),
    same("calls.apply(lambda l: l.extend([l[3], [1], l[4]]), a); a, a[40] is a[3]", a=NUMBERS),
    same("calls.apply(lambda l: l.extend(range(many)), a); a", a=NUMBERS, many=MANY),
    same("calls.apply(list.__setitem__, a, 3, 5); a", a=NUMBERS),
    same("b = list(a); calls.apply(lambda l: l.insert(0, l.pop(1)), a); a, a[0] is b[1], a[1] is b[0]", a=NUMBERS),
    same("calls.apply(list.pop, a), calls.apply(list.remove, a, 1003); a", a=NUMBERS),
    same("calls.apply(list.reverse, a); a", a=NUMBERS),
    same(
        "a.append(a); calls.apply(lambda l: (l.append(l), l.__setitem__(0, l)), a); a[0] is a, a[40] is a, a[41] is a",
        a=NUMBERS,
    ),
    same(
        "inner = a[3]; calls.apply(lambda l: (l[3].append(1), l.append(2)), a); a, a[3] is inner",
        a=[[], [], [], []] * 5,
    ),
    same("i = iter(a); next(i); calls.put(a, 'k1007', 1); next(i), list(a.values())[7]", a=NAMED),
)

test_what_the_caller_changes_meanwhile = cases(
    same("calls.change_then_call(a, lambda: a.__setitem__(3, 'here')); a", a=NUMBERS),
    same("calls.change_then_call(a, lambda: a.insert(0, 'here')); a", a=NUMBERS),
    same(
        "calls.apply(lambda f: (calls.put(a, 'k1001', 1), f(), calls.put(a, 'k1002', 2)), lambda: a.pop('k1003')); a",
        a=NAMED,
    ),
    same(
        "calls.apply(lambda d, f: (d.update(k1001=1), f(), d.update(k1002=d['new'], k1003=d['k1004'])), a, "
        "lambda: a.update(new=[7], k1004='here')); a, a['k1002'] is a['new'], list(a)",
        a=NAMED,
    ),
)
