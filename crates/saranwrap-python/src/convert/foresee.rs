//! Whether an object may be sent before its time: only if sending it runs nobody's code and lends nothing.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyFrozenSet, PyInt, PyString, PyTuple, PyType};
use saranwrap::link::Side;

use crate::kinds;
use crate::proxy::Proxy;
use crate::session::Session;

/// What most values come to, in bytes, and the deepest tuple that is looked through.
const SMALL: usize = 8;
const REFERENCE: usize = 24;
const DEEPEST: usize = 8;

/// About how many bytes `object` comes to; None if it must be sent when it is due, and not before.
pub(crate) fn foreseen(session: &Bound<'_, Session>, object: &Bound<'_, PyAny>) -> Option<usize> {
    weigh(session, object, DEEPEST)
}

fn weigh(session: &Bound<'_, Session>, object: &Bound<'_, PyAny>, depth: usize) -> Option<usize> {
    if let Ok(number) = object.cast_exact::<PyInt>() {
        return weigh_number(number);
    }
    if object.is_none() || object.is_exact_instance_of::<PyFloat>() || object.is_exact_instance_of::<PyBool>() {
        return Some(SMALL);
    }
    if object.is_exact_instance_of::<PyString>() || object.is_exact_instance_of::<PyBytes>() {
        return Some(SMALL + object.len().ok()?);
    }
    let Ok(tuple) = object.cast::<PyTuple>() else {
        return (is_plain_reference(session, object) || kinds::kind(session, object).is_ok_and(|kind| kind.is_known))
            .then_some(REFERENCE);
    };
    if !object.is_exact_instance_of::<PyTuple>() && !is_plain_reference(session, object) {
        return None;
    }
    let depth = depth.checked_sub(1)?;
    tuple.iter().try_fold(REFERENCE, |sum, item| Some(sum + weigh(session, &item, depth)?))
}

fn weigh_number(number: &Bound<'_, PyInt>) -> Option<usize> {
    if number.extract::<i64>().is_ok() {
        return Some(SMALL);
    }
    let bits: usize = number.call_method0("bit_length").ok()?.extract().ok()?;
    Some(SMALL + bits / 8)
}

/// An object that goes by its id, of a class that the other side knows already.
fn is_plain_reference(session: &Bound<'_, Session>, object: &Bound<'_, PyAny>) -> bool {
    if let Ok(proxy) = object.cast::<Proxy>() {
        return proxy.get().stand.spot().session.is(session);
    }
    // A parent lends its lists and pickles its values; what its child gets of it early could be another thing when it is due.
    session.get().side() == Side::Child
        && session.get().exports().has_pinned(&object.get_type())
        && !object.is_instance_of::<PyType>()
        && !object.is_instance_of::<PyBaseException>()
        // Their values come along, and are of any size.
        && !(object.is_instance_of::<PyString>()
            || object.is_instance_of::<PyBytes>()
            || object.is_instance_of::<PyFrozenSet>())
        // Nor one that is made here for an object of some other process.
        && kinds::kind(session, object).is_ok_and(|kind| !kind.is_remote)
}
