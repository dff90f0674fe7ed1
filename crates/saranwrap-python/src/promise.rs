//! Recording: a promise stands for what a step of a pipeline will come to, and what is done with it is the next step.
//! Nothing is sent here; that is done in `pipeline`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList, PySet, PyString, PyTuple};
use saranwrap::op::{Op, Target};

use crate::ahead::lock;
use crate::convert::is_array;
use crate::fault::named;
use crate::loans::Snapshot;
use crate::names;
use crate::proxy::Proxy;
use crate::session::Session;

/// The place of a promise that is no step's: a recorder, or one that failed before it could be recorded.
const NOWHERE: u64 = u64::MAX;
/// So deep a promise inside an argument is looked for; what is nested deeper cannot be sent.
const DEPTH: usize = saranwrap::wire::MAX_DEPTH;

thread_local! {
    /// Its address tells one thread from another.
    static HERE: u8 = const { 0 };
}

/// Which thread this is, cheaply: it is asked at every step.
pub(crate) fn this_thread() -> usize {
    HERE.with(|here| std::ptr::from_ref(here) as usize)
}

/// What a step of a pipeline will come to. It is no value yet: what is done with it is recorded as a further step.
/// `saranwrap.result` gives the value.
#[pyclass(frozen, module = "saranwrap")]
pub(crate) struct Promise {
    pub(crate) pipeline: Py<Pipeline>,
    /// Which step it stands for, counted from the pipeline's first.
    place: AtomicU64,
    outcome: OnceLock<Outcome>,
}

/// What a step came to.
pub(crate) enum Outcome {
    Value(Py<PyAny>),
    Failed(Py<Failure>),
}

/// Why steps failed: an exception that every promise raises which depends on it.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Failure {
    pub(crate) error: Py<PyAny>,
    /// As it came: each raise adds to the traceback, and the next one begins anew.
    /// Its arguments: the collector may take them from it.
    args: Py<PyAny>,
    pub(crate) traceback: Option<Py<PyAny>>,
    /// Whether anybody has been told.
    pub(crate) seen: AtomicBool,
}

/// The steps of one `with saranwrap.pipeline(p)`, from the recording to the answer.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Pipeline {
    pub(crate) session: Py<Session>,
    /// The thread that opened it.
    pub(crate) thread: usize,
    proxies: Py<PyTuple>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) steps: Vec<Recorded>,
    /// The place of the first of `steps`; what stands before it has been sent.
    pub(crate) first: u64,
    pub(crate) phase: Phase,
    /// Failures of steps that nobody holds, with words for each; they surface when the block ends.
    pub(crate) unheld: Vec<(Py<Failure>, String)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Fresh,
    Open,
    Ended,
    /// Left by an exception: what was not sent never will be.
    Dropped,
}

/// One recorded step.
pub(crate) struct Recorded {
    pub(crate) op: Op,
    pub(crate) target: Target,
    pub(crate) args: Args,
    pub(crate) promise: Py<Promise>,
    /// How often other steps name it.
    pub(crate) uses: u64,
    /// How many references to the promise the arguments of other steps hold.
    pub(crate) lent: usize,
    /// Whether the arguments hold promises whose values are here already.
    pub(crate) completes: bool,
    /// What the mutable arguments held when the step was recorded.
    pub(crate) snapshots: Vec<Snapshot>,
}

/// The arguments of a step, as its op has them.
pub(crate) enum Args {
    One(Py<PyAny>),
    Two(Py<PyAny>, Py<PyAny>),
    Call(Py<PyTuple>, Option<Py<PyDict>>),
    Operator(Py<PyAny>, Py<PyTuple>),
}

#[pymethods]
impl Promise {
    fn __getattribute__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        match name.to_str().unwrap_or_default() {
            "__class__" => {
                let what = "has no class before its value is here, so `isinstance` cannot tell: saranwrap.result(promise) gives it";
                Err(refusal(slf.py(), what))
            }
            own @ ("__reduce_ex__" | "__reduce__" | "__getstate__" | "__copy__" | "__deepcopy__") => {
                Err(refusal(slf.py(), &format!("has no `{own}`: it cannot be copied or pickled")))
            }
            _ => Ok(record(slf, Op::GetAttr, Args::One(name.clone().into_any().unbind()))?.into_any()),
        }
    }

    fn __setattr__(slf: &Bound<'_, Self>, name: Py<PyAny>, value: Py<PyAny>) -> PyResult<()> {
        record(slf, Op::SetAttr, Args::Two(name, value)).map(drop)
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: Py<PyAny>) -> PyResult<()> {
        record(slf, Op::DelAttr, Args::One(name)).map(drop)
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, item: Py<PyAny>) -> PyResult<Bound<'py, Self>> {
        record(slf, Op::GetItem, Args::One(item))
    }

    fn __setitem__(slf: &Bound<'_, Self>, item: Py<PyAny>, value: Py<PyAny>) -> PyResult<()> {
        record(slf, Op::SetItem, Args::Two(item, value)).map(drop)
    }

    fn __delitem__(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        record(slf, Op::DelItem, Args::One(item)).map(drop)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        record(slf, Op::Call, Args::Call(args, kwargs))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let (what, promise) = ("<saranwrap.Promise", slf.get());
        match promise.outcome.get() {
            None if promise.pipeline.get().lock().phase == Phase::Dropped => {
                format!("{what} of a step that was never sent>")
            }
            None => format!("{what} of step {}; saranwrap.result gives what it comes to>", promise.place() + 1),
            Some(Outcome::Value(_)) if promise.place() == NOWHERE => format!("{what} that records a pipeline>"),
            Some(Outcome::Value(_)) => format!("{what} that is kept; saranwrap.result gives the value>"),
            Some(Outcome::Failed(_)) => format!("{what} that failed; saranwrap.result raises why>"),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.pipeline)?;
        match self.outcome.get() {
            Some(Outcome::Value(value)) => visit.call(value),
            Some(Outcome::Failed(failure)) => visit.call(failure),
            None => Ok(()),
        }
    }
}

impl Promise {
    /// The stand-in for something that is there already: what a pipeline begins with.
    pub(crate) fn recorder<'py>(pipeline: &Bound<'py, Pipeline>, value: Py<PyAny>) -> PyResult<Bound<'py, Self>> {
        Self::kept(pipeline.py(), pipeline.clone().unbind(), Outcome::Value(value))
    }

    fn kept(py: Python<'_>, pipeline: Py<Pipeline>, outcome: Outcome) -> PyResult<Bound<'_, Self>> {
        Bound::new(py, Self { pipeline, place: AtomicU64::new(NOWHERE), outcome: OnceLock::from(outcome) })
    }

    pub(crate) fn place(&self) -> u64 {
        self.place.load(Ordering::Relaxed)
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// Keep what the step came to. The first word counts: a step has one outcome.
    pub(crate) fn keep(&self, outcome: Outcome) {
        let late = self.outcome.set(outcome);
        drop(late);
    }

    fn is_pending(&self) -> bool {
        self.outcome.get().is_none()
    }
}

#[pymethods]
impl Failure {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.error)?;
        visit.call(&self.args)?;
        visit.call(&self.traceback)
    }
}

impl Failure {
    pub(crate) fn new<'py>(error: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let traceback = error.getattr("__traceback__").ok().filter(|traceback| !traceback.is_none());
        // Looked up now: a destructor imports nothing.
        names::LAST_WORDS.get(error.py())?;
        let args = error.getattr("args")?.unbind();
        let seen = AtomicBool::new(false);
        Bound::new(
            error.py(),
            Self { error: error.clone().unbind(), args, traceback: traceback.map(Bound::unbind), seen },
        )
    }
}

impl Drop for Failure {
    /// Nobody asked for any promise that failed like this: it is told as an exception in a destructor is.
    fn drop(&mut self) {
        if !self.seen.load(Ordering::Relaxed) {
            // After the end of the interpreter there is nobody to tell.
            Python::try_attach(|py| {
                // Not the error itself: the collector may be taking it apart.
                let told =
                    names::LAST_WORDS.get(py).and_then(|words| words.call1((&self.error, &self.args, &self.traceback)));
                told.map_or_else(|error| error, PyErr::from_value).write_unraisable(py, None);
            });
        }
    }
}

impl Pipeline {
    pub(crate) fn open(session: Py<Session>, proxies: Py<PyTuple>) -> Self {
        Self { session, thread: this_thread(), proxies, state: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn proxies<'py>(&self, py: Python<'py>) -> &Bound<'py, PyTuple> {
        self.proxies.bind(py)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.session)?;
        visit.call(&self.proxies)?;
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        for step in &state.steps {
            visit.call(&step.promise)?;
            match &step.args {
                Args::One(first) => visit.call(first)?,
                Args::Two(first, second) => visit.call(first).and_then(|()| visit.call(second))?,
                Args::Call(args, kwargs) => visit.call(args).and_then(|()| visit.call(kwargs))?,
                Args::Operator(name, args) => visit.call(name).and_then(|()| visit.call(args))?,
            }
            step.snapshots.iter().try_for_each(|snapshot| snapshot.traverse(visit))?;
        }
        state.unheld.iter().try_for_each(|(failure, _)| visit.call(failure))
    }

    /// Whether this thread may record and send.
    pub(crate) fn check_thread(&self, py: Python<'_>) -> PyResult<()> {
        if self.thread == this_thread() {
            return Ok(());
        }
        Err(refusal(py, "belongs to the thread that opened its pipeline: open one in each thread"))
    }
}

impl State {
    /// The step at a place, while it waits to be sent.
    fn waiting(&mut self, place: u64) -> Option<&mut Recorded> {
        let index = place.checked_sub(self.first)?;
        self.steps.get_mut(usize::try_from(index).ok()?)
    }
}

/// Record that `op` is done with what the promise stands for.
pub(crate) fn record<'py>(slf: &Bound<'py, Promise>, op: Op, args: Args) -> PyResult<Bound<'py, Promise>> {
    // Held for the length of the call, since looking through the arguments may run code; see `special::ask`.
    let (slf, py) = (&slf.clone(), slf.py());
    let promise = slf.get();
    let pipeline = promise.pipeline.get();
    pipeline.check_thread(py)?;
    let target = match promise.outcome.get() {
        None => Target::Promise(promise.place()),
        Some(Outcome::Value(value)) => Target::Id(id_of(value.bind(py), &pipeline.session)?),
        Some(Outcome::Failed(failure)) => return failed(promise, failure.bind(py)),
    };
    let mut found = Found::default();
    found.look_through(&args, py);
    if let Some(failure) = found.failure(slf)? {
        return failed(promise, &failure);
    }
    let made =
        Promise { pipeline: promise.pipeline.clone_ref(py), place: AtomicU64::new(NOWHERE), outcome: OnceLock::new() };
    let made = Bound::new(py, made)?;
    let step = Recorded {
        op,
        target,
        args,
        promise: made.clone().unbind(),
        completes: found.completes,
        uses: 0,
        lent: 0,
        snapshots: std::mem::take(&mut found.snapshots),
    };
    let place = enlist(pipeline, step, &found).map_err(|why| refusal(py, why))?;
    made.get().place.store(place, Ordering::Relaxed);
    Ok(made)
}

/// Put a step in order to be sent: its place, or why there is none for it.
fn enlist(pipeline: &Pipeline, step: Recorded, found: &Found<'_>) -> Result<u64, &'static str> {
    let mut state = pipeline.lock();
    let named = found.promises.iter().map(|(promise, lent)| (promise.get().place(), *lent));
    let target = match step.target {
        Target::Promise(place) => Some((place, 0)),
        Target::Id(_) => None,
    };
    let refused = match state.phase {
        Phase::Fresh => Some("records nothing before the block of its pipeline begins"),
        Phase::Ended => Some("records nothing any more, since the block of its pipeline has ended: open another one"),
        Phase::Dropped => Some("was never sent: the block of its pipeline was left by an exception"),
        Phase::Open => {
            let lost = named.clone().chain(target).any(|(place, _)| state.waiting(place).is_none());
            lost.then_some("is on its way just now, so nothing can be recorded with it")
        }
    };
    if let Some(why) = refused {
        // Dropped without the lock: the arguments may be the last of their kind.
        drop(state);
        drop(step);
        return Err(why);
    }
    for (place, lent) in named.chain(target) {
        if let Some(used) = state.waiting(place) {
            used.uses += 1;
            used.lent += lent;
        }
    }
    let place = state.first + state.steps.len() as u64;
    state.steps.push(step);
    Ok(place)
}

/// A promise that fails like the one that it depends on, without being sent.
fn failed<'py>(promise: &Promise, failure: &Bound<'py, Failure>) -> PyResult<Bound<'py, Promise>> {
    let py = failure.py();
    Promise::kept(py, promise.pipeline.clone_ref(py), Outcome::Failed(failure.clone().unbind()))
}

/// The id of what a promise turned out to be: only an object of the other side has one.
fn id_of(value: &Bound<'_, PyAny>, session: &Py<Session>) -> PyResult<u64> {
    let py = value.py();
    if let Ok(proxy) = value.cast::<Proxy>()
        && let place = proxy.get().stand.spot()
        && place.session.is(session)
    {
        return Ok(place.id);
    }
    let located = names::LOCATE.get(py)?.call1((value,)).and_then(|located| located.extract::<(Py<Session>, u64)>());
    match located {
        Ok((owner, id)) if owner.is(session) => Ok(id),
        _ => {
            let kind = value.get_type().name()?;
            let what =
                format!("was sent already and came to a value, of type `{kind}`: go on with saranwrap.result(promise)");
            Err(refusal(py, &what))
        }
    }
}

/// What the arguments of a step hold that matters before they are sent.
#[derive(Default)]
struct Found<'py> {
    /// The promises, and how many references to each the step's arguments hold themselves.
    promises: Vec<(Bound<'py, Promise>, usize)>,
    snapshots: Vec<Snapshot>,
    seen: HashSet<usize>,
    /// Whether some of the promises have values already.
    completes: bool,
}

impl<'py> Found<'py> {
    fn look_through(&mut self, args: &Args, py: Python<'py>) {
        match args {
            Args::One(first) => self.direct(first.bind(py)),
            Args::Two(first, second) => {
                self.direct(first.bind(py));
                self.direct(second.bind(py));
            }
            Args::Operator(_, args) => args.bind(py).iter().for_each(|arg| self.direct(&arg)),
            Args::Call(args, kwargs) => {
                args.bind(py).iter().for_each(|arg| self.direct(&arg));
                if let Some(kwargs) = kwargs {
                    kwargs.bind(py).values().iter().for_each(|arg| self.direct(&arg));
                }
            }
        }
    }

    fn direct(&mut self, arg: &Bound<'py, PyAny>) {
        match arg.cast_exact::<Promise>() {
            Ok(promise) => self.promises.push((promise.clone(), 1)),
            Err(_) => self.inside(arg, 0),
        }
    }

    /// Promises and mutable built-ins, at any depth of what crosses by value.
    fn inside(&mut self, object: &Bound<'py, PyAny>, depth: usize) {
        if depth > DEPTH {
            return;
        }
        if let Ok(tuple) = object.cast_exact::<PyTuple>() {
            tuple.iter().for_each(|item| self.inside(&item, depth + 1));
        } else if let Ok(list) = object.cast_exact::<PyList>() {
            if self.first_seen(object) {
                list.iter().for_each(|item| self.inside(&item, depth + 1));
            }
        } else if let Ok(dict) = object.cast_exact::<PyDict>() {
            if self.first_seen(object) {
                dict.values().iter().for_each(|item| self.inside(&item, depth + 1));
            }
        } else if object.is_exact_instance_of::<PySet>()
            || object.is_exact_instance_of::<PyByteArray>()
            || is_array(object).unwrap_or_default()
        {
            self.first_seen(object);
        } else if let Ok(promise) = object.cast_exact::<Promise>() {
            self.promises.push((promise.clone(), 0));
        }
    }

    fn first_seen(&mut self, object: &Bound<'py, PyAny>) -> bool {
        let first = self.seen.insert(object.as_ptr() as usize);
        if first {
            self.snapshots.push(Snapshot::of(object));
        }
        first
    }

    /// The failure that an argument already came to, if any did. What is left are promises that are to be sent.
    fn failure(&mut self, asked: &Bound<'py, Promise>) -> PyResult<Option<Bound<'py, Failure>>> {
        let py = asked.py();
        for (promise, _) in &self.promises {
            match promise.get().outcome.get() {
                Some(Outcome::Failed(failure)) => return Ok(Some(failure.bind(py).clone())),
                None if !promise.get().pipeline.is(&asked.get().pipeline) => {
                    let what = "of one pipeline cannot be an argument in another one before it is sent: saranwrap.flush it first";
                    return Err(refusal(py, what));
                }
                _ => {}
            }
        }
        let count = self.promises.len();
        self.promises.retain(|(promise, _)| promise.get().is_pending());
        self.completes = self.promises.len() < count;
        Ok(None)
    }
}

/// Record an operator between a promise and its operands.
#[pyfunction]
pub(crate) fn operate<'py>(
    promise: &Bound<'py, Promise>,
    name: Py<PyAny>,
    args: Py<PyTuple>,
) -> PyResult<Bound<'py, Promise>> {
    record(promise, Op::Operate, Args::Operator(name, args))
}

/// Why something cannot be done with a promise; the sentence begins with it.
pub(crate) fn refusal(py: Python<'_>, what: &str) -> PyErr {
    named(py, &names::NOT_TRANSPARENT, &format!("a promise {what}"))
}
