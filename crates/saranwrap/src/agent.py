"""The portable child: what an interpreter runs that has no extension module of ours. One file, for every Python from 2.7 on.

It speaks the protocol of docs/protocol.md over a socket, and does what the native child does (crates/saranwrap-python and
python/saranwrap); docs/semantics.md, "The portable child", lists what it leaves out. It needs nothing but the standard library, and
loads little of that before it is asked to. The sections stand in the order of the walk: wire, table, convert, loans, exceptions,
classes, host, link, several main loops, what goes home beside the objects, start.

The syntax is that of Python 2.7 and of the newest Python at once, so there are no f-strings, no annotations and no `raise ... from`.
Names such as `unicode` and `long` stand behind a look at the version. One process has one parent, so the conversation is a global.
"""

from __future__ import absolute_import

import atexit
import errno
import gc
import operator
import os
import select
import signal
import struct
import sys
import time
import types
import warnings
import weakref

PY2 = sys.version_info[0] == 2
if PY2:
    import __builtin__ as builtins
    import copy_reg as copyreg
    import thread as _thread
    from threading import RLock
else:
    import _thread
    import builtins
    import copyreg

    RLock = _thread.RLock

VERSION = "0.1.0"
PROTOCOL = 1
# The name under which this is compiled; frames of it are no business of whoever reads a traceback.
HERE = "<saranwrap>"
# Without this nobody can tell whether something is still held.
COUNTS_REFERENCES = hasattr(sys, "getrefcount") and getattr(getattr(sys, "implementation", None), "name", "cpython") == "cpython"
MAX_DEPTH = 900
MAX_NESTING = 1000
# From this number on loans are given away within one message.
WITHIN_MESSAGE = 1 << 62
OURS = 1 << 63
# A container above this size is compared only when the outermost call ends.
EAGER_ITEMS = 4096
MOST_ITEMS = 4096
MOST_BYTES = 64 << 10

TEXT = type(u"")
OLD_CLASS = types.ClassType if PY2 else None
OLD_INSTANCE = types.InstanceType if PY2 else None
INTEGERS = (int, long) if PY2 else (int,)  # noqa: F821
RANGE = xrange if PY2 else range  # noqa: F821
# What a text is here where nothing says otherwise.
NATIVE = str


class Garbled(Exception):
    """The parent sent what no parent sends. There is nothing to go on with."""


# ---- wire: values and bytes (CBOR, RFC 8949), no objects ---------------------------------------------------------------

LIST, DICT, SET, BYTEARRAY, SAME, THEIRS, MINE, CLASS, NAMED, FROZENSET, COMPLEX, ELLIPSIS, NOT_IMPLEMENTED, SLICE, RANGE_TAG = range(
    21248, 21263
)
SURROGATES, KNOWN, EXCEPTION, TRACEBACK, PICKLE, ARGUMENT, MARKED, VALUED, UNCALLED, PROMISE, BLOCK, BUFFER, NDARRAY, ARROW, PARTWAY = range(
    21263, 21278
)
UINT, NINT, BYTES, STRING, ARRAY, MAP, TAG, SIMPLE = range(8)

# Runs of numbers, as RFC 8746 has them: how `struct` calls the numbers behind each tag. Those of integers, the narrow ones first.
RUNS = {72: "b", 77: "h", 78: "i", 79: "q", 86: "d"}
INTEGER_RUNS = ((72, 7), (77, 15), (78, 31), (79, 63))
FLOAT_RUN = 86
# From so many numbers on.
MANY = 32

# How each tag is written.
_TAGS = dict((tag, struct.pack(">BH", TAG << 5 | 25, tag)) for tag in range(LIST, PARTWAY + 1))
_TAGS.update((tag, struct.pack(">BB", TAG << 5 | 24, tag)) for tag in RUNS)
_TAGS.update({2: b"\xc2", 3: b"\xc3"})
_WIDTHS = {24: (1, ">B"), 25: (2, ">H"), 26: (4, ">I"), 27: (8, ">Q")}


class Writer(object):
    """Puts items down, one after the other."""

    def __init__(self):
        self.bytes = bytearray()

    def head(self, major, number):
        out = self.bytes
        major <<= 5
        if number < 24:
            out.append(major | number)
        elif number < 0x100:
            out.append(major | 24)
            out.append(number)
        elif number < 0x10000:
            out.append(major | 25)
            out += struct.pack(">H", number)
        elif number < 0x100000000:
            out.append(major | 26)
            out += struct.pack(">I", number)
        else:
            out.append(major | 27)
            out += struct.pack(">Q", number)

    def null(self):
        self.bytes.append(0xF6)

    def bool(self, value):
        self.bytes.append(0xF5 if value else 0xF4)

    def uint(self, number):
        self.head(UINT, number)

    def array(self, count):
        self.head(ARRAY, count)

    def map(self, count):
        self.head(MAP, count)

    def tag(self, tag):
        self.bytes += _TAGS[tag]

    def float(self, value):
        self.bytes.append(0xFB)
        self.bytes += struct.pack(">d", value)

    def byte_string(self, value):
        self.head(BYTES, len(value))
        self.bytes += value

    def text(self, value):
        """A text without lone surrogates; a native one of Python 2 is ASCII."""
        if isinstance(value, TEXT):
            value = value.encode("utf-8")
        self.head(STRING, len(value))
        self.bytes += value

    def integer(self, value):
        if -(1 << 64) <= value < 1 << 64:
            self.head(UINT, value) if value >= 0 else self.head(NINT, -1 - value)
            return
        # RFC 8949, 3.4.3: a negative one carries -1 - n.
        magnitude = value if value >= 0 else -1 - value
        digits = "%x" % magnitude
        self.tag(2 if value >= 0 else 3)
        self.byte_string(bytearray.fromhex(NATIVE(digits.zfill(len(digits) + len(digits) % 2))))

    def numbers(self, items):
        """As one run, if they are many integers of 64 bits, or many floats, and nothing else. Whether they are."""
        if len(items) < MANY:
            return False
        kinds = set(map(type, items))
        if kinds == set((float,)):
            tag = FLOAT_RUN
        elif kinds.issubset(INTEGERS):
            least, most = min(items), max(items)
            tag = next((tag for tag, bits in INTEGER_RUNS if -1 << bits <= least and most < 1 << bits), None)
        else:
            tag = None
        if tag is None:
            return False
        self.tag(tag)
        self.byte_string(struct.pack("<%d%s" % (len(items), RUNS[tag]), *items))
        return True


class Reader(object):
    """Takes items up, one after the other."""

    def __init__(self, body):
        self.body = body if isinstance(body, bytearray) else bytearray(body)
        self.at = 0

    def at_end(self):
        return self.at >= len(self.body)

    def head(self):
        """(major, number); of a simple value the number is the whole first byte."""
        try:
            first = self.body[self.at]
            self.at += 1
            major, low = first >> 5, first & 31
            if major == SIMPLE or low < 24:
                return major, first if major == SIMPLE else low
            width, form = _WIDTHS[low]
            (number,) = struct.unpack_from(form, self.body, self.at) if not PY2 else struct.unpack(form, self._raw(width))
            self.at += width
            return major, number
        except (IndexError, KeyError, struct.error):
            raise Garbled("a body ends in the middle, or holds what is no item")

    def _raw(self, width):
        return bytes(self.body[self.at : self.at + width])

    def number_of(self, wanted):
        major, number = self.head()
        if major != wanted:
            raise Garbled("an item of the kind %d stands where one of the kind %d should" % (major, wanted))
        return number

    def array(self):
        return self.number_of(ARRAY)

    def uint(self):
        return self.number_of(UINT)

    def taken(self, length):
        if length > len(self.body) - self.at:
            raise Garbled("a string is longer than its message")
        start, self.at = self.at, self.at + length
        return bytes(self.body[start : self.at])

    def text(self):
        return as_text(self.taken(self.number_of(STRING)))

    def float(self):
        return struct.unpack(">d", self.taken(8))[0]

    def run(self, tag):
        """The numbers behind the tag of a run, as a tuple."""
        data = self.taken(self.number_of(BYTES))
        width = struct.calcsize("<" + RUNS[tag])
        if len(data) % width:
            raise Garbled("%d bytes are not so many numbers of %d bytes" % (len(data), width))
        return struct.unpack("<%d%s" % (len(data) // width, RUNS[tag]), data)

    def skip(self, given=None):
        """Pass over one item. What it gives out is added to `given`, since nobody will give that back later."""
        left = 1
        while left:
            left -= 1
            major, number = self.head()
            if major in (BYTES, STRING):
                self.taken(number)
            elif major == ARRAY:
                left += number
            elif major == MAP:
                left += 2 * number
            elif major == SIMPLE and number == 0xFB:
                self.taken(8)
            elif major == TAG:
                left += 1
                if given is not None and number in (MINE, VALUED, EXCEPTION):
                    at = self.at
                    self.array()
                    given.append((self.uint(), 1))
                    self.at = at


def as_text(raw):
    """A text of the wire: the native `str`, and in Python 2 `unicode` where that cannot hold it."""
    if PY2:
        try:
            raw.decode("ascii")
        except UnicodeDecodeError:
            return raw.decode("utf-8")
        return raw
    return raw.decode("utf-8")


def is_ascii(raw):
    try:
        raw.decode("ascii")
    except UnicodeDecodeError:
        return False
    return True


# ---- table: what was given out ----------------------------------------------------------------------------------------


class Table(object):
    """Objects by the ids under which the parent knows them. An id is never used again."""

    def __init__(self):
        self.lock = RLock()
        self.objects = {}
        # By address; an entry lives as long as the table holds the object.
        self.ids = {}
        self.pinned = set()
        self.next = 1

    def give(self, obj):
        """The id of an object, given out once more."""
        with self.lock:
            number = self.ids.get(id(obj))
            if number is None:
                number, self.next = self.next, self.next + 1
                self.objects[number] = [obj, 0]
                self.ids[id(obj)] = number
            self.objects[number][1] += 1
            return number

    def pin(self, cls):
        """The number of a class, which stays from now on."""
        with self.lock:
            number = self.ids.get(id(cls))
            if number not in self.pinned:
                number = self.give(cls)
                self.pinned.add(number)
            return number

    def find(self, number):
        used(number)
        try:
            return self.objects[number][0]
        except KeyError:
            raise Garbled("no object here has the id %d" % number)

    def take_back(self, number, count):
        """Given back so many times. The object is returned if that was all, so that nothing of its end runs in here."""
        with self.lock:
            entry = self.objects.get(number)
            if entry is None or entry[1] < count:
                raise Garbled("the id %d was given back more often than it was given out" % number)
            entry[1] -= count
            if entry[1]:
                return None
            del self.objects[number]
            del self.ids[id(entry[0])]
            return entry[0]

    def __len__(self):
        return len(self.objects) - len(self.pinned)


TABLE = Table()
# What crossed by its name, by address: it may come back by it.
NAMED_OBJECTS = {}


# ---- which objects are values ------------------------------------------------------------------------------------------

PLAIN_BASES = (str, bytes, int, float, complex, tuple, frozenset) + ((long, TEXT) if PY2 else ())  # noqa: F821
IMMUTABLE = frozenset(PLAIN_BASES + (slice, RANGE))
CONTAINERS = (list, dict, set, bytearray)
KINDS = {list: LIST, dict: DICT, set: SET, bytearray: BYTEARRAY}
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
METHOD_TYPES = tuple(
    type(example) for example in (str.join, object.__init__, dict.__dict__["fromkeys"])
)
# The interpreter's own types that are not to be found in `builtins`: as they are called in `types`, by every version that may ask.
HIDDEN_TYPES = {}
for _name in (
    "FunctionType CodeType MappingProxyType SimpleNamespace CellType GeneratorType CoroutineType AsyncGeneratorType MethodType "
    "BuiltinFunctionType WrapperDescriptorType MethodWrapperType MethodDescriptorType ClassMethodDescriptorType ModuleType "
    "TracebackType FrameType GetSetDescriptorType MemberDescriptorType GenericAlias UnionType EllipsisType NoneType "
    "NotImplementedType"
).split():
    if isinstance(getattr(types, _name, None), type):
        HIDDEN_TYPES[getattr(types, _name)] = _name
# Of these a parent lets itself be named only those that it has named: a child could have it run code.
MAKERS_OF_CODE = frozenset(each for each in HIDDEN_TYPES if HIDDEN_TYPES[each] in ("CodeType", "FunctionType", "CellType"))
HIDDEN_TYPES.update({type(None): "NoneType", type(NotImplemented): "NotImplementedType", type(Ellipsis): "EllipsisType"})

# The types of the language that the parent has, where its interpreter is another one: pairs of module and name.
LANGUAGE = []
# Names that mean the same under another name in Python 3, which every parent is.
_TO_WIRE = {"unicode": "str", "long": "int", "xrange": "range"}
_FROM_WIRE = {"bytes": "str", "range": "xrange"}
# Exceptions that are one there and another one here.
_NEAREST = {"ModuleNotFoundError": ImportError, "RecursionError": RuntimeError, "StopAsyncIteration": StopIteration}


def module_there(module):
    """How the parent calls a module of this interpreter."""
    if PY2 and module in ("__builtin__", "exceptions"):
        return "builtins"
    return "pathlib" if module in ("pathlib._local", "pathlib._abc") else module


def find(module, qualname):
    """What is loaded here under this name, or None. Nothing is imported, no user's code runs."""
    if module == "builtins":
        obj = builtins
        if PY2:
            qualname = _FROM_WIRE.get(qualname, qualname)
    else:
        obj = types if module == "types" else sys.modules.get(module)
    for part in qualname.split("."):
        if is_class(obj):
            space = obj.__dict__ if type(obj) is OLD_CLASS else raw_dict(obj)
        elif isinstance(obj, types.ModuleType):
            space = vars(obj)
        else:
            return None
        if part not in space:
            return None
        obj = space[part]
    return obj


raw_dict = type.__dict__["__dict__"].__get__
raw_order = type.__dict__["__mro__"].__get__


def is_class(obj):
    return issubclass(type(obj), type) or (PY2 and type(obj) is OLD_CLASS)


def class_of(obj):
    """The class of an object; the one that its user made of an instance of an old-style class."""
    return obj.__class__ if PY2 and type(obj) is OLD_INSTANCE else type(obj)


def order_of(cls):
    if PY2 and type(cls) is OLD_CLASS:
        found = [cls]
        for base in cls.__bases__:
            found += [each for each in order_of(base) if each not in found]
        return tuple(found)
    return raw_order(cls)


def names_in(cls):
    return cls.__dict__ if PY2 and type(cls) is OLD_CLASS else raw_dict(cls)


def module_of(cls):
    module = getattr(cls, "__module__", None)
    return module_there(module) if isinstance(module, str) else "builtins"


def qualname_of(cls):
    return getattr(cls, "__qualname__", None) or cls.__name__


def name_of(obj):
    """The (module, qualified name) under which the parent has `obj` as well, or None."""
    if isinstance(obj, type):
        module, qualname = module_of(obj), qualname_of(obj)
        if module == "builtins":
            if (PY2 and obj in (str, TEXT) + INTEGERS) or obj is RANGE:
                return "builtins", _TO_WIRE.get(qualname, qualname)
            if vars(builtins).get(qualname) is obj:
                return is_there(module, qualname, obj)
        if obj in HIDDEN_TYPES and (obj not in MAKERS_OF_CODE or id(obj) in NAMED_OBJECTS):
            # One that is of the module `types` is not in the parent's list of those of the language.
            name = is_there("types", HIDDEN_TYPES[obj], obj)
            if name is not None:
                return name
    elif not is_class(obj) and type(obj) in METHOD_TYPES and id(obj) in NAMED_OBJECTS:
        return ("builtins", qualname_of(obj)) if find("builtins", qualname_of(obj)) is obj else None
    if id(obj) not in NAMED_OBJECTS:
        return None
    module, qualname = module_of(obj), qualname_of(obj)
    return (module, qualname) if find(module, qualname) is obj else None


def is_there(module, qualname, obj):
    """The name of a type of the language, if the parent's version has it, too."""
    if LANGUAGE and (module, qualname) not in LANGUAGE[0]:
        return None
    # It may come back by that name.
    NAMED_OBJECTS[id(obj)] = obj
    return module, qualname


def resolve(module, qualname):
    """The class or function that the parent named."""
    obj = find(module, qualname)
    if obj is None and module == "builtins":
        obj = _NEAREST.get(qualname)
    if obj is None:
        try:
            __import__(module)
            obj = sys.modules[module]
            for part in qualname.split("."):
                obj = getattr(obj, part)
        except (ImportError, AttributeError):
            if not LANGUAGE:
                raise
            # The parent's version of the module has more than this one.
            return LINK.call(0, ("object", module, qualname), {})
    NAMED_OBJECTS[id(obj)] = obj
    return obj


def python_version():
    return sys.version.split()[0]


def base_of(cls):
    """The immutable built-in whose value the instances of `cls` have; also `datetime.tzinfo`, of which C code demands a real one."""
    for base in order_of(cls):
        if base in PLAIN_BASES or (base.__name__ == "tzinfo" and base.__module__ == "datetime"):
            return base
    return None


def base_name(base):
    """How the parent calls it."""
    return _TO_WIRE.get(base.__name__, base.__name__)


_PLAIN = {
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    int: int.__pos__,
    float: float.__pos__,
    complex: complex.__pos__,
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    frozenset: lambda value: frozenset.__or__(value, frozenset()),
}
if PY2:
    _PLAIN.update({str: lambda value: str.__getitem__(value, slice(None)), long: long.__pos__})  # noqa: F821
    _PLAIN[TEXT] = lambda value: TEXT.__getitem__(value, slice(None))


def plain(value):
    """The value of an instance of a subclass of such a built-in, as exactly that; None of a `tzinfo`."""
    base = base_of(type(value))
    if base not in _PLAIN:
        return None
    made = _PLAIN[base](value)
    if type(made) is not base:
        # `str.__str__` returns the object itself where there is nothing to copy.
        made = base().join([made]) if base in (str, TEXT) else base.__new__(base, made)
    if PY2 and base is str and not is_ascii(made):
        # A class is that of a text or of bytes, and texts it is called.
        try:
            return made.decode("utf-8")
        except UnicodeDecodeError:
            return made.decode("latin-1")
    return made


# ---- values of the standard library, by their parts --------------------------------------------------------------------


def _datetime_parts(value):
    parts = ("datetime", value.year, value.month, value.day, value.hour, value.minute, value.second)
    return parts + (value.microsecond, value.tzinfo, getattr(value, "fold", 0))


def _time_parts(value):
    parts = ("time", value.hour, value.minute, value.second, value.microsecond, value.tzinfo)
    return parts + (getattr(value, "fold", 0),)


def _fraction_parts(value):
    numerator, denominator = value.numerator, value.denominator
    return ("fraction", numerator, denominator) if {type(numerator), type(denominator)} <= set(INTEGERS) else None


def _text_parts(kind):
    return lambda value: (kind, str(value))


KNOWN_PARTS = {
    ("datetime", "date"): lambda value: ("date", value.year, value.month, value.day),
    ("datetime", "time"): _time_parts,
    ("datetime", "datetime"): _datetime_parts,
    ("datetime", "timedelta"): lambda value: ("timedelta", value.days, value.seconds, value.microseconds),
    # It tells a name that was given from one that is made up.
    ("datetime", "timezone"): lambda value: ("timezone",) + value.__getinitargs__(),
    ("zoneinfo", "ZoneInfo"): lambda value: ("zoneinfo", value.key) if value.key is not None else None,
    ("decimal", "Decimal"): _text_parts("decimal"),
    ("fractions", "Fraction"): _fraction_parts,
    ("uuid", "UUID"): _text_parts("uuid"),
    ("pathlib", "PosixPath"): _text_parts("path"),
    ("pathlib", "PurePosixPath"): _text_parts("purepath"),
    ("pathlib", "PureWindowsPath"): _text_parts("windowspath"),
    ("ipaddress", "IPv4Address"): lambda value: ("ipv4", int(value)),
    ("ipaddress", "IPv6Address"): _text_parts("ipv6"),
    ("ipaddress", "IPv4Network"): _text_parts("ipv4net"),
    ("ipaddress", "IPv6Network"): _text_parts("ipv6net"),
    ("ipaddress", "IPv4Interface"): _text_parts("ipv4if"),
    ("ipaddress", "IPv6Interface"): _text_parts("ipv6if"),
}
KNOWN_CLASSES = {
    "date": ("datetime", "date"),
    "time": ("datetime", "time"),
    "datetime": ("datetime", "datetime"),
    "timedelta": ("datetime", "timedelta"),
    "timezone": ("datetime", "timezone"),
    "zoneinfo": ("zoneinfo", "ZoneInfo"),
    "decimal": ("decimal", "Decimal"),
    "fraction": ("fractions", "Fraction"),
    "uuid": ("uuid", "UUID"),
    "path": ("pathlib", "PosixPath"),
    "purepath": ("pathlib", "PurePosixPath"),
    "windowspath": ("pathlib", "PureWindowsPath"),
    "ipv4": ("ipaddress", "IPv4Address"),
    "ipv6": ("ipaddress", "IPv6Address"),
    "ipv4net": ("ipaddress", "IPv4Network"),
    "ipv6net": ("ipaddress", "IPv6Network"),
    "ipv4if": ("ipaddress", "IPv4Interface"),
    "ipv6if": ("ipaddress", "IPv6Interface"),
}


def known_name(cls):
    """The name of a class whose exact instances are standard values, or None."""
    if not isinstance(cls, type) or isinstance(cls, RemoteMeta):
        return None
    name = module_of(cls), qualname_of(cls)
    return name if name in KNOWN_PARTS and find(*name) in (cls, None) else None


def is_enum(cls):
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(cls, getattr(enum, "EnumMeta", ()))


def known_parts(obj):
    """(kind, part, ...) of a standard value, or None if this one has no such form."""
    cls = type(obj)
    if is_enum(cls):
        # By itself too: the parent may not have the class.
        return "enum", cls, getattr(obj, "_name_", None), ByReference(obj)
    return KNOWN_PARTS[known_name(cls)](obj)


def known_value(kind, *parts):
    """The value of these parts."""
    if kind == "enum":
        return _enum_member(*parts)
    if kind not in KNOWN_CLASSES:
        raise LookupError("the parent sent a value of the unknown kind %r" % (kind,))
    module, name = KNOWN_CLASSES[kind]
    try:
        make = getattr(__import__(module, None, None, [NATIVE(name)]), name)
    except (ImportError, AttributeError):
        if kind != "timezone":
            raise LookupError("the parent sent a %s.%s, which Python %s has not" % (module, name, python_version()))
        make = _timezone_class()
    if kind in ("datetime", "time"):
        value = make(*parts[:-1])
        return value.replace(fold=1) if parts[-1] and hasattr(value, "fold") else value
    return make(*parts)


def _enum_member(cls, name, member):
    """The member here, where the class is here; else the proxy of the parent's."""
    if is_enum(cls) and not isinstance(type(member), RemoteMeta):
        return member
    if is_enum(cls):
        found = cls._member_map_.get(name) if name is not None else None
        if found is not None:
            return found
        if issubclass(cls, getattr(sys.modules["enum"], "Flag", ())):
            return cls(int(member.value))
    return member


def _timezone_class():
    """What `datetime.timezone` is elsewhere, for an interpreter that has none."""
    import datetime

    found = vars(datetime).get("timezone") or _MADE.get("timezone")
    if found is None:

        class timezone(datetime.tzinfo):
            """A fixed offset from UTC."""

            def __init__(self, offset, name=None):
                self._offset, self._name = offset, name

            def __getinitargs__(self):
                return (self._offset,) if self._name is None else (self._offset, self._name)

            def utcoffset(self, _when):
                return self._offset

            def dst(self, _when):
                return None

            def tzname(self, _when):
                minutes = (self._offset.days * 86400 + self._offset.seconds) // 60
                sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
                return self._name or ("UTC" if not minutes else "UTC%s%02d:%02d" % (sign, minutes // 60, minutes % 60))

            def __eq__(self, other):
                return isinstance(other, timezone) and self._offset == other._offset

            def __ne__(self, other):
                return not self == other

            def __hash__(self):
                return hash(self._offset)

        timezone.__module__ = "datetime"
        found = _MADE["timezone"] = timezone
    return found


_MADE = {}


# ---- pickle: from the parent, which is trusted; to it only where it asks for that ---------------------------------------


def unpickle(data, buffers=()):
    """What the parent pickled. Proxies of this process in it are the objects themselves."""
    import io
    import pickle

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if module.startswith("saranwrap.") and name in _HOMECOMERS:
                return _HOMECOMERS[name]
            return pickle.Unpickler.find_class(self, module, name)

    if PY2:
        # Texts are what texts are here.
        Unpickler.dispatch = dict(pickle.Unpickler.dispatch)
        Unpickler.dispatch[pickle.BINUNICODE] = _load_text
    made = Unpickler(io.BytesIO(data), buffers=buffers) if buffers else Unpickler(io.BytesIO(data))
    try:
        return made.load()
    except (ImportError, AttributeError) as error:
        if LANGUAGE:
            note = "This was unpickled by Python %s (%s)." % (python_version(), sys.executable)
            space_of(error).setdefault("__notes__", []).append(note)
        raise


def _load_text(unpickler):
    (length,) = struct.unpack("<i", unpickler.read(4))
    unpickler.append(as_text(unpickler.read(length)))


def _came_home(number):
    return TABLE.find(number)


def _loads_with_code(magic, data):
    """What cloudpickle has pickled, where its code can run."""
    import pickle

    if PY2:
        import imp

        own_magic = imp.get_magic()
    else:
        from importlib.util import MAGIC_NUMBER as own_magic
    here = "Python %s (%s)" % (python_version(), sys.executable)
    if magic != own_magic:
        raise Refused(
            "code that goes by value was compiled by another version of Python and cannot run in %s: "
            "put it into a module that can be imported there" % here
        )
    try:
        import cloudpickle
    except ImportError:
        raise Refused("code that goes by value needs cloudpickle in %s, too" % here)
    del cloudpickle
    return pickle.loads(data)


_HOMECOMERS = {"came_home": _came_home, "loads_with_code": _loads_with_code}


def pickled(obj):
    """For a parent that trusts this process."""
    import pickle

    return pickle.dumps(obj, min(pickle.HIGHEST_PROTOCOL, 5))


# ---- convert: objects to bytes. By value or by reference is decided here -------------------------------------------------

REFERENCE, BY_NAME, BY_PARTS, WITH_VALUE = range(4)
NORMAL, SHALLOW, COPY, TRUSTED_COPY = range(4)


class ByReference(object):
    """Sends an object by reference whatever it is."""

    def __init__(self, obj):
        self.obj = obj


def route(obj):
    """How an object crosses that is no plain value."""
    cls = type(obj)
    if is_enum(cls) or known_name(cls) is not None:
        return BY_PARTS
    if cls is types.BuiltinFunctionType or cls in METHOD_TYPES:
        return BY_NAME
    if cls is not OLD_INSTANCE and base_of(cls) is not None:
        return WITH_VALUE
    return REFERENCE


def is_immutable(obj):
    """A value that nobody can tell from its copy, but by its identity."""
    return type(obj) in IMMUTABLE or known_name(type(obj)) is not None


def is_for_asker(obj):
    """Whether a callable is the parent's own, or one that it has under its name: not to be called on this side."""
    if isinstance(type(obj), RemoteMeta):
        return True
    if is_class(obj):
        local = isinstance(obj, type) and (issubclass(obj, BaseException) or is_enum(obj))
        return local or number_of_mirror(obj) is not None or name_of(obj) is not None
    if type(obj) in (types.FunctionType, types.MethodType):
        return False
    how = route(obj)
    if how == BY_NAME:
        return id(obj) in NAMED_OBJECTS and name_of(obj) is not None
    return how != REFERENCE or type(obj) in TWINS


def is_asked_here(obj, loans):
    """Whether an attribute of this object means the same to the parent as here: it would be given an id, and ask by that."""
    plain = type(obj) in _WRITERS or is_class(obj) or is_proxy(obj) or isinstance(obj, BaseException) or handle_of(obj) is not None
    return not plain and id(obj) not in loans.by_address and type(obj) not in TWINS and route(obj) == REFERENCE


class Encoder(object):
    """Writes one message."""

    def __init__(self, loans, held, arguments=(), answers=False):
        self.out = Writer()
        # Proxies that are named in it: one must not give its id back before the message has gone.
        self.held = held
        self.loans = loans
        self.mode = NORMAL
        # Those of the call that this answers: an immutable one that comes back is named, which keeps its identity.
        self.arguments = arguments
        self.answers = answers
        self.depth = 0
        # What was given out in this message, to take back should it never leave.
        self.given = []
        self.given_away = {}
        # Exceptions on the way down, so that a cycle of causes ends.
        self.raising = []

    def take_back(self, length=0, given=0):
        """What was written since then will not be sent."""
        del self.out.bytes[length:]
        gone = [TABLE.take_back(number, 1) for number in self.given[given:]]
        del self.given[given:]
        del gone

    def value(self, obj):
        if self.depth >= MAX_DEPTH:
            raise RuntimeError("maximum recursion depth exceeded while sending an object")
        self.depth += 1
        try:
            self._dispatch(obj)
        finally:
            self.depth -= 1

    def values(self, items):
        self.out.array(len(items))
        for item in items:
            self.value(item)

    def row(self, items):
        """The items of a list or a tuple."""
        if not self._holds_argument(items) and self.out.numbers(items):
            return
        self.values(items)

    def _holds_argument(self, items):
        """Whether a number that was an argument is among many items: it goes by its place there. Small integers are one anyway."""
        if not self.arguments or len(items) < MANY:
            return False
        numbers = [arg for arg in self.arguments if type(arg) is float or (type(arg) in INTEGERS and not -5 <= arg <= 256)]
        return any(item is number for number in numbers for item in items)

    def positional(self, args):
        """The arguments of a call. An immutable object that is given twice arrives as one."""
        self.out.array(len(args))
        for place, arg in enumerate(args):
            earlier = next((at for at in range(place) if args[at] is arg), None)
            if earlier is not None and is_immutable(arg):
                self.out.tag(ARGUMENT)
                self.out.uint(earlier)
            else:
                self.value(arg)

    def keywords(self, kwargs):
        self.out.map(len(kwargs))
        for name, value in kwargs.items():
            self.value(name)
            self.value(value)

    def _dispatch(self, obj):
        for place, argument in enumerate(self.arguments):
            if argument is obj and is_immutable(obj):
                self.out.tag(ARGUMENT)
                self.out.uint(place)
                return
        write = _WRITERS.get(type(obj))
        if write is None:
            self._uncommon(obj)
        else:
            write(self, obj)

    def _text(self, value):
        try:
            raw = value.encode("utf-8")
            if PY2:
                # Python 2 lets lone surrogates pass.
                raw.decode("utf-8")
                if any(u"\ud800" <= letter <= u"\udfff" for letter in value) and sys.maxunicode > 0xFFFF:
                    raise UnicodeError
        except UnicodeError:
            self.out.tag(SURROGATES)
            self.out.byte_string(value.encode("utf-8") if PY2 else value.encode("utf-8", "surrogatepass"))
            return
        self.out.head(STRING, len(raw))
        self.out.bytes += raw

    def _old_string(self, value):
        """A `str` of Python 2 is a text where that can be, and else bytes."""
        if is_ascii(value):
            self.out.head(STRING, len(value))
            self.out.bytes += value
        else:
            self.out.byte_string(value)

    def _singleton(self, tag):
        self.out.tag(tag)
        self.out.null()

    def _frozenset(self, value):
        self.out.tag(FROZENSET)
        self.values(list(value))

    def _complex(self, value):
        self.out.tag(COMPLEX)
        self.out.array(2)
        self.out.float(value.real)
        self.out.float(value.imag)

    def _slice(self, value):
        self.out.tag(SLICE)
        self.values((value.start, value.stop, value.step))

    def _range(self, value):
        self.out.tag(RANGE_TAG)
        if PY2:
            # One of Python 2 keeps its limits to itself.
            _, parts = value.__reduce__()
            self.values(parts)
        else:
            self.values((value.start, value.stop, value.step))

    def _uncommon(self, obj):
        cls = type(obj)
        if is_proxy(obj):
            return self.proxy(obj)
        number = self.given_away.get(id(obj))
        if number is None:
            number = self.loans.by_address.get(id(obj))
        if number is not None:
            if self.answers and self.loans.is_kept(number):
                # It was put away: it is an object of this side now, and the caller's own is its former self.
                return self.reference(obj)
            self.out.tag(SAME)
            self.out.uint(number)
            return None
        if is_class(obj):
            return self.cls(obj)
        if isinstance(obj, BaseException):
            return self.exception(obj)
        handle = handle_of(obj)
        if handle is not None:
            return self.proxy(handle)
        if cls in KINDS and (self.mode >= COPY or (self.mode == SHALLOW and self.depth == 1)):
            return self._container(obj)
        if self.mode >= COPY and is_array(obj):
            parts = array_parts(obj)
            if parts is not None:
                return self._array(obj, parts)
        return self._other(obj)

    def _give_away(self, obj, tag):
        number = self.given_away[id(obj)] = WITHIN_MESSAGE + len(self.given_away)
        self.out.tag(tag)
        self.out.array(2)
        self.out.uint(number)

    def _container(self, obj):
        """The mutable built-ins, for a parent that asked for a copy."""
        self._give_away(obj, KINDS[type(obj)])
        if type(obj) is bytearray:
            self.out.byte_string(obj)
        elif type(obj) is dict:
            items = list(obj.items())
            self.out.map(len(items))
            for key, value in items:
                self.value(key)
                self.value(value)
        elif type(obj) is list:
            self.row(list(obj))
        else:
            self.values(list(obj))

    def _array(self, obj, parts):
        self._give_away(obj, NDARRAY)
        writable, order, kind, shape, flat = parts
        self.out.array(5)
        self.out.bool(writable)
        self.out.text(order)
        self.value(kind)
        self.value(shape)
        self.out.byte_string(flat.tobytes())

    def _other(self, obj):
        if type(obj) is ByReference:
            return self.reference(obj.obj)
        if type(obj) in (types.TracebackType, Frames):
            self.out.tag(TRACEBACK)
            return self.value(obj.places if type(obj) is Frames else frames(obj))
        how = route(obj)
        if how == BY_PARTS:
            parts = known_parts(obj)
            if parts is None:
                return self.reference(obj)
            self.out.tag(KNOWN)
            return self.values(parts)
        if how == BY_NAME and self._named(obj):
            return None
        if how == WITH_VALUE and self.mode == NORMAL:
            return self._valued(obj)
        if self.mode < COPY:
            return self.reference(obj)
        return self._copied(obj)

    def proxy(self, obj):
        self.held.append(obj)
        self.out.tag(THEIRS)
        self.out.uint(id_of(obj))

    def _named(self, obj):
        name = name_of(obj)
        if name is None:
            return False
        self.out.tag(NAMED)
        self.out.array(2)
        self.out.text(name[0])
        self.out.text(name[1])
        return True

    def cls(self, obj):
        number = number_of_mirror(obj)
        if number is not None:
            self.out.tag(THEIRS)
            self.out.uint(number)
        elif not self._named(obj):
            if self.mode >= COPY:
                self._copied(obj)
            else:
                self._class_by_number(obj)

    def _class_by_number(self, obj):
        self.out.tag(CLASS)
        self.out.uint(TABLE.pin(obj))

    def reference(self, obj):
        """An object by reference whatever it is."""
        if is_class(obj):
            return self._class_by_number(obj)
        if type(obj) is not OLD_INSTANCE and base_of(type(obj)) is not None:
            return self._valued(obj)
        self._give(obj, MINE, 2)
        return None

    def _valued(self, obj):
        """By reference, with the value that it has as one of the language's own."""
        value = plain(obj)
        self._give(obj, VALUED, 3)
        self.value(value)

    def _give(self, obj, tag, parts):
        number = TABLE.give(obj)
        self.given.append(number)
        cls = TABLE.pin(class_of(obj))
        self.out.tag(tag)
        self.out.array(parts)
        self.out.uint(number)
        self.out.uint(cls)

    def _copied(self, obj):
        if self.mode != TRUSTED_COPY:
            kind = "%s.%s" % (module_of(type(obj)), qualname_of(type(obj)))
            raise NotTransparent(
                "cannot fetch a `%s` by value: only plain data crosses without pickle; wrap with trust=True to allow it"
                % kind.replace("builtins.", "")
            )
        data = pickled(obj)
        self.out.tag(PICKLE)
        self.out.array(2)
        self.out.uint(0)
        self.out.byte_string(data)

    def exception(self, exc, raised=False, traceback=None):
        """An exception: its class, what it carries, its causes and its traceback, and an id so that it can come home."""
        if any(exc is outer for outer in self.raising):
            self.out.null()
            return
        parts = exception_parts(exc, traceback)
        self.raising.append(exc)
        self.out.tag(EXCEPTION)
        self.out.array(len(parts) + 1)
        # One that goes home has its id among the parts; the end of an iteration needs none.
        if is_proxy(parts[0]) or (raised and type(exc) is StopIteration):
            self.out.uint(0)
        else:
            number = TABLE.give(exc)
            self.given.append(number)
            self.out.uint(number)
        for part in parts:
            self.value(part)
        self.raising.pop()

    def buffer(self, obj):
        """What an object lends by the buffer protocol, as one contiguous copy."""
        order, form, size, shape, data = lent(obj)
        self.out.tag(BUFFER)
        self.out.array(5)
        self.out.text(order)
        self.out.text(form)
        self.out.uint(size)
        self.out.array(len(shape))
        for side in shape:
            self.out.uint(side)
        self.out.byte_string(data)

    def trailer(self, changes, news, left=None):
        """What follows a message's own value; absent when empty."""
        if not changes and not news and left is None:
            return
        # Inside a change a lent container is named by its number, kept or not: it is the caller's own that it belongs to.
        self.answers = False
        self.out.array(2 if left is None else 3)
        self.out.array(len(changes))
        for change in changes:
            self.change(*change)
        self.out.array(len(news))
        for module in news:
            self.out.text(module)
        if left is not None:
            self.out.uint(max(0, int(left * 1e6)))
        for change in changes:
            self.loans.settle(change[0])

    def change(self, number, content, before):
        self.out.array(2)
        self.out.uint(number)
        if isinstance(content, bytes):
            self.out.byte_string(content)
            return
        if isinstance(content, Whole):
            self.out.array(1)
            self.out.array(2)
            self.out.uint(0)
            self.out.byte_string(content.data)
            return
        self.out.array(len(content))
        for item in content:
            place = before.get(id(item))
            if place is None:
                self.value(item)
            else:
                # An item that both sides knew goes by its old place, which keeps its identity there.
                self.out.bytes += _PLACES[place] if place < len(_PLACES) else marked(place)


def marked(place):
    out = Writer()
    out.tag(MARKED)
    out.uint(place)
    return bytes(out.bytes)


# A dict that came and goes back with one change has all the others.
_PLACES = [marked(place) for place in range(256)]
_WRITERS = {
    type(None): lambda self, value: self.out.null(),
    bool: lambda self, value: self.out.bool(value),
    int: lambda self, value: self.out.integer(value),
    float: lambda self, value: self.out.float(value),
    tuple: lambda self, value: self.row(value),
    TEXT: Encoder._text,
    bytes: Encoder._old_string if PY2 else lambda self, value: self.out.byte_string(value),
    frozenset: Encoder._frozenset,
    complex: Encoder._complex,
    type(Ellipsis): lambda self, value: self._singleton(ELLIPSIS),
    type(NotImplemented): lambda self, value: self._singleton(NOT_IMPLEMENTED),
    slice: Encoder._slice,
    RANGE: Encoder._range,
}
if PY2:
    _WRITERS[long] = _WRITERS[int]  # noqa: F821


def lent(obj):
    """(order, format, item size, sides, bytes) of what an object lends."""
    try:
        view = memoryview(obj)
    except TypeError:
        if not PY2:
            raise
        view = memoryview(bytes(buffer(obj)))  # noqa: F821
    shape = tuple(view.shape) if view.shape is not None else (len(view),)
    # Before 3.8 they can only be had in the order of C.
    if sys.version_info >= (3, 8) and view.f_contiguous and not view.c_contiguous:
        return "F", view.format, view.itemsize, shape, view.tobytes("A")
    return "C", view.format, view.itemsize, shape, view.tobytes()


def looked_at(order, form, size, shape, data):
    """What an object of the parent's lends, as a memoryview with its items and sides."""
    if PY2:
        return data
    if order == "F" and sum(side > 1 for side in shape) > 1:
        raise NotTransparent("the portable child cannot look at a buffer in the order of Fortran: give it in that of C")
    own = form.lstrip("@" if form[:1] == "@" else "=<" if sys.byteorder == "little" else "=>!")
    try:
        if struct.calcsize(own) != size:
            own = {"l": "i", "L": "I"}[own]
        if not data:
            # No view without items can be cast.
            from array import array

            return memoryview(array(own))
        return memoryview(data).cast(own, shape)
    except (LookupError, TypeError, ValueError, struct.error):
        # Of items that this version knows no view of, their bytes.
        return memoryview(data)


# ---- convert: bytes to objects -------------------------------------------------------------------------------------------


class Decoder(object):
    """Reads one message."""

    def __init__(self, body, loans, arguments=None):
        self.reader = Reader(body)
        self.loans = loans
        # Those of the call that this answers, or of the call that this is, as far as they are read.
        self.arguments = [] if arguments is None else arguments
        self.given_away = {}
        # The loans that the message speaks of.
        self.mentioned = []
        # How long the asker waits, in seconds, if not for ever.
        self.left = None
        self.promises = []
        self.failed = None
        self.named = 0
        # Arguments in which a promise stood: the parent has others in their places.
        self.completed = set()

    def value(self):
        major, number = self.reader.head()
        if major == UINT:
            return number
        if major == STRING:
            return as_text(self.reader.taken(number))
        if major == SIMPLE:
            return self._simple(number)
        if major == ARRAY:
            return tuple([self.value() for _ in range(number)])
        if major == NINT:
            return -1 - number
        if major == BYTES:
            return self.reader.taken(number)
        if major == MAP:
            return self._keywords(number)
        reader = _READERS.get(number)
        if reader is None:
            raise Garbled("tag %d is not a value's" % number)
        return reader(self)

    def _simple(self, first):
        if first == 0xF6:
            return None
        if first in (0xF4, 0xF5):
            return first == 0xF5
        if first == 0xFB:
            return self.reader.float()
        raise Garbled("an unknown simple value")

    def pair(self):
        if self.reader.array() != 2:
            raise Garbled("a pair does not have 2 parts")

    def _keywords(self, count):
        kwargs = {}
        for _ in range(count):
            name = self.value()
            kwargs[name] = self.an_argument()
        return kwargs

    def positional(self):
        """The positional arguments of a call: one may be named by the place of an earlier one."""
        for _ in range(self.reader.array()):
            self.arguments.append(self.an_argument())
        return tuple(self.arguments)

    def an_argument(self):
        named = self.named
        value = self.value()
        if self.named > named:
            self.completed.add(id(value))
        return value

    def _integer(self, tag):
        raw = self.reader.taken(self.reader.number_of(BYTES))
        number = 0
        if PY2:
            number = int(raw.encode("hex") or "0", 16)
        else:
            number = int.from_bytes(raw, "big")
        return number if tag == 2 else -1 - number

    def _loan(self, kind):
        """It is noted before its items are read, since they may refer to it."""
        self.pair()
        number = self.reader.uint()
        made = kind() if kind is not bytearray else bytearray(self.bulk())
        if number >= WITHIN_MESSAGE:
            self.given_away[number] = made
        else:
            self.loans.borrow(number, made)
            self.mentioned.append(number)
        if kind is list:
            major, count = self.reader.head()
            if major == TAG and count in RUNS:
                made.extend(self.reader.run(count))
            elif major == ARRAY:
                for _ in range(count):
                    made.append(self.value())
            else:
                raise Garbled("a list is not made of items")
        elif kind is dict:
            for _ in range(self.reader.number_of(MAP)):
                key = self.value()
                made[key] = self.value()
        elif kind is set:
            for _ in range(self.reader.array()):
                made.add(self.value())
        self.loans.settle(number)
        return made

    def bulk(self):
        """Bytes. Where there is no arena they are never anywhere else."""
        return self.reader.taken(self.reader.number_of(BYTES))

    def _array(self):
        self.pair()
        number = self.reader.uint()
        if self.reader.array() != 5:
            raise Garbled("an array does not have 5 parts")
        writable, order, kind, shape = self.value(), self.value(), self.value(), self.value()
        made = array_of(writable, order, kind, shape, bytearray(self.bulk()))
        if number >= WITHIN_MESSAGE:
            self.given_away[number] = made
        else:
            self.loans.borrow(number, made)
            self.mentioned.append(number)
            self.loans.settle(number)
        return made

    def _same(self):
        number = self.reader.uint()
        self.mentioned.append(number)
        found = self.given_away.get(number)
        return found if found is not None else self.loans.twin(number)

    def _argument(self):
        place = self.reader.uint()
        if place >= len(self.arguments):
            raise Garbled("the call had no argument %d" % place)
        return self.arguments[place]

    def _theirs(self):
        return TABLE.find(self.reader.uint())

    def _mine(self):
        self.pair()
        number, cls = self.reader.uint(), self.reader.uint()
        return proxy_of(number, cls)

    def _valued(self):
        if self.reader.array() != 3:
            raise Garbled("a valued reference does not have 3 parts")
        number, cls = self.reader.uint(), self.reader.uint()
        return stand_in(number, cls, self.value())

    def _named(self):
        self.pair()
        module, qualname = self.reader.text(), self.reader.text()
        return resolve(module, qualname)

    def _triple(self, cls):
        if self.reader.array() != 3:
            raise Garbled("a slice or range does not have 3 parts")
        return cls(self.value(), self.value(), self.value())

    def _unit(self, value):
        self.value()
        return value

    def _complex(self):
        self.pair()
        return complex(self.value(), self.value())

    def _surrogates(self):
        raw = self.reader.taken(self.reader.number_of(BYTES))
        return raw.decode("utf-8") if PY2 else raw.decode("utf-8", "surrogatepass")

    def _known(self):
        parts = [self.value() for _ in range(self.reader.array())]
        return known_value(*parts)

    def _exception(self):
        count = self.reader.array()
        number = self.reader.uint()
        handle = bare_proxy(number) if number else None
        known = self.loans.exceptions.get(number)
        parts = [self.value() for _ in range(count - 1)]
        exc = build_exception(handle, known, *parts)
        if number:
            self.loans.exceptions[number] = exc
        return exc

    def _pickle(self):
        count = self.reader.array()
        number, data = self.reader.uint(), self.bulk()
        buffers = [bytearray(self.bulk()) for _ in range(self.reader.array())] if count == 3 else ()
        made = unpickle(data, buffers)
        if number:
            self.loans.borrow(number, made)
        return made

    def _buffer(self):
        if self.reader.array() != 5:
            raise Garbled("a buffer does not have 5 parts")
        order, form, size = self.value(), self.value(), self.value()
        shape = [self.reader.uint() for _ in range(self.reader.array())]
        return looked_at(order, form, size, shape, bytes(self.bulk()))

    def _promise(self):
        return self.promised(self.reader.uint())

    def _arrow(self):
        self.reader.skip()
        raise NotTransparent(
            "cannot give columnar data to the portable child by value: give saranwrap.ref(x), or an interpreter that can load the "
            "native child"
        )

    def _block(self):
        raise Garbled("bytes in a block, where there is no arena")

    def trailer(self):
        """What follows the value: changed loans, what is posted, and the time that is left."""
        if self.reader.at_end():
            return
        self.news()
        if not self.reader.at_end():
            raise Garbled("a message goes on after its end")

    def news(self):
        parts = self.reader.array()
        for _ in range(self.reader.array()):
            self._change()
        for _ in range(self.reader.array()):
            posted(self.reader.text())
        if parts == 3:
            self.left = self.reader.uint() / 1e6

    def _change(self):
        self.pair()
        number = self.reader.uint()
        twin = self.loans.twin(number)
        if type(twin) is bytearray:
            twin[:] = self.bulk()
        elif is_array(twin):
            patch_array(twin, [self._patch() for _ in range(self.reader.array())])
        else:
            before = self.loans.agreed_items(number)
            items = []
            for _ in range(self.reader.array()):
                at = self.reader.at
                if self.reader.head() == (TAG, MARKED):
                    items.append(before[self.reader.uint()])
                else:
                    self.reader.at = at
                    items.append(self.value())
            restore(twin, items)
        self.loans.settle(number)

    def _patch(self):
        self.pair()
        return self.reader.uint(), self.bulk()

    def promised(self, place):
        """What a step of a pipeline came to. Of one that failed nothing is left: None stands for it, and `failed` tells."""
        self.named += 1
        if place >= len(self.promises):
            raise Garbled("there is no step %d before this one" % place)
        promise = self.promises[place]
        if promise[0] == "failed":
            if self.failed is None:
                self.failed = promise[1]
            return None
        if promise[0] == "gone":
            raise Garbled("step %d was named oftener than was said" % place)
        obj = promise[1]
        promise[2] -= 1
        if not promise[2]:
            promise[:] = ["gone"]
        return obj


_READERS = {
    2: lambda self: self._integer(2),
    3: lambda self: self._integer(3),
    LIST: lambda self: self._loan(list),
    DICT: lambda self: self._loan(dict),
    SET: lambda self: self._loan(set),
    BYTEARRAY: lambda self: self._loan(bytearray),
    SAME: Decoder._same,
    THEIRS: Decoder._theirs,
    MINE: Decoder._mine,
    CLASS: lambda self: mirror_of(self.reader.uint()),
    NAMED: Decoder._named,
    FROZENSET: lambda self: frozenset([self.value() for _ in range(self.reader.array())]),
    COMPLEX: Decoder._complex,
    ELLIPSIS: lambda self: self._unit(Ellipsis),
    NOT_IMPLEMENTED: lambda self: self._unit(NotImplemented),
    SLICE: lambda self: self._triple(slice),
    RANGE_TAG: lambda self: self._triple(RANGE),
    SURROGATES: Decoder._surrogates,
    KNOWN: Decoder._known,
    EXCEPTION: Decoder._exception,
    TRACEBACK: lambda self: build_traceback(self.value()),
    PICKLE: Decoder._pickle,
    ARGUMENT: Decoder._argument,
    VALUED: Decoder._valued,
    BUFFER: Decoder._buffer,
    NDARRAY: Decoder._array,
    PROMISE: Decoder._promise,
    ARROW: Decoder._arrow,
    BLOCK: Decoder._block,
}
_READERS.update((tag, lambda self, tag=tag: self.reader.run(tag)) for tag in RUNS)


def restore(twin, items):
    """Put the new content into this side's own object."""
    if type(twin) is list:
        twin[:] = items
    elif type(twin) is dict:
        twin.clear()
        for place in range(0, len(items), 2):
            twin[items[place]] = items[place + 1]
    elif type(twin) is set:
        twin.clear()
        twin.update(items)
    else:
        raise Garbled("a loan without content was changed")


# ---- loans: what the parent lent, and what changed in it ------------------------------------------------------------------


class Loan(object):
    __slots__ = ("agreed", "kept", "obj", "references")

    def __init__(self, obj):
        self.obj = obj
        # What it held when both sides last agreed about it; None for what goes home as itself and has no content.
        self.agreed = None
        # How many references there were when it came; None when that says nothing any more.
        self.references = None
        self.kept = False


class Whole(object):
    """All bytes of an array."""

    def __init__(self, data):
        self.data = data


class Loans(object):
    """What one chain of calls has been lent. It ends with the outermost call."""

    def __init__(self):
        self.depth = 0
        self.by_number = {}
        self.by_address = {}
        # Exceptions of the parent on their way through this side: each is one object as long as that takes.
        self.exceptions = {}

    def borrow(self, number, obj):
        self.by_number[number] = Loan(obj)
        self.by_address[id(obj)] = number

    def twin(self, number):
        try:
            return self.by_number[number].obj
        except KeyError:
            raise Garbled("loan %d was never made" % number)

    def settle(self, number):
        """Both sides now hold what the twin holds."""
        loan = self.by_number.get(number)
        if loan is not None:
            loan.agreed = content(loan.obj)

    def agreed_items(self, number):
        agreed = self.by_number[number].agreed
        return agreed if isinstance(agreed, list) else []

    def is_kept(self, number):
        loan = self.by_number.get(number)
        return loan is not None and loan.kept

    def count_references(self, mentioned, passing=None):
        """A message that mentions these is read: count who holds their twins. `passing` holds one that is about to leave."""
        if not COUNTS_REFERENCES:
            return
        for number in mentioned:
            loan = self.by_number.get(number)
            if loan is not None:
                leaving = passing is not None and passing[0] is loan.obj
                loan.references = sys.getrefcount(loan.obj) - leaving

    def note_kept(self, mentioned, result):
        """A call is done: more references to a twin than when it came mean that something keeps it, the result aside.

        `result` is a list with the result in it, so that the result is held but once.
        """
        if not COUNTS_REFERENCES or not self.by_number:
            return
        is_tuple = type(result[0]) is tuple
        for number, loan in list(self.by_number.items()):
            passing = sum(item is loan.obj for item in (result[0] if is_tuple else result))
            if loan.references is not None and sys.getrefcount(loan.obj) - passing > loan.references:
                loan.kept = True
            if number in mentioned:
                # The count includes the arguments of this call, so it says nothing about later ones.
                loan.references = None

    def changes(self, last):
        """(number, content, places) of each that has changed since both sides agreed. The last time the big ones count, too."""
        found = []
        for number in sorted(self.by_number):
            loan = self.by_number[number]
            agreed = loan.agreed
            if agreed is None or (not last and not isinstance(agreed, Whole) and len(loan.obj) > EAGER_ITEMS):
                continue
            now = content(loan.obj)
            if now is None or same_content(agreed, now):
                continue
            places = dict((id(item), place) for place, item in enumerate(agreed)) if isinstance(agreed, list) else {}
            found.append((number, now, places))
        return found

    def part(self, promises):
        """A step of a pipeline is done. What it kept is this side's own from now on, and later steps get copies of what was lent."""
        if not any(loan.kept for loan in self.by_number.values()):
            return
        old = dict((number, loan.obj) for number, loan in self.by_number.items())
        new = {}
        for number, obj in old.items():
            made = type(obj)() if type(obj) in (list, dict, set) else bytearray(obj) if type(obj) is bytearray else obj
            new[id(obj)] = made.copy() if is_array(made) else made
        renewed = lambda item: new.get(id(item), item)  # noqa: E731
        for obj in old.values():
            made = new[id(obj)]
            if type(obj) is list:
                made.extend(renewed(item) for item in obj)
            elif type(obj) is dict:
                made.update((key, renewed(value)) for key, value in obj.items())
            elif type(obj) is set:
                made.update(obj)
        for number, loan in self.by_number.items():
            kept, loan.kept, loan.references = loan.kept, False, None
            before, loan.obj = loan.obj, new[id(loan.obj)]
            if isinstance(loan.agreed, list):
                # Where the agreed content held an old twin it holds the new one, or the caller would be told of a change.
                loan.agreed = [renewed(item) for item in loan.agreed]
            self.by_address.pop(id(before), None)
            self.by_address[id(loan.obj)] = number
            for promise in promises:
                if promise[0] == "object" and promise[1] is before and not kept:
                    promise[1] = loan.obj


def content(obj):
    """What a mutable built-in holds; None where that is not looked at."""
    if type(obj) is list:
        return list(obj)
    if type(obj) is dict:
        return [part for item in obj.items() for part in item]
    if type(obj) is set:
        return list(obj)
    if type(obj) is bytearray:
        return bytes(obj)
    if is_array(obj) and not obj.dtype.hasobject:
        return Whole(flat_of(obj)[1].tobytes())
    return None


def same_content(old, new):
    if isinstance(old, list):
        return len(old) == len(new) and all(one is other for one, other in zip(old, new))
    return old.data == new.data if isinstance(old, Whole) else old == new


class Scopes(object):
    """The loans of each chain, for as long as a thread is in it."""

    def __init__(self):
        self.by_chain = {}

    def enter(self, chain):
        loans = self.by_chain.get(chain)
        if loans is None:
            loans = self.by_chain[chain] = Loans()
        loans.depth += 1
        return loans

    def leave(self, chain):
        loans = self.by_chain[chain]
        loans.depth -= 1
        if not loans.depth:
            # Dropped outside of the map: destructors are foreign code, and may come back here.
            del self.by_chain[chain]


SCOPES = Scopes()


# ---- arrays of numpy, which only those load that are given one --------------------------------------------------------------


def numpy_here():
    module = sys.modules.get("numpy")
    return module if type(module) is types.ModuleType and hasattr(module, "ndarray") else None


def is_array(obj):
    numpy = numpy_here()
    return numpy is not None and type(obj) is numpy.ndarray


def array_parts(array):
    """(writable, order, type, sides, bytes) of an array; None of one of objects, or of somebody's own type."""
    kind = type_parts(array.dtype)
    if kind is None:
        return None
    order, flat = flat_of(array)
    return bool(array.flags.writeable), order, kind, tuple(array.shape), flat


def array_of(writable, order, kind, shape, memory):
    numpy = __import__("numpy")
    array = numpy.ndarray(shape, type_of_parts(numpy, kind), memory, 0, None, NATIVE(order))
    if not writable:
        array.flags.writeable = False
    return array


def flat_of(array):
    """An order, and the bytes in it: the array's own memory where the items lie in one, else a copy."""
    numpy = numpy_here()
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    ordered = array.T if order == "F" else numpy.ascontiguousarray(array)
    if not array.nbytes:
        return order, numpy.empty(0, numpy.uint8)
    return order, ordered.reshape(-1).view(numpy.uint8)


def patch_array(array, patches):
    numpy = numpy_here()
    _, flat = flat_of(array)
    whole = flat if numpy.may_share_memory(flat, array) else flat.copy()
    for start, data in patches:
        whole[start : start + len(data)] = numpy.frombuffer(data, numpy.uint8)
    if not numpy.may_share_memory(whole, array):
        array[...] = whole.view(array.dtype).reshape(array.shape)


def type_parts(dtype):
    """A type as a text, or as a tuple of its parts; None where neither tells all."""
    if dtype.hasobject or dtype.metadata:
        return None
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        inner = type_parts(base)
        return None if inner is None else ("array", inner, tuple(shape))
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        inner = tuple(type_parts(field[0]) for field in fields)
        titles = tuple(field[2] if len(field) > 2 else None for field in fields)
        if None in inner:
            return None
        offsets = tuple(int(field[1]) for field in fields)
        return "fields", tuple(dtype.names), inner, offsets, titles, int(dtype.itemsize), bool(dtype.isalignedstruct)
    return dtype.str if dtype.kind in "biufcmMSUV" else None


def type_of_parts(numpy, kind):
    if isinstance(kind, (str, TEXT)):
        return numpy.dtype(NATIVE(kind))
    if kind[0] == "array":
        return numpy.dtype((type_of_parts(numpy, kind[1]), tuple(kind[2])))
    _, names, inner, offsets, titles, size, aligned = kind
    described = {
        "names": list(names),
        "formats": [type_of_parts(numpy, part) for part in inner],
        "offsets": list(offsets),
        "itemsize": size,
    }
    if any(title is not None for title in titles):
        described["titles"] = list(titles)
    return numpy.dtype(described, align=aligned)


# ---- exceptions: taken apart here, put together there, with their traceback -------------------------------------------------

# Where an exception of the parent's keeps the proxy of that.
HOME = "__saran__"
# Marks the globals of frames that were made after the parent's.
MADE = "__saran_made__"
MEMBERS = tuple(t for t in (getattr(types, "MemberDescriptorType", None), getattr(types, "GetSetDescriptorType", None)) if t)
# What the other members already tell, or what cannot be set.
DERIVED_MEMBERS = frozenset("args characters_written message exceptions".split())
GROUP = getattr(builtins, "BaseExceptionGroup", None)
CHAINING = ("__cause__", "__context__", "__suppress_context__", "__traceback__")


class SaranwrapError(Exception):
    """As the parent has it: classes go by their names."""


class NotTransparent(SaranwrapError, TypeError):
    """What was asked for cannot be done as if local."""


class Refused(SaranwrapError):
    """What was asked for is not done."""


class Deadlock(SaranwrapError):
    """What was asked cannot come, since whoever would do it waits for the thread that asks."""


class ParentGone(SaranwrapError):
    """The parent has ended, or the link to it."""


class CallTimeout(SaranwrapError, OSError if PY2 else TimeoutError):
    """A call took longer than it was allowed to."""

    def __init__(self, message, seconds=None, stopped="", act=""):
        SaranwrapError.__init__(self, message, seconds, stopped, act)
        self.seconds, self.stopped, self.act = seconds, stopped, act

    def __str__(self):
        return self.args[0]


class Stopped(BaseException):
    """A call was interrupted whose deadline has passed."""


for _class in (SaranwrapError, NotTransparent, Refused, Deadlock, CallTimeout, Stopped, ParentGone):
    _class.__module__ = "saranwrap.errors"
ParentGone.__name__ = "LinkClosed"
ParentGone.__qualname__ = "LinkClosed"


class Frames(object):
    """A traceback, by its places."""

    def __init__(self, places):
        self.places = places


def own(exc, name):
    if PY2:
        return exc.__dict__.get(name, False if name == "__suppress_context__" else None)
    return BaseException.__dict__[name].__get__(exc)


def put(exc, name, value):
    if PY2:
        exc.__dict__[name] = value
    else:
        BaseException.__dict__[name].__set__(exc, value)


def space_of(exc):
    if PY2:
        return exc.__dict__
    return BaseException.__dict__["__dict__"].__get__(exc)


def handle_in(exc):
    handle = space_of(exc).get(HOME)
    return handle if is_proxy(handle) else None


def exception_parts(exc, traceback=None):
    """What an exception is made of; or the handle of the parent's own, if it is going home, and what happened to it here.

    All is read past the exception's own class, whose properties may raise whatever they like.
    """
    space = space_of(exc)
    notes = space.get("__notes__")
    notes = tuple(notes) if isinstance(notes, list) else None
    cause, context, suppress = own(exc, "__cause__"), own(exc, "__context__"), bool(own(exc, "__suppress_context__"))
    traceback = traceback if PY2 else own(exc, "__traceback__")
    handle = handle_in(exc)
    if handle is not None:
        # Without the frames that were made after the parent's: it has those.
        return handle, cause, context, suppress, notes, Frames(frames(traceback, MADE))
    parts = type(exc), exception_args(exc), tuple(state_of(exc, space))
    return parts + (cause, context, suppress, notes, Frames(frames(traceback)))


def exception_args(exc):
    if GROUP is not None and isinstance(exc, GROUP):
        return GROUP.message.__get__(exc), GROUP.exceptions.__get__(exc)
    return tuple(BaseException.__dict__["args"].__get__(exc))


def state_of(exc, space):
    state = {}
    for cls in order_of(type(exc)):
        if cls is BaseException:
            break
        for name, member in names_in(cls).items():
            if isinstance(member, MEMBERS) and not name.startswith("_") and name not in DERIVED_MEMBERS:
                try:
                    value = member.__get__(exc)
                except AttributeError:
                    continue
                if value is not None:
                    state[name] = value
    for name, value in space.items():
        if isinstance(name, str) and name not in (HOME, "__notes__") and not (PY2 and name in CHAINING):
            state[name] = value
    return state.items()


def build_exception(handle, known, first, *rest):
    """The exception here for one of the parent's; the very one, if it comes home or has been here in this chain before."""
    if isinstance(first, BaseException):
        return at_home(first, *rest)
    if known is not None:
        return updated(known, *rest[2:])
    if not (is_class(first) and issubclass(first, BaseException)):
        raise TypeError("the parent raised something that is no exception")
    args, state = rest[:2]
    exc = new_exception(first, args)
    space = space_of(exc)
    for name, value in state:
        if isinstance(name, str) and not name.startswith("__"):
            set_member(exc, space, name, value)
    if handle is not None:
        space[HOME] = handle
    return updated(exc, *rest[2:])


def at_home(exc, cause, context, suppress, notes, traceback):
    """What happened to an exception on its way through the parent."""
    if cause is not own(exc, "__cause__"):
        put(exc, "__cause__", cause)
    if context is not own(exc, "__context__"):
        put(exc, "__context__", context)
    put(exc, "__suppress_context__", suppress)
    if notes:
        space_of(exc)["__notes__"] = list(notes)
    # Below the parent's frames stand those that it had here.
    last = traceback
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is not None:
        last.tb_next = own(exc, "__traceback__")
        put(exc, "__traceback__", traceback)
    return exc


def updated(exc, cause, context, suppress, notes, traceback):
    put(exc, "__cause__", cause)
    put(exc, "__context__", context)
    put(exc, "__suppress_context__", suppress)
    if notes:
        space_of(exc)["__notes__"] = list(notes)
    put(exc, "__traceback__", traceback)
    return exc


def new_exception(cls, args):
    """An instance made by the built-in base only."""
    base = next(k for k in cls.__mro__ if module_of(k) == "builtins" and type(k) is type)
    if GROUP is not None and issubclass(base, GROUP):
        return base.__new__(cls, args[0], list(args[1]))
    exc = base.__new__(cls, *args)
    try:
        base.__init__(exc, *args)
    except Exception:
        # The built-in wants other arguments than its subclass kept; `args` is what counts.
        pass
    if BaseException.__dict__["args"].__get__(exc) is not args:
        BaseException.__dict__["args"].__set__(exc, args)
    return exc


def set_member(exc, space, name, value):
    for cls in type(exc).__mro__:
        member = vars(cls).get(name)
        if isinstance(member, MEMBERS):
            try:
                member.__set__(exc, value)
            except (AttributeError, TypeError):
                pass
            return
    space[name] = value


def raise_it(exc):
    """Raise what came over the link, with the contexts that it came with; what is handled here stands behind all of them."""
    handled = sys.exc_info()[1]
    if PY2 or handled is None:
        raise exc
    if HOME in space_of(exc):
        in_context(exc, handled)
    context = exc.__context__
    try:
        raise exc
    finally:
        # The statement notes what is being handled in the place of what was told.
        exc.__context__ = context


def in_context(exc, handled):
    seen, last = set([id(exc)]), exc
    while last.__context__ is not None:
        last = last.__context__
        if last is handled or id(last) in seen:
            return
        seen.add(id(last))
    # A cycle would make every walk along the contexts endless.
    behind = handled
    while behind is not None:
        if id(behind) in seen:
            return
        behind = behind.__context__
    last.__context__ = handled


def frames(traceback, marked=None):
    """(file, function, line, end line, column, end column) of each frame; our own are left out, and those that are marked so."""
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename != HERE and (marked is None or marked not in traceback.tb_frame.f_globals):
            found.append((code.co_filename, code.co_name) + positions(code, traceback))
        traceback = traceback.tb_next
    return tuple(found)


def positions(code, traceback):
    line = traceback.tb_lineno or code.co_firstlineno
    if not hasattr(code, "co_positions"):
        return line, -1, -1, -1
    all_of_them = list(code.co_positions())
    place = traceback.tb_lasti // 2
    end, column, end_column = all_of_them[place][1:] if 0 <= place < len(all_of_them) else (None,) * 3
    return (line,) + tuple(-1 if part is None else part for part in (end, column, end_column))


def build_traceback(places):
    """A traceback that prints as the parent's does, where this interpreter lets one be made."""
    if sys.version_info < (3, 8):
        return None
    traceback = None
    for place in reversed(places):
        made = made_frame(*place)
        if made is not None:
            traceback = types.TracebackType(traceback, made[0], made[1], place[2])
    return traceback


def made_frame(*place):
    """A frame that stands at this place, made anew: a frame leads to all that its callers hold, so it must not be kept."""
    function = types.FunctionType(code_at(*place), {"Exception": Exception, MADE: True})
    try:
        next(function())
    except Exception:
        inner = sys.exc_info()[2].tb_next
        return (inner.tb_frame, inner.tb_lasti) if inner is not None else None
    return None


_CODES = {}


def code_at(filename, name, line, end, column, end_column):
    """Code that raises at this place. It is a generator's: when that ends, its frame has no caller any more."""
    key = filename, name, line, end, column, end_column
    if key in _CODES:
        return _CODES[key]
    import ast

    line = max(1, min(line, 2**31 - 1))
    if end < line or end >= 2**31 or not 0 <= column < 2**15 or not 0 <= end_column < 2**15:
        end, column, end_column = line, 0, 0
    place = {"lineno": line, "end_lineno": end, "col_offset": column, "end_col_offset": end_column}
    tree = ast.parse("def raises():\n    raise Exception\n    yield")
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.expr)):
            for attribute, value in place.items():
                setattr(node, attribute, value)
    code = compile(tree, filename.replace("\0", "?"), "exec")
    function = next(const for const in code.co_consts if isinstance(const, types.CodeType))
    if len(_CODES) > 512:
        _CODES.clear()
    made = _CODES[key] = function.replace(co_name=name, co_firstlineno=line)
    return made


# ---- classes: how one of this side is described ------------------------------------------------------------------------------

_OPERATORS = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or".split()
# The methods that the interpreter looks up on the type: a class has exactly those of its remote type.
SPECIAL_NAMES = frozenset(
    ["__%s%s__" % (prefix, name) for name in _OPERATORS for prefix in ("", "r", "i")]
    + [
        "__%s__" % name
        for name in (
            "call len length_hint getitem setitem delitem contains iter next reversed bool hash eq ne lt le gt ge "
            "neg pos abs invert int float complex index round trunc floor ceil repr str format bytes fspath dir sizeof "
            "enter exit await aiter anext aenter aexit get set delete set_name"
        ).split()
    ]
) - frozenset(["__idivmod__"])
# How Python 2 calls some of them.
OLD_NAMES = {
    "next": "__next__",
    "__nonzero__": "__bool__",
    "__div__": "__truediv__",
    "__rdiv__": "__rtruediv__",
    "__idiv__": "__itruediv__",
    "__long__": "__int__",
}
COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
# The abstract base classes of which a class says that it is one of them: by their place in this list.
ABCS = (
    "AsyncGenerator AsyncIterable AsyncIterator Awaitable Callable Collection Container Coroutine Generator Hashable ItemsView "
    "Iterable Iterator KeysView Mapping MappingView MutableMapping MutableSequence MutableSet Reversible Sequence Set Sized "
    "ValuesView"
).split()
NUMBERS = "Complex Integral Number Rational Real".split()


def abc_at(place):
    """The abstract base class at this place; None where this interpreter does not know it, or has not loaded it."""
    if place < len(ABCS):
        module = sys.modules.get("collections" if PY2 else "collections.abc") or sys.modules.get("_abcoll")
        return getattr(module, ABCS[place], None)
    if place < len(ABCS) + len(NUMBERS):
        return getattr(sys.modules.get("numbers"), NUMBERS[place - len(ABCS)], None)
    return None


def is_abstractly(cls):
    found = []
    for place in range(len(ABCS) + len(NUMBERS)):
        abc = abc_at(place)
        try:
            if abc is not None and issubclass(cls, abc):
                found.append(place)
        except Exception:
            # A metaclass may have its own idea of the question.
            continue
    return tuple(found)


def describe(cls):
    """All that the parent needs to know in order to build a mirror of `cls`."""
    space = names_in(cls)
    kind = kind_of(cls)
    order = order_of(cls)
    skipped = (object,) + OWN_CLASSES
    if kind == "exception":
        bases = tuple(base for base in cls.__bases__ if issubclass(base, BaseException))
    else:
        bases = tuple(TABLE.pin(base) for base in cls.__bases__ if base not in skipped)
    if "value " in kind:
        # One flat class below the built-in: a mixin without it has no local form that could stand beside it.
        below = [base for base in order if base not in base_of(cls).__mro__]
        space = dict(item for base in reversed(below) for item in names_in(base).items())
    names = dict((name, name) for name in space if isinstance(name, str) and not name.startswith("_saran_"))
    if PY2:
        names = dict((OLD_NAMES.get(name, name), name) for name in names)
        if "__cmp__" in names:
            names.update((name, "__cmp__") for name in COMPARISONS)
    every = set(name for base in order if base not in skipped for name in names_in(base))
    if PY2:
        every |= set(OLD_NAMES[name] for name in every if name in OLD_NAMES)
        every |= set(COMPARISONS) if "__cmp__" in every else set()
    every &= SPECIAL_NAMES
    metas = [base for base in order_of(type(cls)) if base not in (type, object, OLD_CLASS) + META_CLASSES and not is_abc_meta(base)]
    meta_names = set(name for base in metas for name in names_in(base))
    flags = getattr(cls, "__flags__", 0)
    return (
        module_of(cls),
        str(qualname_of(cls)),
        kind,
        bases,
        tuple(names),
        tuple(name for name, here in names.items() if space[here] is None),
        "sequence" if flags & (1 << 5) and not PY2 else "mapping" if flags & (1 << 6) and not PY2 else "",
        tuple(sorted(meta_names & SPECIAL_NAMES)),
        bool(meta_names & set(["__instancecheck__", "__subclasscheck__"])) or any(is_abc_meta(k) for k in order_of(type(cls))),
        tuple(sorted(every)),
        # A C sequence concatenates without a reflected form; from the left it is asked for here.
        type(space.get("__add__")) is METHOD_TYPES[1] and "__radd__" not in every,
        kind == "object" and offers_buffer(cls),
        "type" if PY2 and type(cls) is OLD_CLASS else type(cls).__name__,
        is_abstractly(cls),
        cls in SHADOWS,
    )


def is_abc_meta(meta):
    return meta.__name__ == "ABCMeta" and meta.__module__ in ("abc", "_py_abc")


def kind_of(cls):
    if isinstance(cls, type) and issubclass(cls, BaseException):
        return "exception"
    base = base_of(cls)
    value = "value " + base_name(base) if base is not None else ""
    if is_enum(cls):
        return "enum " + value
    return value or "object"


def offers_buffer(cls):
    """Whether instances lend their memory, as far as that can be told of a class."""
    if any(base in (bytearray, memoryview) for base in order_of(cls)):
        return True
    if any((base.__module__, base.__name__) in (("array", "array"), ("mmap", "mmap"), ("numpy", "ndarray")) for base in order_of(cls)):
        return True
    return any("__buffer__" in names_in(base) for base in order_of(cls))


# ---- classes: how one of the parent's is shown here ---------------------------------------------------------------------------

# What a mirror must not take over: the proxy itself needs these, or the interpreter calls them while building classes.
EXCLUDED_NAMES = frozenset(
    "__class__ __dict__ __weakref__ __slots__ __module__ __qualname__ __doc__ __del__ __getattribute__ __getattr__ "
    "__setattr__ __delattr__ __init_subclass__ __subclasshook__ __reduce_ex__ __abstractmethods__ __new__ __init__ "
    "_abc_impl __classcell__ __firstlineno__ __static_attributes__ __mro_entries__ __dir__ __buffer__ "
    "__release_buffer__ __sizeof__ __set_name__ __getnewargs__".split()
)
# What a class answers about itself here.
OWN_NAMES = frozenset(
    "__class__ __mro__ __base__ __bases__ __name__ __qualname__ __module__ __flags__ __basicsize__ __itemsize__ __dict__ "
    "__dictoffset__ __weakrefoffset__ __abstractmethods__ __init_subclass__ __subclasshook__ __prepare__ __instancecheck__ "
    "__subclasscheck__ __subclasses__ __text_signature__ _abc_impl mro __or__ __ror__ _abc_registry _abc_cache "
    "_abc_negative_cache _abc_negative_cache_version".split()
)
own_attribute = type.__getattribute__


class RemoteMeta(type):
    """The metaclass of every class that stands for one of the parent's."""

    def __new__(meta, name, bases, namespace, **kwargs):
        raise NotTransparent(
            "cannot derive %r from a class of the parent: the portable child has no classes of both sides; derive it in the parent" % name
        )

    def __call__(cls, *args, **kwargs):
        return LINK.call(number_of(cls), args, kwargs)

    def __getattribute__(cls, name):
        if name in OWN_NAMES or name.startswith("_saran_") or raw_dict(cls).get("_saran_number_") is None:
            return own_attribute(cls, name)
        return LINK.ask(GETATTR, number_of(cls), (name,))

    def __setattr__(cls, name, value):
        if name.startswith(("_saran_", "_abc_")) or name == "__abstractmethods__":
            type.__setattr__(cls, name, value)
        else:
            LINK.ask(SETATTR, number_of(cls), (name, value))

    def __delattr__(cls, name):
        LINK.ask(DELATTR, number_of(cls), (name,))

    def __instancecheck__(cls, instance):
        if type.__instancecheck__(cls, instance) or cls == type(instance):
            return True
        return bool(raw_dict(cls).get("_saran_checks_")) and LINK.ask(IS, number_of(cls), ("instance", instance))

    def __subclasscheck__(cls, subclass):
        if type.__subclasscheck__(cls, subclass):
            return True
        return bool(raw_dict(cls).get("_saran_checks_")) and LINK.ask(IS, number_of(cls), ("subclass", subclass))

    def __eq__(cls, other):
        if cls is other:
            return True
        twin = raw_dict(cls).get("_saran_twin_")
        return twin is not None and twin is other

    def __ne__(cls, other):
        return not cls == other

    def __hash__(cls):
        twin = raw_dict(cls).get("_saran_twin_")
        return hash(twin) if twin is not None else type.__hash__(cls)

    def __repr__(cls):
        number = raw_dict(cls).get("_saran_number_")
        return type.__repr__(cls) if number is None else LINK.ask(SPECIAL, number, ("__repr__", ()))

    def __dir__(cls):
        number = raw_dict(cls).get("_saran_number_")
        return type.__dir__(cls) if number is None else list(LINK.ask(DIR, number, ()))


def build_class(name, bases, namespace):
    return type.__new__(RemoteMeta, NATIVE(name), bases, namespace)


def number_of(cls):
    number = raw_dict(cls).get("_saran_number_")
    if number is None:
        raise TypeError("%r is bound to no class of the parent" % own_attribute(cls, "__name__"))
    return number


def number_of_mirror(cls):
    """The number of the parent's class that this one stands for, or None; also of one that both sides have."""
    return MIRROR_NUMBERS.get(id(cls))


def proxy_getattribute(self, name):
    if name == "__class__":
        return class_shown(type(self))
    return LINK.ask(GETATTR, id_of(self), (name,))


def class_shown(cls):
    """What `__class__` answers: the class here of the same name, where there is one."""
    return raw_dict(cls).get("_saran_answer_") or cls


def _give_back(self):
    try:
        # Only a note: this runs at any time, in any thread, and in Python 2 when nothing is left of this module.
        LINK.queued.append((id_of(self), count_of(self)[0]))
    except (AttributeError, TypeError):
        return


def _proxy_eq(self, other):
    if self is other:
        return True
    if other is None or other is Ellipsis or other is NotImplemented or is_enum(type(other)):
        return LINK.ask(EQ, id_of(self), (other,))
    return NotImplemented


def _proxy_ne(self, other):
    equal = type(self).__eq__(self, other)
    return equal if equal is NotImplemented else not equal


def _ask_special(name):
    def method(self, *args):
        return LINK.ask(SPECIAL, id_of_any(self), (name, args), args)

    method.__name__ = NATIVE(name)
    return method


def _ask_call(self, *args, **kwargs):
    return LINK.call(id_of_any(self), args, kwargs)


def _ask_hash(self):
    found = LINK.ask(SPECIAL, id_of_any(self), ("__hash__", ()))
    return found if isinstance(found, INTEGERS) else hash(found)


def _ask_bytes(self):
    return bytes(LINK.ask(SPECIAL, id_of_any(self), ("__buffer__", ())))


Proxy = build_class(
    "ObjectProxy",
    (object,),
    {
        "__slots__": ("_saran_id_", "_saran_count_", "_saran_valued_", "__weakref__"),
        "__module__": "saranwrap",
        "__doc__": "The stand-in for an object of the parent's.",
        "__getattribute__": proxy_getattribute,
        "__setattr__": lambda self, name, value: LINK.ask(SETATTR, id_of(self), (name, value)),
        "__delattr__": lambda self, name: LINK.ask(DELATTR, id_of(self), (name,)),
        "__del__": _give_back,
        "__repr__": _ask_special("__repr__"),
        "__str__": _ask_special("__str__"),
        "__format__": _ask_special("__format__"),
        "__dir__": lambda self: list(LINK.ask(DIR, id_of(self), ())),
        "__eq__": _proxy_eq,
        "__ne__": _proxy_ne,
        "__hash__": object.__hash__,
    },
)
OWN_CLASSES = (Proxy,)
META_CLASSES = (RemoteMeta,)
_id_slot, _count_slot, _valued_slot = (raw_dict(Proxy)["_saran_%s_" % name] for name in ("id", "count", "valued"))
id_of, count_of = _id_slot.__get__, _count_slot.__get__


def is_proxy(obj):
    return type.__subclasscheck__(Proxy, type(obj))


def id_of_any(obj):
    """The id behind a proxy, or behind a stand-in that has a value of its own."""
    return id_of(obj if is_proxy(obj) else handle_of(obj))


def handle_of(obj):
    """The proxy inside of a stand-in for an instance of a subclass of an immutable built-in; None of anything else."""
    if "_saran_stand_in_" not in raw_dict(type(obj)):
        return None
    return object.__getattribute__(obj, "__dict__").get(HOME)


# The live proxy of each id; the mirror of each class number, and the way back from its address.
LIVE = {}
MIRRORS = {}
MIRROR_NUMBERS = {}


def _new_proxy(number, cls):
    made = object.__new__(cls)
    _id_slot.__set__(made, number)
    _count_slot.__set__(made, [1])
    _valued_slot.__set__(made, None)
    LIVE[number] = weakref.ref(made)
    return made


def _live(number):
    """The live proxy for an id; it counts that the id was given out once more."""
    reference = LIVE.get(number)
    live = reference() if reference is not None else None
    if live is not None:
        count_of(live)[0] += 1
    return live


def proxy_of(number, cls):
    """The one proxy for an id."""
    live = _live(number)
    if live is not None:
        return live
    mirror = mirror_of(cls)
    # Its description was asked for, and meanwhile the same id may have come.
    live = _live(number)
    if live is not None:
        return live
    return _new_proxy(number, mirror if type.__subclasscheck__(Proxy, mirror) else Proxy)


def bare_proxy(number):
    """A proxy whatever the class: what keeps a remote exception alive."""
    live = _live(number)
    return live if live is not None else _new_proxy(number, Proxy)


def mirror_of(number):
    """The class here for a class number of the parent's, described the first time it is met."""
    if number in MIRRORS:
        return MIRRORS[number]
    made = make_mirror(number, LINK.ask(DESCRIBE, number, ()))
    # Another thread may have met the same class meanwhile; its mirror stays the only one.
    made = MIRRORS.setdefault(number, made)
    MIRROR_NUMBERS[id(made)] = number
    return made


def make_mirror(number, description):
    module, qualname, kind, bases, names, nones = description[:6]
    checks, every, concatenates, buffer_, abcs = description[8], description[9], description[10], description[11], description[13]
    twin = find(module, qualname)
    twin = twin if is_class(twin) and not isinstance(twin, RemoteMeta) else None
    if twin is not None and ((kind == "exception" and issubclass(twin, BaseException)) or (kind.startswith("enum") and is_enum(twin))):
        return twin
    name = qualname.rpartition(".")[2]
    namespace = {
        "__module__": module,
        "_saran_number_": number,
        "_saran_checks_": checks,
        "_saran_twin_": twin if module != "builtins" or twin in PLAIN_BASES else None,
        "_saran_answer_": twin,
    }
    if not PY2:
        namespace["__qualname__"] = qualname
    if kind == "exception":
        return exception_mirror(name, bases, names, namespace, number)
    if "value " in kind:
        return valued_mirror(name, kind.split()[-1], bases, names, nones, namespace)
    namespace["__slots__"] = ()
    parents = []
    for base in bases:
        mirror = mirror_of(base)
        if type.__subclasscheck__(Proxy, mirror) and mirror not in parents:
            parents.append(mirror)
    add_specials(namespace, names, nones, concatenates)
    if buffer_:
        namespace.setdefault("__bytes__", _ask_bytes)
    try:
        mirror = build_class(name, tuple(parents) or (Proxy,), namespace)
    except TypeError:
        # Bases that are local here leave gaps in the order of resolution; a flat class has the same methods.
        add_specials(namespace, every, (), concatenates)
        mirror = build_class(name, (Proxy,), namespace)
    if not checks:
        register(mirror, abcs)
    return mirror


def add_specials(namespace, names, nones, concatenates):
    for name in names:
        if name in nones:
            put_special(namespace, name, None)
        elif name in SPECIAL_NAMES and name not in EXCLUDED_NAMES and name not in ("__repr__", "__str__", "__format__"):
            put_special(namespace, name, special_for(name))
    if concatenates:
        namespace.setdefault("__radd__", special_for("__radd__"))
    if "__eq__" in namespace:
        namespace.setdefault("__ne__", special_for("__ne__"))
        namespace.setdefault("__hash__", _ask_hash)


_SPECIALS = {"__call__": _ask_call, "__hash__": _ask_hash}


def special_for(name):
    if name not in _SPECIALS:
        _SPECIALS[name] = _ask_special(name)
    return _SPECIALS[name]


def put_special(namespace, name, method):
    namespace.setdefault(NATIVE(name), method)
    if PY2:
        for old, new in OLD_NAMES.items():
            if new == name and old != "__long__":
                namespace.setdefault(old, method)


def register(mirror, abcs):
    """Tell the abstract base classes what this class is: the parent's may have been registered with them."""
    for place in abcs:
        abc = abc_at(place)
        try:
            if abc is not None and not issubclass(mirror, abc):
                abc.register(mirror)
        except (RuntimeError, TypeError):
            continue


class RemoteAttribute(object):
    """An attribute of the parent's class, as it is found in a class that is a real one here."""

    def __init__(self, name, number):
        self.name = name
        self.number = number

    def __get__(self, obj, owner=None):
        if obj is None:
            return LINK.ask(GETATTR, self.number, (self.name,))
        handle = handle_in(obj) if isinstance(obj, BaseException) else handle_of(obj)
        if handle is None:
            raise AttributeError("this %r was made here, and has no %r of the parent's" % (type(obj).__name__, self.name))
        return LINK.ask(SUPER, id_of(handle), (MIRRORS[self.number], self.name))


def exception_mirror(name, bases, names, namespace, number):
    """A real exception class. Its instances are objects of this side that know the parent's exception they stand for."""
    for key in ("_saran_checks_", "_saran_twin_", "_saran_answer_"):
        del namespace[key]
    for member in names:
        if member == "__init__":
            namespace[member] = exception_init(number)
        elif member in ("__str__", "__repr__"):
            namespace[member] = exception_text(member)
        elif member not in EXCLUDED_NAMES and member not in ("args", "__reduce__", "__setstate__", "__traceback__", "__hash__"):
            namespace[NATIVE(member)] = RemoteAttribute(member, number)
    parents = tuple(base for base in bases if is_class(base) and issubclass(base, BaseException))
    return type(NATIVE(name), parents or (Exception,), namespace)


def exception_text(name):
    def text(self):
        handle = handle_in(self)
        if handle is None:
            return getattr(BaseException, name)(self)
        return LINK.ask(SPECIAL, id_of(handle), (name, ()))

    text.__name__ = NATIVE(name)
    return text


def exception_init(number):
    def init(self, *args, **kwargs):
        """Let the parent's class make one, and take over what it carries."""
        made = LINK.call(number, args, kwargs)
        self.args = made.args
        self.__dict__.update(made.__dict__)

    return init


def valued_mirror(name, base, bases, names, nones, namespace):
    """A real subclass of the built-in: C code, which looks at nothing but the value, takes an instance as it would the original."""
    if base == "tzinfo":
        import datetime

        built_in = datetime.tzinfo
    else:
        built_in = TEXT if PY2 and base == "str" else getattr(builtins, base)
    number = namespace["_saran_number_"]
    answer = namespace["_saran_answer_"]
    namespace["_saran_stand_in_"] = True
    if answer is None:
        del namespace["_saran_answer_"]
    namespace.update(
        __getattribute__=valued_getattribute,
        __setattr__=lambda self, name, value: LINK.ask(SETATTR, id_of_any(self), (name, value)),
        __delattr__=lambda self, name: LINK.ask(DELATTR, id_of_any(self), (name,)),
        __repr__=_ask_special("__repr__"),
        __dir__=lambda self: list(LINK.ask(DIR, id_of_any(self), ())),
    )
    for member in names:
        if member in nones:
            namespace[member] = None
        elif member in SPECIAL_NAMES:
            put_special(namespace, member, special_for(member))
        elif member not in EXCLUDED_NAMES:
            namespace.setdefault(NATIVE(member), RemoteAttribute(member, number))
    if base != "str":
        namespace.setdefault("__str__", _ask_special("__str__"))
    parents = [mirror_of(each) for each in bases]
    parents = [each for each in parents if isinstance(each, RemoteMeta) and type.__subclasscheck__(built_in, each)]
    return build_class(name, tuple(parents) or (built_in,), namespace)


def valued_getattribute(self, name):
    if name == "__class__":
        return class_shown(type(self))
    if name == "__dict__" and handle_of(self) is None:
        return object.__getattribute__(self, name)
    return LINK.ask(GETATTR, id_of_any(self), (name,))


def stand_in(number, cls, value):
    """The one stand-in for an instance of a subclass of an immutable built-in."""
    mirror = mirror_of(cls)
    handle = bare_proxy(number)
    known = _valued_slot.__get__(handle)
    if known is not None and known() is not None:
        return known()
    if not isinstance(mirror, RemoteMeta):
        # A member of an enum that is local here: the bare proxy tells it well enough.
        return handle
    base = base_of_mirror(mirror)
    if base.__name__ == "tzinfo":
        made = base.__new__(mirror)
    elif PY2 and base in (TEXT, int):
        made = base.__new__(mirror, base(value)) if base is int else TEXT.__new__(mirror, TEXT(value))
    else:
        made = base.__new__(mirror, value)
    object.__getattribute__(made, "__dict__")[HOME] = handle
    try:
        reference = weakref.ref(made)
    except TypeError:
        # Of tuples and numbers there are no weak references. A cycle with a destructor in it is collected from Python 3.4 on.
        reference = (lambda: None) if PY2 else (lambda: made)
    _valued_slot.__set__(handle, reference)
    return made


def base_of_mirror(mirror):
    for base in raw_order(mirror):
        if not isinstance(base, RemoteMeta) and base is not object:
            return base
    raise TypeError("a class without the value that it was said to have")


# ---- host: applies ops to real objects ------------------------------------------------------------------------------------------

(
    GETATTR, SETATTR, DELATTR, GETITEM, SETITEM, DELITEM, EQ, CALL, CALLATTR, SPECIAL, SUPER, STATUS, DESCRIBE, IMPORT, ADOPT,
    SUBCLASS, COPY_OP, IS, DIR, REDUCE, PIPELINE, OPERATE, AHEAD, TAKE, AWAIT,
) = range(1, 26)  # fmt: skip


class Answer(object):
    """An op's result, and how it leaves."""

    def __init__(self, obj, how="plain", mode=NORMAL):
        # In a list, so that it is held but once while references are counted.
        self.box = [obj]
        self.how = how
        self.mode = mode
        # How many names are left of the path that this answers.
        self.left = 0

    def write(self, encoder):
        encoder.mode = self.mode
        obj = self.box[0]
        if self.how == "root":
            encoder.reference(obj)
        elif self.how == "buffer":
            encoder.buffer(obj)
        else:
            if self.how == "uncalled":
                encoder.out.tag(UNCALLED)
            elif self.left:
                encoder.out.tag(PARTWAY)
                encoder.out.array(2)
                encoder.out.uint(self.left)
            encoder.value(obj)
        encoder.mode = NORMAL


def text_of(raw):
    """What a `str` of Python 2 says, for whoever demands a text."""
    if not PY2 or isinstance(raw, TEXT) or is_ascii(raw):
        return raw
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def exactly(cls, value):
    """The interpreter demands exactly this type of some methods, so an instance of a subclass does not stay a reference."""
    return plain(value) if type(value) is not cls and isinstance(value, cls) else value


def str_of(obj):
    if PY2 and hasattr(type(obj), "__unicode__"):
        return unicode(obj)  # noqa: F821
    return text_of(exactly(str, str(obj)))


# Texts hash differently in each process, so what hashes as one of these is hashed by whoever asks.
_VALUE_HASHES = tuple(cls.__hash__ for cls in (tuple, str, bytes, frozenset, TEXT))


def hashed(obj):
    method = getattr(type(obj), "__hash__", None)
    if any(method == known for known in _VALUE_HASHES) and base_of(type(obj)) is not None:
        return plain(obj) if type(obj) not in PLAIN_BASES else obj
    return exactly(int, hash(obj))


def signature_of(obj):
    import inspect

    return inspect.signature(obj)


_NO_OPERAND = {
    "__len__": len,
    "__bool__": bool,
    "__iter__": iter,
    "__next__": next,
    "__reversed__": reversed,
    "__neg__": operator.neg,
    "__pos__": operator.pos,
    "__abs__": abs,
    "__invert__": operator.invert,
    "__repr__": lambda obj: text_of(exactly(str, repr(obj))),
    "__str__": str_of,
    "__index__": lambda obj: exactly(int, operator.index(obj)),
    "__hash__": hashed,
    "__signature__": signature_of,
}
_ONE_OPERAND = {
    "__getitem__": operator.getitem,
    "__delitem__": operator.delitem,
    "__contains__": operator.contains,
    "__format__": lambda obj, spec: text_of(exactly(str, format(obj, spec))),
}
_RESULTS = {"__bytes__": bytes, "__float__": float, "__int__": int, "__length_hint__": int}
_OLD_OPERATORS = {"__truediv__": "__div__", "__rtruediv__": "__rdiv__", "__itruediv__": "__idiv__"}


def special(obj, name, args):
    """Special method `name` of `obj`, as the interpreter itself applies it."""
    if not args and name in _NO_OPERAND:
        return _NO_OPERAND[name](obj)
    if len(args) == 1 and name in _ONE_OPERAND:
        return _ONE_OPERAND[name](obj, *args)
    if name == "__setitem__" and len(args) == 2:
        return operator.setitem(obj, *args)
    old = PY2 and type(obj) is OLD_INSTANCE
    method = getattr(obj if old else type(obj), name, None)
    if method is None and PY2:
        method, name_here = getattr(obj if old else type(obj), _OLD_OPERATORS.get(name, name), None), name
        if method is None and name_here in COMPARISONS:
            return getattr(operator, name_here)(obj, *args)
        if method is None and name == "__int__":
            return int(obj)
    if method is not None:
        result = method(*args) if old else method(obj, *args)
        return exactly(_RESULTS[name], result) if name in _RESULTS else result
    if name == "__radd__" and len(args) == 1:
        # A C sequence concatenates without having a reflected form.
        return args[0] + obj
    raise AttributeError("%r object has no attribute %r" % (type(obj).__name__, str(name)))


def _by_math(name):
    """Loaded when it is needed."""

    def work(obj):
        import math

        return getattr(math, name)(obj)

    return work


# Operators with all that the language does for them: the other operand is asked, too.
_OPERATED = dict(
    ("__%s__" % name, getattr(operator, "__%s__" % name))
    for name in (
        "add sub mul matmul truediv floordiv mod lshift rshift and or xor iadd isub imul imatmul itruediv ifloordiv imod "
        "ilshift irshift iand ior ixor ipow eq ne lt le gt ge neg pos invert abs"
    ).split()
    if hasattr(operator, "__%s__" % name)
)
_OPERATED.update(
    {
        "__pow__": pow,
        "__divmod__": divmod,
        "__round__": round,
        "__trunc__": _by_math("trunc"),
        "__floor__": _by_math("floor"),
        "__ceil__": _by_math("ceil"),
    }
)


def operate(obj, name, args):
    """The operator with this special method, between `obj` and its operand: who of the two knows it is found out here."""
    reflected = _OPERATED.get("__" + name[3:]) if name.startswith("__r") else None
    if reflected is not None and name not in _OPERATED:
        return reflected(*(args + (obj,)))
    if name not in _OPERATED:
        raise TypeError("Python %s has no operator %s" % (python_version(), name))
    return _OPERATED[name](obj, *args)


def super_call(obj, cls, name, rest):
    """Attribute `name` as `cls` has it, bound to `obj`; called if arguments are given. What `super()` finds here."""
    for base in order_of(cls):
        space = names_in(base)
        here = name
        if PY2 and here not in space:
            here = next((old for old, new in OLD_NAMES.items() if new == name and old in space), name)
        if here in space:
            attribute = space[here]
            break
    else:
        raise AttributeError("type object %r has no attribute %r" % (cls.__name__, str(name)))
    get = getattr(type(attribute), "__get__", None)
    if get is not None:
        bound = is_class(obj) and issubclass(obj, cls)
        attribute = get(attribute, None, obj) if bound else get(attribute, obj, class_of(obj))
    return attribute(*rest[0], **dict(rest[1])) if rest else attribute


def reduce_parts(obj, protocol):
    """What `obj.__reduce_ex__` says: ("name", module, qualified name), or ("new" or "call", function, arguments, more ...)."""
    if isinstance(obj, FUNCTIONS) and "." not in qualname_of(obj):
        return "name", obj.__module__, qualname_of(obj)
    reduced = obj.__reduce_ex__(min(protocol, 2) if PY2 else protocol)
    if isinstance(reduced, str):
        return "name", getattr(obj, "__module__", None) or _module_with(obj, reduced), reduced
    function, args, more = reduced[0], tuple(reduced[1]), tuple(reduced[2:])
    if function is getattr(copyreg, "__newobj__", None):
        return ("new", args[0], args[1:]) + more
    if function is getattr(copyreg, "__newobj_ex__", None):
        return ("new_ex", args[0], args[1:]) + more
    if function is getattr(copyreg, "_reconstructor", None):
        return ("rebuild", args[0], args[1:]) + more
    return ("call", function, args) + more


def _module_with(obj, name):
    """The module that has `obj` under `name`, found as pickle finds it."""
    for module_name, module in list(sys.modules.items()):
        if module_name != "__main__" and getattr(module, name, None) is obj:
            return module_name
    return "__main__"


def status():
    """What this process knows of itself, as pairs."""
    try:
        with open("/proc/self/statm") as file:
            memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (IOError, OSError, ValueError):
        memory = 0
    return (
        ("object_count", len(TABLE)),
        ("next_id", TABLE.next),
        ("pid", os.getpid()),
        ("uptime", time.time() - LINK.started),
        ("requests", LINK.requests),
        ("bytes_in", LINK.bytes_in),
        ("bytes_out", LINK.bytes_out),
        ("blocks_out", 0),
        ("block_bytes_out", 0),
        ("blocks_in", 0),
        ("memory", memory),
        ("python", python_version()),
    )


# Classes that the parent derived.
TWINS = set()


def subclass(name, bases, overrides, kwargs):
    """A class here for one that the parent derived: its overridden methods call back. Returns its number."""
    if not bases:
        raise TypeError("cannot derive %r: a class that is derived over a link has a base on this side" % str(name))
    space = dict((NATIVE(override[0]), _override(*override)) for override in overrides)
    kwargs = dict(kwargs)
    if PY2:
        if kwargs:
            raise NotTransparent("cannot derive %r with keywords: Python 2 has none in a class statement" % str(name))
        metas = [type(base) for base in bases if type(base) is not OLD_CLASS] or [OLD_CLASS]
        made = max(metas, key=lambda meta: len(order_of(meta)) if meta is not OLD_CLASS else 0)(NATIVE(name), bases, space)
    else:
        made = types.new_class(name, bases, kwargs, lambda namespace: namespace.update(space))
    TWINS.add(made)
    return TABLE.pin(made)


def _override(name, kind, *parts):
    if kind == "function":
        return forward(name, parts[0])
    if kind == "classmethod":
        return classmethod(forward(name, parts[0]))
    if kind == "staticmethod":
        return staticmethod(forward(name, parts[0]))
    if kind == "property":
        get, set_, delete = (forward(name, part) if part is not None else None for part in parts[:3])
        return property(get, set_, delete, parts[3])
    return parts[0]


def forward(name, function):
    """A real function, which binds as one, that calls the parent's."""

    def method(*args, **kwargs):
        return function(*args, **kwargs)

    method.__name__ = NATIVE(name)
    if not PY2:
        method.__qualname__ = name
    return method


def awaited(obj, how):
    """What awaiting an object comes to, or what its special method gives."""
    if sys.version_info < (3, 5):
        raise NotTransparent("cannot await in Python %s: it has no coroutines" % python_version())
    awaitable = special(obj, how[0], how[1]) if how else obj
    if LINK.loop is None:
        return complete(awaitable)
    return LINK.loop.begin(LINK.served(), awaitable)


# The loop that a thread keeps for what is awaited in it.
_LOOPS = {}


def complete(awaitable):
    import asyncio

    outer = asyncio._get_running_loop() if hasattr(asyncio, "_get_running_loop") else None
    if outer is not None:
        # In a callback of something that is awaited itself. Its loop waits, so another one runs meanwhile.
        loop = asyncio.new_event_loop()
        asyncio._set_running_loop(None)
        try:
            return _drive(loop, awaitable)
        finally:
            loop.close()
            asyncio._set_running_loop(outer)
    thread = _thread.get_ident()
    if thread not in _LOOPS:
        _LOOPS[thread] = asyncio.new_event_loop()
    return _drive(_LOOPS[thread], awaitable)


def coroutine(awaitable):
    """A coroutine that awaits this. Python 2 has no word for it."""
    if "coroutine" not in _MADE:
        space = {}
        exec(compile("async def coroutine(awaitable):\n    return await awaitable", HERE, "exec"), space)
        _MADE["coroutine"] = space["coroutine"]
    return _MADE["coroutine"](awaitable)


def _drive(loop, awaitable):
    import asyncio

    task = loop.create_task(coroutine(awaitable))
    try:
        return loop.run_until_complete(task)
    except BaseException:
        # An interruption ends the loop's turn, not the task: it has to end as well, in its own way.
        if not task.done():
            task.cancel()
            try:
                loop.run_until_complete(task)
            except (asyncio.CancelledError, Exception):
                pass
        raise


def follow(op, obj, args, loans):
    """An op on what a path leads to but for its last name, as far as the parent would come back here with the next one."""
    path = args[0]
    for place, name in enumerate(path):
        if place and not is_asked_here(obj, loans):
            answer = Answer(obj)
            answer.left = len(path) - place
            return answer
        if place + 1 < len(path):
            obj = getattr(obj, name)
    return apply_op(op, obj, [path[-1]] + args[1:], loans)


def apply_op(op, obj, args, loans):
    """What an op comes to. `obj` is its target, or None of an op that has none."""
    if op in (GETATTR, CALLATTR) and args and type(args[0]) is tuple and args[0]:
        return follow(op, obj, args, loans)
    count = len(args)
    try:
        needed, work = _OPS[op]
    except KeyError:
        raise Garbled("%r is no op" % (op,))
    if count not in needed:
        raise Garbled("the op %d does not take %d arguments" % (op, count))
    made = work(obj, *args)
    return made if type(made) is Answer else Answer(made)


def _set(obj, name, value):
    setattr(obj, name, value)


def _delete(obj, name):
    delattr(obj, name)


def _set_item(obj, item, value):
    obj[item] = value


def _delete_item(obj, item):
    del obj[item]


def _call(obj, args, kwargs):
    return obj(*args, **kwargs)


def _call_attribute(obj, name, args, kwargs):
    """Call what was fetched to be called, unless that is the parent's business."""
    attribute = getattr(obj, name)
    return Answer(attribute, "uncalled") if is_for_asker(attribute) else attribute(*args, **kwargs)


def _special(obj, name, args):
    if name == "__buffer__":
        return Answer(obj, "buffer")
    if name.startswith("__arrow_c_") or name == "_export_to_c":
        raise NotTransparent("columnar data stays in the portable child: fetch it as Python objects, or use the native child")
    return special(obj, name, args)


def _import(_obj, name):
    __import__(name)
    return Answer(sys.modules[name], "root")


def _copy(obj, trusted, deep):
    return Answer(obj, mode=SHALLOW if not deep else TRUSTED_COPY if trusted else COPY)


def _is(obj, kind, candidate):
    return isinstance(candidate, obj) if kind == "instance" else issubclass(candidate, obj)


_OPS = {
    GETATTR: ((1,), getattr),
    SETATTR: ((2,), _set),
    DELATTR: ((1,), _delete),
    GETITEM: ((1,), operator.getitem),
    SETITEM: ((2,), _set_item),
    DELITEM: ((1,), _delete_item),
    EQ: ((1,), operator.eq),
    CALL: ((2,), _call),
    CALLATTR: ((3,), _call_attribute),
    SPECIAL: ((2,), _special),
    SUPER: ((2, 4), lambda obj, cls, name, *rest: super_call(obj, cls, name, rest)),
    STATUS: ((0,), lambda _obj: status()),
    DESCRIBE: ((0,), describe),
    IMPORT: ((1,), _import),
    ADOPT: ((1,), lambda _obj, recipe: Answer(unpickle(recipe), "root")),
    SUBCLASS: ((4,), lambda _obj, *parts: subclass(*parts)),
    COPY_OP: ((2,), _copy),
    IS: ((2,), _is),
    DIR: ((0,), lambda obj: tuple(dir(obj))),
    REDUCE: ((1,), reduce_parts),
    OPERATE: ((2,), operate),
    TAKE: ((1,), lambda obj, count: taken(obj, count)),
    AWAIT: ((0, 2), lambda obj, *how: awaited(obj, how)),
}
# Those that are about the process, and not about an object of it.
_WITHOUT_TARGET = frozenset([STATUS, IMPORT, ADOPT, SUBCLASS])


# At which place an op has the positional arguments of a call, and at which its keywords.
_POSITIONAL = {CALL: 0, CALLATTR: 1, SPECIAL: 1, OPERATE: 1, AWAIT: 1}
_KEYWORDS = {CALL: 1, CALLATTR: 2}


def read_arguments(decoder, op, count):
    positional = _POSITIONAL.get(op)
    return [decoder.positional() if place == positional else decoder.value() for place in range(count)]


def nameable(op, args):
    """The positional and keyword arguments of a call, in order: the parent counts them the same way."""
    positional, keywords = _POSITIONAL.get(op), _KEYWORDS.get(op)
    if positional is None:
        return []
    found = list(args[positional]) if positional < len(args) else []
    if keywords is not None and keywords < len(args):
        found.extend(args[keywords].values())
    return found


# ---- host: iterators, read for the parent -----------------------------------------------------------------------------------------


def _by_place(make, kind):
    """Iterators that are an index into something."""

    def shadow(iterator, _farthest):
        reduced = iterator.__reduce__()
        source, place = reduced[1][0] if reduced[1] else None, reduced[2:]
        if not isinstance(source, kind):
            return None  # one that has ended has nothing to show
        made = make(source)
        if place and place[0] is not None:
            made.__setstate__(place[0])
        return made, _NOT_NEEDED

    return shadow


def _by_walking(make, kind, proof):
    """Iterators that keep their place to themselves, but tell how much is left."""

    def shadow(iterator, farthest):
        source = [held for held in gc.get_referents(iterator) if held is not type(iterator)][:1]
        if not source or not isinstance(source[0], kind):
            return None  # one that has ended lets go of its source
        made = make(source[0])
        left = iterator.__length_hint__()
        way = made.__length_hint__() - left
        if not 0 <= way <= farthest:
            return None
        for _ in range(way):
            next(made, None)
        return (made, proof) if made.__length_hint__() == left else None

    return shadow


def _from_the_start(make, kind):
    """Those that can be told to stand at the start and, as what they give does not tell them apart, nowhere else."""
    walk = _by_walking(make, kind, _NOT_NEEDED)
    return lambda iterator, _farthest: walk(iterator, 0)


# How a shadow shows that it stands where the iterator stands.
_NOT_NEEDED, _BY_ITEM, _BY_KEY = range(3)
SHADOWS = {}
if COUNTS_REFERENCES and sys.version_info >= (3, 8):
    from collections import deque

    # No method of a subclass is called: the iterators of the language look past those as well.
    SHADOWS = {
        type(iter([])): _by_place(list.__iter__, list),
        type(reversed([])): _by_place(list.__reversed__, list),
        type(iter(())): _by_place(tuple.__iter__, tuple),
        type(iter("a")): _by_place(str.__iter__, str),
        type(iter("\u1234")): _by_place(str.__iter__, str),
        type(iter(b"")): _by_place(bytes.__iter__, bytes),
        type(iter(bytearray())): _by_place(bytearray.__iter__, bytearray),
        type(iter(range(0))): _by_place(range.__iter__, range),
        type(iter(range(1 << 70))): _by_place(range.__iter__, range),
        type(iter({})): _by_walking(dict.__iter__, dict, _BY_ITEM),
        type(iter({}.values())): _from_the_start(lambda source: iter(dict.values(source)), dict),
        type(iter({}.items())): _by_walking(lambda source: iter(dict.items(source)), dict, _BY_KEY),
        type(iter(set())): _by_walking(
            lambda source: set.__iter__(source) if isinstance(source, set) else frozenset.__iter__(source), (set, frozenset), _BY_ITEM
        ),
        # A deque lets no iterator go on that was made before it changed, so as many items ahead is the same place.
        type(iter(deque())): _by_walking(deque.__iter__, deque, _NOT_NEEDED),
        type(reversed(deque())): _by_walking(deque.__reversed__, deque, _NOT_NEEDED),
        type(reversed({})): _by_walking(dict.__reversed__, dict, _BY_ITEM),
        type(reversed({}.items())): _by_walking(lambda source: reversed(dict.items(source)), dict, _BY_KEY),
    }
# How far a shadow may have to walk for nothing, for each batch that was done without one.
_WALK_AT_FIRST = 1000
_WALK_FOR_EACH = 500
# What this side remembers of each iterator that is read so, by id.
_READINGS = {}
_SERIAL = [0]


class Reading(object):
    def __init__(self):
        # The last batch, how many items of it were only looked at, and how many of those the parent has told to be taken.
        self.serial = self.shown = self.taken = 0
        # A second iterator, which stands behind all that was shown.
        self.shadow = None
        # How many batches there were since the last shadow was lost. It pays for the way of the next one.
        self.patience = 0

    def move_on(self, iterator, consumed):
        """What the parent took was only looked at until now."""
        for _ in range(self.taken, min(consumed, self.shown + 1)):
            next(iterator, None)
        self.taken = max(self.taken, consumed)

    def second(self, iterator):
        """A second iterator at the same place; None if there is no way to it, or only a long one."""
        if self.shadow is not None:
            found, self.shadow = (self.shadow, _NOT_NEEDED), None
            return found
        self.patience += 1
        made = SHADOWS[type(iterator)](iterator, _WALK_AT_FIRST + _WALK_FOR_EACH * self.patience)
        if made is not None:
            self.patience = 0
        return made


def used(number):
    """Somebody is about to use the object with this id, which may move an iterator."""
    if number in _READINGS:
        _READINGS[number].shadow = None


def ahead(number, args):
    """Move the iterator on by what was taken of a batch; then, unless that is all, take one item of it and look at those behind."""
    if len(args) not in (2, 3):
        raise Garbled("`ahead` needs two or three numbers")
    serial, consumed, count = (tuple(args) + (0,))[:3]
    cell = TABLE.objects.get(number)
    if cell is None:
        raise Garbled("no object here has the id %d" % number)
    if type(cell[0]) not in SHADOWS:
        raise TypeError("a %s is not read ahead" % type(cell[0]).__name__)
    # The table's reference, and that of the look itself.
    alone = sys.getrefcount(cell[0]) <= 2 and _thread._count() <= LINK.own_threads
    reading = _READINGS.setdefault(number, Reading())
    if serial == reading.serial:
        reading.move_on(cell[0], consumed)
    if not count:
        return None
    if reading.shown != reading.taken or not alone:
        reading.shadow = None
    shadow = reading.second(cell[0]) if alone and (count > 1 or reading.shadow is not None) else None
    reading.shadow = None
    _SERIAL[0] += 1
    reading.serial, reading.shown, reading.taken = _SERIAL[0], 0, 0
    try:
        first = next(cell[0])
    except StopIteration:
        return _SERIAL[0], True
    items, ends = [first], False
    if shadow is not None and _stands_there(shadow, first):
        ends, goes_on = _look(shadow[0], items, count)
        reading.shown = len(items) - 1
        reading.shadow = shadow[0] if goes_on else None
    return (_SERIAL[0], ends) + tuple(items)


def _stands_there(shadow, first):
    nothing = object()
    try:
        same = next(shadow[0], nothing)
    except Exception:
        return False
    if same is nothing:
        return False
    if shadow[1] == _BY_KEY:
        return same[0] is first[0]
    return shadow[1] == _NOT_NEEDED or same is first


def _look(shadow, items, count):
    """Add the items behind the first, as far as looking at them changes nothing. Whether they are the last, and whether it goes on."""
    size = 0
    while len(items) < count and size < MOST_BYTES:
        try:
            item = next(shadow)
        except StopIteration:
            return True, False
        except Exception:
            # The iterator itself raises it when its turn comes.
            return False, False
        weight = foreseen(item)
        if weight is None:
            return False, False
        size += weight
        items.append(item)
    return False, True


def foreseen(obj, depth=8):
    """About how many bytes an object comes to; None if it must be sent when it is due, and not before."""
    kind = type(obj)
    if kind in (int, float, bool) or obj is None:
        return 8 if kind is not int or obj.bit_length() < 64 else 8 + obj.bit_length() // 8
    if kind in (str, bytes):
        return 8 + len(obj)
    if kind is tuple and depth:
        weights = [foreseen(item, depth - 1) for item in obj]
        return None if None in weights else 24 + sum(weights)
    if known_name(kind) is not None or is_enum(kind):
        return 24
    if isinstance(obj, tuple) and TABLE.ids.get(id(kind)) in TABLE.pinned and depth:
        # One that has the value of a tuple brings that along.
        weights = [foreseen(item, depth - 1) for item in plain(obj)]
        return None if None in weights else 48 + sum(weights)
    if is_proxy(obj):
        return 24
    is_plain = TABLE.ids.get(id(kind)) in TABLE.pinned and not isinstance(kind, RemoteMeta) and base_of(kind) is None
    return 24 if is_plain and not is_class(obj) and not isinstance(obj, BaseException) else None


def taken(iterator, count):
    """The next items of any iterator, and behind them what it raised instead of one more, if it did."""
    items, size, end = [], 0, None
    while len(items) < min(count, MOST_ITEMS) and size < MOST_BYTES:
        try:
            item = next(iterator)
        except BaseException as error:
            if not items:
                raise
            end = error
            if PY2:
                put(end, "__traceback__", sys.exc_info()[2])
            break
        items.append(item)
        size += foreseen(item) or MOST_BYTES // 8
    return end, tuple(items)


# ---- host: a request from its first byte to its answer ------------------------------------------------------------------------------


class Raised(Exception):
    """Carries what an op raised, and where."""

    def __init__(self, error, traceback):
        Exception.__init__(self)
        self.error = error
        self.traceback = traceback


def attempt(work, *args):
    """`work` of the user's code: what it raises is data."""
    try:
        return work(*args)
    except (Garbled, Raised, Forked):
        raise
    except BaseException:
        raise raised_now()


def raised_now():
    """What is being handled, as data."""
    kind, error, traceback = sys.exc_info()
    if not isinstance(error, BaseException):
        # An instance of an old-style class.
        error = RuntimeError("%s: %s" % (getattr(kind, "__name__", kind), error))
    return Raised(error, traceback)


def serve(body, loans, wanted, held):
    """(whether it was answered or raised, the body of the answer) of a request; (None, ...) of one that is answered later.

    What is to stay until the answer has gone is put into `held`.
    """
    encoder = Encoder(loans, held)
    try:
        return _answer(body, loans, encoder, wanted), encoder.out.bytes
    except Raised as raised:
        return False, raised_with_trailer(raised, loans, held)


def answer_later(value, loans, held):
    """(True, the body of the answer) to a call that was left for later; or (False, the body that says why there is none)."""
    encoder = Encoder(loans, held, answers=True)
    try:
        attempt_to_send(encoder, Answer(value))
        attempt(trailer, encoder, loans)
        return True, encoder.out.bytes
    except Raised as raised:
        return False, raised_with_trailer(raised, loans, held)


def raised_with_trailer(raised, loans, held):
    """The whole answer that tells of an exception."""
    return raised_body(raised, loans, held, lambda encoder: trailer(encoder, loans))


def trailer(encoder, loans):
    encoder.trailer(loans.changes(loans.depth <= 1), LINK.news())


def raised_body(raised, loans, held, then=lambda encoder: None):
    """The message that tells of an exception. One that cannot be sent is replaced by one that says why."""
    error, traceback = raised.error, raised.traceback
    for _ in range(2):
        encoder = Encoder(loans, held)
        held.append(error)
        try:
            encoder.exception(error, True, traceback)
            then(encoder)
            return encoder.out.bytes
        except Garbled:
            raise
        except BaseException:
            encoder.take_back()
            why = sys.exc_info()[1]
            try:
                text = str(why)
            except Exception:
                text = type(why).__name__
            error, traceback = RuntimeError("an exception could not be sent: %s" % text), None
    # At the end of the stack no more code runs, not even to take an exception apart.
    out = Writer()
    out.tag(EXCEPTION)
    out.array(9)
    out.uint(0)
    out.tag(NAMED)
    out.array(2)
    out.text("builtins")
    out.text("RecursionError")
    out.array(1)
    out.text(text if is_ascii(text.encode("ascii", "replace") if not PY2 else text) else "too deep")
    out.array(0)
    out.null()
    out.null()
    out.bool(False)
    out.null()
    out.null()
    return out.bytes


def _answer(body, loans, encoder, wanted):
    """True, once the answer is written; None, if it comes later."""
    decoder = Decoder(body, loans)
    head = decoder.reader
    count = head.array() - 2
    op, target = head.uint(), head.uint()
    if op == PIPELINE:
        pipeline(decoder, count, encoder, wanted)
        LINK.decoded()
        trailer(encoder, loans)
        return True
    try:
        args = attempt(read_arguments, decoder, op, count)
        attempt(decoder.trailer)
    except Raised:
        give_up(decoder)
        raise
    # Before what came behind this is looked at, which may give the target back.
    obj = None if op in _WITHOUT_TARGET or op == AHEAD else TABLE.find(target)
    LINK.decoded()
    if not wanted:
        encoder.out.null()
        return True
    LINK.bound(decoder.left)
    arguments = nameable(op, args)
    if op == AHEAD:
        answer = Answer(attempt(ahead, target, args))
    else:
        answer = applied(op, obj, args, decoder.mentioned, loans)
        del obj
    if answer.how == "later":
        return None
    encoder.arguments, encoder.answers = arguments, True
    attempt_to_send(encoder, answer)
    attempt(trailer, encoder, loans)
    return True


def give_up(decoder):
    """What was not read is passed over, for what it gives out."""
    given = []
    while not decoder.reader.at_end():
        decoder.reader.skip(given)
    LINK.queued.extend(each for each in given if each[0])


def applied(op, obj, args, mentioned, loans):
    """Apply an op, and look what this side keeps of what was lent to it."""
    loans.count_references(mentioned)
    answer = LINK.waiter().interruptible(apply_op, op, obj, args, loans)
    LINK.at_home()
    loans.note_kept(mentioned, answer.box)
    return answer


def attempt_to_send(encoder, answer):
    length, given = len(encoder.out.bytes), len(encoder.given)
    try:
        attempt(answer.write, encoder)
    except Raised:
        encoder.take_back(length, given)
        raise


def pipeline(decoder, count, encoder, wanted):
    """Perform every step that depends on none that failed, one after the other, each as if it had come alone."""
    reader = decoder.reader
    if reader.at < len(reader.body) and reader.body[reader.at] == 0xF6:
        reader.at += 1
    else:
        decoder.news()
    LINK.bound(decoder.left)
    LINK.served().is_pipeline = True
    outcomes = []
    for place in range(count - 1):
        came = _step(decoder, place, encoder, outcomes, wanted)
        decoder.promises.append(came)
        if came[0] == "failed" and wanted and LINK.cancelled():
            # The parent gave the whole pipeline up: nothing more of it is to be done.
            break
        if encoder.loans.depth <= 1:
            encoder.loans.part(decoder.promises)
    head = Writer()
    head.array(len(outcomes))
    encoder.out.bytes[:] = head.bytes + b"".join(bytes(each) for each in outcomes)


def _step(decoder, place, encoder, outcomes, wanted_all):
    """Perform one step, and put down what is to be told of it. What it came to, for those that name it."""
    reader = decoder.reader
    if reader.body[reader.at] == 0xF6:
        # It could not be written. Nothing names it, and nobody waits to be told of it.
        reader.at += 1
        return ["gone"]
    start = reader.at
    decoder.arguments, decoder.completed, decoder.mentioned, decoder.failed = [], set(), [], None
    count = reader.array() - 4
    uses, wanted, op = decoder.value(), decoder.value(), decoder.value()
    try:
        if reader.body[reader.at] >> 5 == TAG:
            obj = decoder.value()
        else:
            target = reader.uint()
            obj = None if op in _WITHOUT_TARGET else TABLE.find(target)
        args = attempt(read_arguments, decoder, op, count)
        if decoder.failed is None and not wanted_all:
            raise Raised(KeyboardInterrupt("the call was given up before it began"), None)
        if decoder.failed is None:
            answer = applied(op, obj, args, decoder.mentioned, encoder.loans)
    except Raised as raised:
        # Of what was read already, all is given back as it is dropped.
        reader.at = start
        reader.skip()
        outcomes.append(_outcome(place, 1) + raised_body(raised, encoder.loans, encoder.held))
        return ["failed", place]
    if decoder.failed is not None:
        if wanted or not uses:
            told = Writer()
            told.uint(decoder.failed)
            outcomes.append(_outcome(place, 2) + told.bytes)
        return ["failed", decoder.failed]
    arguments = [None if id(each) in decoder.completed else each for each in nameable(op, args)]
    if wanted:
        one = Encoder(encoder.loans, encoder.held, arguments, True)
        try:
            attempt_to_send(one, answer)
            outcomes.append(_outcome(place, 0) + one.out.bytes)
        except Raised as raised:
            # It is there all the same for later steps.
            outcomes.append(_outcome(place, 1) + raised_body(raised, encoder.loans, encoder.held))
    return ["object", answer.box[0], uses] if uses else ["gone"]


def _outcome(place, told):
    out = Writer()
    out.array(3)
    out.uint(place)
    out.uint(told)
    return out.bytes



# ---- link: the conversation ------------------------------------------------------------------------------------------------------------

HELLO, CALL_FRAME, REPLY, RAISED, RELEASE, CANCEL, BYE = range(1, 8)
HEADER = struct.Struct("<IB3xQQ")
CHUNK = 64 << 10


class Forked(BaseException):
    """This is a fork of the child: it has no part in the link, and ends."""


class ForkedProxy(SaranwrapError):
    """A proxy was used in a process that was forked from its own."""


ForkedProxy.__module__ = "saranwrap.errors"


class Stay(object):
    """A call that a thread is in."""

    __slots__ = ("block", "call", "chain", "deadline", "is_pipeline", "order")

    def __init__(self, chain, call=None, order=None, deadline=None):
        self.chain = chain
        # Its number, where it is served here rather than asked.
        self.call = call
        self.order = order
        self.deadline = deadline
        # What the package knows the deadline by, where code in this process uses that.
        self.block = None
        self.is_pipeline = False


class Waiter(object):
    """How one thread is woken, and the calls that are for it. A pipe, since a signal ends a wait for it."""

    def __init__(self, link):
        self.link = link
        self.thread = _thread.get_ident()
        self.reading, self.writing = os.pipe()
        for fd in (self.reading, self.writing):
            keep_to_ourselves(fd)
            do_not_block(fd)
        self.calls = []
        # The calls that this thread is in, innermost last.
        self.stack = []
        # Whether it is in a main loop; and whether it waits for nothing but calls to serve.
        self.serves = self.is_idle = False
        # Whether it is in the user's code, where it may be interrupted; and whether another thread has told it to stop.
        self.is_open = self.disturbed = False

    def ring(self):
        try:
            os.write(self.writing, b"!")
        except (OSError, AttributeError):
            # It is full, and rings anyway; or the thread is gone.
            pass

    def hush(self):
        try:
            os.read(self.reading, CHUNK)
        except OSError:
            pass

    def wait(self, socket=None, seconds=None):
        """Sleep until the bell rings, or there is something to read, but no longer than that. Whether there is."""
        poll = select.poll()
        poll.register(self.reading, select.POLLIN)
        if socket is not None:
            poll.register(socket, select.POLLIN)
        try:
            ready = poll.poll(None if seconds is None else max(0, int(seconds * 1000) + 1))
        except (select.error, OSError):
            # A signal.
            return False
        if any(fd == self.reading for fd, _ in ready):
            self.hush()
        return any(fd == socket for fd, _ in ready)

    def served(self):
        """The innermost call that this thread serves."""
        return next((stay for stay in reversed(self.stack) if stay.call is not None), None)

    def interruptible(self, work, *args):
        """What `work`, which is the user's, comes to. Meanwhile this thread may be interrupted, if it is in a main loop."""
        outcome = None
        while True:
            # Of each call one exception comes from outside, at any step from here to where that is taken back.
            try:
                if outcome is None:
                    self.is_open = self.serves
                    outcome = outcome_of(work, args)
                if os.getpid() != self.link.pid:
                    self.link.renew_locks()
                self.shut()
                break
            except BaseException:
                # The call was over when it came, unless nothing is known of it.
                outcome = outcome or raised_now()
        if type(outcome) is list:
            return outcome[0]
        try:
            raise outcome
        finally:
            # It holds this frame, which is not to hold it.
            del outcome

    def shut(self):
        """From here on this thread is not interrupted. What was under way to it has been raised, or is not raised any more."""
        self.is_open = False
        while self.link.is_interrupting and self is not self.link.main:
            # It has looked at us already, perhaps.
            time.sleep(0.0001)
        if self.disturbed:
            self.disturbed = False
            # What has not been raised by now is taken back.
            self.link.raise_in(self.thread, None)

    def __del__(self):
        for fd in (self.reading, self.writing):
            try:
                os.close(fd)
            except (OSError, TypeError):
                pass


def outcome_of(work, args):
    """[what it returns], or an exception that tells what it raised."""
    try:
        return [work(*args)]
    except (Garbled, Raised, Forked):
        return sys.exc_info()[1]
    except BaseException:
        return raised_now()


class Link(object):
    """The socket, who reads it, and what came in.

    Of all threads that wait one is the leader and reads; the others sleep. An answer goes to the thread that asked, a call to the
    thread that is in its chain, and any other call to a main loop: mostly there is one, in the main thread, which serves whenever it
    waits. Where there are several, one that is in the middle of nothing comes first.
    """

    def __init__(self, fd):
        self.fd = fd
        self.pid = os.getpid()
        self.started = time.time()
        self.lock = RLock()
        self.sending = _thread.allocate_lock()
        self.local = _thread._local()
        self.main = self.waiter()
        # Those in main loops, and how many there will be.
        self.servers, self.company = [], 1
        self.enlist(self.main)
        # The event loop that turns in the main thread, where that is not a loop of ours.
        self.loop = None
        self.leader = None
        self.waiting = []
        self.unread = bytearray()
        self.unsent = []
        # Ids that are to be given back with the next frame.
        self.queued = []
        self.next = 0
        self.pending = {}
        self.answers = {}
        self.owners = {}
        # Calls of a chain that no thread is in.
        self.strangers = []
        # Calls that have come and are not answered.
        self.open_calls = set()
        self.given_up = set()
        self.interrupted = set()
        self.order = 0
        self.undecoded = set()
        self.releases = []
        # Answers that nobody wants any more.
        self.late = []
        self.farewell = False
        self.error = None
        self.requests = self.bytes_in = self.bytes_out = 0
        self.known_modules = set()
        self.modules_count = -1
        # A signal has come; and the main thread is looking whom it is to interrupt.
        self.poked = self.is_interrupting = False
        # What raises an exception in another thread, where there is a way.
        self.raise_in = None
        # Threads of this program that are none of the user's.
        self.own_threads = 1

    # -- what a thread is in --

    def waiter(self):
        found = getattr(self.local, "waiter", None)
        if found is None:
            found = self.local.waiter = Waiter(self)
        return found

    def enlist(self, waiter):
        """Its thread is in a main loop from now on."""
        waiter.serves = True
        self.servers.append(waiter)

    def is_main(self):
        return _thread.get_ident() == self.main.thread

    @property
    def serving(self):
        """Whether this thread is in a call."""
        return bool(self.waiter().stack) and self.error is None and os.getpid() == self.pid

    def served(self):
        """The innermost call that this thread serves."""
        return self.waiter().served()

    def bound(self, left):
        stay = self.served()
        if stay is not None and left is not None:
            stay.deadline = time.time() + left
            self.tell_package(stay)

    def tell_package(self, stay):
        """The package, if code in this process uses that, is to know the deadline of a call that is served."""
        package = sys.modules.get("saranwrap._deadlines")
        if stay.deadline is not None and stay.block is None and hasattr(package, "enter"):
            stay.block = package
            package.enter(max(0.0, stay.deadline - time.time()))

    def tell_package_all(self):
        """It has just been loaded, by one of those calls."""
        for stay in self.waiter().stack:
            self.tell_package(stay)

    def join_package(self):
        """It asks this link, then, whether a call was cancelled."""
        getattr(sys.modules.get("saranwrap._api"), "served", []).append(self)

    def cancelled(self):
        """Whether nobody waits any more for the call that this thread serves."""
        stay = self.served()
        self.pump()
        return stay is not None and stay.call in self.given_up

    def at_home(self):
        if os.getpid() != self.pid:
            raise Forked

    def renew_locks(self):
        """This thread is all that is left in a fork. What others held at that moment stays taken for ever: so there are new locks."""
        self.lock, self.sending = RLock(), _thread.allocate_lock()
        TABLE.lock = RLock()
        self.is_interrupting = False

    def news(self):
        """Modules that were loaded since the parent was told."""
        if len(sys.modules) == self.modules_count:
            return ()
        self.modules_count = len(sys.modules)
        found = [name for name, module in list(sys.modules.items()) if module is not None and name not in self.known_modules]
        found = [name for name in found if isinstance(name, str) and (not PY2 or is_ascii(name))]
        self.known_modules.update(found)
        return found

    # -- asking --

    def call(self, target, args, kwargs):
        return self.ask(CALL, target, (args, kwargs))

    def ask(self, op, target, args, arguments=None):
        """Ask the parent for an op, and wait for the answer; meanwhile serve what belongs to this thread."""
        if os.getpid() != self.pid:
            raise ForkedProxy("this proxy belongs to the process that was forked: the link to its parent stays there")
        waiter = self.waiter()
        if len(waiter.stack) >= MAX_NESTING:
            raise RuntimeError("calls are nested %d deep" % MAX_NESTING)
        was = waiter.is_open
        waiter.shut()
        chain = self._number() if not waiter.stack else waiter.stack[-1].chain
        try:
            with Visit(self, waiter, Stay(chain)) as loans:
                return self._exchange(op, target, args, waiter, chain, loans)
        finally:
            waiter.is_open = was

    def _exchange(self, op, target, args, waiter, chain, loans):
        encoder = Encoder(loans, [])
        try:
            encoder.out.array(2 + len(args))
            encoder.out.uint(op)
            encoder.out.uint(target)
            for place, arg in enumerate(args):
                if place == _POSITIONAL.get(op):
                    encoder.positional(arg)
                elif place == _KEYWORDS.get(op):
                    encoder.keywords(arg)
                else:
                    encoder.value(arg)
            stay = waiter.served()
            left = stay.deadline - time.time() if stay is not None and stay.deadline is not None else None
            encoder.trailer(loans.changes(False), self.news(), left)
        except BaseException:
            encoder.take_back()
            raise
        number = self._number()
        with self.lock:
            self.pending[number] = waiter
        self.send(CALL_FRAME, number, chain, encoder.out.bytes)
        try:
            kind, body, order = self.turn(waiter, number, None if left is None else time.time() + left)
        except BaseException:
            with self.lock:
                self.pending.pop(number, None)
                late = self.answers.pop(number, None)
            if late is not None:
                self._discard(late[1])
                self.decoded(late[2])
            elif self.error is None:
                self.send(CANCEL, number, 0, b"")
            raise
        try:
            decoder = Decoder(body, loans, nameable(op, args))
            box = [decoder.value()]
            decoder.trailer()
        finally:
            self.decoded(order)
        if kind == RAISED:
            raise_it(box[0])
        loans.count_references(decoder.mentioned, box)
        return box[0]

    def _number(self):
        with self.lock:
            self.next += 1
            return self.next | OURS

    # -- waiting --

    def turn(self, waiter, number=None, until=None):
        """Serve until the answer with this number is here, or the time is over; without one, until the parent says Bye."""
        while True:
            self.settle()
            with self.lock:
                if number is not None and number in self.answers:
                    self._resign(waiter)
                    return self.answers.pop(number)
                waiter.is_idle = number is None
                if waiter not in self.waiting:
                    self.waiting.append(waiter)
                call = self.next_call(waiter)
                if call is not None or self.error is not None or (number is None and self.farewell):
                    self._resign(waiter)
                elif self.leader is None:
                    self.leader = waiter
                if call is None and self.error is not None:
                    raise ParentGone("the parent has ended: %s" % self.error)
                if call is None and number is None and self.farewell:
                    return None
                leads = self.leader is waiter
            try:
                if call is not None:
                    self.serve_one(call, waiter)
                    continue
                if waiter is self.main and self.poked:
                    # What it has read may be for this thread, for which nobody rings: so look again.
                    self.heed_signal()
                    self._interrupt(waiter)
                    continue
                left = None if until is None else until - time.time()
                if left is not None and left <= 0:
                    raise CallTimeout("a call took longer than its caller waits: nobody waits for it", None, "abandoned", "a callback")
                if waiter.wait(self.fd if leads else None, left):
                    self.read(waiter)
            except BaseException:
                with self.lock:
                    self._resign(waiter)
                raise

    def _resign(self, waiter):
        """Stop waiting. Another thread reads from now on, unless one does.

        One that was woken to lead may have got what it waited for, and leave without ever having led: that nobody leads is enough.
        """
        if waiter in self.waiting:
            self.waiting.remove(waiter)
        if self.leader is waiter:
            self.leader = None
        if self.leader is None and self.waiting:
            self.waiting[0].ring()

    def next_call(self, waiter):
        """A call that this thread may serve now, or None. Under the lock."""
        if waiter.calls:
            return waiter.calls.pop(0)
        return self.strangers.pop(0) if self.strangers and self._may_serve_any(waiter) else None

    def _may_serve_any(self, waiter):
        """Whether a call of nobody's chain is for this thread: the answer to the call that it is in must not wait for a stranger's,
        unless all others are in the middle of one and wait, so that nobody else would serve it."""
        if not waiter.serves or waiter.is_idle:
            return waiter.serves
        return len(self.servers) == self.company and all(other in self.waiting and not other.is_idle for other in self.servers)

    def _ring_for_strangers(self, reader):
        """A call of nobody's chain has come. Under the lock."""
        able = [waiter for waiter in self.waiting if self._may_serve_any(waiter)]
        if reader not in able and (able or reader is not self.main):
            (able[0] if able else self.main).ring()

    def serve_one(self, call, waiter):
        number, chain, body, order = call
        held = []
        try:
            with Visit(self, waiter, Stay(chain, number, order)) as loans:
                answered, body = serve(body, loans, number not in self.given_up, held)
        finally:
            self.decoded(order)
        self.at_home()
        if answered is not None:
            self.answer(number, chain, answered, body)

    def answer(self, number, chain, answered, body):
        """Answer a call that has come."""
        with self.lock:
            self.requests += 1
            for calls in (self.open_calls, self.given_up, self.interrupted):
                calls.discard(number)
        self.send(REPLY if answered else RAISED, number, chain, body)

    # -- what comes in --

    def pump(self, reader=None):
        """Read what is there, without waiting, unless another thread reads."""
        with self.lock:
            if self.leader not in (None, self.waiter()):
                return
            poll = select.poll()
            poll.register(self.fd, select.POLLIN)
            if poll.poll(0):
                self.read(reader)

    def read(self, reader=None):
        """Take in what has come. `reader` looks by itself, as soon as this is done, for what is its own: its bell need not be rung."""
        try:
            data = os.read(self.fd, CHUNK if len(self.unread) < CHUNK else 16 * CHUNK)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.EAGAIN):
                return
            data = b""
        if not data:
            self.end("the link is closed")
            return
        self.bytes_in += len(data)
        self.unread += data
        at, unread = 0, self.unread
        while len(unread) - at >= HEADER.size:
            length, kind, number, chain = HEADER.unpack(bytes(unread[at : at + HEADER.size]))
            if len(unread) - at - HEADER.size < length:
                break
            at += HEADER.size
            self.dispatch(kind, number, chain, bytearray(unread[at : at + length]), reader)
            at += length
        if at:
            del unread[:at]

    def dispatch(self, kind, number, chain, body, reader=None):
        with self.lock:
            self.order += 1
            if kind == CALL_FRAME:
                self.undecoded.add(self.order)
                self.open_calls.add(number)
                call, owner = (number, chain, body, self.order), self.owners.get(chain)
                (self.strangers if owner is None else owner.calls).append(call)
                if owner is None:
                    self._ring_for_strangers(reader)
                elif owner is not reader:
                    owner.ring()
            elif kind in (REPLY, RAISED):
                waiter = self.pending.pop(number, None)
                self.undecoded.add(self.order)
                if waiter is None:
                    self.late.append((body, self.order))
                    return
                self.answers[number] = kind, body, self.order
                if waiter is not reader:
                    waiter.ring()
            elif kind == RELEASE:
                self.releases.append((self.order, body))
            elif kind == CANCEL:
                # One that has been answered meanwhile is nobody's business.
                if number in self.open_calls:
                    self.given_up.add(number)
                if reader is not self.main:
                    self.main.ring()
            elif kind == BYE:
                self.farewell = True
                for waiter in [self.main] + self.waiting:
                    waiter.ring()
            elif kind != HELLO:
                raise Garbled("%d is no kind of frame" % kind)

    def _discard(self, body):
        """An answer that nobody wants any more: what it gives out is given back."""
        given, reader = [], Reader(body)
        while not reader.at_end():
            reader.skip(given)
        self.queued.extend(each for each in given if each[0])

    def decoded(self, order=None):
        """What came as this was read: nothing in it is needed any more but what is held."""
        if order is None:
            order = self.served().order
        with self.lock:
            self.undecoded.discard(order)
        self.settle()

    def settle(self):
        """Take back what was given back, as far as nothing that came before that is still to be read: it may name those objects."""
        while self.late:
            with self.lock:
                body, order = self.late.pop() if self.late else (b"", None)
            self._discard(body)
            with self.lock:
                self.undecoded.discard(order)
        if not self.releases:
            return
        with self.lock:
            first = min(self.undecoded) if self.undecoded else self.order + 1
            due = [body for order, body in self.releases if order < first]
            self.releases = [each for each in self.releases if each[0] >= first]
        gone = []
        for body in due:
            reader = Reader(body)
            while not reader.at_end():
                number, count = reader.uint(), reader.uint()
                obj = TABLE.take_back(number, count)
                if obj is not None:
                    _READINGS.pop(number, None)
                    gone.append(obj)
                del obj
        # Dropped here, where no lock is held: destructors are foreign code.
        del gone

    def end(self, why):
        with self.lock:
            self.error = self.error or why
            for waiter in [self.main] + self.waiting + list(self.pending.values()):
                waiter.ring()

    # -- what goes out --

    def greeted(self):
        """From here on nobody waits for this descriptor but by a poll."""
        do_not_block(self.fd)

    def send(self, kind, number, chain, body):
        frame = HEADER.pack(len(body), kind, number, chain) + bytes(body)
        if self.queued:
            # Behind, never ahead: the frame may name objects whose last proxy here has gone by now.
            frame += self._due_releases()
        self.bytes_out += len(frame)
        # The answers of an event loop go while it does other things.
        is_patient = self.loop is None or kind not in (REPLY, RAISED) or not self.is_main()
        try:
            with self.sending:
                self.unsent.append(memoryview(frame))
                self.write(is_patient)
        except OSError as error:
            self.end("the link is closed")
            if kind == CALL_FRAME:
                raise ParentGone("the parent has ended: %s" % error)
        if self.unsent and not is_patient:
            self.loop.go_on_writing()

    def _due_releases(self):
        releases = Writer()
        with self.lock:
            due, self.queued[:] = self.queued[:], []
        for number, count in due:
            releases.uint(number)
            releases.uint(count)
        return HEADER.pack(len(releases.bytes), RELEASE, 0, 0) + bytes(releases.bytes)

    def write(self, is_patient):
        """Send what waits for that: all of it, or as much as the socket takes at once. Under the lock `sending`."""
        while self.unsent:
            try:
                left = self.unsent[0][os.write(self.fd, self.unsent[0]) :]
            except OSError as error:
                if error.errno == errno.EAGAIN and not is_patient:
                    return
                if error.errno not in (errno.EINTR, errno.EAGAIN):
                    del self.unsent[:]
                    raise
                if error.errno == errno.EAGAIN:
                    wait_to_write(self.fd)
                continue
            if len(left):
                self.unsent[0] = left
            else:
                del self.unsent[0]

    # -- giving up --

    def signalled(self, _signum=None, _frame=None):
        """Ctrl-C reaches the whole process group; only calls that the parent gave up are to stop here."""
        self.poked = True
        if not self.main.is_open or not self.is_main():
            self.main.ring()
            return
        self.main.is_open = False
        try:
            self.heed_signal()
        finally:
            self.main.is_open = True
        self._interrupt(self.main)

    def heed_signal(self):
        """In the main thread: look what was given up, answer what has not begun, and interrupt other threads."""
        self.poked = False
        self.pump(self.main)
        self._decline()
        self._interrupt_others()

    def _decline(self):
        """Answer the calls that were cancelled before they began: who gave them up need not wait for what the others are in."""
        with self.lock:
            given_up = [call for call in self.strangers if call[0] in self.given_up]
            self.strangers = [call for call in self.strangers if call[0] not in self.given_up]
        for call in given_up:
            self.serve_one(call, self.main)

    def _interrupt(self, waiter):
        """Raise in the innermost call that this thread serves, if it was cancelled; once for each call."""
        stay = waiter.served()
        if stay is None or stay.call not in self.given_up or stay.call in self.interrupted:
            return
        self.interrupted.add(stay.call)
        late = stay.deadline is not None and stay.deadline <= time.time()
        if late:
            # What cleans up has the grace that the parent gives.
            stay.deadline = None
            if stay.block is not None:
                stay.block.lift()
        # Not the same: some code takes Ctrl-C for something that other processes have been told as well, and waits for them.
        raise Stopped() if late else KeyboardInterrupt()

    def _interrupt_others(self):
        """The same in the other main loops. A thread that leaves the user's code meanwhile waits until this is done, so that nothing
        reaches its next call."""
        if self.raise_in is None:
            return
        was, self.is_interrupting = self.is_interrupting, True
        try:
            for waiter in self.servers:
                if waiter is self.main or not waiter.is_open:
                    continue
                stay = waiter.served()
                if stay is not None and stay.call in self.given_up and stay.call not in self.interrupted:
                    self.interrupted.add(stay.call)
                    stay.deadline = None
                    waiter.disturbed = True
                    self.raise_in(waiter.thread, Stopped)
        finally:
            self.is_interrupting = was


class Visit(object):
    """The stay of a thread in a call. It ends where it began, and gives the loans of the chain."""

    __slots__ = ("link", "owned", "stay", "waiter")

    def __init__(self, link, waiter, stay):
        self.link = link
        self.waiter = waiter
        self.stay = stay
        self.owned = False

    def __enter__(self):
        link, chain = self.link, self.stay.chain
        loans = SCOPES.enter(chain)
        self.waiter.stack.append(self.stay)
        with link.lock:
            self.owned = chain not in link.owners
            if self.owned:
                link.owners[chain] = self.waiter
        return loans

    def __exit__(self, *_):
        link, chain = self.link, self.stay.chain
        SCOPES.leave(chain)
        self.waiter.stack.pop()
        if self.stay.block is not None and self.stay.order is not None:
            self.stay.block.leave()
        if not self.owned:
            return
        with link.lock:
            if link.owners.get(chain) is self.waiter:
                del link.owners[chain]
            late = [call for call in self.waiter.calls if call[1] == chain]
            for call in late:
                # It came too late for this thread, and is for a main loop.
                self.waiter.calls.remove(call)
                link.strangers.append(call)
            if late:
                link._ring_for_strangers(None)


LINK = None


# ---- several main loops: threads, or an event loop of the language ------------------------------------------------------------------------


def begin_to_serve(concurrency):
    """What the main thread does from now on."""
    if concurrency == "asyncio":
        return serve_with_loop
    if concurrency != "serial":
        return lambda: serve_on_threads(concurrency)
    return serve_to_the_end


def serve_to_the_end():
    """Serve in this thread until the conversation has ended."""
    try:
        LINK.turn(LINK.waiter())
    except (ParentGone, Forked):
        # The parent went without a word, as one does that is killed; or this is a fork, which has nobody to serve.
        pass


# How long threads that serve may take to find out that there is nobody to serve, in seconds.
RETURNING = 0.1


def serve_on_threads(count):
    import threading

    LINK.raise_in, LINK.company = raiser(), count

    def serve_beside():
        LINK.enlist(LINK.waiter())
        serve_to_the_end()
        if os.getpid() != LINK.pid:
            # In a fork of this process this is the only thread, and no main one waits for it.
            leave()

    threads = [threading.Thread(target=serve_beside, name="saranwrap-serve-%d" % number) for number in range(1, count)]
    for thread in threads:
        # The process is not to stay because one of them does not come back.
        thread.daemon = True
        thread.start()
    serve_to_the_end()
    LINK.end("the conversation is over")
    until = time.time() + RETURNING
    for thread in threads:
        thread.join(max(0.0, until - time.time()))
    if os.getpid() == LINK.pid and any(thread.is_alive() for thread in threads):
        leave()


def raiser():
    """What raises an exception in the thread with this number, at one of its next steps, or takes that back (None instead of a class);
    None where the interpreter cannot."""
    try:
        import ctypes

        set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (ImportError, AttributeError):
        return None
    return lambda thread, kind: set_exception(ctypes.c_ulong(thread), kind and ctypes.py_object(kind))


def leave():
    """End this process as an interpreter does, but for threads that are in the middle of a call: they are not torn down.

    An interpreter that goes while they run may come to grief over them.
    """
    import threading

    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    os._exit(0)


class Loop(object):
    """Serves the parent from within an event loop of asyncio: between its tasks, and by tasks."""

    def __init__(self, loop):
        self.loop = loop
        self.ended = loop.create_future()
        # By the number of the call that each answers; and those that were not cancelled.
        self.tasks = {}
        self.wanted = set()
        for fd in (LINK.fd, LINK.main.reading):
            loop.add_reader(fd, self.turn)
        loop.call_soon(self.turn)

    def turn(self):
        """Serve what has come, and cancel what nobody waits for."""
        try:
            goes_on = self._serve_ready()
        except Forked:
            # This is a fork, which shares what the loop looks at with the process that it was forked from.
            leave()
        except Garbled as error:
            self.ended.set_exception(error)
            return
        for number in [number for number in self.wanted if number in LINK.given_up]:
            self.wanted.discard(number)
            # Behind its first step: a coroutine that has not begun would end without a word.
            self.loop.call_soon(self.tasks[number].cancel)
        if not goes_on and not self.ended.done():
            for fd in (LINK.fd, LINK.main.reading):
                self.loop.remove_reader(fd)
            self.ended.set_result(None)

    def _serve_ready(self):
        """Serve what is there, without waiting for more. Whether the conversation goes on."""
        waiter = LINK.main
        waiter.hush()
        LINK.pump(waiter)
        while True:
            LINK.settle()
            if LINK.poked:
                LINK.heed_signal()
            with LINK.lock:
                waiter.is_idle = True
                call = LINK.next_call(waiter)
            if call is None:
                return LINK.error is None and not LINK.farewell
            LINK.serve_one(call, waiter)

    def begin(self, stay, awaitable):
        """Run it as a task that answers the call that this thread is in."""
        chain = [each for each in LINK.waiter().stack if each.chain == stay.chain and each.call is not None]
        if len(chain) > 1 and LINK.is_main():
            raise Deadlock(
                "cannot await this now: the child's event loop would run it, and waits for the callback that this was asked in, "
                "which waits for this; have a coroutine function call back, or await outside of the callback"
            )
        if stay.is_pipeline:
            raise Deadlock("cannot await a step of a pipeline in a child with an event loop: its next step would wait for it")
        steps = Steps(Stay(stay.chain, stay.call, None, stay.deadline), awaitable)
        steps.stay.block = stay.block
        if LINK.is_main():
            self._start(steps)
        else:
            self.loop.call_soon_threadsafe(self._start, steps)
        return Answer(None, "later")

    def _start(self, steps):
        number = steps.stay.call
        self.tasks[number] = task = self.loop.create_task(coroutine(steps))
        self.wanted.add(number)
        if steps.stay.block is not None:
            # The task has the deadline from the context that it began in.
            steps.stay.block.open_block()

        def end(_task):
            self.wanted.discard(number)
            del self.tasks[number]
            if steps.stay.block is not None:
                steps.stay.block.close_block()

        task.add_done_callback(end)

    def go_on_writing(self):
        """The socket takes no more for now: the rest goes when it does."""
        self.loop.add_writer(LINK.fd, self._write)

    def _write(self):
        try:
            with LINK.sending:
                LINK.write(False)
        except OSError:
            LINK.end("the link is closed")
        if not LINK.unsent:
            self.loop.remove_writer(LINK.fd)


class Steps(object):
    """An awaitable, each step of which is done in the chain of a call, so that what it asks is served by whoever made that call; the
    last one answers the call. Whatever it raises belongs to who asked, and must not end the loop: not even SystemExit."""

    def __init__(self, stay, awaitable):
        self.stay = stay
        self.awaitable = awaitable
        self.steps = None

    def __await__(self):
        return self

    __iter__ = __await__

    def __next__(self):
        return self._step(self._go_on)

    def throw(self, *error):
        return self._step(self._throw, *error)

    def _go_on(self):
        if self.steps is None:
            self.steps = begin_to_await(self.awaitable)
            self.awaitable = None
        return next(self.steps) if not hasattr(self.steps, "send") else self.steps.send(None)

    def _throw(self, kind, value=None, traceback=None):
        if hasattr(self.steps, "throw"):
            return self.steps.throw(value if value is not None else kind)
        raise value if value is not None else kind

    def _step(self, act, *args):
        held = []
        with Visit(LINK, LINK.main, self.stay) as loans:
            try:
                return LINK.main.interruptible(act, *args)
            except Raised as raised:
                if isinstance(raised.error, StopIteration):
                    answered, body = answer_later(raised.error.value, loans, held)
                else:
                    answered, body = False, raised_with_trailer(raised, loans, held)
        LINK.answer(self.stay.call, self.stay.chain, answered, body)
        raise StopIteration


def begin_to_await(awaitable):
    begin = getattr(type(awaitable), "__await__", None)
    if begin is not None:
        return begin(awaitable)
    if hasattr(awaitable, "cr_await") or hasattr(awaitable, "gi_yieldfrom"):
        return awaitable
    raise TypeError("object %s can't be used in 'await' expression" % type(awaitable).__name__)


def serve_with_loop():
    """Run an event loop in the main thread, and serve from within."""
    import asyncio

    class Serving(object):
        def __await__(self):
            LINK.loop = Loop(asyncio.get_event_loop())
            return iter(LINK.loop.ended)

    if hasattr(asyncio, "run"):
        asyncio.run(coroutine(Serving()))
    else:
        asyncio.get_event_loop().run_until_complete(coroutine(Serving()))


# ---- what goes home beside the objects: output, warnings, what could not be raised, records -------------------------------------------------


class Stream(object):
    """A `sys.stdout` that writes to the parent's while a call is served, and to the inherited one else.

    One that is routed goes where the parent wants it, descriptor and all, and always writes to the inherited one.
    """

    softspace = 0

    def __init__(self, kind, inherited, routed):
        self._kind = kind
        self._is_routed = kind in routed
        self._inherited = _begin_routed(kind) if self._is_routed else inherited

    def write(self, text):
        """Write `text` where the parent's own output goes."""
        if not isinstance(text, (str, TEXT)):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        if LINK.serving and not self._is_routed:
            LINK.call(0, (self._kind, text_of(text) if PY2 else "".join([text])), {})
        elif self._inherited is not None:
            self._inherited.write(text.encode("utf-8") if PY2 and isinstance(text, TEXT) else text)
            self._inherited.flush()
        return None if PY2 else len(text)

    def writelines(self, lines):
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self):
        """Nothing is kept back here; the parent's own stream may keep something."""
        if LINK.serving and not self._is_routed:
            LINK.call(0, (self._kind,), {})
        if self._inherited is not None:
            self._inherited.flush()

    def __getattr__(self, name):
        return getattr(self._inherited, name)

    def __iter__(self):
        return iter(self._inherited or ())


def _begin_routed(kind):
    """The stream over a descriptor that leads to the parent, which reads UTF-8 and takes every byte."""
    number = ("stdout", "stderr").index(kind) + 1
    if PY2:
        return getattr(sys, "__%s__" % kind)
    stream = open(number, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    setattr(sys, "__%s__" % kind, stream)
    return stream


def move_in(routed, notes):
    """Send warnings, output and what is logged home."""
    sys.stdout = Stream("stdout", sys.stdout, routed)
    sys.stderr = Stream("stderr", sys.stderr, routed)
    inherited, own_filters = warnings.showwarning, warnings.filters[:]

    def show(message, category, filename, lineno, file=None, line=None):
        if LINK.serving and file is None:
            about = (message, category, _about(filename, lineno), lineno, _module_of(filename))
            LINK.call(0, ("warning",) + about, {})
        elif file is not None or not _is_ignored(own_filters, message, category, filename, lineno):
            inherited(message, category, filename, lineno, file, line)

    # The parent's filters decide; here every warning is let through.
    warnings.simplefilter("always")
    warnings.showwarning = show
    if hasattr(sys, "unraisablehook"):
        ignored = sys.unraisablehook

        def unraisable(about):
            if LINK.serving and about.exc_value is not None:
                LINK.call(0, ("unraisable", about.exc_value, about.err_msg, about.object), {})
            else:
                ignored(about)

        sys.unraisablehook = unraisable
    when_loaded("logging", lambda: begin_to_log(notes))
    when_loaded("saranwrap._deadlines", LINK.tell_package_all)
    when_loaded("saranwrap._api", LINK.join_package)


def _about(filename, lineno):
    """What a warning is about: a file, or whoever called the code of this side, that many frames further out."""
    if filename != HERE:
        return filename
    frame, further, inside = sys._getframe(), 0, True
    while frame is not None:
        ours = frame.f_code.co_filename == HERE
        # First come frames of this program that show the warning, then those of the user, and then those that called them.
        if not inside and ours:
            if frame.f_lineno == lineno:
                return further
            further += 1
        inside = inside and ours
        frame = frame.f_back
    return further


def _module_of(filename):
    """The name of the module that warned: filters may name it. It stands in the frame with that file."""
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_filename != filename:
        frame = frame.f_back
    return frame.f_globals.get("__name__") if frame is not None else None


def _is_ignored(filters, message, category, filename, line):
    """Whether a warning that nobody at home can be asked about is of no interest, by the filters that this process began with."""
    module = _module_of(filename) or ""
    for action, text, kind, place, number in filters:
        if (
            (text is None or text.match(str(message)))
            and issubclass(category, kind)
            and (place is None or place.match(module))
            and number in (0, line)
        ):
            return action == "ignore"
    return False


class Loading(object):
    """On `sys.meta_path` until a module is loaded; then it calls whoever wants to know."""

    def __init__(self, name, then):
        self.name = name
        self.then = then

    def find_module(self, name, _path=None):
        """As Python 2 asks."""
        return self if name == self.name and PY2 else None

    def load_module(self, name):
        sys.meta_path.remove(self)
        __import__(name)
        self.then()
        return sys.modules[name]

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        for finder in list(sys.meta_path):
            spec = finder.find_spec(name, path, target) if finder is not self and hasattr(finder, "find_spec") else None
            if spec is not None:
                self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader):
        load = loader.exec_module

        def exec_module(module):
            loader.__dict__.pop("exec_module", None)
            load(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            self.then()

        # One that cannot be followed is one that nobody hears of.
        if hasattr(loader, "__dict__"):
            loader.exec_module = exec_module


def when_loaded(name, then):
    """Call now, or once the module is loaded, which this does not do."""
    if name in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, Loading(name, then))


# What the parent has last told of its loggers, and the levels that were set here for that.
_POSTED = [None]
_APPLIED = {"": 30}
_DISABLED = [0]
_HOME = []
LONGEST_TEXT = 256 << 10
_SENT = (
    "name levelno levelname pathname filename module lineno funcName created msecs relativeCreated thread threadName process "
    "processName taskName stack_info"
).split()


def posted(text):
    """The parent has something to tell, ahead of what it asks."""
    _POSTED[0] = text
    if _HOME:
        apply_levels(text)


def begin_to_log(notes):
    """Send home what no handler of the child's own takes."""
    import logging

    writing = _thread.allocate_lock()
    do_not_block(notes)

    class Home(logging.Handler):
        def handle(self, record):
            # Without the handler's lock: while a record is at home, another thread may log.
            kept = self.filter(record)
            if kept:
                self.emit(record if kept in (True, 1) else kept)
            return bool(kept)

        def emit(self, record):
            try:
                fields = fields_of(record)
            except Exception:
                # The record's own objects may raise anything when their text is made.
                self.handleError(record)
                return
            if LINK.serving:
                # What the parent's filters raise is raised here, in the code that logs, as it would be there.
                LINK.call(0, ("log", tuple(fields.items())), {})
            else:
                with writing:
                    write_note(notes, fields)

    _HOME.append(Home())
    # `logging` asks this one where nobody has set up anything, and what it would do is for the parent to do.
    if PY2:
        logging.root.addHandler(_HOME[0])
    else:
        logging.lastResort = _HOME[0]
    if _POSTED[0] is not None:
        apply_levels(_POSTED[0])


def fields_of(record):
    """A record as plain data: its text is made here, and whatever is attached to it and is no plain data goes as its `repr`."""
    import json
    import logging

    fields = dict((key, _plain_data(getattr(record, key, None), str)) for key in _SENT)
    fields["message"] = text_of(record.getMessage())[:LONGEST_TEXT]
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = text_of(logging.Formatter().formatException(record.exc_info))[:LONGEST_TEXT]
    elif record.exc_text:
        fields["exc_text"] = text_of(str(record.exc_text))[:LONGEST_TEXT]
    own_fields = frozenset(vars(logging.makeLogRecord({}))) | frozenset(["message", "asctime", "taskName"])
    extra = dict((str(key), _plain_data(value, repr)) for key, value in vars(record).items() if key not in own_fields)
    if extra:
        # Containers would go by reference.
        fields["extra"] = json.dumps(extra)
    return fields


def write_note(notes, fields):
    """Put a record into the pipe, as one line. The line's end in front closes what was left unfinished."""
    import json

    line = memoryview(b"\n" + json.dumps(fields).encode("ascii") + b"\n")
    while len(line):
        try:
            line = line[os.write(notes, line) :]
        except OSError as error:
            # The parent is gone; or it takes no more for longer than a thread is to wait for that.
            if error.errno not in (4, 11) or not select.select([], [notes], [], 5.0)[1]:
                return


def apply_levels(text):
    """Set the loggers as they are set at home. One that the child's own code has set since is left alone."""
    logging = sys.modules["logging"]
    lines = text.split("\n")
    has_handlers, disabled = (int(number) for number in lines[0].split(" "))
    levels = dict((name, int(level)) for level, _, name in (line.partition(" ") for line in lines[1:]))
    for name in set(levels) | set(_APPLIED):
        logger = logging.getLogger(name) if name else logging.root
        level = levels.get(name, logging.NOTSET)
        if logger.level == _APPLIED.get(name, logging.NOTSET) != level:
            logger.setLevel(level)
        if logger.level == level:
            _APPLIED[name] = level
    if logging.root.manager.disable == _DISABLED[0] != disabled:
        logging.disable(disabled)
        _DISABLED[0] = disabled
    handlers = logging.root.handlers
    # Where the parent has set up handlers, the child's code is not to set up its own, such as by `basicConfig`.
    if has_handlers and not handlers:
        logging.root.addHandler(_HOME[0])
    elif not has_handlers and _HOME[0] in handlers and not PY2:
        logging.root.removeHandler(_HOME[0])


def _plain_data(value, otherwise, depth=4):
    """Plain data as it is, in containers of its own; of anything else what `otherwise` makes of it."""
    kind = type(value)
    if value is None or kind in (bool, float) or kind in INTEGERS:
        return value
    if kind in (str, TEXT):
        return text_of(value)[:LONGEST_TEXT]
    if depth and kind in (list, tuple):
        return kind([_plain_data(item, otherwise, depth - 1) for item in value])
    if depth and kind is dict and all(type(key) is str for key in value):
        return dict((key, _plain_data(item, otherwise, depth - 1)) for key, item in value.items())
    return text_of(str(otherwise(value)))[:LONGEST_TEXT]


# ---- start, and end --------------------------------------------------------------------------------------------------------------------------


def fcntl_module():
    return __import__("fcntl")


def keep_to_ourselves(fd):
    """Keep the descriptor out of programs that this process starts."""
    fcntl = fcntl_module()
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.fcntl(fd, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)


def do_not_block(fd):
    """Reading and writing say at once that there is nothing, or no room."""
    fcntl = fcntl_module()
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)


def wait_to_write(fd):
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    try:
        poll.poll()
    except (select.error, OSError):
        # A signal.
        pass


def move_high(fd):
    """The same descriptor under a number that no program calls by itself."""
    fcntl = fcntl_module()
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD, 10)
    keep_to_ourselves(moved)
    return moved


MOST_GIFTS = 8


def receive_gifts(fd):
    """The descriptors that ride on the first byte: the standard input, and where notes are written."""
    try:
        import _socket

        receive = _socket.socket.recvmsg
    except (ImportError, AttributeError):
        return _receive_gifts_by_ctypes(fd)
    del receive
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
    try:
        _, messages, _, _ = link.recvmsg(1, _socket.CMSG_SPACE(4 * MOST_GIFTS))
    finally:
        link.detach()
    found = b"".join(data for level, kind, data in messages if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS))
    return struct.unpack("=%di" % (len(found) // 4), found[: len(found) // 4 * 4])


def _receive_gifts_by_ctypes(fd):
    """The same where the language has no word for it."""
    import ctypes

    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    class Message(ctypes.Structure):
        _fields_ = [
            ("name", ctypes.c_void_p),
            ("name_length", ctypes.c_uint32),
            ("vectors", ctypes.POINTER(Vector)),
            ("vectors_length", ctypes.c_size_t),
            ("control", ctypes.c_void_p),
            ("control_length", ctypes.c_size_t),
            ("flags", ctypes.c_int),
        ]

    byte = ctypes.create_string_buffer(1)
    control = ctypes.create_string_buffer(512)
    vector = Vector(ctypes.addressof(byte), 1)
    message = Message(None, 0, ctypes.pointer(vector), 1, ctypes.addressof(control), 512, 0)
    received = -1
    libc = ctypes.CDLL(None, use_errno=True)
    libc.recvmsg.restype = ctypes.c_ssize_t
    while received < 0:
        received = libc.recvmsg(fd, ctypes.byref(message), 0)
        if received < 0 and ctypes.get_errno() != 4:
            raise OSError(ctypes.get_errno(), "could not receive the standard input")
    # A header of a length, a level and a kind, and then the descriptors.
    head = struct.calcsize("@Nii") if not PY2 else struct.calcsize("@Lii")
    if message.control_length < head:
        return ()
    length, level, kind = struct.unpack_from("@Lii", control.raw)
    if (level, kind) != (1, 1):
        return ()
    return struct.unpack_from("=%di" % ((length - head) // 4), control.raw, head)


def greet(link):
    """The handshake: say who this is, and return what the parent says first."""
    hello = Writer()
    implementation = getattr(getattr(sys, "implementation", None), "name", None) or ("pypy" if "__pypy__" in sys.builtin_module_names else "cpython")
    highest = 2 if PY2 else 5 if sys.version_info >= (3, 8) else 4
    texts = (("child", "agent"), ("implementation", implementation), ("python", python_version()), ("pickle", str(highest)))
    hello.map(3 + len(texts))
    hello.text("protocol")
    hello.uint(PROTOCOL)
    hello.text("version")
    hello.text(VERSION)
    hello.text("pid")
    hello.uint(os.getpid())
    for key, value in texts:
        hello.text(key)
        hello.text(value)
    link.send(HELLO, 0, 0, hello.bytes)
    head = _exactly(link.fd, HEADER.size)
    length, kind, _, _ = HEADER.unpack(head)
    if kind != HELLO:
        raise Garbled("the parent does not greet")
    reader = Reader(_exactly(link.fd, length))
    said = {}
    for _ in range(reader.number_of(MAP)):
        key = reader.text()
        if key == "setup":
            decoder = Decoder(b"", Loans())
            decoder.reader = reader
            said[key] = decoder.value()
        elif key == "version":
            said[key] = reader.text()
        else:
            said[key] = reader.uint()
    if said.get("protocol") != PROTOCOL:
        raise Garbled("the parent speaks version %s of the protocol, this side version %d" % (said.get("protocol"), PROTOCOL))
    return said.get("setup")


def _exactly(fd, length):
    data = b""
    while len(data) < length:
        part = os.read(fd, length - len(data))
        if not part:
            os._exit(0)
        data += part
    return data


def below(pid):
    """All processes below this one, but for those that have begun a session of their own: by that they say that they stay."""
    found, parents = [], [pid]
    session = os.getsid(pid)
    while parents and len(found) < 4096:
        parent = parents.pop()
        try:
            tasks = os.listdir("/proc/%d/task" % parent)
        except OSError:
            continue
        for task in tasks:
            try:
                with open("/proc/%d/task/%s/children" % (parent, task)) as file:
                    children = [int(child) for child in file.read().split()]
                children = [child for child in children if os.getsid(child) == session]
            except (IOError, OSError):
                continue
            found += children
            parents += children
    return found


def end_descendants():
    """End the processes that this one has started: they are told to, and killed if they have not after a moment."""
    if LINK is None or os.getpid() != LINK.pid:
        # A fork inherits this, and has to leave its siblings alone.
        return
    condemned = below(LINK.pid)
    for number in (signal.SIGTERM, signal.SIGCONT):
        for pid in condemned:
            _signal(pid, number)
    until = time.time() + 0.2
    while condemned and time.time() < until:
        time.sleep(0.005)
        condemned = [pid for pid in condemned if pid in below(LINK.pid) and not _is_zombie(pid)]
    for pid in condemned:
        _signal(pid, signal.SIGKILL)


def _is_zombie(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (IOError, OSError, IndexError):
        return True


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def follow_parent(fd):
    """A thread that ends this process soon after its parent or the link has ended, whatever the other threads are doing."""
    poll = select.poll()
    # Hang-ups only: asking for more would wake this thread with every frame.
    poll.register(fd, 0x2000)

    def follow():
        while True:
            try:
                if poll.poll():
                    break
            except Exception:
                continue
        time.sleep(0.5)
        end_descendants()
        os._exit(0)

    _thread.start_new_thread(follow, ())


def forget_link():
    """In a fork of this process: nothing of the link is its own."""
    LINK.renew_locks()
    # What is logged there goes home as before.
    try:
        os.close(LINK.fd)
    except OSError:
        pass


def main():
    """Serve the parent. Returns when the conversation has ended; then the interpreter ends as it always does."""
    global LINK
    fd = move_high(0)
    gifts = receive_gifts(fd)
    if len(gifts) < 2:
        os._exit(0)
    os.dup2(gifts[0], 0)
    os.close(gifts[0])
    for surplus in gifts[2:]:
        os.close(surplus)
    LINK = Link(fd)
    LINK.notes = move_high(gifts[1])
    os.close(gifts[1])
    # The first to be registered is the last to be done.
    atexit.register(end_descendants)
    path, argv, _spin, _changes, concurrency, routed, language = greet(LINK)
    LINK.greeted()
    if language is not None:
        LANGUAGE.append(frozenset(language))
    follow_parent(fd)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget_link)
    # The parent's comes first; what the environment gave to this process alone comes after it.
    sys.path[:] = list(path) + [place for place in sys.path if place and place not in path]
    sys.argv[:] = list(argv)
    try:
        import faulthandler

        if not faulthandler.is_enabled():
            faulthandler.enable(2, all_threads=True)
    except (ImportError, AttributeError, TypeError):
        # Python 2 has none.
        pass
    sys.modules["__main__"].__dict__.pop("main", None)
    move_in(routed, LINK.notes)
    signal.signal(signal.SIGINT, LINK.signalled)
    begin_to_serve(concurrency)()
    LINK.end("the conversation is over")
