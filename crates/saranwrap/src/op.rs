//! Everything one side may ask of the other, and the head of a request.  What an op does is the host's business.

use crate::error::{Error, Result};
use crate::wire::{Item, Reader, Writer, tag};

/// What is asked.  Behind each op stand its arguments, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// `[name]`: an attribute of the target. In place of the name a path may stand: the names of attributes, each of what the one
    /// before it came to.
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
    /// `[name, args, kwargs]`: call an attribute of the target, in one round trip. In place of the name a path may stand.
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
    /// `[news, step..]`: several ops in one request; a later one may name the results of earlier ones.
    Pipeline = 21,
    /// `[name, args]`: an operator between the target and its operand, with all that the language does to find who knows it.
    Operate = 22,
    /// `[serial, consumed, count]`: what an iterator of the language has next, without going there.
    Ahead = 23,
    /// `[count]`: the next items of any iterator, taken.
    Take = 24,
    /// `[]`: what awaiting the target comes to. `[name, args]`: what awaiting the result of its special method of this name does.
    Await = 25,
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
        Op::Pipeline,
        Op::Operate,
        Op::Ahead,
        Op::Take,
        Op::Await,
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
            Op::Pipeline => "pipeline",
            Op::Operate => "operate",
            Op::Ahead => "ahead",
            Op::Take => "take",
            Op::Await => "await",
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

/// What a request is about, where a name is its first argument: that name, or those of a path with dots between.
pub fn name(reader: &mut Reader<'_>) -> Result<String> {
    match reader.peek()? {
        Item::Array(count) => {
            reader.next()?;
            let names: Vec<_> = (0..count).map(|_| reader.text("name")).collect::<Result<_>>()?;
            Ok(names.join("."))
        }
        _ => reader.text("name").map(str::to_owned),
    }
}

/// What a step of a pipeline is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The object with this id, in the receiver's table.
    Id(u64),
    /// What the step at this place came to.
    Promise(u64),
}

/// The head of one step of a pipeline: an array of who needs its result, its op, its target and its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How often later steps name the result; when they have, the receiver may let go of it.
    pub uses: u64,
    /// Whether the answer is to hold the result.
    pub wanted: bool,
    /// What is asked.
    pub op: Op,
    /// Of what it is asked.
    pub target: Target,
    /// How many arguments follow.
    pub argc: usize,
}

impl Step {
    /// Write the head; the caller writes `argc` values after it.
    pub fn write(&self, out: &mut Writer) {
        out.array(4 + self.argc);
        out.u64(self.uses);
        out.bool(self.wanted);
        out.u64(u64::from(self.op.code()));
        match self.target {
            Target::Id(id) => out.u64(id),
            Target::Promise(place) => {
                out.tag(tag::PROMISE);
                out.u64(place);
            }
        }
    }

    /// Read the head, or pass over the null that stands where a step could not be written.  The reader is left at the first
    /// argument.
    pub fn read(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        if reader.peek()? == Item::Null {
            reader.next()?;
            return Ok(None);
        }
        let len = reader.array("step")?;
        let argc = len.checked_sub(4).ok_or_else(|| Error::garbled("a step without a target"))?;
        let uses = reader.u64("uses")?;
        let wanted = match reader.next()? {
            Item::Bool(wanted) => wanted,
            other => return Err(Error::garbled(format!("whether a step is wanted is no truth value, but {other}"))),
        };
        let op = Op::from_code(reader.u64("op")?)?;
        let target = match reader.next()? {
            Item::Uint(id) => Target::Id(id),
            Item::Tag(tag::PROMISE) => Target::Promise(reader.u64("place")?),
            other => return Err(Error::garbled(format!("a step cannot be asked of {other}"))),
        };
        Ok(Some(Self { uses, wanted, op, target, argc }))
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

    #[test]
    fn a_step_comes_back() {
        for target in [Target::Id(1 << 40), Target::Promise(3)] {
            let step = Step { uses: 2, wanted: true, op: Op::Call, target, argc: 2 };
            let mut out = Writer::new();
            step.write(&mut out);
            out.array(0);
            out.map(0);
            let mut reader = Reader::new(out.as_slice());
            assert_eq!(Step::read(&mut reader).unwrap(), Some(step));
            assert_eq!(reader.rest(), [0x80, 0xa0]);
        }
        assert_eq!(Step::read(&mut Reader::new(&[0xf6])).unwrap(), None);
    }

    #[test]
    fn a_step_that_is_none_is_refused() {
        let of = |bytes: &[u8]| Step::read(&mut Reader::new(bytes)).is_err();
        assert!(of(&[0x83, 0x00, 0xf4, 0x01]), "no target");
        assert!(of(&[0x85, 0x00, 0x00, 0x01, 0x01, 0x60]), "wanted is a number");
        assert!(of(&[0x85, 0x00, 0xf4, 0x00, 0x01, 0x60]), "no op");
        assert!(of(&[0x85, 0x00, 0xf4, 0x01, 0x60, 0x60]), "a text as its target");
        assert!(of(&[0x85, 0x00, 0xf4, 0x01, 0xd9, 0x53, 0x05, 0x01]), "another tag");
        assert!(of(&[]));
    }
}
