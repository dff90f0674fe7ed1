//! Attributes one after the other: their names in a message, and in the answer where the other side left off.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use saranwrap::error::Error;
use saranwrap::link::Side;
use saranwrap::wire::{Item, tag};

use super::decode::Decoder;
use super::encode::Encoder;
use crate::fault::Result;
use crate::kinds;
use crate::loans::{self, Key};
use crate::session::Session;

/// What an answer says.
pub(crate) struct Told<'py> {
    pub(crate) value: Bound<'py, PyAny>,
    /// It is not what the call returned, but what is to be called here.
    pub(crate) uncalled: bool,
    /// It is not what the path leads to: so many names of it are left.
    pub(crate) left: usize,
}

impl<'py> Told<'py> {
    /// What the path leads to: what is left of it is asked for here.
    pub(crate) fn last(&self, path: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let left = path.iter().skip(path.len() - self.left);
        left.into_iter().try_fold(self.value.clone(), |value, name| value.getattr(name.cast::<PyString>()?))
    }
}

/// Whether an attribute of this object means the same to the other side as here: it would be given an id, and ask by that.
pub(crate) fn is_asked_here(session: &Bound<'_, Session>, key: Key, object: &Bound<'_, PyAny>) -> Result<bool> {
    Ok(session.get().side() == Side::Child
        && kinds::kind(session, object)?.is_asked_here
        && loans::number_of(key, object).is_none())
}

impl<'py> Encoder<'_, 'py> {
    /// The name of an attribute, or more than one.
    pub(crate) fn path(&mut self, names: &Bound<'py, PyTuple>) -> Result<()> {
        if names.len() != 1 {
            self.out.array(names.len());
        }
        names.iter_borrowed().try_for_each(|name| self.value(&name))
    }

    /// In place of what a path leads to: the object from which the asker goes on, and how many names are left.
    pub(crate) fn partway(&mut self, object: &Bound<'py, PyAny>, left: usize) -> Result<()> {
        self.out.tag(tag::PARTWAY);
        self.out.array(2);
        self.out.u64(left as u64);
        self.value(object)
    }
}

impl<'py> Decoder<'_, 'py> {
    /// It answers for a path of so many names.
    pub(crate) fn of_path(mut self, names: usize) -> Self {
        self.path = names;
        self
    }

    /// The name of an attribute, or a tuple of names.
    pub(crate) fn path(&mut self) -> Result<Bound<'py, PyAny>> {
        let mut reader = self.reader.clone();
        let Item::Array(count) = reader.next()? else { return self.name() };
        self.reader = reader;
        let names: Vec<_> = (0..count).map(|_| self.name()).collect::<Result<_>>()?;
        Ok(PyTuple::new(self.py(), names)?.into_any())
    }

    pub(super) fn partway(&mut self) -> Result<Bound<'py, PyAny>> {
        self.pair("path")?;
        let left = self.reader.u64("names left")?;
        match usize::try_from(left) {
            Ok(left) if (1..self.path).contains(&left) => self.names_left = left,
            _ => return Err(Error::garbled(format!("{left} names are left of a path of {}", self.path)).into()),
        }
        self.value()
    }
}
