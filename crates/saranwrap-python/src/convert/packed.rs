//! Lists and tuples of many integers of 64 bits, or of many floats, and of nothing else: they cross as one run of numbers.

use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyList};
use saranwrap::wire::packed::{MANY, Packing, Run, float, integer};

use super::decode::Decoder;
use super::encode::Encoder;
use crate::fault::Result;
use crate::numbers::Row;

/// The integers of which every interpreter has but one each: they keep their identity by themselves.
const SINGLE: std::ops::RangeInclusive<i64> = -5..=256;

impl<'py> Encoder<'_, 'py> {
    /// Write the items as one run, if they can be one.
    #[inline(never)] // Most values are none of this, and are written where this would be inlined.
    pub(super) fn packed(&mut self, row: Row<'_, 'py>) -> bool {
        if row.len() < MANY {
            return false;
        }
        let named = self.numbers_among_arguments();
        if let Some(integers) = row.integers(&named) {
            self.out.integers(&integers);
        } else if let Some(floats) = row.floats(&named) {
            self.out.floats(&floats);
        } else {
            return false;
        }
        true
    }

    /// Numbers that go by the places that they had in the call which this answers, wherever they stand.
    fn numbers_among_arguments(&self) -> Vec<&Bound<'py, PyAny>> {
        let is_number = |object: &&Bound<'py, PyAny>| match object.cast_exact::<PyInt>() {
            Ok(integer) => !integer.extract().is_ok_and(|integer| SINGLE.contains(&integer)),
            Err(_) => object.is_exact_instance_of::<PyFloat>(),
        };
        self.arguments.iter().filter(is_number).collect()
    }
}

impl<'py> Decoder<'_, 'py> {
    /// The numbers of a run as a list.
    pub(super) fn numbers(&self, run: Run<'_>) -> Result<Bound<'py, PyList>> {
        Ok(match run.packing() {
            Packing::Float64 => PyList::new(self.py(), run.numbers().map(float))?,
            _ => PyList::new(self.py(), run.numbers().map(integer))?,
        })
    }
}
