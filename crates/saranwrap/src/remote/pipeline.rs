//! Pipelines: operations that are written down first, sent together and performed in order; and the promises of what they come to.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::arguments::{ArgumentTuple, Arguments};
use super::batch::{Batch, Place, Stand, Written};
use super::convert::{FromRemote, IntoRemote};
use super::courier::{Flight, Slot};
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::freight::Kept;
use super::later::Answer;
use super::object::{Object, text_argument};
use super::session::Session;
use super::shared::{Shared, lock};
use super::value::Value;
use crate::op::{Op, Target};
use crate::table::ROOT;
use crate::wire::{Writer, tag};

/// Operations on objects of one child that travel together.
///
/// What is done with a [`Promise`] is written down, and gives the promise of what it comes to, with which one goes on as if it were
/// the value.  Nothing is sent before [`run`](Self::run), or before a promise is asked for what it came to.  (An idea of E and of Cap'n
/// Proto; the Python face has the same.)
///
/// A step that depends on one that raised is not performed, and its promise comes to the same exception.  The others are performed:
/// they are statements of their own.
///
/// ```no_run
/// # let child = saranwrap::Python::new().spawn()?;
/// let q = child.pipeline();
/// let operator = q.wrap_module("operator");
/// let good = operator.call_method("add", (1, 1));
/// let bad = operator.call_method("truediv", (&good, 0));
/// let worse = bad.operate("__add__", (1,));
/// q.run()?;
/// assert_eq!(good.extract::<i64>()?, 2);
/// assert!(worse.get().unwrap_err().is_instance("ZeroDivisionError"));
/// # Ok::<(), saranwrap::Fault>(())
/// ```
///
/// A clone is the same pipeline.  Any thread may use it.
#[derive(Clone)]
pub struct Pipeline {
    recorded: Arc<Recorded>,
}

/// What a step of a pipeline will have come to when the pipeline has run.
///
/// It keeps what it came to for as long as it is held.  The result of a step whose promise was dropped before the pipeline ran is not
/// sent back.
#[derive(Clone)]
pub struct Promise {
    recorded: Arc<Recorded>,
    place: Arc<Place>,
}

/// A pipeline on its way.  The requests have gone already when this is made; to drop it is to say that the results are not wanted.
#[must_use = "a pipeline that nobody waits for is stopped"]
pub struct Running {
    recorded: Arc<Recorded>,
    batch: Batch,
    answer: Option<Answer>,
}

struct Recorded {
    session: Arc<Shared>,
    limit: Option<Duration>,
    state: Mutex<State>,
}

/// The message that is being written down.
#[derive(Default)]
struct State {
    number: u64,
    batch: Batch,
    /// What a step raised, the first one, that nobody can ask.
    unseen: Option<Fault>,
}

/// In whose message promises are named, and which.
#[derive(Debug)]
pub(crate) struct Naming {
    pipeline: usize,
    number: u64,
    named: Vec<u64>,
}

impl Session {
    /// Begin to write operations down that are to travel together.
    pub fn pipeline(&self) -> Pipeline {
        Pipeline::new(self, None)
    }
}

impl Pipeline {
    fn new(session: &Session, limit: Option<Duration>) -> Self {
        let session = Arc::clone(session.shared());
        Self { recorded: Arc::new(Recorded { session, limit, state: Mutex::default() }) }
    }

    /// Another pipeline of the same child, each message of which takes so long at most: see
    /// [`Proxy::with_timeout`](super::Proxy::with_timeout).
    pub fn with_timeout(&self, limit: Duration) -> Self {
        Self::new(&Session::of(&self.recorded.session), Some(limit))
    }

    /// The promise of something that is there already: what is done with it is written down.
    ///
    /// # Errors
    ///
    /// [`Fault::Mismatch`] where it is no object of this pipeline's child.
    pub fn of(&self, object: &impl Object) -> Result<Promise> {
        let proxy = object.proxy()?.into_owned();
        if !proxy.belongs_to(&self.recorded.session) {
            return Err(Fault::mismatch("one pipeline is for objects of one child: open another one"));
        }
        Ok(self.recorded.promise(Stand::Came(Ok(Value::Object(proxy)))))
    }

    /// Import a module there: a step like the others.
    pub fn wrap_module(&self, name: &str) -> Promise {
        self.recorded.record(Target::Id(ROOT), Op::Import, 1, text_argument(name))
    }

    /// Send what is written down, and wait until all of it is done.
    ///
    /// # Errors
    ///
    /// What happened to the link; then all promises come to the same.  Otherwise what a *statement* raised, the first one: a step whose
    /// promise nobody holds, and which no other step names.
    pub fn run(&self) -> Result<()> {
        self.recorded.run()?;
        self.recorded.surface()
    }

    /// The same without waiting: a future, for whatever runtime polls it.
    pub fn run_later(&self) -> Running {
        let recorded = Arc::clone(&self.recorded);
        let mut batch = recorded.take();
        let answer = (!batch.steps.is_empty()).then(|| recorded.fly(&mut batch));
        Running { recorded, batch, answer }
    }
}

impl Promise {
    /// What the step came to; what is written down so far is sent for that.
    ///
    /// # Errors
    ///
    /// What the step raised, or one that it depends on, each time; or what happened to the link.
    pub fn get(&self) -> Result<Value> {
        let stand = lock(&self.place).clone();
        if matches!(stand, Stand::Recorded(..)) {
            // What happens to the link is kept with each promise.
            let _ = self.recorded.run();
        }
        match lock(&self.place).clone() {
            Stand::Came(came) => came,
            _ => Err(Fault::mismatch("a promise is on its way just now, and nothing has come of it yet")),
        }
    }

    /// The same as a type of yours.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`Fault::Mismatch`] where it came to something else.
    pub fn extract<T: FromRemote>(&self) -> Result<T> {
        self.get()?.extract()
    }

    /// See [`Object::getattr`].
    pub fn getattr(&self, name: &str) -> Self {
        self.record(Op::GetAttr, 1, text_argument(name))
    }

    /// See [`Object::setattr`].
    pub fn setattr(&self, name: &str, value: impl IntoRemote) -> Self {
        self.record(Op::SetAttr, 2, |out| {
            out.text(name);
            value.into_remote(out)
        })
    }

    /// See [`Object::delattr`].
    pub fn delattr(&self, name: &str) -> Self {
        self.record(Op::DelAttr, 1, text_argument(name))
    }

    /// See [`Object::call`].  A promise is an argument, too, by reference: `f.call((&promise, 1))`.
    pub fn call(&self, args: impl Arguments) -> Self {
        self.record(Op::Call, 2, |out| args.write(out))
    }

    /// See [`Object::call_method`].
    pub fn call_method(&self, name: &str, args: impl Arguments) -> Self {
        self.getattr(name).call(args)
    }

    /// See [`Object::get_item`].
    pub fn get_item(&self, item: impl IntoRemote) -> Self {
        self.record(Op::GetItem, 1, |out| item.into_remote(out))
    }

    /// See [`Object::set_item`].
    pub fn set_item(&self, item: impl IntoRemote, value: impl IntoRemote) -> Self {
        self.record(Op::SetItem, 2, |out| {
            item.into_remote(out)?;
            value.into_remote(out)
        })
    }

    /// See [`Object::del_item`].
    pub fn del_item(&self, item: impl IntoRemote) -> Self {
        self.record(Op::DelItem, 1, |out| item.into_remote(out))
    }

    /// See [`Object::special`].
    pub fn special(&self, name: &str, args: impl ArgumentTuple) -> Self {
        self.record(Op::Special, 2, |out| {
            out.text(name);
            args.write_positional(out)
        })
    }

    /// See [`Object::operate`].
    pub fn operate(&self, name: &str, args: impl ArgumentTuple) -> Self {
        self.record(Op::Operate, 2, |out| {
            out.text(name);
            args.write_positional(out)
        })
    }

    /// See [`Object::fetch`].
    pub fn fetch(&self) -> Self {
        self.record(Op::Copy, 2, |out| {
            out.bool(false);
            out.bool(true);
            Ok(())
        })
    }

    fn record(&self, op: Op, argc: usize, write: impl FnOnce(&mut Encoder<'_>) -> Result<()>) -> Self {
        let stand = lock(&self.place).clone();
        match stand {
            Stand::Recorded(_, place) => self.recorded.record_on(Target::Promise(place), Some(self), (op, argc), write),
            Stand::Came(Ok(value)) => match value.proxy() {
                Ok(proxy) => self.recorded.record_on(Target::Id(proxy.id()), Some(self), (op, argc), write),
                Err(fault) => self.recorded.promise(Stand::Came(Err(fault))),
            },
            Stand::Came(failed) => self.recorded.promise(Stand::Came(failed)),
            Stand::Sent => self.recorded.promise(Stand::Came(Err(on_its_way()))),
        }
    }
}

fn on_its_way() -> Fault {
    Fault::mismatch("a promise is on its way just now, and nothing can be done with it")
}

impl IntoRemote for &Promise {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        let stand = lock(&self.place).clone();
        match (stand, &mut out.naming) {
            (Stand::Came(came), _) => came.and_then(|value| out.value(&value)),
            (Stand::Recorded(number, place), Some(naming))
                if naming.number == number && naming.pipeline == Arc::as_ptr(&self.recorded) as usize =>
            {
                naming.named.push(place);
                out.out().tag(tag::PROMISE);
                out.out().u64(place);
                Ok(())
            }
            (Stand::Recorded(..), _) => Err(Fault::mismatch("a promise is nothing before its pipeline has run")),
            (Stand::Sent, _) => Err(on_its_way()),
        }
    }
}

impl IntoRemote for Promise {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        (&self).into_remote(out)
    }
}

impl Recorded {
    fn promise(self: &Arc<Self>, stand: Stand) -> Promise {
        Promise { recorded: Arc::clone(self), place: Arc::new(Mutex::new(stand)) }
    }

    fn record(
        self: &Arc<Self>,
        target: Target,
        op: Op,
        argc: usize,
        write: impl FnOnce(&mut Encoder<'_>) -> Result<()>,
    ) -> Promise {
        self.record_on(target, None, (op, argc), write)
    }

    /// Write a step down.  One whose arguments cannot be written is none: its promise tells why.
    fn record_on(
        self: &Arc<Self>,
        target: Target,
        of: Option<&Promise>,
        (op, argc): (Op, usize),
        write: impl FnOnce(&mut Encoder<'_>) -> Result<()>,
    ) -> Promise {
        let number = lock(&self.state).number;
        let mut out = Writer::with_capacity(64);
        let mut encoder = Encoder::new(&self.session, &mut out);
        encoder.naming = Some(Naming { pipeline: Arc::as_ptr(self) as usize, number, named: Vec::new() });
        // Without the lock: what writes an argument may be the user's own code.
        let written = write(&mut encoder).and_then(|()| match (target, of) {
            // The object has to be there still when the message goes.
            (Target::Id(_), Some(of)) => of.get().and_then(|value| Ok(Some(value.proxy()?.into_owned()))),
            _ => Ok(None),
        });
        let subject = match written {
            Ok(subject) => subject,
            Err(fault) => {
                encoder.take_back(0);
                return self.promise(Stand::Came(Err(fault)));
            }
        };
        let mut named = encoder.naming.take().map_or_else(Vec::new, |naming| naming.named);
        if let Target::Promise(place) = target {
            named.push(place);
        }
        let mut freight = encoder.freight();
        freight.keeps.extend(subject.map(Kept::Proxy));
        let mut state = lock(&self.state);
        if state.number != number {
            drop(state);
            freight.take_back(&self.session);
            return self.promise(Stand::Came(Err(on_its_way())));
        }
        let promise = self.promise(Stand::Recorded(number, state.batch.steps.len() as u64));
        let place = Arc::clone(&promise.place);
        state.batch.add(Written { op, target, argc, arguments: 0..0, uses: 0, place }, out.as_slice(), &named);
        state.batch.freight.add(freight);
        promise
    }

    /// What is to be sent now.
    fn take(&self) -> Batch {
        let mut state = lock(&self.state);
        state.number += 1;
        std::mem::take(&mut state.batch)
    }

    fn run(&self) -> Result<()> {
        let mut batch = self.take();
        if batch.steps.is_empty() {
            return Ok(());
        }
        let wait = self.session.wait(self.limit);
        let body = batch.write(&wait);
        let lasting = batch.freight.lasting(&self.session);
        let answer = self.session.carry(&wait, Op::Pipeline, &body);
        drop(lasting);
        self.settle(&batch, answer.map(|(value, _)| value))
    }

    /// Put down what the steps came to.
    fn settle(&self, batch: &Batch, answer: Result<Value>) -> Result<()> {
        let settled = answer.and_then(|answer| batch.told(&answer).map_err(|error| self.session.fail(error).into()));
        match settled {
            Ok(unseen) => {
                let mut state = lock(&self.state);
                state.unseen = state.unseen.take().or(unseen);
                Ok(())
            }
            Err(fault) => {
                batch.steps.iter().for_each(|step| step.come_to(Err(fault.clone())));
                Err(fault)
            }
        }
    }

    fn surface(&self) -> Result<()> {
        lock(&self.state).unseen.take().map_or(Ok(()), Err)
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // What was never sent was never given.
        let mut batch = self.take();
        batch.freight.take_back(&self.session);
    }
}

impl Future for Running {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(answer) = &mut this.answer {
            let answer = ready!(Pin::new(answer).poll(context));
            this.answer = None;
            this.recorded.settle(&this.batch, answer)?;
        }
        Poll::Ready(this.recorded.surface())
    }
}

impl Recorded {
    /// Send it; the answer comes later.
    fn fly(&self, batch: &mut Batch) -> Answer {
        let wait = self.session.wait(self.limit);
        let body = batch.write(&wait);
        let slot: Arc<Slot> = Arc::default();
        let lasting = batch.freight.lasting(&self.session);
        let kept = std::mem::take(&mut batch.freight.keeps);
        let (held, to) = (Vec::new(), Arc::clone(&slot));
        self.session.fly(Flight { op: Op::Pipeline, body, wait, held, kept, lasting, slot: to });
        Answer::new(&self.session, slot)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.answer.is_some() {
            let fault = Fault::mismatch("nobody waited for the pipeline of this promise");
            self.batch.steps.iter().for_each(|step| step.come_to(Err(fault.clone())));
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({} steps)", lock(&self.recorded.state).batch.steps.len())
    }
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*lock(&self.place) {
            Stand::Recorded(_, place) => write!(f, "Promise(step {place})"),
            Stand::Sent => f.write_str("Promise(on its way)"),
            Stand::Came(Ok(value)) => write!(f, "Promise({value:?})"),
            Stand::Came(Err(fault)) => write!(f, "Promise({fault})"),
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}
