//! Large data: what crosses in blocks of the arena, and the arrays and buffers that hold it. What is small, or finds no room there,
//! crosses in the body.

use std::ops::Range;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView, PyModule, PyString, PyTuple, PyType};
use saranwrap::arena::{Held, Looking, Place, Room};
use saranwrap::error::Error;
use saranwrap::link::Side;
use saranwrap::wire::{Item, tag};

use super::WITHIN_MESSAGE;
use super::decode::Decoder;
use super::encode::{Encoder, Mode};
use crate::buffer::{self, Buffer, Layout, Lent};
use crate::fault::Result;
use crate::loans;
use crate::names;

/// From this length on bytes go into a block: below it, copying them twice is cheaper than the block's keeping.
pub(crate) const LARGE: usize = 32 << 10;

/// How much a child may have of what it asked for and not given back; more of it goes into the bodies of answers, which are
/// bounded on their own.
const MAX_ASKED: u64 = 1 << 30;

impl<'py> Encoder<'_, 'py> {
    /// What an object lends by the buffer protocol, as one contiguous copy.
    pub(crate) fn buffer(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let lent = Lent::of(object)?;
        self.out.tag(tag::BUFFER);
        self.out.array(5);
        self.out.text(lent.order().name());
        self.out.text(&lent.format());
        self.out.u64(lent.item_size());
        let shape = lent.shape();
        self.out.array(shape.len());
        shape.iter().for_each(|&side| self.out.u64(side));
        self.content(&lent, 0..lent.len())
    }

    /// Bytes that are too long for the body.
    pub(super) fn large_bytes(&mut self, bytes: &Bound<'py, PyBytes>) -> Result<()> {
        let lent = Lent::of(bytes)?;
        self.content(&lent, 0..lent.len())
    }

    /// A part of a buffer: the name of its place where it lies in the arena already; a block; or the bytes themselves.
    pub(super) fn content(&mut self, lent: &Lent<'_>, part: Range<usize>) -> Result<()> {
        let place = if part.len() < LARGE { None } else { self.place(lent, &part)? };
        match place {
            Some(place) => {
                place.write(self.out);
                self.blocks.push(place);
            }
            None => self.out.bytes(&lent.to_vec(part)?),
        }
        Ok(())
    }

    fn place(&self, lent: &Lent<'_>, part: &Range<usize>) -> Result<Option<Place>> {
        let session = self.session.get();
        if lent.lies_in(lent.order())
            && let Some(place) = session.arena.find(lent.address() + part.start, part.len())
        {
            return Ok(Some(place));
        }
        let Some(room) = self.room(part.len()) else { return Ok(None) };
        lent.copy_to(part.clone(), room.address())?;
        Ok(Some(room.give()))
    }

    /// A block that is long enough, unless the body is the better place.
    fn room(&self, len: usize) -> Option<Room> {
        let session = self.session.get();
        let asked = self.answers && session.side() == Side::Parent;
        if len < LARGE || (asked && session.arena.usage().bytes_out > MAX_ASKED) {
            return None;
        }
        session.link().room(&session.arena, len)
    }

    /// Columnar data of Arrow, written by its own library to where it is to lie. An argument comes home as itself.
    pub(crate) fn arrow(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let py = object.py();
        let parts = names::ARROW_PARTS.get(py)?.call1((object,))?;
        let (kind, extensions, len, fill) = parts.extract::<(String, Bound<'py, PyAny>, usize, Bound<'py, PyAny>)>()?;
        let number = if self.given_away.is_some() || (self.lends_arrays() && !self.answers) {
            self.loan_number(object)
        } else {
            0
        };
        self.out.tag(tag::ARROW);
        self.out.array(2);
        self.out.u64(number);
        self.out.array(3);
        self.out.text(&kind);
        self.value(&extensions)?;
        if let Some(room) = self.room(len) {
            let place = buffer::filled_by(&fill, room)?;
            place.write(self.out);
            self.blocks.push(place);
        } else {
            let bytes = PyByteArray::new_with(py, len, |_| Ok(()))?;
            fill.call1((&bytes,))?;
            self.out.bytes(&bytes.to_vec());
        }
        Ok(())
    }

    /// An exact array of numpy without objects in it, on loan like a list. Whether it was one that can cross so.
    pub(super) fn array(&mut self, object: &Bound<'py, PyAny>) -> Result<bool> {
        if !is_array(object)? {
            return Ok(false);
        }
        let parts = names::ARRAY_PARTS.get(object.py())?.call1((object,))?;
        if parts.is_none() {
            return Ok(false);
        }
        let (writable, order, kind, shape, flat) =
            parts.extract::<(bool, String, Bound<'py, PyAny>, Bound<'py, PyTuple>, Bound<'py, PyAny>)>()?;
        self.lend(object, tag::NDARRAY);
        self.out.array(5);
        self.out.bool(writable);
        self.out.text(&order);
        self.value(&kind)?;
        self.value(shape.as_any())?;
        let lent = Lent::of(&flat)?;
        self.content(&lent, 0..lent.len())?;
        Ok(true)
    }

    /// Whether arrays leave by value: as arguments into the child, or when the other side asked for a copy.
    pub(super) fn lends_arrays(&self) -> bool {
        match self.mode {
            Mode::Normal => self.session.get().side() == Side::Parent,
            Mode::Copy { .. } => true,
            Mode::Shallow => false,
        }
    }

    /// A pickle, and what it left out of its band.
    pub(super) fn put_pickle(&mut self, number: u64, pickled: &Bound<'py, PyAny>) -> Result<()> {
        let (data, buffers) = pickled.extract::<(Bound<'py, PyBytes>, Vec<Bound<'py, PyAny>>)>()?;
        self.out.tag(tag::PICKLE);
        self.out.array(2 + usize::from(!buffers.is_empty()));
        self.out.u64(number);
        self.large_bytes(&data)?;
        if !buffers.is_empty() {
            self.out.array(buffers.len());
        }
        for buffer in &buffers {
            let lent = Lent::of(buffer)?;
            self.content(&lent, 0..lent.len())?;
        }
        Ok(())
    }
}

/// Bytes that came: in the body, or in a block.
pub(super) enum Bulk<'a> {
    Bytes(&'a [u8]),
    Block(Held),
}

impl<'py> Bulk<'_> {
    pub(super) fn to_bytes(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        match self {
            Self::Bytes(bytes) => Ok(PyBytes::new(py, bytes).into_any()),
            Self::Block(held) => Ok(buffer::bytes_of(py, held)?),
        }
    }

    pub(super) fn to_bytearray(&self, py: Python<'py>) -> Result<Bound<'py, PyByteArray>> {
        match self {
            Self::Bytes(bytes) => Ok(PyByteArray::new(py, bytes)),
            Self::Block(held) => Ok(buffer::bytearray_of(py, held)?),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Block(held) => held.len(),
        }
    }
}

impl<'a, 'py> Decoder<'a, 'py> {
    /// Bytes, wherever they are.
    pub(super) fn bulk(&mut self, looking: Looking) -> Result<Bulk<'a>> {
        match self.reader.next()? {
            Item::Bytes(bytes) => Ok(Bulk::Bytes(bytes)),
            Item::Tag(tag::BLOCK) => Ok(Bulk::Block(self.block(looking)?)),
            other => Err(Error::garbled(format!("where bytes should be stands {other}")).into()),
        }
    }

    pub(super) fn block(&mut self, looking: Looking) -> Result<Held> {
        let place = Place::read(&mut self.reader)?;
        Ok(self.session.get().arena.receive(place, looking)?)
    }

    /// Memory of the other side, as a `memoryview` of it.
    pub(super) fn buffer(&mut self) -> Result<Bound<'py, PyAny>> {
        self.parts("buffer", 5)?;
        let (order, format) = (self.reader.text("order")?, self.reader.text("format")?);
        let item_size = self.reader.u64("item size")?;
        let sides = self.reader.array("shape")?;
        let shape = (0..sides).map(|_| self.reader.u64("shape")).collect::<Result<Vec<_>, _>>()?;
        let bulk = self.bulk(Looking::Shared)?;
        let layout = Layout::new(order, format, item_size, &shape, bulk.len());
        let layout = layout.ok_or_else(|| {
            Error::garbled(format!("a buffer of the format {format:?} with items of {item_size} bytes makes no sense"))
        })?;
        Ok(PyMemoryView::from(self.lent(bulk, layout)?.as_any())?.into_any())
    }

    fn lent(&self, bulk: Bulk<'_>, layout: Layout) -> Result<Bound<'py, Buffer>> {
        Ok(match bulk {
            Bulk::Bytes(bytes) => Buffer::of_bytes(self.session, bytes, layout)?,
            Bulk::Block(held) => Buffer::of_block(self.session, held, layout)?,
        })
    }

    /// An array of numpy: on loan, writable as the caller's own is; or given away, and then a copy through and through.
    fn array(&mut self, number: u64) -> Result<Bound<'py, PyAny>> {
        self.parts("array", 5)?;
        let py = self.py();
        let Item::Bool(writable) = self.reader.next()? else {
            return Err(Error::garbled("an array does not say whether it may be written to").into());
        };
        let order = self.reader.text("order")?;
        let (kind, shape) = (self.value()?, self.value()?);
        let lent = writable && number < WITHIN_MESSAGE;
        let looking = if lent { Looking::Private } else { Looking::Shared };
        let memory = match self.bulk(looking)? {
            Bulk::Bytes(bytes) => PyByteArray::new(py, bytes).into_any(),
            Bulk::Block(held) => {
                let layout = Layout::bytes(held.len());
                Buffer::of_block(self.session, held, layout)?.into_any()
            }
        };
        let given_away = number >= WITHIN_MESSAGE;
        let array =
            names::ARRAY_BUILD.get(py)?.call1((self.session, writable, order, kind, shape, &memory, given_away))?;
        if !given_away {
            loans::borrow(self.key, number, &array);
            self.mentioned.push(number);
            match memory.cast_into::<Buffer>() {
                Ok(memory) => loans::agree_on_memory(self.key, number, &memory),
                Err(_) => loans::settle(self.key, number, py),
            }
        }
        Ok(array)
    }

    pub(super) fn lent_array(&mut self, number: u64) -> Result<Bound<'py, PyAny>> {
        let array = self.array(number)?;
        if number >= WITHIN_MESSAGE {
            self.given_away.insert(number, array.clone());
        }
        Ok(array)
    }

    /// Columnar data of Arrow. It is made here of the bytes, which are checked where the other side is not trusted.
    pub(super) fn arrow(&mut self) -> Result<Bound<'py, PyAny>> {
        self.pair("loan")?;
        let number = self.reader.u64("loan number")?;
        self.parts("columnar data", 3)?;
        let (kind, extensions) = (self.reader.text("kind")?, self.value()?);
        let memory = match self.bulk(Looking::Shared)? {
            Bulk::Bytes(bytes) => PyBytes::new(self.py(), bytes).into_any(),
            Bulk::Block(held) => {
                let layout = Layout::bytes(held.len());
                Buffer::of_block(self.session, held, layout)?.into_any()
            }
        };
        let object = names::ARROW_BUILD.get(self.py())?.call1((self.session, kind, extensions, memory))?;
        if number >= WITHIN_MESSAGE {
            self.given_away.insert(number, object.clone());
        } else if number != 0 {
            loans::borrow(self.key, number, &object);
        }
        Ok(object)
    }

    /// Unpickling runs what the sender likes. A child may trust its parent; a parent only where the user said so.
    pub(super) fn pickle(&mut self) -> Result<Bound<'py, PyAny>> {
        let parts = self.reader.array("pickle")?;
        let number = self.reader.u64("loan number")?;
        let session = self.session.get();
        if session.side() == Side::Parent && !session.trusts() {
            return Err(Error::garbled("the child sent a pickle, but it is not trusted").into());
        }
        let data = self.bulk(Looking::Shared)?.to_bytes(self.py())?;
        let buffers = match parts {
            2 => Vec::new(),
            3 => self.pickle_buffers()?,
            other => return Err(Error::garbled(format!("pickle has {other} parts instead of 2 or 3")).into()),
        };
        let object = names::UNPICKLE.get(self.py())?.call1((self.session, data, buffers))?;
        if number != 0 {
            loans::borrow(self.key, number, &object);
        }
        Ok(object)
    }

    /// What changed in an array that was lent.
    pub(super) fn patch(&mut self, array: &Bound<'py, PyAny>) -> Result<()> {
        let py = self.py();
        let mut patches = Vec::new();
        for _ in 0..self.reader.array("patches")? {
            self.parts("patch", 2)?;
            let start = self.reader.u64("start")?;
            let bulk = self.bulk(Looking::Shared)?;
            let layout = Layout::bytes(bulk.len());
            patches.push((start, self.lent(bulk, layout)?));
        }
        names::ARRAY_PATCH.get(py)?.call1((array, patches))?;
        Ok(())
    }

    /// The buffers of a pickle, as memory of its own for each.
    fn pickle_buffers(&mut self) -> Result<Vec<Bound<'py, PyAny>>> {
        let mut buffers = Vec::new();
        for _ in 0..self.reader.array("buffers")? {
            let bulk = self.bulk(Looking::Private)?;
            let layout = Layout::bytes(bulk.len());
            buffers.push(match bulk {
                Bulk::Bytes(bytes) => PyByteArray::new(self.py(), bytes).into_any(),
                Bulk::Block(held) => Buffer::of_block(self.session, held, layout)?.into_any(),
            });
        }
        Ok(buffers)
    }

    /// Reading ended early, and what was not read may name blocks: they go back.
    pub(crate) fn give_up(&mut self) {
        while !self.reader.at_end() {
            match self.reader.next() {
                Ok(Item::Tag(tag::BLOCK)) => drop(self.block(Looking::Shared)),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn parts(&mut self, field: &'static str, count: usize) -> Result<()> {
        match self.reader.array(field)? {
            found if found == count => Ok(()),
            found => Err(Error::garbled(format!("{field} has {found} parts instead of {count}")).into()),
        }
    }
}

/// Whether this is exactly an array of the numpy that this process has loaded. None is loaded for it.
pub(crate) fn is_array(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static NDARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = object.py();
    if let Some(class) = NDARRAY.get(py) {
        return Ok(object.get_type().is(class));
    }
    let modules = names::SYS_MODULES.get(py)?.cast::<PyDict>()?;
    let Some(module) = modules.get_item(PyString::intern(py, "numpy"))? else { return Ok(false) };
    // A program may have put something else in its place, such as a proxy of it.
    let Ok(module) = module.cast_exact::<PyModule>() else { return Ok(false) };
    let class = module.dict().get_item("ndarray")?;
    match class.map(|class| class.cast_into_exact::<PyType>()) {
        Some(Ok(class)) => {
            let found = object.get_type().is(&class);
            // Another thread may have been here in the meantime; it found the same.
            let _ = NDARRAY.set(py, class.unbind());
            Ok(found)
        }
        _ => Ok(false),
    }
}
