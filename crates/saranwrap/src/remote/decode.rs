//! From bytes to values.  They come from a process that may lie: every claim is checked here.

use std::sync::Arc;
use std::time::Duration;

use super::aliases::Aliases;
use super::fault::{Fault, Result};
use super::own::Export;
use super::packed;
use super::proxy::{Named, Proxy};
use super::shared::Shared;
use super::steps::Promised;
use super::value::Value;
use super::whole::{Kind, bignum};
use crate::error::{Error, Result as LinkResult};
use crate::op::{Op, Request, Step};
use crate::wire::packed::{Packing, Run};
use crate::wire::{Item, MAX_DEPTH, Reader, tag};

/// A value of which not all parts are here.
struct Open {
    kind: Kind,
    /// Its number, by which the message may name it again.
    loan: Option<u64>,
    count: usize,
    items: Vec<Value>,
}

/// A value, or what it is to be made of: so many others.
enum Begun {
    Value(Value),
    Open(Kind, usize),
}

/// Reads one message.
pub(crate) struct Decoder<'a> {
    pub(super) session: &'a Arc<Shared>,
    pub(crate) reader: Reader<'a>,
    /// What is read was written by this side, for the other one.
    pub(super) returned: bool,
    /// The positional arguments that were read so far: a later one may be named as the same.
    so_far: Vec<Value>,
    /// The request that this answers: an answer may name its arguments.
    asked: &'a [u8],
    /// What the steps of a pipeline came to so far.
    pub(crate) promises: Vec<Promised>,
    /// The step that failed, if what was read depends on one.
    pub(crate) failed: Option<u64>,
    /// The number of the container that has begun just now.
    loan: Option<u64>,
    aliases: Aliases<'a>,
    /// Why what was read is nothing for this side, though the other one had every right to send it.
    pub(super) unfit: Option<String>,
    /// In the answer to a pipeline: the step that is told of.
    told_of: Option<usize>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(session: &'a Arc<Shared>, body: &'a [u8]) -> Self {
        Self {
            session,
            reader: Reader::new(body),
            returned: false,
            so_far: Vec::new(),
            asked: &[],
            promises: Vec::new(),
            failed: None,
            loan: None,
            aliases: Aliases::of(body),
            unfit: None,
            told_of: None,
        }
    }

    /// A reader of the answer to this request.
    pub(crate) fn answering(session: &'a Arc<Shared>, body: &'a [u8], asked: &'a [u8]) -> Self {
        Self { asked, ..Self::new(session, body) }
    }

    /// A reader of what this side has written.
    pub(crate) fn of_own(session: &'a Arc<Shared>, body: &'a [u8]) -> Self {
        Self { returned: true, ..Self::new(session, body) }
    }

    /// The answer to a call, with what follows it; and whether it is what is to be called, rather than what a call returned.
    pub(crate) fn answer(&mut self, op: Op) -> Result<(Value, bool)> {
        let answer = self.answer_of_any_kind(op)?;
        self.fit().map(|()| answer)
    }

    /// The same; what is nothing for this side is `None` in it.
    pub(crate) fn answer_of_any_kind(&mut self, op: Op) -> Result<(Value, bool)> {
        let uncalled = op == Op::CallAttr && self.reader.peek()? == Item::Tag(tag::UNCALLED);
        if uncalled {
            self.reader.next()?;
        }
        let value = if op == Op::Pipeline { self.outcomes()? } else { self.value()? };
        self.trailer()?;
        Ok((value, uncalled))
    }

    /// Whether all that was read is something for this side.
    pub(crate) fn fit(&mut self) -> Result<()> {
        self.unfit.take().map_or(Ok(()), |why| Err(Fault::mismatch(why)))
    }

    /// What stands behind a value: nothing that concerns this side but how long the asker waits.
    pub(crate) fn trailer(&mut self) -> Result<Option<Duration>> {
        if self.reader.at_end() {
            return Ok(None);
        }
        let left = self.news()?;
        if !self.reader.at_end() {
            return Err(Error::garbled("a message goes on after its end").into());
        }
        Ok(left)
    }

    pub(crate) fn news(&mut self) -> Result<Option<Duration>> {
        let parts = self.reader.array("trailer")?;
        if !(2..=3).contains(&parts) {
            return Err(Error::garbled(format!("a trailer of {parts} parts")).into());
        }
        if self.reader.array("changes")? != 0 {
            return Err(Error::garbled("a change of something that was never lent").into());
        }
        for _ in 0..self.reader.array("modules")? {
            self.reader.text("module")?;
        }
        if parts == 2 {
            return Ok(None);
        }
        Ok(Some(Duration::from_micros(self.reader.u64("the time that is left")?)))
    }

    /// The next value.  What the other side nests is kept on the heap: it must not exhaust the stack.
    pub(crate) fn value(&mut self) -> Result<Value> {
        match self.begin()? {
            Begun::Value(value) => Ok(value),
            begun => self.rest_of(begun),
        }
    }

    /// A value that is made of others, of which there may be many.
    fn rest_of(&mut self, mut begun: Begun) -> Result<Value> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let loan = self.loan.take();
            let mut value = match begun {
                Begun::Value(value) => value,
                Begun::Open(kind, 0) => self.whole(kind, loan, Vec::new())?,
                Begun::Open(kind, count) => {
                    if open.len() >= MAX_DEPTH {
                        return Err(Error::garbled("a value is nested deeper than the protocol allows").into());
                    }
                    // The reader has checked that so many items could fit into the bytes that are left; a value is larger than a
                    // byte, though.
                    open.push(Open { kind, loan, count, items: Vec::with_capacity(count.min(4096)) });
                    begun = self.begin()?;
                    continue;
                }
            };
            loop {
                let Some(inner) = open.last_mut() else { return Ok(value) };
                inner.items.push(value);
                if inner.items.len() < inner.count {
                    break;
                }
                // It is there, as its last item is.
                let Some(Open { kind, loan, items, .. }) = open.pop() else {
                    return Err(Error::garbled("a value without its parts").into());
                };
                value = self.whole(kind, loan, items)?;
            }
            begun = self.begin()?;
        }
    }

    pub(crate) fn values(&mut self, count: usize) -> Result<Vec<Value>> {
        (0..count).map(|_| self.value()).collect()
    }

    fn begin(&mut self) -> Result<Begun> {
        Ok(Begun::Value(match self.reader.next()? {
            Item::Null => Value::None,
            Item::Bool(value) => Value::Bool(value),
            Item::Uint(value) => Value::Int(value.into()),
            Item::Nint(value) => Value::Int(-1 - i128::from(value)),
            Item::Float(value) => Value::Float(value),
            Item::Bytes(value) => Value::Bytes(value.to_vec()),
            Item::Text(value) => Value::Str(value.to_owned()),
            Item::Array(count) => return Ok(Begun::Open(Kind::Tuple, count)),
            Item::Map(count) => return Ok(Begun::Open(Kind::Dict, count.saturating_mul(2))),
            Item::Tag(tag) => return self.tagged(tag),
        }))
    }

    fn tagged(&mut self, tag: u64) -> Result<Begun> {
        let value = match tag {
            tag::MINE => self.mine()?,
            tag::CLASS => Value::Object(Proxy::of_class(self.session, self.reader.u64("class")?)),
            tag::NAMED => self.named()?,
            tag::THEIRS => self.theirs()?,
            tag::BLOCK => Value::Bytes(self.block()?),
            tag::BUFFER => Value::Buffer(self.buffer()?),
            tag::POS_BIGNUM | tag::NEG_BIGNUM => bignum(tag == tag::NEG_BIGNUM, self.reader.bytes("bignum")?),
            tag::COMPLEX => self.complex()?,
            tag::ELLIPSIS => self.singleton(Value::Ellipsis)?,
            tag::NOT_IMPLEMENTED => self.singleton(Value::NotImplemented)?,
            tag::SURROGATES => Value::Surrogates(self.reader.bytes("text with surrogates")?.to_vec()),
            tag::PROMISE => self.promise()?,
            tag::ARGUMENT => self.argument()?,
            tag::SAME => self.same()?,
            compound => return self.compound(compound),
        };
        Ok(Begun::Value(value))
    }

    /// What kind of value follows, and of how many others it is made.
    fn compound(&mut self, tag: u64) -> Result<Begun> {
        let (kind, count) = match tag {
            tag::LIST => {
                self.loan()?;
                match self.reader.run()? {
                    Some(run) => return self.whole_list(run),
                    None => (Kind::List, self.reader.array("list")?),
                }
            }
            tag::SET => (Kind::Set, self.lent("set")?),
            tag::DICT => {
                self.loan()?;
                (Kind::Dict, self.reader.map("dict")?.saturating_mul(2))
            }
            tag::BYTEARRAY => {
                self.loan()?;
                (Kind::ByteArray, 1)
            }
            tag::NDARRAY => (Kind::Array, self.lent("array")?),
            tag::ARROW => (Kind::Unfit("columnar data"), self.lent("columnar data")?),
            tag::PICKLE if self.session.child.is_none() => (Kind::Unfit("a pickle"), self.pickle()?),
            tag::PICKLE => return Err(Error::garbled("a child sent a pickle, which nobody here reads").into()),
            tag::FROZENSET => (Kind::FrozenSet, self.reader.array("frozenset")?),
            tag::SLICE => (Kind::Slice, self.reader.array("slice")?),
            tag::RANGE => (Kind::Range, self.reader.array("range")?),
            tag::KNOWN => (Kind::Known, self.reader.array("known value")?),
            tag::VALUED => {
                self.parts("valued reference", 3)?;
                let (id, class) = (self.reader.u64("id")?, self.reader.u64("class")?);
                (Kind::Valued(id, class), 1)
            }
            tag::EXCEPTION => {
                let count = self.reader.array("exception")?;
                let id = self.reader.u64("id")?;
                let proxy = (id != 0).then(|| Proxy::of_exception(self.session, id));
                (Kind::Exception(proxy), count.saturating_sub(1))
            }
            tag::TRACEBACK => (Kind::Traceback, 1),
            other => {
                let unknown = || Error::garbled(format!("tag {other} is not a value's"));
                let run = self.reader.run_of(Packing::of_tag(other).ok_or_else(unknown)?)?;
                return Ok(Begun::Value(Value::Tuple(packed::values(run))));
            }
        };
        Ok(Begun::Open(kind, count))
    }

    /// A list that came as one run of numbers.
    fn whole_list(&mut self, run: Run<'_>) -> Result<Begun> {
        let loan = self.loan.take();
        self.whole(Kind::List, loan, packed::values(run)).map(Begun::Value)
    }

    /// A value of which all parts are here.
    fn whole(&mut self, kind: Kind, loan: Option<u64>, items: Vec<Value>) -> Result<Value> {
        let value = self.made(kind, items)?;
        if let Some(loan) = loan {
            self.aliases.note(loan, &value);
        }
        Ok(value)
    }

    fn loan(&mut self) -> LinkResult<()> {
        self.parts("loan", 2)?;
        self.begin_loan()
    }

    fn begin_loan(&mut self) -> LinkResult<()> {
        let number = self.reader.u64("loan number")?;
        self.aliases.begin(number);
        self.loan = Some(number);
        Ok(())
    }

    fn lent(&mut self, what: &'static str) -> LinkResult<usize> {
        self.loan()?;
        self.reader.array(what)
    }

    pub(super) fn parts(&mut self, what: &'static str, wanted: usize) -> LinkResult<()> {
        match self.reader.array(what)? {
            found if found == wanted => Ok(()),
            found => Err(Error::garbled(format!("{what} has {found} parts instead of {wanted}"))),
        }
    }

    /// The bytes of a pickle, and the buffers that it leaves out, if it does.
    fn pickle(&mut self) -> LinkResult<usize> {
        match self.reader.array("pickle")? {
            parts @ 2..=3 => self.begin_loan().map(|()| parts - 1),
            parts => Err(Error::garbled(format!("a pickle of {parts} parts"))),
        }
    }

    /// A container that stands in this message already.
    fn same(&mut self) -> Result<Value> {
        let number = self.reader.u64("loan number")?;
        match self.aliases.again(number)? {
            Ok(value) => Ok(value),
            Err(why) => {
                self.unfit.get_or_insert(why);
                Ok(Value::None)
            }
        }
    }

    fn mine(&mut self) -> Result<Value> {
        self.parts("reference", 2)?;
        let (id, class) = (self.reader.u64("id")?, self.reader.u64("class")?);
        if self.returned {
            return self.exported(id);
        }
        Ok(Value::Object(Proxy::given(self.session, id, class, None)))
    }

    fn named(&mut self) -> Result<Value> {
        self.parts("name", 2)?;
        let (module, qualname) = (self.reader.text("module")?, self.reader.text("qualified name")?);
        Ok(Value::Named(Named::new(self.session, module, qualname)))
    }

    fn theirs(&mut self) -> Result<Value> {
        let id = self.reader.u64("id")?;
        if self.returned {
            // Somebody here holds the proxy that was written.
            return Ok(Value::Object(Proxy::of_class(self.session, id)));
        }
        self.exported(id)
    }

    fn exported(&self, id: u64) -> Result<Value> {
        match self.session.exports().find(id) {
            Some(Export::Object(object)) => Ok(Value::Own(object)),
            _ => Err(Error::garbled(format!("no object here has the id {id}")).into()),
        }
    }

    /// The positional arguments of a call, to which more may be added by name.
    pub(crate) fn positional(&mut self) -> Result<Vec<Value>> {
        self.so_far.clear();
        for _ in 0..self.reader.array("arguments")? {
            let value = self.value()?;
            self.so_far.push(value);
        }
        Ok(std::mem::take(&mut self.so_far))
    }

    /// The keyword arguments of a call.
    pub(crate) fn keywords(&mut self) -> Result<Vec<(String, Value)>> {
        let named = |(name, value)| match name {
            Value::Str(name) => Ok((name, value)),
            other => Err(Error::garbled(format!("the name of an argument is {}", other.kind())).into()),
        };
        // Most calls name none.
        if self.reader.peek()? == Item::Map(0) {
            self.reader.next()?;
            return Ok(Vec::new());
        }
        match self.value()? {
            Value::None => Ok(Vec::new()),
            Value::Dict(pairs) => pairs.into_iter().map(named).collect(),
            other => Err(Error::garbled(format!("keyword arguments are {}", other.kind())).into()),
        }
    }

    fn argument(&mut self) -> Result<Value> {
        let place = self.reader.u64("place")?;
        let found = match (usize::try_from(place), self.asked) {
            (Ok(place), []) => self.so_far.get(place).cloned(),
            (Ok(place), asked) => Decoder::of_own(self.session, asked).argument_at(self.told_of, place)?,
            (Err(_), _) => None,
        };
        found.ok_or_else(|| Error::garbled(format!("the call had no argument {place}")).into())
    }

    /// In an answer: what is told of the steps of a pipeline, each of which has arguments of its own.
    fn outcomes(&mut self) -> Result<Value> {
        let count = self.reader.array("outcomes")?;
        let mut outcomes = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            self.parts("outcome", 3)?;
            let place = self.reader.u64("place")?;
            self.told_of = usize::try_from(place).ok();
            outcomes.push(Value::Tuple(vec![Value::Int(place.into()), self.value()?, self.value()?]));
        }
        Ok(Value::Tuple(outcomes))
    }

    /// In a request of this side's: the argument of its call that stands at this place.
    fn argument_at(&mut self, step: Option<usize>, place: usize) -> Result<Option<Value>> {
        let Request { mut op, .. } = Request::read(&mut self.reader)?;
        if let Some(step) = step {
            // The news stand ahead of the steps.
            for _ in 0..=step {
                self.reader.skip()?;
            }
            let Some(step) = Step::read(&mut self.reader)? else { return Ok(None) };
            op = step.op;
        }
        for _ in 0..before_arguments(op) {
            self.reader.skip()?;
        }
        let count = self.reader.array("arguments")?;
        for _ in 0..place.min(count) {
            self.reader.skip()?;
        }
        if place < count {
            return self.value().map(Some);
        }
        if !matches!(op, Op::Call | Op::CallAttr) {
            return Ok(None);
        }
        Ok(self.keywords()?.into_iter().nth(place - count).map(|(_, value)| value))
    }

    fn complex(&mut self) -> Result<Value> {
        self.parts("complex number", 2)?;
        match (self.reader.next()?, self.reader.next()?) {
            (Item::Float(real), Item::Float(imaginary)) => Ok(Value::Complex(real, imaginary)),
            _ => Err(Error::garbled("a complex number is not made of two floats").into()),
        }
    }

    fn singleton(&mut self, value: Value) -> Result<Value> {
        match self.reader.next()? {
            Item::Null => Ok(value),
            _ => Err(Error::garbled("a singleton carries something").into()),
        }
    }

    fn promise(&mut self) -> Result<Value> {
        let place = self.reader.u64("place")?;
        // An answer does not name what was a promise, but what stands beside it.
        if self.returned { Ok(Value::None) } else { Ok(self.promised(place)?) }
    }
}

/// How many arguments of an op stand before the array of those of the call that it makes.
fn before_arguments(op: Op) -> usize {
    usize::from(op != Op::Call)
}
