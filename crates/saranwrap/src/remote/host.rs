//! Serves what the other side asks: applies ops to objects of this side, and ends calls that nobody waits for any more.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::arguments::Args;
use super::bound;
use super::decode::Decoder;
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::freight::Kept;
use super::own::{Class, Export, Own};
use super::raised::Raised;
use super::shared::Shared;
use super::steps::link_error;
use super::value::Value;
use crate::child::Stage;
use crate::error::{Error, Result as LinkResult};
use crate::host::{Applied, GivenUp, Host, Outcome};
use crate::op::{Op, Request};
use crate::table::ROOT;
use crate::wire::{Item, Writer};

/// How many calls of the other side may be inside each other on one thread.  It decides how deep callbacks go, and must not exhaust a stack
/// of 2 MiB, of which each takes up to 16 KiB where nothing is optimized.
const MAX_NESTING: usize = 64;

thread_local! {
    static NESTING: Cell<usize> = const { Cell::new(0) };
}

/// A stay in a call of the other side.
struct Nested;

impl Nested {
    fn enter() -> Result<Self> {
        match NESTING.get() {
            MAX_NESTING => Err(Fault::raise("RecursionError", format!("calls are nested {MAX_NESTING} deep"))),
            depth => {
                NESTING.set(depth + 1);
                Ok(Self)
            }
        }
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        NESTING.set(NESTING.get() - 1);
    }
}

/// Serves one wait.
pub(crate) struct Serving<'a> {
    session: &'a Arc<Shared>,
    stage: Cell<Stage>,
    /// What is named in answers that have not gone yet.
    leaving: RefCell<Vec<Kept>>,
}

/// A request that was read whole, before anything of it is done.
pub(crate) struct Asked<'b> {
    op: Op,
    target: u64,
    /// The name among its arguments, where the op has one.
    name: &'b str,
    /// How many names stand behind it in a path.
    pub(crate) left: u64,
    args: Vec<Value>,
    keywords: Vec<(String, Value)>,
    /// Whether what came is something for this side.
    fit: Result<()>,
}

impl<'a> Serving<'a> {
    pub(crate) fn new(session: &'a Arc<Shared>) -> Self {
        Self { session, stage: Cell::default(), leaving: RefCell::default() }
    }

    /// How far the ending of the call has come that this waits for.
    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Do what is asked of what has the id that was named.
    pub(crate) fn perform(&self, asked: Asked<'_>, export: Option<Export>, out: &mut Encoder<'_>) -> Result<()> {
        match (asked.op, export) {
            (Op::Status, _) => self.status(out),
            (Op::Describe, Some(Export::Class(class))) => {
                describe(class, out);
                Ok(())
            }
            (Op::Import, Some(Export::Object(root))) if asked.target == ROOT => import(&root, asked.name, out),
            (_, Some(Export::Object(object))) => self.perform_on(&object, asked, out),
            (op, Some(Export::Class(class))) => bound::of_class(class, op, asked.name, out),
            (_, None) if asked.target == ROOT => {
                Err(Fault::raise("LookupError", "a Rust program gives nothing by its name"))
            }
            (_, None) => Err(unknown(asked.target).into()),
        }
    }

    /// The same for an object that needs no id.
    pub(crate) fn perform_on(&self, object: &Own, asked: Asked<'_>, out: &mut Encoder<'_>) -> Result<()> {
        let Asked { op, name, args, keywords, fit, .. } = asked;
        fit?;
        bound::apply(object, op, name, Args::new(self.session, args, keywords), out)
    }

    /// Run code of the user's.  What panics is an object of theirs; what this side's own code holds is behind locks that outlive that.
    pub(crate) fn guarded(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let _nested = Nested::enter()?;
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            Err(Fault::raise("RuntimeError", format!("the code behind the call panicked: {}", words_of(&*panic))))
        })
    }

    /// Write a fault as the exception that the other side is to raise.
    pub(crate) fn write_fault(&self, fault: Fault, out: &mut Encoder<'_>) -> LinkResult<()> {
        let start = out.out().len();
        let raised = match fault {
            Fault::Raised(raised) => raised,
            Fault::Mismatch(what) => Box::new(Raised::new("TypeError", what)),
            other => Box::new(Raised::new("RuntimeError", other.to_string())),
        };
        if out.raised(&raised).is_ok() {
            return Ok(());
        }
        out.take_back(start);
        let plain = Raised::new("RuntimeError", raised.to_string());
        out.raised(&plain).map_err(|fault| Error::garbled(fault.to_string()))
    }

    /// What is named in an answer lives until that has gone.
    pub(crate) fn keep(&self, named: Vec<Kept>) {
        if !named.is_empty() {
            self.leaving.borrow_mut().extend(named);
        }
    }

    pub(crate) fn session(&self) -> &'a Arc<Shared> {
        self.session
    }

    /// What is told of this process, as pairs.
    fn status(&self, out: &mut Encoder<'_>) -> Result<()> {
        let (count, next) = {
            let exports = self.session.exports();
            (exports.len() as u64, exports.next_id())
        };
        let stats = self.session.link.stats();
        let arena = self.session.arena.usage();
        let numbers = [
            ("object_count", count),
            ("next_id", next),
            ("pid", u64::from(std::process::id())),
            ("requests", stats.calls_served),
            ("bytes_in", stats.bytes_in),
            ("bytes_out", stats.bytes_out),
            ("blocks_out", arena.blocks_out as u64),
            ("block_bytes_out", arena.bytes_out),
            ("blocks_in", arena.blocks_in as u64),
            ("memory", crate::sys::process::memory_of("self")),
        ];
        out.tuple(numbers.len() + 1);
        for (name, number) in numbers {
            out.tuple(2);
            out.text(name);
            out.unsigned(number.into());
        }
        out.tuple(2);
        out.text("uptime");
        out.float(self.session.started.elapsed().as_secs_f64());
        Ok(())
    }
}

/// What this side offers under a name; under none, what it offers first of all.
fn import(root: &Own, name: &str, out: &mut Encoder<'_>) -> Result<()> {
    match root.0.attribute(name) {
        Some(found) => out.own(&found),
        None if name.is_empty() => out.own(root),
        None => return Err(Fault::raise("ModuleNotFoundError", format!("No module named '{name}'"))),
    }
    Ok(())
}

/// The arguments, and nothing behind them.
fn read_whole<'b>(decoder: &mut Decoder<'b>, op: Op, target: u64, argc: usize) -> LinkResult<Asked<'b>> {
    let asked = read_arguments(decoder, op, target, argc).map_err(link_error)?;
    decoder.trailer().map_err(link_error)?;
    Ok(asked)
}

fn unknown(id: u64) -> Error {
    Error::garbled(format!("no object here has the id {id}"))
}

pub(crate) fn read_arguments<'b>(decoder: &mut Decoder<'b>, op: Op, target: u64, argc: usize) -> Result<Asked<'b>> {
    let mut asked = Asked { op, target, name: "", left: 0, args: Vec::new(), keywords: Vec::new(), fit: Ok(()) };
    let mut name =
        |decoder: &mut Decoder<'b>| decoder.reader.text("name").map(|name| asked.name = name).map_err(Fault::from);
    match (op, argc) {
        (Op::GetAttr, 1) => (asked.name, asked.left) = path(decoder)?,
        (Op::DelAttr | Op::Import, 1) => name(decoder)?,
        (Op::SetAttr, 2) => {
            name(decoder)?;
            asked.args = decoder.values(1)?;
        }
        (Op::Call, 2) => {
            asked.args = decoder.positional()?;
            asked.keywords = decoder.keywords()?;
        }
        (Op::CallAttr, 3) => {
            (asked.name, asked.left) = path(decoder)?;
            asked.args = decoder.positional()?;
            asked.keywords = decoder.keywords()?;
        }
        (Op::Special | Op::Operate, 2) => {
            name(decoder)?;
            asked.args = decoder.positional()?;
        }
        (Op::Super, 2 | 4) => {
            // Which class has it makes no difference: see `bound`.
            decoder.reader.skip()?;
            name(decoder)?;
            asked.args = decoder.values(argc - 2)?;
        }
        (_, argc) => asked.args = decoder.values(argc)?,
    }
    asked.fit = decoder.fit();
    Ok(asked)
}

/// The first name of a path, and how many stand behind it.
fn path<'b>(decoder: &mut Decoder<'b>) -> Result<(&'b str, u64)> {
    let Item::Array(names) = decoder.reader.peek()? else { return Ok((decoder.reader.text("name")?, 0)) };
    decoder.reader.next()?;
    let first = decoder.reader.text("name")?;
    for _ in 1..names {
        decoder.reader.text("name")?;
    }
    Ok((first, names as u64 - 1))
}

/// What `_mirrors.py` of the package reads; docs/protocol.md lists the places.
fn describe(class: &Class, out: &mut Encoder<'_>) {
    let special = |name: &str| name.starts_with("__") && name.ends_with("__");
    out.tuple(15);
    out.text(class.module);
    out.text(class.name);
    out.text("object");
    out.tuple(0);
    out.tuple(class.methods.len());
    class.methods.iter().for_each(|method| out.text(method.name));
    out.tuple(0);
    out.text("");
    out.tuple(0);
    out.bool(false);
    let own: Vec<_> = class.methods.iter().filter(|method| special(method.name)).collect();
    out.tuple(own.len());
    own.iter().for_each(|method| out.text(method.name));
    out.bool(false);
    out.bool(false);
    out.text("type");
    out.tuple(0);
    out.bool(false);
}

/// What a panic said.
pub(crate) fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason was given")
}

impl Host for Serving<'_> {
    fn apply(&self, body: &[u8], out: &mut Writer) -> LinkResult<Applied> {
        let mut decoder = Decoder::new(self.session, body);
        let Request { op, target, argc } = Request::read(&mut decoder.reader)?;
        if op == Op::Pipeline {
            self.pipeline(decoder, argc, true, out)?;
            return Ok(Outcome::Answered.into());
        }
        let mut asked = read_whole(&mut decoder, op, target, argc)?;
        let export = self.session.exports().find(target);
        if export.is_none() && op != Op::Status && target != ROOT {
            return Err(unknown(target));
        }
        let start = out.len();
        let mut encoder = Encoder::new(self.session, out);
        if asked.left > 0 {
            // The first attribute alone: nothing here has attributes that have more of them.
            encoder.partway(asked.left);
            asked = Asked { op: Op::GetAttr, args: Vec::new(), keywords: Vec::new(), ..asked };
        }
        let performed = self.guarded(|| self.perform(asked, export, &mut encoder));
        let outcome = match performed {
            Ok(()) => Outcome::Answered,
            Err(fault) => {
                encoder.take_back(start);
                self.write_fault(fault, &mut encoder)?;
                Outcome::Raised
            }
        };
        self.keep(encoder.kept());
        Ok(outcome.into())
    }

    fn decline(&self, body: &[u8], out: &mut Writer) -> LinkResult<Applied> {
        let mut decoder = Decoder::new(self.session, body);
        let Request { op, target, argc } = Request::read(&mut decoder.reader)?;
        if op == Op::Pipeline {
            self.pipeline(decoder, argc, false, out)?;
        } else {
            // What it carries is given back as it is dropped.
            drop(read_whole(&mut decoder, op, target, argc)?);
            out.null();
        }
        Ok(Outcome::Answered.into())
    }

    fn release(&self, releases: &[(u64, u64)]) -> LinkResult<()> {
        self.session.take_back(releases)
    }

    fn discard(&self, body: &[u8]) {
        // A body that cannot be read breaks the next call instead.
        drop(Decoder::new(self.session, body).answer(Op::Call));
    }

    fn detached(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }

    fn interrupted(&self) -> LinkResult<()> {
        Ok(())
    }

    fn given_up(&self, call: &GivenUp<'_>) -> Option<Instant> {
        let mut stage = self.stage.get();
        let due = self.session.push(&mut stage, call);
        self.stage.set(stage);
        due
    }

    fn ended(&self, outcome: Outcome, body: &[u8]) {
        self.stage.set(self.stage.get().ended(outcome));
        self.discard(body);
    }

    fn sent(&self) {
        let gone = self.leaving.take();
        drop(gone);
    }

    fn queued_releases(&self) -> Vec<(u64, u64)> {
        self.session.queued_releases()
    }
}

impl Own {
    /// Call it from this side, as the other one would.
    pub(crate) fn call_here(&self, args: Args) -> Result<Value> {
        let session = Arc::clone(args.shared());
        let mut body = Writer::new();
        let mut out = Encoder::new(&session, &mut body);
        self.0.call("__call__", args, &mut out)?;
        let value = Decoder::of_own(&session, out.out().as_slice()).value();
        // The ids in it were for this side alone.
        out.take_back(0);
        value
    }
}
