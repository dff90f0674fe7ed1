//! One op there and back: write it, wait, read the answer; and what to raise when there is none.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};
use saranwrap::child::Exit;
use saranwrap::error::{Error, Kind, Result as EngineResult};
use saranwrap::host::Outcome;
use saranwrap::link::Answer;
use saranwrap::op::{Op, Request};
use saranwrap::wire::{Reader, Writer};

use crate::ahead::{Cursor, lock};
use crate::convert::{Decoder, Encoder, Mark, Mode, Told};
use crate::deadlines::Limit;
use crate::ending;
use crate::fault::{Fault, Result, exception, named};
use crate::host::{PyHost, arguments, is_positional, takes_arguments};
use crate::hub::{self, Waiting};
use crate::loans::{self, Change, Key, Scope};
use crate::names;
use crate::session::Session;
use crate::stopping::{self, Stop};

/// What this side has to tell ahead of, or behind, what it asks.
pub(crate) struct News<'a, 'py> {
    session: &'a Bound<'py, Session>,
    key: Key,
    /// The request begins its chain: nothing is lent yet.
    first: bool,
    limit: Option<Limit>,
}

impl<'a, 'py> News<'a, 'py> {
    /// Those of a request that begins its chain.
    pub(crate) fn of_first(session: &'a Bound<'py, Session>, key: Key, limit: Option<Limit>) -> Self {
        Self { session, key, first: true, limit }
    }

    pub(crate) fn py(&self) -> Python<'py> {
        self.session.py()
    }

    /// The loans that changed here and the modules that were loaded here since the last time.
    pub(crate) fn told(&self) -> Result<(Vec<Change<'py>>, Vec<String>)> {
        let py = self.session.py();
        let changes = if self.first { Vec::new() } else { loans::changes(self.key, loans::Turn::Middle, py) };
        Ok((changes, self.session.get().news(py)?))
    }

    /// How long the answer is waited for, if not for ever.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.left())
    }
}

/// A call that a greenlet waited for is over.
struct Over<'a> {
    session: &'a Session,
    chain: Option<u64>,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if let Some(chain) = self.chain {
            self.session.link.end_chain(chain);
        }
    }
}

/// An exception that came over a link, in order to be raised.
pub(crate) fn raised(exception: Bound<'_, PyAny>) -> PyResult<PyErr> {
    let py = exception.py();
    let handled = names::HANDLED.get(py)?.call0()?;
    if !handled.is_none() {
        // `raise` would note what was being handled; an exception that comes over a link has to be told.
        names::IN_CONTEXT.get(py)?.call1((&exception, handled))?;
    }
    Ok(PyErr::from_value(exception))
}

impl Session {
    /// Ask for an op whose arguments are plain values.
    pub(crate) fn ask<'py>(
        slf: &Bound<'py, Self>,
        op: Op,
        target: u64,
        args: &[&Bound<'py, PyAny>],
    ) -> PyResult<Bound<'py, PyAny>> {
        let head = Request { op, target, argc: args.len() };
        let arguments = if takes_arguments(op) {
            arguments(op, &args.iter().map(|&arg| arg.clone()).collect::<Vec<_>>())
        } else {
            Vec::new()
        };
        Self::exchange(slf, &head, 1, &arguments, |encoder| {
            args.iter().enumerate().try_for_each(|(place, arg)| match arg.cast::<PyTuple>() {
                Ok(positional) if is_positional(op, place) => {
                    encoder.positional(&positional.iter().collect::<Vec<_>>())
                }
                _ => encoder.value(arg),
            })
        })
        .map(|told| told.value)
    }

    /// Call the object with this id.
    pub(crate) fn call<'py>(
        slf: &Bound<'py, Self>,
        target: u64,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let head = Request { op: Op::Call, target, argc: 2 };
        let mut arguments: Vec<Bound<'py, PyAny>> = args.iter().collect();
        arguments.extend(kwargs.iter().flat_map(|kwargs| kwargs.values()));
        Self::exchange(slf, &head, 1, &arguments, |encoder| {
            encoder.positional(&arguments[..args.len()])?;
            encoder.kwargs(kwargs)
        })
        .map(|told| told.value)
    }

    /// Go along a path of attributes from the object with this id.
    pub(crate) fn follow<'py>(
        slf: &Bound<'py, Self>,
        target: u64,
        path: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let head = Request { op: Op::GetAttr, target, argc: 1 };
        let told = Self::exchange(slf, &head, path.len(), &[], |encoder| encoder.path(path))?;
        told.last(path)
    }

    /// Call what a path of attributes leads to from the object with this id. Whether it was called there, and what it returned.
    pub(crate) fn call_attribute<'py>(
        slf: &Bound<'py, Self>,
        target: u64,
        path: &Bound<'py, PyTuple>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(bool, Bound<'py, PyAny>)> {
        let head = Request { op: Op::CallAttr, target, argc: 3 };
        let mut arguments: Vec<Bound<'py, PyAny>> = args.iter().collect();
        arguments.extend(kwargs.iter().flat_map(|kwargs| kwargs.values()));
        let told = Self::exchange(slf, &head, path.len(), &arguments, |encoder| {
            encoder.path(path)?;
            encoder.positional(&arguments[..args.len()])?;
            encoder.kwargs(kwargs)
        })?;
        if told.uncalled || told.left > 0 {
            return Ok((false, told.last(path)?.call(args, kwargs)?));
        }
        Ok((true, told.value))
    }

    /// Apply a special method of the object with this id.
    pub(crate) fn special<'py>(
        slf: &Bound<'py, Self>,
        target: u64,
        name: &str,
        operands: &[Bound<'py, PyAny>],
    ) -> PyResult<Bound<'py, PyAny>> {
        let head = Request { op: Op::Special, target, argc: 2 };
        Self::exchange(slf, &head, 1, operands, |encoder| {
            encoder.text(name);
            encoder.positional(operands)
        })
        .map(|told| told.value)
    }

    /// One op there and back: write it, wait, read the answer. It has so many names in its path, if one.
    fn exchange<'py>(
        slf: &Bound<'py, Self>,
        head: &Request,
        path: usize,
        arguments: &[Bound<'py, PyAny>],
        write: impl FnOnce(&mut Encoder<'_, 'py>) -> Result<()>,
    ) -> PyResult<Told<'py>> {
        let write = |encoder: &mut Encoder<'_, 'py>, news: &News<'_, 'py>| {
            head.write(encoder.out());
            write(encoder)?;
            let (changes, modules) = news.told()?;
            encoder.trailer(changes, &modules, news.left())
        };
        let read = |decoder: Decoder<'_, 'py>| {
            let decoder = decoder.answered(arguments).of_path(path);
            if head.op == Op::CallAttr { decoder.of_attribute().answer() } else { decoder.answer() }
        };
        let told = match (head.op, head.argc) {
            // Reading ahead changes nothing there. What is only told of it goes alone.
            (Op::Ahead, 2) => Self::carry(&PyHost::keeping(slf), slf, None, write, read),
            (Op::Ahead, _) => Self::carry(&PyHost::new(slf), slf, None, write, read),
            _ => Self::converse(slf, write, read),
        };
        told.map_err(|error| Self::name_act(slf, error, head))
    }

    /// One request there and back: `write` puts it down, `read` takes the answer apart.
    pub(crate) fn converse<'py, T>(
        slf: &Bound<'py, Self>,
        write: impl FnOnce(&mut Encoder<'_, 'py>, &News<'_, 'py>) -> Result<()>,
        read: impl FnOnce(Decoder<'_, 'py>) -> Result<T>,
    ) -> PyResult<T> {
        // It may change anything there, and comes after what was taken of what was read ahead.
        let _flight = slf.get().ahead.begin();
        Self::tell_all(slf)?;
        Self::carry(&PyHost::new(slf), slf, None, write, read)
    }

    /// There and back with nothing to do: a pipeline without steps. The other side's host answers in its turn.
    pub(crate) fn ping_until(slf: &Bound<'_, Self>, deadline: Option<Instant>) -> PyResult<()> {
        let write = |encoder: &mut Encoder<'_, '_>, _: &News<'_, '_>| {
            Request { op: Op::Pipeline, target: 0, argc: 1 }.write(encoder.out());
            encoder.out().null();
            Ok(())
        };
        let read = |mut decoder: Decoder<'_, '_>| match decoder.told_count()? {
            0 => decoder.trailer(),
            _ => Err(Error::garbled("the answer tells of a step that was not asked for").into()),
        };
        Self::carry(&PyHost::sparing(slf), slf, deadline, write, read)
    }

    fn carry<'py, T>(
        host: &PyHost<'_, 'py>,
        slf: &Bound<'py, Self>,
        deadline: Option<Instant>,
        write: impl FnOnce(&mut Encoder<'_, 'py>, &News<'_, 'py>) -> Result<()>,
        read: impl FnOnce(Decoder<'_, 'py>) -> Result<T>,
    ) -> PyResult<T> {
        let py = slf.py();
        let session = slf.get();
        if ending::concerns_us() {
            py.detach(ending::hold);
        }
        session.check_here(py)?;
        let limit = Limit::here(py, session.timeout())?;
        let waiter = hub::waiter(slf)?;
        let first = session.link.chain().is_none();
        let _chain = session.link.enter().map_err(|error| Self::late(slf, &error))?;
        let key = session.key();
        let _scope = Scope::enter(key);
        let mut out = Writer::with_capacity(64);
        let mut encoder = Encoder::new(slf, &mut out, key, Mode::Normal);
        let start = if first { Mark::START } else { encoder.mark() };
        if let Err(fault) = write(&mut encoder, &News { session: slf, key, first, limit }) {
            encoder.take_back(&start);
            return Err(session.fail(py, fault));
        }
        if let Some(limit) = limit.filter(Limit::is_over) {
            encoder.take_back(&start);
            return Err(stopping::unsent(slf, &limit, out.as_slice()));
        }
        let answer = match waiter {
            None => {
                session.link.ask(host, out.as_slice(), limit.map(|limit| limit.at).into_iter().chain(deadline).min())
            }
            Some(waiter) => {
                let sooner = deadline.filter(|&at| limit.is_none_or(|limit| at < limit.at));
                let limit = sooner.map(|at| Limit { at, seconds: 0.0 }).or(limit);
                Self::ask_hub(host, slf, &waiter, out.as_slice(), limit)?
            }
        };
        let answer = answer.map_err(|error| match limit {
            Some(limit) if host.stopping.is_late(&error) => host.stopping.late(slf, &error, &limit, out.as_slice()),
            // The child may have been replaced just before anything went.
            _ if error.kind() == Kind::Closed => Self::late(slf, &error),
            _ => session.explain(py, &error),
        })?;
        let decoder = Decoder::new(slf, Reader::new(&answer.body), key);
        match answer.outcome {
            Outcome::Answered => read(decoder).map_err(|fault| session.fail(py, fault)),
            Outcome::Raised => Err(raised(decoder.answer().map_err(|fault| session.fail(py, fault))?.value)?),
        }
    }

    /// Ask, and let other greenlets of this thread run until the answer is here. The outer error was raised by them, the inner one
    /// is the link's.
    fn ask_hub<'a>(
        host: &PyHost<'_, '_>,
        slf: &'a Bound<'_, Self>,
        waiter: &Waiting<'_>,
        body: &[u8],
        limit: Option<Limit>,
    ) -> PyResult<EngineResult<Answer<'a>>> {
        let (session, front) = (slf.get(), waiter.front.get());
        let chain = session.key().1;
        let (id, begins) = match session.link.begin(host, &front.front, chain, body) {
            Ok(begun) => begun,
            Err(error) => return Ok(Err(error)),
        };
        let _over = Over { session, chain: begins.then_some(chain) };
        if session.link.look_for(hub::SPIN) {
            if let Err(error) = session.link.pump_for(&front.front) {
                return Ok(Err(error));
            }
            // What came may be for others, and the descriptor says nothing of that any more.
            front.ring_if_awaited();
        }
        loop {
            match session.link.finish(id) {
                Ok(None) => {}
                Ok(Some(answer)) => return Ok(Ok(answer)),
                Err(error) => return Ok(Err(error)),
            }
            front.await_answer(id, &waiter.greenlet);
            let waited = waiter.wait(limit.map(|limit| limit.left()));
            front.waits_no_more(id);
            if waited.is_ok() && !limit.is_some_and(|limit| limit.is_over()) {
                continue;
            }
            session.link.abandon(id);
            let stop = Stop::of(slf, id);
            if host.spares() {
                return waited.map(|()| Err(stop.told_to(&host.stopping)));
            }
            // Who is thrown out of the wait leaves at once: its last deed is to have the call interrupted.
            if let Err(error) = waited.and_then(|()| stop.see_through(|pause| waiter.wait(Some(pause)))) {
                stop.nudge();
                return Err(error);
            }
            return Ok(Err(stop.told_to(&host.stopping)));
        }
    }

    /// Tell the other side of every iterator of its own how much was taken of what was read ahead of it. Their items are dropped.
    pub(crate) fn tell_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        let ahead = &slf.get().ahead;
        if !ahead.has_cursors() {
            return Ok(());
        }
        let mut cursors = ahead.cursors().into_iter();
        for cursor in cursors.by_ref() {
            let Some((serial, taken)) = cursor.untold() else { continue };
            if let Err(error) = Self::tell(slf, &cursor, serial, taken) {
                std::iter::once(cursor).chain(cursors).for_each(|cursor| cursor.keep(ahead));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Tell the other side how much of a batch was taken: its iterator moves on to there. Nothing is given back ahead of that.
    pub(crate) fn tell(slf: &Bound<'_, Self>, cursor: &Cursor, serial: u64, taken: usize) -> PyResult<()> {
        let [number, count] = [serial, taken as u64].map(|number| PyInt::new(slf.py(), number).into_any());
        Self::ask(slf, Op::Ahead, cursor.id, &[&number, &count])?;
        cursor.told(serial, taken);
        Ok(())
    }

    /// A fault while reading or writing; bytes that break the protocol break the link for good.
    pub(crate) fn fail(&self, py: Python<'_>, fault: Fault) -> PyErr {
        if let Fault::Link(error) = &fault {
            self.link.break_with(error.clone());
        }
        fault.into_py(py)
    }

    /// The exception for a link error, with all that is known about the child's end.
    pub(crate) fn explain(&self, py: Python<'_>, error: &Error) -> PyErr {
        match error.kind() {
            Kind::Interrupted => {
                let stashed = lock(&self.stashed).take();
                stashed.unwrap_or_else(|| exception(py, error, &error.to_string()))
            }
            Kind::Died if self.child.is_some() => self.death(py).unwrap_or_else(|error| error),
            _ => exception(py, error, &error.to_string()),
        }
    }

    /// How the child ended, with its last words.
    pub(crate) fn death(&self, py: Python<'_>) -> PyResult<PyErr> {
        let Some(child) = &self.child else {
            return Ok(named(py, &names::CHILD_DIED, "the parent has ended"));
        };
        let message = py.detach(|| child.obituary());
        let (code, signal) = match child.exit() {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (Some(-signal), Some(signal)),
            _ => (None, None),
        };
        let instance = names::CHILD_DIED.get(py)?.call1((message, child.pid(), code, signal, child.last_words()))?;
        self.mourn(&instance)?;
        Ok(PyErr::from_value(instance))
    }

    pub(crate) fn check_here(&self, py: Python<'_>) -> PyResult<()> {
        if self.forked.load(Ordering::Relaxed) {
            let message = "this proxy belongs to the process that was forked: the link to its child stays there; wrap the object again in this process";
            return Err(named(py, &names::FORKED_PROXY, message));
        }
        Ok(())
    }
}
