//! Python object -> wire: what crosses by value and what on loan. The rest goes on to `references`.

use std::sync::atomic::Ordering;

use pyo3::exceptions::{PyBaseException, PyRecursionError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyEllipsis, PyFloat, PyFrozenSet, PyInt, PyList, PyNotImplemented,
    PyRange, PySet, PySlice, PyString, PyTuple, PyType,
};
use saranwrap::arena::Place;
use saranwrap::link::Side;
use saranwrap::wire::{MAX_DEPTH, Writer, tag};

use super::WITHIN_MESSAGE;
use super::bulk::LARGE;
use crate::addresses::AddressMap;
use crate::buffer::Lent;
use crate::fault::Result;
use crate::kinds;
use crate::loans::{self, Agreed, Key};
use crate::numbers::Row;
use crate::promise::Pipeline;
use crate::proxy::Proxy;
use crate::session::Session;

/// What an encoder does with objects that have no plain form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By reference, or as the crossing table says.
    Normal,
    /// Everything by value, for `local(p)`: containers are copied to any depth.
    Copy { trusted: bool },
    /// The outermost container by value, its items as ever: a shallow copy.
    Shallow,
}

/// A place in a message.
pub(crate) struct Mark {
    len: usize,
    given: usize,
    blocks: usize,
    lent: u64,
}

impl Mark {
    /// The beginning of a message that begins its chain: nothing is lent yet.
    pub(crate) const START: Self = Self { len: 0, given: 0, blocks: 0, lent: 0 };
}

/// How far the steps of a pipeline are written.
pub(super) struct Steps<'py> {
    pub(super) pipeline: Bound<'py, Pipeline>,
    /// The place of the first step in this message.
    pub(super) first: u64,
    /// The place of the one that is being written; it may name those before it.
    pub(super) place: u64,
}

pub(crate) struct Encoder<'a, 'py> {
    pub(super) session: &'a Bound<'py, Session>,
    pub(super) out: &'a mut Writer,
    pub(super) key: Key,
    pub(super) mode: Mode,
    pub(super) depth: usize,
    /// Ids given out in this message, to take back should it never leave.
    pub(super) given: Vec<u64>,
    /// Blocks given out in this message.
    pub(super) blocks: Vec<Place>,
    /// Exceptions on the way down, so that a cycle of causes ends.
    pub(super) raising: Vec<usize>,
    /// The arguments of the call that this answers: an immutable one that comes back is named, which keeps its identity.
    pub(super) arguments: &'a [Bound<'py, PyAny>],
    /// Containers that are given away in this message, by address; None where containers are lent.
    pub(super) given_away: Option<AddressMap<usize, u64>>,
    /// The pipeline whose steps are being written.
    pub(super) steps: Option<Steps<'py>>,
    /// Whether this is an answer's value: the child's own code has let go of what it does not keep.
    pub(super) answers: bool,
    /// How many modules the other side had been told of before this message.
    told: usize,
}

impl<'a, 'py> Encoder<'a, 'py> {
    pub(crate) fn new(session: &'a Bound<'py, Session>, out: &'a mut Writer, key: Key, mode: Mode) -> Self {
        Self {
            session,
            out,
            key,
            mode,
            depth: 0,
            given: Vec::new(),
            blocks: Vec::new(),
            raising: Vec::new(),
            arguments: &[],
            given_away: (mode != Mode::Normal || session.get().gives_away.load(Ordering::Relaxed))
                .then(AddressMap::default),
            steps: None,
            answers: false,
            told: session.get().told.load(Ordering::Relaxed),
        }
    }

    /// An encoder for the answer to a call with these arguments.
    pub(crate) fn answering(mut self, arguments: &'a [Bound<'py, PyAny>]) -> Self {
        self.arguments = arguments;
        self.answers = true;
        self
    }

    /// What follows is the step at `place` of a message whose first step is at `first`.
    pub(crate) fn at_step(&mut self, pipeline: &Bound<'py, Pipeline>, first: u64, place: u64) {
        self.steps = Some(Steps { pipeline: pipeline.clone(), first, place });
    }

    /// What is written, for heads.
    pub(crate) fn out(&mut self) -> &mut Writer {
        self.out
    }

    /// How far it is written, and what was given out and lent: what `back_to` goes back to.
    pub(crate) fn mark(&self) -> Mark {
        // Only a parent lends: what a child gives by value is given away.
        let lent = match &self.given_away {
            Some(given) => given.len() as u64,
            None if self.session.get().side() == Side::Parent => loans::made(self.key),
            None => 0,
        };
        Mark { len: self.out.len(), given: self.given.len(), blocks: self.blocks.len(), lent }
    }

    /// Take back what was written since.
    pub(crate) fn back_to(&mut self, mark: &Mark) {
        let session = self.session.get();
        self.out.truncate(mark.len);
        if let Some(given) = &mut self.given_away {
            given.retain(|_, number| *number < WITHIN_MESSAGE + mark.lent);
        } else if session.side() == Side::Parent {
            loans::retract(self.key, mark.lent);
        }
        let releases: Vec<(u64, u64)> = self.given.drain(mark.given..).map(|id| (id, 1)).collect();
        let dropped = session.exports().take_back(&releases);
        drop(dropped);
        self.blocks.drain(mark.blocks..).for_each(|place| session.arena.take_back(place));
    }

    /// The message will not be sent: nothing was given out, lent or told after all. `start` is where it begins.
    pub(crate) fn take_back(&mut self, start: &Mark) {
        self.back_to(start);
        self.session.get().told.store(self.told, Ordering::Relaxed);
    }

    pub(crate) fn value(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            return Err(PyRecursionError::new_err("maximum recursion depth exceeded while sending an object").into());
        }
        self.depth += 1;
        let result = self.dispatch(object);
        self.depth -= 1;
        result
    }

    /// The positional arguments of a call. An immutable object that is given twice arrives as one.
    pub(crate) fn positional(&mut self, args: &[Bound<'py, PyAny>]) -> Result<()> {
        self.out.array(args.len());
        for (place, arg) in args.iter().enumerate() {
            match args[..place].iter().position(|earlier| earlier.is(arg)) {
                Some(earlier) if is_immutable(self.session, arg)? => {
                    self.out.tag(tag::ARGUMENT);
                    self.out.u64(earlier as u64);
                }
                _ => self.value(arg)?,
            }
        }
        Ok(())
    }

    /// A name that this side asks for.
    pub(crate) fn text(&mut self, name: &str) {
        self.out.text(name);
    }

    /// A keyword dictionary; its keys are strings by the rules of the language.
    pub(crate) fn kwargs(&mut self, kwargs: Option<&Bound<'py, PyDict>>) -> Result<()> {
        let Some(kwargs) = kwargs else {
            self.out.map(0);
            return Ok(());
        };
        self.out.map(kwargs.len());
        for (name, value) in kwargs {
            self.value(&name)?;
            self.value(&value)?;
        }
        Ok(())
    }

    fn dispatch(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if let Some(place) = self.arguments.iter().position(|argument| argument.is(object))
            && is_immutable(self.session, object)?
        {
            self.out.tag(tag::ARGUMENT);
            self.out.u64(place as u64);
            return Ok(());
        }
        if object.is_none() {
            self.out.null();
        } else if let Ok(value) = object.cast_exact::<PyBool>() {
            self.out.bool(value.is_true());
        } else if let Ok(value) = object.cast_exact::<PyInt>() {
            self.int(value)?;
        } else if let Ok(value) = object.cast_exact::<PyString>() {
            self.string(value)?;
        } else if let Ok(value) = object.cast_exact::<PyFloat>() {
            self.out.f64(value.value());
        } else if let Ok(value) = object.cast_exact::<PyBytes>() {
            match value.as_bytes() {
                bytes if bytes.len() < LARGE => self.out.bytes(bytes),
                _ => self.large_bytes(value)?,
            }
        } else if let Ok(value) = object.cast_exact::<PyTuple>() {
            if self.packed(Row::Tuple(value)) {
                return Ok(());
            }
            self.out.array(value.len());
            for item in value {
                self.value(&item)?;
            }
        } else {
            return self.uncommon(object);
        }
        Ok(())
    }

    fn uncommon(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if let Ok(proxy) = object.cast::<Proxy>() {
            return self.proxy(object, proxy);
        }
        if let Some(number) = self.number_of(object) {
            if self.answers && self.session.get().side() == Side::Child && loans::is_kept(self.key, number) {
                // The child has put the copy away: it is an object of the child's now, and the caller's own is its former self.
                return self.reference(object);
            }
            self.out.tag(tag::SAME);
            self.out.u64(number);
            return Ok(());
        }
        if object.is_instance_of::<PyType>() {
            return self.class(object);
        }
        if object.is_instance_of::<PyBaseException>() {
            return self.exception(object);
        }
        if kinds::kind(self.session, object)?.is_remote {
            return self.valued_proxy(object);
        }
        if self.lends() && self.container(object)? {
            return Ok(());
        }
        if self.plain(object)? || (self.lends_arrays() && self.array(object)?) {
            return Ok(());
        }
        self.other(object)
    }

    /// Whether mutable built-ins leave by value: as arguments into the child, or when the other side asked for a copy.
    fn lends(&self) -> bool {
        match self.mode {
            Mode::Normal => self.session.get().side() == Side::Parent,
            Mode::Copy { .. } => true,
            Mode::Shallow => self.depth == 1,
        }
    }

    fn number_of(&self, object: &Bound<'py, PyAny>) -> Option<u64> {
        let given_away = self.given_away.as_ref().and_then(|given| given.get(&(object.as_ptr() as usize)).copied());
        given_away.or_else(|| loans::number_of(self.key, object))
    }

    fn int(&mut self, value: &Bound<'py, PyInt>) -> Result<()> {
        if let Ok(small) = value.extract::<i64>() {
            self.out.i64(small);
            return Ok(());
        }
        // RFC 8949, 3.4.3: a negative bignum carries -1 - n, which is the bitwise complement.
        let negative = value.lt(0)?;
        let magnitude = if negative { value.call_method0("__invert__")? } else { value.clone().into_any() };
        let bits: usize = magnitude.call_method0("bit_length")?.extract()?;
        let bytes = magnitude.call_method1("to_bytes", (bits.div_ceil(8).max(1), "big"))?;
        self.out.bigint(negative, bytes.extract::<&[u8]>()?);
        Ok(())
    }

    fn string(&mut self, value: &Bound<'py, PyString>) -> Result<()> {
        if let Ok(text) = value.to_str() {
            self.out.text(text);
            return Ok(());
        }
        let bytes = value.call_method1("encode", ("utf-8", "surrogatepass"))?;
        self.out.tag(tag::SURROGATES);
        self.out.bytes(bytes.extract::<&[u8]>()?);
        Ok(())
    }

    /// The exact mutable built-ins. A cycle finds its own loan number.
    fn container(&mut self, object: &Bound<'py, PyAny>) -> Result<bool> {
        if let Ok(list) = object.cast_exact::<PyList>() {
            self.list(list)?;
        } else if let Ok(dict) = object.cast_exact::<PyDict>() {
            let number = self.begin_loan(object, tag::DICT);
            let mut items = Vec::with_capacity(2 * dict.len());
            for (key, value) in dict {
                items.extend([key, value]);
            }
            self.out.map(items.len() / 2);
            self.items(&items)?;
            self.end_loan(number, items, Agreed::Dict);
        } else if let Ok(set) = object.cast_exact::<PySet>() {
            let number = self.begin_loan(object, tag::SET);
            let items: Vec<_> = set.iter().collect();
            self.out.array(items.len());
            self.items(&items)?;
            self.end_loan(number, items, Agreed::Set);
        } else if let Ok(bytes) = object.cast_exact::<PyByteArray>() {
            self.lend(object, tag::BYTEARRAY);
            self.content(&Lent::of(object)?, 0..bytes.len())?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn list(&mut self, list: &Bound<'py, PyList>) -> Result<()> {
        let number = self.begin_loan(list.as_any(), tag::LIST);
        let packed = self.packed(Row::List(list));
        if packed && self.given_away.is_some() {
            return Ok(());
        }
        let items: Vec<_> = list.iter().collect();
        if !packed {
            self.out.array(items.len());
            self.items(&items)?;
        }
        self.end_loan(number, items, Agreed::List);
        Ok(())
    }

    /// What was read of a container before any of it was written is what both sides hold of it.
    fn end_loan(&self, number: u64, items: Vec<Bound<'py, PyAny>>, kind: fn(Vec<Py<PyAny>>) -> Agreed) {
        if self.given_away.is_none() {
            loans::agree(self.key, number, kind(items.into_iter().map(Bound::unbind).collect()));
        }
    }

    fn items(&mut self, items: &[Bound<'py, PyAny>]) -> Result<()> {
        items.iter().try_for_each(|item| self.value(item))
    }

    pub(super) fn lend(&mut self, object: &Bound<'py, PyAny>, kind: u64) {
        let number = self.begin_loan(object, kind);
        if self.given_away.is_none() {
            loans::settle(self.key, number, object.py());
        }
    }

    fn begin_loan(&mut self, object: &Bound<'py, PyAny>, kind: u64) -> u64 {
        let number = self.loan_number(object);
        self.out.tag(kind);
        self.out.array(2);
        self.out.u64(number);
        number
    }

    /// A new number for what is lent, or given away.
    pub(super) fn loan_number(&mut self, object: &Bound<'py, PyAny>) -> u64 {
        match &mut self.given_away {
            Some(given) => {
                let number = WITHIN_MESSAGE + given.len() as u64;
                given.insert(object.as_ptr() as usize, number);
                number
            }
            None => loans::lend(self.key, object),
        }
    }

    /// Immutable values that need a tag.
    fn plain(&mut self, object: &Bound<'py, PyAny>) -> Result<bool> {
        if let Ok(set) = object.cast_exact::<PyFrozenSet>() {
            self.out.tag(tag::FROZENSET);
            let items: Vec<_> = set.iter().collect();
            self.out.array(items.len());
            self.items(&items)?;
        } else if let Ok(value) = object.cast_exact::<PyComplex>() {
            self.out.tag(tag::COMPLEX);
            self.out.array(2);
            self.out.f64(value.real());
            self.out.f64(value.imag());
        } else if object.is_exact_instance_of::<PyEllipsis>() {
            self.out.tag(tag::ELLIPSIS);
            self.out.null();
        } else if object.is_exact_instance_of::<PyNotImplemented>() {
            self.out.tag(tag::NOT_IMPLEMENTED);
            self.out.null();
        } else if object.is_exact_instance_of::<PySlice>() {
            self.triple(object, tag::SLICE)?;
        } else if object.is_exact_instance_of::<PyRange>() {
            self.triple(object, tag::RANGE)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn triple(&mut self, object: &Bound<'py, PyAny>, kind: u64) -> Result<()> {
        self.out.tag(kind);
        self.out.array(3);
        for part in ["start", "stop", "step"] {
            self.value(&object.getattr(part)?)?;
        }
        Ok(())
    }
}

/// A value that nobody can tell from its copy, but by its identity.
pub(super) fn is_immutable(session: &Bound<'_, Session>, object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyTuple>()
        || object.is_exact_instance_of::<PyBytes>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyFrozenSet>()
        || object.is_exact_instance_of::<PyComplex>()
        || object.is_exact_instance_of::<PySlice>()
        || object.is_exact_instance_of::<PyRange>()
        || kinds::kind(session, object)?.is_known)
}
