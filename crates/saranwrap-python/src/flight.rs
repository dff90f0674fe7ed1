//! Calls for which no thread waits, from their first byte to their answer; and what the other side asks meanwhile.

use std::sync::Mutex;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use saranwrap::error::Error;
use saranwrap::host::Outcome;
use saranwrap::link::{Answer, Taken};
use saranwrap::op::{Op, Request, Step, Target};
use saranwrap::wire::{Reader, Writer};

use crate::ahead::{Ahead, lock};
use crate::asking::News;
use crate::convert::{Decoder, Encoder, Mark, Mode, Report};
use crate::deadlines::Limit;
use crate::fault::{Fault, Result};
use crate::front::{Flight, Form, Front};
use crate::host::{PyHost, arguments, takes_arguments};
use crate::loans::{Kept, Key, Scope};
use crate::promise::Args;
use crate::session::Session;
use crate::stopping::Stop;

/// One step of what is asked.
struct Asked<'py> {
    op: Op,
    args: Option<Args>,
    given: Vec<Bound<'py, PyAny>>,
}

impl<'py> Asked<'py> {
    /// From `(op, argument, ...)`; a call is `(op, args, kwargs)`.
    fn read(step: &Bound<'py, PyTuple>) -> PyResult<Self> {
        let py = step.py();
        let op = Op::from_code(step.get_item(0)?.extract()?).map_err(|error| Fault::from(error).into_py(py))?;
        let parts: Vec<Bound<'py, PyAny>> = step.iter().skip(1).collect();
        let given = if takes_arguments(op) { arguments(op, &parts) } else { Vec::new() };
        let args = match (op, parts.as_slice()) {
            (Op::Await, []) => return Ok(Self { op, args: None, given }),
            (Op::Call, [args, kwargs]) => {
                let kwargs = kwargs.cast::<PyDict>().ok().map(|kwargs| kwargs.clone().unbind());
                Args::Call(args.cast::<PyTuple>()?.clone().unbind(), kwargs)
            }
            (_, [first, second]) if takes_arguments(op) => {
                Args::Operator(first.clone().unbind(), second.cast::<PyTuple>()?.clone().unbind())
            }
            (_, [first]) => Args::One(first.clone().unbind()),
            (_, [first, second]) => Args::Two(first.clone().unbind(), second.clone().unbind()),
            _ => return Err(PyRuntimeError::new_err(format!("{} takes other arguments", op.name()))),
        };
        Ok(Self { op, args: Some(args), given })
    }

    fn count(&self) -> usize {
        self.args.as_ref().map_or(0, Args::count)
    }

    fn write(&self, encoder: &mut Encoder<'_, 'py>, py: Python<'py>) -> Result<()> {
        self.args.as_ref().map_or(Ok(()), |args| args.write(encoder, py))
    }
}

/// An op that is under way from here on: until its answer has come, or until this is dropped if it does not go.
struct Departure<'a>(Option<&'a Ahead>);

impl<'a> Departure<'a> {
    fn begin(ahead: &'a Ahead) -> Self {
        ahead.took_off();
        Self(Some(ahead))
    }

    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        if let Some(ahead) = self.0 {
            ahead.landed();
        }
    }
}

/// Begin a call: the steps, each on what the one before it came to. `token` comes back with the answer. The
/// other side is told how many seconds are left for it. Returns the id of the call.
#[pyfunction]
pub(crate) fn start<'py>(
    front: &Bound<'py, Front>,
    token: Py<PyAny>,
    target: u64,
    steps: &Bound<'py, PyTuple>,
    left: Option<f64>,
) -> PyResult<u64> {
    let py = front.py();
    let slf = &front.get().session(py)?;
    let session = slf.get();
    session.check_here(py)?;
    let departure = Departure::begin(&session.ahead);
    Session::tell_all(slf)?;
    let steps: Vec<Asked<'py>> = steps.iter().map(|step| Asked::read(step.cast()?)).collect::<PyResult<_>>()?;
    let chain = session.link().new_chain();
    let key = (session.key().0, chain);
    let scope = Scope::resume(key, None);
    let mut out = Writer::with_capacity(64);
    let mut encoder = Encoder::new(slf, &mut out, key, Mode::Normal);
    let form = match write(&mut encoder, &News::of_first(slf, key, left.and_then(Limit::within)), target, &steps) {
        Ok(form) => form,
        Err(fault) => {
            encoder.take_back(&Mark::START);
            return Err(session.fail(py, fault));
        }
    };
    let begun = session.link().begin(&PyHost::new(slf), &front.get().front, chain, out.as_slice());
    let (id, _) = begun.map_err(|error| session.explain(py, &error))?;
    departure.done();
    let given = steps.into_iter().map(|step| step.given.into_iter().map(Bound::unbind).collect()).collect();
    let session = slf.clone().unbind();
    front.get().note(Flight { session, id, key, kept: scope.suspend(), form, given, token });
    Ok(id)
}

/// Write what is asked in the shortest form that there is for it.
fn write<'py>(encoder: &mut Encoder<'_, 'py>, news: &News<'_, 'py>, target: u64, steps: &[Asked<'py>]) -> Result<Form> {
    let py = news.py();
    let form = match steps {
        [only] => {
            Request { op: only.op, target, argc: only.count() }.write(encoder.out());
            only.write(encoder, py)?;
            Form::One(only.op)
        }
        [name @ Asked { op: Op::GetAttr, .. }, call @ Asked { op: Op::Call, .. }] => {
            Request { op: Op::CallAttr, target, argc: 3 }.write(encoder.out());
            name.write(encoder, py)?;
            call.write(encoder, py)?;
            Form::One(Op::CallAttr)
        }
        _ => return write_steps(encoder, news, target, steps),
    };
    let (changes, modules) = news.told()?;
    encoder.trailer(changes, &modules, news.left())?;
    Ok(form)
}

fn write_steps<'py>(
    encoder: &mut Encoder<'_, 'py>,
    news: &News<'_, 'py>,
    target: u64,
    steps: &[Asked<'py>],
) -> Result<Form> {
    Request { op: Op::Pipeline, target: 0, argc: 1 + steps.len() }.write(encoder.out());
    let (changes, modules) = news.told()?;
    encoder.ahead(changes, &modules, news.left())?;
    for (place, step) in steps.iter().enumerate() {
        let last = place + 1 == steps.len();
        let target = if place == 0 { Target::Id(target) } else { Target::Promise(place as u64 - 1) };
        let head = Step { uses: u64::from(!last), wanted: last, op: step.op, target, argc: step.count() };
        head.write(encoder.out());
        step.write(encoder, news.py())?;
    }
    Ok(Form::Steps)
}

/// Give a call up: nobody is told of its answer, and it is cancelled there. What is to be done about one that goes on all the same is
/// in what is returned; None when it is over.
#[pyfunction]
pub(crate) fn abandon(front: &Bound<'_, Front>, id: u64) -> Option<Stop> {
    let flight = front.get().remove(id)?;
    let session = flight.session.get();
    session.link().abandon(id);
    session.link().end_chain(flight.key.1);
    session.ahead.landed();
    Some(Stop::of(flight.session.bind(front.py()), id))
}

/// Move what has come, and say what came of it: `[(token, whether it is a value, value or exception), ...]`, the greenlets that
/// wait for something that is here, and the calls of the other side that are to be served. It does not wait.
#[pyfunction]
pub(crate) fn pump<'py>(
    front: &Bound<'py, Front>,
    spin: f64,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>)> {
    let py = front.py();
    let slf = &front.get().session(py)?;
    let session = slf.get();
    if spin > 0.0 {
        session.link().look_for(std::time::Duration::from_secs_f64(spin / 1e6));
    }
    let host = PyHost::new(slf);
    let mut broken = session.link().pump_for(&front.get().front).err();
    let (done, woken, calls) = (PyList::empty(py), PyList::empty(py), PyList::empty(py));
    while let Some(id) = session.link().answered(&front.get().front) {
        if let Some(greenlet) = front.get().waits_for(id) {
            woken.append(greenlet)?;
        } else if let Some(flight) = front.get().remove(id)
            && let Ok(Some(answer)) = session.link().finish(id)
        {
            done.append(land(slf, &answer, flight))?;
        }
    }
    while broken.is_none() {
        match session.link().take(&host, &front.get().front) {
            Ok(Some(taken)) => {
                calls.append(Call::of(front, taken))?;
            }
            Ok(None) => break,
            Err(error) => broken = Some(error),
        }
    }
    if let Some(error) = broken {
        for flight in front.get().remove_all() {
            session.ahead.landed();
            let error = session.explain(py, &error);
            done.append((flight.token, false, error))?;
        }
        front.get().all_waiting().into_iter().try_for_each(|greenlet| woken.append(greenlet))?;
    }
    Ok((done, woken, calls))
}

/// Read an answer, for whoever the call was started for.
fn land<'py>(slf: &Bound<'py, Session>, answer: &Answer<'_>, mut flight: Flight) -> (Py<PyAny>, bool, Py<PyAny>) {
    let py = slf.py();
    let session = slf.get();
    let scope = Scope::resume(flight.key, flight.kept.take());
    let given: Vec<Vec<Bound<'py, PyAny>>> =
        flight.given.iter().map(|given| given.iter().map(|one| one.bind(py).clone()).collect()).collect();
    let read = read(slf, answer, &flight, &given).map_err(|fault| session.fail(py, fault));
    session.link().end_chain(flight.key.1);
    session.ahead.landed();
    drop(scope);
    match read {
        Ok((good, value)) => (flight.token, good, value.unbind()),
        Err(error) => (flight.token, false, error.into_value(py).into_any()),
    }
}

/// Whether it is a value, and that or the exception.
fn read<'a, 'py>(
    slf: &'a Bound<'py, Session>,
    answer: &'a Answer<'_>,
    flight: &Flight,
    given: &'a [Vec<Bound<'py, PyAny>>],
) -> Result<(bool, Bound<'py, PyAny>)> {
    let decoder = Decoder::new(slf, Reader::new(&answer.body), flight.key);
    if answer.outcome == Outcome::Raised {
        return Ok((false, decoder.answer()?.value));
    }
    let Form::One(op) = flight.form else { return last_of(decoder, given) };
    let arguments = given.last().map_or(&[][..], Vec::as_slice);
    let decoder = decoder.answered(arguments);
    let told = if op == Op::CallAttr { decoder.of_attribute().answer()? } else { decoder.answer()? };
    if !told.uncalled {
        return Ok((true, told.value));
    }
    // It is for this side to call, with what was given by position; such a thing takes no names that could not stand there.
    Ok((true, told.value.call1(PyTuple::new(slf.py(), arguments)?)?))
}

/// What the last step came to, or what kept it from being done.
fn last_of<'a, 'py>(
    mut decoder: Decoder<'a, 'py>,
    given: &'a [Vec<Bound<'py, PyAny>>],
) -> Result<(bool, Bound<'py, PyAny>)> {
    let last = given.len() - 1;
    let mut came = None;
    for _ in 0..decoder.told_count()? {
        match (decoder.told(given)?, &came) {
            ((place, Report::Value(value)), None) if place == last => came = Some((true, value)),
            ((_, Report::Raised(error)), None) => came = Some((false, error)),
            ((place, Report::Unreadable(error)), None) if place == last => return Err(error.into()),
            ((place, Report::Skipped(_)), Some((false, _))) if place == last => {}
            _ => return Err(Error::garbled("the answer tells of steps what cannot be").into()),
        }
    }
    decoder.trailer()?;
    came.ok_or_else(|| Error::garbled("the answer does not tell of the last step").into())
}

/// A call of the other side that waits to be served.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Call {
    front: Py<Front>,
    taken: Mutex<Option<Taken>>,
    id: u64,
    chain: u64,
    /// What its chain has lent, where that is no call of the front's.
    kept: Mutex<Kept>,
}

#[pymethods]
impl Call {
    /// Serve it, in this thread. A coroutine that it comes to is returned, to be run and answered later.
    fn serve<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let front = slf.get().front.bind(py).get();
        let session = front.session(py)?;
        let Some(taken) = lock(&slf.get().taken).take() else { return Ok(None) };
        crate::hub::enter(py)?;
        let host = PyHost::deferring(&session);
        let served = slf.get().within(&session, |_| front.link.serve_taken(&host, &front.front, &taken));
        served.map_err(|error| session.get().explain(py, &error))?;
        Ok(host.coroutine.take())
    }

    /// The number of the call.
    #[getter]
    fn number(&self) -> u64 {
        self.id
    }

    /// `act(argument)` in the chain of the call, while it goes on.
    fn step<'py>(
        slf: &Bound<'py, Self>,
        _number: u64,
        act: &Bound<'py, PyAny>,
        argument: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let front = slf.get().front.bind(slf.py()).get();
        let session = front.session(slf.py())?;
        let stepped = slf.get().within(&session, |_| front.link.within(slf.get().id, || act.call1((argument,))));
        stepped.map_err(|error| session.get().explain(slf.py(), &error))?
    }

    /// Answer it with its value.
    fn answer(slf: &Bound<'_, Self>, value: Bound<'_, PyAny>) -> PyResult<()> {
        Self::end(slf, Ok(value))
    }

    /// Answer it with what it raised.
    fn answer_raised(slf: &Bound<'_, Self>, error: Bound<'_, PyAny>) -> PyResult<()> {
        Self::end(slf, Err(PyErr::from_value(error)))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> std::result::Result<(), pyo3::PyTraverseError> {
        visit.call(&self.front)
    }
}

impl Call {
    fn of(front: &Bound<'_, Front>, taken: Taken) -> Self {
        let (id, chain) = (taken.id(), taken.chain());
        Self { front: front.clone().unbind(), taken: Mutex::new(Some(taken)), id, chain, kept: Mutex::default() }
    }

    /// Work with what the chain has lent at hand.
    fn within<R>(&self, session: &Bound<'_, Session>, work: impl FnOnce(Key) -> R) -> R {
        let front = self.front.bind(session.py()).get();
        let key = (session.get().key().0, self.chain);
        let lent = front.lend_out(self.chain);
        let is_ours = lent.is_some();
        let scope = Scope::resume(key, lent.unwrap_or_else(|| lock(&self.kept).take()));
        let done = work(key);
        let kept = scope.suspend();
        let replaced =
            if is_ours { front.put_back(self.chain, kept) } else { std::mem::replace(&mut *lock(&self.kept), kept) };
        drop(replaced);
        done
    }

    fn end<'py>(slf: &Bound<'py, Self>, result: PyResult<Bound<'py, PyAny>>) -> PyResult<()> {
        let front = slf.get().front.bind(slf.py()).get();
        let session = front.session(slf.py())?;
        let host = PyHost::new(&session);
        let written = slf.get().within(&session, |key| host.answer_later(result, key));
        let answered = written.and_then(|(outcome, body)| front.link.answer(&host, slf.get().id, outcome, body));
        answered.map_err(|error| session.get().explain(slf.py(), &error))
    }
}

impl Drop for Call {
    /// The other side would wait for ever.
    fn drop(&mut self) {
        if lock(&self.taken).is_some() {
            let error = Error::closed("a call of the other side was left lying");
            self.front.get().link.break_with(error);
        }
    }
}
