//! What a child may ask of its parent. It holds references to what the user gave it, and those must not lead any further:
//! not to the modules, the code and the frames around an object, and to no way of making code.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};
use saranwrap::error::Error;
use saranwrap::op::Op;

use crate::fault::{Result, named};
use crate::names;

/// Attributes that lead out of any object, or look up others past this check.
///
/// The last four are pyarrow's, and write to, or read from, the address that they are given.
const LEADING_OUT: &[&str] = &[
    "__builtins__",
    "__closure__",
    "__code__",
    "__delattr__",
    "__getattr__",
    "__getattribute__",
    "__globals__",
    "__init_subclass__",
    "__loader__",
    "__setattr__",
    "__spec__",
    "__subclasses__",
    "__subclasshook__",
    "_export_to_c",
    "_export_to_c_device",
    "_import_from_c",
    "_import_from_c_device",
];

/// The types of the language that stand for code. Of them a child may see what a caller may know.
const CODE: &[&str] = &[
    "async_generator",
    "builtin_function_or_method",
    "cell",
    "classmethod",
    "classmethod_descriptor",
    "code",
    "coroutine",
    "frame",
    "function",
    "generator",
    "getset_descriptor",
    "member_descriptor",
    "method",
    "method-wrapper",
    "method_descriptor",
    "staticmethod",
    "traceback",
    "wrapper_descriptor",
];

/// What a caller may know.
const OF_CODE: &[&str] = &[
    "__aiter__",
    "__anext__",
    "__annotations__",
    "__await__",
    "__call__",
    "__class__",
    "__defaults__",
    "__dict__",
    "__dir__",
    "__doc__",
    "__eq__",
    "__format__",
    "__func__",
    "__ge__",
    "__get__",
    "__gt__",
    "__hash__",
    "__isabstractmethod__",
    "__iter__",
    "__kwdefaults__",
    "__le__",
    "__lt__",
    "__module__",
    "__name__",
    "__ne__",
    "__next__",
    "__objclass__",
    "__qualname__",
    "__reduce__",
    "__reduce_ex__",
    "__repr__",
    "__signature__",
    "__str__",
    "__text_signature__",
    "__type_params__",
    "__wrapped__",
    "aclose",
    "asend",
    "athrow",
    "close",
    "send",
    "throw",
];

/// What opens a type of the language: all that it has at once, and two ways to call it.
const OPENING: &[&str] = &["__call__", "__dict__", "__new__"];

/// Methods of a text that read the attributes of what they are given.
const READING: &[&str] = &["format", "format_map"];

/// Refuse what no parent is ever asked by a child of ours: bytes that break the protocol.
/// `target` is None for a step that is asked of an earlier one.
pub(crate) fn check_op(op: Op, target: Option<u64>) -> Result<()> {
    let foreign = matches!(op, Op::Import | Op::Adopt | Op::Await | Op::Reduce | Op::Copy | Op::Status);
    if foreign || (target == Some(0) && !matches!(op, Op::Call | Op::Subclass)) {
        return Err(Error::garbled(format!("a child cannot ask its parent for `{}`", op.name())).into());
    }
    Ok(())
}

/// Refuse to work on what the child would have got as its own, by value or by name.
pub(crate) fn refuse_value(object: &Bound<'_, PyAny>) -> Result<()> {
    let kind = object.get_type().name()?;
    refuse(object, &format!("go on with a `{kind}`, which it gets by value, in"))
}

/// Refuse what would lead out of the object that the child was given.
pub(crate) fn check_reach<'py>(op: Op, object: &Bound<'py, PyAny>, args: &[Bound<'py, PyAny>]) -> Result<()> {
    match (op, args) {
        (Op::GetAttr | Op::SetAttr | Op::DelAttr | Op::CallAttr | Op::Special, [name, ..])
        | (Op::Super, [_, name, ..]) => check_name(object, name),
        // A built-in type crosses by name; whoever asks for it by number wants it for what it can make here.
        (Op::Call, _) if is_built_in_type(object)? => refuse(object, &format!("call `{}` in", object.str()?)),
        _ => Ok(()),
    }
}

fn check_name(object: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> Result<()> {
    // A subclass of `str` may be equal to other names than the one that it shows here.
    let Ok(name) = name.cast_exact::<PyString>() else {
        return refuse(object, "reach for what is no plain name of an object in");
    };
    let name = name.to_string_lossy();
    let name = name.as_ref();
    let allowed = if LEADING_OUT.contains(&name) {
        false
    } else if is_code(&object.get_type())? {
        // What a function's user put on it is the user's; all that the language has there begins otherwise.
        OF_CODE.contains(&name) || is_own(object, name)?
    } else if is_built_in_type(object)? {
        // A member of a type of code is one of every piece of code.
        !OPENING.contains(&name) && (OF_CODE.contains(&name) || !is_code(object.cast()?)?) && !reads(object, name)?
    } else {
        !reads(object, name)?
    };
    if allowed { Ok(()) } else { refuse(object, &format!("reach for `{name}` of an object in")) }
}

/// A text, or a class of them, that would be told to read the attributes of something else.
fn reads(object: &Bound<'_, PyAny>, name: &str) -> Result<bool> {
    if !READING.contains(&name) {
        return Ok(false);
    }
    Ok(match object.cast::<PyType>() {
        Ok(class) => class.is_subclass_of::<PyString>()?,
        Err(_) => object.is_instance_of::<PyString>(),
    })
}

/// The `__self__` of a Python method is the object that it belongs to; that of a C function may be its module.
fn is_own(object: &Bound<'_, PyAny>, name: &str) -> Result<bool> {
    let kind = object.get_type();
    if name == "__self__" {
        return Ok(kind.name()? == "method");
    }
    Ok(!kind.hasattr(name)?)
}

fn is_code(kind: &Bound<'_, PyType>) -> Result<bool> {
    Ok(CODE.contains(&kind.name()?.to_str()?) && is_built_in_type(kind)?)
}

fn is_built_in_type(object: &Bound<'_, PyAny>) -> Result<bool> {
    let named = || object.getattr("__module__")?.extract::<String>();
    Ok(object.is_instance_of::<PyType>() && named().is_ok_and(|module| module == "builtins"))
}

fn refuse(object: &Bound<'_, PyAny>, act: &str) -> Result<()> {
    let message = format!("the child may not {act} the parent; wrap with trust=True to let it");
    Err(named(object.py(), &names::UNREACHABLE, &message).into())
}
