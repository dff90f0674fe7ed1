//! The arguments of an op: which of them is what, and how they are read.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods, PyString, PyStringMethods, PyTuple};
use saranwrap::op::{Op, Request};

use crate::convert::Decoder;
use crate::fault::Result;

enum Argument {
    Name,
    /// A name, or several.
    Path,
    Positional,
    Keywords,
    Value,
}

/// What the argument of an op at this place is.
fn argument(op: Op, place: usize) -> Argument {
    match (op, place) {
        (Op::GetAttr | Op::CallAttr, 0) => Argument::Path,
        (Op::SetAttr | Op::DelAttr | Op::Special, 0) => Argument::Name,
        (Op::Call, 1) | (Op::CallAttr, 2) => Argument::Keywords,
        _ if is_positional(op, place) => Argument::Positional,
        _ => Argument::Value,
    }
}

/// Whether this argument of an op is the tuple of a call's positional arguments.
pub(crate) fn is_positional(op: Op, place: usize) -> bool {
    matches!((op, place), (Op::Call, 0) | (Op::CallAttr | Op::Special | Op::Operate | Op::Await, 1))
}

/// Whether there is a call's positional argument among those of this op.
pub(crate) fn takes_arguments(op: Op) -> bool {
    is_positional(op, 0) || is_positional(op, 1)
}

/// The positional and keyword arguments of a call, in order: the other side counts them the same way.
pub(crate) fn arguments<'py>(op: Op, args: &[Bound<'py, PyAny>]) -> Vec<Bound<'py, PyAny>> {
    let positional = args.iter().enumerate().find(|(place, _)| is_positional(op, *place));
    let positional = positional.and_then(|(_, args)| args.cast::<PyTuple>().ok());
    let keywords = keywords(op, args).into_iter().flat_map(|keywords| keywords.values());
    positional.into_iter().flatten().chain(keywords).collect()
}

/// The keyword arguments of a call, if there are any.
pub(super) fn keywords<'a, 'py>(op: Op, args: &'a [Bound<'py, PyAny>]) -> Option<&'a Bound<'py, PyDict>> {
    match (op, args) {
        (Op::Call, [_, keywords]) | (Op::CallAttr, [_, _, keywords]) => keywords.cast().ok(),
        _ => None,
    }
}

/// Those of this request, with the trailer behind them.
pub(super) fn read_arguments<'py>(request: &Request, decoder: &mut Decoder<'_, 'py>) -> Result<Vec<Bound<'py, PyAny>>> {
    let mut args = Vec::with_capacity(request.argc.min(8));
    for place in 0..request.argc {
        args.push(match argument(request.op, place) {
            Argument::Name => decoder.name()?,
            Argument::Path => decoder.path()?,
            Argument::Positional => decoder.positional()?,
            Argument::Keywords => decoder.keywords()?,
            Argument::Value => decoder.value()?,
        });
    }
    decoder.trailer()?;
    Ok(args)
}

/// Whether the special method is the one by which an object lends its buffer.
pub(super) fn is_buffer(name: &Bound<'_, PyAny>) -> bool {
    name.cast_exact::<PyString>().is_ok_and(|name| name == "__buffer__")
}

/// Whether it is one of those by which an object offers its columns to other libraries (Arrow's PyCapsule interface).
pub(super) fn is_arrow(name: &Bound<'_, PyAny>) -> bool {
    let offers = |name: &str| name.starts_with("__arrow_c_") || name == "_export_to_c";
    name.cast_exact::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(offers))
}
