"""Remote classes as classes: made, asked, inherited from, with methods that are overridden here and called from there."""

from tests.same.check import cases, limit, made, same

test_constructing = cases(
    same("zoo.Point(1, 2)"),
    same("zoo.Point(x=1, y=2).total"),
    same("zoo.Point()"),
    same("zoo.Point(1, 2, 3)"),
    same("zoo.Point.origin(), zoo.Point3.origin()"),
    same("zoo.Point.distance(zoo.Point(1), zoo.Point(3))"),
    same("zoo.Point(1, 2).distance(my_zoo.Point(0, 0), zoo.Point(5, 5))"),
    same("x(1)", made("zoo.Point")),
    same("type(zoo.Point(1)) is zoo.Point, zoo.Point(1).__class__ == zoo.Point, type(zoo.Point3(1)) is zoo.Point"),
    same("zoo.Point.__new__(zoo.Point)"),
    same("p = zoo.Point.__new__(zoo.Point); p.__init__(5); p"),
    limit(
        "a C constructor of another base takes only what is laid out as it makes it", same("object.__new__(zoo.Point)")
    ),
    same("list(map(zoo.Point, [1, 2]))"),
    same("[C(1) for C in (zoo.Point, zoo.Point3)]"),
    same("family.Shape()"),
    same("zoo.Shelf([1]), zoo.Names(a=1), zoo.Word('w'), zoo.Blob(b'b'), zoo.Whole(1), zoo.Tags('t')"),
    same("collections.deque([1], maxlen=1), collections.Counter('aab'), collections.OrderedDict(a=1)"),
)

test_class_attributes = cases(
    same("zoo.Point.dimensions, zoo.Point3.dimensions"),
    same("zoo.Point.missing"),
    same("zoo.Point.__name__, zoo.Point.__qualname__, zoo.Point.__module__, zoo.Point.__doc__"),
    same("zoo.Point3.__bases__, zoo.Point3.__base__, zoo.Point3.__mro__"),
    same("zoo.Point3.mro()"),
    same("zoo.Point.made.append('one'); left = list(zoo.Point.made); zoo.Point.made.clear()"),
    same("zoo.Point.tag = 'set'; left = zoo.Point3(1).tag; del zoo.Point.tag; hasattr(zoo.Point, 'tag')"),
    same("zoo.Point.shout = lambda self: f'{self.x}!'; left = zoo.Point(3).shout(); del zoo.Point.shout"),
    same("zoo.Point.__dict__['dimensions'], 'moved' in vars(zoo.Point)"),
    same("zoo.Generic[int], zoo.Generic['text']"),
    same("zoo.Point[int]"),
    same("collections.deque[int], collections.Counter[str].__origin__ is collections.Counter"),
    same("len(zoo.Registered), list(zoo.Registered), zoo.Registered['k'], 'a' in zoo.Registered, zoo.Registered.title"),
    same("len(zoo.Point)"),
    same("zoo.Registered().title"),
    same("zoo.Point == zoo.Point, zoo.Point is zoo.Point, zoo.Point != zoo.Point3"),
    same("zoo.Point.moved is zoo.Point.moved, zoo.Point3.moved is zoo.Point.moved"),
    same(
        "type(zoo.Registered).__name__, isinstance(zoo.Registered, type), isinstance(zoo.Point, type), callable(zoo.Point)"
    ),
    same("zoo.Point | None, int | zoo.Point"),
    same("isinstance(zoo.Point(1), zoo.Point | int), isinstance(5, zoo.Point | int)"),
)

test_isinstance = cases(
    same(
        "isinstance(zoo.Point3(1), zoo.Point), isinstance(zoo.Point(1), zoo.Point3), isinstance(zoo.Point(1), object)"
    ),
    same("isinstance(zoo.Point(1), (int, zoo.Point)), isinstance(5, zoo.Point), isinstance(None, zoo.Point)"),
    same(
        "issubclass(zoo.Point3, zoo.Point), issubclass(zoo.Point, zoo.Point3), issubclass(zoo.Point, object), issubclass(zoo.Point, type)"
    ),
    same("issubclass(zoo.Word, str), issubclass(bool, zoo.Point)"),
    limit(
        "a mutable built-in cannot stand among the bases of a proxy",
        same("issubclass(zoo.Shelf, list), issubclass(zoo.Names, (int, dict))"),
    ),
    same(
        "issubclass(family.ZooError, Exception), issubclass(family.KeptError, KeyError), issubclass(family.KeptError, family.ZooError)"
    ),
    same(
        "issubclass(zoo.OldSequence, abc.Iterable), issubclass(zoo.Grid, abc.Container), issubclass(zoo.Countdown, abc.Iterator)"
    ),
    same("isinstance(2, zoo.Even), isinstance(3, zoo.Even)"),
    same(
        "isinstance(my_zoo.Point3(1), my_zoo.Point), isinstance(zoo.Shelf(), list), isinstance(zoo.Shelf(), abc.MutableSequence)"
    ),
    same("isinstance(1, zoo.Point(1))"),
    same("issubclass(zoo.Point(1), object)"),
    same("isinstance(collections.OrderedDict(), dict), isinstance(collections.deque(), list)"),
    limit(
        "a mutable built-in cannot stand among the bases of a proxy", same("issubclass(collections.OrderedDict, dict)")
    ),
    same(
        "calls.apply(isinstance, zoo.Point3(1), zoo.Point), calls.apply(isinstance, x, list), calls.apply(issubclass, zoo.Point3, zoo.Point)",
        [1],
    ),
    same(
        "class Local: pass\ncalls.apply(isinstance, Local(), Local), calls.apply(isinstance, 5, Local), calls.apply(type, Local()) is Local"
    ),
)

test_inheriting = cases(
    same("class Cat(family.Animal): pass\nCat('Tom').speak()"),
    same("class Cat(family.Animal):\n  sound = 'meow'\nCat('Tom').speak()"),
    same("class Cat(family.Animal):\n  def voice(self): return 'meow ' + self.name\nCat('Tom').speak()"),
    same("class Cat(family.Animal):\n  def voice(self): return super().voice() + '?'\nCat('Tom').speak()"),
    same(
        "class Cat(family.Animal):\n  def __init__(self, name):\n    super().__init__(name.upper())\n    self.lives = 9\nc = Cat('Tom'); c.name, c.lives, vars(c)"
    ),
    same("class Cat(family.Animal):\n  def __init__(self): pass\nCat().speak()"),
    same("class Cat(family.Animal):\n  def __len__(self): return 99\nlen(Cat('Tom')), len(family.Animal('Tom'))"),
    same(
        "class Cat(family.Animal): pass\nlen(Cat('Tom')), bool(Cat('')), Cat.__name__, Cat.__mro__[1] is family.Animal"
    ),
    same(
        "class Cat(family.Animal): pass\nc = Cat('T'); isinstance(c, Cat), isinstance(c, family.Animal), type(c) is Cat, issubclass(Cat, family.Animal)"
    ),
    same("class Cat(family.Animal, legs=4, tail=True): pass\nCat.options"),
    same("class Cat(family.Animal):\n  @property\n  def sound(self): return 'property'\nCat('Tom').speak()"),
    same(
        "class Cat(family.Animal):\n  @classmethod\n  def make(cls): return cls('made')\n  @staticmethod\n  def two(): return 2\nCat.make().speak(), Cat.two()"
    ),
    same("class Cat(family.Animal):\n  def voice(self): raise family.ZooError('no voice', 0)\nCat('Tom').speak()"),
    same("class Cat(family.Animal):\n  def voice(self): return 1 / 0\nCat('Tom').speak()"),
    same(
        "class Cat(family.Animal):\n  def voice(self): return self.helper()\n  def helper(self): return 'helped'\nCat('Tom').speak()"
    ),
    same(
        "class Cat(family.Animal):\n  def voice(self): self.said = True; return 'x'\nc = Cat('Tom'); c.speak(); c.said"
    ),
    same(
        "class A(family.Animal):\n  def voice(self): return 'A'\nclass B(A):\n  def voice(self): return 'B' + super().voice()\nB('n').speak()"
    ),
    same("class Mixin:\n  def voice(self): return 'mixed'\nclass Cat(Mixin, family.Animal): pass\nCat('Tom').speak()"),
    same("class Cat(family.Animal): pass\nc = Cat('Tom'); c.voice = lambda: 'instance'; c.speak()"),
    same(
        "class Cat(family.Animal): pass\nc = Cat('Tom'); calls.identity(c) is c, calls.method(c, 'speak'), calls.packed(c)['again'][0] is c"
    ),
    same("class Cat(family.Animal): pass\nCat.voice = lambda self: 'later'; Cat('Tom').speak()"),
    same(
        "class Cat(family.Animal): pass\nfamily.Animal.sound = 'changed'; left = Cat('Tom').speak(); family.Animal.sound = '...'"
    ),
    same("class Sq(family.Shape):\n  def area(self): return 4\nSq().describe()"),
    same("class Sq(family.Shape): pass\nSq()"),
    same(
        "class V(family.Visitor):\n  def __init__(self): self.seen = []\n  def leaf(self, n): self.seen.append(n)\n  def enter(self, n): self.seen.append(len(n))\nV().walk([1, [2, (3,)]]).seen"
    ),
    same("class V(family.Visitor): pass\nV().walk([1])"),
    same("class V(family.Visitor):\n  def leaf(self, n): raise StopAsyncIteration(n)\nV().walk([[7]])"),
    same(
        "class L(zoo.Shelf):\n  def append(self, v): super().append(('mine', v))\nl = L([1]); l.append(2); l, l.first(), len(l), l[1]"
    ),
    same("class D(zoo.Names):\n  def __missing__(self, key): return key * 2\nD(a=1)['zz'], D(a=1)['a']"),
    same(
        "class P(zoo.Point):\n  def __eq__(self, other): return True\n  __hash__ = zoo.Point.__hash__\nP(1) == 5, P(1) == zoo.Point(9), hash(P(1, 2)) == hash((1, 2))"
    ),
    same("class P(zoo.Point):\n  def __add__(self, other): return ('added', other)\nP(1) + 2"),
    same(
        "old = zoo.Shelf([1, 2]); left = old[0]\nclass S(zoo.Shelf):\n  def __getitem__(self, i): return ('mine', super().__getitem__(i))\n  def __len__(self): return 100 + super().__len__()\ns = S([3]); s[0], len(s), list(s), 3 in s, repr(s), f'{s}', old[1], len(old), old + [1], zoo.Shelf([5])[0]"
    ),
    same(
        "class A(zoo.Shelf):\n  def __getitem__(self, i): return ('A', super().__getitem__(i))\nclass B(A):\n  def __getitem__(self, i): return ('B', super().__getitem__(i))\nB([1])[0]"
    ),
    same(
        "class S(zoo.Point):\n  def __add__(self, other): return ('mine', super().__add__(other))\nS.__bases__ = (zoo.Point3,)\nS(1) + zoo.Point3(2)"
    ),
    same("class P(zoo.Point):\n  def __repr__(self): return 'mine'\nrepr(P(1)), str(P(1)), f'{P(1)}'"),
    same("class P(zoo.Point): pass\nP(1, 2).moved(1), type(P(1).moved()) is P, P.origin()"),
    same("class P(zoo.Point):\n  __slots__ = ('extra',)\np = P(1); p.extra = 5; p.extra, p.x"),
    same(
        "class P(zoo.Point):\n  def __getattr__(self, name): return name.upper()\nP(1).anything, P(1).x, calls.attribute(P(1), 'other')"
    ),
    same(
        "class C(collections.OrderedDict):\n  def __setitem__(self, k, v): super().__setitem__(k, v * 2)\nc = C(a=1); c['b'] = 2; c, list(c.values())"
    ),
    same(
        "class U(collections.UserDict):\n  def __getitem__(self, k): return ('got', self.data[k])\nu = U(a=1); u['a'], u.get('a'), dict(u)"
    ),
    same("class E(json.JSONEncoder):\n  def default(self, o): return sorted(o)\njson.dumps({'s': {2, 1}}, cls=E)"),
    same("class T(string.Template):\n  delimiter = '%'\nT('%a b').substitute(a=1)"),
    same(
        "class F(string.Formatter):\n  def format_field(self, v, spec): return f'<{v}>'\nF().format('{} {x}', 1, x=2)"
    ),
    same(
        "class D(datetime.date):\n  def plus(self): return self + datetime.timedelta(1)\nD(2024, 1, 1).plus(), D(2024, 1, 1).year, D(2024, 1, 1) < D(2024, 1, 2)"
    ),
    same(
        "class W(zoo.Word):\n  def shout(self): return super().shout() + '!'\nW('a').shout(), W('a') + 'b', len(W('abc'))"
    ),
    limit(
        "a remote metaclass makes classes only from a remote base",
        same("class M(metaclass=type(zoo.Registered)): pass\nlen(M), M['k'], M.title"),
    ),
    same("class R(zoo.Registered): pass\nlen(R), R['k'], R.title, 'a' in R"),
    same("C = type('C', (family.Animal,), {'sound': 'dynamic'}); C('n').speak(), C.__name__"),
    same(
        "class Raw(io.RawIOBase):\n  def readable(self): return True\n  def readinto(self, b): b[:2] = b'ab'; return 2\nRaw().read(2)"
    ),
)

test_parser = cases(
    same(
        """
        class P(html_parser.HTMLParser):
            def __init__(self):
                super().__init__()
                self.seen = []
            def handle_starttag(self, tag, attrs):
                self.seen.append((tag, attrs))
            def handle_endtag(self, tag):
                self.seen.append('/' + tag)
            def handle_data(self, data):
                self.seen.append(data)
        p = P(); p.feed('<a href="x">text &amp; <b>more</b></a>'); p.close()
        p.seen
        """
    ),
    same("html_parser.HTMLParser().feed('<a>')"),
    same(
        "p = html_parser.HTMLParser(convert_charrefs=False); p.handle_data = (found := []).append; p.feed('ab<c>d'); p.close(); found"
    ),
)
