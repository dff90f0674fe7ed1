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
        let index = self.index(id).ok_or_else(|| Error::garbled(format!("the released id {id:#x} is unknown")))?;
        let slot = &mut self.slots[index];
        slot.count = slot
            .count
            .checked_sub(count)
            .ok_or_else(|| Error::garbled(format!("the id {id:#x} was released {count} times, more than given")))?;
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    #[derive(Debug, Clone)]
    enum Step {
        Insert,
        Again(prop::sample::Index),
        Release(prop::sample::Index, u64),
        Stale(prop::sample::Index),
        Drain,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let index = any::<prop::sample::Index>;
        let step = prop_oneof![
            4 => Just(Step::Insert),
            2 => index().prop_map(Step::Again),
            4 => (index(), 0..4u64).prop_map(|(index, count)| Step::Release(index, count)),
            1 => index().prop_map(Step::Stale),
            1 => Just(Step::Drain),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn it_does_as_a_map_would(steps in steps()) {
            let mut table = Table::new();
            let mut model: HashMap<u64, (u64, u64)> = HashMap::new();
            let mut given = vec![u64::MAX];
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Insert => {
                        next += 1;
                        let announced = table.next_id();
                        let id = table.insert(next);
                        prop_assert_eq!(id, announced);
                        prop_assert!(id != ROOT && id >> 63 == 0);
                        prop_assert!(!given.contains(&id), "an id came twice");
                        given.push(id);
                        model.insert(id, (next, 1));
                    }
                    Step::Again(index) => {
                        let id = *index.get(&given);
                        prop_assert_eq!(table.again(id), model.contains_key(&id));
                        model.entry(id).and_modify(|(_, count)| *count += 1);
                    }
                    Step::Release(index, count) => {
                        let id = *index.get(&given);
                        let released = table.release(id, count);
                        match model.get_mut(&id) {
                            Some((_, left)) if *left > count => {
                                *left -= count;
                                prop_assert_eq!(released.unwrap(), None);
                            }
                            Some((value, left)) if *left == count => {
                                prop_assert_eq!(released.unwrap(), Some(*value));
                                model.remove(&id);
                            }
                            _ => prop_assert_eq!(released.unwrap_err().kind(), Kind::Garbled),
                        }
                    }
                    Step::Stale(index) => {
                        let id = *index.get(&given);
                        prop_assert_eq!(table.find(id), model.get(&id).map(|(value, _)| value));
                    }
                    Step::Drain => {
                        let mut drained = table.drain();
                        drained.sort_unstable();
                        let mut all: Vec<_> = model.drain().map(|(_, (value, _))| value).collect();
                        all.sort_unstable();
                        prop_assert_eq!(drained, all);
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
        }
    }

    #[test]
    fn the_root_is_not_counted() {
        let mut table = Table::new();
        assert!(!table.again(ROOT));
        assert_eq!(table.find(ROOT), None);
        assert_eq!(table.set_root("a"), None);
        assert_eq!(table.set_root("b"), Some("a"));
        assert!(table.again(ROOT));
        assert_eq!(table.release(ROOT, 5).unwrap(), None);
        assert_eq!(table.find(ROOT), Some(&"b"));
        assert!(table.is_empty());
        assert_eq!(table.drain(), ["b"]);
    }

    #[test]
    fn a_slot_used_again_has_another_id() {
        let mut table = Table::new();
        let first = table.insert('a');
        assert_eq!(first, 1);
        table.release(first, 1).unwrap();
        assert_eq!(table.insert('b'), 1 << 32 | 1);
        assert_eq!(table.find(first), None);
    }

    #[test]
    fn a_slot_is_retired_when_its_generations_are_used_up() {
        let mut table = Table::new();
        let id = table.insert('a');
        table.slots[0].generation = LAST_GENERATION;
        assert_eq!(table.find(id), None);
        table.release(id_of(LAST_GENERATION, 0), 1).unwrap();
        assert_eq!(table.insert('b'), 2);
    }
}
