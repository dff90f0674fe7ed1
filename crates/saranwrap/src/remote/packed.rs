//! Sequences of many numbers of one kind and of nothing else, which cross as one run; and what a run came to.

use super::value::Value;
use crate::wire::Writer;
use crate::wire::packed::{MANY, Packing, Run, float, integer};

/// Write integers as an array, or a run if they are many.
pub(super) fn integers(items: &[i64], out: &mut Writer) {
    if items.len() >= MANY {
        return out.integers(items);
    }
    out.array(items.len());
    items.iter().for_each(|&item| out.i64(item));
}

/// The same of floats.
pub(super) fn floats(items: &[f64], out: &mut Writer) {
    if items.len() >= MANY {
        return out.floats(items);
    }
    out.array(items.len());
    items.iter().for_each(|&item| out.f64(item));
}

/// Write values as a run, if they are many integers of 64 bits, or many floats, and nothing else.  Whether they are.
pub(super) fn write(items: &[Value], out: &mut Writer) -> bool {
    if items.len() < MANY {
        return false;
    }
    let integer = |item: &Value| if let Value::Int(item) = item { i64::try_from(*item).ok() } else { None };
    let float = |item: &Value| if let Value::Float(item) = item { Some(*item) } else { None };
    if let Some(integers) = items.iter().map(integer).collect::<Option<Vec<_>>>() {
        out.integers(&integers);
    } else if let Some(floats) = items.iter().map(float).collect::<Option<Vec<_>>>() {
        out.floats(&floats);
    } else {
        return false;
    }
    true
}

/// The numbers of a run.
pub(super) fn values(run: Run<'_>) -> Vec<Value> {
    match run.packing() {
        Packing::Float64 => run.numbers().map(|number| Value::Float(float(number))).collect(),
        _ => run.numbers().map(|number| Value::Int(integer(number).into())).collect(),
    }
}
