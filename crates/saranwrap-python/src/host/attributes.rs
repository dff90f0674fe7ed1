//! Goes from an object to its attributes, one after the other, and calls the last one.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods, PyString, PyTuple};
use saranwrap::op::Op;

use super::{Answer, PyHost};
use crate::convert::{is_asked_here, is_for_asker};
use crate::fault::Result;
use crate::guard;

impl<'py> PyHost<'_, 'py> {
    /// What a path leads to, which is a name or a tuple of names. It is followed as far as the asker would come back to this side with
    /// the next name.
    pub(super) fn follow(&self, object: Bound<'py, PyAny>, path: &Bound<'py, PyAny>) -> Result<Answer<'py>> {
        let Ok(path) = path.cast::<PyTuple>() else {
            return Ok(Answer::Plain(object.getattr(path.cast::<PyString>()?)?));
        };
        let key = self.session.get().key();
        let mut found = object;
        for (place, name) in path.iter_borrowed().enumerate() {
            if place > 0 && !is_asked_here(self.session, key, &found)? {
                return Ok(Answer::Partway(found, path.len() - place));
            }
            found = found.getattr(name.cast::<PyString>()?)?;
        }
        Ok(Answer::Plain(found))
    }

    /// Call what was fetched to be called, unless that is the asker's business.
    pub(super) fn call_attribute(
        &self,
        fetched: Answer<'py>,
        args: &Bound<'py, PyAny>,
        kwargs: &Bound<'py, PyAny>,
        guarded: bool,
    ) -> Result<Answer<'py>> {
        let Answer::Plain(attribute) = fetched else { return Ok(fetched) };
        if is_for_asker(self.session, &attribute)? {
            return Ok(Answer::Uncalled(attribute));
        }
        if guarded {
            guard::check_reach(Op::Call, &attribute, &[])?;
        }
        Ok(Answer::Plain(call(&attribute, args, kwargs)?))
    }
}

pub(super) fn call<'py>(
    object: &Bound<'py, PyAny>,
    args: &Bound<'py, PyAny>,
    kwargs: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = if kwargs.is_none() { None } else { Some(kwargs.cast::<PyDict>()?) };
    object.call(args.cast::<PyTuple>()?, kwargs.filter(|kwargs| !kwargs.is_empty()))
}
