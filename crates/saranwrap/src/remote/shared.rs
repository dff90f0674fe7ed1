//! One link and everything that this end remembers of the other: what was given out, what came, and how to ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::arguments::{Args, Arguments};
use super::classes::Described;
use super::courier::{Courier, Flight, Slot};
use super::decode::Decoder;
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::freight::Lasting;
use super::host::Serving;
use super::own::{Exports, Own};
use super::proxy::Proxy;
use super::raised::{ClassName, Raised};
use super::session::Session;
use super::value::Value;
use crate::arena::{Arena, BLOCK};
use crate::child::{Child, Fate, Stage};
use crate::error::{Error, Kind, Result as LinkResult};
use crate::host::{GivenUp, Outcome};
use crate::link::Link;
use crate::message::Hello;
use crate::op::{self, Op, Request};
use crate::table::ROOT;
use crate::wire::{Reader, Writer};

/// Releases go alone when this many wait; else they ride on the next frame.
const MANY_RELEASES: usize = 1024;

/// How long calls may take, and how long one that was given up has to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: None, grace: Duration::from_secs(1) }
    }
}

/// Starts a process as another one was started.
pub(crate) struct Again(pub(crate) Box<dyn Fn() -> Result<Session> + Send + Sync>);

impl std::fmt::Debug for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Again")
    }
}

/// What the two ends of one link remember of each other, as one end has it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) link: Arc<Link>,
    pub(crate) arena: Arc<Arena>,
    /// The process at the other end; none in the child itself.
    pub(crate) child: Option<Child>,
    pub(crate) limits: Limits,
    pub(crate) started: Instant,
    exports: Mutex<Exports>,
    pub(crate) classes: Mutex<HashMap<u64, Arc<Described>>>,
    /// Ids of classes and functions that both sides have.
    named: Mutex<HashMap<ClassName, u64>>,
    queued: Mutex<Vec<(u64, u64)>>,
    /// Whether anything is queued, to be read without the lock: with each frame, and hardly ever there is.
    any_queued: AtomicBool,
    /// How it was started, to start another one in its place.
    pub(crate) again: OnceLock<Again>,
    /// Another process has taken its place.
    replaced: AtomicBool,
    /// Who takes the answers that no thread waits for.
    pub(crate) courier: Mutex<Option<Arc<Courier>>>,
}

/// Where and how long a request is to be waited for.
pub(crate) struct Wait {
    pub(crate) limit: Option<Duration>,
    pub(crate) until: Option<Instant>,
}

// What the locks of this module guard is whole after every statement, and none is held while anything else runs.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(link: Arc<Link>, arena: Arc<Arena>, child: Option<Child>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            link,
            arena,
            child,
            limits,
            started: Instant::now(),
            exports: Mutex::default(),
            classes: Mutex::default(),
            named: Mutex::default(),
            queued: Mutex::default(),
            any_queued: AtomicBool::new(false),
            again: OnceLock::new(),
            replaced: AtomicBool::new(false),
            courier: Mutex::default(),
        })
    }

    /// Say who we are to a child that was started just now, and wait for who it is.
    pub(crate) fn greet(&self, hello: Hello, patience: Duration) -> LinkResult<()> {
        let greeted = self.link.hello(&hello, Some(Instant::now() + patience));
        greeted.map(drop).map_err(|error| self.broken(error))
    }

    /// Do what is due to make a call end; see [`Stage::push`].
    pub(crate) fn push(&self, stage: &mut Stage, call: &GivenUp<'_>) -> Option<Instant> {
        // A parent is only told: what its threads do is no business of the child's.
        stage.push(self.child.as_ref()?, self.limits.grace, call)
    }

    /// What it took to end a call.
    pub(crate) fn story(&self, stage: Stage, died: bool) -> String {
        let story = match stage.fate(died) {
            Fate::Killed => return format!("the child did not stop within {:?} and was killed", self.limits.grace),
            Fate::Died => "the child ended as it was interrupted",
            Fate::Interrupted => "it was interrupted in the child",
            Fate::Cancelled => "the child ended it when it was told to",
            Fate::Abandoned => "nobody waits for it, and it may go on",
        };
        story.to_owned()
    }

    /// In a child: serve until the parent is gone.
    pub(crate) fn serve(self: &Arc<Self>) -> LinkResult<()> {
        self.link.serve(&Serving::new(self))
    }

    /// Ask for an op and wait for the answer; `write` puts down the arguments, of which there are `argc`.
    pub(crate) fn ask(
        self: &Arc<Self>,
        limit: Option<Duration>,
        op: Op,
        target: u64,
        argc: usize,
        write: impl FnOnce(&mut Encoder<'_>) -> Result<()>,
    ) -> Result<Value> {
        let mut out = Writer::with_capacity(64);
        Request { op, target, argc }.write(&mut out);
        let head = out.len();
        let mut encoder = Encoder::new(self, &mut out);
        if let Err(fault) = write(&mut encoder) {
            encoder.take_back(0);
            return Err(fault);
        }
        let wait = self.wait(limit);
        wait.tell(encoder.out());
        let lasting = encoder.lasting();
        if op != Op::CallAttr {
            return Ok(self.carry(&wait, op, encoder.out().as_slice())?.0);
        }
        let held = encoder.hold();
        let body = encoder.out().as_slice();
        let came = match self.carry(&wait, op, body) {
            Ok((Value::Own(own), true)) => self.call_here(&own, Self::parts_of_call(&body[head..])?.1),
            Ok((callable, true)) => {
                let body = Self::request_to_call(&callable, Self::parts_of_call(&body[head..])?.1)?;
                lasting.iter().for_each(Lasting::give_again);
                // What was held for a second request belongs to that now.
                return Ok(self.carry(&wait, Op::Call, &body)?.0);
            }
            other => other.map(|(value, _)| value),
        };
        drop(self.take_back(&held));
        came
    }

    /// One request there and back.
    pub(crate) fn carry(self: &Arc<Self>, wait: &Wait, op: Op, body: &[u8]) -> Result<(Value, bool)> {
        let host = Serving::new(self);
        let answer = match self.link.ask(&host, body, wait.until) {
            Ok(answer) => answer,
            Err(error) => return Err(self.explain(error, &host, wait, body).into()),
        };
        let mut decoder = Decoder::answering(self, &answer.body, body);
        match answer.outcome {
            Outcome::Answered => decoder.answer(op).map_err(|fault| self.broken_by(fault)),
            Outcome::Raised => Err(Fault::Raised(Box::new(self.raised(&mut decoder)?))),
        }
    }

    /// What a Raised says.
    pub(crate) fn raised(self: &Arc<Self>, decoder: &mut Decoder<'_>) -> Result<Raised> {
        match decoder.answer_of_any_kind(Op::Call) {
            Ok((Value::Exception(raised), _)) => Ok(*raised),
            Ok((other, _)) => Err(self.fail(Error::garbled(format!("the other side raised {}", other.kind()))).into()),
            Err(fault) => Err(self.broken_by(fault)),
        }
    }

    /// The name of the attribute, and the arguments of its call with what stands behind them.
    fn parts_of_call(arguments: &[u8]) -> Result<(&str, &[u8])> {
        let mut reader = Reader::new(arguments);
        Ok((reader.text("name")?, reader.rest()))
    }

    /// Call an object of this side with arguments that are written already.
    fn call_here(self: &Arc<Self>, own: &Own, arguments: &[u8]) -> Result<Value> {
        let mut decoder = Decoder::of_own(self, arguments);
        own.call_here(Args::new(self, decoder.positional()?, decoder.keywords()?))
    }

    fn request_to_call(callable: &Value, arguments: &[u8]) -> Result<Vec<u8>> {
        let target = match callable {
            Value::Object(proxy) => proxy.id(),
            Value::Named(named) => named.proxy()?.id(),
            other => return Err(Fault::mismatch(format!("{} cannot be called", other.kind()))),
        };
        let mut out = Writer::with_capacity(16 + arguments.len());
        Request { op: Op::Call, target, argc: 2 }.write(&mut out);
        out.raw(arguments);
        Ok(out.into_vec())
    }

    /// What a `callattr` becomes whose attribute is for this side to call.
    pub(crate) fn request_of_uncalled(callable: &Value, asked: &[u8]) -> Result<Vec<u8>> {
        let mut reader = Reader::new(asked);
        Request::read(&mut reader)?;
        Self::request_to_call(callable, Self::parts_of_call(reader.rest())?.1)
    }

    /// Ask for an op whose answer comes later.
    pub(crate) fn ask_later(
        self: &Arc<Self>,
        limit: Option<Duration>,
        op: Op,
        target: u64,
        argc: usize,
        write: impl FnOnce(&mut Encoder<'_>) -> Result<()>,
    ) -> Arc<Slot> {
        let slot: Arc<Slot> = Arc::default();
        let mut out = Writer::with_capacity(64);
        Request { op, target, argc }.write(&mut out);
        let mut encoder = Encoder::new(self, &mut out);
        if let Err(fault) = write(&mut encoder) {
            encoder.take_back(0);
            slot.put(Err(fault));
            return slot;
        }
        let wait = self.wait(limit);
        wait.tell(encoder.out());
        let held = if op == Op::CallAttr { encoder.hold() } else { Vec::new() };
        let (lasting, kept) = (encoder.lasting(), encoder.kept());
        self.fly(Flight { op, body: out.into_vec(), wait, held, kept, lasting, slot: Arc::clone(&slot) });
        slot
    }

    pub(crate) fn wait(&self, limit: Option<Duration>) -> Wait {
        let limit = [limit, self.limits.timeout].into_iter().flatten().min();
        Wait { limit, until: limit.and_then(|limit| Instant::now().checked_add(limit)) }
    }

    /// The error of the link with all that is known of what happened to a call that a thread waited for.
    fn explain(&self, error: Error, host: &Serving<'_>, wait: &Wait, body: &[u8]) -> Error {
        let stage = host.stage();
        if stage.is_late(&error) {
            return self.late(wait, body, &self.story(stage, error.kind() == Kind::Died));
        }
        self.broken(error)
    }

    /// The error of the link with what is known of the child's end.
    pub(crate) fn broken(&self, error: Error) -> Error {
        match (&self.child, error.kind()) {
            (Some(child), _) if self.replaced.load(Ordering::Acquire) => {
                let pid = child.pid();
                Error::closed(format!("another process has replaced the one (pid {pid}) of this object: wrap it anew"))
            }
            (Some(child), Kind::Died) => Error::died(child.obituary()),
            _ => error,
        }
    }

    /// Another process takes its place.
    pub(crate) fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// A call took too long; the story tells what became of it.
    pub(crate) fn late(&self, wait: &Wait, body: &[u8], story: &str) -> Error {
        let limit = wait.limit.unwrap_or_default();
        Error::new(Kind::TimedOut, format!("{} took longer than {limit:?}: {story}", describe(body)))
    }

    /// The other side broke the protocol: the link is broken for good.
    pub(crate) fn fail(&self, error: Error) -> Error {
        self.link.break_with(error.clone());
        error
    }

    /// A fault in reading what came; when it was one of the bytes themselves, the link is broken.
    pub(crate) fn broken_by(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Link(error) if error.kind() == Kind::Garbled => Fault::Link(self.fail(error)),
            fault => fault,
        }
    }

    /// What an exception says of itself; nothing, if even that fails.
    pub(crate) fn said_by(self: &Arc<Self>, exception: &Proxy) -> Option<String> {
        let said = exception.ask(Op::Special, 2, |out| {
            out.text("__str__");
            out.tuple(0);
            Ok(())
        });
        if let Ok(Value::Str(text)) = said { Some(text) } else { None }
    }

    /// The id of a class or function that both sides have under its name.
    pub(crate) fn id_of_named(self: &Arc<Self>, name: &ClassName) -> Result<u64> {
        if let Some(&id) = lock(&self.named).get(name) {
            return Ok(id);
        }
        let found = if self.child.is_some() { self.look_up(name) } else { self.ask_home_for(name) };
        let id = match found? {
            // It is kept for as long as the link is.
            Value::Object(proxy) => proxy.keep(),
            other => return Err(Fault::mismatch(format!("`{name}` is {}", other.kind()))),
        };
        lock(&self.named).insert(name.clone(), id);
        Ok(id)
    }

    /// Have a child look a name up.
    fn look_up(self: &Arc<Self>, name: &ClassName) -> Result<Value> {
        let recipe = recipe_of(name).ok_or_else(|| Fault::mismatch(format!("`{name}` is no name")))?;
        self.ask(None, Op::Adopt, ROOT, 1, |out| {
            out.bytes(&recipe);
            Ok(())
        })
    }

    /// Have the parent give what it gave only by name: a child tells it nothing to look up, as it may not run anything there.
    fn ask_home_for(self: &Arc<Self>, name: &ClassName) -> Result<Value> {
        let given = self.ask(None, Op::Call, ROOT, 2, |out| ("object", &*name.module, &*name.qualname).write(out));
        given.map_err(|fault| match fault {
            Fault::Raised(raised) => Fault::mismatch(format!("`{name}` was only named, and cannot be had: {raised}")),
            other => other,
        })
    }

    pub(crate) fn exports(&self) -> MutexGuard<'_, Exports> {
        lock(&self.exports)
    }

    pub(crate) fn set_root(&self, root: Own) {
        let before = self.exports().set_root(root);
        drop(before);
    }

    /// A proxy died.  Called from a destructor: only queues.
    pub(crate) fn give_back(&self, id: u64) {
        let many = {
            let mut queued = lock(&self.queued);
            queued.push((id, 1));
            self.any_queued.store(true, Ordering::Release);
            queued.len() >= MANY_RELEASES
        };
        if many {
            self.send_queued();
        }
    }

    /// A buffer died.  Called from a destructor: only queues, unless it was the last of many bytes.
    pub(crate) fn give_back_blocks(&self) {
        if self.arena.much_waits() {
            self.send_queued();
        }
    }

    fn send_queued(&self) {
        let releases = self.queued_releases();
        if !self.link.send_releases(&releases) {
            let mut queued = lock(&self.queued);
            queued.extend(releases);
            self.any_queued.store(true, Ordering::Release);
        }
    }

    pub(crate) fn queued_releases(&self) -> Vec<(u64, u64)> {
        let mut queued = Vec::new();
        if self.any_queued.load(Ordering::Acquire) {
            let mut waiting = lock(&self.queued);
            self.any_queued.store(false, Ordering::Release);
            queued = std::mem::take(&mut *waiting);
        }
        queued.extend(self.arena.take_given_back());
        queued
    }

    /// The other side gave these ids back.
    pub(crate) fn take_back(&self, releases: &[(u64, u64)]) -> LinkResult<()> {
        for &(id, count) in releases {
            if id & BLOCK != 0 {
                self.arena.released(id, count)?;
                continue;
            }
            let gone = self.exports().release(id, count)?;
            // Here, where no lock is held: it is foreign code that ends.
            drop(gone);
        }
        Ok(())
    }

    /// End the conversation; the child ends with it.
    pub(crate) fn close(&self) {
        self.link.close();
        let exports = self.exports().drain();
        drop(exports);
    }
}

impl Drop for Shared {
    /// The last proxy is gone: the child may end.
    fn drop(&mut self) {
        self.link.close();
    }
}

impl Wait {
    /// The time that is left, for the other side to know.
    pub(crate) fn tell(&self, out: &mut Writer) {
        let Some(limit) = self.limit else { return };
        out.array(3);
        out.array(0);
        out.array(0);
        out.u64(u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
    }
}

/// What makes the other side look a name up: a pickle of it.
fn recipe_of(name: &ClassName) -> Option<Vec<u8>> {
    let mut recipe = vec![0x80, 4];
    for part in [&name.module, &name.qualname] {
        recipe.push(0x8c);
        recipe.push(u8::try_from(part.len()).ok()?);
        recipe.extend_from_slice(part.as_bytes());
    }
    recipe.extend_from_slice(&[0x93, b'.']);
    Some(recipe)
}

/// The act and its object, as far as the request itself tells.
fn describe(body: &[u8]) -> String {
    let mut reader = Reader::new(body);
    let Ok(Request { op, .. }) = Request::read(&mut reader) else { return "a request".to_owned() };
    match (op, op::name(&mut reader)) {
        (Op::GetAttr | Op::SetAttr | Op::DelAttr | Op::CallAttr | Op::Special | Op::Import, Ok(name)) => {
            format!("`{}` of `{name}`", op.name())
        }
        _ => format!("`{}`", op.name()),
    }
}
