//! Wire -> Python object. The bytes come from a process that may be hostile: every claim is checked here.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyDict, PyEllipsis, PyFloat, PyFrozenSet, PyInt, PyList, PyNotImplemented, PySet,
    PySlice, PyString, PyTuple,
};
use saranwrap::arena::Looking;
use saranwrap::error::Error;
use saranwrap::link::Side;
use saranwrap::wire::packed::Packing;
use saranwrap::wire::{Item, MAX_DEPTH, Reader, tag};

use super::WITHIN_MESSAGE;
use super::bulk::Bulk;
use super::paths::Told;
use crate::addresses::NumberMap;
use crate::classes;
use crate::fault::{Fault, Result};
use crate::loans::{self, Agreed, Key};
use crate::names;
use crate::session::Session;

pub(crate) struct Decoder<'a, 'py> {
    pub(super) session: &'a Bound<'py, Session>,
    pub(super) reader: Reader<'a>,
    pub(super) key: Key,
    pub(super) depth: usize,
    /// The arguments of the call that this answers.
    pub(super) arguments: &'a [Bound<'py, PyAny>],
    /// The arguments of the call that this is, as far as they are read.
    pub(super) so_far: Vec<Bound<'py, PyAny>>,
    /// Containers that were given away in this message.
    pub(super) given_away: NumberMap<Bound<'py, PyAny>>,
    /// The loans that the message speaks of.
    pub(super) mentioned: Vec<u64>,
    /// Whether the answer was what to call in place of what the call returned; None where that cannot be.
    uncalled: Option<bool>,
    /// How many names the path has that this answers, and how many of them are left.
    pub(super) path: usize,
    pub(super) names_left: usize,
    /// What the steps so far came to, in a pipeline.
    pub(super) promises: Vec<Promised<'py>>,
    /// The step that failed, if what was read depends on one.
    pub(super) failed: Option<usize>,
    /// How many promises were read.
    pub(super) named: usize,
    /// Arguments in which a promise stood, by address: the other side has others in their places.
    pub(super) completed: Vec<usize>,
    /// How long the asker waits, if not for ever.
    pub(crate) left: Option<Duration>,
}

/// What a step of a pipeline came to, for those that name it.
pub(crate) enum Promised<'py> {
    /// An object, which so many more times will be named.
    Object(Bound<'py, PyAny>, u64),
    /// Nothing: this step raised, the step itself or one that it depends on.
    Failed(usize),
    /// It has been named as often as was said, and is gone.
    Gone,
}

impl<'a, 'py> Decoder<'a, 'py> {
    pub(crate) fn new(session: &'a Bound<'py, Session>, reader: Reader<'a>, key: Key) -> Self {
        Self {
            session,
            reader,
            key,
            depth: 0,
            arguments: &[],
            so_far: Vec::new(),
            given_away: NumberMap::default(),
            mentioned: Vec::new(),
            uncalled: None,
            path: 1,
            names_left: 0,
            promises: Vec::new(),
            failed: None,
            named: 0,
            completed: Vec::new(),
            left: None,
        }
    }

    /// A decoder for the answer to a call with these arguments.
    pub(crate) fn answered(mut self, arguments: &'a [Bound<'py, PyAny>]) -> Self {
        self.arguments = arguments;
        self
    }

    /// It may be that the other side leaves the call to this one.
    pub(crate) fn of_attribute(mut self) -> Self {
        self.uncalled = Some(false);
        self
    }

    pub(super) fn py(&self) -> Python<'py> {
        self.session.py()
    }

    pub(crate) fn value(&mut self) -> Result<Bound<'py, PyAny>> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::garbled("a value is nested deeper than the protocol allows").into());
        }
        self.depth += 1;
        let value = self.item();
        self.depth -= 1;
        value
    }

    /// A value that is, most likely, the name of an attribute or a parameter.
    pub(crate) fn name(&mut self) -> Result<Bound<'py, PyAny>> {
        let mut reader = self.reader.clone();
        if let Item::Text(text) = reader.next()? {
            self.reader = reader;
            return Ok(self.session.get().names.name(self.py(), text).into_any());
        }
        self.value()
    }

    fn key(&mut self) -> Result<Bound<'py, PyAny>> {
        let mut reader = self.reader.clone();
        if let Item::Text(text) = reader.next()? {
            self.reader = reader;
            return Ok(self.session.get().keys.key(self.py(), text).into_any());
        }
        self.value()
    }

    fn item(&mut self) -> Result<Bound<'py, PyAny>> {
        let py = self.py();
        Ok(match self.reader.next()? {
            Item::Null => py.None().into_bound(py),
            Item::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
            Item::Uint(value) => small(py, value)?,
            Item::Nint(value) => small(py, -1 - i128::from(value))?,
            Item::Float(value) => PyFloat::new(py, value).into_any(),
            Item::Bytes(value) => PyBytes::new(py, value).into_any(),
            Item::Text(value) => PyString::new(py, value).into_any(),
            Item::Array(count) => PyTuple::new(py, self.values(count)?)?.into_any(),
            Item::Map(count) => self.kwargs(count)?.into_any(),
            Item::Tag(tag) => self.tagged(tag)?,
        })
    }

    /// The positional arguments of a call: one may be named by the place of an earlier one that is the same object.
    pub(crate) fn positional(&mut self) -> Result<Bound<'py, PyAny>> {
        for _ in 0..self.reader.array("arguments")? {
            let value = self.an_argument()?;
            self.so_far.push(value);
        }
        Ok(PyTuple::new(self.py(), &self.so_far)?.into_any())
    }

    /// The keyword arguments of a call; None if there are none.
    pub(crate) fn keywords(&mut self) -> Result<Bound<'py, PyAny>> {
        let mut reader = self.reader.clone();
        if reader.next()? == Item::Map(0) {
            self.reader = reader;
            return Ok(self.py().None().into_bound(self.py()));
        }
        self.value()
    }

    fn an_argument(&mut self) -> Result<Bound<'py, PyAny>> {
        let named = self.named;
        let value = self.value()?;
        if self.named > named {
            self.completed.push(value.as_ptr() as usize);
        }
        Ok(value)
    }

    fn values(&mut self, count: usize) -> Result<Vec<Bound<'py, PyAny>>> {
        // The reader has checked that `count` items could fit into the bytes that are left.
        let mut values = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            values.push(self.value()?);
        }
        Ok(values)
    }

    fn kwargs(&mut self, count: usize) -> Result<Bound<'py, PyDict>> {
        let kwargs = PyDict::new(self.py());
        for _ in 0..count {
            let name = self.name()?;
            kwargs.set_item(name, self.an_argument()?)?;
        }
        Ok(kwargs)
    }

    fn tagged(&mut self, tag: u64) -> Result<Bound<'py, PyAny>> {
        match tag {
            tag::POS_BIGNUM | tag::NEG_BIGNUM => self.bigint(tag),
            tag::LIST | tag::DICT | tag::SET | tag::BYTEARRAY | tag::NDARRAY => self.container(tag),
            tag::BLOCK => Bulk::Block(self.block(Looking::Shared)?).to_bytes(self.py()),
            tag::BUFFER => self.buffer(),
            tag::ARROW => self.arrow(),
            tag::SAME => self.same(),
            tag::THEIRS => self.theirs(),
            tag::MINE => self.mine(),
            tag::CLASS => self.class(),
            tag::NAMED => self.named(),
            tag::FROZENSET => self.frozenset(),
            tag::COMPLEX => self.complex(),
            tag::ELLIPSIS => self.unit(|py| PyEllipsis::get(py).to_owned().into_any()),
            tag::NOT_IMPLEMENTED => self.unit(|py| PyNotImplemented::get(py).to_owned().into_any()),
            tag::SLICE | tag::RANGE => self.triple(tag),
            tag::SURROGATES => self.surrogates(),
            tag::KNOWN => self.known(),
            tag::EXCEPTION => self.exception(),
            tag::TRACEBACK => self.traceback(),
            tag::PICKLE => self.pickle(),
            tag::ARGUMENT => self.argument(),
            tag::VALUED => self.valued(),
            tag::UNCALLED if self.depth == 1 && self.uncalled == Some(false) => {
                self.uncalled = Some(true);
                self.value()
            }
            tag::PARTWAY if self.depth == 1 => self.partway(),
            tag::PROMISE => self.promise(),
            other => self.tuple(other),
        }
    }

    /// A tuple of many numbers.
    fn tuple(&mut self, tag: u64) -> Result<Bound<'py, PyAny>> {
        let packing = Packing::of_tag(tag).ok_or_else(|| Error::garbled(format!("tag {tag} is not a value's")))?;
        let run = self.reader.run_of(packing)?;
        Ok(self.numbers(run)?.to_tuple().into_any())
    }

    fn unit(&mut self, value: impl FnOnce(Python<'py>) -> Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
        match self.reader.next()? {
            Item::Null => Ok(value(self.py())),
            _ => Err(Error::garbled("a singleton carries something").into()),
        }
    }

    fn bigint(&mut self, tag: u64) -> Result<Bound<'py, PyAny>> {
        let bytes = self.reader.bytes("bignum")?;
        let int = self.py().get_type::<PyInt>();
        let magnitude = int.call_method1("from_bytes", (PyBytes::new(self.py(), bytes), "big"))?;
        if tag == tag::POS_BIGNUM { Ok(magnitude) } else { Ok(magnitude.call_method0("__invert__")?) }
    }

    /// A loan: it is noted before its items are read, since they may refer to it.
    fn container(&mut self, kind: u64) -> Result<Bound<'py, PyAny>> {
        let py = self.py();
        self.pair("loan")?;
        let number = self.reader.u64("loan number")?;
        let run = if kind == tag::LIST { self.reader.run()? } else { None };
        let object = match kind {
            tag::NDARRAY => return self.lent_array(number),
            tag::LIST => match run {
                Some(run) => self.numbers(run)?.into_any(),
                None => PyList::empty(py).into_any(),
            },
            tag::DICT => PyDict::new(py).into_any(),
            tag::SET => PySet::empty(py)?.into_any(),
            _ => self.bulk(Looking::Shared)?.to_bytearray(py)?.into_any(),
        };
        if number >= WITHIN_MESSAGE {
            self.given_away.insert(number, object.clone());
        } else {
            loans::borrow(self.key, number, &object);
            self.mentioned.push(number);
        }
        match kind {
            tag::LIST if run.is_none() => {
                let list = object.cast::<PyList>()?;
                for _ in 0..self.reader.array("list")? {
                    list.append(self.value()?)?;
                }
            }
            tag::DICT => {
                let dict = object.cast::<PyDict>()?;
                let count = self.reader.map("dict")?;
                let mut items = Vec::with_capacity(2 * count.min(2048));
                for _ in 0..count {
                    let (key, value) = (self.key()?, self.value()?);
                    dict.set_item(&key, &value)?;
                    if number < WITHIN_MESSAGE {
                        items.extend([key.unbind(), value.unbind()]);
                    }
                }
                // Unless two keys are equal here.
                if items.len() == 2 * dict.len() {
                    loans::agree(self.key, number, Agreed::Dict(items));
                    return Ok(object);
                }
            }
            tag::SET => {
                let set = object.cast::<PySet>()?;
                for _ in 0..self.reader.array("set")? {
                    set.add(self.value()?)?;
                }
            }
            _ => {}
        }
        loans::settle(self.key, number, py);
        Ok(object)
    }

    pub(super) fn pair(&mut self, field: &'static str) -> Result<()> {
        match self.reader.array(field)? {
            2 => Ok(()),
            other => Err(Error::garbled(format!("{field} has {other} parts instead of 2")).into()),
        }
    }

    fn same(&mut self) -> Result<Bound<'py, PyAny>> {
        let number = self.reader.u64("loan number")?;
        self.mentioned.push(number);
        self.given_away
            .get(&number)
            .cloned()
            .or_else(|| loans::twin(self.key, number, self.py()))
            .ok_or_else(|| Error::garbled(format!("loan {number} was never made")).into())
    }

    fn argument(&mut self) -> Result<Bound<'py, PyAny>> {
        let place = self.reader.u64("place")?;
        let arguments = if self.arguments.is_empty() { &self.so_far } else { self.arguments };
        let argument = usize::try_from(place).ok().and_then(|place| arguments.get(place));
        argument.cloned().ok_or_else(|| Error::garbled(format!("the call had no argument {place}")).into())
    }

    fn theirs(&mut self) -> Result<Bound<'py, PyAny>> {
        let id = self.reader.u64("id")?;
        self.session.get().exported(self.py(), id)
    }

    fn mine(&mut self) -> Result<Bound<'py, PyAny>> {
        let parts = self.reader.array("reference")?;
        if !(2..=3).contains(&parts) {
            return Err(Error::garbled(format!("reference has {parts} parts instead of 2 or 3")).into());
        }
        let id = self.reader.u64("id")?;
        let class = self.reader.u64("class")?;
        if parts == 3 {
            self.foretold(class)?;
        }
        classes::proxy(self.session, id, class)
    }

    fn valued(&mut self) -> Result<Bound<'py, PyAny>> {
        if self.reader.array("valued reference")? != 3 {
            return Err(Error::garbled("a valued reference does not have 3 parts").into());
        }
        let id = self.reader.u64("id")?;
        let class = self.reader.u64("class")?;
        let value = self.value()?;
        classes::valued(self.session, id, class, &value)
    }

    fn class(&mut self) -> Result<Bound<'py, PyAny>> {
        let described = matches!(self.reader.peek()?, Item::Array(_));
        if described {
            self.pair("class")?;
        }
        let id = self.reader.u64("class")?;
        if described {
            self.foretold(id)?;
        }
        classes::class(self.session, id)
    }

    fn foretold(&mut self, class: u64) -> Result<()> {
        let description = self.value()?;
        classes::foretold(self.session, class, &description)
    }

    fn named(&mut self) -> Result<Bound<'py, PyAny>> {
        self.pair("name")?;
        let module = self.reader.text("module")?;
        let qualname = self.reader.text("qualified name")?;
        let object = names::RESOLVE.get(self.py())?.call1((self.session, module, qualname))?;
        Ok(object)
    }

    fn frozenset(&mut self) -> Result<Bound<'py, PyAny>> {
        let count = self.reader.array("frozenset")?;
        Ok(PyFrozenSet::new(self.py(), self.values(count)?)?.into_any())
    }

    fn complex(&mut self) -> Result<Bound<'py, PyAny>> {
        self.pair("complex")?;
        match (self.reader.next()?, self.reader.next()?) {
            (Item::Float(real), Item::Float(imag)) => Ok(PyComplex::from_doubles(self.py(), real, imag).into_any()),
            _ => Err(Error::garbled("a complex number is not made of two floats").into()),
        }
    }

    fn triple(&mut self, kind: u64) -> Result<Bound<'py, PyAny>> {
        if self.reader.array("slice or range")? != 3 {
            return Err(Error::garbled("a slice or range does not have 3 parts").into());
        }
        let parts = PyTuple::new(self.py(), self.values(3)?)?;
        let class = match kind {
            tag::SLICE => self.py().get_type::<PySlice>(),
            _ => self.py().get_type::<pyo3::types::PyRange>(),
        };
        Ok(class.call1(parts)?)
    }

    fn surrogates(&mut self) -> Result<Bound<'py, PyAny>> {
        let bytes = PyBytes::new(self.py(), self.reader.bytes("string with surrogates")?);
        Ok(bytes.call_method1("decode", ("utf-8", "surrogatepass"))?)
    }

    fn known(&mut self) -> Result<Bound<'py, PyAny>> {
        let count = self.reader.array("known value")?;
        let parts = self.values(count)?;
        Ok(names::KNOWN_DECODE.get(self.py())?.call1(PyTuple::new(self.py(), parts)?)?)
    }

    fn exception(&mut self) -> Result<Bound<'py, PyAny>> {
        let count = self.reader.array("exception")?;
        if count < 2 {
            return Err(Error::garbled("an exception has no parts").into());
        }
        let py = self.py();
        let id = self.reader.u64("id")?;
        let none = || py.None().into_bound(py);
        let handle = if id == 0 { none() } else { classes::handle(self.session, id)? };
        let known = loans::exception(self.key, id, py).unwrap_or_else(none);
        let mut parts = vec![handle, known];
        parts.extend(self.values(count - 1)?);
        let exception = names::EXCEPTION_BUILD.get(py)?.call1(PyTuple::new(py, parts)?)?;
        if id != 0 {
            loans::keep_exception(self.key, id, &exception);
        }
        Ok(exception)
    }

    fn traceback(&mut self) -> Result<Bound<'py, PyAny>> {
        let frames = self.value()?;
        Ok(names::TRACEBACK_BUILD.get(self.py())?.call1((frames,))?)
    }

    fn promise(&mut self) -> Result<Bound<'py, PyAny>> {
        let place = self.reader.u64("place")?;
        self.promised(place)
    }

    /// The answer to a call: the value, then the trailer, and nothing after it.
    pub(crate) fn answer(mut self) -> Result<Told<'py>> {
        let value = self.value().and_then(|value| self.trailer().map(|()| value));
        if value.is_err() {
            self.give_up();
        }
        let value = value?;
        if self.session.get().side() == Side::Child {
            loans::count_references(self.key, &self.mentioned, Some(&value), self.py());
        }
        Ok(Told { value, uncalled: self.uncalled == Some(true), left: self.names_left })
    }

    /// The loans that the message spoke of, and the positional arguments that were in it.
    pub(crate) fn end(self) -> (Vec<u64>, Vec<Bound<'py, PyAny>>) {
        (self.mentioned, self.so_far)
    }
}

fn small<'py>(
    py: Python<'py>,
    value: impl IntoPyObject<'py, Target = PyInt, Output = Bound<'py, PyInt>>,
) -> Result<Bound<'py, PyAny>> {
    match value.into_pyobject(py) {
        Ok(value) => Ok(value.into_any()),
        Err(error) => Err(Fault::Python(error.into())),
    }
}
