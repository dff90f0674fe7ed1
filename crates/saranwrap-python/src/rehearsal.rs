//! A conversation that a process has with itself ahead of its first one: what is made once is made, and what is written to is at hand.

use std::io::IoSlice;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use saranwrap::arena::Arena;
use saranwrap::error::{Error, Result as EngineResult};
use saranwrap::link::{Link, Side};
use saranwrap::message::{Header, Kind};
use saranwrap::op::{Op, Request};
use saranwrap::transport::{Transport, ring};
use saranwrap::wire::Writer;

use crate::convert::{Encoder, Mode};
use crate::fault::Fault;
use crate::loans::Scope;
use crate::session::Session;

/// Have `perform` called with a session in which these requests wait to be served, each an op, its target and its arguments.
#[pyfunction]
pub(crate) fn rehearse(requests: Vec<(u64, u64, Bound<'_, PyTuple>)>, perform: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = perform.py();
    let fault = |error: Error| Fault::from(error).into_py(py);
    let (theirs, ours) = ring::pair().map_err(fault)?;
    let link = Link::new(Box::new(ours), Side::Child);
    let session = Session::build(py, (link, Arena::none()), Side::Child, None, PyTuple::empty(py).unbind(), true)?;
    for ((op, target, arguments), id) in requests.into_iter().zip(1..) {
        let body = body(&session, Op::from_code(op).map_err(fault)?, target, &arguments)?;
        say(&theirs, Kind::Call, id, body.as_slice()).map_err(fault)?;
    }
    say(&theirs, Kind::Bye, 0, &[]).map_err(fault)?;
    perform.call1((session,)).map(drop)
}

fn body(session: &Bound<'_, Session>, op: Op, target: u64, arguments: &Bound<'_, PyTuple>) -> PyResult<Writer> {
    let key = (session.as_ptr() as usize, 0);
    let _scope = Scope::enter(key);
    let mut out = Writer::new();
    Request { op, target, argc: arguments.len() }.write(&mut out);
    let mut encoder = Encoder::new(session, &mut out, key, Mode::Normal);
    for argument in arguments {
        match argument.cast::<PyDict>() {
            Ok(keywords) => encoder.kwargs(Some(keywords)),
            Err(_) => encoder.value(&argument),
        }
        .map_err(|fault| fault.into_py(session.py()))?;
    }
    Ok(out)
}

/// Put a frame on its way; there is room for some hundred kilobytes.
fn say(transport: &impl Transport, kind: Kind, id: u64, body: &[u8]) -> EngineResult<()> {
    let len = u32::try_from(body.len()).map_err(|_| Error::refused("a request is too long for a rehearsal"))?;
    let frame = [&Header { kind, id, chain: id, len }.encode()[..], body].concat();
    match transport.send(&[IoSlice::new(&frame)])? {
        sent if sent == frame.len() => Ok(()),
        _ => Err(Error::refused("there are too many requests for a rehearsal")),
    }
}
