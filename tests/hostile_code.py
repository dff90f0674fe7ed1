"""Code for a real child that tries to get out of it: each function is given something of the parent, and the code to run there."""

from __future__ import annotations

import types

from saranwrap._native import OPS, identity


def _ask(proxy, op, *args):
    """A question that no honest proxy asks."""
    session, target, _ = identity(proxy)
    return session.request(OPS[op], target, args)


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
    vars(cls)["method"].__builtins__["exec"](code)


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
