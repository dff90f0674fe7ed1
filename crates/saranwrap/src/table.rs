//! What this side has exported, by id.  It knows nothing of the objects, takes no locks and drops none of them itself.
//!
//! An id is a generation in the high half and a slot number, from 1, in the low half.  A slot is used again under the
//! next generation, so that a stale id is refused and never means somebody else's object.  Id 0 is the root.

use crate::error::{Error, Result};

/// The id of the root: the thing that was wrapped.
pub const ROOT: u64 = 0;

const MAX_SLOTS: usize = 1 << 31;
const LAST_GENERATION: u32 = (1 << 31) - 1;

/// Exported objects by id, each with how often it was given out.
#[derive(Debug)]
pub struct Table<T> {
    root: Option<T>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    used: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// How often the id was given out and not yet given back; 0 exactly when `value` is `None`.
    count: u64,
    value: Option<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { root: None, slots: Vec::new(), free: Vec::new(), used: 0 }
    }
}

impl<T> Table<T> {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Put the root in its place; the one before it comes back.
    pub fn set_root(&mut self, value: T) -> Option<T> {
        self.root.replace(value)
    }

    /// Export an object: it has been given out once under the id that is returned.
    ///
    /// # Panics
    ///
    /// With 2^31 objects exported at once, for which memory does not suffice.
    pub fn insert(&mut self, value: T) -> u64 {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None => self.grow(),
        };
        let slot = &mut self.slots[index];
        slot.count = 1;
        slot.value = Some(value);
        self.used += 1;
        id_of(slot.generation, index)
    }

    /// The object with this id.
    pub fn find(&self, id: u64) -> Option<&T> {
        match id {
            ROOT => self.root.as_ref(),
            _ => self.slots[self.index(id)?].value.as_ref(),
        }
    }

    /// The id is given out once more.  False when there is none such.
    pub fn again(&mut self, id: u64) -> bool {
        if id == ROOT {
            return self.root.is_some();
        }
        match self.index(id) {
            Some(index) => {
                self.slots[index].count += 1;
                true
            }
            None => false,
        }
    }

    /// The id is given back `count` times.  The object comes out when nobody has it any more; the caller drops it, outside
    /// any lock, since dropping may run foreign code.  The root is not counted: it stays as long as the table.
    pub fn release(&mut self, id: u64, count: u64) -> Result<Option<T>> {
        if id == ROOT {
            return Ok(None);
        }
        let index = self
            .index(id)
            .ok_or_else(|| Error::garbled(format!("the released id {id:#x} is unknown")))?;
        let slot = &mut self.slots[index];
        slot.count = slot.count.checked_sub(count).ok_or_else(|| {
            Error::garbled(format!("the id {id:#x} was released {count} times, more than given"))
        })?;
        if slot.count > 0 {
            return Ok(None);
        }
        self.used -= 1;
        // A slot whose generations are used up is retired: better four dozen bytes lost than an id that means two things.
        if slot.generation < LAST_GENERATION {
            slot.generation += 1;
            self.free.push(index as u32);
        }
        Ok(slot.value.take())
    }

    /// How many objects are exported, without the root.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id that the next `insert` will give.
    pub fn next_id(&self) -> u64 {
        match self.free.last() {
            Some(&index) => id_of(self.slots[index as usize].generation, index as usize),
            None => id_of(0, self.slots.len()),
        }
    }

    /// Everything, root included, so that the caller can drop it outside any lock; the ids all become stale.
    pub fn drain(&mut self) -> Vec<T> {
        let mut values: Vec<T> = self.root.take().into_iter().collect();
        self.used = 0;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(value) = slot.value.take() {
                values.push(value);
                slot.count = 0;
                if slot.generation < LAST_GENERATION {
                    slot.generation += 1;
                    self.free.push(index as u32);
                }
            }
        }
        values
    }

    fn grow(&mut self) -> usize {
        let index = self.slots.len();
        assert!(index < MAX_SLOTS, "2^31 objects are exported");
        self.slots.push(Slot { generation: 0, count: 0, value: None });
        index
    }

    /// The slot of an id that is in use.
    fn index(&self, id: u64) -> Option<usize> {
        let index = (id as u32).checked_sub(1)? as usize;
        let slot = self.slots.get(index)?;
        (slot.value.is_some() && u64::from(slot.generation) == id >> 32).then_some(index)
    }
}

fn id_of(generation: u32, index: usize) -> u64 {
    u64::from(generation) << 32 | (index as u64 + 1)
}
