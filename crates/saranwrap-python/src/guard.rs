//! What a child may ask of its parent. It holds references to what the user gave it, and those must not lead any further.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};
use saranwrap::error::Error;
use saranwrap::op::Op;

use crate::fault::{Result, named};
use crate::names;

/// Attributes that lead from an object to the code, the modules and the frames around it.
const LEADING_OUT: &[&str] = &[
    "__globals__",
    "__builtins__",
    "__closure__",
    "__subclasses__",
    "__loader__",
    "__spec__",
    "__code__",
    "f_back",
    "f_builtins",
    "f_globals",
    "f_locals",
    "gi_frame",
    "cr_frame",
    "ag_frame",
    "tb_frame",
];

/// Refuse what no parent is ever asked by a child of ours: bytes that break the protocol.
pub(crate) fn check_op(op: Op, target: u64) -> Result<()> {
    let foreign = matches!(op, Op::Import | Op::Adopt | Op::Reduce | Op::Copy | Op::Status);
    if foreign || (target == 0 && !matches!(op, Op::Call | Op::Subclass)) {
        return Err(Error::garbled(format!("a child cannot ask its parent for `{}`", op.name())).into());
    }
    Ok(())
}

/// Refuse what would lead out of the object that the child was given.
pub(crate) fn check_reach<'py>(op: Op, object: &Bound<'py, PyAny>, args: &[Bound<'py, PyAny>]) -> Result<()> {
    match (op, args) {
        (Op::GetAttr | Op::SetAttr | Op::DelAttr | Op::CallAttr, [name, ..]) | (Op::Super, [_, name, ..]) => {
            check_name(object, name)
        }
        // A built-in type crosses by name; whoever asks for it by number wants it for what it can make here.
        (Op::Call, _) if object.is_instance_of::<PyType>() && is_built_in(object)? => {
            refuse(object, &format!("call the built-in type `{}` of", object.str()?))
        }
        _ => Ok(()),
    }
}

fn check_name(object: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> Result<()> {
    let Ok(text) = name.cast::<PyString>().map_err(PyErr::from).and_then(|name| name.to_str().map(str::to_owned))
    else {
        return Ok(());
    };
    // The `__self__` of a C function is its module.
    let leads_out = LEADING_OUT.contains(&text.as_str())
        || (text == "__self__" && object.is_exact_instance_of::<pyo3::types::PyCFunction>());
    if leads_out { refuse(object, &format!("reach for `{text}` of an object in")) } else { Ok(()) }
}

fn is_built_in(class: &Bound<'_, PyAny>) -> Result<bool> {
    Ok(class.getattr("__module__")?.extract::<String>().is_ok_and(|module| module == "builtins"))
}

fn refuse(object: &Bound<'_, PyAny>, act: &str) -> Result<()> {
    let message = format!("the child may not {act} the parent; wrap with trust=True to let it");
    Err(named(object.py(), &names::UNREACHABLE, &message).into())
}
