//! Applies ops to real objects. It does not know who asked.

mod answers;
mod arguments;
mod attributes;
mod steps;

use std::cell::{Cell, RefCell};
use std::time::Instant;

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyDictMethods, PyList, PyListMethods, PyString, PyTuple};
use saranwrap::arena::BLOCK;
use saranwrap::error::{Error, Kind, Result as EngineResult};
use saranwrap::host::{Applied, GivenUp, Host, Outcome};
use saranwrap::link::Side;
use saranwrap::op::{Op, Request};
use saranwrap::wire::{Reader, Writer};

use crate::ahead::lock;
use crate::convert::{Decoder, Encoder, Mode};
use crate::deadlines::Bounded;
use crate::ending;
use crate::fault::{Fault, Result};
use crate::guard;
use crate::hub;
use crate::iterator;
use crate::loans::{self, Key, Scope};
use crate::names;
use crate::session::Session;
use crate::special;
use crate::stopping::Stopping;
pub(crate) use arguments::{arguments, is_positional, takes_arguments};
use arguments::{is_arrow, is_buffer, keywords, read_arguments};
use attributes::call;

pub(crate) struct PyHost<'a, 'py> {
    session: &'a Bound<'py, Session>,
    /// Ids that are to be given back stay here for now.
    keeps: bool,
    /// Answers that are written but not yet sent: a proxy in one must not give its id back before the answer is out.
    leaving: RefCell<Vec<Bound<'py, PyAny>>>,
    /// The end of the call that this host waits with, if it is given up.
    pub(crate) stopping: Stopping,
    /// A call that is given up may go on: nothing is done about it.
    spares: bool,
    /// A signal handler has raised, and that was not told yet.
    refuses: Cell<bool>,
    /// Nobody waits for the answer: requests are read, and nothing of them is done.
    declines: Cell<bool>,
    /// Whether a coroutine that a call comes to is run by this side, and that coroutine.
    defers: bool,
    pub(crate) coroutine: RefCell<Option<Bound<'py, PyAny>>>,
}

impl<'a, 'py> PyHost<'a, 'py> {
    pub(crate) fn new(session: &'a Bound<'py, Session>) -> Self {
        Self {
            session,
            keeps: false,
            leaving: RefCell::default(),
            stopping: Stopping::default(),
            spares: false,
            refuses: Cell::new(false),
            declines: Cell::new(false),
            defers: false,
            coroutine: RefCell::default(),
        }
    }

    /// One that leaves the child alone when no answer comes.
    pub(crate) fn sparing(session: &'a Bound<'py, Session>) -> Self {
        Self { spares: true, ..Self::new(session) }
    }

    /// Whether a call that is given up is left to itself.
    pub(crate) fn spares(&self) -> bool {
        self.spares
    }

    /// One that leaves a coroutine for later.
    pub(crate) fn deferring(session: &'a Bound<'py, Session>) -> Self {
        Self { defers: true, ..Self::new(session) }
    }

    /// One that sends no releases ahead of its own frame.
    pub(crate) fn keeping(session: &'a Bound<'py, Session>) -> Self {
        Self { keeps: true, ..Self::new(session) }
    }
}

fn interruption() -> Error {
    Error::new(Kind::Interrupted, "a signal handler raised while the call was waiting")
}

/// What an op is applied to.
enum Subject<'py> {
    Id(u64),
    /// What an earlier step of the same pipeline came to.
    Object(Bound<'py, PyAny>),
}

impl Subject<'_> {
    fn id(&self) -> Option<u64> {
        match self {
            Self::Id(id) => Some(*id),
            Self::Object(_) => None,
        }
    }
}

/// What puts down the end of a message.
type Behind<'a, 'py> = dyn Fn(&mut Encoder<'_, 'py>) -> Result<()> + 'a;

/// What came of a request; the arguments stay until the answer is written, which may name them.
struct Performed<'py> {
    answer: Answer<'py>,
    arguments: Vec<Bound<'py, PyAny>>,
    _request: Vec<Bound<'py, PyAny>>,
}

/// An op's result, and how it leaves.
enum Answer<'py> {
    Plain(Bound<'py, PyAny>),
    /// By reference whatever it is.
    Root(Bound<'py, PyAny>),
    /// What it lends by the buffer protocol.
    Buffer(Bound<'py, PyAny>),
    /// What it offers of its columns.
    Arrow(Bound<'py, PyAny>),
    /// By value to any depth.
    Copy(Bound<'py, PyAny>, Mode),
    /// What was to be called: the asker is to do it.
    Uncalled(Bound<'py, PyAny>),
    /// What a path had come to when so many names were left: the asker is to go on.
    Partway(Bound<'py, PyAny>, usize),
    /// None yet.
    Later,
}

impl<'py> Answer<'py> {
    fn object(&self) -> Option<&Bound<'py, PyAny>> {
        match self {
            Self::Plain(object)
            | Self::Root(object)
            | Self::Buffer(object)
            | Self::Arrow(object)
            | Self::Copy(object, _)
            | Self::Uncalled(object)
            | Self::Partway(object, _) => Some(object),
            Self::Later => None,
        }
    }
}

impl Host for PyHost<'_, '_> {
    fn apply(&self, body: &[u8], out: &mut Writer) -> EngineResult<Applied> {
        let session = self.session.get();
        let key = session.key();
        let _scope = Scope::enter(key);
        let start = out.len();
        session.ahead.stir();
        let answered = self.answer_to(body, key, out);
        session.ahead.stir();
        let fault = match answered {
            Ok(applied) => return Ok(applied),
            Err(fault) => fault,
        };
        out.truncate(start);
        match fault {
            Fault::Link(error) => Err(error),
            Fault::Python(error) => {
                self.raised(error, key, out, &|encoder| self.trailer(encoder, key)).map(|()| Outcome::Raised.into())
            }
        }
    }

    fn decline(&self, body: &[u8], out: &mut Writer) -> EngineResult<Applied> {
        let mut reader = Reader::new(body);
        let request = Request::read(&mut reader)?;
        if request.op == Op::Pipeline {
            self.declines.set(true);
            let declined = self.apply(body, out);
            self.declines.set(false);
            return declined;
        }
        let key = self.session.get().key();
        let _scope = Scope::enter(key);
        let mut decoder = Decoder::new(self.session, reader, key);
        // What it carries is given back as it is dropped.
        if let Err(Fault::Link(error)) = read_arguments(&request, &mut decoder).inspect_err(|_| decoder.give_up()) {
            return Err(error);
        }
        out.null();
        Ok(Outcome::Answered.into())
    }

    fn given_up(&self, call: &GivenUp<'_>) -> Option<Instant> {
        if self.spares { None } else { self.stopping.push(self.session.get(), call) }
    }

    fn ended(&self, outcome: Outcome, body: &[u8]) {
        self.stopping.ended(outcome);
        self.discard(body);
    }

    fn calm(&self) {
        // Nothing can be done about a thread that could not be calmed.
        let _ = names::CALM.get(self.session.py()).and_then(|calm| calm.call0());
    }

    fn release(&self, releases: &[(u64, u64)]) -> EngineResult<()> {
        // Bound first: the lock must be gone before the objects are.
        let session = self.session.get();
        let (blocks, objects): (Vec<_>, Vec<_>) = releases.iter().partition(|(id, _)| id & BLOCK != 0);
        blocks.iter().try_for_each(|&(id, count)| session.arena.released(id, count))?;
        let dropped = session.exports().take_back(&objects);
        session.end_readings(&objects);
        match dropped {
            Ok(_) => Ok(()),
            Err(Fault::Link(error)) => Err(error),
            Err(Fault::Python(_)) => Ok(()),
        }
    }

    fn discard(&self, body: &[u8]) {
        let key = (self.session.as_ptr() as usize, u64::MAX);
        let _scope = Scope::enter(key);
        // Whatever it carries dies here and is given back; a body that cannot be read breaks the next call instead.
        let mut decoder = Decoder::new(self.session, Reader::new(body), key);
        let _ = decoder.value();
        decoder.give_up();
    }

    fn detached(&self, wait: &mut (dyn FnMut() + Send)) {
        let py = self.session.py();
        hub::notice(py);
        // A signal that came before the wait would not end it.
        match self.interrupted() {
            Ok(()) => py.detach(|| {
                wait();
                ending::hold();
            }),
            Err(_) => self.refuses.set(true),
        }
    }

    fn interrupted(&self) -> EngineResult<()> {
        if self.refuses.take() {
            return Err(interruption());
        }
        self.session.py().check_signals().map_err(|error| {
            let before = lock(&self.session.get().stashed).replace(error);
            drop(before);
            interruption()
        })
    }

    fn sent(&self) {
        if !self.leaving.borrow().is_empty() {
            let gone = self.leaving.take();
            drop(gone);
        }
    }

    fn queued_releases(&self) -> Vec<(u64, u64)> {
        if self.keeps { Vec::new() } else { self.session.get().take_queued() }
    }
}

impl<'py> PyHost<'_, 'py> {
    fn answer_to(&self, body: &[u8], key: Key, out: &mut Writer) -> Result<Applied> {
        let mut reader = Reader::new(body);
        let request = Request::read(&mut reader)?;
        let decoder = Decoder::new(self.session, reader, key);
        if request.op == Op::Pipeline {
            self.pipeline(&request, decoder, key, out)?;
            Session::tell_all(self.session)?;
            self.trailer(&mut Encoder::new(self.session, out, key, Mode::Normal), key)?;
            return Ok(Outcome::Answered.into());
        }
        let performed = self.perform(&request, decoder, key);
        // The other side goes on when it has the answer. Before that it is told what this one took of its iterators.
        Session::tell_all(self.session)?;
        let performed = performed?;
        if matches!(performed.answer, Answer::Later) {
            return Ok(Applied::Later);
        }
        self.answer(&performed, key, out, &|encoder| self.trailer(encoder, key))?;
        Ok(Outcome::Answered.into())
    }

    fn perform(&self, request: &Request, mut decoder: Decoder<'_, 'py>, key: Key) -> Result<Performed<'py>> {
        let args = read_arguments(request, &mut decoder).inspect_err(|_| decoder.give_up())?;
        let _bounded = decoder.left.map(|left| Bounded::by(self.session.py(), left)).transpose()?;
        let (mentioned, mut arguments) = decoder.end();
        arguments.extend(keywords(request.op, &args).into_iter().flat_map(|keywords| keywords.values()));
        let mut answer = self.apply_counted(request.op, &Subject::Id(request.target), &args, &mentioned, key)?;
        if self.defers && matches!(request.op, Op::Call | Op::CallAttr) {
            answer = self.deferred(answer)?;
        }
        Ok(Performed { answer, arguments, _request: args })
    }

    /// A coroutine is run here, and answers for the call when it is done.
    fn deferred(&self, answer: Answer<'py>) -> Result<Answer<'py>> {
        match &answer {
            Answer::Plain(object) if object.is_instance(names::COROUTINE.get(object.py())?)? => {
                self.coroutine.replace(Some(object.clone()));
                Ok(Answer::Later)
            }
            _ => Ok(answer),
        }
    }

    /// What was cancelled before it began is not done.
    fn check_wanted(&self) -> Result<()> {
        if self.declines.get() {
            return Err(PyKeyboardInterrupt::new_err("the call was given up before it began").into());
        }
        Ok(())
    }

    /// Apply an op, and look what this side keeps of what was lent to it.
    fn apply_counted(
        &self,
        op: Op,
        subject: &Subject<'py>,
        args: &[Bound<'py, PyAny>],
        mentioned: &[u64],
        key: Key,
    ) -> Result<Answer<'py>> {
        let in_child = self.session.get().side() == Side::Child;
        if in_child {
            loans::count_references(key, mentioned, None, self.session.py());
        }
        let answer = self.apply_op(op, subject, args)?;
        if in_child && let Some(object) = answer.object() {
            loans::note_kept(key, mentioned, object);
        }
        Ok(answer)
    }

    /// Whether what is asked here is asked by a child that is not trusted.
    fn guards(&self) -> bool {
        let session = self.session.get();
        session.side() == Side::Parent && !session.trusts()
    }

    fn apply_op(&self, op: Op, subject: &Subject<'py>, args: &[Bound<'py, PyAny>]) -> Result<Answer<'py>> {
        let py = self.session.py();
        let session = self.session.get();
        let guarded = self.guards();
        if guarded {
            guard::check_op(op, subject.id())?;
        }
        let object = || {
            let object = match subject {
                Subject::Id(id) => session.exported(py, *id)?,
                Subject::Object(object) => object.clone(),
            };
            if guarded {
                guard::check_reach(op, &object, args)?;
            }
            Ok::<_, Fault>(object)
        };
        let plain = |object: PyResult<Bound<'py, PyAny>>| Ok(Answer::Plain(object?));
        let done = |result: PyResult<()>| result.map(|()| Answer::Plain(py.None().into_bound(py))).map_err(Fault::from);
        match (op, args) {
            // A function tells its signature in place of the code that a child may not see.
            (Op::GetAttr, [name]) if guarded && name.eq("__signature__")? => {
                plain(special::apply(&object()?, name, &PyTuple::empty(py).into_any()))
            }
            (Op::GetAttr, [path]) => self.follow(object()?, path),
            (Op::SetAttr, [name, value]) => done(object()?.setattr(name.cast::<PyString>()?, value)),
            (Op::DelAttr, [name]) => done(object()?.delattr(name.cast::<PyString>()?)),
            (Op::GetItem, [item]) => plain(object()?.get_item(item)),
            (Op::SetItem, [item, value]) => done(object()?.set_item(item, value)),
            (Op::DelItem, [item]) => done(object()?.del_item(item)),
            (Op::Eq, [rhs]) => plain(names::EQ.get(py)?.call1((object()?, rhs))),
            (Op::Call, [args, kwargs]) => plain(call(&object()?, args, kwargs)),
            (Op::CallAttr, [path, args, kwargs]) => {
                let attribute = self.follow(object()?, path)?;
                self.call_attribute(attribute, args, kwargs, guarded)
            }
            (Op::Special, [name, args]) => self.special(object()?, name, args),
            (Op::Super, [class, name, rest @ ..]) => {
                let rest = PyTuple::new(py, rest)?;
                plain(names::SUPER.get(py)?.call1((object()?, class, name, rest)))
            }
            (Op::Status, []) => plain(self.status()),
            (Op::Describe, []) => plain(names::DESCRIBE.get(py)?.call1((self.session, object()?))),
            (Op::Import, [name]) => Ok(Answer::Root(names::IMPORT_MODULE.get(py)?.call1((name,))?)),
            (Op::Adopt, [recipe]) => Ok(Answer::Root(names::ADOPT.get(py)?.call1((recipe,))?)),
            (Op::Subclass, [name, bases, overrides, kwargs]) => {
                plain(names::SUBCLASS.get(py)?.call1((self.session, name, bases, overrides, kwargs)))
            }
            (Op::Copy, [trusted, deep]) => Ok(Answer::Copy(object()?, copying(trusted, deep)?)),
            (Op::Is, [kind, candidate]) => plain(names::IS.get(py)?.call1((object()?, kind, candidate))),
            (Op::Dir, []) => plain(dir(&object()?)),
            (Op::Ahead, args) => iterator::read(self.session, subject.id(), args).map(Answer::Plain),
            (Op::Take, [count]) => plain(iterator::give(self.session, &object()?, count)),
            (Op::Reduce, [protocol]) => plain(names::REDUCE_PARTS.get(py)?.call1((object()?, protocol))),
            (Op::Await, how) => self.complete(&awaitable(object()?, how)?, subject),
            (Op::Operate, [name, args]) => plain(names::OPERATE.get(py)?.call1((object()?, name, args))),
            (op, args) => Err(unknown(op, args.len())),
        }
    }

    /// A special method; those that lend memory have answers of their own.
    fn special(
        &self,
        object: Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
        args: &Bound<'py, PyAny>,
    ) -> Result<Answer<'py>> {
        if is_buffer(name) {
            return Ok(Answer::Buffer(object));
        }
        if is_arrow(name) {
            let taken = names::ARROW_TAKEN.get(name.py())?.call1((self.session, object, name))?;
            return Ok(Answer::Arrow(taken));
        }
        Ok(Answer::Plain(special::apply(&object, name, args)?))
    }

    /// Run an awaitable to its end, or have it run and answer later.
    fn complete(&self, awaitable: &Bound<'py, PyAny>, subject: &Subject<'py>) -> Result<Answer<'py>> {
        // A step of a pipeline has no answer of its own.
        let call = subject.id().and_then(|_| self.session.get().link().serving());
        let run = names::RUN.get(awaitable.py())?.call1((self.session, call, awaitable))?;
        let (done, value): (bool, Bound<'py, PyAny>) = run.extract()?;
        Ok(if done { Answer::Plain(value) } else { Answer::Later })
    }

    /// The seed's counts, and what this process knows of itself.
    fn status(&self) -> PyResult<Bound<'py, PyAny>> {
        let session = self.session.get();
        let (count, next) = {
            let exports = session.exports();
            (exports.len(), exports.next_id())
        };
        let stats = session.link().stats();
        let arena = session.arena.usage();
        let parts = (
            (count, next, stats.calls_served, stats.bytes_in, stats.bytes_out, session.uptime()),
            (arena.blocks_out, arena.bytes_out, arena.blocks_in),
        );
        names::STATUS.get(self.session.py())?.call1(parts)
    }
}

/// What is to be awaited: the object, or what its special method gives.
fn awaitable<'py>(object: Bound<'py, PyAny>, how: &[Bound<'py, PyAny>]) -> Result<Bound<'py, PyAny>> {
    match how {
        [] => Ok(object),
        [name, args] => Ok(special::apply(&object, name, args)?),
        _ => Err(unknown(Op::Await, how.len())),
    }
}

fn unknown(op: Op, argc: usize) -> Fault {
    Error::garbled(format!("the op `{}` does not take {argc} arguments", op.name())).into()
}

fn copying(trusted: &Bound<'_, PyAny>, deep: &Bound<'_, PyAny>) -> PyResult<Mode> {
    Ok(if deep.is_truthy()? { Mode::Copy { trusted: trusted.is_truthy()? } } else { Mode::Shallow })
}

/// The names of an object's attributes, by value.
fn dir<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let names = names::DIR.get(object.py())?.call1((object,))?;
    Ok(names.cast::<PyList>()?.to_tuple().into_any())
}
