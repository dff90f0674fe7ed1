//! Large data: bytes that cross in blocks of the arena, and buffers of them.  What is small, or finds no room there, crosses in the body.

use super::buffer::{Content, Layout, UntypedBuffer};
use super::decode::Decoder;
use super::encode::Encoder;
use super::freight::Kept;
use crate::arena::{Looking, Place, Room};
use crate::error::{Error, Result as LinkResult};
use crate::sys::numbers::{self, Element, Words};
use crate::wire::{Item, tag};

/// From this length on bytes go into a block of the arena.
const LARGE: usize = 32 << 10;

impl Encoder<'_> {
    /// Bytes; many of them through memory that both sides see.
    pub fn bytes(&mut self, value: &[u8]) {
        match self.room(value.len()) {
            Some(room) => {
                room.copy_in(0, value);
                self.place(room.give());
            }
            None => self.out.bytes(value),
        }
    }

    /// Numbers, to arrive as a `memoryview` of them.
    pub fn numbers<T: Element>(&mut self, values: &[T]) {
        self.layout(&Layout::row::<T>(values.len()));
        self.bytes(numbers::bytes_of(values));
    }

    /// What an object lends, to arrive as a `memoryview` of it.  What lies in memory that the other side sees is only named.
    pub fn buffer(&mut self, buffer: &UntypedBuffer) {
        self.layout(buffer.layout());
        if let Some(held) = buffer.held()
            && let Some(place) = self.session.arena.find(held.address().as_ptr() as usize, held.len())
        {
            self.freight.keeps.push(Kept::Buffer(buffer.clone()));
            return self.place(place);
        }
        if let Some(held) = buffer.held()
            && let Some(room) = self.room(held.len())
        {
            room.copy_from(held);
            return self.place(room.give());
        }
        let mut bytes = vec![0; buffer.len_bytes()];
        buffer.copy_out(0, &mut bytes);
        self.bytes(&bytes);
    }

    fn room(&self, len: usize) -> Option<Room> {
        if len < LARGE { None } else { self.session.link.room(&self.session.arena, len) }
    }

    fn place(&mut self, place: Place) {
        place.write(self.out);
        self.freight.blocks.push(place);
    }

    fn layout(&mut self, layout: &Layout) {
        self.out.tag(tag::BUFFER);
        self.out.array(5);
        self.out.text(if layout.fortran { "F" } else { "C" });
        self.out.text(&layout.format);
        self.out.u64(layout.item_size as u64);
        self.out.array(layout.shape.len());
        layout.shape.iter().for_each(|&side| self.out.u64(side as u64));
    }
}

impl Decoder<'_> {
    /// Bytes in a block, whose tag has been read.
    pub(super) fn block(&mut self) -> LinkResult<Vec<u8>> {
        let place = Place::read(&mut self.reader)?;
        if self.returned {
            return self.session.arena.read_named(place);
        }
        Ok(self.session.arena.receive(place, Looking::Shared)?.to_vec())
    }

    /// What an object lends.  The bytes stay where they are.
    pub(super) fn buffer(&mut self) -> LinkResult<UntypedBuffer> {
        self.parts("buffer", 5)?;
        let names = (self.reader.text("order")?, self.reader.text("format")?);
        let item_size = self.reader.u64("item size")?;
        let sides = self.reader.array("shape")?;
        let shape = (0..sides).map(|_| self.reader.u64("side")).collect::<LinkResult<Vec<_>>>()?;
        let content = match self.reader.next()? {
            Item::Bytes(bytes) => Content::Words(Words::of(bytes)),
            Item::Tag(tag::BLOCK) if self.returned => Content::Words(Words::of(&self.block()?)),
            Item::Tag(tag::BLOCK) => {
                let place = Place::read(&mut self.reader)?;
                let held = self.session.arena.receive(place, Looking::Shared)?;
                // A part of something else may begin where no number may.
                match held.cells::<u64>() {
                    Some(_) => Content::Held(held),
                    None => Content::Words(Words::of(&held.to_vec())),
                }
            }
            other => return Err(Error::garbled(format!("where a buffer's bytes should be stands {other}"))),
        };
        UntypedBuffer::new(self.session, content, names, item_size, &shape)
    }
}
