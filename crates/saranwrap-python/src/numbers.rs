//! The numbers that a list or tuple holds, all at once, without counting references to its items. `unsafe`, as that is the C-API's.
#![allow(unsafe_code)] // With a reference for each item it takes twice as long, and that is most of what sending them costs.

use std::ffi::c_int;

use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// Something of which the items are looked at. That runs nobody's code, so that nothing in it changes meanwhile.
#[derive(Clone, Copy)]
pub(crate) enum Row<'a, 'py> {
    List(&'a Bound<'py, PyList>),
    Tuple(&'a Bound<'py, PyTuple>),
}

impl Row<'_, '_> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Tuple(tuple) => tuple.len(),
        }
    }

    /// The integers that it holds; None if it holds anything but exact ones of 64 bits, or one of the `others`.
    pub(crate) fn integers(self, others: &[&Bound<'_, PyAny>]) -> Option<Vec<i64>> {
        self.all(others, |item| {
            let mut overflow: c_int = 0;
            // SAFETY: the item is alive (see `all`). An exact integer runs no code and raises nothing, and tells of an overflow.
            let integer = unsafe {
                if ffi::PyLong_CheckExact(item) == 0 {
                    return None;
                }
                ffi::PyLong_AsLongLongAndOverflow(item, &raw mut overflow)
            };
            (overflow == 0).then_some(integer)
        })
    }

    /// The floats that it holds; None if it holds anything but exact ones, or one of the `others`.
    pub(crate) fn floats(self, others: &[&Bound<'_, PyAny>]) -> Option<Vec<f64>> {
        self.all(others, |item| {
            // SAFETY: the item is alive (see `all`). An exact float runs no code and raises nothing.
            unsafe { (ffi::PyFloat_CheckExact(item) != 0).then(|| ffi::PyFloat_AsDouble(item)) }
        })
    }

    fn all<N>(self, others: &[&Bound<'_, PyAny>], number: impl Fn(*mut PyObject) -> Option<N>) -> Option<Vec<N>> {
        let len = self.len();
        // Whoever holds few numbers, or none, is told apart by the first.
        number(self.item(0))?;
        let mut numbers = Vec::with_capacity(len);
        for place in 0..len {
            let item = self.item(place);
            if others.iter().any(|other| other.as_ptr() == item) {
                return None;
            }
            numbers.push(number(item)?);
        }
        Some(numbers)
    }

    /// A borrowed item.
    fn item(self, place: usize) -> *mut PyObject {
        // SAFETY: each is what its name says, and the place is checked by the callee and lies inside. The row holds the item, which so
        // lives until other code runs in this interpreter: none does before `all` is done with it.
        unsafe {
            match self {
                Self::List(list) => ffi::PyList_GetItem(list.as_ptr(), place as Py_ssize_t),
                Self::Tuple(tuple) => ffi::PyTuple_GetItem(tuple.as_ptr(), place as Py_ssize_t),
            }
        }
    }
}
