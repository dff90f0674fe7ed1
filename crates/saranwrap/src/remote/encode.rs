//! From values of yours to bytes: what an argument or an answer is made of.

use std::sync::Arc;

use super::fault::{Fault, Result};
use super::freight::{Freight, Kept, Lasting};
use super::own::Own;
use super::packed;
use super::pipeline::Naming;
use super::proxy::{Named, Proxy};
use super::raised::Raised;
use super::shared::Shared;
use super::value::{Array, Value};
use crate::wire::{MAX_DEPTH, Writer, tag};

/// Containers by value have a loan number from here on: nothing is lent, and the other side has a copy of its own.
const GIVEN_AWAY: u64 = 1 << 62;

/// How many exceptions may be inside each other, as causes or arguments; of the others nothing is told.
const MAX_CAUSES: usize = 16;

/// What is left to write of a value.
enum Rest<'v> {
    Items(std::slice::Iter<'v, Value>),
    Pairs(std::slice::Iter<'v, (Value, Value)>, Option<&'v Value>),
}

impl<'v> Iterator for Rest<'v> {
    type Item = &'v Value;

    fn next(&mut self) -> Option<&'v Value> {
        match self {
            Self::Items(items) => items.next(),
            Self::Pairs(pairs, value) => value.take().or_else(|| {
                let (key, behind) = pairs.next()?;
                *value = Some(behind);
                Some(key)
            }),
        }
    }
}

/// Writes one message.  Each method writes one value; those that take a number of items are followed by as many values.
#[derive(Debug)]
pub struct Encoder<'a> {
    pub(super) session: &'a Arc<Shared>,
    pub(super) out: &'a mut Writer,
    /// What goes with it.  Were a proxy that is named in it dropped before the message has gone, its release would go ahead of that.
    pub(super) freight: Freight,
    /// How many exceptions are inside each other.
    depth: usize,
    /// The pipeline that this is a step of.
    pub(super) naming: Option<Naming>,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(session: &'a Arc<Shared>, out: &'a mut Writer) -> Self {
        Self { session, out, freight: Freight::default(), depth: 0, naming: None }
    }

    /// `None`.
    pub fn none(&mut self) {
        self.out.null();
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.out.bool(value);
    }

    /// An integer.
    pub fn int(&mut self, value: i64) {
        self.out.i64(value);
    }

    /// An integer of up to 128 bits.
    pub fn big(&mut self, value: i128) {
        match i64::try_from(value) {
            Ok(small) => self.out.i64(small),
            Err(_) if value < 0 => self.out.bigint(true, &(!value).to_be_bytes()),
            Err(_) => self.out.bigint(false, &value.to_be_bytes()),
        }
    }

    /// An unsigned integer of up to 128 bits.
    pub fn unsigned(&mut self, value: u128) {
        match u64::try_from(value) {
            Ok(small) => self.out.u64(small),
            Err(_) => self.out.bigint(false, &value.to_be_bytes()),
        }
    }

    /// A float.
    pub fn float(&mut self, value: f64) {
        self.out.f64(value);
    }

    /// A complex number.
    pub fn complex(&mut self, real: f64, imaginary: f64) {
        self.out.tag(tag::COMPLEX);
        self.out.array(2);
        self.out.f64(real);
        self.out.f64(imaginary);
    }

    /// A text.
    pub fn text(&mut self, value: &str) {
        self.out.text(value);
    }

    /// In place of what a path leads to, the value that follows: so many names are left.
    pub(crate) fn partway(&mut self, left: u64) {
        self.out.tag(tag::PARTWAY);
        self.out.array(2);
        self.out.u64(left);
    }

    /// A tuple of so many items, which follow.
    pub fn tuple(&mut self, len: usize) {
        self.out.array(len);
    }

    /// A new list of so many items, which follow.
    pub fn list(&mut self, len: usize) {
        self.container(tag::LIST);
        self.out.array(len);
    }

    /// A new list of integers; many of them as one run.
    pub fn integers(&mut self, items: &[i64]) {
        self.container(tag::LIST);
        packed::integers(items, self.out);
    }

    /// A new list of floats; many of them as one run.
    pub fn floats(&mut self, items: &[f64]) {
        self.container(tag::LIST);
        packed::floats(items, self.out);
    }

    /// A new dict of so many pairs, each a key and its value, which follow.
    pub fn dict(&mut self, len: usize) {
        self.container(tag::DICT);
        self.out.map(len);
    }

    /// A new set of so many items, which follow.
    pub fn set(&mut self, len: usize) {
        self.container(tag::SET);
        self.out.array(len);
    }

    /// A set that cannot change, of so many items, which follow.
    pub fn frozen_set(&mut self, len: usize) {
        self.out.tag(tag::FROZENSET);
        self.out.array(len);
    }

    /// A new array of bytes that can change.
    pub fn byte_array(&mut self, value: &[u8]) {
        self.container(tag::BYTEARRAY);
        self.bytes(value);
    }

    /// A value of a well-known class, of so many parts, which follow: see docs/protocol.md.
    pub fn known(&mut self, kind: &str, parts: usize) {
        self.out.tag(tag::KNOWN);
        self.out.array(1 + parts);
        self.out.text(kind);
    }

    /// An object that the proxy stands for, which goes home; or, if it belongs elsewhere, nothing that can be sent.
    pub fn proxy(&mut self, proxy: &Proxy) -> Result<()> {
        if !proxy.belongs_to(self.session) {
            return Err(Fault::mismatch("an object of one child cannot be sent to another process"));
        }
        self.out.tag(tag::THEIRS);
        self.out.u64(proxy.id());
        self.freight.keeps.push(Kept::Proxy(proxy.clone()));
        Ok(())
    }

    /// What has to live until the message has gone.
    pub(crate) fn kept(&mut self) -> Vec<Kept> {
        std::mem::take(&mut self.freight.keeps)
    }

    /// A class or function that both sides have.
    pub(crate) fn named(&mut self, named: &Named) {
        self.name(named.module(), named.qualname());
    }

    /// An object of this side, by reference.
    pub fn own(&mut self, object: &Own) {
        let (id, class) = self.session.exports().give(object);
        self.freight.given.push(id);
        self.out.tag(tag::MINE);
        self.out.array(2);
        self.out.u64(id);
        self.out.u64(class);
    }

    /// A value of whatever kind.
    pub fn value(&mut self, value: &Value) -> Result<()> {
        // On the heap, as it may have come from the other side, which must not exhaust the stack.
        let mut open = Vec::new();
        let mut next = Some(value);
        while let Some(value) = next {
            if let Some(rest) = self.begin(value)? {
                if open.len() >= MAX_DEPTH {
                    let text = format!("a value that is nested deeper than {MAX_DEPTH} cannot be sent");
                    return Err(Fault::mismatch(text));
                }
                open.push(rest);
            }
            next = loop {
                let Some(rest) = open.last_mut() else { break None };
                match rest.next() {
                    Some(value) => break Some(value),
                    None => drop(open.pop()),
                }
            };
        }
        Ok(())
    }

    /// Write a value, or the head of one; what it is made of then follows.
    fn begin<'v>(&mut self, value: &'v Value) -> Result<Option<Rest<'v>>> {
        match value {
            Value::None => self.none(),
            Value::Bool(value) => self.bool(*value),
            Value::Int(value) => self.big(*value),
            Value::BigInt(big) => self.out.bigint(big.negative, &big.magnitude),
            Value::Float(value) => self.float(*value),
            Value::Complex(real, imaginary) => self.complex(*real, *imaginary),
            Value::Str(text) => self.text(text),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::ByteArray(bytes) => self.byte_array(bytes),
            Value::Object(proxy) => self.proxy(proxy)?,
            Value::Named(named) => self.named(named),
            Value::Own(own) => self.own(own),
            Value::Exception(raised) => self.raised(raised)?,
            Value::Ellipsis => self.singleton(tag::ELLIPSIS),
            Value::NotImplemented => self.singleton(tag::NOT_IMPLEMENTED),
            Value::Surrogates(bytes) => {
                self.out.tag(tag::SURROGATES);
                self.out.bytes(bytes);
            }
            Value::Array(array) => self.array(array)?,
            Value::Buffer(buffer) => self.buffer(buffer),
            compound => return self.compound(compound).map(Some),
        }
        Ok(None)
    }

    fn compound<'v>(&mut self, value: &'v Value) -> Result<Rest<'v>> {
        let items: &[Value] = match value {
            Value::Tuple(items) => {
                if packed::write(items, self.out) {
                    return Ok(Rest::Items([].iter()));
                }
                self.tuple(items.len());
                items
            }
            Value::List(items) => {
                self.container(tag::LIST);
                if packed::write(items, self.out) {
                    return Ok(Rest::Items([].iter()));
                }
                self.tuple(items.len());
                items
            }
            Value::Set(items) => {
                self.set(items.len());
                items
            }
            Value::FrozenSet(items) => {
                self.frozen_set(items.len());
                items
            }
            Value::Known(known) => {
                self.known(&known.kind, known.parts.len());
                &known.parts
            }
            Value::Slice(parts) | Value::Range(parts) => {
                self.out.tag(if matches!(value, Value::Slice(_)) { tag::SLICE } else { tag::RANGE });
                self.tuple(3);
                &parts[..]
            }
            Value::Dict(pairs) => {
                self.dict(pairs.len());
                return Ok(Rest::Pairs(pairs.iter(), None));
            }
            other => return Err(Fault::mismatch(format!("{} cannot be sent", other.kind()))),
        };
        Ok(Rest::Items(items.iter()))
    }

    fn array(&mut self, array: &Array) -> Result<()> {
        self.container(tag::NDARRAY);
        self.out.array(5);
        self.out.bool(true);
        self.out.text(if array.row_major { "C" } else { "F" });
        self.value(&array.dtype)?;
        self.out.array(array.shape.len());
        array.shape.iter().for_each(|&side| self.out.u64(side));
        self.bytes(&array.bytes);
        Ok(())
    }

    /// An exception: itself, where it came from there and is still there; else one of its class with its arguments.
    pub(crate) fn raised(&mut self, raised: &Raised) -> Result<()> {
        if self.depth >= MAX_CAUSES {
            self.none();
            return Ok(());
        }
        self.depth += 1;
        let written = self.write_raised(raised);
        self.depth -= 1;
        written
    }

    fn write_raised(&mut self, raised: &Raised) -> Result<()> {
        self.out.tag(tag::EXCEPTION);
        match &raised.proxy {
            Some(proxy) if proxy.belongs_to(self.session) => {
                self.out.array(7);
                self.out.u64(0);
                self.proxy(proxy)?;
            }
            _ => {
                self.out.array(9);
                self.out.u64(0);
                let class = raised.family.iter().find(|class| class.module == "builtins");
                self.name("builtins", class.map_or("RuntimeError", |class| &class.qualname));
                self.tuple(raised.args.len());
                let cause = self.plainly(&raised.args);
                cause.iter().try_for_each(|arg| self.value(arg))?;
                self.tuple(0);
            }
        }
        self.cause(raised.cause.as_deref())?;
        self.cause(raised.context.as_deref())?;
        self.bool(raised.suppresses_context);
        if raised.notes.is_empty() {
            self.none();
        } else {
            self.tuple(raised.notes.len());
            raised.notes.iter().for_each(|note| self.text(note));
        }
        self.out.tag(tag::TRACEBACK);
        self.tuple(0);
        Ok(())
    }

    fn cause(&mut self, cause: Option<&Raised>) -> Result<()> {
        match cause {
            Some(cause) => self.raised(cause),
            None => {
                self.none();
                Ok(())
            }
        }
    }

    /// Arguments of an exception of another child are told by their texts, since they cannot go along.
    fn plainly(&self, args: &[Value]) -> Vec<Value> {
        let foreign = |arg: &Value| matches!(arg, Value::Object(proxy) if !proxy.belongs_to(self.session));
        args.iter().map(|arg| if foreign(arg) { Value::Str(arg.kind()) } else { arg.clone() }).collect()
    }

    /// The message will not be sent, or not all of it: what it gave out was not given out after all.
    pub(crate) fn take_back(&mut self, len: usize) {
        self.out.truncate(len);
        self.freight.take_back(self.session);
    }

    /// What goes with the message, for whoever sends it later.
    pub(crate) fn freight(self) -> Freight {
        self.freight
    }

    /// What is to be held until the answer to this request has been read.
    pub(crate) fn lasting(&self) -> Option<Lasting> {
        self.freight.lasting(self.session)
    }

    /// Give everything out once more that this message gives out: it may have to be sent a second time.  What to take back, if not.
    pub(crate) fn hold(&self) -> Vec<(u64, u64)> {
        if self.freight.given.is_empty() {
            return Vec::new();
        }
        let mut exports = self.session.exports();
        self.freight.given.iter().filter(|&&id| exports.again(id)).map(|&id| (id, 1)).collect()
    }

    pub(crate) fn out(&mut self) -> &mut Writer {
        self.out
    }

    fn name(&mut self, module: &str, qualname: &str) {
        self.out.tag(tag::NAMED);
        self.out.array(2);
        self.out.text(module);
        self.out.text(qualname);
    }

    fn container(&mut self, kind: u64) {
        self.out.tag(kind);
        self.out.array(2);
        self.out.u64(GIVEN_AWAY);
    }

    fn singleton(&mut self, kind: u64) {
        self.out.tag(kind);
        self.out.null();
    }
}
