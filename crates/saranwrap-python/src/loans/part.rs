//! The parting of what one step of a pipeline keeps from what later steps are lent.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList, PySet};

use super::{Agreed, Key, LOANS, agree_on_array, memory, with};
use crate::convert::is_array;

/// A loan's twin that was replaced, and the one that stands for it now.
pub(crate) struct Replaced<'py> {
    number: u64,
    pub(crate) old: Bound<'py, PyAny>,
    pub(crate) new: Bound<'py, PyAny>,
    /// The old one lives on as an object of this side.
    pub(crate) kept: bool,
}

/// A call in a chain that goes on with others is done. What it kept is an object of this side from now on, and the others get
/// copies of what was lent: they would see what becomes of the kept ones, and so would the caller.
pub(crate) fn part(key: Key, py: Python<'_>) -> PyResult<Vec<Replaced<'_>>> {
    let mut replaced = Vec::new();
    for (number, old, kept) in lent_if_any_is_kept(key, py) {
        let new = shell(&old)?;
        replaced.push(Replaced { number, old, new, kept });
    }
    let new_ones: HashMap<usize, &Bound<'_, PyAny>> =
        replaced.iter().map(|twin| (twin.old.as_ptr() as usize, &twin.new)).collect();
    for twin in &replaced {
        fill(twin, &new_ones)?;
    }
    for twin in &replaced {
        let object = twin.new.clone().unbind();
        let before = with(key, |loans| {
            loans.by_address.remove(&(twin.old.as_ptr() as usize));
            loans.by_address.insert(twin.new.as_ptr() as usize, twin.number);
            let loan = loans.by_number.get_mut(&twin.number)?;
            // Where the agreed content held an old twin it holds the new one, or the caller would be told of a change.
            loan.agreed.items_mut().iter_mut().for_each(|item| {
                if let Some(&new) = new_ones.get(&(item.as_ptr() as usize)) {
                    *item = new.clone().unbind();
                }
            });
            (loan.kept, loan.references) = (false, isize::MAX);
            Some(std::mem::replace(&mut loan.object, object))
        });
        drop(before);
        if let Some(memory) = memory(key, twin.number, py) {
            // The copy is not in the block, so there is something else to compare it with.
            agree_on_array(key, twin.number, &memory.get().original(py)?);
        }
    }
    Ok(replaced)
}

fn lent_if_any_is_kept(key: Key, py: Python<'_>) -> Vec<(u64, Bound<'_, PyAny>, bool)> {
    LOANS.with_borrow(|all| match all.get(&key) {
        Some(loans) if loans.by_number.values().any(|loan| loan.kept) => {
            let lent = loans.by_number.iter();
            lent.map(|(&number, loan)| (number, loan.object.bind(py).clone(), loan.kept)).collect()
        }
        _ => Vec::new(),
    })
}

/// An empty container of the same kind; what is no container stands for itself.
fn shell<'py>(old: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = old.py();
    Ok(match Agreed::of(old) {
        Agreed::List(_) => PyList::empty(py).into_any(),
        Agreed::Dict(_) => PyDict::new(py).into_any(),
        Agreed::Set(_) => PySet::empty(py)?.into_any(),
        Agreed::Bytes(bytes) => PyByteArray::new(py, bytes.bind(py).as_bytes()).into_any(),
        _ if is_array(old)? => old.call_method0("copy")?,
        _ => old.clone(),
    })
}

/// Give the new twin what the old one holds.
fn fill<'py>(twin: &Replaced<'py>, new_ones: &HashMap<usize, &Bound<'py, PyAny>>) -> PyResult<()> {
    let new_for = |item: Bound<'py, PyAny>| new_ones.get(&(item.as_ptr() as usize)).map_or(item, |&new| new.clone());
    if let (Ok(old), Ok(new)) = (twin.old.cast_exact::<PyList>(), twin.new.cast_exact::<PyList>()) {
        old.iter().try_for_each(|item| new.append(new_for(item)))?;
    } else if let (Ok(old), Ok(new)) = (twin.old.cast_exact::<PyDict>(), twin.new.cast_exact::<PyDict>()) {
        old.iter().try_for_each(|(name, value)| new.set_item(name, new_for(value)))?;
    } else if let (Ok(old), Ok(new)) = (twin.old.cast_exact::<PySet>(), twin.new.cast_exact::<PySet>()) {
        old.iter().try_for_each(|item| new.add(item))?;
    }
    Ok(())
}
