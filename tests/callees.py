"""What the tests of callbacks call in the child."""

from __future__ import annotations

import os
import threading

KEPT = []
CALLED = []


class CalleeError(Exception):
    """Exists here and there."""

    def __init__(self, what, code):
        super().__init__(f"{what} ({code})")
        self.what, self.code = what, code


def call(function, *args, **kwargs):
    return function(*args, **kwargs)


def call_and_show(function, *lists):
    function()
    return tuple(tuple(each) for each in lists)


class Asking:
    """Calls a function whenever something is asked of it."""

    def __init__(self, function):
        self.function = function

    def __getattr__(self, name):
        return self.function(name)

    def __repr__(self):
        self.function("repr")
        return "asked"

    def __buffer__(self, flags):
        self.function("buffer")
        return memoryview(b"lent")


def pid():
    return os.getpid()


def each(function, items):
    return [function(item) for item in items]


def drain(iterable):
    return list(iterable)


def send(generator, *values):
    return [generator.send(value) for value in values]


def throw(generator, error):
    return generator.throw(error)


def inside(manager, function, *args):
    with manager as entered:
        return function(entered, *args)


def bounce(function, depth):
    """Calls `function` with this function itself, so that the two sides take turns."""
    return function(bounce, depth)


def keep(thing):
    KEPT.append(thing)


def kept():
    return KEPT[-1]


def forget():
    KEPT.clear()


def catch(function, *args):
    """What is caught here: its type's name, text, arguments."""
    try:
        function(*args)
    except BaseException as error:
        return type(error).__name__, str(error), error.args
    return None


def catch_class(cls, function):
    try:
        function()
    except cls as error:
        return error
    return None


def reraise(function):
    try:
        function()
    except BaseException:
        CALLED.append("handled")
        raise


def replace(function, error):
    try:
        function()
    except Exception as caught:
        raise error from caught


def within(function, error):
    try:
        function()
    finally:
        raise error


def swallow_and_note(function, note):
    try:
        function()
    except Exception as error:
        error.add_note(note)
        raise


def retry(function, times):
    for _ in range(times):
        try:
            return function()
        except ValueError:
            continue
    return "gave up"


def divide(a, b):
    return a / b


def deep(depth, function):
    return function() if depth == 0 else deep(depth - 1, function)


def raise_(error):
    raise error


def raise_kept():
    raise KEPT[-1]


def raise_with_everything():
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise OSError(2, "second", "file")  # noqa: B904  what is raised meanwhile is the case
    except OSError as error:
        third = CalleeError("third", 3)
        third.extra = [1, {"a": 2}]
        third.add_note("a note")
        third.add_note("another")
        raise third from error


def raise_group():
    raise ExceptionGroup(
        "several", [ValueError(1), ExceptionGroup("inner", [CalleeError("two", 2), KeyError("three")])]
    )


class Unpicklable(Exception):
    def __init__(self):
        super().__init__("cannot be pickled")
        self.lock = threading.Lock()

    def __reduce__(self):
        raise TypeError("no pickle of this")


class BadText(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class BadArgs(Exception):
    def __init__(self, *, word):
        self.word = word


class BadAttributes(Exception):
    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")


class Closed(Exception):
    """Takes no attributes."""

    def __setattr__(self, name, value):
        raise AttributeError(name)


class Quiet(BaseException):
    """No Exception."""


class BadEquality(Exception):
    def __eq__(self, other):
        raise RuntimeError("not comparable")

    __hash__ = None


class Falsy(Exception):
    def __bool__(self):
        return False

    def __len__(self):
        return 0


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class BadArgsProperty(Exception):
    @property
    def args(self):
        raise RuntimeError("no args")


class Meta(type):
    def __call__(cls, *args):
        return super().__call__("from meta", *args)


class OfMeta(Exception, metaclass=Meta):
    pass


class Tupled(Exception, tuple if False else object):
    def __new__(cls, *args):
        made = super().__new__(cls, *args)
        made.made_by_new = True
        return made


def raise_kind(name):
    """An exception of every kind."""
    local = type("Local", (Exception,), {})
    looped = ValueError("looped")
    looped.__cause__ = looped
    noted = ValueError("noted")
    noted.__notes__ = "no list"
    strange = ValueError(object(), [1], {2: lambda: 3}, threading.Lock())
    carrying = ValueError("carrying")
    carrying.thread, carrying.function, carrying.itself = threading.current_thread(), raise_kind, carrying
    kinds = {
        "unpicklable": Unpicklable, "bad text": BadText, "bad args": lambda: BadArgs(word="w"),
        "bad attributes": BadAttributes, "closed": Closed, "quiet": Quiet, "bad equality": BadEquality, "falsy": Falsy,
        "slotted": lambda: Slotted(5), "bad args property": BadArgsProperty, "of meta": lambda: OfMeta("x"),
        "made by new": lambda: Tupled("x"), "local": lambda: local("l"), "looped": lambda: looped, "noted": lambda: noted,
        "strange": lambda: strange, "carrying": lambda: carrying, "stop": lambda: StopIteration(1),
        "stop async": lambda: StopAsyncIteration(1), "exit": lambda: SystemExit(3), "keyboard": KeyboardInterrupt,
        "generator exit": GeneratorExit, "memory": lambda: MemoryError("m"), "recursion": lambda: RecursionError("r"),
        "system": lambda: SystemError("s"), "syntax": lambda: SyntaxError("s", ("file", 1, 2, "text")),
        "unicode": lambda: UnicodeDecodeError("utf-8", b"ab", 0, 1, "why"), "os": lambda: OSError(2, "no", "a", None, "b"),
        "blocking": lambda: BlockingIOError(11, "b", 3), "import": lambda: ImportError("i", name="n", path="p"),
        "name": lambda: NameError("n", name="n"), "attribute": lambda: AttributeError("a", name="a", obj=threading.Lock()),
        "key": lambda: KeyError(KEPT), "group": lambda: ExceptionGroup("g", [Unpicklable(), BadText(), ValueError()]),
        "base group": lambda: BaseExceptionGroup("g", [Quiet(), SystemExit(1)]), "huge": lambda: ValueError("x" * 2_000_000),
        "wide": lambda: ValueError(*range(5000)), "surrogate": lambda: ValueError("\ud800"), "connection": ConnectionResetError,
        "warning": lambda: DeprecationWarning("w"), "assertion": lambda: AssertionError([1]), "bare": Exception,
    }  # fmt: skip
    if name is None:
        return tuple(kinds)
    raise kinds[name]()


def in_a_thread(function, *args):
    """Calls back from a thread that the child started."""
    results = []

    def run():
        try:
            results.append(("returned", function(*args)))
        except BaseException as error:
            results.append(("raised", error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


class Base:
    """To be derived from."""

    def run(self):
        return [self.step(n) for n in range(3)]

    def step(self, n):
        return n

    def __len__(self):
        return self.size()

    def size(self):
        return 5
