//! Writes what ops came to: results, exceptions, and the answers that come later.

use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};
use saranwrap::error::{Error, Result as EngineResult};
use saranwrap::host::Outcome;
use saranwrap::wire::Writer;

use super::{Answer, Behind, Performed, PyHost};
use crate::convert::{Encoder, Mode};
use crate::fault::{Fault, Result};
use crate::loans::{self, Key};

impl<'py> PyHost<'_, 'py> {
    /// Write the answer to a call that was left for later.
    pub(crate) fn answer_later(
        &self,
        result: PyResult<Bound<'py, PyAny>>,
        key: Key,
    ) -> EngineResult<(Outcome, Vec<u8>)> {
        let mut out = Writer::with_capacity(64);
        let trailer: &Behind<'_, 'py> = &|encoder| self.trailer(encoder, key);
        let written = result.map_err(Fault::from).and_then(|value| {
            let performed = Performed { answer: Answer::Plain(value), arguments: Vec::new(), _request: Vec::new() };
            self.answer(&performed, key, &mut out, trailer)
        });
        let outcome = match written {
            Ok(()) => Outcome::Answered,
            Err(Fault::Link(error)) => return Err(error),
            Err(Fault::Python(error)) => {
                out.truncate(0);
                self.raised(error, key, &mut out, trailer)?;
                Outcome::Raised
            }
        };
        Ok((outcome, out.into_vec()))
    }

    /// Write an op's result, and what `then` puts behind it.
    pub(super) fn answer(
        &self,
        performed: &Performed<'py>,
        key: Key,
        out: &mut Writer,
        then: &Behind<'_, 'py>,
    ) -> Result<()> {
        let mode = match &performed.answer {
            Answer::Copy(_, mode) => *mode,
            _ => Mode::Normal,
        };
        let encoder = Encoder::new(self.session, out, key, mode);
        let mut encoder = encoder.answering(&performed.arguments);
        let start = encoder.mark();
        let result = match &performed.answer {
            Answer::Plain(object) | Answer::Copy(object, _) => encoder.value(object),
            Answer::Root(object) => encoder.reference(object),
            Answer::Uncalled(object) => encoder.uncalled(object),
            Answer::Partway(object, left) => encoder.partway(object, *left),
            Answer::Buffer(object) => encoder.buffer(object),
            Answer::Arrow(object) => encoder.arrow(object),
            // Who leaves an answer for later has none to write.
            Answer::Later => Ok(()),
        };
        let result = result.and_then(|()| then(&mut encoder));
        if result.is_err() {
            encoder.take_back(&start);
        }
        if let Some(object) = performed.answer.object().filter(|object| holds_objects(object)) {
            self.leaving.borrow_mut().push(object.clone());
        }
        result
    }

    pub(super) fn trailer(&self, encoder: &mut Encoder<'_, 'py>, key: Key) -> Result<()> {
        let changes = loans::changes(key, loans::turn(key), self.session.py());
        encoder.trailer(changes, &self.session.get().news(self.session.py())?, None)
    }

    /// Write what the op raised, and what `then` puts behind it. An exception that cannot be sent is replaced by the one that
    /// says why.
    pub(super) fn raised(&self, error: PyErr, key: Key, out: &mut Writer, then: &Behind<'_, 'py>) -> EngineResult<()> {
        let py = self.session.py();
        let start = out.len();
        let first = self.raise(error, key, out, then);
        let Err(Fault::Python(second)) = first else { return link_error(first) };
        let text = second.value(py).str().map(|text| text.to_string()).unwrap_or_default();
        let plain = pyo3::exceptions::PyRuntimeError::new_err(format!("an exception could not be sent: {text}"));
        out.truncate(start);
        let second = self.raise(plain, key, out, then);
        let Err(Fault::Python(_)) = second else { return link_error(second) };
        // At the end of the stack no code of Python runs any more, not even to take an exception apart.
        out.truncate(start);
        let mut encoder = Encoder::new(self.session, out, key, Mode::Normal);
        encoder.raised_plainly("RecursionError", &text);
        link_error(then(&mut encoder))
    }

    fn raise(&self, error: PyErr, key: Key, out: &mut Writer, then: &Behind<'_, 'py>) -> Result<()> {
        let value = error.into_value(self.session.py()).into_bound(self.session.py()).into_any();
        let mut encoder = Encoder::new(self.session, out, key, Mode::Normal);
        let start = encoder.mark();
        let result = encoder.raised(&value).and_then(|()| then(&mut encoder));
        if result.is_err() {
            encoder.take_back(&start);
        }
        self.leaving.borrow_mut().push(value);
        result
    }
}

/// Whether there may be a proxy in it.
fn holds_objects(object: &Bound<'_, PyAny>) -> bool {
    !(object.is_none() || object.is_exact_instance_of::<PyInt>() || object.is_exact_instance_of::<PyString>())
}

fn link_error(result: Result<()>) -> EngineResult<()> {
    match result {
        Ok(()) => Ok(()),
        Err(Fault::Link(error)) => Err(error),
        Err(Fault::Python(error)) => Err(Error::garbled(format!("an exception could not be sent: {error}"))),
    }
}
