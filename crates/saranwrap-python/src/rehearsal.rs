//! A conversation that a process has with itself ahead of its first one: what is made once is made, and what is written to is at hand.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use saranwrap::arena::Arena;
use saranwrap::error::{Error, Result as EngineResult};
use saranwrap::link::{Link, Side};
use saranwrap::message::{Frame, Header, Kind};
use saranwrap::op::{Op, Request};
use saranwrap::transport::ring::{self, Ring};
use saranwrap::transport::{Received, Transport};
use saranwrap::wire::Writer;

use crate::ahead::lock;
use crate::convert::{Encoder, Mode};
use crate::fault::Fault;
use crate::loans::Scope;
use crate::session::Session;

/// Have `perform` called with a session in which these requests wait to be served, each an op, its target and its arguments.
#[pyfunction]
pub(crate) fn rehearse(requests: Vec<(u64, u64, Bound<'_, PyTuple>)>, perform: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = perform.py();
    let fault = |error: Error| Fault::from(error).into_py(py);
    let (prompter, ours) = ring::pair().map_err(fault)?;
    let lines = Arc::new(Mutex::new(VecDeque::new()));
    let link = Link::new(Box::new(Prompted { ours, prompter, lines: Arc::clone(&lines) }), Side::Child);
    let session = Session::build(py, (link, Arena::none()), Side::Child, None, PyTuple::empty(py).unbind(), true)?;
    session.get().foretells.store(true, Ordering::Relaxed);
    for ((op, target, arguments), id) in requests.into_iter().zip(1..) {
        let body = body(&session, Op::from_code(op).map_err(fault)?, target, &arguments)?;
        let line = frame(Kind::Call, id, body.as_slice()).map_err(fault)?;
        lock(&lines).push_back(line);
    }
    let farewell = frame(Kind::Bye, 0, &[]).map_err(fault)?;
    lock(&lines).push_back(farewell);
    perform.call1((session,)).map(drop)
}

/// This end of a ring whose other end says its next line when this one looks for it: what comes after a Bye is not answered, nor what
/// came just before.
struct Prompted {
    ours: Ring,
    prompter: Ring,
    lines: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

impl Prompted {
    fn has_lines(&self) -> bool {
        !lock(&self.lines).is_empty()
    }
}

impl Transport for Prompted {
    fn send(&self, parts: &[IoSlice<'_>]) -> EngineResult<usize> {
        self.ours.send(parts)
    }

    fn receive(&self, into: &mut Vec<Frame>) -> EngineResult<Received> {
        let line = lock(&self.lines).pop_front();
        if let Some(line) = line
            && self.prompter.send(&[IoSlice::new(&line)])? != line.len()
        {
            return Err(Error::refused("a rehearsal has no room for its requests"));
        }
        self.ours.receive(into)
    }

    fn read_fd(&self) -> BorrowedFd<'_> {
        self.ours.read_fd()
    }

    fn write_fd(&self) -> Option<BorrowedFd<'_>> {
        self.ours.write_fd()
    }

    fn spin(&self, limit: Duration) -> bool {
        self.has_lines() || self.ours.spin(limit)
    }

    fn park(&self) -> EngineResult<bool> {
        Ok(!self.has_lines() && self.ours.park()?)
    }

    fn unpark(&self) {
        self.ours.unpark();
    }

    fn shut_down(&self) {
        self.ours.shut_down();
    }

    fn bytes(&self) -> (u64, u64) {
        self.ours.bytes()
    }
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

fn frame(kind: Kind, id: u64, body: &[u8]) -> EngineResult<Vec<u8>> {
    let len = u32::try_from(body.len()).map_err(|_| Error::refused("a request is too long for a rehearsal"))?;
    Ok([&Header { kind, id, chain: id, len }.encode()[..], body].concat())
}
