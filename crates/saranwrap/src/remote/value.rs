//! A value that crossed: itself, or a proxy where it stayed on the other side.  How it becomes a type of yours is told in `convert`.

use std::fmt::{self, Write};

use super::buffer::UntypedBuffer;
use super::own::Own;
use super::proxy::{Named, Proxy};
use super::raised::{Frame, Raised};

/// What an answer or an argument is.
///
/// Two proxies are equal when they stand for the same object.  Whether two objects are equal for the other side is asked by
/// [`Object::equals`](super::Object::equals).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 128 bits.
    Int(i128),
    /// An integer beyond that.
    BigInt(BigInt),
    /// A float.
    Float(f64),
    /// A complex number: its real and its imaginary part.
    Complex(f64, f64),
    /// A text.
    Str(String),
    /// A text with lone surrogates, in UTF-8 that lets them pass.
    Surrogates(Vec<u8>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Bytes of an object that can change; these are a copy.
    ByteArray(Vec<u8>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A list; a copy, as it comes by [`Object::fetch`](super::Object::fetch) only.
    List(Vec<Value>),
    /// A dict, in its order; a copy.
    Dict(Vec<(Value, Value)>),
    /// A set; a copy.
    Set(Vec<Value>),
    /// A set that cannot change.
    FrozenSet(Vec<Value>),
    /// `...`.
    Ellipsis,
    /// The answer of an operator that does not know its operand.
    NotImplemented,
    /// A slice: start, stop and step.
    Slice(Box<[Value; 3]>),
    /// A range: start, stop and step.
    Range(Box<[Value; 3]>),
    /// A value of a well-known class, such as a date, by its parts.
    Known(Box<Known>),
    /// An array of numpy by value; a copy.
    Array(Box<Array>),
    /// What an object lends by the buffer protocol.
    Buffer(UntypedBuffer),
    /// An object that stayed where it is.
    Object(Proxy),
    /// A class or function that both sides have under its name, such as `int`.
    Named(Named),
    /// An exception as a value.
    Exception(Box<Raised>),
    /// A traceback as a value, outermost frame first.
    Traceback(Vec<Frame>),
    /// An object of this side that came home.
    Own(Own),
}

/// An integer of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigInt {
    /// Whether it is below zero.
    pub negative: bool,
    /// The big-endian bytes of the number itself, or of `-1 - number` when it is negative.
    pub magnitude: Vec<u8>,
}

/// A value of a well-known class by its parts; docs/protocol.md lists the kinds.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Which class: `date`, `decimal`, `path`, ...
    pub kind: String,
    /// What it is made of.
    pub parts: Vec<Value>,
}

/// An array of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The type of its items, as numpy's `dtype.str` has it: `"<f8"`; or the parts of a structured type.
    pub dtype: Value,
    /// How long each side is.
    pub shape: Vec<u64>,
    /// Whether the last index changes fastest.
    pub row_major: bool,
    /// The items.
    pub bytes: Vec<u8>,
}

impl Value {
    /// What kind of thing this is, in a word or two, for messages.
    pub(crate) fn kind(&self) -> String {
        let kind = match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) | Self::BigInt(_) => "an int",
            Self::Float(_) => "a float",
            Self::Complex(..) => "a complex",
            Self::Str(_) | Self::Surrogates(_) => "a str",
            Self::Bytes(_) => "bytes",
            Self::ByteArray(_) => "a bytearray",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Set(_) => "a set",
            Self::FrozenSet(_) => "a frozenset",
            Self::Ellipsis => "Ellipsis",
            Self::NotImplemented => "NotImplemented",
            Self::Slice(_) => "a slice",
            Self::Range(_) => "a range",
            Self::Known(known) => return format!("a {}", known.kind),
            Self::Array(_) => "an array",
            Self::Buffer(_) => "a buffer",
            Self::Object(proxy) => return proxy.kind(),
            Self::Named(named) => return format!("`{named}`"),
            Self::Exception(_) => "an exception",
            Self::Traceback(_) => "a traceback",
            Self::Own(_) => "an object of this side",
        };
        kind.to_owned()
    }

    /// Whether this is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The proxy, where the value stayed on the other side.
    pub fn into_proxy(self) -> Option<Proxy> {
        if let Self::Object(proxy) = self { Some(proxy) } else { None }
    }

    /// As it would be written in a program there; an object is only named.
    pub(crate) fn literal(&self) -> String {
        let mut out = String::new();
        // A String takes everything.
        let _ = self.write_literal(&mut out);
        out
    }

    fn write_literal(&self, f: &mut impl Write) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Str(text) => write_text(text, f),
            Self::Bytes(bytes) => write!(f, "b'{}'", bytes.escape_ascii()),
            Self::Tuple(items) => write_items("(", items, if items.len() == 1 { ",)" } else { ")" }, f),
            Self::List(items) => write_items("[", items, "]", f),
            Self::Set(items) if !items.is_empty() => write_items("{", items, "}", f),
            Self::Dict(pairs) => {
                f.write_str("{")?;
                for (place, (key, value)) in pairs.iter().enumerate() {
                    f.write_str(if place == 0 { "" } else { ", " })?;
                    key.write_literal(f)?;
                    f.write_str(": ")?;
                    value.write_literal(f)?;
                }
                f.write_str("}")
            }
            Self::Exception(raised) => {
                let args = raised.args().iter().map(Self::literal).collect::<Vec<_>>().join(", ");
                write!(f, "{}({args})", raised.name())
            }
            other => write!(f, "<{}>", other.kind()),
        }
    }
}

fn write_items(open: &str, items: &[Value], close: &str, f: &mut impl Write) -> fmt::Result {
    f.write_str(open)?;
    for (place, item) in items.iter().enumerate() {
        f.write_str(if place == 0 { "" } else { ", " })?;
        item.write_literal(f)?;
    }
    f.write_str(close)
}

fn write_text(text: &str, f: &mut impl Write) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    f.write_char(quote)?;
    for letter in text.chars() {
        match letter {
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\\' => f.write_str("\\\\")?,
            letter if letter == quote => write!(f, "\\{letter}")?,
            letter if letter.is_control() => write!(f, "\\x{:02x}", u32::from(letter))?,
            letter => f.write_char(letter)?,
        }
    }
    f.write_char(quote)
}

impl fmt::Display for Value {
    /// A text as it is, everything else as it would be written in a program there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            Self::Exception(raised) => f.write_str(&raised.text()),
            other => f.write_str(&other.literal()),
        }
    }
}
