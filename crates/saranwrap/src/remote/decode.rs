//! From bytes to values.  They come from a process that may lie: every claim is checked here.

use std::sync::Arc;
use std::time::Duration;

use super::fault::Result;
use super::own::Export;
use super::proxy::{Named, Proxy};
use super::raised::{Frame, Raised};
use super::shared::Shared;
use super::steps::Promised;
use super::value::{Array, BigInt, Known, Value};
use crate::arena::{Looking, Place};
use crate::error::{Error, Result as LinkResult};
use crate::op::{Op, Request};
use crate::wire::{Item, MAX_DEPTH, Reader, tag};

/// Reads one message.
pub(crate) struct Decoder<'a> {
    session: &'a Arc<Shared>,
    pub(crate) reader: Reader<'a>,
    depth: usize,
    /// What is read was written by this side, for the other one.
    returned: bool,
    /// The positional arguments that were read so far: a later one may be named as the same.
    so_far: Vec<Value>,
    /// The request that this answers: an answer may name its arguments.
    asked: &'a [u8],
    /// What the steps of a pipeline came to so far.
    pub(crate) promises: Vec<Promised>,
    /// The step that failed, if what was read depends on one.
    pub(crate) failed: Option<u64>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(session: &'a Arc<Shared>, body: &'a [u8]) -> Self {
        Self {
            session,
            reader: Reader::new(body),
            depth: 0,
            returned: false,
            so_far: Vec::new(),
            asked: &[],
            promises: Vec::new(),
            failed: None,
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
        let uncalled = op == Op::CallAttr && self.reader.peek()? == Item::Tag(tag::UNCALLED);
        if uncalled {
            self.reader.next()?;
        }
        let value = self.value()?;
        self.trailer()?;
        Ok((value, uncalled))
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

    pub(crate) fn value(&mut self) -> Result<Value> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::garbled("a value is nested deeper than the protocol allows").into());
        }
        self.depth += 1;
        let value = self.item();
        self.depth -= 1;
        value
    }

    fn item(&mut self) -> Result<Value> {
        Ok(match self.reader.next()? {
            Item::Null => Value::None,
            Item::Bool(value) => Value::Bool(value),
            Item::Uint(value) => Value::Int(value.into()),
            Item::Nint(value) => Value::Int(-1 - i128::from(value)),
            Item::Float(value) => Value::Float(value),
            Item::Bytes(value) => Value::Bytes(value.to_vec()),
            Item::Text(value) => Value::Str(value.to_owned()),
            Item::Array(count) => Value::Tuple(self.values(count)?),
            Item::Map(count) => Value::Dict(self.pairs(count)?),
            Item::Tag(tag) => return self.tagged(tag),
        })
    }

    pub(crate) fn values(&mut self, count: usize) -> Result<Vec<Value>> {
        // The reader has checked that so many items could fit into the bytes that are left; a value is larger than a byte, though.
        let mut values = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            values.push(self.value()?);
        }
        Ok(values)
    }

    fn pairs(&mut self, count: usize) -> Result<Vec<(Value, Value)>> {
        let mut pairs = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            pairs.push((self.value()?, self.value()?));
        }
        Ok(pairs)
    }

    fn tagged(&mut self, tag: u64) -> Result<Value> {
        match tag {
            tag::MINE => self.mine(),
            tag::VALUED => self.valued(),
            tag::CLASS => Ok(Value::Object(Proxy::of_class(self.session, self.reader.u64("class")?))),
            tag::NAMED => self.named(),
            tag::THEIRS => self.theirs(),
            tag::POS_BIGNUM | tag::NEG_BIGNUM => Ok(bignum(tag == tag::NEG_BIGNUM, self.reader.bytes("bignum")?)),
            tag::LIST | tag::DICT | tag::SET | tag::BYTEARRAY | tag::NDARRAY => self.container(tag),
            tag::FROZENSET => {
                let count = self.reader.array("frozenset")?;
                Ok(Value::FrozenSet(self.values(count)?))
            }
            tag::BLOCK => Ok(Value::Bytes(self.block()?)),
            tag::EXCEPTION => Ok(Value::Exception(Box::new(self.exception()?))),
            other => self.rarely_tagged(other),
        }
    }

    fn rarely_tagged(&mut self, tag: u64) -> Result<Value> {
        match tag {
            tag::COMPLEX => self.complex(),
            tag::ELLIPSIS => self.singleton(Value::Ellipsis),
            tag::NOT_IMPLEMENTED => self.singleton(Value::NotImplemented),
            tag::SLICE => Ok(Value::Slice(self.three()?)),
            tag::RANGE => Ok(Value::Range(self.three()?)),
            tag::SURROGATES => Ok(Value::Surrogates(self.reader.bytes("text with surrogates")?.to_vec())),
            tag::KNOWN => self.known(),
            tag::TRACEBACK => Ok(Value::Traceback(self.frames()?)),
            tag::PROMISE => self.promise(),
            tag::ARGUMENT => self.argument(),
            tag::SAME => Err(Error::garbled("the other side names something that was never lent").into()),
            tag::PICKLE => Err(Error::garbled("the other side sent a pickle, which nobody here can read").into()),
            unknown => Err(Error::garbled(format!("tag {unknown} is not a value's")).into()),
        }
    }

    fn parts(&mut self, what: &'static str, wanted: usize) -> LinkResult<()> {
        match self.reader.array(what)? {
            found if found == wanted => Ok(()),
            found => Err(Error::garbled(format!("{what} has {found} parts instead of {wanted}"))),
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

    fn valued(&mut self) -> Result<Value> {
        self.parts("valued reference", 3)?;
        let (id, class) = (self.reader.u64("id")?, self.reader.u64("class")?);
        let value = self.value()?;
        Ok(Value::Object(Proxy::given(self.session, id, class, Some(value))))
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

    fn container(&mut self, kind: u64) -> Result<Value> {
        self.parts("loan", 2)?;
        self.reader.u64("loan number")?;
        Ok(match kind {
            tag::LIST => {
                let count = self.reader.array("list")?;
                Value::List(self.values(count)?)
            }
            tag::SET => {
                let count = self.reader.array("set")?;
                Value::Set(self.values(count)?)
            }
            tag::DICT => {
                let count = self.reader.map("dict")?;
                Value::Dict(self.pairs(count)?)
            }
            tag::NDARRAY => return self.array(),
            _ => Value::ByteArray(self.bulk()?),
        })
    }

    fn array(&mut self) -> Result<Value> {
        self.parts("array", 5)?;
        let Item::Bool(_) = self.reader.next()? else {
            return Err(Error::garbled("an array does not say whether it may be written to").into());
        };
        let row_major = self.reader.text("order")? == "C";
        let dtype = self.value()?;
        let sides = self.reader.array("shape")?;
        let shape = (0..sides).map(|_| self.reader.u64("side")).collect::<LinkResult<_>>()?;
        Ok(Value::Array(Box::new(Array { dtype, shape, row_major, bytes: self.bulk()? })))
    }

    /// Bytes, wherever they are.
    pub(crate) fn bulk(&mut self) -> LinkResult<Vec<u8>> {
        match self.reader.next()? {
            Item::Bytes(bytes) => Ok(bytes.to_vec()),
            Item::Tag(tag::BLOCK) => self.block(),
            other => Err(Error::garbled(format!("where bytes should be stands {other}"))),
        }
    }

    fn block(&mut self) -> LinkResult<Vec<u8>> {
        let place = Place::read(&mut self.reader)?;
        let held = self.session.arena.receive(place, Looking::Shared)?;
        let mut bytes = vec![0; held.len()];
        held.copy_out(&mut bytes);
        Ok(bytes)
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
            (Ok(place), asked) => Decoder::of_own(self.session, asked).argument_at(place)?,
            (Err(_), _) => None,
        };
        found.ok_or_else(|| Error::garbled(format!("the call had no argument {place}")).into())
    }

    /// In a request of this side's: the argument of its call that stands at this place.
    fn argument_at(&mut self, place: usize) -> Result<Option<Value>> {
        let request = Request::read(&mut self.reader)?;
        for _ in 0..before_arguments(request.op) {
            self.reader.skip()?;
        }
        let mut arguments = self.positional()?;
        if matches!(request.op, Op::Call | Op::CallAttr) {
            arguments.extend(self.keywords()?.into_iter().map(|(_, value)| value));
        }
        Ok(arguments.into_iter().nth(place))
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

    fn three(&mut self) -> Result<Box<[Value; 3]>> {
        self.parts("slice or range", 3)?;
        Ok(Box::new([self.value()?, self.value()?, self.value()?]))
    }

    fn known(&mut self) -> Result<Value> {
        let count = self.reader.array("known value")?;
        let parts = count.checked_sub(1).ok_or_else(|| Error::garbled("a known value without its kind"))?;
        let kind = self.reader.text("kind")?.to_owned();
        Ok(Value::Known(Box::new(Known { kind, parts: self.values(parts)? })))
    }

    fn promise(&mut self) -> Result<Value> {
        let place = self.reader.u64("place")?;
        Ok(self.promised(place)?)
    }

    /// An exception; the tag has been read.
    pub(crate) fn exception(&mut self) -> Result<Raised> {
        let count = self.reader.array("exception")?;
        let id = self.reader.u64("id")?;
        let proxy = (id != 0).then(|| Proxy::of_exception(self.session, id));
        if count != 9 {
            return Err(Error::garbled(format!("an exception of {count} parts")).into());
        }
        let class = Self::base_of(&self.value()?)?;
        let args = match self.value()? {
            Value::Tuple(args) => args,
            other => return Err(Error::garbled(format!("the arguments of an exception are {}", other.kind())).into()),
        };
        let state = pairs_of(self.value()?)?;
        let (cause, context) = (self.chained()?, self.chained()?);
        let suppresses_context = self.value()? == Value::Bool(true);
        let notes = texts_of(self.value()?);
        let traceback = if let Value::Traceback(frames) = self.value()? { frames } else { Vec::new() };
        let (family, speaks) = self.session.family(&class)?;
        let Some(class) = family.first().cloned() else {
            return Err(Error::garbled("an exception without a class").into());
        };
        let said = match &proxy {
            Some(proxy) if speaks => self.session.said_by(proxy),
            _ => None,
        };
        Ok(Raised { class, family, args, state, cause, context, suppresses_context, notes, traceback, said, proxy })
    }

    fn chained(&mut self) -> Result<Option<Box<Raised>>> {
        match self.value()? {
            Value::None => Ok(None),
            Value::Exception(raised) => Ok(Some(raised)),
            other => Err(Error::garbled(format!("an exception was raised from {}", other.kind())).into()),
        }
    }

    fn frames(&mut self) -> Result<Vec<Frame>> {
        let Value::Tuple(frames) = self.value()? else { return Err(Error::garbled("a traceback of no frames").into()) };
        let frame = |frame| match frame {
            Value::Tuple(parts) => match &parts[..] {
                [Value::Str(file), Value::Str(function), Value::Int(line), ..] => {
                    let line = i64::try_from(*line).unwrap_or(-1);
                    Ok(Frame { file: file.clone(), function: function.clone(), line })
                }
                _ => Err(Error::garbled("a frame makes no sense").into()),
            },
            other => Err(Error::garbled(format!("a frame is {}", other.kind())).into()),
        };
        frames.into_iter().map(frame).collect()
    }
}

/// How many arguments of an op stand before the array of those of the call that it makes.
fn before_arguments(op: Op) -> usize {
    usize::from(op != Op::Call)
}

/// What an integer of any size is here.
fn bignum(negative: bool, magnitude: &[u8]) -> Value {
    let significant = magnitude.iter().position(|&byte| byte != 0).unwrap_or(magnitude.len());
    let magnitude = &magnitude[significant..];
    if magnitude.len() > 16 || (magnitude.len() == 16 && magnitude[0] >= 0x80) {
        return Value::BigInt(BigInt { negative, magnitude: magnitude.to_vec() });
    }
    let value = magnitude.iter().fold(0i128, |value, &byte| value << 8 | i128::from(byte));
    Value::Int(if negative { !value } else { value })
}

fn pairs_of(value: Value) -> LinkResult<Vec<(String, Value)>> {
    let Value::Tuple(pairs) = value else { return Err(Error::garbled("the state of an exception is no array")) };
    let pair = |pair| match pair {
        Value::Tuple(mut parts) if parts.len() == 2 => match (parts.swap_remove(0), parts.pop()) {
            (Value::Str(name), Some(value)) => Ok((name, value)),
            _ => Err(Error::garbled("an attribute of an exception has no name")),
        },
        _ => Err(Error::garbled("an attribute of an exception is no pair")),
    };
    pairs.into_iter().map(pair).collect()
}

fn texts_of(value: Value) -> Vec<String> {
    let Value::Tuple(items) = value else { return Vec::new() };
    items.into_iter().filter_map(|item| if let Value::Str(text) = item { Some(text) } else { None }).collect()
}
