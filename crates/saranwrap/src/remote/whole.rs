//! Values of which all parts are here: whether they are what such a value is made of, and what becomes of them.

use super::decode::Decoder;
use super::fault::Result;
use super::proxy::Proxy;
use super::raised::{Frame, Raised};
use super::value::{Array, BigInt, Known, Value};
use crate::error::{Error, Result as LinkResult};

/// What a value that is made of others is.
pub(super) enum Kind {
    Tuple,
    List,
    Dict,
    Set,
    FrozenSet,
    ByteArray,
    Array,
    Slice,
    Range,
    Known,
    Valued(u64, u64),
    Exception(Option<Proxy>),
    Traceback,
    /// Something legal that nobody here can make use of: what it is.
    Unfit(&'static str),
}

impl Decoder<'_> {
    /// Make it of them.
    pub(super) fn made(&mut self, kind: Kind, mut items: Vec<Value>) -> Result<Value> {
        Ok(match kind {
            Kind::Unfit(what) => {
                let why =
                    format!("{what} is nothing that a Rust program can read: give plain data, or `saranwrap.ref`");
                self.unfit.get_or_insert(why);
                Value::None
            }
            Kind::Tuple => Value::Tuple(items),
            Kind::List => Value::List(items),
            Kind::Set => Value::Set(items),
            Kind::FrozenSet => Value::FrozenSet(items),
            Kind::Dict => {
                let mut items = items.into_iter();
                let pairs = std::iter::from_fn(|| Some((items.next()?, items.next()?)));
                Value::Dict(pairs.collect())
            }
            Kind::ByteArray => match items.pop() {
                Some(Value::Bytes(bytes)) => Value::ByteArray(bytes),
                _ => return Err(senseless("a bytearray").into()),
            },
            Kind::Slice => Value::Slice(three(items)?),
            Kind::Range => Value::Range(three(items)?),
            Kind::Array => array(items)?,
            Kind::Known => {
                let mut items = items.into_iter();
                let Some(Value::Str(kind)) = items.next() else { return Err(senseless("a known value").into()) };
                Value::Known(Box::new(Known { kind, parts: items.collect() }))
            }
            Kind::Valued(id, class) => Value::Object(Proxy::given(self.session, id, class, items.pop())),
            Kind::Exception(proxy) => Value::Exception(Box::new(self.exception(proxy, items)?)),
            Kind::Traceback => Value::Traceback(frames(items)?),
        })
    }

    /// An exception of these parts; the proxy is of itself.
    fn exception(&mut self, proxy: Option<Proxy>, parts: Vec<Value>) -> Result<Raised> {
        let wrong = || senseless("an exception");
        let parts = <[Value; 8]>::try_from(parts).map_err(|_| wrong())?;
        let [class, Value::Tuple(args), Value::Tuple(state), cause, context, suppress, notes, traceback] = parts else {
            return Err(wrong().into());
        };
        let (family, speaks) = self.session.family(&Self::base_of(&class)?)?;
        let class = family.first().cloned().ok_or_else(wrong)?;
        let said = match &proxy {
            Some(proxy) if speaks => self.session.said_by(proxy),
            _ => None,
        };
        Ok(Raised {
            class,
            family,
            args,
            state: pairs_of(state)?,
            cause: chained(cause)?,
            context: chained(context)?,
            suppresses_context: suppress == Value::Bool(true),
            notes: texts_of(notes),
            traceback: if let Value::Traceback(frames) = traceback { frames } else { Vec::new() },
            said,
            proxy,
        })
    }
}

fn three(items: Vec<Value>) -> LinkResult<Box<[Value; 3]>> {
    <[Value; 3]>::try_from(items).map(Box::new).map_err(|_| senseless("a slice or range"))
}

/// Whether it may be written to, its order, type and shape, and its bytes.
fn array(parts: Vec<Value>) -> LinkResult<Value> {
    let wrong = || senseless("an array");
    let parts = <[Value; 5]>::try_from(parts).map_err(|_| wrong())?;
    let [Value::Bool(_), Value::Str(order), dtype, Value::Tuple(sides), Value::Bytes(bytes)] = parts else {
        return Err(wrong());
    };
    let side = |side| if let Value::Int(side) = side { u64::try_from(side).map_err(|_| wrong()) } else { Err(wrong()) };
    let shape = sides.into_iter().map(side).collect::<LinkResult<_>>()?;
    Ok(Value::Array(Box::new(Array { dtype, shape, row_major: order == "C", bytes })))
}

fn chained(value: Value) -> LinkResult<Option<Box<Raised>>> {
    match value {
        Value::None => Ok(None),
        Value::Exception(raised) => Ok(Some(raised)),
        _ => Err(senseless("what an exception was raised from")),
    }
}

fn frames(mut parts: Vec<Value>) -> LinkResult<Vec<Frame>> {
    let wrong = || senseless("a traceback");
    let Some(Value::Tuple(frames)) = parts.pop() else { return Err(wrong()) };
    let frame = |frame| {
        let Value::Tuple(parts) = frame else { return Err(wrong()) };
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Value::Str(file)), Some(Value::Str(function)), Some(Value::Int(line))) => {
                Ok(Frame { file, function, line: i64::try_from(line).unwrap_or(-1) })
            }
            _ => Err(wrong()),
        }
    };
    frames.into_iter().map(frame).collect()
}

/// The other side sent something of which that cannot be made.
fn senseless(what: &str) -> Error {
    Error::garbled(format!("{what} is not made of what it should be"))
}

fn pairs_of(pairs: Vec<Value>) -> LinkResult<Vec<(String, Value)>> {
    let pair = |pair| match pair {
        Value::Tuple(mut parts) if parts.len() == 2 => match (parts.swap_remove(0), parts.pop()) {
            (Value::Str(name), Some(value)) => Ok((name, value)),
            _ => Err(senseless("an attribute of an exception")),
        },
        _ => Err(senseless("an attribute of an exception")),
    };
    pairs.into_iter().map(pair).collect()
}

fn texts_of(value: Value) -> Vec<String> {
    let Value::Tuple(items) = value else { return Vec::new() };
    items.into_iter().filter_map(|item| if let Value::Str(text) = item { Some(text) } else { None }).collect()
}

/// What an integer of any size is here.
pub(super) fn bignum(negative: bool, magnitude: &[u8]) -> Value {
    let significant = magnitude.iter().position(|&byte| byte != 0).unwrap_or(magnitude.len());
    let magnitude = &magnitude[significant..];
    if magnitude.len() > 16 || (magnitude.len() == 16 && magnitude[0] >= 0x80) {
        return Value::BigInt(BigInt { negative, magnitude: magnitude.to_vec() });
    }
    let value = magnitude.iter().fold(0i128, |value, &byte| value << 8 | i128::from(byte));
    Value::Int(if negative { !value } else { value })
}
