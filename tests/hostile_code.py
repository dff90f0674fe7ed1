"""Code for a real child that tries to get out of it: each function is given something of the parent, and the code to run there."""

from __future__ import annotations

import sys
import types

import saranwrap
from saranwrap import _valued, _values
from saranwrap._native import OPS, ProxyBase, identity

# What the portable child has instead; nothing in the native one. Nobody imports it, so it is found by a method of it.
_AGENT = getattr(getattr(type(sys.stdout), "write", None), "__globals__", {})
_AGENT = _AGENT if "LINK" in _AGENT else {}


def _ask(proxy, op, *args):
    """A question that no honest proxy asks. What code is made of is named in it, which an honest child does not."""
    if _AGENT:
        target = _AGENT["id_of_any"](proxy)
    else:
        target = identity(proxy if isinstance(proxy, ProxyBase) else _valued.handle_of(proxy))[1]
    return _ask_by_id(proxy, op, target, args)


def _ask_by_id(proxy, op, target, args):
    if _AGENT:
        _AGENT["MAKERS_OF_CODE"] = frozenset()
        return _AGENT["LINK"].ask(OPS[op], target, args)
    _values.MAKERS_OF_CODE = frozenset()
    return identity(proxy if isinstance(proxy, ProxyBase) else _valued.handle_of(proxy))[0].request(
        OPS[op], target, args
    )


def _number_of(cls):
    return _AGENT["number_of"](cls) if _AGENT else cls._saran_number_


def through_the_globals(function, code):
    function.__globals__["subprocess"].sys.modules["builtins"].exec(code)


def through_the_builtins(function, code):
    function.__builtins__["exec"](code)


def through_a_special_method(function, code):
    _ask(function, "special", "__getattribute__", ("__builtins__",))["exec"](code)


def through_the_method_that_gets(function, code):
    _ask(function, "getattr", "__getattribute__")("__builtins__")["exec"](code)


def through_the_method_that_gets_from_an_object(instance, code):
    get = _ask(instance, "getattr", "__getattribute__")
    get("method").__getattribute__("__func__").__getattribute__("__builtins__")["exec"](code)


def through_the_method_of_an_object(instance, code):
    instance.method.__func__.__globals__["__builtins__"]["exec"](code)


def through_a_method_of_its_class(cls, code):
    cls.method.__globals__["__builtins__"]["exec"](code)


def through_the_members_of_its_class(cls, code):
    members = _ask_by_id(cls, "getattr", _number_of(cls), ("__dict__",)) if _AGENT else vars(cls)
    members["method"].__builtins__["exec"](code)


def through_the_base_class(instance, code):
    get = _ask(instance, "super", type(instance), "__getattribute__")
    get("method").__func__.__getattribute__("__builtins__")["exec"](code)


def through_the_frame_of_a_generator(generator, code):
    generator.gi_frame.f_builtins["exec"](code)


def through_the_code_of_a_generator(generator, function, instance, code):
    def run():
        exec("CODE")

    ours = run.__code__
    made = generator.gi_code.replace(
        co_code=ours.co_code,
        co_consts=tuple(code if constant == "CODE" else constant for constant in ours.co_consts),
        co_names=ours.co_names,
        co_varnames=(),
        co_nlocals=0,
        co_argcount=0,
        co_flags=ours.co_flags,
        co_stacksize=ours.co_stacksize,
        co_exceptiontable=ours.co_exceptiontable,
    )
    _ask(function, "getattr", "__new__")(types.FunctionType, made, vars(instance))()


def through_the_module_of_a_builtin(function, code):
    function.__self__.exec(code)


def by_the_way_to_copy_an_object(instance, code):
    make = _ask(instance, "getattr", "__reduce_ex__")(4)[0]

    def run():
        exec("CODE")

    ours = run.__code__
    constants = tuple(code if constant == "CODE" else constant for constant in ours.co_consts)
    made = make(
        types.CodeType, 0, 0, 0, 0, ours.co_stacksize, ours.co_flags, ours.co_code, constants, ours.co_names, (), "file",
        "name", "name", 1, ours.co_linetable, ours.co_exceptiontable, (), (),
    )  # fmt: skip
    make(types.FunctionType, made, vars(instance))()


def _ask_class(proxy, op, *args):
    """Of the class that the parent has for what stands behind `proxy`."""
    return _ask_by_id(proxy, op, _number_of(type(proxy)), args)


def through_the_members_of_its_type(function, code):
    members = _ask_class(function, "getattr", "__dict__")
    members["__globals__"].__get__(function)["__builtins__"]["exec"](code)


def through_a_member_of_its_type(generator, code):
    frame = _ask_class(generator, "getattr", "gi_frame").__get__(generator)
    _ask_class(frame, "getattr", "f_builtins").__get__(frame)["exec"](code)


def through_the_members_of_the_type_of_all(nothing, function, code):
    members = _ask_class(nothing, "getattr", "__dict__")
    members["__getattribute__"](function, "__globals__")["__builtins__"]["exec"](code)


def _name_everything():
    """Name every method and function to the parent, given or not, as a child with code of its own might."""

    def name(function):
        return "builtins", f"object.{function.__name__}" if function.__name__.startswith("__get") else function.__name__

    _values._function_name = lambda _session, function: name(function)
    if _AGENT:
        known = _AGENT["name_of"]
        _AGENT["name_of"] = lambda obj: name(obj) if callable(obj) and not isinstance(obj, type) else known(obj)


def _derive(instance, base, *overrides):
    number = _ask_by_id(instance, "subclass", 0, ("Derived", (base,), overrides, ()))
    return _AGENT["mirror_of"](number) if _AGENT else identity(instance)[0].mirror(number)


def through_a_class_that_it_derives(instance, code):
    _name_everything()
    derived = _derive(instance, object, ("get", "staticmethod", object.__getattribute__))
    derived.get(instance.method.__func__, "__globals__")["__builtins__"]["exec"](code)


def through_a_mapping_of_functions(instance, code):
    _name_everything()
    make = _ask(instance, "getattr", "__reduce_ex__")(4)[0]
    names = make(map, object.__getattribute__, [instance.method.__func__], ["__globals__"])
    next(names)["__builtins__"]["exec"](code)


def by_a_pipeline_through_the_globals(function, code):
    with saranwrap.pipeline(function) as q:
        q.__globals__["__builtins__"]["exec"](code)


def by_a_pipeline_through_a_method(instance, code):
    with saranwrap.pipeline(instance) as q:
        q.method.__func__.__getattribute__("__builtins__")["exec"](code)


def by_a_pipeline_through_the_class(instance, code):
    with saranwrap.pipeline(instance) as q:
        q.__class__.__dict__["method"].__builtins__["exec"](code)


def by_a_pipeline_through_a_type(instance, code):
    with saranwrap.pipeline(instance) as q:
        for name in ("__class__.__base__", "method.__class__"):
            kind = q
            for part in name.split("."):
                kind = getattr(kind, part) if part != "__class__" else kind.__getattribute__("__class__")
            kind.__subclasses__()
            kind.__dict__["__getattribute__"](q.method.__func__, "__globals__")["__builtins__"]["exec"](code)


def read_through_a_text(instance):
    """What is written into the globals of the parent's code, by a text that the parent formats."""
    text = _derive(instance, str)("{0.__func__.__globals__[SECRET]}")
    return [_tried(lambda ask=ask: ask(text)) for ask in (
        lambda text: text.format(instance.method),
        lambda text: _ask(text, "special", "format", (instance.method,)),
        lambda text: _ask(text, "super", type(text), "format", (instance.method,), ()),
        lambda text: type(text).format(text, instance.method),
        lambda text: text.format_map({"0": instance.method}),
    )]  # fmt: skip


def ask_by_a_derived_name(instance):
    """A name that might be equal to any other."""
    return _tried(lambda: _ask(instance, "getattr", _derive(instance, str)("method")))


def _tried(ask):
    try:
        return ask()
    except Exception as error:
        return repr(error)
