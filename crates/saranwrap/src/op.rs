//! Everything one side may ask of the other, and the head of a request.  What an op does is the host's business.

use crate::error::{Error, Result};
use crate::wire::{Reader, Writer};

/// What is asked.  Behind each op stand its arguments, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// `[name]`: an attribute of the target.
    GetAttr = 1,
    /// `[name, value]`: set an attribute.
    SetAttr = 2,
    /// `[name]`: delete an attribute.
    DelAttr = 3,
    /// `[item]`: subscript the target.
    GetItem = 4,
    /// `[item, value]`: set an item.
    SetItem = 5,
    /// `[item]`: delete an item.
    DelItem = 6,
    /// `[rhs]`: whether the target equals it.
    Eq = 7,
    /// `[args, kwargs]`: call the target.
    Call = 8,
    /// `[name, args, kwargs]`: call an attribute of the target, in one round trip.
    CallAttr = 9,
    /// `[name, args]`: a special method, looked up on the target's type.
    Special = 10,
    /// `[class, name, args]`: the attribute as `class` defines it, bound to the target.
    Super = 11,
    /// `[]`: how the process is.
    Status = 12,
    /// `[]`: the description of a class; the target is its class number.
    Describe = 13,
    /// `[name]`: import a module.
    Import = 14,
    /// `[recipe]`: make an object from a pickle or a recipe and keep it here.
    Adopt = 15,
    /// `[name, bases, overrides, kwargs]`: make a class whose overridden methods call back.
    Subclass = 16,
    /// `[trusted, deep]`: the target by value.
    Copy = 17,
    /// `[kind, candidate]`: whether the candidate is an instance, or a subclass, of the target.
    Is = 18,
    /// `[]`: the names of the target's attributes.
    Dir = 19,
    /// `[protocol]`: what `__reduce_ex__` of the target says, in a form that the asker can put into a pickle.
    Reduce = 20,
}

impl Op {
    /// Every op, in the order of their codes.
    pub const ALL: &[Op] = &[
        Op::GetAttr,
        Op::SetAttr,
        Op::DelAttr,
        Op::GetItem,
        Op::SetItem,
        Op::DelItem,
        Op::Eq,
        Op::Call,
        Op::CallAttr,
        Op::Special,
        Op::Super,
        Op::Status,
        Op::Describe,
        Op::Import,
        Op::Adopt,
        Op::Subclass,
        Op::Copy,
        Op::Is,
        Op::Dir,
        Op::Reduce,
    ];

    /// The name in documents and messages.
    pub fn name(self) -> &'static str {
        match self {
            Op::GetAttr => "getattr",
            Op::SetAttr => "setattr",
            Op::DelAttr => "delattr",
            Op::GetItem => "getitem",
            Op::SetItem => "setitem",
            Op::DelItem => "delitem",
            Op::Eq => "eq",
            Op::Call => "call",
            Op::CallAttr => "callattr",
            Op::Special => "special",
            Op::Super => "super",
            Op::Status => "status",
            Op::Describe => "describe",
            Op::Import => "import",
            Op::Adopt => "adopt",
            Op::Subclass => "subclass",
            Op::Copy => "copy",
            Op::Is => "is",
            Op::Dir => "dir",
            Op::Reduce => "reduce",
        }
    }

    /// The number on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The op with this number.
    pub fn from_code(code: u64) -> Result<Self> {
        // Codes are consecutive from 1, which a test holds.
        let index = usize::try_from(code).ok().and_then(|code| code.checked_sub(1));
        index.and_then(|index| Self::ALL.get(index)).copied().ok_or_else(|| Error::garbled(format!("{code} is no op")))
    }
}

/// The head of a request: an array of the op, its target and its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub op: Op,
    /// The id of the object it is asked of, in the receiver's table.
    pub target: u64,
    /// How many arguments follow.
    pub argc: usize,
}

impl Request {
    /// Write the head; the caller writes `argc` values after it.
    pub fn write(&self, out: &mut Writer) {
        out.array(2 + self.argc);
        out.u64(u64::from(self.op.code()));
        out.u64(self.target);
    }

    /// Read the head.  The reader is left at the first argument; a body may hold more items after the last.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let len = reader.array("request")?;
        let argc = len.checked_sub(2).ok_or_else(|| Error::garbled("a request without a target"))?;
        let op = Op::from_code(reader.u64("op")?)?;
        Ok(Self { op, target: reader.u64("target")?, argc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_consecutive_and_come_back() {
        for (index, &op) in Op::ALL.iter().enumerate() {
            assert_eq!(usize::from(op.code()), index + 1);
            assert_eq!(Op::from_code(u64::from(op.code())).unwrap(), op);
        }
        assert!(Op::from_code(0).is_err());
        assert!(Op::from_code(Op::ALL.len() as u64 + 1).is_err());
        assert!(Op::from_code(u64::MAX).is_err());
    }

    #[test]
    fn the_reader_is_left_at_the_arguments() {
        let request = Request { op: Op::GetAttr, target: 1 << 40, argc: 1 };
        let mut out = Writer::new();
        request.write(&mut out);
        out.text("tm_sec");
        let mut reader = Reader::new(out.as_slice());
        assert_eq!(Request::read(&mut reader).unwrap(), request);
        assert_eq!(reader.text("name").unwrap(), "tm_sec");
    }

    #[test]
    fn a_short_request_is_refused() {
        assert!(Request::read(&mut Reader::new(&[0x81, 0x01])).is_err());
    }
}
