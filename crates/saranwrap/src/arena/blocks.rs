//! Which part of an arena is whose: blocks that are taken, given out and given back.  It knows numbers only: no memory, no I/O.
//!
//! Blocks have sizes in quarter steps between powers of two, and keep their place for ever: one that is free waits for the next
//! of its size, so nothing is ever moved or joined.  That costs address space, of which there is plenty; pages are what counts.
//! A free block keeps its pages, because making new ones takes five times as long as copying into those that are there.  What
//! is kept for nothing is bounded: see [`Blocks::surplus`].

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Result};

/// Blocks begin at, and are as long as, multiples of this.  A block's number is its offset in these.
pub(super) const GRAIN: u64 = 64 << 10;

/// Small blocks lie inside one stretch of this length, so that one window on a stretch serves for all of them; larger ones begin
/// where a stretch does.
pub(super) const STRETCH: u64 = 32 << 20;

/// How many bytes of pages free blocks may keep, besides those of the block that was freed last.
const KEPT: u64 = 256 << 20;

/// Blocks of one memory.
#[derive(Debug)]
pub(super) struct Blocks {
    capacity: u64,
    /// Where what was never used begins.
    top: u64,
    out: HashMap<u64, Out>,
    /// Free blocks by size, the last freed last.
    free: BTreeMap<u64, Vec<Free>>,
    bytes_out: u64,
    kept: u64,
}

/// A block in use.
#[derive(Debug)]
struct Out {
    size: u64,
    /// How many bytes from its start on have pages.
    touched: u64,
    /// How many bytes from its start on hold what was put there.
    len: u64,
    /// How often it was given out and not yet given back.
    count: u64,
}

/// A block that waits.
#[derive(Debug)]
struct Free {
    offset: u64,
    touched: u64,
}

/// A block that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Where it begins.
    pub(super) offset: u64,
    /// How many of the bytes that were asked for have pages already.
    pub(super) warm: u64,
}

/// The size of the block for so many bytes; `None` when that is more than there are numbers for.
pub(super) fn size_for(len: u64) -> Option<u64> {
    let len = len.max(1);
    // A quarter of the power of two below it, or the grain.
    let step = (1u64 << (63 - len.leading_zeros()) >> 2).max(GRAIN);
    len.checked_next_multiple_of(step)
}

impl Blocks {
    /// All of a memory of this many bytes is free.
    pub(super) fn new(capacity: u64) -> Self {
        Self { capacity, top: 0, out: HashMap::new(), free: BTreeMap::new(), bytes_out: 0, kept: 0 }
    }

    /// Take a block for `len` bytes; it has been given out once.  `None` when there is no room.
    pub(super) fn take(&mut self, len: u64) -> Option<Taken> {
        let size = size_for(len)?;
        let (size, free) = match self.reuse(size) {
            Some(found) => found,
            None => (size, Free { offset: self.fresh(size)?, touched: 0 }),
        };
        let taken = Taken { offset: free.offset, warm: free.touched.min(len) };
        self.out.insert(free.offset, Out { size, touched: free.touched.max(len), len, count: 1 });
        self.bytes_out += size;
        Some(taken)
    }

    /// The block is given out once more, or held here once more; what is wanted of it must have been put there.
    pub(super) fn again(&mut self, offset: u64, len: u64) -> Result<()> {
        match self.out.get_mut(&offset) {
            Some(out) if len <= out.len => {
                out.count += 1;
                Ok(())
            }
            Some(out) => Err(Error::garbled(format!("{len} bytes of a block were named, which holds {}", out.len))),
            None => Err(Error::garbled(format!("a block was named at {offset:#x}, where none is out"))),
        }
    }

    /// The block is given back `count` times.
    pub(super) fn give_back(&mut self, offset: u64, count: u64) -> Result<()> {
        let Some(out) = self.out.get_mut(&offset) else {
            return Err(Error::garbled(format!("a block was given back at {offset:#x}, where none is out")));
        };
        out.count = out.count.checked_sub(count).ok_or_else(|| {
            Error::garbled(format!("the block at {offset:#x} was given back {count} times, more than given"))
        })?;
        if out.count > 0 {
            return Ok(());
        }
        if let Some(Out { size, touched, .. }) = self.out.remove(&offset) {
            self.bytes_out -= size;
            self.kept += touched;
            self.free.entry(size).or_default().push(Free { offset, touched });
        }
        Ok(())
    }

    /// Free blocks whose pages are to go, as offsets and lengths: the largest and longest unused first, until what is kept is
    /// little enough.  The block at `latest`, which was given back just now, keeps its pages whatever its size: the next array
    /// is likely to be as large as the last.
    pub(super) fn surplus(&mut self, latest: u64) -> Vec<(u64, u64)> {
        let mut surplus = Vec::new();
        if self.kept <= KEPT {
            return surplus;
        }
        let spared = self.free.values().flatten().find(|block| block.offset == latest).map_or(0, |block| block.touched);
        for block in self.free.values_mut().rev().flatten() {
            if self.kept - spared <= KEPT {
                break;
            }
            if block.offset != latest && block.touched > 0 {
                self.kept -= block.touched;
                surplus.push((block.offset, std::mem::take(&mut block.touched)));
            }
        }
        surplus
    }

    /// How many blocks are out.
    pub(super) fn count(&self) -> usize {
        self.out.len()
    }

    /// How many bytes they have.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_out
    }

    /// A free block of this size, or of one that is at most twice that, if it has pages: those are dearer than the difference.
    fn reuse(&mut self, size: u64) -> Option<(u64, Free)> {
        let fits = |(_, blocks): &(&u64, &mut Vec<Free>)| blocks.last().is_some_and(|block| block.touched > 0);
        let warm = self.free.range_mut(size..=size.saturating_mul(2)).find(fits);
        let (size, blocks) = match warm {
            Some((&size, blocks)) => (size, blocks),
            None => (size, self.free.get_mut(&size)?),
        };
        let block = blocks.pop()?;
        self.kept -= block.touched;
        Some((size, block))
    }

    /// Room that was never used.  What is skipped, so that a block lies inside its stretch, stays unused for good.
    fn fresh(&mut self, size: u64) -> Option<u64> {
        let begun = self.top % STRETCH;
        let fits = begun == 0 || size <= STRETCH - begun;
        let offset = if fits { self.top } else { self.top.checked_next_multiple_of(STRETCH)? };
        let end = offset.checked_add(size)?;
        // After a large block the next stretch begins, so that no window on a stretch shows a part of it.
        let end = if size > STRETCH { end.checked_next_multiple_of(STRETCH)? } else { end };
        if end > self.capacity {
            return None;
        }
        self.top = end;
        Some(offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn sizes_go_in_quarters() {
        let sizes = [0, 1, GRAIN, GRAIN + 1, 4 * GRAIN + 1, 9 * GRAIN, 64 * GRAIN + 1, 100_000_000, u64::MAX];
        let expected = [GRAIN, GRAIN, GRAIN, 2 * GRAIN, 5 * GRAIN, 10 * GRAIN, 80 * GRAIN, 6 << 24, 0].map(Some);
        let found = sizes.map(size_for);
        assert_eq!(found[..8], expected[..8]);
        assert_eq!(found[8], None);
    }

    #[test]
    fn the_block_that_was_freed_last_is_taken_first() {
        let mut blocks = Blocks::new(1 << 40);
        let [a, b] = [MIB, MIB].map(|len| blocks.take(len).unwrap());
        assert_eq!((a.warm, b.warm), (0, 0));
        blocks.give_back(a.offset, 1).unwrap();
        blocks.give_back(b.offset, 1).unwrap();
        assert_eq!(blocks.take(MIB), Some(Taken { offset: b.offset, warm: MIB }));
        // One that is a little larger and has pages is better than a new one.
        assert_eq!(blocks.take(MIB - GRAIN), Some(Taken { offset: a.offset, warm: MIB - GRAIN }));
    }

    #[test]
    fn what_is_given_back_must_be_out() {
        let mut blocks = Blocks::new(1 << 40);
        let taken = blocks.take(MIB).unwrap();
        assert!(blocks.give_back(taken.offset + GRAIN, 1).is_err());
        assert!(blocks.give_back(taken.offset, 2).is_err());
        assert!(blocks.again(taken.offset, MIB + 1).is_err());
        blocks.again(taken.offset, MIB).unwrap();
        blocks.give_back(taken.offset, 2).unwrap();
        assert!(blocks.give_back(taken.offset, 1).is_err());
        assert!(blocks.again(taken.offset, 1).is_err());
    }

    #[test]
    fn a_full_memory_gives_nothing() {
        let mut blocks = Blocks::new(2 * STRETCH);
        assert_eq!(blocks.take(3 * STRETCH), None);
        assert_eq!(blocks.take(u64::MAX), None);
        assert!(blocks.take(2 * STRETCH).is_some());
        assert_eq!(blocks.take(1), None);
    }

    #[test]
    fn much_that_is_free_gives_its_pages_back() {
        let mut blocks = Blocks::new(1 << 40);
        let taken: Vec<_> = (0..4).map(|_| blocks.take(200 * MIB).unwrap().offset).collect();
        for (index, &offset) in taken.iter().enumerate() {
            blocks.give_back(offset, 1).unwrap();
            let surplus = blocks.surplus(offset);
            // The latest stays, and one more.
            assert_eq!(surplus, if index < 2 { vec![] } else { vec![(taken[index - 2], 200 * MIB)] });
        }
        assert_eq!(blocks.kept, 400 * MIB);
        let huge = blocks.take(1 << 30).unwrap().offset;
        blocks.give_back(huge, 1).unwrap();
        assert_eq!(blocks.surplus(huge).len(), 1);
        assert_eq!(blocks.take(1 << 30), Some(Taken { offset: huge, warm: 1 << 30 }));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(u64),
        Again(prop::sample::Index),
        GiveBack(prop::sample::Index, u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let index = any::<prop::sample::Index>;
        let len = prop_oneof![0..4 * GRAIN, 0..4 * MIB, 0..4 * STRETCH, any::<u64>()];
        let step = prop_oneof![
            4 => len.prop_map(Step::Take),
            1 => index().prop_map(Step::Again),
            4 => (index(), 0..4u64).prop_map(|(index, count)| Step::GiveBack(index, count)),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn no_two_blocks_overlap_and_the_sums_are_right(steps in steps()) {
            const CAPACITY: u64 = 1 << 33;
            let mut blocks = Blocks::new(CAPACITY);
            // Offset to length and count.
            let mut model: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
            let mut seen = vec![12345];
            for step in steps {
                match step {
                    Step::Take(len) => {
                        let Some(taken) = blocks.take(len) else { continue };
                        let size = blocks.out[&taken.offset].size;
                        prop_assert!(size >= len && taken.warm <= len && taken.offset % GRAIN == 0);
                        prop_assert!(taken.offset + size <= CAPACITY);
                        let inside = taken.offset % STRETCH + size <= STRETCH;
                        prop_assert!(inside || (size > STRETCH && taken.offset % STRETCH == 0));
                        for &offset in model.keys() {
                            let other = blocks.out[&offset].size;
                            prop_assert!(taken.offset + size <= offset || offset + other <= taken.offset, "overlap");
                        }
                        model.insert(taken.offset, (len, 1));
                        seen.push(taken.offset);
                    }
                    Step::Again(index) => {
                        let offset = *index.get(&seen);
                        let known = model.get(&offset).map(|&(len, _)| len);
                        prop_assert_eq!(blocks.again(offset, known.unwrap_or(0)).is_ok(), known.is_some());
                        model.entry(offset).and_modify(|(_, count)| *count += 1);
                    }
                    Step::GiveBack(index, count) => {
                        let offset = *index.get(&seen);
                        let left = model.get(&offset).map(|&(_, left)| left);
                        let given = blocks.give_back(offset, count);
                        prop_assert_eq!(given.is_ok(), left.is_some_and(|left| left >= count));
                        match left {
                            Some(left) if left == count => drop(model.remove(&offset)),
                            Some(left) if left > count => drop(model.insert(offset, (model[&offset].0, left - count))),
                            _ => {}
                        }
                        blocks.surplus(offset);
                    }
                }
                let kept: u64 = blocks.free.values().flatten().map(|block| block.touched).sum();
                prop_assert_eq!(blocks.kept, kept);
                prop_assert_eq!(blocks.count(), model.len());
                prop_assert_eq!(blocks.bytes(), model.keys().map(|offset| blocks.out[offset].size).sum::<u64>());
            }
        }
    }
}
